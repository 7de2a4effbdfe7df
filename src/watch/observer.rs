//! Listening: one watch of the system for each folder of each root.
//!
//! Events are hints. They say which paths to look at, and nothing else is concluded from them. A folder is watched before it is
//! scanned, so that whatever happens in it is either seen by the scan or told by an event.
//!
//! Folders are watched one by one, because then what is excluded is not watched at all, and because the only thing that a recursive
//! watch would add, watching new folders, has to be done here all the same: what is in them already is not told. Elsewhere
//! than on Linux systems watch whole trees at no cost.

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

/// Folders that are given to the system at a time.
const BATCH: usize = 512;

/// A root, or a part of one, as it is root_watch to.
#[derive(Debug)]
pub(super) struct RootWatch {
    /// Path of the root.
    pub root: Arc<Path>,
    /// The part of it; the same as `root` if it is all.
    pub start: Arc<Path>,
    /// The folder that tells of it: `start`, or the one around it if that is a file.
    pub folder: PathBuf,
    pub scan: ScanOptions,
    /// Roots of their own below it.
    pub nested_roots: Vec<PathBuf>,
    /// Of a root of files that were given one by one: their paths. Others in the folder are not looked at.
    pub only: Option<Vec<PathBuf>>,
}

/// What became of listening to a root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Listening {
    pub folders: usize,
    /// Why changes in it may go unnoticed.
    pub watch_error: Option<WatchError>,
}

enum Message {
    Event(Arc<Path>, notify::Result<Event>),
    Listen(Box<RootWatch>, Sender<Listening>),
    /// How many folders of a target are watched, if that has changed.
    Count(Arc<Path>, Sender<Option<usize>>),
    Ignore(Arc<Path>),
    Flush(Sender<()>),
    /// Everything before this one is noted.
    Flushed(Sender<()>),
    Stop,
}

