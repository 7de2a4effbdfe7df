//! Duplicates: identical files, near copies and similar pictures.
//!
//! Near copies are recognised by their miniatures, which show fine structure and colours, in all eight orientations.
//! Similar photographs are recognised by their vectors. Those of different drawings, pages and screenshots are often
//! almost equal.

mod arrange;
mod groups;
mod keep;
mod links;
mod plain_name;
mod redundant;
mod rule;
mod verify;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use self::arrange::arrange;
use self::groups::{Link, Member, groups};
pub use self::keep::{KeepRule, KeepRules};
use self::links::{Links, find_links};
pub(crate) use self::redundant::find_redundant;
pub use self::redundant::{Redundant, RedundantFile, WithheldFile};
use self::rule::differ_in_color;
pub use self::rule::{DupeTier, SIMILAR_THRESHOLD};
pub use self::verify::Withheld;
pub(crate) use self::verify::{PairError, Verified, VerifiedPair, verify_pair};
use super::filter::Filter;
use crate::error::Result;
use crate::store::{Fingerprint, Selection, Store, StoredModel};
use crate::types::ContentHash;

/// A query for duplicates.
#[derive(Debug, Clone, PartialEq)]
pub struct DupeQuery {
    /// The loosest tier.
    pub tier: DupeTier,
    /// Minimum similarity of similar pictures: the cosine of their vectors, minus 0.0015 for each differing bit of
    /// their hashes beyond 32.
    pub threshold: f32,
    /// Only pictures that pass this filter are compared, and only their files that pass are listed.
    pub filter: Filter,
    /// Which file of a group is the best one.
    pub keep: KeepRules,
}

impl Default for DupeQuery {
    fn default() -> Self {
        let (filter, keep) = (Filter::default(), KeepRules::default());
        Self { tier: DupeTier::Similar, threshold: SIMILAR_THRESHOLD, filter, keep }
    }
}

/// A group of duplicates.
#[derive(Debug, Clone, PartialEq)]
pub struct DupeGroup {
    /// The loosest tier of its pictures.
    pub tier: DupeTier,
    /// The minimum score of its pictures.
    pub score: f32,
    /// The contents, best first by the [`KeepRules`] of the query.
    pub pictures: Vec<DupePicture>,
    /// Number of files other than the best one, without its hard links.
    pub other_files: u64,
    /// Bytes that these files take, hard links counted once.
    pub other_bytes: u64,
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
    /// Likeness to the central picture of the group: the correlation of the structure of near copies, the cosine of
    /// similar pictures; 1 for the central picture itself.
    pub score: f32,
    /// The files that hold it, the one to keep first.
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
    /// Number of pictures that are not measured or, for similar pictures, have no vector yet: only exact copies of them
    /// are found.
    pub incomplete: u64,
}

/// Finds duplicates.
///
/// # Errors
/// If the database fails.
pub(crate) fn find_dupes(store: &Store, model: Option<&StoredModel>, query: &DupeQuery) -> Result<DupeAnswer> {
    let selection = query.filter.selection(store)?;
    let prints = store.fingerprints(&selection)?;
    let files = Selection { under: selection.under, ..Selection::default() };
    let keep = query.keep.resolved();
    let dismissed = dismissed_pairs(store, &prints)?;
    let mut answer = DupeAnswer::default();
    let Links { links, colors, incomplete } = match query.tier {
        DupeTier::Exact => Links::default(),
        DupeTier::Near | DupeTier::Similar => find_links(store, model, &prints, query)?,
    };
    answer.incomplete = incomplete;
    let is_dismissed = |link: &&Link| dismissed.contains(&(link.a, link.b));
    answer.dismissed = links.iter().filter(is_dismissed).count() as u64;
    let rank = ranks(&prints);
    let conflict = |a, b| colors.get(&a).zip(colors.get(&b)).is_some_and(|(a, b)| differ_in_color(*a, *b));
    let mut grouped = HashSet::new();
    for members in groups(prints.len(), &links, |item| rank[item], &dismissed, conflict) {
        grouped.extend(members.iter().map(|member| member.item));
        answer.groups.push(arrange(store, &prints, &members, &files, &keep)?);
    }
    for (item, _) in prints.iter().enumerate().filter(|(_, print)| print.files > 1) {
        if dismissed.contains(&(item, item)) {
            answer.dismissed += 1;
        } else if !grouped.contains(&item) {
            let alone = vec![Member { item, tier: DupeTier::Exact, score: 1.0 }];
            answer.groups.push(arrange(store, &prints, &alone, &files, &keep)?);
        }
    }
    let first = |group: &DupeGroup| group.pictures[0].paths.first().cloned();
    let files = |group: &DupeGroup| group.pictures.iter().map(|picture| picture.paths.len()).sum::<usize>();
    answer.groups.sort_by(|a, b| (a.tier, files(b), first(a)).cmp(&(b.tier, files(a), first(b))));
    Ok(answer)
}

/// The rank of each picture by size, 0 for the largest: of pictures with equally many links, it becomes the centre.
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
