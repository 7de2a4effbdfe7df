//! The exact scan: codes choose candidates, stored vectors rank them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rayon::prelude::*;

use super::codes::Codes;
use super::quantize;
use crate::error::Result;
use crate::types::{Embedding, VectorId};

/// A vector near the query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    /// Which one.
    pub id: VectorId,
    /// Its cosine to the query, -1 to 1.
    pub score: f32,
}

/// How an answer was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Every vector was looked at.
    Scan,
}

/// Where the vectors themselves are: the database, for one model.
pub trait VectorSource {
    /// A vector, if it is still there and may be in an answer.
    fn vector(&self, id: VectorId) -> Result<Option<Embedding>>;

    /// Calls `each` with all vectors whose ids come after `after`, in their order.
    fn for_each_after(&self, after: VectorId, each: &mut dyn FnMut(VectorId, &Embedding)) -> Result<()>;
}

/// The neighbours of one model's vectors.
#[derive(Debug)]
pub struct VectorIndex {
    codes: Option<Codes>,
}

/// Candidates that are ranked by their stored vectors, for each one that is wanted: codes of 8 bits rarely put a
/// neighbour further down than that.
const CANDIDATES_PER_RESULT: usize = 4;
const MORE_CANDIDATES: usize = 64;

/// Vectors that one task of the scan looks at.
const CHUNK: usize = 4096;

impl VectorIndex {
    /// An index over codes, or over nothing but the database.
    pub fn new(codes: Option<Codes>) -> Self {
        Self { codes }
    }

    /// How answers are found.
    pub fn method(&self) -> Method {
        Method::Scan
    }

    /// The `count` vectors nearest to the query, the nearest first: exactly that many if that many are there.
    ///
    /// `accept` says whether a vector that is there may be in the answer.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn nearest(
        &self,
        query: &Embedding,
        count: usize,
        source: &dyn VectorSource,
        accept: &mut dyn FnMut(VectorId) -> Result<bool>,
    ) -> Result<Vec<Neighbor>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let newer = self.newer_than_codes(query, source)?;
        let mut wanted = count.saturating_mul(CANDIDATES_PER_RESULT).saturating_add(MORE_CANDIDATES);
        loop {
            let coded = self.scan_codes(query, wanted);
            let exhausted = coded.len() < wanted;
            let mut found = Vec::new();
            for id in coded {
                if let Some(vector) = source.vector(id)?
                    && accept(id)?
                {
                    found.push(Neighbor { id, score: query.cosine(&vector) });
                }
            }
            // Newer vectors must not make up for candidates that were turned down: nearer ones may come behind those.
            let enough = found.len() >= count || exhausted;
            let mut accepted = 0;
            for neighbor in &newer {
                if accepted < count && accept(neighbor.id)? {
                    found.push(*neighbor);
                    accepted += 1;
                }
            }
            if enough {
                found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
                found.truncate(count);
                return Ok(found);
            }
            wanted = wanted.saturating_mul(4);
        }
    }

    /// Exact scores of what was stored after the codes were written.
    fn newer_than_codes(&self, query: &Embedding, source: &dyn VectorSource) -> Result<Vec<Neighbor>> {
        let after = self.codes.as_ref().map_or(VectorId(0), |codes| codes.status().last);
        let mut found = Vec::new();
        source.for_each_after(after, &mut |id, vector| found.push(Neighbor { id, score: query.cosine(vector) }))?;
        found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
        Ok(found)
    }

    /// The ids whose codes are nearest to the query's, at most `wanted`, on all cores.
    fn scan_codes(&self, query: &Embedding, wanted: usize) -> Vec<VectorId> {
        let Some(codes) = &self.codes else { return Vec::new() };
        let mut query_code = Vec::with_capacity(query.dimension());
        quantize::encode(query.as_slice(), &mut query_code);
        let scan_chunk = |start: usize| {
            let mut best = Best::new(wanted);
            for row in start..(start + CHUNK).min(codes.len()) {
                let score = quantize::dot(&query_code, codes.code(row)) as f32 * codes.factor(row);
                best.offer(score, row);
            }
            best
        };
        let starts: Vec<usize> = (0..codes.len()).step_by(CHUNK).collect();
        let best = if starts.len() > 1 {
            starts.into_par_iter().map(scan_chunk).reduce(|| Best::new(wanted), Best::merge)
        } else {
            starts.into_iter().map(scan_chunk).fold(Best::new(wanted), Best::merge)
        };
        best.into_rows().into_iter().map(|row| codes.id(row)).collect()
    }
}

