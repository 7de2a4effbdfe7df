//! Scanning codes on all cores: those of one bit first where there are any, then those of 8 bits.

use std::ops::Range;

use rayon::prelude::*;

use super::best::{Best, Scored};
use super::bits::{self, BitQuery};
use super::delta_buffer::DeltaBuffer;
use super::kernels::{dot, prefetch, weigh_row};
use super::quantized::{Block, QuantizedVectors};
use super::scalar;
use super::sealed::Damaged;
use imgidx_types::VectorId;

/// Rows that one task looks at, and of these at a time: few enough to stay in the cache between being checked and
/// being compared.
const TASK: usize = 4096;
const AT_A_TIME: usize = 256;
/// Rows of bits that are asked for before they are weighed.
const AHEAD: usize = 16;

/// Rows that codes of one bit propose for each one that is wanted, and at least. Measured on embeddings of 1280
/// components: with 256 proposals the ten nearest of 100,000 are among them without exception.
const PROPOSALS_PER_ROW: usize = 8;
const PROPOSALS: usize = 1024;

/// All codes that there are: rows of the file, then rows in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct CodedRows<'a> {
    pub file: Option<&'a QuantizedVectors>,
    pub recent: Option<&'a DeltaBuffer>,
}

/// A query as code.
#[derive(Debug)]
pub(super) struct CodedQuery {
    pub code: Vec<i8>,
    factor: f32,
    pub bits: Option<BitQuery>,
}

/// What a scan may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cores {
    One,
    All,
}

/// A part of the rows that lies together.
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

    /// The id of a row, and how much a cosine of its code and a query's can be wrong by: six deviations.
    ///
    /// Rounding a component makes an error that is even over one step, the vector's factor; its variance is a twelfth of
    /// the step's square. All together have that times the length of the other vector, which is 1.
    pub(crate) fn id_and_error(&self, query: &CodedQuery, row: u32) -> Result<(VectorId, f32), Damaged> {
        const DEVIATIONS: f32 = 6.0;
        let factor = self.block_of_row(row)?.factors[0];
        Ok((self.id(row)?, DEVIATIONS * query.factor.hypot(factor) / 12.0_f32.sqrt()))
    }

    /// The rows of some ids, which have to be in their order; those that are not here are left out.
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

    /// The rows with the highest scores among all, at most `wanted`; estimated cosines.
    pub(crate) fn scan(&self, query: &CodedQuery, wanted: usize) -> Result<Vec<Scored>, Damaged> {
        self.scan_pieces(query, wanted, self.pieces(true), Cores::All)
    }

    /// As [`CodedRows::scan`], of the rows in memory only, which are few beside a graph. Where one is there, many threads
    /// may be asking, and would wait for each other's parts.
    pub(crate) fn scan_recent(&self, query: &CodedQuery, wanted: usize) -> Result<Vec<Scored>, Damaged> {
        self.scan_pieces(query, wanted, self.pieces(false), Cores::One)
    }

    fn scan_pieces(
        &self,
        query: &CodedQuery,
        wanted: usize,
        pieces: Vec<Piece>,
        cores: Cores,
    ) -> Result<Vec<Scored>, Damaged> {
        match &query.bits {
            Some(bits) => self.propose_and_score(query, bits, wanted, pieces, cores),
            None => self.best_of(pieces, wanted, cores, |piece, best| self.score_piece(piece, query, best)),
        }
    }

    /// The ones with the highest scores among some rows.
    pub(crate) fn score_rows(
        &self,
        query: &CodedQuery,
        rows: &[u32],
        wanted: usize,
        cores: Cores,
    ) -> Result<Vec<Scored>, Damaged> {
        let parts: Vec<&[u32]> = rows.chunks(TASK / 8).collect();
        self.best_of(parts, wanted, cores, |part, best| {
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
        wanted: usize,
        pieces: Vec<Piece>,
        cores: Cores,
    ) -> Result<Vec<Scored>, Damaged> {
        let proposals = wanted.saturating_mul(PROPOSALS_PER_ROW).max(PROPOSALS);
        let proposed = self.best_of(pieces, proposals, cores, |piece, best| self.weigh_piece(piece, bits, best))?;
        let mut rows: Vec<u32> = proposed.into_iter().map(Scored::row).collect();
        rows.sort_unstable();
        self.score_rows(query, &rows, wanted, cores)
    }

    fn pieces(&self, of_file: bool) -> Vec<Piece> {
        let in_file = if of_file { self.in_file() } else { 0 };
        let file = (0..in_file).step_by(TASK).map(|start| Piece::File(start..(start + TASK).min(in_file)));
        file.chain(self.recent.iter().flat_map(|recent| recent.blocks()).map(Piece::DeltaBuffer)).collect()
    }

    /// Goes over all parts.
    fn best_of<P: Send>(
        &self,
        parts: Vec<P>,
        wanted: usize,
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
            let empty = || Ok(Best::new(wanted));
            parts.into_par_iter().fold(empty, visit).reduce(empty, merge)
        } else {
            parts.into_iter().fold(Ok(Best::new(wanted)), visit)
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
                for start in rows.clone().step_by(AT_A_TIME) {
                    let block = file.block(start..(start + AT_A_TIME).min(rows.end))?;
                    score_block(query, block, start, best);
                }
            }
        }
        Ok(())
    }

    fn weigh_piece(&self, piece: Piece, query: &BitQuery, best: &mut Best) -> Result<(), Damaged> {
        match piece {
            Piece::DeltaBuffer(first) => {
                let rows = self.recent.ok_or(Damaged)?.bit_rows(first);
                weigh_rows(query, rows, self.words(), self.in_file() + first, best);
            }
            Piece::File(rows) => {
                let file = self.file.ok_or(Damaged)?;
                for start in rows.clone().step_by(4 * AT_A_TIME) {
                    let part = file.bit_rows(start..(start + 4 * AT_A_TIME).min(rows.end))?;
                    weigh_rows(query, part, self.words(), start, best);
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
    /// The estimated cosine that a score of codes stands for.
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

fn weigh_rows(query: &BitQuery, rows: &[u64], words: usize, first: usize, best: &mut Best) {
    for (number, row) in (first as u32..).zip(rows.chunks_exact(words)) {
        // Rows are read faster than the processor sees by itself that it should fetch the next ones.
        let ahead = (number as usize - first + AHEAD) * words;
        prefetch(rows.get(ahead..ahead + words).unwrap_or_default());
        best.offer(Scored::new(query.score(weigh_row(&query.planes, row), row), number));
    }
}
