//! Duplicates: the same bytes, near copies, and pictures that are only about the same.
//!
//! Candidates come from the hashes ([`BitTable`]) and the signs of all vectors ([`SignTable`]), so that pictures are not compared each
//! with each. A candidate's tier follows from the cosine of its vectors and the bits in which its hashes differ: hashes alone
//! take pictures for copies that share nothing but a dark upper half, and vectors alone two that show the same kind of thing.

mod groups;
mod redundant;
mod rule;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use self::groups::{Link, Member, groups};
pub(crate) use self::redundant::find_redundant;
pub use self::redundant::{Redundant, RedundantFile, Withheld, WithheldFile};
use self::rule::{CANDIDATE_BITS, Likeness, tier};
pub use self::rule::{DupeTier, SIMILAR};
use super::filter::Filter;
use crate::ann::{BitTable, SignTable};
use crate::error::Result;
use crate::store::{Fingerprint, Store, StoredModel};
use crate::types::{ContentHash, Embedding, VectorId};

/// What is looked for.
#[derive(Debug, Clone, PartialEq)]
pub struct DupeQuery {
    /// The loosest tier.
    pub tier: DupeTier,
    /// The likeness from which on pictures are similar: the cosine of their vectors, less 0.0015 for each bit over 32 in which their
    /// hashes differ.
    pub threshold: f32,
    /// Only among pictures that pass.
    pub filter: Filter,
}

impl Default for DupeQuery {
    fn default() -> Self {
        Self { tier: DupeTier::Similar, threshold: SIMILAR, filter: Filter::default() }
    }
}

/// Pictures that are copies of each other.
#[derive(Debug, Clone, PartialEq)]
pub struct DupeGroup {
    /// The loosest tier that a picture in it is in.
    pub tier: DupeTier,
    /// The least cosine in it, of a picture to the one in its centre.
    pub score: f32,
    /// The contents, the best one first: the one with the most pixels, and of those the one with the most bytes.
    pub pictures: Vec<DupePicture>,
}

/// A content in a group.
#[derive(Debug, Clone, PartialEq)]
pub struct DupePicture {
    /// Its digest.
    pub image: ContentHash,
    /// Width in pixels, upright.
    pub width: u32,
    /// Height in pixels, upright.
    pub height: u32,
    /// Length in bytes.
    pub bytes: u64,
    /// Cosine to the picture in the centre of its group; 1 for that one itself.
    pub score: f32,
    /// The files that hold it.
    pub paths: Vec<PathBuf>,
}

/// The answer to a [`DupeQuery`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DupeAnswer {
    /// The groups: exact ones first, then near and similar ones; large ones first.
    pub groups: Vec<DupeGroup>,
    /// Pairs of contents that were left out because somebody has dismissed them.
    pub dismissed: u64,
    /// Pictures without features or a vector, of which only exact copies can be told.
    pub incomplete: u64,
}

/// Finds duplicates.
///
/// # Errors
/// When the database fails.
pub(crate) fn find_dupes(store: &Store, model: Option<&StoredModel>, query: &DupeQuery) -> Result<DupeAnswer> {
    let selection = query.filter.selection(store)?;
    let prints = store.fingerprints(&selection)?;
    let dismissed = dismissed_pairs(store, &prints)?;
    let mut answer = DupeAnswer::default();
    let mut links = Vec::new();
    if let (true, Some(model)) = (query.tier > DupeTier::Exact, model) {
        let (found, incomplete) = links_among(store, model, &prints, query)?;
        (links, answer.incomplete) = (found, incomplete);
    }
    let is_dismissed = |link: &&Link| dismissed.contains(&(link.a, link.b));
    answer.dismissed = links.iter().filter(is_dismissed).count() as u64;
    let rank = ranks(&prints);
    let mut grouped = HashSet::new();
    for members in groups(prints.len(), &links, |item| rank[item], &dismissed) {
        grouped.extend(members.iter().map(|member| member.item));
        answer.groups.push(group(store, &prints, members, &rank)?);
    }
    for (item, print) in prints.iter().enumerate().filter(|(_, print)| print.files > 1) {
        if dismissed.contains(&(item, item)) {
            answer.dismissed += 1;
        } else if !grouped.contains(&item) {
            let alone = Member { item, tier: DupeTier::Exact, cosine: 1.0 };
            let group = group(store, std::slice::from_ref(print), vec![Member { item: 0, ..alone }], &[0])?;
            answer.groups.push(group);
        }
    }
    let first = |group: &DupeGroup| group.pictures[0].paths.first().cloned();
    let files = |group: &DupeGroup| group.pictures.iter().map(|picture| picture.paths.len()).sum::<usize>();
    answer.groups.sort_by(|a, b| (a.tier, files(b), first(a)).cmp(&(b.tier, files(a), first(b))));
    Ok(answer)
}