/// The highest scores so far, at most a certain number of them.
struct Best {
    capacity: usize,
    /// The lowest kept score is on top.
    heap: BinaryHeap<Reverse<(TotalScore, Reverse<usize>)>>,
}

/// A score that can be ordered; codes and factors make no NaN.
#[derive(PartialEq, Clone, Copy)]
struct TotalScore(f32);

impl Eq for TotalScore {}

impl PartialOrd for TotalScore {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TotalScore {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Best {
    fn new(capacity: usize) -> Self {
        Self { capacity, heap: BinaryHeap::new() }
    }

    fn offer(&mut self, score: f32, row: usize) {
        let entry = Reverse((TotalScore(score), Reverse(row)));
        if self.heap.len() < self.capacity {
            self.heap.push(entry);
        } else if self.heap.peek().is_some_and(|lowest| entry < *lowest) {
            self.heap.pop();
            self.heap.push(entry);
        }
    }

    fn merge(mut self, other: Self) -> Self {
        for Reverse((score, Reverse(row))) in other.heap {
            self.offer(score.0, row);
        }
        self
    }

    fn into_rows(self) -> Vec<usize> {
        self.heap.into_sorted_vec().into_iter().map(|Reverse((_, Reverse(row)))| row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ModelId;
    use proptest::prelude::*;

    /// A source in memory.
    struct Vectors(Vec<(VectorId, Embedding)>);

    impl VectorSource for Vectors {
        fn vector(&self, id: VectorId) -> Result<Option<Embedding>> {
            Ok(self.0.iter().find(|(known, _)| *known == id).map(|(_, vector)| vector.clone()))
        }

        fn for_each_after(&self, after: VectorId, each: &mut dyn FnMut(VectorId, &Embedding)) -> Result<()> {
            self.0.iter().filter(|(id, _)| *id > after).for_each(|(id, vector)| each(*id, vector));
            Ok(())
        }
    }

    fn naive(vectors: &Vectors, query: &Embedding, count: usize, odd_only: bool) -> Vec<VectorId> {
        let mut all: Vec<(f32, VectorId)> = vectors.0.iter().map(|(id, v)| (query.cosine(v), *id)).collect();
        all.retain(|(_, id)| !odd_only || id.0 % 2 == 1);
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        all.into_iter().take(count).map(|(_, id)| id).collect()
    }

    fn vector() -> impl Strategy<Value = Embedding> {
        // Few distinct directions, so that there are equal vectors too.
        prop::collection::vec(-2..=2_i8, 8)
            .prop_filter_map("no direction", |v| Embedding::normalized(v.into_iter().map(f32::from).collect()).ok())
    }

    proptest! {
        #[test]
        fn the_scan_gives_what_a_naive_search_gives(
            vectors in prop::collection::vec(vector(), 0..400),
            query in vector(),
            covered in 0..400_usize,
            dead in 0..300_usize,
            dead_are_near: bool,
            count in 0..50_usize,
            odd_only: bool,
        ) {
            let dir = tempfile::tempdir().expect("a folder");
            let model = ModelId::from([1; 32]);
            let mut all: Vec<_> = vectors.into_iter().enumerate().map(|(i, v)| (VectorId(i as i64 + 1), v)).collect();
            let covered = covered.min(all.len());
            let status = Codes::write(dir.path(), &model, 8, |each| {
                all[..covered].iter().try_for_each(|(id, v)| each(*id, v.as_slice()))
            }).expect("it can be written");
            // Rows that were deleted after the codes were written: any, or just the best candidates.
            if dead_are_near {
                all[..covered].sort_by(|a, b| query.cosine(&b.1).total_cmp(&query.cosine(&a.1)));
            }
            all.drain(..dead.min(covered));
            all.sort_by_key(|(id, _)| *id);
            let source = Vectors(all);
            let index = VectorIndex::new(Codes::open(dir.path(), &model, 8, &status.checksum.to_hex()));
            let accept = &mut |id: VectorId| Ok(!odd_only || id.0 % 2 == 1);
            let found = index.nearest(&query, count, &source, accept).expect("memory can be read");
            let expected = naive(&source, &query, count, odd_only);
            prop_assert_eq!(found.len(), expected.len());
            // Ties at the border may fall either way only among equal scores.
            for (found, expected) in found.iter().zip(expected) {
                let expected = query.cosine(&source.vector(expected).expect("memory").expect("it is there"));
                prop_assert!((found.score - expected).abs() < 1e-6);
            }
        }
    }
}