/// A thread that listens to roots, and notes which paths to look at.
#[derive(Debug)]
pub(super) struct Observer {
    messages: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl Observer {
    pub(super) fn start(shared: Arc<Shared>, own_files: OwnFiles) -> Result<Self> {
        let (messages, received) = unbounded();
        let ears = EventLoop { shared, own_files, messages: messages.clone(), roots: Vec::new() };
        let thread = std::thread::Builder::new().name("observer".into()).spawn(move || ears.run(&received));
        let thread = thread.map_err(Error::io("start a thread for", "watching"))?;
        Ok(Self { messages, thread: Some(thread) })
    }

    /// Begins to listen to a root, or begins anew. When this returns, every later change is told.
    pub(super) fn listen(&self, root: RootWatch) -> Listening {
        self.ask(|reply| Message::Listen(Box::new(root), reply)).unwrap_or_default()
    }

    /// Listens no more to what begins at a path.
    pub(super) fn ignore(&self, start: &Arc<Path>) {
        let _ = self.messages.send(Message::Ignore(start.clone()));
    }

    /// How many folders of a target are watched, if that has changed since it was last asked for.
    pub(super) fn count(&self, start: &Arc<Path>) -> Option<usize> {
        self.ask(|reply| Message::Count(start.clone(), reply)).flatten()
    }

    /// Waits until everything is noted that has happened before.
    pub(super) fn flush(&self) {
        self.ask(Message::Flush);
    }

    fn ask<T>(&self, question: impl FnOnce(Sender<T>) -> Message) -> Option<T> {
        let (reply, answer) = unbounded();
        self.messages.send(question(reply)).ok()?;
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

/// What the thread holds.
struct EventLoop {
    shared: Arc<Shared>,
    /// What happens to these is the index's own doing.
    own_files: OwnFiles,
    messages: Sender<Message>,
    roots: Vec<WatchedTree>,
}

/// A root that is root_watch to.
struct WatchedTree {
    root_watch: RootWatch,
    rules: ScanRules,
    /// `None` where the system has no more to give.
    watcher: Option<RecommendedWatcher>,
    /// Whether folders have come or gone since they were counted.
    is_uncounted: bool,
}

impl EventLoop {
    fn run(mut self, messages: &Receiver<Message>) {
        for message in messages {
            match message {
                Message::Event(start, event) => self.hear(&start, event),
                Message::Listen(root, reply) => {
                    let _ = reply.send(self.listen(*root));
                }
                Message::Ignore(start) => self.roots.retain(|watched| watched.root_watch.start != start),
                Message::Count(start, reply) => drop(reply.send(self.count(&start))),
                Message::Flush(reply) => self.flush(reply),
                Message::Flushed(reply) => drop(reply.send(())),
                Message::Stop => return,
            }
        }
    }

    fn listen(&mut self, root_watch: RootWatch) -> Listening {
        self.roots.retain(|watched| watched.root_watch.start != root_watch.start);
        let rules = match ScanRules::new(&root_watch.root, &root_watch.scan) {
            Ok(rules) => rules,
            Err(error) => return Listening { watch_error: Some(WatchError::Other(error.to_string())), folders: 0 },
        };
        let mut watched = WatchedTree { root_watch, rules, watcher: None, is_uncounted: false };
        let listening = match self.watcher(&watched.root_watch) {
            Ok(watcher) => {
                watched.watcher = Some(watcher);
                watched.watch_all()
            }
            Err(error) => Listening { watch_error: Some(event::watch_error(&error)), folders: 0 },
        };
        self.roots.push(watched);
        listening
    }

    fn watcher(&self, root_watch: &RootWatch) -> notify::Result<RecommendedWatcher> {
        let (messages, start) = (self.messages.clone(), root_watch.start.clone());
        let config = Config::default()
            .with_follow_symlinks(root_watch.scan.follow_links)
            .with_event_kinds(EventKindMask::CORE | EventKindMask::ACCESS_CLOSE);
        let pass_on = move |event| {
            let _ = messages.send(Message::Event(start.clone(), event));
        };
        RecommendedWatcher::new(pass_on, config)
    }

    fn hear(&mut self, start: &Arc<Path>, event: notify::Result<Event>) {
        let (shared, own_files) = (self.shared.clone(), self.own_files.clone());
        // Events of a root that is not root_watch to any more may still come.
        let Some(watched) = self.roots.iter_mut().find(|watched| watched.root_watch.start == *start) else { return };
        let (root, follow) = (watched.root_watch.root.clone(), watched.root_watch.scan.follow_links);
        for told in event::read(event, |path| is_folder(path, follow)) {
            match told {
                FsEvent::File(path, _) | FsEvent::Folder(path) | FsEvent::Gone(path) if own_files.contain(&path) => {}
                FsEvent::File(path, kind) if watched.admits(&path, false) => shared.note(&root, &path, kind),
                FsEvent::Folder(path) if *path == **start || watched.admits(&path, true) => {
                    watched.is_uncounted = true;
                    let listening = watched.watch_below(&path);
                    if let Some(watch_error) = listening.watch_error {
                        shared.watch_error(start, watch_error);
                    }
                    shared.note(&root, &path, ChangeKind::Folder);
                }
                FsEvent::Gone(path) if path == watched.root_watch.folder => shared.doubt(start),
                FsEvent::Gone(path) if path.starts_with(&watched.root_watch.start) => {
                    watched.is_uncounted = true;
                    // Whether it was a file or a folder is not known, and one of them may be excluded.
                    if watched.admits(&path, false) || watched.admits(&path, true) {
                        shared.note(&root, &path, ChangeKind::Settled);
                    }
                }
                FsEvent::Unmounted(_) => shared.doubt(start),
                FsEvent::Lost => shared.lose(start),
                FsEvent::WatchError(WatchError::OutOfReach, _) => {}
                FsEvent::WatchError(watch_error, _) => shared.watch_error(start, watch_error),
                FsEvent::File(..) | FsEvent::Folder(_) | FsEvent::Gone(_) => {}
            }
        }
    }

    fn count(&mut self, start: &Arc<Path>) -> Option<usize> {
        let watched = self.roots.iter_mut().find(|watched| watched.root_watch.start == *start)?;
        if !FOLDER_BY_FOLDER || !std::mem::take(&mut watched.is_uncounted) {
            return None;
        }
        Some(watched.watcher.as_ref()?.watched_paths().ok()?.len())
    }

    /// Answers when everything has been watched that has happened so far.
    fn flush(&mut self, reply: Sender<()>) {
        for watched in &mut self.roots {
            if let Some(watcher) = &mut watched.watcher {
                // Changing nothing makes notify's thread read all that there is to read. It passes that on after it has answered,
                // and so before it answers again.
                let _ = watcher.update_paths(Vec::new());
                let _ = watcher.update_paths(Vec::new());
            }
        }
        // What was passed on lies in front of this.
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

    fn watch_all(&mut self) -> Listening {
        let start = self.root_watch.start.to_path_buf();
        if self.root_watch.only.is_some() {
            let mut listening = Listening::default();
            let folder = self.root_watch.folder.clone();
            self.watcher.iter_mut().for_each(|watcher| watch(watcher, std::slice::from_ref(&folder), &mut listening));
            return listening;
        }
        self.watch_below(&start)
    }

    /// Watches a folder and all below it. Each is watched before it is listed: a folder that appears in between is listed or told.
    fn watch_below(&mut self, start: &Path) -> Listening {
        let Self { root_watch, rules, watcher: Some(watcher), .. } = self else { return Listening::default() };
        let RootWatch { root, start: target, scan, nested_roots, only, .. } = root_watch;
        if only.is_some() || !(FOLDER_BY_FOLDER || *start == **target) {
            return Listening::default();
        }
        let mut listening = Listening::default();
        let mut folders = FOLDER_BY_FOLDER.then(|| Folders::new(root, rules, nested_roots, scan));
        let mut level = vec![start.to_owned()];
        while !level.is_empty() && listening.watch_error != Some(WatchError::TooManyFolders) {
            level.chunks(BATCH).for_each(|batch| watch(watcher, batch, &mut listening));
            level = folders.iter_mut().flat_map(|folders| level.iter().flat_map(|it| folders.inside(it))).collect();
        }
        listening
    }
}

/// Watches folders, or trees where the system watches those.
fn watch(watcher: &mut RecommendedWatcher, folders: &[PathBuf], listening: &mut Listening) {
    let mode = if FOLDER_BY_FOLDER { RecursiveMode::NonRecursive } else { RecursiveMode::Recursive };
    let operation = |path: &PathBuf| PathOp::Watch(path.clone(), WatchPathConfig::new(mode));
    let mut left: Vec<PathOp> = folders.iter().map(operation).collect();
    listening.folders += left.len();
    while let Err(failed) = watcher.update_paths(left) {
        listening.folders -= 1 + failed.remaining.len();
        let watch_error = event::watch_error(&failed.source);
        // Without an operation that failed, notify's thread is gone.
        if watch_error == WatchError::TooManyFolders || failed.origin.is_none() {
            listening.watch_error = Some(watch_error);
            return;
        }
        if watch_error != WatchError::OutOfReach {
            listening.watch_error.get_or_insert(watch_error);
        }
        left = failed.remaining;
        listening.folders += left.len();
    }
}

/// Whether there is a folder at a path; `None` if there is nothing.
fn is_folder(path: &Path, follow_links: bool) -> Option<bool> {
    let metadata =
        if follow_links { path.metadata().or_else(|_| path.symlink_metadata()) } else { path.symlink_metadata() };
    metadata.ok().map(|metadata| metadata.is_dir())
}
