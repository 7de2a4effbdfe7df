//! What the threads of a watcher share: what is to be looked at, and what is wanted of it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::dirty::{ChangeKind, Dirty, Due, Patience};
use super::event::WatchError;
use super::status::WatchStatus;
use crate::error::Error;
use crate::indexer::{AddOptions, CancelToken, Change, IndexReport, Progress};
use crate::types::{FileStat, now_ns};

/// What others want of a watcher.
#[derive(Debug)]
pub(super) enum Request {
    /// Index these paths, and keep them current from now on.
    Add(Box<AddRequest>),
    /// Scan the roots, or parts of them, that these paths are in; all if there are none.
    Rescan(Vec<PathBuf>),
    /// Look up anew which roots there are.
    Reload,
    /// Tell when everything is done that was there to do, or why it cannot be done.
    Sync(Sender<Result<(), String>>),
}

/// An `add` that was handed over.
#[derive(Debug)]
pub(super) struct AddRequest {
    pub paths: Vec<PathBuf>,
    pub options: AddOptions,
    pub told: Sender<AddTold>,
}

/// What is told of an `add` that was handed over.
#[derive(Debug)]
pub enum AddTold {
    /// It has to wait, or is about to begin.
    Waiting,
    /// How far it has come.
    Progress(Progress),
    /// It is done, or has failed.
    Done(Result<IndexReport, Error>),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    dirty: Dirty,
    requests: VecDeque<Request>,
    notification: Notification,
    /// When notification that could not be looked into is looked into again.
    notification_due: Option<Instant>,
    stop: bool,
    paused: bool,
    /// How many others want to write.
    leases: usize,
    /// What is at work at the moment.
    running: Option<CancelToken>,
    /// When the watcher looks again by itself.
    sleeps_until: Option<Instant>,
    status: WatchStatus,
}

/// What the observer has watched beside changes of files.
#[derive(Debug, Default)]
pub(super) struct Notification {
    /// Places that may have come or gone, or be others now.
    pub doubtful: Vec<Arc<Path>>,
    /// Parts of which events were lost.
    pub lost: Vec<Arc<Path>>,
    pub watch_errors: Vec<(Arc<Path>, WatchError)>,
}

impl Notification {
    fn is_none(&self) -> bool {
        self.doubtful.is_empty() && self.lost.is_empty() && self.watch_errors.is_empty()
    }
}

/// What the watcher has to do next.
#[derive(Debug)]
pub(super) enum Next {
    Stop,
    Hear(Notification),
    Serve(Request),
    Update(Due),
    /// A moment that it wanted to be woken at has come.
    Time,
}

/// Parts that are taken up at a time: what comes meanwhile does not wait for all of them.
const MOST_AT_A_TIME: usize = 512;

