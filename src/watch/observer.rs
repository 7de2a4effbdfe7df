//! The observer thread, which receives file events: the system watches each folder of each root.
//!
//! Events are hints. They name the paths to check, and nothing else is concluded from them. A folder is watched before
//! it is scanned, so that every change in it is either found by the scan or reported by an event.
//!
//! On Linux, folders are watched one by one. Excluded folders are then not watched at all, and a recursive watch would
//! gain nothing: it would add new folders by itself, but no event reports what they already contain, so they have to be
//! handled here anyway. Other systems watch whole trees at no extra cost.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};
use notify::event::EventKindMask;
use notify::{Config, Event, PathOp, RecommendedWatcher, RecursiveMode, WatchPathConfig, Watcher};

use super::dirty::ChangeKind;
use super::event::{self, FsEvent, WatchError};
use super::shared::Shared;
use crate::error::{Error, Result};
use crate::scan::{Folders, ScanOptions, ScanRules};
use crate::store::OwnFiles;

const FOLDER_BY_FOLDER: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Number of folders that are passed to the system at once.
const BATCH_FOLDERS: usize = 512;

/// A root, or a part of one, and how to watch it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RootWatch {
    /// Path of the root.
    pub root: Arc<Path>,
    /// Path of the part; equal to `root` for the whole root.
    pub start: Arc<Path>,
    /// The folder whose events report its changes: `start`, or the parent folder if `start` is a file. A watch on the
    /// file itself would miss its replacement by another file.
    pub folder: PathBuf,
    pub scan: ScanOptions,
    /// Roots below it that are watched separately.
    pub nested_roots: Vec<PathBuf>,
    /// For a root of files that were added one by one, or a single file: their paths. Other files in the folder are
    /// ignored.
    pub only: Option<Vec<PathBuf>>,
}

/// How much of a root the system watches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Coverage {
    pub folders: usize,
    /// Why changes in the root may go unnoticed.
    pub watch_error: Option<WatchError>,
}

enum Message {
    Event(Arc<Path>, notify::Result<Event>),
    Watch(Box<RootWatch>, Sender<Coverage>),
    /// Asks for the number of watched folders of a target, if it has changed.
    Count(Arc<Path>, Sender<Option<usize>>),
    Unwatch(Arc<Path>),
    Flush(Sender<()>),
    /// Sent by the thread to itself: every event queued before this message is processed.
    Flushed(Sender<()>),
    Stop,
}

