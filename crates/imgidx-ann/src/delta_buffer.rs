//! QuantizedVectors in memory: of what was stored after the file of codes was written.

use std::sync::Arc;

use super::bits;
use super::quantized::Block;
use super::scalar;
use imgidx_types::VectorId;

/// Rows of a chunk. A chunk that others still look at is copied before a row is added to it.
const CHUNK: usize = 256;

/// QuantizedVectors in memory, in the order of their ids. A copy shares what is there already.
#[derive(Debug, Clone)]
pub struct DeltaBuffer {
    dimension: usize,
    /// What codes of one bit are relative to, where they are used.
    mean: Option<Arc<[f32]>>,
    chunks: Vec<Arc<Chunk>>,
    len: usize,
    last: VectorId,
}

#[derive(Debug, Clone, Default)]
struct Chunk {
    ids: Vec<i64>,
    codes: Vec<i8>,
    factors: Vec<f32>,
    bits: Vec<u64>,
}

impl DeltaBuffer {
    pub(super) fn new(dimension: usize, mean: Option<&[f32]>, after: VectorId) -> Self {
        Self { dimension, mean: mean.map(Arc::from), chunks: Vec::new(), len: 0, last: after }
    }

    /// Adds a vector, whose id has to be larger than those before.
    pub(super) fn push(&mut self, id: VectorId, vector: &[f32]) {
        debug_assert!(id > self.last && vector.len() == self.dimension);
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Arc::default());
        }
        let chunk = Arc::make_mut(self.chunks.last_mut().expect("one was just added"));
        chunk.ids.push(id.0);
        chunk.factors.push(scalar::encode(vector, &mut chunk.codes));
        if let Some(mean) = &self.mean {
            bits::encode(vector, mean, &mut chunk.bits);
        }
        self.len += 1;
        self.last = id;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The id of the last vector, or of the last one before the first.
    pub(super) fn last(&self) -> VectorId {
        self.last
    }

    pub(super) fn id(&self, row: usize) -> VectorId {
        VectorId(self.chunks[row / CHUNK].ids[row % CHUNK])
    }

    /// The row of an id, if it is there.
    pub(super) fn row(&self, id: VectorId) -> Option<usize> {
        let chunk = self.chunks.partition_point(|chunk| chunk.ids.last().is_some_and(|last| *last < id.0));
        let at = self.chunks.get(chunk)?.ids.binary_search(&id.0).ok()?;
        Some(chunk * CHUNK + at)
    }

    /// The first rows of all blocks.
    pub(super) fn blocks(&self) -> impl Iterator<Item = usize> {
        (0..self.len).step_by(CHUNK)
    }

    /// The block that begins with a row.
    pub(super) fn block(&self, first: usize) -> Block<'_> {
        let chunk = &self.chunks[first / CHUNK];
        Block { codes: &chunk.codes, factors: &chunk.factors }
    }

    /// The codes of one bit of the block that begins with a row, where they are used.
    pub(super) fn bit_rows(&self, first: usize) -> &[u64] {
        &self.chunks[first / CHUNK].bits
    }

    /// The code of one row.
    pub(super) fn row_block(&self, row: usize) -> Block<'_> {
        let (chunk, at) = (&self.chunks[row / CHUNK], row % CHUNK);
        let codes = &chunk.codes[at * self.dimension..(at + 1) * self.dimension];
        Block { codes, factors: &chunk.factors[at..=at] }
    }
}
