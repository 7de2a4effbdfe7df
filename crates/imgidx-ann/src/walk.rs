//! Searching along links.

use std::collections::BinaryHeap;

use super::best::{Best, Scored};
use super::links::ListsView;
use super::scores::Scores;

/// How much of a graph a search looks at.
///
/// Bits are a rough measure: the nearest rows are among many that seem nearest. But those need not be gone on from to
/// be seen, so that it is much cheaper to keep many than to go on from many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Breadth {
    /// Candidates that may be gone on from: `ef` of the HNSW paper.
    pub ef: usize,
    /// Rows that are compared by their codes of 8 bits: the best of all that were seen.
    pub kept: usize,
}

impl Breadth {
    /// What is kept for a query, at least.
    const KEPT: usize = 1024;

    /// For a query: keeps more than it goes on from.
    pub(crate) fn of_query(ef: usize) -> Self {
        Self { ef, kept: Self::KEPT.max(2 * ef) }
    }

    /// For finding what to link to.
    pub(crate) fn of_links(ef: usize) -> Self {
        Self { ef, kept: ef }
    }
}

/// Starts that are gone on from.
const STARTS: usize = 32;

/// Algorithm 2 of the HNSW paper, from the nearest of some rows that have been seen and visited. Gives the best rows
/// that were seen, in no order.
pub(super) fn walk(
    scores: &impl Scores,
    neighbors: ListsView<'_>,
    mut seen: Vec<Scored>,
    breadth: Breadth,
    visited: &mut Visited,
) -> Vec<Scored> {
    let starts = seen.len().min(STARTS);
    if seen.len() > STARTS {
        seen.select_nth_unstable_by(STARTS, |a, b| b.cmp(a));
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
                // The codes of all neighbours are on their way while the first are compared.
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
    /// A set of some of so many rows.
    pub(crate) fn of(rows: usize, members: &[u32]) -> Self {
        let mut set = Self { words: vec![0; rows.div_ceil(64)] };
        for row in members {
            set.insert(*row);
        }
        set
    }

    /// Takes over what another set has. That is an eighth of a byte for each row there is, and no allocation.
    pub(crate) fn become_like(&mut self, other: &Self) {
        self.words.clone_from(&other.words);
    }

    /// Whether the row was not in the set.
    #[inline(always)]
    fn insert(&mut self, row: u32) -> bool {
        let (word, bit) = (&mut self.words[row as usize / 64], 1_u64 << (row % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}
