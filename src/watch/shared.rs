//! The state that the threads of a watcher share: dirty paths, requests and notifications.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::dirty::{ChangeKind, Delays, DirtyPaths, Due};
use super::event::WatchError;
use super::status::WatchStatus;
use crate::error::Error;
use crate::indexer::{AddOptions, CancelToken, Change, IndexReport, Progress};
use crate::types::{FileStat, now_ns};

/// A request to a watcher from another thread.
#[derive(Debug)]
pub(super) enum Request {
    /// Index these paths, and keep them current from now on.
    Add(Box<AddRequest>),
    /// Scan the roots, or the parts of roots, that contain these paths; all roots if the list is empty.
    Rescan(Vec<PathBuf>),
    /// Reload the list of roots.
    Reload,
    /// Reply when all work that is pending now is done, or with the reason why it cannot be done.
    Sync(Sender<Result<(), String>>),
}

/// An `add` that the watcher is to run.
#[derive(Debug)]
pub(super) struct AddRequest {
    pub paths: Vec<PathBuf>,
    pub options: AddOptions,
    pub replies: Sender<AddTold>,
}

/// A reply to [`Control::add`](super::Control::add).
#[derive(Debug)]
pub enum AddTold {
    /// The `add` is waiting, or is about to start.
    Waiting,
    /// Progress of the `add`.
    Progress(Progress),
    /// The `add` has finished or failed.
    Done(Result<IndexReport, Error>),
}

/// The shared state of a watcher, behind one lock.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    dirty: DirtyPaths,
    requests: VecDeque<Request>,
    notification: Notification,
    /// When a notification whose handling failed is handled again.
    notification_due: Option<Instant>,
    stop: bool,
    paused: bool,
    /// Number of leases held by others that want to write.
    leases: usize,
    /// Cancels the current run.
    running: Option<CancelToken>,
    /// When the watcher wakes up by itself.
    sleeps_until: Option<Instant>,
    status: WatchStatus,
}

/// What the observer reports besides changes of files.
#[derive(Debug, Default)]
pub(super) struct Notification {
    /// Targets that may have appeared, disappeared or been replaced.
    pub doubtful: Vec<Arc<Path>>,
    /// Targets whose events were lost.
    pub lost: Vec<Arc<Path>>,
    pub watch_errors: Vec<(Arc<Path>, WatchError)>,
}

impl Notification {
    fn is_empty(&self) -> bool {
        self.doubtful.is_empty() && self.lost.is_empty() && self.watch_errors.is_empty()
    }
}

/// What the watcher has to do next.
#[derive(Debug)]
pub(super) enum Next {
    Stop,
    Notification(Notification),
    Request(Request),
    Update(Due),
    /// The time to wake up has come.
    Timer,
}

/// Maximum number of changes in one run, so that later requests do not wait for all pending changes.
const MAX_CHANGES_PER_RUN: usize = 512;

