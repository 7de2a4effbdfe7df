//! The public side of the watcher: creating, running and controlling it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};

use super::dirty::Delays;
use super::options::WatchOptions;
use super::shared::{AddRequest, AddTold, Request, Shared};
use super::status::WatchStatus;
use crate::error::Result;
use crate::index::{Index, Updater};
use crate::indexer::{AddOptions, Change};
use crate::store::WatcherLock;

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
    _lock: WatcherLock,
}

/// A handle to a [`Watcher`], for use from other threads.
#[derive(Debug, Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

/// Keeps a [`Watcher`] from starting work until it is dropped. See [`Control::make_way`].
#[derive(Debug)]
pub struct Lease {
    shared: Arc<Shared>,
}

impl Lease {
    /// Waits until the current run has ended; `false` after the timeout.
    pub fn wait(&self, time: Duration) -> bool {
        self.shared.wait_until_idle(time)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.release_lease();
    }
}

impl Control {
    /// Stops the watcher. Files that are being processed are finished and stored.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Pauses all work until [`Control::resume`]. Changes are still noted.
    pub fn pause(&self) {
        self.shared.set_paused(true);
    }

    /// Resumes work after [`Control::pause`].
    pub fn resume(&self) {
        self.shared.set_paused(false);
    }

    /// Reloads the list of roots and scans them.
    pub fn reload(&self) {
        self.shared.request(Request::Reload);
        self.rescan(Vec::new());
    }

    /// Scans the roots, or the parts of roots, that contain these paths; everything if there are none.
    pub fn rescan(&self, paths: Vec<PathBuf>) {
        self.shared.request(Request::Rescan(paths));
    }

    /// Indexes paths and keeps them current from now on. Dropping the receiver cancels the `add`.
    pub fn add(&self, paths: Vec<PathBuf>, options: AddOptions) -> Receiver<AddTold> {
        let (replies, answers) = unbounded();
        self.shared.request(Request::Add(Box::new(AddRequest { paths, options, replies })));
        answers
    }

    /// Sends one reply when every change made on the disk before this call is in the index, or with the reason why it
    /// cannot be.
    pub fn sync(&self) -> Receiver<Result<(), String>> {
        let (done, answer) = unbounded();
        self.shared.request(Request::Sync(done));
        answer
    }

    /// Cancels the current run and keeps the watcher from starting another while the lease is held. Once
    /// [`Lease::wait`] has returned `true`, the caller can write to the index.
    pub fn make_way(&self) -> Lease {
        self.shared.add_lease();
        Lease { shared: self.shared.clone() }
    }

    /// The current status.
    pub fn status(&self) -> WatchStatus {
        self.shared.status()
    }
}

impl Watcher {
    /// Creates a watcher for these paths, or for all roots of the index if there are none. Paths outside every root
    /// become roots.
    ///
    /// # Errors
    /// If another process watches this index, a path does not exist, or the database or the model fails.
    pub fn new(index: Index, paths: &[PathBuf], options: WatchOptions) -> Result<Self> {
        let lock = WatcherLock::acquire(index.path())?;
        let updater = index.updater(options.add.device)?;
        let parts = if paths.is_empty() { Vec::new() } else { updater.register(paths, options.scan.as_ref())? };
        let delays = Delays { settle: options.settle, stable: options.stable };
        let shared = Arc::new(Shared::new(delays));
        shared.set_status(WatchStatus::begin);
        Ok(Self { index, updater, options, parts, shared, _lock: lock })
    }

    /// Returns a handle for other threads.
    pub fn control(&self) -> Control {
        Control { shared: self.shared.clone() }
    }
}
