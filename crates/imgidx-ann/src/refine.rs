//! Improving the links that hnsw_rs chooses.
//!
//! hnsw_rs selects the links of a new vector so that they lead in different directions. When it adds the reverse links,
//! however, it simply drops the farthest. Many vectors then have no inbound links, and the links of others all lead to
//! one place. Refinement searches the whole graph for each vector once more, and selects links in both directions by
//! the same rule: a candidate is taken unless it is nearer to one taken before than to the vector (Algorithm 4 of the
//! HNSW paper).

use rayon::prelude::*;

use super::audit::coded_row;
use super::graph::Graph;
use super::links::RowLists;
use super::quantized::QuantizedVectors;
use super::scores::cosine;
use super::walk::Breadth;

/// The search width for each vector.
const SEARCH_WIDTH: usize = 128;
/// Maximum number of links of a vector after refinement, not counting those that [`ensure_inbound_links`] adds.
const MAX_LINKS: usize = 48;

/// The refined links of `rows`. Returns `None` if `should_continue` returns false.
pub(super) fn refine(graph: &Graph, rows: &[u32], should_continue: &(dyn Fn() -> bool + Sync)) -> Option<RowLists> {
    let codes: &QuantizedVectors = graph.codes();
    let outward: Vec<Vec<u32>> = rows
        .par_iter()
        .map(|row| if should_continue() { choose(codes, candidates(graph, *row)) } else { Vec::new() })
        .collect();
    let mut inward: Vec<Vec<u32>> = vec![Vec::new(); codes.len()];
    for (row, links) in rows.iter().zip(&outward) {
        for other in links {
            inward[*other as usize].push(*row);
        }
    }
    let both_ways: Vec<Vec<u32>> = rows
        .par_iter()
        .zip(outward)
        .map(|(row, mut outward)| {
            outward.extend(&inward[*row as usize]);
            outward.sort_unstable();
            outward.dedup();
            if outward.len() <= MAX_LINKS || !should_continue() {
                return outward;
            }
            choose(codes, with_cosines(codes, *row, &outward))
        })
        .collect();
    should_continue()
        .then(|| RowLists::new(codes.len(), rows.iter().copied().zip(ensure_inbound_links(codes, rows, both_ways))))
}

/// Ensures that at least one of the nearest rows of every row links to it. A search for a row passes by its nearest
/// rows; other rows that link to it may be out of reach of any search.
fn ensure_inbound_links(codes: &QuantizedVectors, rows: &[u32], mut links: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
    const NEAREST: usize = 3;
    let nearest_of = |(row, links): (&u32, &Vec<u32>)| {
        let near = with_cosines(codes, *row, links);
        let at = |(_, other): &Candidate| rows.binary_search(other).expect("links lead to rows of the graph");
        near.iter().take(NEAREST).map(at).collect()
    };
    let nearest: Vec<Vec<usize>> = rows.par_iter().zip(&links).map(nearest_of).collect();
    for (row, nearest) in rows.iter().zip(nearest) {
        if !nearest.iter().any(|at| links[*at].contains(row))
            && let Some(at) = nearest.into_iter().min_by_key(|at| links[*at].len())
        {
            links[at].push(*row);
        }
    }
    links
}

/// A row, after its cosine to the row whose links are selected.
type Candidate = (f32, u32);

fn candidates(graph: &Graph, row: u32) -> Vec<Candidate> {
    let codes = graph.codes();
    let found = graph.search(&coded_row(codes, row), Breadth::of_links(SEARCH_WIDTH), 0);
    let mut rows: Vec<u32> =
        found.iter().map(|entry| entry.row()).chain(graph.data.neighbors.of(row as usize).iter().copied()).collect();
    rows.sort_unstable();
    rows.dedup();
    rows.retain(|other| *other != row);
    with_cosines(codes, row, &rows)
}

/// Other rows with their cosines, nearest first.
fn with_cosines(codes: &QuantizedVectors, row: u32, others: &[u32]) -> Vec<Candidate> {
    let mut candidates: Vec<_> = others.iter().map(|other| (cosine(codes, row, *other), *other)).collect();
    candidates.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    candidates
}

/// Selects links in different directions from candidates, nearest first, and fills up with the nearest of the others.
fn choose(codes: &QuantizedVectors, candidates: Vec<Candidate>) -> Vec<u32> {
    let (mut taken, mut left) = (Vec::with_capacity(MAX_LINKS), Vec::new());
    for (near, other) in candidates {
        if taken.len() == MAX_LINKS {
            break;
        }
        if taken.iter().all(|kept| cosine(codes, other, *kept) < near) {
            taken.push(other);
        } else {
            left.push(other);
        }
    }
    let room = MAX_LINKS - taken.len();
    taken.extend(left.into_iter().take(room));
    taken
}
