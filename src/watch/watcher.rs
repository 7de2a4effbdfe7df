//! Creating a watcher.

use std::path::PathBuf;
use std::sync::Arc;

use super::dirty::Delays;
use super::options::WatchOptions;
use super::shared::{Control, Shared};
use crate::error::Result;
use crate::index::{Index, Updater};
use crate::indexer::Change;
use crate::store::FileLock;

/// Keeps an index current with its directories until it is stopped.
///
/// An index has at most one watcher at a time. It holds the write lock only while it works, so other processes can
/// write in between.
#[derive(Debug)]
pub struct Watcher {
    pub(super) index: Index,
    pub(super) updater: Updater,
    pub(super) options: WatchOptions,
    /// The requested parts; empty for all roots.
    pub(super) parts: Vec<Change>,
    pub(super) shared: Arc<Shared>,
    _lock: FileLock,
}

impl Watcher {
    /// Creates a watcher for these paths, or for all roots of the index if there are none. Paths outside every root
    /// become roots.
    ///
    /// # Errors
    /// If another process watches this index, a path does not exist, or the database or the model fails.
    pub fn new(index: Index, paths: &[PathBuf], options: WatchOptions) -> Result<Self> {
        let lock = FileLock::watcher(index.path())?;
        let updater = index.updater(options.add.device)?;
        let parts = if paths.is_empty() { Vec::new() } else { updater.register(paths, options.scan.as_ref())? };
        let delays = Delays { settle: options.settle, stable: options.stable };
        let shared = Arc::new(Shared::new(delays));
        Ok(Self { index, updater, options, parts, shared, _lock: lock })
    }

    /// Returns a handle for other threads.
    pub fn control(&self) -> Control {
        Control(self.shared.clone())
    }
}
