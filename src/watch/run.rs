//! The main loop of a watcher: waits for work, and runs periodic checks.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::dirty::ChangeKind;
use super::observer::Observer;
use super::shared::{Next, Notification, Request};
use super::status::{WatchEvent, WatchStatus};
use super::targets::{WatchTarget, targets};
use super::watcher::Watcher;
use crate::error::{Error, Result};
use crate::indexer;
use crate::store::{OwnFiles, RootState, Store};

/// Delay after the first failure; it doubles with each further one.
pub(super) const INITIAL_RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(300);

/// Interval between signs of life.
const ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// When each periodic task is due next.
#[derive(Debug)]
pub(super) struct Timers {
    pub(super) check: Instant,
    pub(super) reconcile: Instant,
    pub(super) alive: Instant,
    pub(super) tidy: Option<Instant>,
    pub(super) unload: Option<Instant>,
}

/// The state of the main loop.
pub(super) struct Run<'a> {
    pub(super) watcher: Watcher,
    pub(super) store: Store,
    pub(super) observer: Observer,
    pub(super) targets: Vec<WatchTarget>,
    pub(super) timers: Timers,
    /// Callers that wait until every change before a moment is processed.
    pub(super) syncs: Vec<(Instant, Sender<Result<(), String>>)>,
    /// Path and scan options of each root when the targets were loaded.
    pub(super) known_roots: Vec<(PathBuf, String)>,
    /// Identity of the database file.
    pub(super) identity: Option<(u64, u64)>,
    pub(super) retry_delay: Duration,
    /// Why the last run failed.
    pub(super) failure: Option<String>,
    pub(super) reported_degraded: Vec<String>,
    pub(super) reported_vanished: HashMap<PathBuf, u64>,
    pub(super) on_event: &'a mut dyn FnMut(&WatchEvent),
}

