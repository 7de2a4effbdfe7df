//! Codes in memory for the vectors that were stored after the quantized-vector file was written.

use std::sync::Arc;

use super::bits;
use super::quantized::Block;
use super::scalar;
use imgidx_types::VectorId;

/// Quantized vectors in memory, ordered by id. A clone shares the existing chunks.
#[derive(Debug, Clone)]
pub struct DeltaBuffer {
    dimension: usize,
    /// The mean that 1-bit codes are relative to. `None` if there are no 1-bit codes.
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
    /// Rows in a chunk. A chunk that is shared with another copy of the buffer is copied before a row is added to it.
    pub(super) const CHUNK: usize = 256;

    pub(super) fn new(dimension: usize, mean: Option<&[f32]>, after: VectorId) -> Self {
        Self { dimension, mean: mean.map(Arc::from), chunks: Vec::new(), len: 0, last: after }
    }

    /// Adds a vector. Its id must be larger than all previous ids.
    pub(super) fn push(&mut self, id: VectorId, vector: &[f32]) {
        debug_assert!(id > self.last && vector.len() == self.dimension);
        if self.len.is_multiple_of(Self::CHUNK) {
            self.chunks.push(Arc::default());
        }
        let chunk = Arc::make_mut(self.chunks.last_mut().expect("a chunk was just added"));
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

    /// The id of the last vector. If the buffer is empty, the id after which it starts.
    pub(super) fn last(&self) -> VectorId {
        self.last
    }

    pub(super) fn id(&self, row: usize) -> VectorId {
        VectorId(self.chunks[row / Self::CHUNK].ids[row % Self::CHUNK])
    }

    /// The row of an id, if the buffer holds it.
    pub(super) fn row(&self, id: VectorId) -> Option<usize> {
        let chunk = self.chunks.partition_point(|chunk| chunk.ids.last().is_some_and(|last| *last < id.0));
        let at = self.chunks.get(chunk)?.ids.binary_search(&id.0).ok()?;
        Some(chunk * Self::CHUNK + at)
    }

    /// The codes of `count` rows of one chunk, from row `first` on.
    pub(super) fn block(&self, first: usize, count: usize) -> Block<'_> {
        let (chunk, at) = (&self.chunks[first / Self::CHUNK], first % Self::CHUNK);
        let codes = &chunk.codes[at * self.dimension..][..count * self.dimension];
        Block { codes, factors: &chunk.factors[at..][..count] }
    }

    /// The 1-bit codes of these rows. They exist if there is a mean.
    pub(super) fn bit_rows(&self, first: usize, count: usize) -> &[u64] {
        let (chunk, words) = (&self.chunks[first / Self::CHUNK], bits::words(self.dimension));
        &chunk.bits[first % Self::CHUNK * words..][..count * words]
    }
}
