//! A watcher at work: waits for something to do, and looks now and then whether all is well.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::dirty::ChangeKind;
use super::observer::Observer;
use super::shared::{Next, Notification, Request};
use super::status::{WatchEvent, WatchStatus};
use super::targets::{How, WatchTarget, targets};
use super::watcher::Watcher;
use crate::error::{Error, Result};
use crate::indexer;
use crate::store::{OwnFiles, Root, RootState, Store};

/// How long to wait after something failed: longer each time.
pub(super) const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// How often it is told that all is well, at least.
const ALIVE: Duration = Duration::from_secs(10);

/// When what is due.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) look: Instant,
    pub(super) reconcile: Instant,
    pub(super) alive: Instant,
    pub(super) tidy: Option<Instant>,
    pub(super) unload: Option<Instant>,
}

/// See the module.
pub(super) struct Run<'a> {
    pub(super) watcher: Watcher,
    pub(super) store: Store,
    pub(super) observer: Observer,
    pub(super) targets: Vec<WatchTarget>,
    pub(super) times: Times,
    /// Who waits until everything is done that had happened before a moment.
    pub(super) syncs: Vec<(Instant, Sender<Result<(), String>>)>,
    /// Roots as they were when targets were looked up, and which file the database is.
    pub(super) known_roots: Vec<(PathBuf, String)>,
    pub(super) identity: Option<(u64, u64)>,
    pub(super) retry: Duration,
    /// Why the last run failed.
    pub(super) failure: Option<String>,
    pub(super) told_degraded: Vec<String>,
    pub(super) told_vanished: HashMap<PathBuf, u64>,
    pub(super) tell: &'a mut dyn FnMut(&WatchEvent),
}

impl<'a> Run<'a> {
    pub(super) fn new(watcher: Watcher, tell: &'a mut dyn FnMut(&WatchEvent)) -> Result<Self> {
        let now = Instant::now();
        let (look, reconcile) = (now + watcher.options.look, now + jittered(watcher.options.reconcile));
        let path = watcher.index.path();
        Ok(Self {
            store: Store::open(path)?,
            identity: Store::identity(path),
            known_roots: Vec::new(),
            observer: Observer::start(watcher.shared.clone(), OwnFiles::of(path))?,
            targets: Vec::new(),
            times: Times { look, reconcile, alive: now + ALIVE, tidy: None, unload: None },
            syncs: Vec::new(),
            retry: RETRY,
            failure: None,
            told_degraded: Vec::new(),
            told_vanished: HashMap::new(),
            watcher,
            tell,
        })
    }

    pub(super) fn run(mut self) -> Result<()> {
        let ended = self.work();
        // So that nothing is left to do for those who come later; what cannot be done now, they can do.
        if self.times.tidy.is_some() && ended.is_ok() && self.look_at_index().is_ok() {
            let _ = self.watcher.updater.tidy();
        }
        self.tell(&WatchEvent::Stopped);
        ended
    }

    fn work(&mut self) -> Result<()> {
        self.load_places()?;
        let online = || self.targets.iter().filter(|target| target.is_online());
        let (roots, folders) = (online().count(), online().map(|target| target.listening.folders as u64).sum());
        self.tell(&WatchEvent::Ready { roots, folders });
        loop {
            self.publish();
            let done = match self.watcher.shared.next(self.wakes_at()) {
                Next::Stop => return Ok(()),
                Next::Hear(notification) => self.hear(notification),
                Next::Serve(request) => self.serve(request),
                Next::Update(due) => self.take_up(due),
                Next::Time => self.look_at_clock(),
            };
            match done {
                Err(error @ Error::NoIndex { .. }) => return Err(error),
                Err(error) => self.note_failure(&error),
                Ok(()) => {}
            }
        }
    }

    pub(super) fn tell(&mut self, event: &WatchEvent) {
        (self.tell)(event);
    }

