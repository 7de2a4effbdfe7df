//! Auditing a graph before it is used: which rows cannot be found in it, and how wide a search must be.

use rayon::prelude::*;

use super::best::Scored;
use super::graph::Graph;
use super::quantized::QuantizedVectors;
use super::scan::{CodedQuery, CodedRows};
use super::sealed::Damaged;
use super::walk::Breadth;

/// The recall of the ten nearest that searches must reach.
const TARGET_RECALL: f32 = 0.99;
const NEAREST: usize = 10;
/// Number of queries that recall is measured with.
const SAMPLE_SIZE: usize = 256;
/// Search widths to try, narrowest first, each as the number of candidates that a search keeps (`ef`).
const WIDTHS: [usize; 12] = [16, 24, 32, 48, 64, 96, 128, 192, 256, 320, 384, 512];
/// The search width at which every vector must find itself.
const SELF_WIDTH: usize = 16;

/// Searches for each of `rows`, and for the neighbours of a sample. Returns the rows that were not found, the search
/// width (`ef`) that queries need and their recall. Returns `None` if `should_continue` returns false.
pub(super) fn audit(
    graph: &Graph,
    rows: &[u32],
    should_continue: &(dyn Fn() -> bool + Sync),
) -> Result<Option<(Vec<u32>, usize, f32)>, Damaged> {
    let codes = graph.codes();
    let step = rows.len().div_ceil(SAMPLE_SIZE).max(1);
    // The row half-way round the set serves as an arbitrary other row.
    let other = |i: usize| rows[(i + rows.len() / 2) % rows.len()];
    let sample = rows.iter().enumerate().step_by(step).map(|(i, row)| Sampled::new(codes, *row, other(i)));
    let sample = sample.collect::<Result<Vec<_>, _>>()?;
    let (mut ef, mut recall) = (0, 0.0);
    for width in WIDTHS {
        ef = width;
        let found: f32 = sample.par_iter().map(|sampled| sampled.recall(graph, width)).sum();
        recall = found / sample.len().max(1) as f32;
        if recall >= TARGET_RECALL || !should_continue() {
            break;
        }
    }
    let mut missed: Vec<u32> = rows
        .par_iter()
        .filter_map(|row| {
            let query = should_continue().then(|| coded_row(codes, *row))?;
            let finds = |breadth| graph.search(&query, breadth, 0).iter().any(|entry| entry.row() == *row);
            (!finds(Breadth::of_links(SELF_WIDTH)) && !finds(Breadth::of_query(ef))).then_some(*row)
        })
        .collect();
    missed.sort_unstable();
    Ok(should_continue().then_some((missed, ef, recall)))
}

/// A row as a query. All codes must have been verified.
pub(super) fn coded_row(codes: &QuantizedVectors, row: u32) -> CodedQuery {
    CodedRows { file: Some(codes), recent: None }.encode(&vector(codes, row))
}

/// A query, with the lowest score and the number of its true nearest rows.
struct Sampled {
    query: CodedQuery,
    /// The lowest score among the nearest rows.
    lowest: f32,
    count: usize,
}

impl Sampled {
    /// A query near a row: the row mixed with another one. A row itself would be too easy a query, because its own
    /// links lead to its neighbours.
    fn new(codes: &QuantizedVectors, row: u32, other: u32) -> Result<Self, Damaged> {
        const SHARE: f32 = 0.7;
        let (a, b) = (vector(codes, row), vector(codes, other));
        let mixed: Vec<f32> = a.iter().zip(&b).map(|(a, b)| SHARE * a + (1.0 - SHARE) * b).collect();
        let coded = CodedRows { file: Some(codes), recent: None };
        let query = coded.encode(&mixed);
        let nearest = coded.scan(&query, NEAREST)?;
        Ok(Self { query, lowest: nearest.last().map_or(0.0, |entry| entry.score()), count: nearest.len() })
    }

    /// The fraction of the nearest rows that a search finds. Rows of equal score are interchangeable.
    fn recall(&self, graph: &Graph, width: usize) -> f32 {
        let is_one = |entry: &&Scored| entry.score() >= self.lowest;
        let found = graph.search(&self.query, Breadth::of_query(width), NEAREST).iter().filter(is_one).count();
        if self.count == 0 { 1.0 } else { found.min(self.count) as f32 / self.count as f32 }
    }
}

fn vector(codes: &QuantizedVectors, row: u32) -> Vec<f32> {
    let block = codes.block(row as usize..row as usize + 1).expect("codes are verified before a graph exists");
    block.codes.iter().map(|x| f32::from(*x) * block.factors[0]).collect()
}