/// A thread that watches roots and notes which paths may have changed.
#[derive(Debug)]
pub(super) struct Observer {
    messages: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl Observer {
    pub(super) fn start(shared: Arc<Shared>, own_files: OwnFiles) -> Result<Self> {
        let (messages, received) = unbounded();
        let event_loop = EventLoop { shared, own_files, messages: messages.clone(), roots: Vec::new() };
        let thread = std::thread::Builder::new().name("observer".into()).spawn(move || event_loop.run(&received));
        let thread = thread.map_err(Error::io("start the thread", "observer"))?;
        Ok(Self { messages, thread: Some(thread) })
    }

    /// Starts to watch a root, or restarts it. Every change after the return of this function is reported.
    pub(super) fn watch(&self, root: RootWatch) -> Coverage {
        self.ask(|reply| Message::Watch(Box::new(root), reply)).unwrap_or_default()
    }

    /// Stops watching the target at a path.
    pub(super) fn unwatch(&self, start: &Arc<Path>) {
        let _ = self.messages.send(Message::Unwatch(start.clone()));
    }

    /// The number of watched folders of a target, if it has changed since the last call.
    pub(super) fn count(&self, start: &Arc<Path>) -> Option<usize> {
        self.ask(|reply| Message::Count(start.clone(), reply)).flatten()
    }

    /// Waits until all changes made before this call are noted.
    pub(super) fn flush(&self) {
        self.ask(Message::Flush);
    }

    fn ask<T>(&self, message: impl FnOnce(Sender<T>) -> Message) -> Option<T> {
        let (reply, answer) = unbounded();
        self.messages.send(message(reply)).ok()?;
        answer.recv().ok()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The state of the observer thread.
struct EventLoop {
    shared: Arc<Shared>,
    /// Files of the index itself, whose changes are ignored.
    own_files: OwnFiles,
    messages: Sender<Message>,
    roots: Vec<WatchedTree>,
}

/// A root that is being watched.
struct WatchedTree {
    root_watch: RootWatch,
    rules: ScanRules,
    watcher: RecommendedWatcher,
    /// Whether folders have appeared or disappeared since they were counted.
    is_uncounted: bool,
}

impl EventLoop {
    fn run(mut self, messages: &Receiver<Message>) {
        for message in messages {
            match message {
                Message::Event(start, event) => self.handle_event(&start, event),
                Message::Watch(root, reply) => drop(reply.send(self.watch(*root))),
                Message::Unwatch(start) => self.roots.retain(|watched| watched.root_watch.start != start),
                Message::Count(start, reply) => drop(reply.send(self.count(&start))),
                Message::Flush(reply) => self.flush(reply),
                Message::Flushed(reply) => drop(reply.send(())),
                Message::Stop => return,
            }
        }
    }

    fn watch(&mut self, root_watch: RootWatch) -> Coverage {
        self.roots.retain(|watched| watched.root_watch.start != root_watch.start);
        match self.watched_tree(root_watch) {
            Ok(mut watched) => {
                let coverage = watched.watch_all();
                self.roots.push(watched);
                coverage
            }
            Err(watch_error) => Coverage { watch_error: Some(watch_error), folders: 0 },
        }
    }

    fn watched_tree(&self, root_watch: RootWatch) -> Result<WatchedTree, WatchError> {
        let RootWatch { root, start, scan, .. } = &root_watch;
        let rules = ScanRules::new(root, scan).map_err(|error| WatchError::Other(error.to_string()))?;
        let config = Config::default()
            .with_follow_symlinks(scan.follow_links)
            .with_event_kinds(EventKindMask::CORE | EventKindMask::ACCESS_CLOSE);
        let (messages, start) = (self.messages.clone(), start.clone());
        let forward = move |event| drop(messages.send(Message::Event(start.clone(), event)));
        let watcher = RecommendedWatcher::new(forward, config).map_err(|error| event::watch_error(&error))?;
        Ok(WatchedTree { root_watch, rules, watcher, is_uncounted: false })
    }

    fn handle_event(&mut self, start: &Arc<Path>, event: notify::Result<Event>) {
        let (shared, own_files) = (self.shared.clone(), self.own_files.clone());
        // Events of a root that is no longer watched may still arrive.
        let Some(watched) = self.roots.iter_mut().find(|watched| watched.root_watch.start == *start) else { return };
        let (root, follow) = (watched.root_watch.root.clone(), watched.root_watch.scan.follow_links);
        for fs_event in event::read(event, |path| is_folder(path, follow)) {
            match fs_event {
                FsEvent::File(path, _) | FsEvent::Folder(path) | FsEvent::Gone(path) if own_files.contain(&path) => {}
                FsEvent::File(path, kind) if watched.admits(&path, false) => shared.note(&root, &path, kind),
                FsEvent::Folder(path) if *path == **start || watched.admits(&path, true) => {
                    watched.is_uncounted = true;
                    if let Some(watch_error) = watched.watch_below(&path).watch_error {
                        shared.report_watch_error(start, watch_error);
                    }
                    shared.note(&root, &path, ChangeKind::Folder);
                }
                FsEvent::Gone(path) if path == watched.root_watch.folder => shared.report_doubt(start),
                FsEvent::Gone(path) if path.starts_with(&watched.root_watch.start) => {
                    watched.is_uncounted = true;
                    // The rules may exclude files or folders of this name, and it is unknown which of the two it was.
                    if watched.admits(&path, false) || watched.admits(&path, true) {
                        shared.note(&root, &path, ChangeKind::Settled);
                    }
                }
                FsEvent::Unmounted(_) => shared.report_doubt(start),
                FsEvent::Lost => shared.report_loss(start),
                FsEvent::WatchError(WatchError::OutOfReach) => {}
                FsEvent::WatchError(watch_error) => shared.report_watch_error(start, watch_error),
                FsEvent::File(..) | FsEvent::Folder(_) | FsEvent::Gone(_) => {}
            }
        }
    }

    fn count(&mut self, start: &Arc<Path>) -> Option<usize> {
        let watched = self.roots.iter_mut().find(|watched| watched.root_watch.start == *start)?;
        if !FOLDER_BY_FOLDER || !std::mem::take(&mut watched.is_uncounted) {
            return None;
        }
        Some(watched.watcher.watched_paths().ok()?.len())
    }

    /// Replies once all changes made so far are processed.
    fn flush(&mut self, reply: Sender<()>) {
        for watched in &mut self.roots {
            // An empty update makes notify's thread read all pending events. It forwards them after it has replied, so
            // they are forwarded for certain when it replies to the second update.
            let _ = watched.watcher.update_paths(Vec::new());
            let _ = watched.watcher.update_paths(Vec::new());
        }
        // The forwarded events are in the queue before this message.
        let _ = self.messages.send(Message::Flushed(reply));
    }
}

impl WatchedTree {
    fn admits(&self, path: &Path, is_folder: bool) -> bool {
        let RootWatch { root, start, only, .. } = &self.root_watch;
        match only {
            Some(files) => files.iter().any(|file| file == path),
            None => path.starts_with(start) && *path != **start && self.rules.admits(root, path, is_folder),
        }
    }

    fn watch_all(&mut self) -> Coverage {
        if self.root_watch.only.is_none() {
            return self.watch_below(&self.root_watch.start.clone());
        }
        let mut coverage = Coverage::default();
        watch(&mut self.watcher, std::slice::from_ref(&self.root_watch.folder), &mut coverage);
        coverage
    }

    /// Watches a folder and all folders below it. Each is watched before it is listed, so that a folder that appears in
    /// between is either listed or reported by an event.
    fn watch_below(&mut self, start: &Path) -> Coverage {
        let RootWatch { root, start: target, scan, nested_roots, only, .. } = &self.root_watch;
        let mut coverage = Coverage::default();
        if only.is_some() || !(FOLDER_BY_FOLDER || *start == **target) {
            return coverage;
        }
        let mut folders = FOLDER_BY_FOLDER.then(|| Folders::new(root, &self.rules, nested_roots, scan));
        let mut level = vec![start.to_owned()];
        while !level.is_empty() && coverage.watch_error != Some(WatchError::TooManyFolders) {
            level.chunks(BATCH_FOLDERS).for_each(|batch| watch(&mut self.watcher, batch, &mut coverage));
            level = folders.iter_mut().flat_map(|folders| level.iter().flat_map(|it| folders.inside(it))).collect();
        }
        coverage
    }
}

/// Watches folders, or whole trees on systems that support it.
fn watch(watcher: &mut RecommendedWatcher, folders: &[PathBuf], coverage: &mut Coverage) {
    let mode = if FOLDER_BY_FOLDER { RecursiveMode::NonRecursive } else { RecursiveMode::Recursive };
    let operation = |path: &PathBuf| PathOp::Watch(path.clone(), WatchPathConfig::new(mode));
    let mut left: Vec<PathOp> = folders.iter().map(operation).collect();
    coverage.folders += left.len();
    while let Err(failed) = watcher.update_paths(left) {
        coverage.folders -= 1 + failed.remaining.len();
        let watch_error = event::watch_error(&failed.source);
        // An error without a failed operation means that notify's thread has ended.
        if watch_error == WatchError::TooManyFolders || failed.origin.is_none() {
            coverage.watch_error = Some(watch_error);
            return;
        }
        if watch_error != WatchError::OutOfReach {
            coverage.watch_error.get_or_insert(watch_error);
        }
        left = failed.remaining;
        coverage.folders += left.len();
    }
}

/// Whether a path is a folder; `None` if it does not exist.
fn is_folder(path: &Path, follow_links: bool) -> Option<bool> {
    let metadata =
        if follow_links { path.metadata().or_else(|_| path.symlink_metadata()) } else { path.symlink_metadata() };
    metadata.ok().map(|metadata| metadata.is_dir())
}
