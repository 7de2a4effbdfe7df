//! Watched targets: roots or parts of roots, and how reliably the system reports changes in each.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::event::WatchError;
use super::observer::{Coverage, Observer, RootWatch};
use super::options::WatchOptions;
use super::status::WatchedRoot;
use crate::error::Result;
use crate::indexer::{self, Change};
use crate::scan::{ScanOptions, tells_too_little};
use crate::store::{Root, RootState, Store};
use crate::types::FileStat;

/// A watched root, or a watched part of one.
#[derive(Debug)]
pub(super) struct WatchTarget {
    pub root: Arc<Path>,
    pub start: Arc<Path>,
    pub part: Change,
    /// For a root of single files: requested files in addition to the indexed ones, relative to the root.
    pub files: Vec<PathBuf>,
    /// How it is watched.
    root_watch: Option<RootWatch>,
    /// Device and inode when the watch was started.
    identity: Option<(u64, u64)>,
    /// `None` until it is checked for the first time.
    pub state: Option<RootState>,
    pub coverage: Coverage,
    /// Why it is scanned at intervals.
    pub polled: Option<String>,
    pub next_poll: Instant,
    /// Events were lost, and it has not been scanned since.
    pub lost: bool,
}

impl WatchTarget {
    fn new(part: Change, now: Instant) -> Self {
        let (root, start) = (part.root.as_path().into(), part.path().into());
        Self {
            root,
            start,
            part,
            files: Vec::new(),
            root_watch: None,
            identity: None,
            state: None,
            coverage: Coverage::default(),
            polled: None,
            next_poll: now,
            lost: false,
        }
    }

    pub(super) fn is_online(&self) -> bool {
        self.state == Some(RootState::Online)
    }

    pub(super) fn is_polled(&self) -> bool {
        self.is_online() && self.polled.is_some()
    }

    /// The same target with these requested files.
    pub(super) fn with_files(mut self, files: &[PathBuf]) -> Self {
        self.files = files.to_vec();
        self
    }

    /// Whether only single files of it are watched.
    pub(super) fn is_listed(&self) -> bool {
        self.root_watch.as_ref().is_some_and(|root_watch| root_watch.only.is_some())
    }

    /// Whether it is watched in this way, or is offline.
    pub(super) fn is_watched_with(&self, root_watch: &Option<RootWatch>) -> bool {
        !self.is_online() || self.root_watch == *root_watch
    }

    /// Whether the path is still the directory, or file, for which the watch was started.
    pub(super) fn is_same(&self) -> bool {
        let (was, is) = (self.identity, identity(&self.start));
        // Inode numbers are not stable on some network and FUSE file systems.
        let device = |identity: Option<(u64, u64)>| identity.map(|(device, _)| device);
        was == is || (device(was) == device(is) && tells_too_little(&self.start).is_some())
    }

    /// How to watch it; `None` if its root is no longer in the index.
    pub(super) fn how_to_watch(&self, store: &Store, roots: &[Root]) -> Result<Option<RootWatch>> {
        let (part, start) = (&self.part, &self.start);
        let Some(root) = roots.iter().find(|root| root.path == part.root) else { return Ok(None) };
        let is_file = !part.is_root() && (!root.recursive || start.is_file());
        let only = match (is_file, root.recursive) {
            (true, _) => Some(vec![start.to_path_buf()]),
            (false, true) => None,
            (false, false) => {
                let known = store.paths_in_root(root.id)?;
                let mut all: Vec<_> = known.iter().chain(&self.files).map(|path| root.path.join(path)).collect();
                all.sort();
                all.dedup();
                Some(all)
            }
        };
        let targets = indexer::of_changes(store, std::slice::from_ref(part), roots)?;
        Ok(Some(RootWatch {
            root: self.root.clone(),
            start: start.clone(),
            folder: start.parent().filter(|_| is_file).unwrap_or(start).to_owned(),
            scan: ScanOptions::from_json(&root.scan),
            nested_roots: targets.into_iter().flat_map(|target| target.nested_roots).collect(),
            only,
        }))
    }

