//! Duplicates: identical files, near copies and similar pictures.
//!
//! Candidate pairs come from the hashes ([`BitTable`]) and the signs of all vectors ([`SignTable`]), which avoids
//! comparing every picture with every other one. The tier of a pair depends on the cosine of its vectors and on the
//! number of bits in which its hashes differ. Hashes alone would match pictures that share nothing but a dark upper
//! half, and vectors alone would match pictures that show the same kind of thing.

mod groups;
mod redundant;
mod rule;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use self::groups::{Link, Member, groups};
pub(crate) use self::redundant::find_redundant;
pub use self::redundant::{Redundant, RedundantFile, Withheld, WithheldFile};
pub use self::rule::{DupeTier, SIMILAR_THRESHOLD};
use self::rule::{MAX_CANDIDATE_BITS, tier};
use super::filter::Filter;
use crate::ann::{BitTable, SignTable};
use crate::error::Result;
use crate::store::{Fingerprint, Store, StoredModel};
use crate::types::{ContentHash, VectorId};

/// A query for duplicates.
#[derive(Debug, Clone, PartialEq)]
pub struct DupeQuery {
    /// The loosest tier.
    pub tier: DupeTier,
    /// Minimum similarity of similar pictures: the cosine of their vectors, minus 0.0015 for each differing bit of
    /// their hashes beyond 32.
    pub threshold: f32,
    /// Only pictures that pass this filter are compared.
    pub filter: Filter,
}

impl Default for DupeQuery {
    fn default() -> Self {
        Self { tier: DupeTier::Similar, threshold: SIMILAR_THRESHOLD, filter: Filter::default() }
    }
}

/// A group of duplicates.
#[derive(Debug, Clone, PartialEq)]
pub struct DupeGroup {
    /// The loosest tier of its pictures.
    pub tier: DupeTier,
    /// The minimum cosine of a picture in the group to its central picture.
    pub score: f32,
    /// The contents, best first: most pixels, then most bytes.
    pub pictures: Vec<DupePicture>,
}

/// A content in a group.
#[derive(Debug, Clone, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct DupePicture {
    /// BLAKE3 digest of its content.
    #[schemars(with = "String")]
    pub image: ContentHash,
    /// Width of the upright picture in pixels.
    pub width: u32,
    /// Height of the upright picture in pixels.
    pub height: u32,
    /// Length in bytes.
    pub bytes: u64,
    /// Cosine to the central picture of the group; 1 for that picture itself.
    pub score: f32,
    /// The files that hold it.
    #[serde(skip)]
    pub paths: Vec<PathBuf>,
}

/// The answer to a [`DupeQuery`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DupeAnswer {
    /// The groups: exact ones first, then near and similar ones, and the largest first within each tier.
    pub groups: Vec<DupeGroup>,
    /// Number of pairs of contents that were left out because they are dismissed.
    pub dismissed: u64,
    /// Number of pictures without features or without a vector, for which only exact copies are found.
    pub incomplete: u64,
}

/// Finds duplicates.
///
/// # Errors
/// If the database fails.
pub(crate) fn find_dupes(store: &Store, model: Option<&StoredModel>, query: &DupeQuery) -> Result<DupeAnswer> {
    let prints = store.fingerprints(&query.filter.selection(store)?)?;
    let dismissed = dismissed_pairs(store, &prints)?;
    let mut answer = DupeAnswer::default();
    let mut links = Vec::new();
    if let (true, Some(model)) = (query.tier > DupeTier::Exact, model) {
        (links, answer.incomplete) = links_among(store, model, &prints, query)?;
    }
    let is_dismissed = |link: &&Link| dismissed.contains(&(link.a, link.b));
    answer.dismissed = links.iter().filter(is_dismissed).count() as u64;
    let rank = ranks(&prints);
    let mut grouped = HashSet::new();
    for members in groups(prints.len(), &links, |item| rank[item], &dismissed) {
        grouped.extend(members.iter().map(|member| member.item));
        answer.groups.push(group(store, &prints, members, &rank)?);
    }
    for (item, _) in prints.iter().enumerate().filter(|(_, print)| print.files > 1) {
        if dismissed.contains(&(item, item)) {
            answer.dismissed += 1;
        } else if !grouped.contains(&item) {
            let alone = vec![Member { item, tier: DupeTier::Exact, cosine: 1.0 }];
            answer.groups.push(group(store, &prints, alone, &rank)?);
        }
    }
    let first = |group: &DupeGroup| group.pictures[0].paths.first().cloned();
    let files = |group: &DupeGroup| group.pictures.iter().map(|picture| picture.paths.len()).sum::<usize>();
    answer.groups.sort_by(|a, b| (a.tier, files(b), first(a)).cmp(&(b.tier, files(a), first(b))));
    Ok(answer)
}

