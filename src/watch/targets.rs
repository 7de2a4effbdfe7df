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
    config: Option<WatchConfig>,
    /// Device and inode when the watch was started.
    identity: Option<(u64, u64)>,
    pub state: RootState,
    pub coverage: Coverage,
    /// Why it is scanned at intervals.
    pub polled: Option<String>,
    pub next_poll: Instant,
    /// Whether it was reported to be offline.
    pub is_reported_offline: bool,
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
            config: None,
            identity: None,
            // Offline until a check finds it.
            state: RootState::Offline,
            coverage: Coverage::default(),
            polled: None,
            next_poll: now,
            is_reported_offline: false,
            lost: false,
        }
    }

    pub(super) fn is_online(&self) -> bool {
        self.state == RootState::Online
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
        self.config.as_ref().is_some_and(|config| config.only.is_some())
    }

    /// Whether it is watched with this configuration, or is offline.
    pub(super) fn is_watched_with(&self, config: &Option<WatchConfig>) -> bool {
        !self.is_online() || self.config == *config
    }

    /// Whether the path is still the directory, or file, for which the watch was started.
    pub(super) fn is_same(&self) -> bool {
        let (was, is) = (self.identity, identity(&self.start));
        // Inode numbers are not stable on some network and FUSE file systems.
        let device = |identity: Option<(u64, u64)>| identity.map(|(device, _)| device);
        was == is || (device(was) == device(is) && tells_too_little(&self.start).is_some())
    }

    /// Starts to watch it, or restarts the watch.
    pub(super) fn watch(&mut self, observer: &Observer, config: Option<WatchConfig>, options: &WatchOptions) {
        let Some(WatchConfig { scan, nested_roots, only, folder }) = config.clone() else { return };
        let (root, start) = (self.root.clone(), self.start.clone());
        self.identity = identity(&start);
        self.coverage = observer.watch(RootWatch { root, start, folder, scan, nested_roots, only });
        self.state = RootState::Online;
        self.config = config;
        self.polled = self.why_polled(options);
    }

    fn why_polled(&self, options: &WatchOptions) -> Option<String> {
        if options.poll_all {
            return Some("polling was requested".into());
        }
        if self.coverage.watch_error.is_some() {
            return Some("not all of its folders can be watched".into());
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
        let watch_error = self.coverage.watch_error.as_ref().filter(|_| self.is_online())?;
        let why = match watch_error {
            WatchError::TooManyFolders => "this user's limit of watched folders is reached".to_owned(),
            WatchError::OutOfReach => return None,
            WatchError::Other(reason) => format!("cannot watch it: {reason}"),
        };
        let hint = match watch_error {
            WatchError::TooManyFolders => "; to raise the limit, run `sudo sysctl fs.inotify.max_user_watches=1048576`",
            WatchError::Other(reason) if reason.contains("open files") => {
                "; to raise the limit, run `sudo sysctl fs.inotify.max_user_instances=1024`"
            }
            _ => "",
        };
        let (start, poll) = (self.start.display(), options.poll);
        Some(format!("`{start}`: {why}; scanning it every {poll:?} instead{hint}"))
    }

    pub(super) fn status(&self) -> WatchedRoot {
        let folders = self.coverage.folders as u64;
        let (path, polled) = (self.start.to_path_buf(), self.polled.clone());
        WatchedRoot { path, state: self.state, folders, polled }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let stat = FileStat::new(&path.metadata().ok()?);
    Some((stat.device, stat.inode))
}

/// How a target is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WatchConfig {
    scan: ScanOptions,
    nested_roots: Vec<PathBuf>,
    only: Option<Vec<PathBuf>>,
    /// The folder whose events report its changes.
    folder: PathBuf,
}

impl WatchConfig {
    /// How to watch a target; `None` if its root is no longer in the index.
    pub(super) fn of(target: &WatchTarget, store: &Store, roots: &[Root]) -> Result<Option<Self>> {
        let part = &target.part;
        let Some(root) = roots.iter().find(|root| root.path == part.root) else { return Ok(None) };
        let (path, is_whole) = (part.path(), part.scope.as_os_str().is_empty());
        let is_file = !is_whole && (!root.recursive || path.is_file());
        let only = match (is_file, root.recursive) {
            (true, _) => Some(vec![path.clone()]),
            (false, true) => None,
            (false, false) => {
                let known = store.paths_in_root(root.id)?;
                let mut all: Vec<_> = known.iter().chain(&target.files).map(|path| root.path.join(path)).collect();
                all.sort();
                all.dedup();
                Some(all)
            }
        };
        let nested_roots = indexer::of_changes(store, std::slice::from_ref(part), roots)?;
        Ok(Some(Self {
            scan: ScanOptions::from_json(&root.scan),
            nested_roots: nested_roots.into_iter().flat_map(|target| target.nested_roots).collect(),
            only,
            // A watch on the file itself would miss its replacement by another file; the parent folder reports it.
            folder: path.parent().filter(|_| is_file).map_or(path.clone(), Path::to_owned),
        }))
    }
}

/// The targets for the requested parts, or for all roots if there are none.
pub(super) fn targets(parts: &[Change], roots: &[Root], now: Instant) -> Vec<WatchTarget> {
    let whole = |root: &Root| Change { root: root.path.clone(), scope: PathBuf::new() };
    let requested: Vec<Change> = if parts.is_empty() { roots.iter().map(whole).collect() } else { parts.to_vec() };
    let mut targets: Vec<WatchTarget> = Vec::new();
    for part in requested {
        // The root of the part may have been absorbed by another root since.
        let path = part.path();
        let enclosing = roots.iter().filter(|root| {
            path.starts_with(&root.path) && (root.recursive || path == root.path || path.parent() == Some(&root.path))
        });
        let Some(root) = enclosing.max_by_key(|root| root.path.components().count()) else { continue };
        let scope = path.strip_prefix(&root.path).unwrap_or(&path).to_owned();
        // Single files of one folder share a target.
        let (scope, file) = if root.recursive { (scope, None) } else { (PathBuf::new(), Some(scope)) };
        let part = Change { root: root.path.clone(), scope };
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
