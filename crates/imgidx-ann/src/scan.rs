//! Scanning codes on all cores: 1-bit codes first, if there are any, then 8-bit codes.

use std::ops::Range;

use rayon::prelude::*;

use super::best::{Best, Scored};
use super::bits::{self, BitQuery};
use super::delta_buffer::DeltaBuffer;
use super::kernels::{dot, masked_sum, prefetch};
use super::quantized::{Block, QuantizedVectors};
use super::scalar;
use super::sealed::Damaged;
use imgidx_types::VectorId;

/// Rows that one task scans, and rows that it reads at a time: few enough to stay in the cache from verification to
/// comparison.
const ROWS_PER_TASK: usize = 4096;
const ROWS_PER_BLOCK: usize = 256;
/// How many rows ahead 1-bit codes are prefetched.
const PREFETCH_ROWS: usize = 16;

/// Candidates that 1-bit codes propose for each requested row, and their minimum number. Measured on embeddings of
/// 1280 components: 256 proposals always contained the ten nearest of 100,000.
const PROPOSALS_PER_ROW: usize = 8;
const MIN_PROPOSALS: usize = 1024;

/// All codes: the rows of the file, followed by the rows in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct CodedRows<'a> {
    pub file: Option<&'a QuantizedVectors>,
    pub recent: Option<&'a DeltaBuffer>,
}

/// An encoded query.
#[derive(Debug)]
pub(super) struct CodedQuery {
    pub code: Vec<i8>,
    factor: f32,
    pub bits: Option<BitQuery>,
}

/// How many cores a scan may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cores {
    One,
    All,
}

/// A contiguous part of the rows.
#[derive(Debug, Clone)]
enum Piece {
    File(Range<usize>),
    DeltaBuffer(usize),
}

impl<'a> CodedRows<'a> {
    pub(crate) fn len(&self) -> usize {
        self.in_file() + self.recent.map_or(0, DeltaBuffer::len)
    }

    fn in_file(&self) -> usize {
        self.file.map_or(0, QuantizedVectors::len)
    }

    pub(crate) fn encode(&self, query: &[f32]) -> CodedQuery {
        let mut code = Vec::with_capacity(query.len());
        let factor = scalar::encode(query, &mut code);
        let mean = self.file.and_then(QuantizedVectors::mean);
        CodedQuery { code, factor, bits: mean.map(|mean| BitQuery::new(query, mean)) }
    }

    fn id(&self, row: u32) -> Result<VectorId, Damaged> {
        let row = row as usize;
        match (self.file, self.recent) {
            (Some(file), _) if row < file.len() => Ok(VectorId(file.ids(row..row + 1)?[0])),
            (_, recent) => Ok(recent.ok_or(Damaged)?.id(row - self.in_file())),
        }
    }

    /// The id of a row, and a bound on the error of the cosine between its code and a query's: six standard deviations.
    ///
    /// Rounding a component makes an error that is uniform over one step, which is the vector's factor, so its variance
    /// is one twelfth of the squared step. The variance of the whole sum is that times the squared length of the other
    /// vector, which is 1.
    pub(crate) fn id_and_error(&self, query: &CodedQuery, row: u32) -> Result<(VectorId, f32), Damaged> {
        const DEVIATIONS: f32 = 6.0;
        let factor = self.block_of_row(row)?.factors[0];
        Ok((self.id(row)?, DEVIATIONS * query.factor.hypot(factor) / 12.0_f32.sqrt()))
    }

    /// The rows of some ids, which must be in ascending order. Unknown ids are left out.
    pub(crate) fn rows_of(&self, ids: &[VectorId]) -> Result<Vec<u32>, Damaged> {
        let known = self.file.map_or(Ok([].as_slice()), |file| file.ids(0..file.len()))?;
        let mut rows = Vec::with_capacity(ids.len());
        let mut from = 0;
        for id in ids {
            from += known[from..].partition_point(|other| *other < id.0);
            if known.get(from) == Some(&id.0) {
                rows.push(from as u32);
            } else if let Some(row) = self.recent.and_then(|recent| recent.row(*id)) {
                rows.push((known.len() + row) as u32);
            }
        }
        Ok(rows)
    }

    /// The rows with the highest scores, at most `limit` of them.
    pub(crate) fn scan(&self, query: &CodedQuery, limit: usize) -> Result<Vec<Scored>, Damaged> {
        self.scan_pieces(query, limit, self.pieces(true), Cores::All)
    }

    /// Like [`CodedRows::scan`], but only of the rows in memory. Beside a graph there are few of them, and they are
    /// scanned on one core: many threads may query at once, and would wait for each other's parts.
    pub(crate) fn scan_recent(&self, query: &CodedQuery, limit: usize) -> Result<Vec<Scored>, Damaged> {
        self.scan_pieces(query, limit, self.pieces(false), Cores::One)
    }

    fn scan_pieces(
        &self,
        query: &CodedQuery,
        limit: usize,
        pieces: Vec<Piece>,
        cores: Cores,
    ) -> Result<Vec<Scored>, Damaged> {
        match &query.bits {
            Some(bits) => self.propose_and_score(query, bits, limit, pieces, cores),
            None => Self::best_of(pieces, limit, cores, |piece, best| self.score_piece(piece, query, best)),
        }
    }

