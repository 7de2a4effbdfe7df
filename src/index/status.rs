//! The state of an index.

use std::path::PathBuf;

use serde::Serialize;

use super::{ActiveModel, Index};
use crate::ann::{GraphStatus, Method};
use crate::error::Result;
use crate::search::{Age, open_codes, peek_graph};
use crate::store::{Counts, FailureRow, Root, RootState, RunRow, StoredModel};
use crate::types::ImageType;

/// The state of an index, as `status` tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The database file.
    pub database: PathBuf,
    /// How much is indexed.
    pub counts: Counts,
    /// The roots.
    pub roots: Vec<RootStatus>,
    /// Pictures of each type, the most frequent one first.
    pub types: Vec<(ImageType, u64)>,
    /// Pictures that were not measured yet, so that their types are not known.
    pub unmeasured: u64,
    /// The labels that most pictures have in the first place, and how many these are, the most frequent one first.
    pub labels: Vec<(String, u64)>,
    /// Name of the model in use.
    pub model: String,
    /// The nearest-neighbour index of that model.
    pub index: NeighborStatus,
    /// Files that could not be indexed.
    pub failures: u64,
}

/// A root, as `status` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootStatus {
    /// Its path.
    pub path: PathBuf,
    /// Whether it was there when it was last decoded at.
    pub state: RootState,
    /// Present files in it.
    pub files: u64,
    /// Files among them that have vanished, too many at once to be believed.
    pub vanished: u64,
}

/// The nearest-neighbour index, as `status` tells it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NeighborStatus {
    /// Vectors of the model.
    pub rows: u64,
    /// Vectors that the file of codes covers.
    pub snapshot: u64,
    /// Vectors that are newer than it.
    pub delta: u64,
    /// Vectors that it covers and that are gone.
    pub dead: u64,
    /// Length of the file of codes in bytes.
    pub bytes: u64,
    /// How a query by a process that asks once is answered.
    pub method: Method,
    /// The graph for processes that stay, if one was built.
    pub graph: Option<GraphStatus>,
    /// Pictures that the model has no vector of.
    pub pending: u64,
}

/// Labels that are told.
const TOP_LABELS: usize = 10;

impl Index {
    /// How many indexed pictures were not measured yet by the rules of this version: nothing is known of their types and
    /// colours.
    ///
    /// # Errors
    /// When the database fails.
    pub fn unmeasured(&self) -> Result<u64> {
        self.store.unmeasured(self.store.held()?)
    }

    /// What could not be indexed, and why.
    ///
    /// # Errors
    /// When the database fails.
    pub fn failures(&self) -> Result<Vec<FailureRow>> {
        self.store.failures(self.model_row()?)
    }

    /// Why files were skipped, and how many for each reason.
    ///
    /// # Errors
    /// When the database fails.
    pub fn skipped_reasons(&self) -> Result<Vec<(String, u64)>> {
        self.store.skipped_reasons()
    }

    /// How the last runs of [`Index::add`] went, the latest one first; a hundred are kept.
    ///
    /// # Errors
    /// When the database fails.
    pub fn runs(&self, count: usize) -> Result<Vec<RunRow>> {
        self.store.runs(count)
    }

    /// The state of the index.
    ///
    /// # Errors
    /// When the database fails.
    pub fn status(&self) -> Result<Status> {
        let active = self.active_model()?;
        let row = self.model_row()?;
        let held = self.store.held()?;
        let _snapshot = self.store.snapshot()?;
        let files = self.store.files_in_roots()?;
        let root_status = |root: Root| {
            let files = files.get(&root.id).copied().unwrap_or(0);
            RootStatus { path: root.path, state: root.state, files, vanished: root.vanished }
        };
        let model = self.store.model(&active.id)?;
        let index = self.neighbor_status(&active, model)?;
        Ok(Status {
            database: self.path().to_owned(),
            counts: self.store.counts(held)?,
            roots: self.store.roots()?.into_iter().map(root_status).collect(),
            types: self.store.count_types(held)?,
            unmeasured: self.store.unmeasured(held)?,
            labels: self.store.top_labels(row, held, TOP_LABELS)?,
            model: active.name,
            index,
            failures: self.store.count_failures(row)?,
        })
    }

    fn neighbor_status(&self, active: &ActiveModel, model: Option<StoredModel>) -> Result<NeighborStatus> {
        let pending = self.lookup(active, model.clone()).pending()?;
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
        let Some(model) = model else { return Ok(empty) };
        let (rows, _) = self.store.vector_count(model.row)?;
        let codes = open_codes(&self.store, &active.id, &model).map(|codes| codes.status());
        let age = Age::of(&self.store, &model, codes.map(|codes| (codes.count, codes.last)))?;
        let graph = peek_graph(&self.store, &active.id, &model);
        let bytes = codes.map_or(0, |codes| codes.bytes);
        Ok(NeighborStatus { rows, snapshot: age.covered, delta: age.newer, dead: age.dead, bytes, graph, ..empty })
    }
}
