//! Building the graph with hnsw_rs. No other module uses that crate.
//!
//! The links are copied out of hnsw_rs at once and written in our own file format. Its dumps have no checksums, end the
//! process if they are truncated, and take 10 µs per vector to load. Its graph takes 2.6 kB of memory per vector and
//! hashes every row that a search visits. During the build, hnsw_rs holds only row numbers, and distances are computed
//! from the mapped codes.

use std::sync::Arc;

use hnsw_rs::prelude::{Distance, Hnsw};

use super::graph_file::GraphOptions;
use super::links::RowLists;
use super::quantized::QuantizedVectors;
use super::scores::{BitDistances, cosine};

/// The number of layers. hnsw_rs dumps and searches only graphs with exactly this many.
const MAX_LAYER: usize = 16;
/// Vectors that are inserted one by one before insertion becomes parallel: the first ones must find each other.
const SERIAL_INSERTS: usize = 1000;
/// Vectors that are inserted between two calls of `should_continue`.
const BATCH: usize = 4096;

/// Maximum number of entry points, which every search scores before it follows links.
const MAX_ENTRY_POINTS: usize = 4096;

/// Maximum memory in bytes that a build takes per vector. Measured: with 8 links, a build over a million vectors added
/// 2.0 GB to the process.
pub(super) const BYTES_PER_VECTOR: u64 = 2600;

/// The distance of two rows: by their 1-bit codes if there are any, otherwise 1 minus their cosine. It is never
/// negative, because hnsw_rs panics on negative distances.
struct RowDistance(Arc<QuantizedVectors>);

impl Distance<u32> for RowDistance {
    fn eval(&self, a: &[u32], b: &[u32]) -> f32 {
        let by_bits = BitDistances::new(&self.0).map(|bits| bits.distance(a[0], b[0]));
        by_bits.unwrap_or_else(|| (1.0 - cosine(&self.0, a[0], b[0])).max(0.0))
    }
}

/// Builds a graph of `rows`. Returns its entry points and links, or `None` if `should_continue` returns false.
///
/// All codes must have been verified.
pub(super) fn build(
    codes: &Arc<QuantizedVectors>,
    rows: &[u32],
    options: GraphOptions,
    should_continue: &(dyn Fn() -> bool + Sync),
) -> Option<(Vec<u32>, RowLists)> {
    let hnsw = Hnsw::new(options.links, rows.len(), MAX_LAYER, options.ef_construction, RowDistance(codes.clone()));
    let (first, rest) = rows.split_at(SERIAL_INSERTS.min(rows.len()));
    first.iter().for_each(|row| hnsw.insert((&[*row], *row as usize)));
    for part in rest.chunks(BATCH) {
        if !should_continue() {
            return None;
        }
        let part: Vec<(&[u32], usize)> = part.iter().map(|row| (std::slice::from_ref(row), *row as usize)).collect();
        hnsw.parallel_insert_slice(&part);
    }
    Some(freeze(&hnsw, codes.len()))
}

/// Copies the links out of hnsw_rs.
///
/// All links of the lowest layer are kept. Of the layers above, only the rows of one layer are kept, as entry points,
/// without their links. Scoring a few thousand rows and starting from the best ones costs little, and finds regions
/// that no path from the single top row reaches.
fn freeze(hnsw: &Hnsw<'_, u32, RowDistance>, rows: usize) -> (Vec<u32>, RowLists) {
    let mut links: Vec<(u32, Vec<u32>)> = Vec::with_capacity(rows);
    let mut layers: Vec<Vec<u32>> = vec![Vec::new(); MAX_LAYER];
    for point in hnsw.get_point_indexation() {
        let (row, level) = (point.get_origin_id() as u32, point.get_point_id().0 as usize);
        layers[..=level].iter_mut().for_each(|layer| layer.push(row));
        let lowest = point.get_neighborhood_id().into_iter().next().unwrap_or_default();
        links.push((row, lowest.into_iter().map(|other| other.d_id as u32).collect()));
    }
    links.sort_unstable_by_key(|(row, _)| *row);
    let mut few = layers.into_iter().filter(|layer| (1..=MAX_ENTRY_POINTS).contains(&layer.len()));
    let mut entry_points = few.next().unwrap_or_else(|| links.iter().take(1).map(|(row, _)| *row).collect());
    entry_points.sort_unstable();
    (entry_points, RowLists::new(rows, links))
}
