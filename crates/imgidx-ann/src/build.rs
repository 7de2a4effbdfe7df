//! Building a graph in the background: from checked codes to a published file.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::audit::audit;
use super::duplicate_rows::DuplicateRows;
use super::folder::{DerivedFolder, Making};
use super::graph::{DamagedFile, Graph};
use super::graph_file::{self, Audit, GraphFacts, GraphOptions};
use super::hnsw;
use super::links::Links;
use super::quantized::QuantizedVectors;
use super::refine::refine;
use crate::error::{Error, Result};
use imgidx_types::ModelId;

/// Memory that building a graph over so many vectors takes beside the mapped codes, in bytes.
pub fn graph_memory(vectors: u64) -> u64 {
    vectors * hnsw::BYTES_PER_VECTOR
}

/// Builds and publishes the graph over some codes, on the threads of the current rayon pool.
///
/// Returns `None` if another process is building one, or `go_on` ended it.
///
/// # Errors
/// When the codes are damaged (they are set aside then), or the graph cannot be written.
pub fn build_graph(
    folder: &DerivedFolder,
    model: &ModelId,
    codes: &Arc<QuantizedVectors>,
    options: GraphOptions,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Graph>> {
    let Some(_lock) = folder.lock_for(Making::Graph)? else { return Ok(None) };
    let start = Instant::now();
    let damaged = |_| {
        folder.set_aside(codes.path());
        Error::Damaged { path: codes.path().to_owned(), reason: "it does not match its checksums".into() }
    };
    codes.check_all().map_err(damaged)?;
    let (twins, rows) = DuplicateRows::find(codes).map_err(damaged)?;
    let Some(mut links) = hnsw::build(codes, &rows, options, go_on) else { return Ok(None) };

    // To be searched before it is published it has to be a file already.
    let failed = |error: io::Error| Error::io("write in", folder.path())(error);
    let write = |audit: Audit, links: &Links| {
        let facts = GraphFacts { options, audit, build_seconds: start.elapsed().as_secs_f32() };
        graph_file::write(folder, codes, links, &twins, &facts).map_err(failed)
    };
    let draft = |links: &Links| {
        let file = write(Audit::default(), links)?;
        Ok::<_, Error>(Graph::open_draft(file.path(), codes.clone()).expect("it was just written"))
    };
    let Some(neighbors) = refine(&draft(&links)?, &rows, go_on) else { return Ok(None) };
    links.neighbors = neighbors;
    let Some(audit) = audit(&draft(&links)?, &rows, go_on).map_err(damaged)? else { return Ok(None) };
    let file = write(audit, &links)?;
    fail::fail_point!("graph-written", |_| std::process::abort());
    let seal = codes.status().seal.to_hex();
    let path = folder.graph(model, &seal).expect("a seal is a part of a name");
    file.publish(&path).map_err(failed)?;
    fail::fail_point!("graph-renamed", |_| std::process::abort());
    let opened = Graph::open(folder, model, codes.clone());
    opened.map_err(|DamagedFile(path)| Error::Damaged { path, reason: "it is not as it was just written".into() })
}
