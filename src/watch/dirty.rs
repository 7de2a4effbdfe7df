//! What may have changed, and when it is time to look.
//!
//! A file is looked at soon after somebody has closed it, or moved it into target: it is whole then. Of any other change it is not
//! known whether more follows, so that the file has to be left alone for a while first.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::indexer::Change;
use crate::types::FileStat;

/// What was noticed of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChangeKind {
    /// Whoever wrote it is done, it was moved to its target, or it is gone.
    Settled,
    /// Something of it has changed.
    Changing,
    /// A folder has to be scanned.
    Folder,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// After something settled, for what belongs to it: a file that is saved by being replaced is gone for a moment.
    pub settle: Duration,
    /// For a file that may still be written to, without any change.
    pub stable: Duration,
}

/// Paths that wait at most. Beyond that, roots are scanned instead.
const MOST_PATHS: usize = 50_000;

#[derive(Debug)]
struct Entry {
    root: Arc<Path>,
    due: Instant,
    /// When it was noted first since it was last looked at; `None` if that was before anybody can ask.
    first: Option<Instant>,
    /// When something happened to it last, as far as that was told.
    touched: Option<Instant>,
    kind: ChangeKind,
    /// Of a changing file: how it was when it was last looked at.
    stat: Option<FileStat>,
}

/// Paths that may have changed.
#[derive(Debug)]
pub(super) struct Dirty {
    patience: Patience,
    entries: HashMap<PathBuf, Entry>,
    by_due: BTreeSet<(Instant, PathBuf)>,
}

/// What is due: parts of roots, files that are whole nested_roots from folders that have to be walked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    pub files: Vec<Change>,
    pub folders: Vec<Change>,
}

impl Due {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.folders.is_empty()
    }
}

