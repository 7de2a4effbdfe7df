//! Scanning codes on all cores: 1-bit codes first, if there are any, then 8-bit codes.

use std::ops::Range;

use rayon::prelude::*;

use super::best::{Best, Scored};
use super::bits::BitQuery;
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
        match self.file {
            Some(file) if row < file.len() => Ok(VectorId(file.ids(row..row + 1)?[0])),
            _ => Ok(self.recent.ok_or(Damaged)?.id(row - self.in_file())),
        }
    }

    /// The codes of rows that are all in the file, or all in one chunk of the rows in memory.
    fn block(&self, rows: Range<usize>) -> Result<Block<'a>, Damaged> {
        match self.file {
            Some(file) if rows.end <= file.len() => file.block(rows),
            _ => Ok(self.recent.ok_or(Damaged)?.block(rows.start - self.in_file(), rows.len())),
        }
    }

    /// The 1-bit codes of rows that are all in the file, or all in one chunk of the rows in memory.
    fn bit_rows(&self, rows: Range<usize>) -> Result<&'a [u64], Damaged> {
        match self.file {
            Some(file) if rows.end <= file.len() => file.bit_rows(rows),
            _ => Ok(self.recent.ok_or(Damaged)?.bit_rows(rows.start - self.in_file(), rows.len())),
        }
    }

    /// The id of a row, and a bound on the error of the cosine between its code and a query's: six standard deviations.
    ///
    /// Rounding a component makes an error that is uniform over one step, which is the vector's factor, so its variance
    /// is one twelfth of the squared step. The variance of the whole sum is that times the squared length of the other
    /// vector, which is 1.
    pub(crate) fn id_and_error(&self, query: &CodedQuery, row: u32) -> Result<(VectorId, f32), Damaged> {
        const DEVIATIONS: f32 = 6.0;
        let factor = self.block(row as usize..row as usize + 1)?.factors[0];
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
        self.scan_from(0, query, limit, Cores::All)
    }

    /// Like [`CodedRows::scan`], but only of the rows in memory. Beside a graph there are few of them, and they are
    /// scanned on one core: many threads may query at once, and would wait for each other's parts.
    pub(crate) fn scan_recent(&self, query: &CodedQuery, limit: usize) -> Result<Vec<Scored>, Damaged> {
        self.scan_from(self.in_file(), query, limit, Cores::One)
    }

    fn scan_from(&self, first: usize, query: &CodedQuery, limit: usize, cores: Cores) -> Result<Vec<Scored>, Damaged> {
        let in_memory = parts(self.in_file()..self.len(), DeltaBuffer::CHUNK);
        let tasks: Vec<Range<usize>> = parts(first..self.in_file(), ROWS_PER_TASK).chain(in_memory).collect();
        let Some(bits) = &query.bits else {
            return Self::best_of(tasks, limit, cores, |task, best| {
                for rows in parts(task, ROWS_PER_BLOCK) {
                    score_block(query, self.block(rows.clone())?, rows.start, best);
                }
                Ok(())
            });
        };
        let proposals = limit.saturating_mul(PROPOSALS_PER_ROW).max(MIN_PROPOSALS);
        let proposed = Self::best_of(tasks, proposals, cores, |task, best| {
            for rows in parts(task, 4 * ROWS_PER_BLOCK) {
                score_bit_rows(bits, self.bit_rows(rows.clone())?, rows.start, best);
            }
            Ok(())
        })?;
        let mut rows: Vec<u32> = proposed.into_iter().map(Scored::row).collect();
        rows.sort_unstable();
        self.score_rows(query, &rows, limit, cores)
    }

    /// The rows with the highest scores among `rows`.
    pub(crate) fn score_rows(
        &self,
        query: &CodedQuery,
        rows: &[u32],
        limit: usize,
        cores: Cores,
    ) -> Result<Vec<Scored>, Damaged> {
        Self::best_of(rows.chunks(ROWS_PER_TASK / 8).collect(), limit, cores, |part, best| {
            for row in part {
                let row = *row as usize;
                score_block(query, self.block(row..row + 1)?, row, best);
            }
            Ok(())
        })
    }

    /// Collects the best rows of all tasks.
    fn best_of<T: Send>(
        tasks: Vec<T>,
        limit: usize,
        cores: Cores,
        offer: impl Fn(T, &mut Best) -> Result<(), Damaged> + Sync,
    ) -> Result<Vec<Scored>, Damaged> {
        let empty = || Best::new(limit);
        let visit = |mut best: Best, task| offer(task, &mut best).map(|()| best);
        let best = if cores == Cores::All && tasks.len() > 2 {
            tasks.into_par_iter().try_fold(empty, visit).try_reduce(empty, |a, b| Ok(a.merge(b)))
        } else {
            tasks.into_iter().try_fold(empty(), visit)
        };
        Ok(best?.into_sorted())
    }
}

impl CodedQuery {
    /// The estimated cosine of a row scored by its 8-bit code.
    pub(crate) fn cosine(&self, scored: Scored) -> f32 {
        scored.score() * self.factor
    }
}

/// Cuts rows into parts of at most `length`.
fn parts(rows: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    rows.clone().step_by(length).map(move |start| start..(start + length).min(rows.end))
}

fn score_block(query: &CodedQuery, block: Block<'_>, first: usize, best: &mut Best) {
    let rows = block.codes.chunks_exact(query.code.len()).zip(block.factors);
    for (row, (code, factor)) in (first as u32..).zip(rows) {
        best.offer(Scored::new(dot(&query.code, code) as f32 * factor, row));
    }
}

fn score_bit_rows(query: &BitQuery, rows: &[u64], first: usize, best: &mut Best) {
    let words = query.planes[0].len() + 1;
    for (number, row) in (first as u32..).zip(rows.chunks_exact(words)) {
        // Rows are scored faster than the hardware prefetcher fetches them.
        let ahead = (number as usize - first + PREFETCH_ROWS) * words;
        prefetch(rows.get(ahead..ahead + words).unwrap_or_default());
        best.offer(Scored::new(query.score(masked_sum(&query.planes, row), row), number));
    }
}
