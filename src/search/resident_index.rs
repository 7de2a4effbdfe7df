//! The vector index of a long-running process: quantized vectors, newer vectors and the graph, kept in memory.

use std::path::Path;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, RwLock};

use super::derived_files;
use super::readers::{Reader, Readers};
use crate::ann::{GraphOptions, GraphStatus, Method, VectorIndex};
use crate::error::Result;
use crate::store::{Store, StoredModel};
use crate::types::ModelId;

/// Options of a resident [`Searcher`](super::Searcher).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearcherOptions {
    /// Maximum memory in bytes for quantized vectors and graph, also while the graph is built. If they would need more,
    /// every query scans. The default is half of the machine's memory.
    pub memory: u64,
    /// Minimum number of vectors for a graph. With fewer vectors, a scan is as fast.
    pub graph_from: u64,
    /// How the graph is built.
    pub graph: GraphOptions,
}

impl Default for SearcherOptions {
    fn default() -> Self {
        Self { memory: machine_memory() / 2, graph_from: 20_000, graph: GraphOptions::default() }
    }
}

fn machine_memory() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let info = rustix::system::sysinfo();
        info.totalram as u64 * u64::from(info.mem_unit)
    }
    #[cfg(not(target_os = "linux"))]
    {
        8 << 30
    }
}

/// The current status of a resident [`Searcher`](super::Searcher).
#[derive(Debug, Clone, PartialEq)]
pub struct SearcherStatus {
    /// How queries are answered.
    pub method: Method,
    /// Number of vectors in the file of quantized vectors.
    pub coded: u64,
    /// Number of newer vectors, whose codes are only in memory.
    pub recent: u64,
    /// The status of the graph, if there is one.
    pub graph: Option<GraphStatus>,
    /// Memory of quantized vectors and graph in bytes, with the pages of their files.
    pub memory_bytes: u64,
    /// Whether quantized vectors or a graph are being built.
    pub working: bool,
    /// Problems with derived files since this searcher was opened, and reasons for not using a graph.
    pub notes: Vec<String>,
}

/// The state that queries and the maintenance thread share.
pub(super) struct ResidentIndex {
    pub(super) model_id: ModelId,
    pub(super) options: SearcherOptions,
    readers: Arc<Readers>,
    index: RwLock<Arc<VectorIndex>>,
    /// Locked while new vectors are read into the index, so that only one thread does it.
    changing: Mutex<()>,
    pub(super) signals: Mutex<Signals>,
    pub(super) changed: Condvar,
}

impl std::fmt::Debug for ResidentIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResidentIndex").field("model", &self.model_id).finish_non_exhaustive()
    }
}

/// Signals between query threads and the maintenance thread.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// Asks the maintenance thread to end.
    pub stop: bool,
    /// Asks the maintenance thread to check whether work is due.
    pub check_due: bool,
    /// Whether the maintenance thread is working.
    pub working: bool,
    pub notes: Vec<String>,
}

impl ResidentIndex {
    /// An index with nothing in memory yet.
    pub(super) fn new(readers: Arc<Readers>, model_id: ModelId, options: SearcherOptions) -> Self {
        Self {
            model_id,
            options,
            readers,
            index: RwLock::default(),
            changing: Mutex::default(),
            signals: Mutex::new(Signals { check_due: true, ..Signals::default() }),
            changed: Condvar::new(),
        }
    }

    pub(super) fn database(&self) -> &Path {
        self.readers.database()
    }

    pub(super) fn reader(&self) -> Result<Reader<'_>> {
        self.readers.get()
    }

    pub(super) fn index(&self) -> Arc<VectorIndex> {
        self.index.read().clone()
    }

    fn set_index(&self, index: VectorIndex) {
        *self.index.write() = Arc::new(index);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.signals.lock().stop
    }

    /// Asks the maintenance thread to check whether work is due.
    fn wake(&self) {
        self.signals.lock().check_due = true;
        self.changed.notify_all();
    }

    pub(super) fn note(&self, text: String) {
        let mut signals = self.signals.lock();
        if signals.notes.last() != Some(&text) {
            signals.notes.push(text);
        }
    }

    /// The index with everything that has been committed.
    pub(super) fn current(&self, store: &Store, model: Option<&StoredModel>) -> Result<Arc<VectorIndex>> {
        let index = self.index();
        let Some(model) = model else { return Ok(index) };
        if index.is_resident() && store.last_vector(model.row)? <= index.last() {
            return Ok(index);
        }
        let _changing = self.changing.lock();
        let mut newer = (*self.index()).clone();
        if !newer.is_resident() {
            newer = VectorIndex::resident(None, None, model.dimension);
        }
        self.read_newer(&mut newer, store, model)?;
        if derived_files::is_due_in_memory(&newer) {
            self.wake();
        }
        self.set_index(newer);
        Ok(self.index())
    }

    fn read_newer(&self, index: &mut VectorIndex, store: &Store, model: &StoredModel) -> Result<()> {
        // Vectors beyond this number are read from the database by each query.
        let max_recent =
            usize::try_from(self.options.memory / (2 * model.dimension as u64).max(1)).unwrap_or(usize::MAX);
        store.for_each_vector(model.row, index.last(), |vector| {
            if index.recent() < max_recent {
                index.push(vector.id, &vector.embedding);
            }
            Ok(())
        })
    }

    /// Switches to other quantized vectors or another graph.
    pub(super) fn adopt(&self, mut index: VectorIndex, store: &Store, model: &StoredModel) -> Result<()> {
        // Most of the newer vectors are read before the lock is taken, so that queries hardly wait.
        self.read_newer(&mut index, store, model)?;
        if let Some(graph) = index.graph().map(|graph| graph.status()).filter(|status| !status.is_useful()) {
            let (recall, missed) = (100.0 * graph.recall, graph.missed);
            self.note(format!(
                "the graph has a recall of {recall:.1} % and misses {missed} vectors; queries scan all vectors instead"
            ));
        }
        let _changing = self.changing.lock();
        self.read_newer(&mut index, store, model)?;
        self.set_index(index);
        Ok(())
    }

    /// Discards an index whose quantized vectors are damaged.
    pub(super) fn discard(&self, index: &Arc<VectorIndex>) {
        let _changing = self.changing.lock();
        if Arc::ptr_eq(index, &self.index()) {
            self.set_index(VectorIndex::default());
        }
        self.note("the file of quantized vectors was damaged and is being rebuilt".into());
        self.wake();
    }
}
