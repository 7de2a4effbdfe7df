//! The targets that are watched: roots, or parts of them, and how well the system tells of changes in each.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::event::WatchError;
use super::observer::{Listening, Observer, RootWatch};
use super::options::WatchOptions;
use super::status::WatchedRoot;
use crate::error::Result;
use crate::indexer::{self, Change};
use crate::scan::{ScanOptions, tells_too_little};
use crate::store::{Root, RootState, Store};
use crate::types::FileStat;

/// A target that is watched.
#[derive(Debug)]
pub(super) struct WatchTarget {
    pub root: Arc<Path>,
    pub start: Arc<Path>,
    pub part: Change,
    /// Of a root of single files: those that were asked for beside the known ones, relative to it.
    pub files: Vec<PathBuf>,
    /// How it is root_watch to.
    how: Option<How>,
    /// Which directory it was: device and inode.
    identity: Option<(u64, u64)>,
    pub state: RootState,
    pub listening: Listening,
    /// Why it is scanned now and then.
    pub polled: Option<String>,
    pub next_poll: Instant,
    /// Whether it was told that it is not there.
    pub is_known_away: bool,
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
            how: None,
            identity: None,
            // Until it is found to be there.
            state: RootState::Offline,
            listening: Listening::default(),
            polled: None,
            next_poll: now,
            is_known_away: false,
            lost: false,
        }
    }

    pub(super) fn is_online(&self) -> bool {
        self.state == RootState::Online
    }

    pub(super) fn is_polled(&self) -> bool {
        self.is_online() && self.polled.is_some()
    }

    /// The same, with these files asked for.
    pub(super) fn with_files(mut self, files: &[PathBuf]) -> Self {
        self.files = files.to_vec();
        self
    }

    /// Whether only single files of it are looked at.
    pub(super) fn is_listed(&self) -> bool {
        self.how.as_ref().is_some_and(|how| how.only.is_some())
    }

    /// Whether it is root_watch to as it should be.
    pub(super) fn is_listened_to(&self, how: &Option<How>) -> bool {
        !self.is_online() || self.how == *how
    }

    /// Whether there is still the directory, or file, that it began with.
    pub(super) fn is_same(&self) -> bool {
        let (was, is) = (self.identity, identity(&self.start));
        // Numbers of files change on some file systems of networks, and of the program behind FUSE.
        let device = |identity: Option<(u64, u64)>| identity.map(|(device, _)| device);
        was == is || (device(was) == device(is) && tells_too_little(&self.start).is_some())
    }

    /// Begins to listen, or begins anew.
    pub(super) fn listen(&mut self, observer: &Observer, how: Option<How>, options: &WatchOptions) {
        let Some(How { scan, nested_roots, only, folder }) = how.clone() else { return };
        let (root, start) = (self.root.clone(), self.start.clone());
        self.identity = identity(&start);
        self.listening = observer.listen(RootWatch { root, start, folder, scan, nested_roots, only });
        self.state = RootState::Online;
        self.how = how;
        self.polled = self.why_polled(options);
    }

    fn why_polled(&self, options: &WatchOptions) -> Option<String> {
        if options.poll_all {
            return Some("it was asked for".into());
        }
        if self.listening.watch_error.is_some() {
            return Some("not all of its folders can be watched".into());
        }
        tells_too_little(&self.start).map(|kind| format!("{kind} does not tell of all changes"))
    }

    /// Notes that changes in it may go unnoticed from now on.
    pub(super) fn note_trouble(&mut self, watch_error: WatchError, options: &WatchOptions) {
        self.listening.watch_error.get_or_insert(watch_error);
        self.polled = self.why_polled(options);
    }

    /// Why changes in it are noticed late, for a person.
    pub(super) fn degraded(&self, options: &WatchOptions) -> Option<String> {
        if self.lost {
            return Some(format!(
                "`{}`: the system has lost events, so that it is being scanned",
                self.start.display()
            ));
        }
        let watch_error = self.listening.watch_error.as_ref().filter(|_| self.is_online())?;
        let why = match watch_error {
            WatchError::TooManyFolders => "the system watches no more folders for this user".to_owned(),
            WatchError::OutOfReach => return None,
            WatchError::Other(reason) => format!("the system does not watch it: {reason}"),
        };
        let hint = match watch_error {
            WatchError::TooManyFolders => {
                "; more may be watched after `sudo sysctl fs.inotify.max_user_watches=1048576`"
            }
            WatchError::Other(reason) if reason.contains("open files") => {
                "; more may be watched after `sudo sysctl fs.inotify.max_user_instances=1024`"
            }
            _ => "",
        };
        let (start, poll) = (self.start.display(), options.poll);
        Some(format!("`{start}`: {why}, so that it is scanned every {poll:?}{hint}"))
    }

    pub(super) fn status(&self) -> WatchedRoot {
        let folders = self.listening.folders as u64;
        let (path, polled) = (self.start.to_path_buf(), self.polled.clone());
        WatchedRoot { path, state: self.state, folders, polled }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let stat = FileStat::new(&path.metadata().ok()?);
    Some((stat.device, stat.inode))
}

/// How a target is root_watch to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct How {
    scan: ScanOptions,
    nested_roots: Vec<PathBuf>,
    only: Option<Vec<PathBuf>>,
    /// The folder that tells of it.
    folder: PathBuf,
}

impl How {
    /// How a part of a root is to be root_watch to; `None` if the root is not known any more.
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
            // A file that is replaced is another file under its name: the folder around it tells.
            folder: path.parent().filter(|_| is_file).map_or(path.clone(), Path::to_owned),
        }))
    }
}

/// The targets for what was asked for: those parts, or all roots.
pub(super) fn targets(parts: &[Change], roots: &[Root], now: Instant) -> Vec<WatchTarget> {
    let whole = |root: &Root| Change { root: root.path.clone(), scope: PathBuf::new() };
    let wanted: Vec<Change> = if parts.is_empty() { roots.iter().map(whole).collect() } else { parts.to_vec() };
    let mut targets: Vec<WatchTarget> = Vec::new();
    for part in wanted {
        // A part may lie in a root that has been taken in by another since.
        let path = part.path();
        let around = roots.iter().filter(|root| {
            path.starts_with(&root.path) && (root.recursive || path == root.path || path.parent() == Some(&root.path))
        });
        let Some(root) = around.max_by_key(|root| root.path.components().count()) else { continue };
        let scope = path.strip_prefix(&root.path).unwrap_or(&path).to_owned();
        // Single files of one folder are one target.
        let (scope, file) = if root.recursive { (scope, None) } else { (PathBuf::new(), Some(scope)) };
        let part = Change { root: root.path.clone(), scope };
        let at = targets.iter().position(|target| target.part == part).unwrap_or_else(|| {
            targets.push(WatchTarget::new(part, now));
            targets.len() - 1
        });
        targets[at].files.extend(file.filter(|file| !file.as_os_str().is_empty()));
    }
    // What lies in another one of the same root is watched with that.
    let parts: Vec<Change> = targets.iter().map(|target| target.part.clone()).collect();
    let is_within = |part: &Change, other: &Change| {
        part != other && part.root == other.root && part.scope.starts_with(&other.scope)
    };
    targets.retain(|target| !parts.iter().any(|other| is_within(&target.part, other)));
    targets.sort_by(|a, b| a.start.cmp(&b.start));
    targets
}
