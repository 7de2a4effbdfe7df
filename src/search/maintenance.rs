//! Maintenance: a resident searcher's thread that rebuilds quantized vectors and graphs that are missing, damaged or
//! out of date.

use std::sync::Arc;
use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::derived_files::{Age, derived_folder, open_codes, renew_codes};
use super::resident::{ResidentIndex, Signals};
use crate::ann::{DamagedFile, Graph, QuantizedVectors, VectorIndex, build_graph, graph_memory};
use crate::error::{Error, Result};
use crate::store::{Store, StoredModel};

/// How long to wait before trying again if another process holds the writer's lock or is building a graph.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// How long to wait if nothing is due and no query requests a check.
const CHECK_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// Maintains the derived files until the searcher is dropped.
pub(super) fn run(resident: &ResidentIndex) {
    let mut pause = CHECK_INTERVAL;
    loop {
        let idle = |signals: &mut Signals| !signals.stop && !signals.check_due;
        let mut signals = resident.signals.lock();
        resident.changed.wait_while_for(&mut signals, idle, pause);
        if signals.stop {
            return;
        }
        (signals.check_due, signals.working) = (false, true);
        drop(signals);
        pause = maintain(resident).unwrap_or_else(|error| {
            resident.note(error.to_string());
            CHECK_INTERVAL
        });
        resident.signals.lock().working = false;
        resident.changed.notify_all();
    }
}

/// Opens the derived files that already exist.
pub(super) fn adopt(resident: &ResidentIndex) -> Result<()> {
    let store = resident.readers.get()?;
    let Some(model) = store.model(&resident.model_id)? else { return Ok(()) };
    let codes = open_codes(&store, &resident.model_id, &model).map(Arc::new);
    let graph = open_graph(resident, &store, &model, codes.as_ref());
    resident.adopt(VectorIndex::resident(codes, graph.map(Arc::new), model.dimension), &store, &model)
}

/// Does the work that is due. Returns how long to wait for the next check.
fn maintain(resident: &ResidentIndex) -> Result<Duration> {
    let store = resident.readers.get()?;
    let Some(mut model) = store.model(&resident.model_id)? else { return Ok(CHECK_INTERVAL) };
    let mut pause = CHECK_INTERVAL;
    let mut codes = open_codes(&store, &resident.model_id, &model).map(Arc::new);
    if model.codes.is_some() && codes.is_none() {
        resident.note("the file of quantized vectors was missing or damaged and is being rebuilt".into());
    }
    if Age::of(&store, &model, codes.as_deref())?.is_due_for_codes() {
        if renew_codes(&store, &resident.model_id)?.is_none() {
            pause = RETRY_INTERVAL;
        }
        model = store.model(&resident.model_id)?.unwrap_or(model);
        codes = open_codes(&store, &resident.model_id, &model).map(Arc::new);
    }
    let current = resident.index();
    let graph = match current.graph() {
        Some(graph) => Some(graph.clone()),
        None => open_graph(resident, &store, &model, codes.as_ref()).map(Arc::new),
    };
    let graph_age = Age::of(&store, &model, graph.as_ref().map(|graph| &**graph.codes()))?;
    let has_graph = |codes: &QuantizedVectors| {
        graph.as_ref().is_some_and(|graph| graph.codes().status().seal == codes.status().seal)
    };
    let graph_is_due = match &codes {
        // Another graph over the same quantized vectors would be no better.
        Some(codes) if has_graph(codes) => false,
        _ => graph.is_none() || graph_age.is_due_for_graph(),
    };
    let seal = |index: &VectorIndex| index.codes().map(|codes| codes.status().seal);
    let next = VectorIndex::resident(codes.clone(), graph, model.dimension);
    if seal(&next) != seal(&current) || next.graph().is_some() != current.graph().is_some() {
        resident.adopt(next, &store, &model)?;
    }
    if let Some(codes) = codes.filter(|codes| graph_is_due && wants_graph(resident, codes)) {
        match build(resident, &store, &codes)? {
            Some(graph) => {
                let next = VectorIndex::resident(Some(codes), Some(Arc::new(graph)), model.dimension);
                resident.adopt(next, &store, &model)?;
            }
            None => pause = RETRY_INTERVAL,
        }
    }
    Ok(pause)
}

/// Opens the graph over these quantized vectors, or over the older ones that the last graph was built over.
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
            resident.note(format!("`{}` was damaged and is being rebuilt", path.display()));
            None
        }
    };
    let older_codes = || {
        let seal = model.graph_codes.as_deref()?;
        QuantizedVectors::open(&folder, &resident.model_id, model.dimension, seal).map(Arc::new)
    };
    codes.and_then(|codes| open(codes.clone())).or_else(|| older_codes().and_then(open))
}

/// Whether there are enough vectors, and enough memory, for a graph.
fn wants_graph(resident: &ResidentIndex, codes: &QuantizedVectors) -> bool {
    let status = codes.status();
    let needed = status.bytes + graph_memory(status.count);
    if needed > resident.options.memory && status.count >= resident.options.graph_from {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let (needed, allowed) = (mib(needed), mib(resident.options.memory));
        resident.note(format!(
            "a graph would need {needed} MiB of memory, but only {allowed} MiB are allowed; \
             queries scan all vectors instead"
        ));
    }
    status.count >= resident.options.graph_from && needed <= resident.options.memory
}

/// Builds a graph on all cores, at a low priority, so that queries get the cores first.
fn build(resident: &ResidentIndex, store: &Store, codes: &Arc<QuantizedVectors>) -> Result<Option<Graph>> {
    let failed =
        |error: rayon::ThreadPoolBuildError| Error::Invalid(format!("cannot start threads to build a graph: {error}"));
    let pool: ThreadPool = ThreadPoolBuilder::new()
        .thread_name(|i| format!("graph-{i}"))
        .start_handler(|_| lower_priority())
        .build()
        .map_err(failed)?;
    let folder = derived_folder(store);
    let should_continue = || !resident.is_stopped();
    Ok(pool.install(|| build_graph(&folder, &resident.model_id, codes, resident.options.graph, &should_continue))?)
}

/// Lowers the priority of the calling thread.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    // SAFETY: the call takes numbers and changes no memory. On Linux, 0 stands for the calling thread.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 10);
    }
}
