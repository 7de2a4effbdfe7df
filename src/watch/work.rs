//! The runs of the indexer that a watcher starts: updates of due changes, requested `add`s, and maintenance.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dirty::Due;
use super::run::{INITIAL_RETRY_DELAY, Run};
use super::shared::{AddRequest, AddTold, Request};
use super::status::WatchEvent;
use super::targets::WatchTarget;
use crate::error::{Error, Result};
use crate::index::Updater;
use crate::indexer::{self, AddOptions, CancelToken, Change, IndexReport};
use crate::types::path_to_bytes;

/// Delay before maintenance, so that it runs once after many runs.
const TIDY_DELAY: Duration = Duration::from_secs(2);

/// Minimum time between two scans of a polled target, as a multiple of the time that one scan takes.
const MIN_POLL_REST: u32 = 20;

impl Run<'_> {
    /// Runs a requested `add`, and watches the paths that it has added.
    pub(super) fn add(&mut self, request: AddRequest) -> Result<()> {
        let cancel = CancelToken::default();
        let options = AddOptions { cancel: cancel.clone(), ..request.options.clone() };
        let replies = request.replies.clone();
        let reply = |message: AddTold| {
            let is_received = replies.send(message).is_ok();
            if !is_received {
                cancel.cancel();
            }
            is_received
        };
        // The client may have disconnected while the request was waiting.
        if !reply(AddTold::Waiting) {
            return Ok(());
        }
        let ran = self.run_indexer(&cancel, |updater, emit| {
            updater.add(&request.paths, &options, |progress| {
                emit(&WatchEvent::Progress(progress));
                reply(AddTold::Progress(progress));
            })
        });
        let is_disconnected = replies.send(AddTold::Waiting).is_err();
        let added = self.watch_added(&request.paths);
        match ran {
            Ok(Some(report)) => {
                self.record_report(&report);
                self.tidy_soon();
                let _ = replies.send(AddTold::Done(Ok(report)));
            }
            Ok(None) if self.watcher.shared.is_stopped() || is_disconnected => {
                let _ = replies.send(AddTold::Done(Err(Error::Interrupted)));
            }
            Ok(None) => self.watcher.shared.request(Request::Add(Box::new(request))),
            Err(error) => drop(replies.send(AddTold::Done(Err(error)))),
        }
        added
    }

    /// Watches paths that were added, even if the watcher was started for certain parts only.
    fn watch_added(&mut self, paths: &[PathBuf]) -> Result<()> {
        if !self.watcher.parts.is_empty() {
            let roots = self.store.roots()?;
            // Paths that do not exist have already been reported as an error.
            let targets = indexer::resolve(paths, &roots).unwrap_or_default();
            let parts = targets.into_iter().map(|target| target.part);
            let is_known = |part: &Change| {
                let encloses = |known: &Change| known.root == part.root && part.scope.starts_with(&known.scope);
                self.watcher.parts.iter().any(encloses)
            };
            let is_indexed = |part: &Change| roots.iter().any(|root| root.path == part.root);
            let new: Vec<Change> = parts.filter(|part| !is_known(part) && is_indexed(part)).collect();
            self.watcher.parts.extend(new);
        }
        self.load_targets()
    }

    /// Updates the index for the changes that are due. Files that are known to be complete come first, because a scan
    /// would postpone them. Missing files are processed together with the folders, to which they may have moved.
    pub(super) fn process(&mut self, due: Due) -> Result<()> {
        let is_there = |change: &Change| change.path().symlink_metadata().is_ok();
        let files = self.with_other_names(due.files.clone()).unwrap_or(due.files);
        let (files, gone): (Vec<_>, Vec<_>) = files.into_iter().partition(is_there);
        // A failure of one update must not prevent the other.
        let files_updated = self.update(files, false);
        let rest = due.folders.into_iter().chain(gone).collect();
        self.update(rest, true).and(files_updated)
    }

    /// Adds the other hard links of changed files. An event names only the link that was written to, and that link
    /// may no longer exist.
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
        // What a quick `add` has stored is replaced at the next scan.
        let options = AddOptions { settle, quick: false, cancel: cancel.clone(), ..self.watcher.options.add.clone() };
        let ran = self.run_indexer(&cancel, |updater, emit| {
            updater.update(&changes, &options, |progress| emit(&WatchEvent::Progress(progress)))
        });
        match ran {
            Ok(Some(report)) => {
                self.note_scanned(&changes, start.elapsed());
                self.record_report(&report);
                self.mark_offline_roots(&report);
                (self.retry_delay, self.failure) = (INITIAL_RETRY_DELAY, None);
                self.tidy_soon();
                // An offline target may have come back before the scan that just ended, and was then scanned but is not
                // watched.
                if self.targets.iter().all(WatchTarget::is_online) { Ok(()) } else { self.check_targets(&[]) }
            }
            Ok(None) => {
                self.requeue(&changes, are_folders, Duration::ZERO);
                Ok(())
            }
            Err(error) => {
                self.requeue(&changes, are_folders, self.retry_delay);
                // Another process that writes for a short time is not a failure.
                if matches!(error, Error::Locked { .. }) && self.retry_delay < 8 * INITIAL_RETRY_DELAY {
                    self.retry_delay *= 2;
                    return Ok(());
                }
                Err(error)
            }
        }
    }

    /// Runs the indexer with the active model; `None` if the run was interrupted by a lease, a pause or a stop.
    fn run_indexer(
        &mut self,
        cancel: &CancelToken,
        work: impl FnOnce(&Updater, &mut dyn FnMut(&WatchEvent)) -> Result<IndexReport>,
    ) -> Result<Option<IndexReport>> {
        self.check_index()?;
        self.follow_model()?;
        let shared = self.watcher.shared.clone();
        if !shared.begin(cancel) {
            return Ok(None);
        }
        let report = work(&self.watcher.updater, self.on_event);
        shared.end();
        if self.watcher.updater.is_loaded() {
            self.timers.unload = Some(Instant::now() + self.watcher.options.keep_model);
        }
        match report {
            Ok(report) if report.interrupted => {
                // The work before the interruption is stored, so it counts.
                self.record_report(&report);
                Ok(None)
            }
            report => report.map(Some),
        }
    }

    /// Switches to the active model of the index, if it has changed, and rescans everything.
    fn follow_model(&mut self) -> Result<()> {
        let active = self.watcher.index.searcher().active_model()?;
        if active.id != self.watcher.updater.model().id {
            self.watcher.updater = self.watcher.index.updater(self.watcher.options.add.device)?;
            self.rescan(&[]);
            self.emit(&WatchEvent::Model(active.name));
        }
        Ok(())
    }

    /// Counts and reports the results of a run, and notes the files that it has postponed.
    fn record_report(&mut self, report: &IndexReport) {
        for path in &report.unsettled {
            if let Some(target) = self.target_of(path) {
                self.watcher.shared.note_unsettled(&target.root.clone(), path);
            }
        }
        self.watcher.shared.set_status(|status| status.totals.add_report(report));
        for vanished in &report.vanished {
            if self.reported_vanished.insert(vanished.root.clone(), vanished.files) != Some(vanished.files) {
                self.emit(&WatchEvent::Vanished(vanished.clone()));
            }
        }
        if report.new + report.changed + report.moved + report.missing + report.failed + report.embedded > 0 {
            self.emit(&WatchEvent::Updated(Box::new(report.clone())));
        }
    }

    fn target_of(&self, path: &Path) -> Option<&WatchTarget> {
        let enclosing = self.targets.iter().filter(|target| path.starts_with(&target.start));
        enclosing.max_by_key(|target| target.start.components().count())
    }

    /// Marks the targets as offline whose roots a run has found offline.
    fn mark_offline_roots(&mut self, report: &IndexReport) {
        for at in 0..self.targets.len() {
            let target = &self.targets[at];
            if target.is_online() && report.offline_roots.iter().any(|root| **root == *target.root) {
                self.mark_offline(at);
            }
        }
    }

    /// Notes which targets were scanned, and when they are to be polled next.
    fn note_scanned(&mut self, changes: &[Change], took: Duration) {
        let poll = self.watcher.options.poll;
        for target in self.targets.iter_mut().filter(|target| changes.contains(&target.part)) {
            target.next_poll = Instant::now() + poll.max(took * MIN_POLL_REST);
            target.lost = false;
        }
    }

    fn requeue(&self, changes: &[Change], are_folders: bool, after: Duration) {
        for change in changes {
            let root: Arc<Path> = change.root.as_path().into();
            self.watcher.shared.requeue(&root, change, are_folders, after);
        }
    }

    pub(super) fn tidy_soon(&mut self) {
        self.timers.tidy.get_or_insert(Instant::now() + TIDY_DELAY);
    }

    pub(super) fn tidy(&mut self) -> Result<()> {
        self.timers.tidy = None;
        self.check_index()?;
        let cancel = CancelToken::default();
        if !self.watcher.shared.begin(&cancel) {
            self.tidy_soon();
            return Ok(());
        }
        let tidied = self.watcher.updater.tidy();
        self.watcher.shared.end();
        match tidied {
            Ok(warnings) => warnings.into_iter().for_each(|warning| self.emit(&WatchEvent::Failed(warning))),
            Err(Error::Locked { .. }) => self.tidy_soon(),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// The inode number of the file at a path, and its number of hard links.
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
