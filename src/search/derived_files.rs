//! The derived_files of derived files: when a file of codes or a graph is too old, and making the next one.

use std::path::PathBuf;
use std::sync::Arc;

use crate::ann::{DamagedFile, DerivedFolder, Graph, GraphStatus, QuantizedVectors, UnpublishedVectors, VectorIndex};
use crate::error::Result;
use crate::store::{Store, StoredModel, Writer};
use crate::types::{ModelId, VectorId};

/// Vectors that may be newer than the file of codes, or deleted, before it is written again, at least.
const SMALL: u64 = 512;
/// The same for a graph, which takes a thousand times as long.
const SMALL_FOR_GRAPH: u64 = 10_000;

/// The folder of derived files of a database.
pub(crate) fn derived_folder(store: &Store) -> DerivedFolder {
    DerivedFolder::new(Store::beside(store.path(), "-ann"))
}

/// The file of codes of a model, if there is one that belongs to this state of the database.
pub(crate) fn open_codes(store: &Store, id: &ModelId, model: &StoredModel) -> Option<QuantizedVectors> {
    QuantizedVectors::open(&derived_folder(store), id, model.dimension, model.codes.as_deref()?)
}

/// The graph that goes with a model's codes, or with older ones, as far as its file tells without being checked.
pub(crate) fn peek_graph(store: &Store, id: &ModelId, model: &StoredModel) -> Option<GraphStatus> {
    let folder = derived_folder(store);
    let seals = [model.codes.as_deref(), model.graph_codes.as_deref()];
    seals.into_iter().flatten().find_map(|seal| Graph::peek(&folder, id, seal))
}

/// How far something derived is behind the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Age {
    /// Vectors that it covers.
    pub covered: u64,
    /// Vectors that are newer.
    pub newer: u64,
    /// Vectors that it covers and that are gone.
    pub dead: u64,
}

impl Age {
    /// Of what covers so many vectors up to the one with the id `last`; of nothing if there is none.
    pub(crate) fn of(store: &Store, model: &StoredModel, covered: Option<(u64, VectorId)>) -> Result<Self> {
        let (count, _) = store.vector_count(model.row)?;
        let Some((covered, last)) = covered else { return Ok(Self { covered: 0, newer: count, dead: 0 }) };
        let alive = store.vectors_up_to(model.row, last)?;
        Ok(Self { covered, newer: count - alive, dead: covered - alive.min(covered) })
    }

    /// Whether codes should be written again: they take seconds for a million vectors, and a query reads what is
    /// newer from the database at 5 µs each.
    pub(crate) fn is_due_for_codes(self) -> bool {
        self.newer > SMALL.max(self.covered / 50) || self.dead > SMALL.max(self.covered / 5)
    }

    /// Whether a graph should be built again, which takes many minutes for a million vectors.
    pub(crate) fn is_due_for_graph(self) -> bool {
        self.newer > SMALL_FOR_GRAPH.max(self.covered / 10) || self.dead > SMALL_FOR_GRAPH.max(self.covered / 5)
    }
}

/// Whether so many vectors are in memory only that codes or a graph may be due.
pub(crate) fn is_due_in_memory(index: &VectorIndex) -> bool {
    let covered = index.codes().map_or(0, |codes| codes.status().count);
    let age = Age { covered, newer: index.recent() as u64, dead: 0 };
    if index.graph().is_some() { age.is_due_for_graph() } else { age.is_due_for_codes() }
}

/// The graph of a model, if it is not as it was written.
pub(crate) fn damaged_graph(store: &Store, id: &ModelId, model: &StoredModel) -> Option<PathBuf> {
    let folder = derived_folder(store);
    let damaged = |seal: &str| {
        let codes = QuantizedVectors::open(&folder, id, model.dimension, seal)?;
        Graph::open(&folder, id, Arc::new(codes)).err().map(|DamagedFile(path)| path)
    };
    [model.codes.as_deref(), model.graph_codes.as_deref()].into_iter().flatten().find_map(damaged)
}

/// Brings the file of codes up to date when too many vectors are newer than it, or are gone; `force` always does. Tells
/// how many vectors it covers, if it was written.
///
/// # Errors
/// When it cannot be written, which leaves queries slower but right.
pub(crate) fn refresh_codes(writer: &mut Writer, id: &ModelId, force: bool) -> Result<Option<u64>> {
    let written = write_codes(writer, id, force)?;
    written.map(|written| publish_codes(writer, id, written)).transpose()
}

/// As [`refresh_codes`], but others can write to the database while the file is written, which takes seconds for a
/// million vectors; `None` also if another process is writing.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn renew_codes(store: &Store, id: &ModelId) -> Result<Option<u64>> {
    // To write the file for nothing would be a pity.
    if Writer::try_open(store.path())?.is_none() {
        return Ok(None);
    }
    let Some(written) = write_codes(store, id, false)? else { return Ok(None) };
    let Some(mut writer) = Writer::try_open(store.path())? else { return Ok(None) };
    publish_codes(&mut writer, id, written).map(Some)
}

/// Writes a file of codes, as [`refresh_codes`] does, that is yet to be published.
fn write_codes(store: &Store, id: &ModelId, force: bool) -> Result<Option<UnpublishedVectors>> {
    let Some(model) = store.model(id)? else { return Ok(None) };
    let current = open_codes(store, id, &model).map(Arc::new);
    let covered = current.as_ref().map(|codes| (codes.status().count, codes.status().last));
    if !force && !Age::of(store, &model, covered)?.is_due_for_codes() {
        return Ok(None);
    }
    QuantizedVectors::write(&derived_folder(store), id, model.dimension, |each| {
        store.for_each_vector(model.row, VectorId(0), |vector| Ok(each(vector.id, vector.embedding.as_slice())?))
    })
}

/// Publishes a file of codes. Tells how many vectors it covers.
fn publish_codes(writer: &mut Writer, id: &ModelId, written: UnpublishedVectors) -> Result<u64> {
    let Some(model) = writer.model(id)? else { return Ok(0) };
    let folder = derived_folder(writer);
    let status = written.publish()?;
    // The graph over the codes until now goes on being used, with these codes.
    let has_graph = |seal: &&String| Graph::peek(&folder, id, seal).is_some();
    let graph_codes = model.codes.as_ref().filter(has_graph).or(model.graph_codes.as_ref().filter(has_graph));
    let batch = writer.batch()?;
    batch.set_codes(model.row, &status.seal.to_hex(), graph_codes.map(String::as_str))?;
    batch.commit()?;
    fail::fail_point!("codes-committed", |_| std::process::abort());
    collect(writer)?;
    Ok(status.count)
}

/// Removes derived files that nothing uses any more.
pub(crate) fn collect(writer: &Writer) -> Result<()> {
    let mut current = Vec::new();
    for id in writer.models()? {
        if let Some(model) = writer.model(&id)? {
            current.extend(model.codes.into_iter().chain(model.graph_codes).map(|seal| (id, seal)));
        }
    }
    derived_folder(writer).collect(&current);
    Ok(())
}
