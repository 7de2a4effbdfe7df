//! Scores of rows by their codes, for graph searches. All codes must have been verified.

use super::best::Scored;
use super::bits::{self, BitQuery};
use super::kernels::{dot, hamming, masked_sum, prefetch};
use super::quantized::QuantizedVectors;

const CHECKED: &str = "a graph is used only over verified codes";

/// Scores of rows against a query.
pub(super) trait Scores {
    /// Prefetches what [`Scores::score`] will read.
    fn prefetch(&self, row: u32);
    /// The score of a row.
    fn score(&self, row: u32) -> Scored;
}

/// Scores by 8-bit codes.
#[derive(Debug)]
pub(super) struct CodeScores<'a> {
    query: &'a [i8],
    codes: &'a [i8],
    factors: &'a [f32],
}

impl<'a> CodeScores<'a> {
    pub(crate) fn new(codes: &'a QuantizedVectors, query: &'a [i8]) -> Self {
        let block = codes.block(0..codes.len()).expect(CHECKED);
        Self { query, codes: block.codes, factors: block.factors }
    }

    #[inline(always)]
    fn code(&self, row: u32) -> &[i8] {
        let at = row as usize * self.query.len();
        &self.codes[at..at + self.query.len()]
    }
}

impl Scores for CodeScores<'_> {
    #[inline(always)]
    fn prefetch(&self, row: u32) {
        prefetch(self.code(row));
    }

    #[inline(always)]
    fn score(&self, row: u32) -> Scored {
        Scored::new(dot(self.query, self.code(row)) as f32 * self.factors[row as usize], row)
    }
}

/// Scores by 1-bit codes, which read an eighth of the memory.
#[derive(Debug)]
pub(super) struct BitScores<'a> {
    query: &'a BitQuery,
    rows: &'a [u64],
    words: usize,
}

impl<'a> BitScores<'a> {
    pub(crate) fn new(query: &'a BitQuery, rows: &'a [u64], words: usize) -> Self {
        Self { query, rows, words }
    }

    /// The score of a row, given its 1-bit code.
    #[inline(always)]
    pub(crate) fn score_bits(&self, row: u32, bits: &[u64]) -> Scored {
        Scored::new(self.query.score(masked_sum(&self.query.planes, bits), bits), row)
    }

    #[inline(always)]
    fn bits(&self, row: u32) -> &[u64] {
        let at = row as usize * self.words;
        &self.rows[at..at + self.words]
    }
}

impl Scores for BitScores<'_> {
    #[inline(always)]
    fn prefetch(&self, row: u32) {
        prefetch(self.bits(row));
    }

    #[inline(always)]
    fn score(&self, row: u32) -> Scored {
        self.score_bits(row, self.bits(row))
    }
}

/// Rough but fast distances of rows by their 1-bit codes: the fraction of signs that differ, which estimates the angle
/// between the rows as seen from the mean, divided by π (Charikar, STOC 2002).
#[derive(Debug)]
pub(super) struct BitDistances<'a> {
    rows: &'a [u64],
    words: usize,
    dimension: usize,
}

impl<'a> BitDistances<'a> {
    /// `None` if there are no 1-bit codes.
    pub(crate) fn new(codes: &'a QuantizedVectors) -> Option<Self> {
        codes.mean()?;
        let rows = codes.bit_rows(0..codes.len()).expect(CHECKED);
        Some(Self { rows, words: bits::words(codes.dimension()), dimension: codes.dimension() })
    }

    /// The distance of two rows, 0 to 1.
    #[inline(always)]
    pub(crate) fn distance(&self, a: u32, b: u32) -> f32 {
        let row = |row: u32| &self.rows[row as usize * self.words..(row as usize + 1) * self.words - 1];
        hamming(row(a), row(b)) as f32 / self.dimension as f32
    }
}

/// The cosine of two rows, estimated from their 8-bit codes.
pub(super) fn cosine(codes: &QuantizedVectors, a: u32, b: u32) -> f32 {
    let block = |row: u32| codes.block(row as usize..row as usize + 1).expect(CHECKED);
    let (a, b) = (block(a), block(b));
    dot(a.codes, b.codes) as f32 * a.factors[0] * b.factors[0]
}