impl Shared {
    pub(super) fn new(delays: Delays) -> Self {
        let state = State {
            dirty: DirtyPaths::new(delays),
            requests: VecDeque::new(),
            notification: Notification::default(),
            notification_due: None,
            stop: false,
            paused: false,
            leases: 0,
            running: None,
            sleeps_until: None,
            status: WatchStatus::default(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No state behind this lock is ever half updated, so a poisoned lock is still safe to use.
        self.state.lock()
    }

    /// Notes a change of a path below a root.
    pub(super) fn note(&self, root: &Arc<Path>, path: &Path, kind: ChangeKind) {
        let mut state = self.state();
        state.dirty.note(root, path, kind, Instant::now());
        // Not on every event of a burst: the watcher sleeps until the first path is due.
        if state.dirty.next() < state.sleeps_until {
            self.changed.notify_all();
        }
    }

    /// Notes a file that a scan found and that may be incomplete.
    pub(super) fn note_unsettled(&self, root: &Arc<Path>, path: &Path) {
        self.state().dirty.note_unsettled(root, path, Instant::now());
    }

    /// Queues a change again that could not be processed; it is due after a delay.
    pub(super) fn requeue(&self, root: &Arc<Path>, change: &Change, is_folder: bool, after: Duration) {
        self.state().dirty.requeue(root, change, is_folder, Instant::now() + after);
    }

    pub(super) fn forget(&self, root: &Path, start: &Path) {
        self.state().dirty.forget(root, start);
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Reports that the target at a path may have disappeared or been replaced.
    pub(super) fn report_doubt(&self, start: &Arc<Path>) {
        self.notify(|notification| {
            if !notification.doubtful.contains(start) {
                notification.doubtful.push(start.clone());
            }
        });
    }

    /// Queues a notification again whose handling failed; it is due after a delay.
    pub(super) fn requeue_notification(&self, notification: Notification, after: Duration) {
        let mut state = self.state();
        let Notification { doubtful, lost, watch_errors } = notification;
        let missing = |list: &[Arc<Path>], start: &Arc<Path>| !list.contains(start);
        let doubtful: Vec<_> =
            doubtful.into_iter().filter(|start| missing(&state.notification.doubtful, start)).collect();
        let lost: Vec<_> = lost.into_iter().filter(|start| missing(&state.notification.lost, start)).collect();
        state.notification.doubtful.extend(doubtful);
        state.notification.lost.extend(lost);
        state.notification.watch_errors.extend(watch_errors);
        state.notification_due = Some(Instant::now() + after);
    }

    fn notify(&self, change: impl FnOnce(&mut Notification)) {
        self.update(|state| {
            change(&mut state.notification);
            state.notification_due = None;
        });
    }

    /// Reports that events of a target were lost.
    pub(super) fn report_loss(&self, start: &Arc<Path>) {
        self.notify(|notification| {
            if !notification.lost.contains(start) {
                notification.lost.push(start.clone());
            }
        });
    }

    /// Reports that changes of a target may go unnoticed.
    pub(super) fn report_watch_error(&self, start: &Arc<Path>, watch_error: WatchError) {
        self.notify(|notification| {
            let watch_error = (start.clone(), watch_error);
            if !notification.watch_errors.contains(&watch_error) {
                notification.watch_errors.push(watch_error);
            }
        });
    }

    pub(super) fn request(&self, request: Request) {
        self.update(|state| state.requests.push_back(request));
    }

    /// Cancels the current run and stops the watcher.
    pub(super) fn stop(&self) {
        self.update(|state| {
            state.stop = true;
            state.interrupt();
        });
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state().stop
    }

    pub(super) fn set_paused(&self, paused: bool) {
        self.update(|state| {
            state.paused = paused;
            if paused {
                state.interrupt();
            }
        });
    }

    /// Cancels the current run, and lets the watcher start none until each lease is released with
    /// [`Shared::release_lease`].
    pub(super) fn add_lease(&self) {
        self.update(|state| {
            state.leases += 1;
            state.interrupt();
        });
    }

    /// Waits until no run is active; `false` after the timeout.
    pub(super) fn wait_until_idle(&self, time: Duration) -> bool {
        let mut state = self.state();
        self.changed.wait_while_for(&mut state, |state| state.running.is_some(), time);
        state.running.is_none()
    }

    pub(super) fn release_lease(&self) {
        self.update(|state| {
            state.leases -= 1;
            state.requests.push_back(Request::Reload);
        });
    }

    pub(super) fn status(&self) -> WatchStatus {
        let state = self.state();
        let mut status = state.status.clone();
        status.waiting = state.dirty.len() as u64;
        status.set_activity(state.paused, state.running.is_some(), status.waiting > 0 || !state.requests.is_empty());
        status
    }

    pub(super) fn set_status(&self, change: impl FnOnce(&mut WatchStatus)) {
        change(&mut self.state().status);
    }

    /// Starts a run; `false` if the watcher is stopped, paused or held by a lease.
    pub(super) fn begin(&self, cancel: &CancelToken) -> bool {
        let mut state = self.state();
        if state.stop || state.paused || state.leases > 0 {
            return false;
        }
        state.running = Some(cancel.clone());
        true
    }

    pub(super) fn end(&self) {
        self.update(|state| state.running = None);
    }

    /// Whether everything that was noted before a moment is processed.
    pub(super) fn is_done_until(&self, moment: Instant) -> bool {
        let state = self.state();
        state.notification.is_empty() && !state.dirty.has_pending_since(moment)
    }

    /// Waits for work, at most until a moment.
    pub(super) fn next(&self, until: Instant) -> Next {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            if state.stop {
                return Next::Stop;
            }
            if !state.notification.is_empty() && state.notification_due.is_none_or(|due| due <= now) {
                return Next::Notification(std::mem::take(&mut state.notification));
            }
            let may_work = !state.paused && state.leases == 0;
            if may_work {
                if let Some(request) = state.requests.pop_front() {
                    return Next::Request(request);
                }
                let due = state.dirty.take_due(now, MAX_CHANGES_PER_RUN, now_ns(), stat);
                if !due.is_empty() {
                    return Next::Update(due);
                }
            }
            if now >= until {
                return Next::Timer;
            }
            let notification_due = state.notification_due.filter(|_| !state.notification.is_empty());
            let wake =
                state.dirty.next().filter(|_| may_work).into_iter().chain(notification_due).fold(until, Instant::min);
            state.sleeps_until = Some(wake);
            self.changed.wait_for(&mut state, wake.saturating_duration_since(now));
            state.sleeps_until = None;
        }
    }
}

impl State {
    fn interrupt(&mut self) {
        if let Some(running) = &self.running {
            running.cancel();
        }
    }
}

fn stat(path: &Path) -> Option<FileStat> {
    path.symlink_metadata().ok().map(|metadata| FileStat::new(&metadata))
}