impl Shared {
    pub(super) fn new(patience: Patience) -> Self {
        let state = State {
            dirty: Dirty::new(patience),
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
        // No state behind this lock is ever half changed, so that a panic elsewhere does not matter.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a kind of a path below a root.
    pub(super) fn note(&self, root: &Arc<Path>, path: &Path, kind: ChangeKind) {
        let mut state = self.state();
        state.dirty.note(root, path, kind, Instant::now());
        // Not for every event of a flood: the watcher sleeps until the first of them is due.
        if state.dirty.next() < state.sleeps_until {
            self.changed.notify_all();
        }
    }

    /// Notes that a file was found of which it is not known whether it is whole.
    pub(super) fn note_unsettled(&self, root: &Arc<Path>, path: &Path) {
        self.state().dirty.note_unsettled(root, path, Instant::now());
    }

    /// Puts back what could not be done, for later.
    pub(super) fn put_back(&self, root: &Arc<Path>, change: &Change, is_folder: bool, after: Duration) {
        self.state().dirty.put_back(root, change, is_folder, Instant::now() + after);
    }

    pub(super) fn forget(&self, root: &Path, start: &Path) {
        self.state().dirty.forget(root, start);
    }

    fn tell(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// What begins at a path may be gone, or be something else now.
    pub(super) fn doubt(&self, start: &Arc<Path>) {
        self.tell_news(|notification| {
            if !notification.doubtful.contains(start) {
                notification.doubtful.push(start.clone());
            }
        });
    }

    /// Puts back what could not be looked into, for later.
    pub(super) fn put_back_news(&self, notification: Notification, after: Duration) {
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

    fn tell_news(&self, change: impl FnOnce(&mut Notification)) {
        self.tell(|state| {
            change(&mut state.notification);
            state.notification_due = None;
        });
    }

    pub(super) fn lose(&self, start: &Arc<Path>) {
        self.tell_news(|notification| {
            if !notification.lost.contains(start) {
                notification.lost.push(start.clone());
            }
        });
    }

    pub(super) fn watch_error(&self, start: &Arc<Path>, watch_error: WatchError) {
        self.tell_news(|notification| {
            let watch_error = (start.clone(), watch_error);
            if !notification.watch_errors.contains(&watch_error) {
                notification.watch_errors.push(watch_error);
            }
        });
    }

    pub(super) fn request(&self, request: Request) {
        self.tell(|state| state.requests.push_back(request));
    }

    /// Ends what is at work, and the watcher.
    pub(super) fn stop(&self) {
        self.tell(|state| {
            state.stop = true;
            state.interrupt();
        });
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state().stop
    }

    pub(super) fn set_paused(&self, paused: bool) {
        self.tell(|state| {
            state.paused = paused;
            if paused {
                state.interrupt();
            }
        });
    }

    /// Ends what is at work, and keeps the watcher from taking up anything until as many have called
    /// [`Shared::give_way_no_more`].
    pub(super) fn make_way(&self) {
        self.tell(|state| {
            state.leases += 1;
            state.interrupt();
        });
    }

    /// Waits until nothing is at work; `false` if that takes longer.
    pub(super) fn wait_for_way(&self, time: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), time, |state| state.running.is_some());
        waited.unwrap_or_else(PoisonError::into_inner).0.running.is_none()
    }

    pub(super) fn give_way_no_more(&self) {
        self.tell(|state| {
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

    /// Takes up work, unless somebody does not want it; `false` then.
    pub(super) fn begin(&self, cancel: &CancelToken) -> bool {
        let mut state = self.state();
        if state.stop || state.paused || state.leases > 0 {
            return false;
        }
        state.running = Some(cancel.clone());
        true
    }

    pub(super) fn end(&self) {
        self.tell(|state| state.running = None);
    }

    /// Whether nothing is left of what had happened at a moment.
    pub(super) fn is_done_with(&self, moment: Instant) -> bool {
        let state = self.state();
        state.notification.is_none() && !state.dirty.has_left_of(moment)
    }

    /// Waits for something to do, until a moment at most.
    pub(super) fn next(&self, until: Instant) -> Next {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            if state.stop {
                return Next::Stop;
            }
            if !state.notification.is_none() && state.notification_due.is_none_or(|due| due <= now) {
                return Next::Hear(std::mem::take(&mut state.notification));
            }
            let may_work = !state.paused && state.leases == 0;
            if may_work {
                if let Some(request) = state.requests.pop_front() {
                    return Next::Serve(request);
                }
                let due = state.dirty.take_due(now, MOST_AT_A_TIME, now_ns(), stat);
                if !due.is_empty() {
                    return Next::Update(due);
                }
            }
            if now >= until {
                return Next::Time;
            }
            let notification_due = state.notification_due.filter(|_| !state.notification.is_none());
            let wake =
                state.dirty.next().filter(|_| may_work).into_iter().chain(notification_due).fold(until, Instant::min);
            state.sleeps_until = Some(wake);
            let waited = self.changed.wait_timeout(state, wake.saturating_duration_since(now));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
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
