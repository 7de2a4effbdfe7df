//! The vector index of a process that stays: quantized vectors, what is newer than them, and the graph, kept in memory.

use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use super::derived_files;
use super::maintenance;
use super::readers::{Reader, Readers, locked};
use crate::ann::{GraphOptions, GraphStatus, Method, VectorIndex};
use crate::error::{Error, Result};
use crate::store::{Store, StoredModel};
use crate::types::ModelId;

/// How a resident [`Searcher`](super::Searcher) works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearcherOptions {
    /// Bytes of memory that codes and graph may take, also while the graph is built. Where they would take more, every
    /// query scans. By default half of the machine's memory.
    pub memory: u64,
    /// Vectors from which on a graph is built; a scan of fewer is as fast.
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

/// What a resident [`Searcher`](super::Searcher) uses at present.
#[derive(Debug, Clone, PartialEq)]
pub struct SearcherStatus {
    /// How queries are answered.
    pub method: Method,
    /// Vectors in the file of codes.
    pub coded: u64,
    /// Newer vectors, whose codes are in memory.
    pub recent: u64,
    /// The graph.
    pub graph: Option<GraphStatus>,
    /// Bytes of memory that codes and graph take, with the pages of their files.
    pub memory_bytes: u64,
    /// Whether codes or a graph are being made.
    pub working: bool,
    /// What was found wrong with derived files, or why there is no graph, since this searcher was opened.
    pub notes: Vec<String>,
}

/// The index of one model, kept current by a thread of its own until it is dropped.
///
/// Quantized vectors and graph are mapped files. The thread makes them when they are missing, damaged or too old; until then queries
/// scan, and the answers are the same. What any process commits is in the answer of the next query.
#[derive(Debug)]
pub(super) struct Resident {
    index: Arc<ResidentIndex>,
    thread: Option<JoinHandle<()>>,
}

/// What queries and the maintenance thread share.
pub(super) struct ResidentIndex {
    pub(super) model_id: ModelId,
    pub(super) options: SearcherOptions,
    readers: Arc<Readers>,
    index: RwLock<Arc<VectorIndex>>,
    /// Held by who reads new vectors into the index, so that it is done once.
    changing: Mutex<()>,
    pub(super) signals: Mutex<Signals>,
    pub(super) changed: Condvar,
}

impl std::fmt::Debug for ResidentIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResidentIndex").field("model", &self.model_id).finish_non_exhaustive()
    }
}

/// What asking threads and the maintenance thread tell each other.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// The maintenance thread is to end.
    pub stop: bool,
    /// The maintenance thread is to look whether something is due.
    pub look: bool,
    /// The maintenance thread is at it.
    pub working: bool,
    pub notes: Vec<String>,
}

impl Resident {
    /// Takes up what is on the disk and starts the thread.
    ///
    /// # Errors
    /// When the database fails, or no thread can be started.
    pub(super) fn start(readers: Arc<Readers>, model_id: ModelId, options: SearcherOptions) -> Result<Self> {
        let index = Arc::new(ResidentIndex {
            model_id,
            options,
            readers,
            index: RwLock::default(),
            changing: Mutex::default(),
            signals: Mutex::new(Signals { look: true, ..Signals::default() }),
            changed: Condvar::new(),
        });
        // What is there already is used from the first query on.
        maintenance::adopt(&index)?;
        let for_thread = index.clone();
        let thread =
            std::thread::Builder::new().name("maintenance".into()).spawn(move || maintenance::run(&for_thread));
        let thread = thread.map_err(Error::io("start a thread for", index.readers.database()))?;
        Ok(Self { index, thread: Some(thread) })
    }

    pub(super) fn index(&self) -> &ResidentIndex {
        &self.index
    }

    pub(super) fn status(&self) -> SearcherStatus {
        let index = self.index.index();
        let signals = locked(&self.index.signals);
        let codes = index.codes().map(|codes| codes.status());
        SearcherStatus {
            method: index.method(),
            coded: codes.map_or(0, |codes| codes.count),
            recent: index.recent() as u64,
            graph: index.graph().map(|graph| graph.status().clone()),
            memory_bytes: codes.map_or(0, |codes| codes.bytes) + index.graph().map_or(0, |graph| graph.bytes()),
            working: signals.working || signals.look,
            notes: signals.notes.clone(),
        }
    }

    pub(super) fn wait_until_settled(&self) {
        let signals = locked(&self.index.signals);
        let settled = self.index.changed.wait_while(signals, |signals| signals.working || signals.look);
        drop(settled.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        locked(&self.index.signals).stop = true;
        self.index.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has noted what went wrong, if anything did.
            let _ = thread.join();
        }
    }
}

impl ResidentIndex {
    pub(super) fn reader(&self) -> Result<Reader<'_>> {
        self.readers.get()
    }

    pub(super) fn index(&self) -> Arc<VectorIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_index(&self, index: VectorIndex) {
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(index);
    }

    pub(super) fn is_stopped(&self) -> bool {
        locked(&self.signals).stop
    }

    /// Asks the maintenance thread to look whether something is due.
    fn wake(&self) {
        locked(&self.signals).look = true;
        self.changed.notify_all();
    }

    pub(super) fn note(&self, text: String) {
        let mut signals = locked(&self.signals);
        if signals.notes.last() != Some(&text) {
            signals.notes.push(text);
        }
    }

    /// The index with everything that is committed.
    pub(super) fn current(&self, store: &Store, model: Option<&StoredModel>) -> Result<Arc<VectorIndex>> {
        let index = self.index();
        let Some(model) = model else { return Ok(index) };
        if index.is_resident() && store.last_vector(model.row)? <= index.last() {
            return Ok(index);
        }
        let _changing = locked(&self.changing);
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
        // What does not fit is read from the database by each query.
        let most = usize::try_from(self.options.memory / (2 * model.dimension as u64).max(1)).unwrap_or(usize::MAX);
        store.for_each_vector(model.row, index.last(), |vector| {
            if index.recent() < most {
                index.push(vector.id, &vector.embedding);
            }
            Ok(())
        })
    }

    /// Goes over to other codes or another graph.
    pub(super) fn adopt(&self, mut index: VectorIndex, store: &Store, model: &StoredModel) -> Result<()> {
        // The most of what is newer is read before anybody has to wait for it.
        self.read_newer(&mut index, store, model)?;
        if let Some(graph) = index.graph().map(|graph| graph.status()).filter(|status| !status.is_useful()) {
            let (recall, missed) = (100.0 * graph.recall, graph.missed);
            self.note(format!(
                "the graph finds {recall:.1} % and leads nowhere near {missed} vectors: queries scan instead"
            ));
        }
        let _changing = locked(&self.changing);
        self.read_newer(&mut index, store, model)?;
        self.set_index(index);
        Ok(())
    }

    /// Gives up an index whose codes are damaged.
    pub(super) fn lose(&self, index: &Arc<VectorIndex>) {
        let _changing = locked(&self.changing);
        if Arc::ptr_eq(index, &self.index()) {
            self.set_index(VectorIndex::default());
        }
        self.note("the file of codes was damaged; it is being made again".into());
        self.wake();
    }
}
