//! A searcher that stays: many threads ask at once, while pictures are added.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

use super::derived_files;
use super::examine::{Examined, Eye, examine};
use super::maintenance;
use super::neighbors::Lookup;
use super::query::{Answer, Derived, Query, QueryImage};
use crate::ann::{GraphOptions, GraphStatus, Method, VectorIndex};
use crate::error::Result;
use crate::store::{ModelRow, Store, StoredModel};
use crate::types::{Embedding, ModelId};

/// How a [`Searcher`] works.
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

/// What a [`Searcher`] uses at present.
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

/// Answers queries from memory, for processes that stay. It can be used by many threads at once.
///
/// QuantizedVectors and graph are mapped files. A thread of its own makes them when they are missing, damaged or too old;
/// until then queries scan, and the answers are the same. What any process commits is in the answer of the next query.
#[derive(Debug)]
pub struct Searcher {
    shared: Arc<Shared>,
    maintenance: Option<JoinHandle<()>>,
}

/// Looks at pictures that are not indexed, from many threads.
pub(crate) trait SharedEye: Eye + std::fmt::Debug + Send + Sync {
    /// Whether the model is in memory.
    fn is_loaded(&self) -> bool;
    /// Gives back the memory of the model, until a picture needs it again.
    fn unload(&self);
}

/// What the threads share.
pub(super) struct Shared {
    pub database: PathBuf,
    pub model_id: ModelId,
    pub model_name: String,
    pub options: SearcherOptions,
    eye: Box<dyn SharedEye>,
    /// Connections that nobody uses at the moment.
    readers: Mutex<Vec<Store>>,
    index: RwLock<Arc<VectorIndex>>,
    /// OrphanState by who reads new vectors into the index, so that it is done once.
    changing: Mutex<()>,
    pub signals: Mutex<Signals>,
    pub changed: Condvar,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("database", &self.database).finish_non_exhaustive()
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

/// A connection that goes back to the others when it is no longer used.
pub(super) struct Reader<'a> {
    shared: &'a Shared,
    store: Option<Store>,
}

impl Deref for Reader<'_> {
    type Target = Store;

    fn deref(&self) -> &Store {
        self.store.as_ref().expect("it is taken out only when this is dropped")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        locked(&self.shared.readers).extend(self.store.take());
    }
}

/// No state behind these locks is ever half changed, so that a panic elsewhere does not matter.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Searcher {
    /// Starts a searcher; `eye` is for pictures that are not indexed.
    pub(crate) fn start(
        database: PathBuf,
        model_id: ModelId,
        model_name: String,
        options: SearcherOptions,
        eye: Box<dyn SharedEye>,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            database,
            model_id,
            model_name,
            options,
            eye,
            readers: Mutex::default(),
            index: RwLock::default(),
            changing: Mutex::default(),
            signals: Mutex::new(Signals { look: true, ..Signals::default() }),
            changed: Condvar::new(),
        });
        // What is there already is used from the first query on.
        maintenance::adopt(&shared)?;
        let for_thread = shared.clone();
        let thread =
            std::thread::Builder::new().name("maintenance".into()).spawn(move || maintenance::run(&for_thread));
        let thread = thread.map_err(crate::error::Error::io("start a thread for", &shared.database))?;
        Ok(Self { shared, maintenance: Some(thread) })
    }

    /// As [`Index::similar`](crate::Index::similar).
    ///
    /// # Errors
    /// When a picture cannot be used, or the database, the model or ONNX Runtime fails.
    pub fn similar(&self, query: &Query, count: usize) -> Result<Answer> {
        let shared = &*self.shared;
        let store = shared.reader()?;
        let model = store.model(&shared.model_id)?;
        let row = model.as_ref().map_or(ModelRow::NONE, |model| model.row);
        let examine_all = |images: &[QueryImage]| -> Result<Vec<Examined>> {
            images.iter().map(|image| examine(image, &store, row, &*shared.eye)).collect()
        };
        let (plus, minus) = (examine_all(&query.plus)?, examine_all(&query.minus)?);
        shared.answer(&store, model, |lookup, index| lookup.similar(index, query, &plus, &minus, count))
    }

    /// The pictures whose vectors are nearest to a vector of the same model; of the query, its threshold, filter and
    /// exactness are used.
    ///
    /// # Errors
    /// When the vector has another dimension than the model's, or the database fails.
    pub fn similar_to(&self, vector: &Embedding, query: &Query, count: usize) -> Result<Answer> {
        let store = self.shared.reader()?;
        let model = store.model(&self.shared.model_id)?;
        self.shared.answer(&store, model, |lookup, index| lookup.similar_to(index, query, vector, &[], count))
    }

    /// The model whose vectors are compared.
    pub fn model(&self) -> ModelId {
        self.shared.model_id
    }

    /// Whether the model is in memory.
    pub fn is_model_loaded(&self) -> bool {
        self.shared.eye.is_loaded()
    }

    /// Gives back the memory of the model, until a picture that is not indexed needs it again.
    pub fn unload_model(&self) {
        self.shared.eye.unload();
    }

    /// What is used at present.
    pub fn status(&self) -> SearcherStatus {
        let index = self.shared.index();
        let signals = locked(&self.shared.signals);
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

    /// Waits until codes and graph are as current as they are going to be.
    pub fn wait_until_settled(&self) {
        let signals = locked(&self.shared.signals);
        let settled = self.shared.changed.wait_while(signals, |signals| signals.working || signals.look);
        drop(settled.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Searcher {
    fn drop(&mut self) {
        locked(&self.shared.signals).stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.maintenance.take() {
            // It has said what went wrong, if anything did.
            let _ = thread.join();
        }
    }
}

impl Shared {
    pub(super) fn reader(&self) -> Result<Reader<'_>> {
        let free = locked(&self.readers).pop();
        let store = free.map_or_else(|| Store::open(&self.database), Ok)?;
        Ok(Reader { shared: self, store: Some(store) })
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

    fn answer(
        &self,
        store: &Store,
        model: Option<StoredModel>,
        ask: impl FnOnce(&Lookup<'_>, &VectorIndex) -> Result<Answer>,
    ) -> Result<Answer> {
        let _snapshot = store.snapshot()?;
        let index = self.current(store, model.as_ref())?;
        let answer = ask(&Lookup { store, model_id: self.model_id, model_name: &self.model_name, model }, &index)?;
        if answer.derived == Derived::Lost {
            self.lose(&index);
        }
        Ok(answer)
    }

    /// The index with everything that is committed.
    fn current(&self, store: &Store, model: Option<&StoredModel>) -> Result<Arc<VectorIndex>> {
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
    fn lose(&self, index: &Arc<VectorIndex>) {
        let _changing = locked(&self.changing);
        if Arc::ptr_eq(index, &self.index()) {
            self.set_index(VectorIndex::default());
        }
        self.note("the file of codes was damaged; it is being made again".into());
        self.wake();
    }
}
