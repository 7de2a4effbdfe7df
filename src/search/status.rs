//! The state of an index.

use std::path::PathBuf;

use serde::Serialize;

use super::derived_files::{Age, graph_status, open_codes};
use super::lookup::Lookup;
use super::searcher::Searcher;
use crate::ann::{GraphStatus, Method};
use crate::error::Result;
use crate::store::{Counts, Root, RootState};
use crate::types::{ImageType, PathField};

/// The state of an index, as `status` shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The database file.
    pub database: PathBuf,
    /// Numbers of pictures and files.
    pub counts: Counts,
    /// The roots.
    pub roots: Vec<RootStatus>,
    /// Number of pictures of each type, the most frequent type first.
    pub types: Vec<(ImageType, u64)>,
    /// Number of pictures that have not been measured yet, so that their types are unknown.
    pub unmeasured: u64,
    /// Number of pictures that are indexed by the thumbnails in their files, until the next `add` reads them whole.
    pub provisional: u64,
    /// The most frequent top-ranked labels, with the number of their pictures, the most frequent label first.
    pub labels: Vec<(String, u64)>,
    /// Name of the model in use.
    pub model: String,
    /// The nearest-neighbour index of that model.
    pub index: NeighborStatus,
    /// Number of files that could not be indexed.
    pub failures: u64,
    /// Number of stored traces.
    pub traces: u64,
    /// Files and folders inside roots that `forget` has removed, and that scans leave out.
    pub forgotten: Vec<PathBuf>,
}

/// A root, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct RootStatus {
    /// Its path.
    #[serde(flatten, serialize_with = "PathField::serialize")]
    #[schemars(with = "PathField")]
    pub path: PathBuf,
    /// Whether it was available when it was last checked.
    pub state: RootState,
    /// Number of present files in it.
    pub files: u64,
    /// Whether the whole directory is indexed, or only files in it that were added one by one.
    pub recursive: bool,
    /// Number of files among them that disappeared in a mass deletion that is not confirmed yet.
    pub vanished: u64,
}

/// The nearest-neighbour index, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct NeighborStatus {
    /// Number of vectors of the model.
    pub rows: u64,
    /// Number of vectors that the file of quantized vectors covers.
    pub snapshot: u64,
    /// Number of vectors that are newer than the file.
    pub delta: u64,
    /// Number of covered vectors that have been deleted.
    pub dead: u64,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// How a process that runs a single query searches.
    pub method: Method,
    /// The graph for long-running processes, if one was built.
    pub graph: Option<GraphStatus>,
    /// Number of pictures without a vector of the model.
    pub pending: u64,
}

/// Maximum number of labels in a status.
const MAX_LABELS: usize = 10;

impl Searcher {
    /// The state of the index.
    ///
    /// # Errors
    /// If the database fails.
    pub fn status(&self) -> Result<Status> {
        let store = self.reader()?;
        let active = self.active(&store)?;
        let held = store.held()?;
        let _snapshot = store.snapshot()?;
        let files = store.files_in_roots()?;
        let root_status = |root: Root| {
            let files = files.get(&root.id).copied().unwrap_or(0);
            let Root { path, state, recursive, vanished, .. } = root;
            RootStatus { path, state, files, recursive, vanished }
        };
        let lookup = Lookup::new(&store, &active)?;
        Ok(Status {
            database: self.path().to_owned(),
            counts: store.counts(held)?,
            roots: store.roots()?.into_iter().map(root_status).collect(),
            types: store.count_types(held)?,
            unmeasured: store.unmeasured(held)?,
            provisional: store.provisional(held)?,
            labels: store.top_labels(lookup.row(), held, MAX_LABELS)?,
            index: neighbor_status(&lookup)?,
            failures: store.count_failures(lookup.row())?,
            traces: store.count_traces()?,
            forgotten: store.forgotten()?,
            model: active.name,
        })
    }
}

fn neighbor_status(lookup: &Lookup<'_>) -> Result<NeighborStatus> {
    let (store, id, pending) = (lookup.store, &lookup.active.id, lookup.pending()?);
    let empty = NeighborStatus {
        rows: 0,
        snapshot: 0,
        delta: 0,
        dead: 0,
        bytes: 0,
        method: Method::Scan,
        graph: None,
        pending,
    };
    let Some(model) = &lookup.model else { return Ok(empty) };
    let (rows, _) = store.vector_count(model.row)?;
    let codes = open_codes(store, id, model);
    let age = Age::of(store, model, codes.as_ref())?;
    let graph = graph_status(store, id, model);
    let bytes = codes.map_or(0, |codes| codes.status().bytes);
    Ok(NeighborStatus { rows, snapshot: age.covered, delta: age.newer, dead: age.dead, bytes, graph, ..empty })
}
