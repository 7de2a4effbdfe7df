//! Collecting the best-scored rows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A row with its score, packed into one integer that sorts by score. Among equal scores, a lower row sorts higher.
///
/// Scores must not be NaN. Scores of codes never are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scored(u64);

impl Scored {
    #[inline(always)]
    pub(crate) fn new(score: f32, row: u32) -> Self {
        let bits = score.to_bits();
        // IEEE 754 numbers sort like integers once the bits of the negative ones are inverted and the sign bit of the
        // others is set.
        let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        Self(u64::from(ordered) << 32 | u64::from(!row))
    }

    pub(crate) fn score(self) -> f32 {
        let ordered = (self.0 >> 32) as u32;
        f32::from_bits(if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered })
    }

    pub(crate) fn row(self) -> u32 {
        !(self.0 as u32)
    }
}

/// A bounded heap of the highest scores so far.
#[derive(Debug)]
pub(super) struct Best {
    capacity: usize,
    /// The lowest score is on top.
    heap: BinaryHeap<Reverse<Scored>>,
}

impl Best {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, heap: BinaryHeap::new() }
    }

    /// Inserts a row if it is among the best.
    #[inline]
    pub(crate) fn offer(&mut self, entry: Scored) {
        if self.heap.len() < self.capacity {
            self.heap.push(Reverse(entry));
        } else if let Some(mut lowest) = self.heap.peek_mut()
            && lowest.0 < entry
        {
            *lowest = Reverse(entry);
        }
    }

    /// The lowest entry, once the heap is full.
    #[inline]
    pub(crate) fn lowest(&self) -> Option<Scored> {
        if self.heap.len() < self.capacity { None } else { self.heap.peek().map(|entry| entry.0) }
    }

    pub(crate) fn merge(mut self, other: Self) -> Self {
        other.heap.into_iter().for_each(|entry| self.offer(entry.0));
        self
    }

    /// The entries, best first.
    pub(crate) fn into_sorted(self) -> Vec<Scored> {
        self.heap.into_sorted_vec().into_iter().map(|entry| entry.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_best_equal_the_start_of_the_sorted_scores(
            scores in prop::collection::vec((-3..3_i8).prop_map(|x| f32::from(x) / 2.0), 0..200),
            capacity in 0..50_usize,
            cut in 0..200_usize,
        ) {
            let rows: Vec<Scored> = scores.iter().enumerate().map(|(row, s)| Scored::new(*s, row as u32)).collect();
            let (first, second) = rows.split_at(cut.min(rows.len()));
            let best = [first, second].map(|part| {
                let mut best = Best::new(capacity);
                part.iter().for_each(|entry| best.offer(*entry));
                best
            });
            let [first, second] = best;
            let found: Vec<_> = first.merge(second).into_sorted().iter().map(|s| (s.score(), s.row())).collect();
            let mut expected: Vec<_> = scores.iter().copied().zip(0_u32..).collect();
            expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            expected.truncate(capacity);
            prop_assert_eq!(found, expected);
        }
    }
}
