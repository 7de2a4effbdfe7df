//! Finds pairs of near copies and of similar pictures.
//!
//! Candidates for near copies come from the layouts of the miniatures, also of turned and mirrored ones; candidates for
//! similar pictures come from the signs of the vectors. Neither compares every picture with every other one.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::groups::Link;
use super::rule::{MAX_LAYOUT_BITS, MAX_TURNED_BITS, are_near, are_similar};
use super::{DupeQuery, DupeTier};
use crate::ann::{BitTable, SignTable};
use crate::error::Result;
use crate::media::{LAYOUT_WORDS, Miniature, Structure, Turn};
use crate::store::{Fingerprint, Store, StoredModel};
use crate::types::{ImageId, VectorId};

/// The links between pictures.
#[derive(Debug, Default)]
pub(super) struct Links {
    pub links: Vec<Link>,
    /// Mean a* and b* of the near copies.
    pub colors: HashMap<usize, [f32; 2]>,
    /// Number of pictures that could be compared by their bytes only.
    pub incomplete: u64,
}

/// Finds the links between pictures.
///
/// # Errors
/// If the database fails.
pub(super) fn find_links(
    store: &Store,
    model: Option<&StoredModel>,
    prints: &[Fingerprint],
    query: &DupeQuery,
) -> Result<Links> {
    let items = prints.iter().enumerate().map(|(item, print)| (print.image, item)).collect();
    let mut search = LinkSearch { store, prints, items, structures: HashMap::new(), found: Links::default() };
    let mut compared = search.find_near()?;
    if let (DupeTier::Similar, Some(model)) = (query.tier, model) {
        compared = search.find_similar(model, query.threshold)?;
    }
    Ok(Links { incomplete: (prints.len() - compared) as u64, ..search.found })
}

struct LinkSearch<'a> {
    store: &'a Store,
    prints: &'a [Fingerprint],
    items: HashMap<ImageId, usize>,
    structures: HashMap<(usize, Turn), Rc<Structure>>,
    found: Links,
}

impl LinkSearch<'_> {
    /// Finds near copies, and returns the number of pictures that could be compared.
    fn find_near(&mut self) -> Result<usize> {
        let (mut rows, mut layouts) = (Vec::new(), Vec::new());
        self.store.for_each_miniature(|image, miniature| {
            if let Some(item) = self.items.get(&image) {
                rows.push(*item);
                layouts.push(miniature.layout());
            }
        })?;
        let mut linked = HashSet::new();
        for (a, b, turn) in candidates(&layouts) {
            let (a, b) = (rows[a as usize], rows[b as usize]);
            let pair = (a.min(b), a.max(b));
            if a == b || linked.contains(&pair) {
                continue;
            }
            let (Some(first), Some(second)) = (self.structure(a, Turn::NONE)?, self.structure(b, turn)?) else {
                continue;
            };
            let likeness = first.compare(&second);
            if are_near(&likeness, self.prints[a].is_photo && self.prints[b].is_photo) {
                linked.insert(pair);
                let score = likeness.correlation;
                self.found.links.push(Link { a: pair.0, b: pair.1, tier: DupeTier::Near, score });
                self.found.colors.insert(a, first.mean_chroma());
                self.found.colors.insert(b, second.mean_chroma());
            }
        }
        Ok(rows.len())
    }

    /// Finds similar photographs, and returns the number of pictures that could be compared.
    fn find_similar(&mut self, model: &StoredModel, threshold: f32) -> Result<usize> {
        let mut signs = SignTable::new(model.dimension);
        // The photographs in the table, with their vectors and hashes.
        let (mut rows, mut compared) = (Vec::new(), 0);
        self.store.for_each_vector(model.row, VectorId(0), |vector| {
            if let Some(&item) = self.items.get(&vector.image)
                && let Some(hashes) = self.prints[item].hashes
            {
                compared += 1;
                // The vectors of different drawings, pages of text and screenshots are often almost equal.
                if !self.prints[item].is_photo {
                    return Ok(());
                }
                signs.push(&vector.embedding);
                rows.push((item, vector.id, hashes));
            }
            Ok(())
        })?;
        let linked: HashSet<(usize, usize)> = self.found.links.iter().map(|link| (link.a, link.b)).collect();
        // The pairs are grouped by their first picture, whose vector is read once.
        for with_same_first in signs.pairs(threshold).chunk_by(|x, y| x.0 == y.0) {
            let (a, id, hashes) = rows[with_same_first[0].0 as usize];
            let Some(first) = self.store.vector(id, model.row)? else { continue };
            for (_, other) in with_same_first {
                let (b, id, other) = rows[*other as usize];
                let pair = (a.min(b), a.max(b));
                if linked.contains(&pair) {
                    continue;
                }
                let Some(second) = self.store.vector(id, model.row)? else { continue };
                let score = first.embedding.cosine(&second.embedding);
                let bits = (hashes.0 ^ other.0).count_ones() + (hashes.1 ^ other.1).count_ones();
                if are_similar(score, bits, threshold) {
                    self.found.links.push(Link { a: pair.0, b: pair.1, tier: DupeTier::Similar, score });
                }
            }
        }
        Ok(compared)
    }

    /// The structure of a turned picture; `None` if it has no miniature.
    fn structure(&mut self, item: usize, turn: Turn) -> Result<Option<Rc<Structure>>> {
        /// Maximum number of structures in memory, each of 6 kB.
        const MAX_CACHED: usize = 4096;
        if let Some(structure) = self.structures.get(&(item, turn)) {
            return Ok(Some(structure.clone()));
        }
        let Some(miniature) = self.store.miniature(self.prints[item].image)? else { return Ok(None) };
        if self.structures.len() == MAX_CACHED {
            self.structures.clear();
        }
        let structure = Rc::new(Structure::from(&miniature.turned(turn)));
        self.structures.insert((item, turn), structure.clone());
        Ok(Some(structure))
    }
}

/// Pairs of layouts that may be near copies, the second one after a turn. A pair may occur with several turns; the
/// pairs that are not turned come first.
fn candidates(layouts: &[[u64; LAYOUT_WORDS]]) -> Vec<(u32, u32, Turn)> {
    let table = |turn: Turn| {
        let mut table = BitTable::new(LAYOUT_WORDS);
        layouts.iter().for_each(|layout| table.push(Miniature::turned_layout(*layout, turn)));
        table
    };
    let upright = table(Turn::NONE);
    let mut all: Vec<_> = upright.pairs(MAX_LAYOUT_BITS).into_iter().map(|(a, b)| (a, b, Turn::NONE)).collect();
    for turn in Turn::OTHERS {
        all.extend(upright.pairs_with(&table(turn), MAX_TURNED_BITS).into_iter().map(|(a, b)| (a, b, turn)));
    }
    all
}
