//! Derived files: when quantized vectors or a graph are out of date, and how they are rebuilt.

use std::path::PathBuf;
use std::sync::Arc;

use crate::ann::{DamagedFile, DerivedFolder, Graph, GraphStatus, QuantizedVectors, UnpublishedVectors, VectorIndex};
use crate::error::Result;
use crate::store::{Store, StoredModel, Writer};
use crate::types::{ModelId, VectorId};

/// The quantized vectors are not rewritten for fewer new or deleted vectors than this.
const MIN_STALE_VECTORS: u64 = 512;
/// The same limit for a graph, which takes a thousand times as long to build.
const MIN_STALE_VECTORS_FOR_GRAPH: u64 = 10_000;

/// The folder of a database's derived files.
pub(crate) fn derived_folder(store: &Store) -> DerivedFolder {
    DerivedFolder::new(Store::beside(store.path(), "-ann"))
}

/// Opens the quantized vectors of a model, if there are any that belong to this state of the database.
pub(crate) fn open_codes(store: &Store, id: &ModelId, model: &StoredModel) -> Option<QuantizedVectors> {
    QuantizedVectors::open(&derived_folder(store), id, model.dimension, model.codes.as_deref()?)
}

/// The seals of a model's quantized vectors: the current ones, and the older ones that its graph was built over.
fn seals(model: &StoredModel) -> impl Iterator<Item = &str> {
    model.codes.as_deref().into_iter().chain(model.graph_codes.as_deref())
}

/// The status of the graph over a model's quantized vectors, or over older ones. The graph file is not verified.
pub(crate) fn graph_status(store: &Store, id: &ModelId, model: &StoredModel) -> Option<GraphStatus> {
    seals(model).find_map(|seal| Graph::peek(&derived_folder(store), id, seal))
}

/// How far a derived file lags behind the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Age {
    /// Number of vectors that the file covers.
    pub covered: u64,
    /// Number of vectors that are newer.
    pub newer: u64,
    /// Number of covered vectors that have been deleted.
    pub dead: u64,
}

impl Age {
    /// The age of quantized vectors; `None` if there are none.
    pub(crate) fn of(store: &Store, model: &StoredModel, codes: Option<&QuantizedVectors>) -> Result<Self> {
        let (count, _) = store.vector_count(model.row)?;
        let Some(codes) = codes else { return Ok(Self { covered: 0, newer: count, dead: 0 }) };
        let (covered, alive) = (codes.status().count, store.vectors_up_to(model.row, codes.status().last)?);
        Ok(Self { covered, newer: count - alive, dead: covered - alive.min(covered) })
    }

    /// Whether to rewrite quantized vectors. That takes seconds for a million vectors. Until then, a query reads newer
    /// vectors from the database, at 5 µs each.
    pub(crate) fn is_due_for_codes(self) -> bool {
        self.newer > MIN_STALE_VECTORS.max(self.covered / 50) || self.dead > MIN_STALE_VECTORS.max(self.covered / 5)
    }

    /// Whether to rebuild a graph, which takes many minutes for a million vectors.
    pub(crate) fn is_due_for_graph(self) -> bool {
        self.newer > MIN_STALE_VECTORS_FOR_GRAPH.max(self.covered / 10)
            || self.dead > MIN_STALE_VECTORS_FOR_GRAPH.max(self.covered / 5)
    }
}

/// Whether so many vectors exist only in memory that quantized vectors or a graph may be due.
pub(crate) fn is_due_in_memory(index: &VectorIndex) -> bool {
    let covered = index.codes().map_or(0, |codes| codes.status().count);
    let age = Age { covered, newer: index.recent() as u64, dead: 0 };
    if index.graph().is_some() { age.is_due_for_graph() } else { age.is_due_for_codes() }
}

/// The path of a model's graph, if its content is not what was written.
pub(crate) fn damaged_graph(store: &Store, id: &ModelId) -> Result<Option<PathBuf>> {
    let Some(model) = store.model(id)? else { return Ok(None) };
    let folder = derived_folder(store);
    Ok(seals(&model).find_map(|seal| {
        let codes = QuantizedVectors::open(&folder, id, model.dimension, seal)?;
        Graph::open(&folder, id, Arc::new(codes)).err().map(|DamagedFile(path)| path)
    }))
}

/// Rewrites the quantized vectors if too many vectors were added or deleted since, or if `force` is set. Returns how
/// many vectors the new file covers, or `None` if none was written.
///
/// # Errors
/// If the file cannot be written. Queries are then slower but still correct.
pub(crate) fn refresh_codes(writer: &mut Writer, id: &ModelId, force: bool) -> Result<Option<u64>> {
    let written = write_codes(writer, id, force)?;
    written.map(|written| publish_codes(writer, id, written)).transpose()
}

/// Like [`refresh_codes`], but other processes can write to the database while the file is written, which takes seconds
/// for a million vectors. Also returns `None` if another process is writing.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn renew_codes(store: &Store, id: &ModelId) -> Result<Option<u64>> {
    // If another process is writing, the file could not be published.
    if Writer::try_open(store.path())?.is_none() {
        return Ok(None);
    }
    let Some(written) = write_codes(store, id, false)? else { return Ok(None) };
    let Some(mut writer) = Writer::try_open(store.path())? else { return Ok(None) };
    publish_codes(&mut writer, id, written).map(Some)
}

/// Writes quantized vectors under the conditions of [`refresh_codes`], but does not publish them.
fn write_codes(store: &Store, id: &ModelId, force: bool) -> Result<Option<UnpublishedVectors>> {
    let Some(model) = store.model(id)? else { return Ok(None) };
    if !force && !Age::of(store, &model, open_codes(store, id, &model).as_ref())?.is_due_for_codes() {
        return Ok(None);
    }
    QuantizedVectors::write(&derived_folder(store), id, model.dimension, |each| {
        store.for_each_vector(model.row, VectorId(0), |vector| Ok(each(vector.id, vector.embedding.as_slice())?))
    })
}

/// Publishes quantized vectors, and returns how many vectors they cover.
fn publish_codes(writer: &mut Writer, id: &ModelId, written: UnpublishedVectors) -> Result<u64> {
    let Some(model) = writer.model(id)? else { return Ok(0) };
    let folder = derived_folder(writer);
    let status = written.publish()?;
    // The graph over the previous quantized vectors stays in use together with the new ones.
    let graph_codes = seals(&model).find(|seal| Graph::peek(&folder, id, seal).is_some());
    let batch = writer.batch()?;
    batch.set_codes(model.row, &status.seal.to_hex(), graph_codes)?;
    batch.commit()?;
    fail::fail_point!("codes-committed", |_| std::process::abort());
    collect(writer)?;
    Ok(status.count)
}

/// Removes derived files that are no longer in use.
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