impl Dirty {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, entries: HashMap::new(), by_due: BTreeSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.by_due.first().map(|(due, _)| *due)
    }

    /// Notes a kind of a path below a root.
    pub(super) fn note(&mut self, root: &Arc<Path>, path: &Path, kind: ChangeKind, now: Instant) {
        if self.entries.len() >= MOST_PATHS && !self.entries.contains_key(path) {
            return self.collapse(root, now);
        }
        let Patience { settle, stable } = self.patience;
        match self.remove(path) {
            None => {
                let due = now + if kind == ChangeKind::Changing { stable } else { settle };
                let (root, first, touched) = (root.clone(), Some(now), Some(now));
                self.insert(path.to_owned(), Entry { root, due, first, touched, kind, stat: None });
            }
            Some(mut entry) => {
                // A change of attributes after a file was closed does not open it again.
                if entry.kind == ChangeKind::Changing || kind == ChangeKind::Folder {
                    entry.kind = kind;
                }
                let latest = entry.first.map_or(now, |first| first + stable);
                entry.due = match entry.kind {
                    ChangeKind::Changing => now + stable,
                    // Who keeps on saving is not waited for for ever.
                    ChangeKind::Settled | ChangeKind::Folder => (now + settle).min(latest).max(entry.due.min(now)),
                };
                entry.touched = Some(now);
                self.insert(path.to_owned(), entry);
            }
        }
    }

    /// Notes that a file which is not known to be whole was found, unless more is known of it.
    pub(super) fn note_unsettled(&mut self, root: &Arc<Path>, path: &Path, now: Instant) {
        if !self.entries.contains_key(path) {
            let (root, due, kind) = (root.clone(), now + self.patience.stable, ChangeKind::Changing);
            self.insert(path.to_owned(), Entry { root, due, first: None, touched: None, kind, stat: None });
        }
    }

    /// Whether something is left that had been noted at a moment, nested_roots from files that are being changed ever since.
    pub(super) fn has_left_of(&self, moment: Instant) -> bool {
        self.entries.values().any(|entry| {
            let is_busy = entry.kind == ChangeKind::Changing && entry.touched.is_some_and(|touched| touched > moment);
            entry.first.is_none_or(|first| first <= moment) && !is_busy
        })
    }

    /// Puts back what could not be done.
    pub(super) fn put_back(&mut self, root: &Arc<Path>, change: &Change, is_folder: bool, due: Instant) {
        let path = change.path();
        if let Some(entry) = self.entries.get_mut(&path) {
            // Something has happened to it since, which is noted; what had happened before is still to be done.
            entry.first = None;
            entry.kind = if is_folder { ChangeKind::Folder } else { entry.kind };
            return;
        }
        let kind = if is_folder { ChangeKind::Folder } else { ChangeKind::Settled };
        self.insert(path, Entry { root: root.clone(), due, first: None, touched: None, kind, stat: None });
    }

    /// Forgets what of a root is at and below a path.
    pub(super) fn forget(&mut self, root: &Path, start: &Path) {
        let is_below = |(path, entry): &(&PathBuf, &Entry)| *entry.root == *root && path.starts_with(start);
        let below: Vec<PathBuf> = self.entries.iter().filter(is_below).map(|(path, _)| path.clone()).collect();
        for path in below {
            self.remove(&path);
        }
    }

    /// Takes at most `most` paths that are due. `stat` looks at files that may still change, and `clock` is the time by the
    /// clock of the file system, nanoseconds since 1970.
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        most: usize,
        clock: i64,
        stat: impl Fn(&Path) -> Option<FileStat>,
    ) -> Due {
        let mut due = Due::default();
        // What happened in one moment is looked at together: the two ends of a rename.
        let is_due = self.next().is_some_and(|due| due <= now);
        let soon = if is_due { now + self.patience.settle / 4 } else { now };
        let mut early = Vec::new();
        while due.files.len() + due.folders.len() < most {
            let Some((_, path)) = self.by_due.first().filter(|(at, _)| *at <= soon).cloned() else { break };
            let mut entry = self.remove(&path).expect("both hold the same paths");
            if entry.kind == ChangeKind::Changing {
                if entry.due > now {
                    early.push((path, entry));
                    continue;
                }
                let found = stat(&path);
                if !self.is_stable(entry.stat.as_ref(), found.as_ref(), clock) {
                    // It grows without telling.
                    entry.touched = if entry.stat.is_some() { Some(now) } else { entry.touched };
                    (entry.stat, entry.due) = (found, now + self.patience.stable);
                    self.insert(path, entry);
                    continue;
                }
            }
            let scope = path.strip_prefix(&entry.root).unwrap_or(&path).to_owned();
            let change = Change { root: entry.root.to_path_buf(), scope };
            if entry.kind == ChangeKind::Folder { due.folders.push(change) } else { due.files.push(change) }
        }
        early.into_iter().for_each(|(path, entry)| self.insert(path, entry));
        due
    }

    /// Whether a file has been left alone for long enough, by its own times or by what was seen of it the last time.
    fn is_stable(&self, before: Option<&FileStat>, found: Option<&FileStat>, clock: i64) -> bool {
        let Some(found) = found else { return true };
        let age = clock.saturating_sub(found.ctime_ns.max(found.mtime_ns));
        let is_old = u128::try_from(age).is_ok_and(|age| age >= self.patience.stable.as_nanos());
        is_old || before == Some(found)
    }

    /// Replaces everything below a root by the root itself.
    fn collapse(&mut self, root: &Arc<Path>, now: Instant) {
        self.forget(root, root);
        let (due, first) = (now + self.patience.stable, None);
        let entry = Entry { root: root.clone(), due, first, touched: None, kind: ChangeKind::Folder, stat: None };
        self.insert(root.to_path_buf(), entry);
    }

    fn insert(&mut self, path: PathBuf, entry: Entry) {
        self.by_due.insert((entry.due, path.clone()));
        self.entries.insert(path, entry);
    }

    fn remove(&mut self, path: &Path) -> Option<Entry> {
        let (path, entry) = self.entries.remove_entry(path)?;
        self.by_due.remove(&(entry.due, path));
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_millis(100);
    const STABLE: Duration = Duration::from_secs(2);

    /// A queue, and a clock that stands still unless it is told to go on.
    struct Bench {
        dirty: Dirty,
        root: Arc<Path>,
        start: Instant,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let dirty = Dirty::new(Patience { settle: SETTLE, stable: STABLE });
            let now = Instant::now();
            Self { dirty, root: Path::new("/r").into(), start: now, now }
        }

        fn note(&mut self, path: &str, kind: ChangeKind) {
            let path = Path::new("/r").join(path);
            self.dirty.note(&self.root.clone(), &path, kind, self.now);
        }

        fn clock(&self) -> i64 {
            1_000_000_000_000 + i64::try_from((self.now - self.start).as_nanos()).expect("a short test")
        }

        /// Goes on, and takes what is due; files were last changed at a moment after the start.
        fn after(&mut self, time: Duration, changed: Duration) -> (Vec<String>, Vec<String>) {
            self.now += time;
            let changed = 1_000_000_000_000 + i64::try_from(changed.as_nanos()).expect("a short test");
            let stat = FileStat { size: 1, mtime_ns: changed, ctime_ns: changed, inode: 1, device: 1 };
            let due = self.dirty.take_due(self.now, usize::MAX, self.clock(), |_| Some(stat));
            let names = |changes: Vec<Change>| {
                let mut names: Vec<String> =
                    changes.into_iter().map(|change| change.scope.to_string_lossy().into_owned()).collect();
                names.sort();
                names
            };
            (names(due.files), names(due.folders))
        }

        fn files_after(&mut self, time: Duration, changed: Duration) -> Vec<String> {
            self.after(time, changed).0
        }
    }

    #[test]
    fn a_closed_file_is_due_at_once_and_a_growing_one_when_it_is_left_alone() {
        let mut bench = Bench::new();
        bench.note("closed.jpg", ChangeKind::Changing);
        bench.note("closed.jpg", ChangeKind::Settled);
        bench.note("growing.jpg", ChangeKind::Changing);
        assert_eq!(bench.files_after(SETTLE - Duration::from_millis(1), Duration::ZERO), [] as [&str; 0]);
        assert_eq!(bench.files_after(Duration::from_millis(1), Duration::ZERO), ["closed.jpg"]);
        // It is written to once more, just before it would have been due.
        bench.now = bench.start + STABLE - SETTLE;
        bench.note("growing.jpg", ChangeKind::Changing);
        let changed = STABLE - SETTLE;
        assert_eq!(bench.files_after(SETTLE, changed), [] as [&str; 0]);
        assert_eq!(bench.files_after(STABLE - SETTLE, changed), ["growing.jpg"]);
        assert_eq!(bench.dirty.next(), None);
    }

    #[test]
    fn a_file_that_grows_without_telling_is_waited_for() {
        let mut bench = Bench::new();
        bench.note("a.jpg", ChangeKind::Changing);
        // Its own time says that it has changed just now: on a network drive, say, where no event tells.
        for second in 1..10 {
            let time = STABLE * second;
            assert_eq!(bench.files_after(STABLE, time), [] as [&str; 0], "after {second} rounds");
        }
        let last = STABLE * 9;
        assert_eq!(bench.files_after(STABLE, last), ["a.jpg"]);
    }

    #[test]
    fn a_time_in_the_future_does_not_keep_a_file_waiting_for_ever() {
        let mut bench = Bench::new();
        bench.note("a.jpg", ChangeKind::Changing);
        let future = Duration::from_secs(3600);
        assert_eq!(bench.files_after(STABLE, future), [] as [&str; 0]);
        assert_eq!(bench.files_after(STABLE, future), ["a.jpg"]);
    }

    #[test]
    fn attributes_that_change_after_a_file_was_closed_do_not_delay_it_much() {
        let mut bench = Bench::new();
        bench.note("a.jpg", ChangeKind::Settled);
        bench.now += SETTLE / 2;
        bench.note("a.jpg", ChangeKind::Changing);
        assert_eq!(bench.files_after(SETTLE, Duration::ZERO), ["a.jpg"]);
    }

    #[test]
    fn a_file_that_is_saved_again_and_again_is_looked_at_all_the_same() {
        let mut bench = Bench::new();
        let mut looked_at = 0;
        for _ in 0..100 {
            bench.note("a.jpg", ChangeKind::Settled);
            looked_at += bench.files_after(SETTLE / 2, Duration::ZERO).len();
        }
        // Every two seconds, of five.
        assert_eq!(looked_at, 2);
    }

    #[test]
    fn a_file_that_is_gone_is_due_without_waiting_for_it_to_be_stable() {
        let mut bench = Bench::new();
        bench.note("a.jpg", ChangeKind::Changing);
        bench.now += STABLE;
        let due = bench.dirty.take_due(bench.now, usize::MAX, bench.clock(), |_| None);
        assert_eq!(due.files.len(), 1);
    }

    #[test]
    fn folders_are_told_apart_and_what_was_not_done_comes_back() {
        let mut bench = Bench::new();
        bench.note("sub", ChangeKind::Folder);
        bench.note("a.jpg", ChangeKind::Settled);
        bench.now += SETTLE;
        let due = bench.dirty.take_due(bench.now, usize::MAX, bench.clock(), |_| None);
        assert_eq!((due.files.len(), due.folders.len()), (1, 1));
        let later = bench.now + Duration::from_secs(5);
        for change in &due.folders {
            bench.dirty.put_back(&bench.root, change, true, later);
        }
        assert_eq!(bench.dirty.next(), Some(later));
    }

    #[test]
    fn a_file_that_is_changed_for_ever_keeps_nobody_waiting() {
        let mut bench = Bench::new();
        bench.note("log.png", ChangeKind::Changing);
        bench.note("saved.png", ChangeKind::Settled);
        let moment = bench.now;
        assert!(bench.dirty.has_left_of(moment));
        for _ in 0..4 {
            bench.now += STABLE / 2;
            bench.note("log.png", ChangeKind::Changing);
            bench.files_after(Duration::ZERO, STABLE * 10);
        }
        assert!(!bench.dirty.has_left_of(moment) && bench.dirty.len() == 1);
        // What a scan has found belongs to what was there before.
        bench.dirty.note_unsettled(&bench.root.clone(), Path::new("/r/found.png"), bench.now);
        assert!(bench.dirty.has_left_of(moment));
    }

    #[test]
    fn too_many_paths_become_one_root() {
        let mut bench = Bench::new();
        for number in 0..=MOST_PATHS {
            bench.note(&format!("{number}.jpg"), ChangeKind::Settled);
        }
        assert_eq!(bench.dirty.len(), 1);
        assert_eq!(bench.after(STABLE, Duration::ZERO), (vec![], vec![String::new()]));
    }
}