    /// Starts to watch it, or restarts the watch.
    pub(super) fn watch(&mut self, observer: &Observer, root_watch: RootWatch, options: &WatchOptions) {
        self.identity = identity(&self.start);
        self.coverage = observer.watch(root_watch.clone());
        self.state = Some(RootState::Online);
        self.root_watch = Some(root_watch);
        self.polled = self.why_polled(options);
    }

    fn why_polled(&self, options: &WatchOptions) -> Option<String> {
        if options.poll_all {
            return Some("polling was requested".into());
        }
        if self.coverage.watch_error.is_some() {
            return Some("not all of its directories can be watched".into());
        }
        tells_too_little(&self.start).map(|kind| format!("{kind} does not report all changes"))
    }

    /// Notes that changes in it may go unnoticed from now on.
    pub(super) fn note_watch_error(&mut self, watch_error: WatchError, options: &WatchOptions) {
        self.coverage.watch_error.get_or_insert(watch_error);
        self.polled = self.why_polled(options);
    }

    /// Why changes in it are noticed late, as a message for the user.
    pub(super) fn degraded(&self, options: &WatchOptions) -> Option<String> {
        if self.lost {
            return Some(format!("`{}`: the system has lost events; scanning it again", self.start.display()));
        }
        let (why, hint) = match self.coverage.watch_error.as_ref().filter(|_| self.is_online())? {
            WatchError::OutOfReach => return None,
            WatchError::TooManyFolders => (
                "this user's limit of watched directories is reached".to_owned(),
                "; to raise the limit, run `sudo sysctl fs.inotify.max_user_watches=1048576`",
            ),
            WatchError::Other(reason) if reason.contains("open files") => (
                format!("cannot watch it: {reason}"),
                "; to raise the limit, run `sudo sysctl fs.inotify.max_user_instances=1024`",
            ),
            WatchError::Other(reason) => (format!("cannot watch it: {reason}"), ""),
        };
        let (start, poll) = (self.start.display(), options.poll);
        Some(format!("`{start}`: {why}; scanning it every {poll:?} instead{hint}"))
    }

    pub(super) fn status(&self) -> WatchedRoot {
        let folders = self.coverage.folders as u64;
        let (path, polled) = (self.start.to_path_buf(), self.polled.clone());
        WatchedRoot { path, state: self.state.unwrap_or(RootState::Offline), folders, polled }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let stat = FileStat::new(&path.metadata().ok()?);
    Some((stat.device, stat.inode))
}

/// The targets for the requested parts, or for all roots if there are none.
pub(super) fn targets(parts: &[Change], roots: &[Root], now: Instant) -> Vec<WatchTarget> {
    let whole = |root: &Root| Change { root: root.path.clone(), scope: PathBuf::new() };
    let requested: Vec<Change> = if parts.is_empty() { roots.iter().map(whole).collect() } else { parts.to_vec() };
    let mut targets: Vec<WatchTarget> = Vec::new();
    for part in requested {
        // The root of the part may have been absorbed by another root since.
        let Some((root, mut part)) = indexer::enclosing_root(&part.path(), roots) else { continue };
        // Single files of one folder share a target.
        let file = (!root.recursive).then(|| std::mem::take(&mut part.scope));
        let at = targets.iter().position(|target| target.part == part).unwrap_or_else(|| {
            targets.push(WatchTarget::new(part, now));
            targets.len() - 1
        });
        targets[at].files.extend(file.filter(|file| !file.as_os_str().is_empty()));
    }
    // A part inside another part of the same root is watched with it.
    let parts: Vec<Change> = targets.iter().map(|target| target.part.clone()).collect();
    let is_within = |part: &Change, other: &Change| {
        part != other && part.root == other.root && part.scope.starts_with(&other.scope)
    };
    targets.retain(|target| !parts.iter().any(|other| is_within(&target.part, other)));
    targets.sort_by(|a, b| a.start.cmp(&b.start));
    targets
}