    fn wakes_at(&self) -> Instant {
        let Times { look, reconcile, alive, tidy, unload } = self.times;
        let polled = self.targets.iter().filter(|target| target.is_polled());
        let times =
            [reconcile, alive].into_iter().chain(tidy).chain(unload).chain(polled.map(|target| target.next_poll));
        times.fold(look, Instant::min)
    }

    /// Looks up the roots, and listens to those that are new or are to be looked at in another way.
    pub(super) fn load_places(&mut self) -> Result<()> {
        let roots = self.store.roots()?;
        // Until all is done: then it is tried again at the next look.
        self.known_roots.clear();
        let mut old = std::mem::take(&mut self.targets);
        let mut fresh = Vec::new();
        for target in targets(&self.watcher.parts, &roots, Instant::now()) {
            let how = How::of(&target, &self.store, &roots)?;
            let known = old.iter().position(|known| known.part == target.part);
            let known = known.map(|at| old.swap_remove(at)).map(|known| known.with_files(&target.files));
            fresh.extend(known.as_ref().is_none_or(|known| !known.is_listened_to(&how)).then_some(self.targets.len()));
            self.targets.push(known.unwrap_or(target));
        }
        for gone in old {
            self.observer.ignore(&gone.start);
            self.watcher.shared.forget(&gone.root, &gone.start);
        }
        fresh.into_iter().try_for_each(|at| self.welcome(at))?;
        self.known_roots = roots.into_iter().map(|root| (root.path, root.scan)).collect();
        Ok(())
    }

    /// Looks up the roots if there are others now: another process may have added some, or removed them.
    fn follow_roots(&mut self) -> Result<()> {
        let roots = self.store.roots()?;
        let is_known = |(root, known): (&Root, &(PathBuf, String))| (&root.path, &root.scan) == (&known.0, &known.1);
        let are_known = roots.len() == self.known_roots.len() && roots.iter().zip(&self.known_roots).all(is_known);
        if are_known { Ok(()) } else { self.load_places() }
    }

    fn count_folders(&mut self) {
        for target in &mut self.targets {
            if let Some(folders) = self.observer.count(&target.start) {
                target.listening.folders = folders;
            }
        }
    }

    /// Whether the directory of a target is there and itself.
    fn is_there(&self, target: &WatchTarget) -> Result<bool> {
        match self.store.roots()?.iter().find(|root| root.path == *target.root) {
            Some(root) => Ok(target.start.exists() && indexer::health(&self.store, root)?.is_some()),
            None => Ok(false),
        }
    }

    /// Listens to a target, if it is there, and has it scanned. Of one that is not there a scan notes that it is not.
    fn welcome(&mut self, at: usize) -> Result<()> {
        let is_there = self.is_there(&self.targets[at])?;
        let target = &mut self.targets[at];
        let was_known_away = target.is_known_away;
        target.is_known_away = !is_there;
        if is_there {
            let how = How::of(target, &self.store, &self.store.roots()?)?;
            target.listen(&self.observer, how, &self.watcher.options);
            target.next_poll = Instant::now() + self.watcher.options.poll;
        } else {
            target.state = RootState::Offline;
        }
        self.watcher.shared.note(&target.root, &target.start, ChangeKind::Folder);
        for file in &target.files {
            self.watcher.shared.note(&target.root, &target.root.join(file), ChangeKind::Settled);
        }
        let start = target.start.to_path_buf();
        match (was_known_away, is_there) {
            (false, false) => self.tell(&WatchEvent::Offline(start)),
            (true, true) => self.tell(&WatchEvent::Online(start)),
            _ => {}
        }
        Ok(())
    }

