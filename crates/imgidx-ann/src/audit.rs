//! Looking at a graph before it is used: what cannot be found in it, and how wide a search must be.

use rayon::prelude::*;

use super::best::Scored;
use super::graph::Graph;
use super::graph_file::Audit;
use super::quantized::QuantizedVectors;
use super::scan::{CodedQuery, CodedRows};
use super::sealed::Damaged;
use super::walk::Breadth;

/// Part of the ten nearest that a search has to find.
const RECALL: f32 = 0.99;
const NEAREST: usize = 10;
/// Vectors whose neighbours are looked for.
const SAMPLE: usize = 256;
/// Widths that are tried, each as the number of candidates that a search keeps.
const WIDTHS: [usize; 12] = [16, 24, 32, 48, 64, 96, 128, 192, 256, 320, 384, 512];
/// With this width every vector has to find itself.
const SELF_WIDTH: usize = 16;

/// Searches for every one of `rows`, and for the neighbours of some. `None` if `go_on` ends it.
pub(super) fn audit(graph: &Graph, rows: &[u32], go_on: &(dyn Fn() -> bool + Sync)) -> Result<Option<Audit>, Damaged> {
    let codes = graph.codes();
    let step = rows.len().div_ceil(SAMPLE).max(1);
    // The row half way round the set stands for any other one.
    let other = |i: usize| rows[(i + rows.len() / 2) % rows.len()];
    let sample = rows.iter().enumerate().step_by(step).map(|(i, row)| Sampled::new(codes, *row, other(i)));
    let sample = sample.collect::<Result<Vec<_>, _>>()?;
    let (mut ef, mut recall) = (0, 0.0);
    for width in WIDTHS {
        ef = width;
        let found: f32 = sample.par_iter().map(|sampled| sampled.recall(graph, width)).sum();
        recall = found / sample.len().max(1) as f32;
        if recall >= RECALL || !go_on() {
            break;
        }
    }
    let mut missed: Vec<u32> = rows
        .par_iter()
        .filter_map(|row| {
            let query = go_on().then(|| coded_row(codes, *row))?;
            let finds = |breadth| graph.search(&query, breadth, 0).iter().any(|entry| entry.row() == *row);
            (!finds(Breadth::of_links(SELF_WIDTH)) && !finds(Breadth::of_query(ef))).then_some(*row)
        })
        .collect();
    missed.sort_unstable();
    Ok(go_on().then_some(Audit { missed, ef, recall }))
}

/// The query that a row is. All of the codes must have been checked.
pub(super) fn coded_row(codes: &QuantizedVectors, row: u32) -> CodedQuery {
    CodedRows { file: Some(codes), recent: None }.encode(&vector(codes, row))
}

/// A query and the scores of its nearest ones.
struct Sampled {
    query: CodedQuery,
    /// The lowest score among the nearest.
    lowest: f32,
    count: usize,
}

impl Sampled {
    /// A query near a row, and not a row itself, which would be its own signpost: the row mixed with another one.
    fn new(codes: &QuantizedVectors, row: u32, other: u32) -> Result<Self, Damaged> {
        const SHARE: f32 = 0.7;
        let (a, b) = (vector(codes, row), vector(codes, other));
        let mixed: Vec<f32> = a.iter().zip(&b).map(|(a, b)| SHARE * a + (1.0 - SHARE) * b).collect();
        let coded = CodedRows { file: Some(codes), recent: None };
        let query = coded.encode(&mixed);
        let nearest = coded.scan(&query, NEAREST)?;
        Ok(Self { query, lowest: nearest.last().map_or(0.0, |entry| entry.score()), count: nearest.len() })
    }

    /// Part of the nearest that a search finds. One of equal score is as good as another.
    fn recall(&self, graph: &Graph, width: usize) -> f32 {
        let is_one = |entry: &&Scored| entry.score() >= self.lowest;
        let found = graph.search(&self.query, Breadth::of_query(width), NEAREST).iter().filter(is_one).count();
        if self.count == 0 { 1.0 } else { found.min(self.count) as f32 / self.count as f32 }
    }
}

fn vector(codes: &QuantizedVectors, row: u32) -> Vec<f32> {
    let block = codes.block(row as usize..row as usize + 1).expect("codes are checked before there is a graph");
    block.codes.iter().map(|x| f32::from(*x) * block.factors[0]).collect()
}