/// The place of each picture among all, the best first.
fn ranks(prints: &[Fingerprint]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..prints.len()).collect();
    let quality = |print: &Fingerprint| (u64::from(print.width) * u64::from(print.height), print.bytes);
    order.sort_by(|a, b| quality(&prints[*b]).cmp(&quality(&prints[*a])).then(a.cmp(b)));
    let mut ranks = vec![0; prints.len()];
    order.into_iter().enumerate().for_each(|(rank, item)| ranks[item] = rank);
    ranks
}

/// Pairs of items that are dismissed, the lower one first.
fn dismissed_pairs(store: &Store, prints: &[Fingerprint]) -> Result<HashSet<(usize, usize)>> {
    let dismissals = store.dismissals()?;
    if dismissals.is_empty() {
        return Ok(HashSet::new());
    }
    let items: HashMap<ContentHash, usize> =
        prints.iter().enumerate().map(|(item, print)| (print.hash, item)).collect();
    let pair = |(a, b): (ContentHash, ContentHash)| {
        let (a, b) = (*items.get(&a)?, *items.get(&b)?);
        Some((a.min(b), a.max(b)))
    };
    Ok(dismissals.into_iter().filter_map(pair).collect())
}

/// All pairs that are near or similar, and how many pictures could not be compared.
fn links_among(
    store: &Store,
    model: &StoredModel,
    prints: &[Fingerprint],
    query: &DupeQuery,
) -> Result<(Vec<Link>, u64)> {
    let by_image: HashMap<_, _> = prints.iter().enumerate().map(|(item, print)| (print.image, item)).collect();
    let mut signs = SignTable::new(model.dimension);
    let mut items = Vec::new();
    store.for_each_vector(model.row, VectorId(0), |vector| {
        if let Some(item) = by_image.get(&vector.image).filter(|item| prints[**item].hashes.is_some()) {
            signs.push(&vector.embedding);
            items.push((*item, vector.id));
        }
        Ok(())
    })?;
    let mut hashes = BitTable::new(2);
    items.iter().filter_map(|(item, _)| prints[*item].hashes).for_each(|(d, p)| hashes.push([d, p]));
    let mut pairs = hashes.pairs(CANDIDATE_BITS);
    if query.tier == DupeTier::Similar {
        pairs.extend(signs.pairs(query.threshold));
    }
    pairs.sort_unstable();
    pairs.dedup();
    let mut links = Vec::new();
    // Pairs come by their first ones, whose vectors are read once.
    for of_one in pairs.chunk_by(|x, y| x.0 == y.0) {
        let (first, id) = items[of_one[0].0 as usize];
        let Some(vector) = store.vector(id, model.row)? else { continue };
        for (_, other) in of_one {
            let (second, id) = items[*other as usize];
            let Some(likeness) = likeness(&prints[first], &prints[second], &vector.embedding, || {
                Ok(store.vector(id, model.row)?.map(|vector| vector.embedding))
            })?
            else {
                continue;
            };
            if let Some(tier) = tier(likeness, query.threshold).filter(|tier| *tier <= query.tier) {
                let (a, b) = (first.min(second), first.max(second));
                links.push(Link { a, b, tier, cosine: likeness.cosine });
            }
        }
    }
    Ok((links, (prints.len() - items.len()) as u64))
}

fn likeness(
    a: &Fingerprint,
    b: &Fingerprint,
    vector: &Embedding,
    other: impl FnOnce() -> Result<Option<Embedding>>,
) -> Result<Option<Likeness>> {
    let (Some((da, pa)), Some((db, pb))) = (a.hashes, b.hashes) else { return Ok(None) };
    let cosine = other()?.map(|other| vector.cosine(&other));
    Ok(cosine.map(|cosine| Likeness { cosine, dhash: (da ^ db).count_ones(), phash: (pa ^ pb).count_ones() }))
}

fn group(store: &Store, prints: &[Fingerprint], mut members: Vec<Member>, rank: &[usize]) -> Result<DupeGroup> {
    members.sort_by_key(|member| rank[member.item]);
    let pictures = members.iter().map(|member| {
        let Fingerprint { image, hash, width, height, bytes, .. } = prints[member.item];
        Ok(DupePicture { image: hash, width, height, bytes, score: member.cosine, paths: store.paths_of(image)? })
    });
    Ok(DupeGroup {
        tier: members.iter().map(|member| member.tier).max().unwrap_or(DupeTier::Exact),
        score: members.iter().map(|member| member.cosine).fold(1.0, f32::min),
        pictures: pictures.collect::<Result<_>>()?,
    })
}
