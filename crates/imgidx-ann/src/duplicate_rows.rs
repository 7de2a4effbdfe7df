//! Rows with identical codes.
//!
//! A graph would be torn by them: a hundred identical vectors fill each other's lists of neighbours and lead nowhere
//! else. So the first one goes into the graph, and the others are kept beside it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::links::RowLists;
use super::quantized::QuantizedVectors;
use super::sealed::Damaged;

/// Which rows have which others as twins.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DuplicateRows {
    /// The first rows of their kind that are not the only ones, in their order.
    pub rows: Vec<u32>,
    /// The twins of each of them, in their order.
    pub lists: RowLists,
}

impl DuplicateRows {
    /// Finds twins, and the rows that are the first or the only ones of their kind.
    pub(crate) fn find(codes: &QuantizedVectors) -> Result<(Self, Vec<u32>), Damaged> {
        let mut first_of: HashMap<[u8; 16], u32> = HashMap::with_capacity(codes.len());
        let mut unique = Vec::with_capacity(codes.len());
        let mut pairs = Vec::new();
        for row in 0..codes.len() as u32 {
            let block = codes.block(row as usize..row as usize + 1)?;
            let mut hasher = blake3::Hasher::new();
            hasher.update(bytemuck::cast_slice(block.codes)).update(&block.factors[0].to_ne_bytes());
            let digest = *hasher.finalize().as_bytes().first_chunk().expect("a digest has 32 bytes");
            match first_of.entry(digest) {
                Entry::Occupied(first) => pairs.push((*first.get(), row)),
                Entry::Vacant(place) => {
                    place.insert(row);
                    unique.push(row);
                }
            }
        }
        pairs.sort_unstable();
        let mut twins = Self { rows: Vec::new(), lists: RowLists { starts: vec![0], members: Vec::new() } };
        for group in pairs.chunk_by(|a, b| a.0 == b.0) {
            twins.rows.push(group[0].0);
            twins.lists.members.extend(group.iter().map(|pair| pair.1));
            twins.lists.starts.push(twins.lists.members.len() as u32);
        }
        Ok((twins, unique))
    }
}
