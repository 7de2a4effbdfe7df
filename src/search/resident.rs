//! The vector index of a long-running process: quantized vectors, newer vectors and the graph, kept in memory by a
//! thread.

use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex, RwLock};

use super::readers::Readers;
use super::{derived_files, maintenance};
use crate::ann::{GraphOptions, GraphStatus, Method, VectorIndex};
use crate::error::{Error, Result};
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
    /// Memory in bytes of the quantized vectors, with the pages of their file, and of the graph.
    pub memory_bytes: u64,
    /// Whether quantized vectors or a graph are being built.
    pub working: bool,
    /// Problems with derived files since this searcher was opened, and reasons for not using a graph.
    pub notes: Vec<String>,
}

/// The vector index of one model, which a maintenance thread keeps current until it is dropped.
///
/// Quantized vectors are a memory-mapped file, and the graph is read from a file. The thread rebuilds them if they are
/// missing, damaged or out of date. Until then queries scan, with the same answers. A query sees everything that any
/// process has committed before.
#[derive(Debug)]
pub(super) struct Resident {
    pub(super) index: Arc<ResidentIndex>,
    thread: Option<JoinHandle<()>>,
}

impl Resident {
    /// Opens the existing derived files and starts the maintenance thread.
    ///
    /// # Errors
    /// If the database fails, or the thread cannot be started.
    pub(super) fn start(readers: Arc<Readers>, model_id: ModelId, options: SearcherOptions) -> Result<Self> {
        let index = Arc::new(ResidentIndex {
            model_id,
            options,
            readers,
            index: RwLock::default(),
            changing: Mutex::default(),
            signals: Mutex::new(Signals { check_due: true, ..Signals::default() }),
            changed: Condvar::new(),
        });
        // The first query already uses the existing files.
        maintenance::adopt(&index)?;
        let for_thread = index.clone();
        let thread =
            std::thread::Builder::new().name("maintenance".into()).spawn(move || maintenance::run(&for_thread));
        let thread = thread.map_err(Error::io("start a thread for", index.readers.database()))?;
        Ok(Self { index, thread: Some(thread) })
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        self.index.signals.lock().stop = true;
        self.index.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // The thread has already noted any error.
            let _ = thread.join();
        }
    }
}

/// The state that queries and the maintenance thread share.
#[derive(Debug)]
pub(super) struct ResidentIndex {
    pub(super) model_id: ModelId,
    pub(super) options: SearcherOptions,
    pub(super) readers: Arc<Readers>,
    index: RwLock<Arc<VectorIndex>>,
    /// Locked while new vectors are read into the index, so that only one thread does it.
    changing: Mutex<()>,
    pub(super) signals: Mutex<Signals>,
    pub(super) changed: Condvar,
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

impl Signals {
    fn is_at_work(&self) -> bool {
        self.working || self.check_due
    }
}

impl ResidentIndex {
    pub(super) fn index(&self) -> Arc<VectorIndex> {
        self.index.read().clone()
    }

    fn set_index(&self, index: VectorIndex) {
        *self.index.write() = Arc::new(index);
    }

    pub(super) fn status(&self) -> SearcherStatus {
        let index = self.index();
        let signals = self.signals.lock();
        let codes = index.codes().map(|codes| codes.status());
        SearcherStatus {
            method: index.method(),
            coded: codes.map_or(0, |codes| codes.count),
            recent: index.recent() as u64,
            graph: index.graph().map(|graph| graph.status().clone()),
            memory_bytes: codes.map_or(0, |codes| codes.bytes) + index.graph().map_or(0, |graph| graph.bytes()),
            working: signals.is_at_work(),
            notes: signals.notes.clone(),
        }
    }

    pub(super) fn wait_until_settled(&self) {
        self.changed.wait_while(&mut self.signals.lock(), |signals| signals.is_at_work());
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
