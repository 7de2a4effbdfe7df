//! A vector index in memory with the thread that keeps it current.

use std::sync::Arc;
use std::thread::JoinHandle;

use super::maintenance;
use super::readers::Readers;
use super::resident_index::{ResidentIndex, SearcherOptions, SearcherStatus};
use crate::error::{Error, Result};
use crate::types::ModelId;

/// The vector index of one model, which a maintenance thread keeps current until it is dropped.
///
/// Quantized vectors and graph are memory-mapped files. The thread rebuilds them if they are missing, damaged or out of
/// date. Until then queries scan, with the same answers. A query sees everything that any process has committed before.
#[derive(Debug)]
pub(super) struct Resident {
    index: Arc<ResidentIndex>,
    thread: Option<JoinHandle<()>>,
}

impl Resident {
    /// Opens the existing derived files and starts the maintenance thread.
    ///
    /// # Errors
    /// If the database fails, or the thread cannot be started.
    pub(super) fn start(readers: Arc<Readers>, model_id: ModelId, options: SearcherOptions) -> Result<Self> {
        let index = Arc::new(ResidentIndex::new(readers, model_id, options));
        // The first query already uses the existing files.
        maintenance::adopt(&index)?;
        let for_thread = index.clone();
        let thread =
            std::thread::Builder::new().name("maintenance".into()).spawn(move || maintenance::run(&for_thread));
        let thread = thread.map_err(Error::io("start a thread for", index.database()))?;
        Ok(Self { index, thread: Some(thread) })
    }

    pub(super) fn index(&self) -> &ResidentIndex {
        &self.index
    }

    pub(super) fn status(&self) -> SearcherStatus {
        let index = self.index.index();
        let signals = self.index.signals.lock();
        let codes = index.codes().map(|codes| codes.status());
        SearcherStatus {
            method: index.method(),
            coded: codes.map_or(0, |codes| codes.count),
            recent: index.recent() as u64,
            graph: index.graph().map(|graph| graph.status().clone()),
            memory_bytes: codes.map_or(0, |codes| codes.bytes) + index.graph().map_or(0, |graph| graph.bytes()),
            working: signals.working || signals.check_due,
            notes: signals.notes.clone(),
        }
    }

    pub(super) fn wait_until_settled(&self) {
        let mut signals = self.index.signals.lock();
        self.index.changed.wait_while(&mut signals, |signals| signals.working || signals.check_due);
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