impl Watcher {
    /// Watches until it is stopped, and passes each event to `on_event`.
    ///
    /// # Errors
    /// If the index cannot be read, or no thread can be started. Later failures are reported as events and retried.
    pub fn run(self, mut on_event: impl FnMut(&WatchEvent)) -> Result<()> {
        Run::new(self, &mut on_event)?.run()
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(watcher: Watcher, on_event: &'a mut dyn FnMut(&WatchEvent)) -> Result<Self> {
        let now = Instant::now();
        let (check, reconcile) = (now + watcher.options.look, now + jittered(watcher.options.reconcile));
        let path = watcher.index.path();
        Ok(Self {
            store: Store::open(path)?,
            identity: Store::identity(path),
            known_roots: Vec::new(),
            observer: Observer::start(watcher.shared.clone(), OwnFiles::of(path))?,
            targets: Vec::new(),
            timers: Timers { check, reconcile, alive: now + ALIVE_INTERVAL, tidy: None, unload: None },
            syncs: Vec::new(),
            retry_delay: INITIAL_RETRY_DELAY,
            failure: None,
            reported_degraded: Vec::new(),
            reported_vanished: HashMap::new(),
            watcher,
            on_event,
        })
    }

    pub(super) fn run(mut self) -> Result<()> {
        let ended = self.work();
        // Leaves no maintenance for later processes. An error does not matter, because they can still do it.
        if self.timers.tidy.is_some() && ended.is_ok() && self.check_index().is_ok() {
            let _ = self.watcher.updater.tidy();
        }
        self.emit(&WatchEvent::Stopped);
        ended
    }

    fn work(&mut self) -> Result<()> {
        self.load_targets()?;
        let online = || self.targets.iter().filter(|target| target.is_online());
        let (roots, folders) = (online().count(), online().map(|target| target.coverage.folders as u64).sum());
        self.emit(&WatchEvent::Ready { roots, folders });
        loop {
            self.publish();
            let result = match self.watcher.shared.next(self.next_wakeup()) {
                Next::Stop => return Ok(()),
                Next::Notification(notification) => self.handle_notification(notification),
                Next::Request(request) => self.handle_request(request),
                Next::Update(due) => self.process(due),
                Next::Timer => self.run_timers(),
            };
            match result {
                Err(error @ Error::NoIndex { .. }) => return Err(error),
                Err(error) => self.note_failure(&error),
                Ok(()) => {}
            }
        }
    }

    pub(super) fn emit(&mut self, event: &WatchEvent) {
        (self.on_event)(event);
    }

    fn next_wakeup(&self) -> Instant {
        let Timers { check, reconcile, alive, tidy, unload } = self.timers;
        let polled = self.targets.iter().filter(|target| target.is_polled());
        let times =
            [reconcile, alive].into_iter().chain(tidy).chain(unload).chain(polled.map(|target| target.next_poll));
        times.fold(check, Instant::min)
    }

    /// Loads the roots, and starts to watch those that are new or whose configuration has changed.
    pub(super) fn load_targets(&mut self) -> Result<()> {
        let roots = self.store.roots()?;
        // Stays empty if this fails, so that the next check tries again.
        self.known_roots.clear();
        let mut old = std::mem::take(&mut self.targets);
        let mut changed = Vec::new();
        for target in targets(&self.watcher.parts, &roots, Instant::now()) {
            let root_watch = target.how_to_watch(&self.store, &roots)?;
            let known = old.iter().position(|known| known.part == target.part);
            let known = known.map(|at| old.swap_remove(at)).map(|known| known.with_files(&target.files));
            let is_changed = known.as_ref().is_none_or(|known| !known.is_watched_with(&root_watch));
            changed.extend(is_changed.then_some(self.targets.len()));
            self.targets.push(known.unwrap_or(target));
        }
        for removed in old {
            self.observer.unwatch(&removed.start);
            self.watcher.shared.forget(&removed.root, &removed.start);
        }
        changed.into_iter().try_for_each(|at| self.start_target(at))?;
        self.known_roots = roots.into_iter().map(|root| (root.path, root.scan)).collect();
        Ok(())
    }

    /// Loads the roots again if another process has added or removed some.
    fn follow_roots(&mut self) -> Result<()> {
        let roots: Vec<_> = self.store.roots()?.into_iter().map(|root| (root.path, root.scan)).collect();
        if roots == self.known_roots { Ok(()) } else { self.load_targets() }
    }

    fn count_folders(&mut self) {
        for target in &mut self.targets {
            if let Some(folders) = self.observer.count(&target.start) {
                target.coverage.folders = folders;
            }
        }
    }

    /// Whether a target exists and its root is still the directory that was indexed.
    fn is_there(&self, target: &WatchTarget) -> Result<bool> {
        match self.store.roots()?.iter().find(|root| root.path == *target.root) {
            Some(root) => Ok(target.start.exists() && indexer::health(&self.store, root)?.is_some()),
            None => Ok(false),
        }
    }

    /// Watches a target, if it exists, and queues a scan of it. A target that does not exist is marked as offline.
    fn start_target(&mut self, at: usize) -> Result<()> {
        if !self.is_there(&self.targets[at])? {
            self.mark_offline(at);
            return Ok(());
        }
        let target = &mut self.targets[at];
        let was_offline = target.state == Some(RootState::Offline);
        if let Some(root_watch) = target.how_to_watch(&self.store, &self.store.roots()?)? {
            target.watch(&self.observer, root_watch, &self.watcher.options);
        }
        target.next_poll = Instant::now() + self.watcher.options.poll;
        self.watcher.shared.note(&target.root, &target.start, ChangeKind::Folder);
        for file in &target.files {
            self.watcher.shared.note(&target.root, &target.root.join(file), ChangeKind::Settled);
        }
        if was_offline && target.is_online() {
            let start = target.start.to_path_buf();
            self.emit(&WatchEvent::Online(start));
        }
        Ok(())
    }

    /// Checks whether targets have appeared, disappeared or been replaced. The watches of doubtful targets are
    /// restarted, because they may belong to a directory that is no longer at the path.
    pub(super) fn check_targets(&mut self, doubtful: &[Arc<Path>]) -> Result<()> {
        for at in 0..self.targets.len() {
            let target = &self.targets[at];
            let (was_online, start) = (target.is_online(), target.start.clone());
            let is_same = target.is_same() && !doubtful.contains(&start);
            match (was_online, self.is_there(target)?) {
                (true, false) => self.mark_offline(at),
                (true, true) if !is_same => self.start_target(at)?,
                (false, true) => self.start_target(at)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Marks a target as offline: it does not exist, or has been replaced. The scan that is queued marks its root.
    pub(super) fn mark_offline(&mut self, at: usize) {
        let target = &mut self.targets[at];
        let was_offline = target.state.replace(RootState::Offline) == Some(RootState::Offline);
        self.observer.unwatch(&target.start);
        self.watcher.shared.forget(&target.root, &target.start);
        self.watcher.shared.note(&target.root, &target.start, ChangeKind::Folder);
        if !was_offline {
            let start = target.start.to_path_buf();
            self.emit(&WatchEvent::Offline(start));
        }
    }

    fn handle_notification(&mut self, mut notification: Notification) -> Result<()> {
        let options = &self.watcher.options;
        for (start, watch_error) in notification.watch_errors.drain(..) {
            if let Some(target) = self.targets.iter_mut().find(|target| target.start == start) {
                target.note_watch_error(watch_error, options);
            }
        }
        while let Some(start) = notification.lost.pop() {
            let Some(at) = self.targets.iter().position(|target| target.start == start) else { continue };
            if !std::mem::replace(&mut self.targets[at].lost, true) {
                self.emit(&WatchEvent::Lost(start.to_path_buf()));
            }
            // The set of watched folders may be out of date.
            if let Err(error) = self.start_target(at) {
                notification.lost.push(start);
                self.watcher.shared.requeue_notification(notification, self.retry_delay);
                return Err(error);
            }
        }
        if notification.doubtful.is_empty() {
            return Ok(());
        }
        let checked = self.check_targets(&notification.doubtful);
        checked.inspect_err(|_| self.watcher.shared.requeue_notification(notification, self.retry_delay))
    }

    fn handle_request(&mut self, request: Request) -> Result<()> {
        match request {
            Request::Add(request) => return self.add(*request),
            Request::Reload => return self.load_targets(),
            Request::Rescan(paths) => self.rescan(&paths),
            Request::Sync(done) => {
                // A target that has come back since the last check is not watched yet, so its changes caused no events.
                if let Err(error) = self.check_targets(&[]) {
                    let _ = done.send(Err(error.to_string()));
                    return Err(error);
                }
                self.observer.flush();
                self.count_folders();
                let polled = self.targets.iter().filter(|target| target.is_polled());
                polled.for_each(|target| self.queue_scan(target));
                self.syncs.push((Instant::now(), done));
            }
        }
        Ok(())
    }

    pub(super) fn queue_scan(&self, target: &WatchTarget) {
        self.watcher.shared.note(&target.root, &target.start, ChangeKind::Folder);
    }

    /// Queues scans of the targets at or below these paths, and of these paths where they lie inside a target. Without
    /// paths, queues scans of all targets.
    pub(super) fn rescan(&self, paths: &[PathBuf]) {
        let is_below =
            |target: &&WatchTarget| paths.is_empty() || paths.iter().any(|path| target.start.starts_with(path));
        self.targets.iter().filter(is_below).for_each(|target| self.queue_scan(target));
        for path in paths {
            let is_inside = |target: &&WatchTarget| path.starts_with(&target.start) && *path != *target.start;
            let enclosing = self.targets.iter().filter(is_inside);
            match enclosing.max_by_key(|target| target.start.components().count()) {
                Some(target) if target.is_listed() => self.queue_scan(target),
                Some(target) => self.watcher.shared.note(&target.root, path, ChangeKind::Folder),
                None => {}
            }
        }
    }

    fn run_timers(&mut self) -> Result<()> {
        let now = Instant::now();
        if now >= self.timers.alive {
            self.timers.alive = now + ALIVE_INTERVAL;
            self.emit(&WatchEvent::Alive);
        }
        if now >= self.timers.check {
            self.timers.check = now + self.watcher.options.look;
            self.check_index()?;
            self.count_folders();
            self.follow_roots()?;
            self.check_targets(&[])?;
        }
        if now >= self.timers.reconcile {
            self.timers.reconcile = now + jittered(self.watcher.options.reconcile);
            self.reconcile()?;
        }
        let polled = self.targets.iter().filter(|target| target.is_polled() && now >= target.next_poll);
        polled.for_each(|target| self.queue_scan(target));
        for target in self.targets.iter_mut().filter(|target| now >= target.next_poll) {
            target.next_poll = now + self.watcher.options.poll;
        }
        if self.timers.tidy.is_some_and(|due| now >= due) {
            self.tidy()?;
        }
        if self.timers.unload.is_some_and(|due| now >= due) {
            let rest = self.watcher.updater.unload_after(self.watcher.options.keep_model);
            self.timers.unload = rest.map(|rest| now + rest);
            if rest.is_none() {
                self.emit(&WatchEvent::Unloaded);
            }
        }
        Ok(())
    }

    /// Fails if the database file was deleted or replaced while it was open, because the watcher would then update a
    /// file that no other process can see.
    pub(super) fn check_index(&self) -> Result<()> {
        let path = self.watcher.index.path();
        if Store::identity(path) == self.identity { Ok(()) } else { Err(Error::NoIndex { path: path.to_owned() }) }
    }

    /// Restarts all watches and scans all targets, to find missed changes and to retry failed watches.
    fn reconcile(&mut self) -> Result<()> {
        let results = (0..self.targets.len()).map(|at| self.start_target(at)).collect::<Vec<_>>();
        results.into_iter().collect()
    }

    /// Reports a failure, unless it is the same as the last one, and doubles the retry delay.
    fn note_failure(&mut self, error: &Error) {
        self.retry_delay = (self.retry_delay * 2).min(MAX_RETRY_DELAY);
        let reason = error.to_string();
        if self.failure.as_ref() != Some(&reason) {
            self.emit(&WatchEvent::Failed(reason.clone()));
            self.failure = Some(reason);
        }
    }

    /// Updates the shared status, reports what has changed in it, and answers finished syncs.
    fn publish(&mut self) {
        let mut degraded: Vec<String> =
            self.targets.iter().filter_map(|target| target.degraded(&self.watcher.options)).collect();
        degraded.extend(self.failure.clone());
        for why in degraded.iter().filter(|why| !self.reported_degraded.contains(why)).cloned().collect::<Vec<_>>() {
            self.emit(&WatchEvent::Degraded(why));
        }
        if degraded.is_empty() && !self.reported_degraded.is_empty() {
            self.emit(&WatchEvent::Recovered);
        }
        self.reported_degraded.clone_from(&degraded);
        let (targets, model_loaded) = (&self.targets, self.watcher.updater.is_loaded());
        self.watcher.shared.set_status(|status| {
            let roots = targets.iter().map(WatchTarget::status).collect();
            *status = WatchStatus { roots, degraded, model_loaded, ..std::mem::take(status) };
        });
        self.answer_syncs();
    }

    /// Answers the syncs whose changes are all processed.
    fn answer_syncs(&mut self) {
        let shared = self.watcher.shared.clone();
        if let Some(reason) = &self.failure {
            for (_, done) in self.syncs.drain(..) {
                let _ = done.send(Err(reason.clone()));
            }
        }
        if !self.syncs.iter().any(|(moment, _)| shared.is_done_until(*moment)) {
            return;
        }
        if self.timers.tidy.is_some()
            && let Err(error) = self.tidy()
        {
            self.note_failure(&error);
        }
        self.syncs.retain(|(moment, done)| {
            let is_done = shared.is_done_until(*moment);
            if is_done {
                let _ = done.send(Ok(()));
            }
            !is_done
        });
    }
}

/// Varies a duration by up to a tenth. The hasher's random keys suffice, because the result need not be unpredictable.
fn jittered(time: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
    time.mul_f64(0.9 + 0.2 * random)
}
