//! Rows with identical codes.
//!
//! Such rows would disconnect a graph: a hundred identical vectors fill each other's neighbour lists and link to nothing
//! else. So only the first row of each group is in the graph, and the others are listed separately.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::links::RowLists;
use super::quantized::QuantizedVectors;
use super::sealed::Damaged;

/// The groups of rows with identical codes.
#[derive(Debug)]
pub(super) struct DuplicateRows {
    /// The first row of each group of two or more, in ascending order.
    pub rows: Vec<u32>,
    /// The other rows of each group, in ascending order.
    pub lists: RowLists,
}

impl DuplicateRows {
    /// Finds the duplicates. The second value is the rows that are unique or the first of their group.
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
        let mut duplicates = Self { rows: Vec::new(), lists: RowLists { starts: vec![0], members: Vec::new() } };
        for group in pairs.chunk_by(|a, b| a.0 == b.0) {
            duplicates.rows.push(group[0].0);
            duplicates.lists.members.extend(group.iter().map(|pair| pair.1));
            duplicates.lists.starts.push(duplicates.lists.members.len() as u32);
        }
        Ok((duplicates, unique))
    }
}
