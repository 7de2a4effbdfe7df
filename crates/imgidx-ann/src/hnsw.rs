//! Building the graph with hnsw_rs. Nothing else here knows that crate.
//!
//! What it builds is taken out of it at once and written as a file of our own: its dumps have no checksums, end the
//! process when they are cut off, and take 10 µs a vector to load; its graph takes 2.6 kB a vector in memory and hashes
//! every row that a search visits. While it builds, it holds row numbers only and asks for codes where they are mapped.

use std::sync::Arc;

use hnsw_rs::prelude::{Distance, Hnsw};

use super::graph_file::GraphOptions;
use super::links::{Links, RowLists};
use super::quantized::QuantizedVectors;
use super::scores::{BitDistances, cosine};

/// Layers of hnsw_rs; it dumps and searches only graphs with this number of them.
const MAX_LAYER: usize = 16;
/// Vectors that are put in one after another before several threads go on: the first ones must see each other.
const SERIAL: usize = 1000;
/// Vectors that are put in before somebody is asked whether to go on.
const PART: usize = 4096;

/// Rows that a search looks at before it begins, at most.
const ENTRY_POINTS: usize = 4096;

/// Bytes of memory that building takes for each vector, at most: with 8 links a build of a million took 2.0 GB more
/// than the process had before.
pub(super) const BYTES_PER_VECTOR: u64 = 2600;

/// Distance of two rows: by their bits where they have any, else 1 less their cosine; never below 0, where hnsw_rs
/// panics.
struct RowDistance(Arc<QuantizedVectors>);

impl Distance<u32> for RowDistance {
    fn eval(&self, a: &[u32], b: &[u32]) -> f32 {
        let by_bits = BitDistances::new(&self.0).map(|bits| bits.distance(a[0], b[0]));
        by_bits.unwrap_or_else(|| (1.0 - cosine(&self.0, a[0], b[0])).max(0.0))
    }
}

/// Builds a graph of some rows; `None` if `go_on` ends it.
///
/// Everything of the codes must have been checked.
pub(super) fn build(
    codes: &Arc<QuantizedVectors>,
    rows: &[u32],
    options: GraphOptions,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Option<Links> {
    let hnsw = Hnsw::new(options.links, rows.len(), MAX_LAYER, options.ef_construction, RowDistance(codes.clone()));
    let (first, rest) = rows.split_at(SERIAL.min(rows.len()));
    first.iter().for_each(|row| hnsw.insert((&[*row], *row as usize)));
    for part in rest.chunks(PART) {
        if !go_on() {
            return None;
        }
        let part: Vec<(&[u32], usize)> = part.iter().map(|row| (std::slice::from_ref(row), *row as usize)).collect();
        hnsw.parallel_insert_slice(&part);
    }
    Some(freeze(&hnsw, codes.len()))
}

/// Takes the links out of hnsw_rs.
///
/// Of the layers above the lowest one only the rows of one are kept, and not their links: to look at a few thousand rows
/// and to begin with the best ones costs little, and finds what lies where no path leads from the one row on top.
fn freeze(hnsw: &Hnsw<'_, u32, RowDistance>, rows: usize) -> Links {
    let mut links: Vec<(u32, Vec<u32>)> = Vec::with_capacity(rows);
    let mut layers: Vec<Vec<u32>> = vec![Vec::new(); MAX_LAYER];
    for point in hnsw.get_point_indexation() {
        let (row, level) = (point.get_origin_id() as u32, point.get_point_id().0 as usize);
        layers[..=level].iter_mut().for_each(|layer| layer.push(row));
        let lowest = point.get_neighborhood_id().into_iter().next().unwrap_or_default();
        links.push((row, lowest.into_iter().map(|other| other.d_id as u32).collect()));
    }
    links.sort_unstable_by_key(|(row, _)| *row);
    let mut few = layers.into_iter().filter(|layer| (1..=ENTRY_POINTS).contains(&layer.len()));
    let mut entry_points = few.next().unwrap_or_else(|| links.iter().take(1).map(|(row, _)| *row).collect());
    entry_points.sort_unstable();
    Links { entry_points, neighbors: RowLists::new(rows, links) }
}