    /// The rows with the highest scores among `rows`.
    pub(crate) fn score_rows(
        &self,
        query: &CodedQuery,
        rows: &[u32],
        limit: usize,
        cores: Cores,
    ) -> Result<Vec<Scored>, Damaged> {
        let parts: Vec<&[u32]> = rows.chunks(ROWS_PER_TASK / 8).collect();
        Self::best_of(parts, limit, cores, |part, best| {
            part.iter().try_for_each(|row| {
                let block = self.block_of_row(*row)?;
                score_block(query, block, *row as usize, best);
                Ok(())
            })
        })
    }

    fn propose_and_score(
        &self,
        query: &CodedQuery,
        bits: &BitQuery,
        limit: usize,
        pieces: Vec<Piece>,
        cores: Cores,
    ) -> Result<Vec<Scored>, Damaged> {
        let proposals = limit.saturating_mul(PROPOSALS_PER_ROW).max(MIN_PROPOSALS);
        let proposed =
            Self::best_of(pieces, proposals, cores, |piece, best| self.score_bits_of_piece(piece, bits, best))?;
        let mut rows: Vec<u32> = proposed.into_iter().map(Scored::row).collect();
        rows.sort_unstable();
        self.score_rows(query, &rows, limit, cores)
    }

    fn pieces(&self, of_file: bool) -> Vec<Piece> {
        let in_file = if of_file { self.in_file() } else { 0 };
        let file =
            (0..in_file).step_by(ROWS_PER_TASK).map(|start| Piece::File(start..(start + ROWS_PER_TASK).min(in_file)));
        file.chain(self.recent.iter().flat_map(|recent| recent.blocks()).map(Piece::DeltaBuffer)).collect()
    }

    /// Collects the best rows of all parts.
    fn best_of<P: Send>(
        parts: Vec<P>,
        limit: usize,
        cores: Cores,
        offer: impl Fn(P, &mut Best) -> Result<(), Damaged> + Sync,
    ) -> Result<Vec<Scored>, Damaged> {
        let visit = |best: Result<Best, Damaged>, part| {
            let mut best = best?;
            offer(part, &mut best)?;
            Ok(best)
        };
        let best = if cores == Cores::All && parts.len() > 2 {
            let merge = |a: Result<Best, Damaged>, b: Result<Best, Damaged>| Ok(a?.merge(b?));
            let empty = || Ok(Best::new(limit));
            parts.into_par_iter().fold(empty, visit).reduce(empty, merge)
        } else {
            parts.into_iter().fold(Ok(Best::new(limit)), visit)
        };
        Ok(best?.into_sorted())
    }

    fn score_piece(&self, piece: Piece, query: &CodedQuery, best: &mut Best) -> Result<(), Damaged> {
        match piece {
            Piece::DeltaBuffer(first) => {
                score_block(query, self.recent.ok_or(Damaged)?.block(first), self.in_file() + first, best);
            }
            Piece::File(rows) => {
                let file = self.file.ok_or(Damaged)?;
                for start in rows.clone().step_by(ROWS_PER_BLOCK) {
                    let block = file.block(start..(start + ROWS_PER_BLOCK).min(rows.end))?;
                    score_block(query, block, start, best);
                }
            }
        }
        Ok(())
    }

    fn score_bits_of_piece(&self, piece: Piece, query: &BitQuery, best: &mut Best) -> Result<(), Damaged> {
        match piece {
            Piece::DeltaBuffer(first) => {
                let rows = self.recent.ok_or(Damaged)?.bit_rows(first);
                score_bit_rows(query, rows, self.words(), self.in_file() + first, best);
            }
            Piece::File(rows) => {
                let file = self.file.ok_or(Damaged)?;
                for start in rows.clone().step_by(4 * ROWS_PER_BLOCK) {
                    let part = file.bit_rows(start..(start + 4 * ROWS_PER_BLOCK).min(rows.end))?;
                    score_bit_rows(query, part, self.words(), start, best);
                }
            }
        }
        Ok(())
    }

    fn words(&self) -> usize {
        self.file.map_or(1, |file| bits::words(file.dimension()))
    }

    fn block_of_row(&self, row: u32) -> Result<Block<'a>, Damaged> {
        let row = row as usize;
        match (self.file, self.recent) {
            (Some(file), _) if row < file.len() => file.block(row..row + 1),
            (_, recent) => Ok(recent.ok_or(Damaged)?.row_block(row - self.in_file())),
        }
    }
}

impl CodedQuery {
    /// The estimated cosine of a row scored by its 8-bit code.
    pub(crate) fn cosine(&self, scored: Scored) -> f32 {
        scored.score() * self.factor
    }
}

fn score_block(query: &CodedQuery, block: Block<'_>, first: usize, best: &mut Best) {
    let rows = block.codes.chunks_exact(query.code.len()).zip(block.factors);
    for (row, (code, factor)) in (first as u32..).zip(rows) {
        best.offer(Scored::new(dot(&query.code, code) as f32 * factor, row));
    }
}

fn score_bit_rows(query: &BitQuery, rows: &[u64], words: usize, first: usize, best: &mut Best) {
    for (number, row) in (first as u32..).zip(rows.chunks_exact(words)) {
        // Rows are scored faster than the hardware prefetcher fetches them.
        let ahead = (number as usize - first + PREFETCH_ROWS) * words;
        prefetch(rows.get(ahead..ahead + words).unwrap_or_default());
        best.offer(Scored::new(query.score(masked_sum(&query.planes, row), row), number));
    }
}
