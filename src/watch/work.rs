//! The watcher's hands: brings up to date what is due, and does what is handed over.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dirty::Due;
use super::run::{RETRY, Run};
use super::shared::{AddRequest, AddTold, Request};
use super::status::WatchEvent;
use super::targets::WatchTarget;
use crate::error::{Error, Result};
use crate::index::Updater;
use crate::indexer::{self, AddOptions, CancelToken, Change, IndexReport};
use crate::types::path_to_bytes;

/// How long after the last run that is brought up to date what only many runs together need.
const TIDY: Duration = Duration::from_secs(2);

/// Between two scans of a slow target passes this many times as long as one takes.
const POLL_REST: u32 = 20;

impl Run<'_> {
    /// Does an `add` that was handed over, and watches what it has added.
    pub(super) fn add(&mut self, request: AddRequest) -> Result<()> {
        let cancel = CancelToken::default();
        let options = AddOptions { cancel: cancel.clone(), ..request.options.clone() };
        let told = request.told.clone();
        let tell_client = |notification: AddTold| {
            let is_heard = told.send(notification).is_ok();
            if !is_heard {
                cancel.cancel();
            }
            is_heard
        };
        // Its client may have gone away while it waited.
        if !tell_client(AddTold::Waiting) {
            return Ok(());
        }
        let ran = self.at_work(&cancel, |updater, tell| {
            updater.add(&request.paths, &options, |done| {
                tell(&WatchEvent::Progress(done));
                tell_client(AddTold::Progress(done));
            })
        });
        let is_alone = told.send(AddTold::Waiting).is_err();
        let added = self.watch_added(&request.paths);
        match ran {
            Ok(Some(report)) => {
                self.take_in(&report);
                self.tidy_soon();
                let _ = told.send(AddTold::Done(Ok(report)));
            }
            Ok(None) if self.watcher.shared.is_stopped() || is_alone => {
                let _ = told.send(AddTold::Done(Err(Error::Interrupted)));
            }
            Ok(None) => self.watcher.shared.request(Request::Add(Box::new(request))),
            Err(error) => drop(told.send(AddTold::Done(Err(error)))),
        }
        added
    }

    /// Watches paths that were added, also where only parts were asked for at the beginning.
    fn watch_added(&mut self, paths: &[PathBuf]) -> Result<()> {
        if !self.watcher.parts.is_empty() {
            let roots = self.store.roots()?;
            // Those that are not there were told as an error.
            let targets = indexer::resolve(paths, &roots).unwrap_or_default();
            let parts = targets.into_iter().map(|target| Change { root: target.root_path, scope: target.scope });
            let is_known = |part: &Change| {
                let is_around = |known: &Change| known.root == part.root && part.scope.starts_with(&known.scope);
                self.watcher.parts.iter().any(is_around)
            };
            let is_indexed = |part: &Change| roots.iter().any(|root| root.path == part.root);
            let new: Vec<Change> = parts.filter(|part| !is_known(part) && is_indexed(part)).collect();
            self.watcher.parts.extend(new);
        }
        self.load_places()
    }

    /// Brings up to date what is due. Files that are known to be whole come first: a scan would leave them for later. What is gone
    /// is looked at together with the folders, where it may have gone to.
    pub(super) fn take_up(&mut self, due: Due) -> Result<()> {
        let is_there = |change: &Change| change.path().symlink_metadata().is_ok();
        let files = self.with_other_names(due.files.clone()).unwrap_or(due.files);
        let (files, gone): (Vec<_>, Vec<_>) = files.into_iter().partition(is_there);
        // One that fails must not take the other with it.
        let done = self.update(files, false);
        let rest = due.folders.into_iter().chain(gone).collect();
        self.update(rest, true).and(done)
    }

    /// Adds the other names of files that have several: what is written under one of them is told of that one only, and it may
    /// be gone by now.
    fn with_other_names(&self, mut changes: Vec<Change>) -> Result<Vec<Change>> {
        let (roots, mut others) = (self.store.roots()?, Vec::new());
        for change in &changes {
            let Some(root) = roots.iter().find(|root| root.path == change.root) else { continue };
            let (found, links) = inode_and_links(&change.path());
            let known = self.store.inode_at(root.id, &path_to_bytes(&change.scope))?;
            let shared = [found.filter(|_| links > 1), known.filter(|_| known != found)];
            for inode in shared.into_iter().flatten() {
                let names = self.store.other_names(inode, (root.device, root.file_system))?;
                others.extend(names.into_iter().map(|(root, scope)| Change { root, scope }));
            }
        }
        others.retain(|other| {
            !changes.contains(other) && self.targets.iter().any(|target| other.path().starts_with(&target.start))
        });
        changes.extend(others);
        Ok(changes)
    }

    fn update(&mut self, changes: Vec<Change>, are_folders: bool) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let (cancel, start) = (CancelToken::default(), Instant::now());
        let settle = Some(self.watcher.options.stable);
        let options = AddOptions { settle, cancel: cancel.clone(), ..self.watcher.options.add.clone() };
        let ran = self.at_work(&cancel, |updater, tell| {
            updater.update(&changes, &options, |progress| tell(&WatchEvent::Progress(progress)))
        });
        match ran {
            Ok(Some(report)) => {
                self.note_scanned(&changes, start.elapsed());
                self.take_in(&report);
                self.look_at_offline(&report);
                (self.retry, self.failure) = (RETRY, None);
                self.tidy_soon();
                self.look_for_returned()
            }
            Ok(None) => {
                self.put_back(&changes, are_folders, Duration::ZERO);
                Ok(())
            }
            Err(error) => {
                self.put_back(&changes, are_folders, self.retry);
                // Another process that writes for a moment is no failure.
                if matches!(error, Error::Locked { .. }) && self.retry < 8 * RETRY {
                    self.retry *= 2;
                    return Ok(());
                }
                Err(error)
            }
        }
    }

    /// Runs the indexer, with the model that is in use now; `None` if somebody else wanted the index, or the end.
    fn at_work(
        &mut self,
        cancel: &CancelToken,
        work: impl FnOnce(&Updater, &mut dyn FnMut(&WatchEvent)) -> Result<IndexReport>,
    ) -> Result<Option<IndexReport>> {
        self.look_at_index()?;
        self.follow_model()?;
        let shared = self.watcher.shared.clone();
        if !shared.begin(cancel) {
            return Ok(None);
        }
        let report = work(&self.watcher.updater, self.tell);
        shared.end();
        self.times.unload = Some(Instant::now() + self.watcher.options.keep_model);
        match report {
            Ok(report) if report.interrupted => {
                // What was done before is done.
                self.take_in(&report);
                Ok(None)
            }
            Ok(report) => Ok(Some(report)),
            Err(error) => Err(error),
        }
    }

    /// Goes over to another model, if the index has.
    fn follow_model(&mut self) -> Result<()> {
        let active = self.watcher.index.active_model()?;
        if active.id != self.watcher.updater.model().id {
            self.watcher.updater = self.watcher.index.updater(self.watcher.options.add.device)?;
            self.rescan(&[]);
            self.tell(&WatchEvent::Model(active.name));
        }
        Ok(())
    }

    /// Counts and tells what a run has done, and notes what it has left for later.
    fn take_in(&mut self, report: &IndexReport) {
        for path in &report.unsettled {
            if let Some(target) = self.place_around(path) {
                self.watcher.shared.note_unsettled(&target.root.clone(), path);
            }
        }
        self.watcher.shared.set_status(|status| status.totals.take_in(report));
        let held: HashMap<_, _> = report.vanished.iter().map(|it| (it.root.clone(), it.files)).collect();
        for vanished in &report.vanished {
            if self.told_vanished.get(&vanished.root) != Some(&vanished.files) {
                self.tell(&WatchEvent::Vanished(vanished.clone()));
            }
        }
        self.told_vanished.extend(held);
        if report.new + report.changed + report.moved + report.missing + report.failed + report.embedded > 0 {
            self.tell(&WatchEvent::Updated(Box::new(report.clone())));
        }
    }

    fn place_around(&self, path: &Path) -> Option<&WatchTarget> {
        let around = self.targets.iter().filter(|target| path.starts_with(&target.start));
        around.max_by_key(|target| target.start.components().count())
    }

    /// Notes which roots a run has found not to be there.
    fn look_at_offline(&mut self, report: &IndexReport) {
        for at in 0..self.targets.len() {
            let target = &self.targets[at];
            if target.is_online() && report.offline_roots.iter().any(|root| **root == *target.root) {
                self.lose(at);
            }
        }
    }

    /// A target may have come back between the moment that it was lost and this scan, which has found it then.
    fn look_for_returned(&mut self) -> Result<()> {
        if self.targets.iter().all(WatchTarget::is_online) { Ok(()) } else { self.look_at_places(&[]) }
    }

    /// Notes which targets have been scanned.
    fn note_scanned(&mut self, changes: &[Change], took: Duration) {
        let poll = self.watcher.options.poll;
        for target in self.targets.iter_mut().filter(|target| changes.contains(&target.part)) {
            target.next_poll = Instant::now() + poll.max(took * POLL_REST);
            target.lost = false;
        }
    }

    fn put_back(&self, changes: &[Change], are_folders: bool, after: Duration) {
        for change in changes {
            let root: Arc<Path> = change.root.as_path().into();
            self.watcher.shared.put_back(&root, change, are_folders, after);
        }
    }

    pub(super) fn tidy_soon(&mut self) {
        self.times.tidy.get_or_insert(Instant::now() + TIDY);
    }

    pub(super) fn tidy(&mut self) -> Result<()> {
        self.times.tidy = None;
        self.look_at_index()?;
        let cancel = CancelToken::default();
        if !self.watcher.shared.begin(&cancel) {
            self.tidy_soon();
            return Ok(());
        }
        let tidied = self.watcher.updater.tidy();
        self.watcher.shared.end();
        match tidied {
            Ok(warnings) => warnings.into_iter().for_each(|warning| self.tell(&WatchEvent::Failed(warning))),
            Err(Error::Locked { .. }) => self.tidy_soon(),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// The number of the file at a path, and how many names it has.
fn inode_and_links(path: &Path) -> (Option<u64>, u64) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let metadata = path.symlink_metadata().ok().filter(std::fs::Metadata::is_file);
        metadata.map_or((None, 0), |metadata| (Some(metadata.ino()), metadata.nlink()))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        (None, 0)
    }
}
