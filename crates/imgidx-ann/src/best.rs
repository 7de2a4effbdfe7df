//! The best rows so far.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A row with its score, in one number that orders as the score does, and falls with the row among equals.
///
/// Scores must not be NaN; codes and factors make none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scored(u64);

impl Scored {
    #[inline(always)]
    pub(crate) fn new(score: f32, row: u32) -> Self {
        let bits = score.to_bits();
        // IEEE 754 numbers order as integers do once the negative ones are turned round.
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

/// The highest scores so far, at most a certain number of them.
#[derive(Debug)]
pub(super) struct Best {
    capacity: usize,
    /// The lowest kept score is on top.
    heap: BinaryHeap<Reverse<Scored>>,
}

impl Best {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, heap: BinaryHeap::new() }
    }

    /// Takes a row in if it is among the best.
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

    /// The worst of the best, once there are as many as are wanted.
    #[inline]
    pub(crate) fn lowest(&self) -> Option<Scored> {
        if self.heap.len() < self.capacity { None } else { self.heap.peek().map(|entry| entry.0) }
    }

    pub(crate) fn merge(mut self, other: Self) -> Self {
        other.heap.into_iter().for_each(|entry| self.offer(entry.0));
        self
    }

    /// The best first.
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
        fn the_best_are_what_sorting_gives(
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
