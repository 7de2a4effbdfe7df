//! The state that the threads of a watcher share: dirty paths, requests and notifications.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::{Condvar, Mutex};

use super::dirty::{ChangeKind, Delays, DirtyPaths, Due};
use super::event::WatchError;
use super::status::{Activity, WatchStatus};
use crate::error::Error;
use crate::indexer::{AddOptions, CancelToken, Change, IndexReport, Progress};
use crate::types::{FileStat, now_ns, rfc3339};

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

/// A reply to [`Control::add`].
#[derive(Debug)]
pub enum AddTold {
    /// The `add` is waiting, or is about to start.
    Waiting,
    /// Progress of the `add`.
    Progress(Progress),
    /// The `add` has finished or failed.
    Done(Result<IndexReport, Error>),
}

/// A handle to a [`Watcher`](super::Watcher), for use from other threads.
#[derive(Debug, Clone)]
pub struct Control(pub(super) Arc<Shared>);

impl Control {
    /// Stops the watcher. Files that are being processed are finished and stored.
    pub fn stop(&self) {
        self.0.update(|state| {
            state.stop = true;
            state.interrupt();
        });
    }

    /// Pauses all work until [`Control::resume`]. Changes are still noted.
    pub fn pause(&self) {
        self.0.update(|state| {
            state.paused = true;
            state.interrupt();
        });
    }

    /// Resumes work after [`Control::pause`].
    pub fn resume(&self) {
        self.0.update(|state| state.paused = false);
    }

    /// Reloads the list of roots and scans them.
    pub fn reload(&self) {
        self.0.request(Request::Reload);
        self.rescan(Vec::new());
    }

    /// Scans the roots, or the parts of roots, that contain these paths; everything if there are none.
    pub fn rescan(&self, paths: Vec<PathBuf>) {
        self.0.request(Request::Rescan(paths));
    }

    /// Indexes paths and keeps them current from now on. Dropping the receiver cancels the `add`.
    pub fn add(&self, paths: Vec<PathBuf>, options: AddOptions) -> Receiver<AddTold> {
        let (replies, answers) = unbounded();
        self.0.request(Request::Add(Box::new(AddRequest { paths, options, replies })));
        answers
    }

    /// Sends one reply when every change made on the disk before this call is in the index, or with the reason why it
    /// cannot be.
    pub fn sync(&self) -> Receiver<Result<(), String>> {
        let (done, answer) = unbounded();
        self.0.request(Request::Sync(done));
        answer
    }

    /// Cancels the current run and keeps the watcher from starting another while the lease is held. Once
    /// [`Lease::wait`] has returned `true`, the caller can write to the index.
    pub fn make_way(&self) -> Lease {
        self.0.update(|state| {
            state.leases += 1;
            state.interrupt();
        });
        Lease(self.0.clone())
    }

    /// The current status.
    pub fn status(&self) -> WatchStatus {
        let state = self.0.state.lock();
        let waiting = state.dirty.len() as u64;
        let activity = match () {
            () if state.paused => Activity::Paused,
            () if state.running.is_some() => Activity::Working,
            () if waiting > 0 || !state.requests.is_empty() => Activity::Waiting,
            () => Activity::Idle,
        };
        WatchStatus { activity, waiting, ..state.status.clone() }
    }
}

/// Keeps a [`Watcher`](super::Watcher) from starting work until it is dropped. See [`Control::make_way`].
#[derive(Debug)]
pub struct Lease(Arc<Shared>);

impl Lease {
    /// Waits until the current run has ended; `false` after the timeout.
    pub fn wait(&self, time: Duration) -> bool {
        let mut state = self.0.state.lock();
        self.0.changed.wait_while_for(&mut state, |state| state.running.is_some(), time);
        state.running.is_none()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.update(|state| {
            state.leases -= 1;
            state.requests.push_back(Request::Reload);
        });
    }
}

/// The shared state of a watcher, behind one lock.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
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

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
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
        let status = WatchStatus { since: rfc3339(SystemTime::now()), ..WatchStatus::default() };
        let state = State { dirty: DirtyPaths::new(delays), status, ..State::default() };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(super) fn note(&self, root: &Arc<Path>, path: &Path, kind: ChangeKind) {
        let mut state = self.state.lock();
        state.dirty.note(root, path, kind, Instant::now());
        // Not on every event of a burst: the watcher sleeps until the first path is due.
        if state.dirty.next() < state.sleeps_until {
            self.changed.notify_all();
        }
    }

    pub(super) fn note_unsettled(&self, root: &Arc<Path>, path: &Path) {
        self.state.lock().dirty.note_unsettled(root, path, Instant::now());
    }

    pub(super) fn requeue(&self, root: &Arc<Path>, change: &Change, is_folder: bool, after: Duration) {
        self.state.lock().dirty.requeue(root, change, is_folder, Instant::now() + after);
    }

    pub(super) fn forget(&self, root: &Path, start: &Path) {
        self.state.lock().dirty.forget(root, start);
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }

    /// Reports that the target at a path may have disappeared or been replaced.
    pub(super) fn report_doubt(&self, start: &Arc<Path>) {
        self.notify(|notification| push_new(&mut notification.doubtful, start.clone()));
    }

    /// Queues a notification again whose handling failed; it is due after a delay.
    pub(super) fn requeue_notification(&self, notification: Notification, after: Duration) {
        let mut state = self.state.lock();
        let Notification { doubtful, lost, watch_errors } = notification;
        doubtful.into_iter().for_each(|start| push_new(&mut state.notification.doubtful, start));
        lost.into_iter().for_each(|start| push_new(&mut state.notification.lost, start));
        watch_errors.into_iter().for_each(|error| push_new(&mut state.notification.watch_errors, error));
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
        self.notify(|notification| push_new(&mut notification.lost, start.clone()));
    }

    /// Reports that changes of a target may go unnoticed.
    pub(super) fn report_watch_error(&self, start: &Arc<Path>, watch_error: WatchError) {
        self.notify(|notification| push_new(&mut notification.watch_errors, (start.clone(), watch_error)));
    }

    pub(super) fn request(&self, request: Request) {
        self.update(|state| state.requests.push_back(request));
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state.lock().stop
    }

    pub(super) fn set_status(&self, change: impl FnOnce(&mut WatchStatus)) {
        change(&mut self.state.lock().status);
    }

    /// Starts a run; `false` if the watcher is stopped, paused or held by a lease.
    pub(super) fn begin(&self, cancel: &CancelToken) -> bool {
        let mut state = self.state.lock();
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
        let state = self.state.lock();
        state.notification.is_empty() && !state.dirty.has_pending_since(moment)
    }

    /// Waits for work, at most until a moment.
    pub(super) fn next(&self, until: Instant) -> Next {
        let mut state = self.state.lock();
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
