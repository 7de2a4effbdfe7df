//! The watcher as others see it: made, run, and told what to do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};

use super::dirty::Patience;
use super::options::WatchOptions;
use super::run::Run;
use super::shared::{AddRequest, AddTold, Request, Shared};
use super::status::{WatchEvent, WatchStatus};
use crate::error::Result;
use crate::index::{Index, Updater};
use crate::indexer::{AddOptions, Change};
use crate::store::WatcherLock;

/// Keeps an index current with its directories until it is stopped.
///
/// There is one for an index at a time. It writes only while there is something to do, and others may write in between.
#[derive(Debug)]
pub struct Watcher {
    pub(super) index: Index,
    pub(super) updater: Updater,
    pub(super) options: WatchOptions,
    /// What was asked for; all roots if it is empty.
    pub(super) parts: Vec<Change>,
    pub(super) shared: Arc<Shared>,
    _lock: WatcherLock,
}

/// A hold on a [`Watcher`], for other threads.
#[derive(Debug, Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

/// While this is held, the watcher takes up nothing.
#[derive(Debug)]
pub struct Lease {
    shared: Arc<Shared>,
}

impl Lease {
    /// Waits until what was in hand is finished; `false` if that takes longer.
    pub fn wait(&self, time: Duration) -> bool {
        self.shared.wait_for_way(time)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.give_way_no_more();
    }
}

impl Control {
    /// Ends the watcher. What is in hand is finished and stored.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Lets it do nothing until [`Control::resume`]; changes are noted.
    pub fn pause(&self) {
        self.shared.set_paused(true);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.shared.set_paused(false);
    }

    /// Lets it look up anew which roots there are, and scan them.
    pub fn reload(&self) {
        self.shared.request(Request::Reload);
        self.rescan(Vec::new());
    }

    /// Lets it scan what these paths are in, or everything.
    pub fn rescan(&self, paths: Vec<PathBuf>) {
        self.shared.request(Request::Rescan(paths));
    }

    /// Lets it index paths and keep them current from now on. Dropping the receiver cancels that.
    pub fn add(&self, paths: Vec<PathBuf>, options: AddOptions) -> Receiver<AddTold> {
        let (told, answers) = unbounded();
        self.shared.request(Request::Add(Box::new(AddRequest { paths, options, told })));
        answers
    }

    /// Something is received when everything that had happened on the disk before is in the index, or why it cannot be.
    pub fn sync(&self) -> Receiver<Result<(), String>> {
        let (done, answer) = unbounded();
        self.shared.request(Request::Sync(done));
        answer
    }

    /// Keeps the watcher from taking up anything while the lease is held. When [`Lease::wait`] says so, the caller can write.
    pub fn make_way(&self) -> Lease {
        self.shared.make_way();
        Lease { shared: self.shared.clone() }
    }

    /// How it is.
    pub fn status(&self) -> WatchStatus {
        self.shared.status()
    }
}

impl Watcher {
    /// Makes a watcher for these paths, which become roots if they are not in any, or for all roots of the index.
    ///
    /// # Errors
    /// When another process watches this index, a path is not there, or the database or the model fails.
    pub fn new(index: Index, paths: &[PathBuf], options: WatchOptions) -> Result<Self> {
        let lock = WatcherLock::acquire(index.path())?;
        let updater = index.updater(options.add.device)?;
        let parts = if paths.is_empty() { Vec::new() } else { updater.register(paths, options.scan.as_ref())? };
        let patience = Patience { settle: options.settle, stable: options.stable };
        let shared = Arc::new(Shared::new(patience));
        shared.set_status(WatchStatus::begin);
        Ok(Self { index, updater, options, parts, shared, _lock: lock })
    }

    /// A hold on it for other threads.
    pub fn control(&self) -> Control {
        Control { shared: self.shared.clone() }
    }

    /// Watches until it is stopped, and tells what happens.
    ///
    /// # Errors
    /// When the index cannot be read, or no thread can be started. What fails later is told and tried again.
    pub fn run(self, mut tell: impl FnMut(&WatchEvent)) -> Result<()> {
        Run::new(self, &mut tell)?.run()
    }
}
