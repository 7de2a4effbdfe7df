//! The maintenance: a searcher's thread that makes codes and graphs when they are missing, damaged or too old.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::derived_files::{Age, derived_folder, open_codes, renew_codes};
use super::readers::locked;
use super::resident::{ResidentIndex, Signals};
use crate::ann::{DamagedFile, Graph, QuantizedVectors, VectorIndex, build_graph, graph_memory};
use crate::error::{Error, Result};
use crate::store::{Store, StoredModel};

/// How long to wait for the writer's lock, or for another process that builds a graph, before looking again.
const RETRY: Duration = Duration::from_secs(5);

/// How long to wait when nothing is due and nobody asks.
const LOOK_AGAIN: Duration = Duration::from_secs(24 * 3600);

/// Whether all that was due is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Maintained {
    Current,
    /// Another process has a lock.
    Later,
}

/// Looks after the files until the searcher is dropped.
pub(super) fn run(resident: &ResidentIndex) {
    let mut kept = Maintained::Later;
    loop {
        let pause = if kept == Maintained::Later { RETRY } else { LOOK_AGAIN };
        let idle = |signals: &mut Signals| !signals.stop && !signals.look;
        let waited = resident.changed.wait_timeout_while(locked(&resident.signals), pause, idle);
        let (mut signals, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if signals.stop {
            return;
        }
        (signals.look, signals.working) = (false, true);
        drop(signals);
        kept = keep(resident).unwrap_or_else(|error| {
            resident.note(error.to_string());
            Maintained::Current
        });
        locked(&resident.signals).working = false;
        resident.changed.notify_all();
    }
}

/// Takes up what is on the disk already.
pub(super) fn adopt(resident: &ResidentIndex) -> Result<()> {
    let store = resident.reader()?;
    let Some(model) = store.model(&resident.model_id)? else { return Ok(()) };
    let codes = open_codes(&store, &resident.model_id, &model).map(Arc::new);
    let graph = open_graph(resident, &store, &model, codes.as_ref());
    resident.adopt(VectorIndex::resident(codes, graph.map(Arc::new), model.dimension), &store, &model)
}

/// Does what is due.
fn keep(resident: &ResidentIndex) -> Result<Maintained> {
    let store = resident.reader()?;
    let Some(mut model) = store.model(&resident.model_id)? else { return Ok(Maintained::Current) };
    let mut kept = Maintained::Current;
    let mut codes = open_codes(&store, &resident.model_id, &model).map(Arc::new);
    if model.codes.is_some() && codes.is_none() {
        resident.note("the file of codes was gone or damaged; it is being made again".into());
    }
    if age(&store, &model, codes.as_ref())?.is_due_for_codes() {
        if renew_codes(&store, &resident.model_id)?.is_none() {
            kept = Maintained::Later;
        }
        model = store.model(&resident.model_id)?.unwrap_or(model);
        codes = open_codes(&store, &resident.model_id, &model).map(Arc::new);
    }
    let now = resident.index();
    let graph = match now.graph() {
        Some(graph) => Some(graph.clone()),
        None => open_graph(resident, &store, &model, codes.as_ref()).map(Arc::new),
    };
    let of_graph = age(&store, &model, graph.as_ref().map(|graph| graph.codes()))?;
    let is_of = |codes: &QuantizedVectors| {
        graph.as_ref().is_some_and(|graph| graph.codes().status().seal == codes.status().seal)
    };
    let graph_is_due = match &codes {
        // Another one over the same codes would be no better.
        Some(codes) if is_of(codes) => false,
        _ => graph.is_none() || of_graph.is_due_for_graph(),
    };
    let seal = |index: &VectorIndex| index.codes().map(|codes| codes.status().seal);
    let next = VectorIndex::resident(codes.clone(), graph, model.dimension);
    if seal(&next) != seal(&now) || next.graph().is_some() != now.graph().is_some() {
        resident.adopt(next, &store, &model)?;
    }
    if let Some(codes) = codes.filter(|codes| graph_is_due && wants_graph(resident, codes)) {
        match build(resident, &store, &codes)? {
            Some(graph) => {
                let next = VectorIndex::resident(Some(codes), Some(Arc::new(graph)), model.dimension);
                resident.adopt(next, &store, &model)?;
            }
            None => kept = Maintained::Later,
        }
    }
    Ok(kept)
}

fn age(store: &Store, model: &StoredModel, codes: Option<&Arc<QuantizedVectors>>) -> Result<Age> {
    Age::of(store, model, codes.map(|codes| (codes.status().count, codes.status().last)))
}

/// Opens the graph over these codes, or over the older ones that a graph was built over.
fn open_graph(
    resident: &ResidentIndex,
    store: &Store,
    model: &StoredModel,
    codes: Option<&Arc<QuantizedVectors>>,
) -> Option<Graph> {
    let folder = derived_folder(store);
    let open = |codes: Arc<QuantizedVectors>| match Graph::open(&folder, &resident.model_id, codes) {
        Ok(graph) => graph,
        Err(DamagedFile(path)) => {
            folder.set_aside(&path);
            resident.note(format!("`{}` was damaged; it is being made again", path.display()));
            None
        }
    };
    let older = || {
        let seal = model.graph_codes.as_deref()?;
        QuantizedVectors::open(&folder, &resident.model_id, model.dimension, seal).map(Arc::new)
    };
    codes.and_then(|codes| open(codes.clone())).or_else(|| older().and_then(open))
}

/// Whether there are enough vectors for a graph, and memory for it.
fn wants_graph(resident: &ResidentIndex, codes: &QuantizedVectors) -> bool {
    let status = codes.status();
    let needed = status.bytes + graph_memory(status.count);
    if needed > resident.options.memory && status.count >= resident.options.graph_from {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let (needed, allowed) = (mib(needed), mib(resident.options.memory));
        resident
            .note(format!("a graph would need {needed} MiB of memory, and {allowed} MiB are allowed: queries scan"));
    }
    status.count >= resident.options.graph_from && needed <= resident.options.memory
}

/// Builds a graph on all cores, at a priority that leaves them to whoever asks.
fn build(resident: &ResidentIndex, store: &Store, codes: &Arc<QuantizedVectors>) -> Result<Option<Graph>> {
    let failed = |error: rayon::ThreadPoolBuildError| Error::Invalid(format!("no threads to build a graph: {error}"));
    let pool: ThreadPool = ThreadPoolBuilder::new()
        .thread_name(|i| format!("graph-{i}"))
        .start_handler(|_| step_back())
        .build()
        .map_err(failed)?;
    let folder = derived_folder(store);
    let go_on = || !resident.is_stopped();
    Ok(pool.install(|| build_graph(&folder, &resident.model_id, codes, resident.options.graph, &go_on))?)
}

/// Lowers the priority of the calling thread.
fn step_back() {
    #[cfg(target_os = "linux")]
    // SAFETY: takes numbers and changes nothing in memory; on Linux 0 stands for the calling thread.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 10);
    }
}
