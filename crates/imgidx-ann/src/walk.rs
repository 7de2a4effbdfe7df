//! Searching a graph along its links.

use std::collections::BinaryHeap;

use super::best::{Best, Scored};
use super::links::RowLists;
use super::scores::Scores;

/// How much of a graph a search visits.
///
/// 1-bit codes are a rough measure: the nearest rows are among many that seem nearest. A row is scored even if it is
/// never expanded, so keeping many rows is much cheaper than expanding many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Breadth {
    /// Candidates that may be expanded: `ef` of the HNSW paper.
    pub ef: usize,
    /// Rows to return, the best of all that were scored. They are then compared by their 8-bit codes.
    pub kept: usize,
}

impl Breadth {
    /// Minimum number of rows to keep for a query.
    const MIN_KEPT: usize = 1024;

    /// For a query: keeps more rows than it expands.
    pub(crate) fn of_query(ef: usize) -> Self {
        Self { ef, kept: Self::MIN_KEPT.max(2 * ef) }
    }

    /// For finding link candidates: keeps as many rows as it expands.
    pub(crate) fn of_links(ef: usize) -> Self {
        Self { ef, kept: ef }
    }
}

/// Maximum number of rows that a search starts from.
const MAX_STARTS: usize = 32;

/// Algorithm 2 of the HNSW paper. Starts from the nearest of the rows in `seen`, which are already scored and in
/// `visited`. Returns the best rows that were scored, in no particular order.
pub(super) fn walk(
    scores: &impl Scores,
    neighbors: &RowLists,
    mut seen: Vec<Scored>,
    breadth: Breadth,
    visited: &mut Visited,
) -> Vec<Scored> {
    let starts = seen.len().min(MAX_STARTS);
    if seen.len() > MAX_STARTS {
        seen.select_nth_unstable_by(MAX_STARTS, |a, b| b.cmp(a));
    }
    let mut best = Best::new(breadth.ef.max(1));
    let mut candidates: BinaryHeap<Scored> = seen[..starts].iter().copied().collect();
    candidates.iter().for_each(|start| best.offer(*start));
    let mut unseen: Vec<u32> = Vec::with_capacity(64);
    while let Some(candidate) = candidates.pop() {
        if best.lowest().is_some_and(|lowest| candidate < lowest) {
            break;
        }
        unseen.clear();
        for row in neighbors.of(candidate.row() as usize) {
            if visited.insert(*row) {
                // The codes of all neighbours are fetched while the first ones are compared.
                scores.prefetch(*row);
                unseen.push(*row);
            }
        }
        for row in &unseen {
            let entry = scores.score(*row);
            seen.push(entry);
            if best.lowest().is_none_or(|lowest| lowest < entry) {
                best.offer(entry);
                candidates.push(entry);
            }
        }
    }
    if seen.len() > breadth.kept {
        seen.select_nth_unstable_by(breadth.kept, |a, b| b.cmp(a));
        seen.truncate(breadth.kept);
    }
    seen
}

/// A set of rows.
#[derive(Debug, Default)]
pub(super) struct Visited {
    words: Vec<u64>,
}

impl Visited {
    /// A set with the given members, for `rows` rows.
    pub(crate) fn of(rows: usize, members: &[u32]) -> Self {
        let mut set = Self { words: vec![0; rows.div_ceil(64)] };
        for row in members {
            set.insert(*row);
        }
        set
    }

    /// Becomes equal to another set. Copies one bit per row, without allocation if this set has been used before.
    pub(crate) fn become_like(&mut self, other: &Self) {
        self.words.clone_from(&other.words);
    }

    /// Inserts a row, and returns whether it was not in the set before.
    #[inline(always)]
    fn insert(&mut self, row: u32) -> bool {
        let (word, bit) = (&mut self.words[row as usize / 64], 1_u64 << (row % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}
