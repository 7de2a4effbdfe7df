//! Building a graph in the background, from verified quantized vectors to a published file.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::audit::audit;
use super::duplicate_rows::DuplicateRows;
use super::folder::{DerivedFolder, DerivedKind};
use super::graph::{DamagedFile, Graph};
use super::graph_file::{self, GraphData, GraphOptions, GraphStatus};
use super::hnsw;
use super::quantized::QuantizedVectors;
use super::refine::refine;
use crate::error::{Error, Result};
use imgidx_types::ModelId;

/// The memory in bytes that building a graph over `vectors` vectors takes, without the mapped quantized vectors.
pub fn graph_memory(vectors: u64) -> u64 {
    vectors * hnsw::BYTES_PER_VECTOR
}

/// Builds and publishes the graph over quantized vectors, on the threads of the current rayon pool.
///
/// Returns `None` if another process is building a graph, or `should_continue` returns false.
///
/// # Errors
/// If the quantized vectors are damaged, in which case they are set aside, or the graph cannot be written.
pub fn build_graph(
    folder: &DerivedFolder,
    model: &ModelId,
    codes: &Arc<QuantizedVectors>,
    options: GraphOptions,
    should_continue: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Graph>> {
    let Some(_lock) = folder.lock_for(DerivedKind::Graph)? else { return Ok(None) };
    let start = Instant::now();
    let damaged = |_| {
        folder.set_aside(codes.path());
        Error::Damaged { path: codes.path().to_owned(), reason: "it does not match its checksums".into() }
    };
    codes.check_all().map_err(damaged)?;
    let (duplicates, rows) = DuplicateRows::find(codes).map_err(damaged)?;
    let Some((entry_points, neighbors)) = hnsw::build(codes, &rows, options, should_continue) else { return Ok(None) };

    let status = GraphStatus {
        vectors: codes.len() as u64,
        links: options.links,
        ef_construction: options.ef_construction,
        ..GraphStatus::default()
    };
    let data = GraphData { status, entry_points, neighbors, missed: Vec::new(), duplicates };
    let draft = Graph::new(codes.clone(), data);
    let Some(neighbors) = refine(&draft, &rows, should_continue) else { return Ok(None) };
    let draft = Graph::new(codes.clone(), GraphData { neighbors, ..draft.into_data() });
    let audited = audit(&draft, &rows, should_continue).map_err(damaged)?;
    let Some((missed, ef, recall)) = audited else { return Ok(None) };
    let mut data = draft.into_data();
    let build_seconds = start.elapsed().as_secs_f32();
    data.status = GraphStatus { ef, missed: missed.len() as u64, recall, build_seconds, ..data.status };
    data.missed = missed;
    let failed = |error: io::Error| Error::io("write to", folder.path())(error);
    let file = graph_file::write(folder, codes, &data).map_err(failed)?;
    fail::fail_point!("graph-written", |_| std::process::abort());
    let seal = codes.status().seal.to_hex();
    let path = folder.graph(model, &seal).expect("the seal of an open file is valid");
    file.publish(&path).map_err(failed)?;
    fail::fail_point!("graph-renamed", |_| std::process::abort());
    let opened = Graph::open(folder, model, codes.clone());
    opened.map_err(|DamagedFile(path)| Error::Damaged { path, reason: "it differs from what was written".into() })
}