/// The rank of each picture by quality, 0 for the best.
fn ranks(prints: &[Fingerprint]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..prints.len()).collect();
    let quality = |print: &Fingerprint| (u64::from(print.width) * u64::from(print.height), print.bytes);
    order.sort_by(|a, b| quality(&prints[*b]).cmp(&quality(&prints[*a])).then(a.cmp(b)));
    let mut ranks = vec![0; prints.len()];
    order.into_iter().enumerate().for_each(|(rank, item)| ranks[item] = rank);
    ranks
}

/// The dismissed pairs of items, the lower position first.
fn dismissed_pairs(store: &Store, prints: &[Fingerprint]) -> Result<HashSet<(usize, usize)>> {
    let items: HashMap<ContentHash, usize> =
        prints.iter().enumerate().map(|(item, print)| (print.hash, item)).collect();
    let pair = |(a, b): (ContentHash, ContentHash)| {
        let (a, b) = (*items.get(&a)?, *items.get(&b)?);
        Some((a.min(b), a.max(b)))
    };
    Ok(store.dismissals()?.into_iter().filter_map(pair).collect())
}

/// The links between near and similar pictures, and the number of pictures that could not be compared.
fn links_among(
    store: &Store,
    model: &StoredModel,
    prints: &[Fingerprint],
    query: &DupeQuery,
) -> Result<(Vec<Link>, u64)> {
    let by_image: HashMap<_, _> = prints.iter().enumerate().map(|(item, print)| (print.image, item)).collect();
    let (mut hashes, mut signs) = (BitTable::new(2), SignTable::new(model.dimension));
    // The pictures in these tables, with their vectors and hashes.
    let mut rows = Vec::new();
    store.for_each_vector(model.row, VectorId(0), |vector| {
        if let Some(&item) = by_image.get(&vector.image)
            && let Some((dhash, phash)) = prints[item].hashes
        {
            signs.push(&vector.embedding);
            hashes.push([dhash, phash]);
            rows.push((item, vector.id, dhash, phash));
        }
        Ok(())
    })?;
    let mut pairs = hashes.pairs(MAX_CANDIDATE_BITS);
    if query.tier == DupeTier::Similar {
        pairs.extend(signs.pairs(query.threshold));
    }
    pairs.sort_unstable();
    pairs.dedup();
    let mut links = Vec::new();
    // The pairs are grouped by their first picture, whose vector is read once.
    for with_same_first in pairs.chunk_by(|x, y| x.0 == y.0) {
        let (first, id, first_dhash, first_phash) = rows[with_same_first[0].0 as usize];
        let Some(vector) = store.vector(id, model.row)? else { continue };
        for (_, other) in with_same_first {
            let (second, id, dhash, phash) = rows[*other as usize];
            let Some(other) = store.vector(id, model.row)? else { continue };
            let cosine = vector.embedding.cosine(&other.embedding);
            let bits = (first_dhash ^ dhash).count_ones() + (first_phash ^ phash).count_ones();
            if let Some(tier) = tier(cosine, bits, query.threshold).filter(|tier| *tier <= query.tier) {
                links.push(Link { a: first.min(second), b: first.max(second), tier, cosine });
            }
        }
    }
    Ok((links, (prints.len() - rows.len()) as u64))
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