    /// Looks whether targets have come or gone, or are others now. What the system told of those that are in doubt is no longer
    /// true of what is there.
    pub(super) fn look_at_places(&mut self, doubtful: &[Arc<Path>]) -> Result<()> {
        for at in 0..self.targets.len() {
            let target = &self.targets[at];
            let (was_online, start) = (target.is_online(), target.start.clone());
            let is_same = target.is_same() && !doubtful.contains(&start);
            match (was_online, self.is_there(target)?) {
                (true, false) => self.lose(at),
                (true, true) if !is_same => self.welcome(at)?,
                (false, true) => self.welcome(at)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// A target is not there any more, or is not itself.
    pub(super) fn lose(&mut self, at: usize) {
        let target = &mut self.targets[at];
        target.state = RootState::Offline;
        target.is_known_away = true;
        self.observer.ignore(&target.start);
        self.watcher.shared.forget(&target.root, &target.start);
        self.watcher.shared.note(&target.root, &target.start, ChangeKind::Folder);
        let start = target.start.to_path_buf();
        self.tell(&WatchEvent::Offline(start));
    }

    fn hear(&mut self, mut notification: Notification) -> Result<()> {
        let options = &self.watcher.options;
        for (start, watch_error) in notification.watch_errors.drain(..) {
            let troubled = self.targets.iter_mut().filter(|target| target.start == start);
            troubled.for_each(|target| target.note_trouble(watch_error.clone(), options));
        }
        while let Some(start) = notification.lost.pop() {
            if self.targets.iter().any(|target| target.start == start && !target.lost) {
                self.tell(&WatchEvent::Lost(start.to_path_buf()));
            }
            for at in (0..self.targets.len()).filter(|at| self.targets[*at].start == start).collect::<Vec<_>>() {
                self.targets[at].lost = true;
                // What it knows of its folders may be wrong now.
                if let Err(error) = self.welcome(at) {
                    notification.lost.push(start);
                    self.watcher.shared.put_back_news(notification, self.retry);
                    return Err(error);
                }
            }
        }
        if notification.doubtful.is_empty() {
            return Ok(());
        }
        let looked = self.look_at_places(&notification.doubtful);
        looked.inspect_err(|_| self.watcher.shared.put_back_news(notification, self.retry))
    }

    fn serve(&mut self, request: Request) -> Result<()> {
        match request {
            Request::Add(request) => return self.add(*request),
            Request::Reload => return self.load_places(),
            Request::Rescan(paths) => self.rescan(&paths),
            Request::Sync(done) => {
                // What has come back since the last look is not root_watch to, so that nothing told of what is in it.
                if let Err(error) = self.look_at_places(&[]) {
                    let _ = done.send(Err(error.to_string()));
                    return Err(error);
                }
                self.observer.flush();
                self.count_folders();
                let polled = self.targets.iter().filter(|target| target.is_polled());
                polled.for_each(|target| self.note_all_of(target));
                self.syncs.push((Instant::now(), done));
            }
        }
        Ok(())
    }

    pub(super) fn note_all_of(&self, target: &WatchTarget) {
        self.watcher.shared.note(&target.root, &target.start, ChangeKind::Folder);
    }

    /// Has the targets scanned that are in some paths, and the parts of targets that are some paths.
    pub(super) fn rescan(&self, paths: &[PathBuf]) {
        let is_wanted =
            |target: &&WatchTarget| paths.is_empty() || paths.iter().any(|path| target.start.starts_with(path));
        self.targets.iter().filter(is_wanted).for_each(|target| self.note_all_of(target));
        for path in paths {
            let around = self.targets.iter().filter(|target| path.starts_with(&target.start) && *path != *target.start);
            match around.max_by_key(|target| target.start.components().count()) {
                Some(target) if target.is_listed() => self.note_all_of(target),
                Some(target) => self.watcher.shared.note(&target.root, path, ChangeKind::Folder),
                None => {}
            }
        }
    }

    fn look_at_clock(&mut self) -> Result<()> {
        let now = Instant::now();
        if now >= self.times.alive {
            self.times.alive = now + ALIVE;
            self.tell(&WatchEvent::Alive);
        }
        if now >= self.times.look {
            self.times.look = now + self.watcher.options.look;
            self.look_at_index()?;
            self.count_folders();
            self.follow_roots()?;
            self.look_at_places(&[])?;
        }
        if now >= self.times.reconcile {
            self.times.reconcile = now + jittered(self.watcher.options.reconcile);
            self.reconcile()?;
        }
        let polled = self.targets.iter().filter(|target| target.is_polled() && now >= target.next_poll);
        polled.for_each(|target| self.note_all_of(target));
        for target in self.targets.iter_mut().filter(|target| now >= target.next_poll) {
            target.next_poll = now + self.watcher.options.poll;
        }
        if self.times.tidy.is_some_and(|due| now >= due) {
            self.tidy()?;
        }
        if self.times.unload.is_some_and(|due| now >= due) {
            self.times.unload = None;
            if self.watcher.updater.is_loaded() {
                self.watcher.updater.unload();
                self.tell(&WatchEvent::Unloaded);
            }
        }
        Ok(())
    }

    /// The database may have been deleted while it was open, or another one put in its target: then this is about something
    /// that nobody sees any more.
    pub(super) fn look_at_index(&self) -> Result<()> {
        let path = self.watcher.index.path();
        if Store::identity(path) == self.identity { Ok(()) } else { Err(Error::NoIndex { path: path.to_owned() }) }
    }

    /// Has everything scanned and root_watch to anew: what was missed, and what could not be watched, is made up for.
    fn reconcile(&mut self) -> Result<()> {
        let welcomed = (0..self.targets.len()).map(|at| self.welcome(at)).collect::<Vec<_>>();
        welcomed.into_iter().collect()
    }

    /// Tells why something could not be done, and waits longer for the next attempt.
    fn note_failure(&mut self, error: &Error) {
        self.retry = (self.retry * 2).min(LONGEST_RETRY);
        let reason = error.to_string();
        if self.failure.as_ref() != Some(&reason) {
            self.tell(&WatchEvent::Failed(reason.clone()));
            self.failure = Some(reason);
        }
    }

    /// Makes known how things are.
    fn publish(&mut self) {
        let mut degraded: Vec<String> =
            self.targets.iter().filter_map(|target| target.degraded(&self.watcher.options)).collect();
        degraded.extend(self.failure.clone());
        for why in degraded.iter().filter(|why| !self.told_degraded.contains(why)).cloned().collect::<Vec<_>>() {
            self.tell(&WatchEvent::Degraded(why));
        }
        if degraded.is_empty() && !self.told_degraded.is_empty() {
            self.tell(&WatchEvent::Recovered);
        }
        self.told_degraded.clone_from(&degraded);
        let (targets, model_loaded) = (&self.targets, self.watcher.updater.is_loaded());
        self.watcher.shared.set_status(|status| {
            let roots = targets.iter().map(WatchTarget::status).collect();
            *status = WatchStatus { roots, degraded, model_loaded, ..std::mem::take(status) };
        });
        self.answer_syncs();
    }

    /// Answers those who wait for what is done now.
    fn answer_syncs(&mut self) {
        let shared = self.watcher.shared.clone();
        if let Some(reason) = &self.failure {
            for (_, done) in self.syncs.drain(..) {
                let _ = done.send(Err(reason.clone()));
            }
        }
        if !self.syncs.iter().any(|(moment, _)| shared.is_done_with(*moment)) {
            return;
        }
        if self.times.tidy.is_some()
            && let Err(error) = self.tidy()
        {
            self.note_failure(&error);
        }
        self.syncs.retain(|(moment, done)| {
            let is_done = shared.is_done_with(*moment);
            if is_done {
                let _ = done.send(Ok(()));
            }
            !is_done
        });
    }
}

/// A tenth more or less, from the address space's randomness: nobody has to be unable to guess it.
fn jittered(time: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
    time.mul_f64(0.9 + 0.2 * random)
}
