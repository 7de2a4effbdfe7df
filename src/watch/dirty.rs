//! Paths that may have changed, and when each of them is due for processing.
//!
//! A file that was closed or moved into place is complete, so it is due soon. After any other change more may follow,
//! so the file must first stay unchanged for a while.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::indexer::Change;
use crate::types::FileStat;

/// What is known about the change of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChangeKind {
    /// The file was closed after writing, was moved into place, or no longer exists.
    Settled,
    /// The file has changed, and may still be changing.
    Changing,
    /// A folder that must be scanned.
    Folder,
}

/// How long to wait before a changed path is due.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Delays {
    /// Delay after a settled change, so that related events can follow: a file that is saved by replacement is missing
    /// for a moment.
    pub settle: Duration,
    /// How long a file that may still be written to must stay unchanged.
    pub stable: Duration,
}

/// Maximum number of waiting paths. Beyond it, whole roots are scanned instead.
const MAX_PATHS: usize = 50_000;

#[derive(Debug)]
struct Entry {
    root: Arc<Path>,
    due: Instant,
    /// When it was first noted since it was last processed; `None` counts as earlier than any moment.
    first: Option<Instant>,
    /// When it was last reported to change.
    touched: Option<Instant>,
    kind: ChangeKind,
    /// State of a changing file at the last check.
    stat: Option<FileStat>,
}

impl Entry {
    fn new(root: &Arc<Path>, due: Instant, kind: ChangeKind) -> Self {
        Self { root: root.clone(), due, first: None, touched: None, kind, stat: None }
    }
}

/// Paths that may have changed.
#[derive(Debug, Default)]
pub(super) struct DirtyPaths {
    delays: Delays,
    entries: HashMap<PathBuf, Entry>,
    by_due: BTreeSet<(Instant, PathBuf)>,
}

/// The parts of roots that are due: complete files, separate from folders that must be walked.
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

impl DirtyPaths {
    pub(super) fn new(delays: Delays) -> Self {
        Self { delays, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// When the next path is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.by_due.first().map(|(due, _)| *due)
    }

    /// Notes a change of a path below a root.
    pub(super) fn note(&mut self, root: &Arc<Path>, path: &Path, kind: ChangeKind, now: Instant) {
        if self.entries.len() >= MAX_PATHS && !self.entries.contains_key(path) {
            // Replaces all entries of the root by one for the root itself.
            self.forget(root, root);
            let entry = Entry::new(root, now + self.delays.stable, ChangeKind::Folder);
            return self.insert(root.to_path_buf(), entry);
        }
        let Delays { settle, stable } = self.delays;
        match self.remove(path) {
            None => {
                let due = now + if kind == ChangeKind::Changing { stable } else { settle };
                let entry = Entry { first: Some(now), touched: Some(now), ..Entry::new(root, due, kind) };
                self.insert(path.to_owned(), entry);
            }
            Some(mut entry) => {
                // A change of attributes after the file was closed does not make it incomplete again.
                if entry.kind == ChangeKind::Changing || kind == ChangeKind::Folder {
                    entry.kind = kind;
                }
                let latest = entry.first.map_or(now, |first| first + stable);
                entry.due = match entry.kind {
                    ChangeKind::Changing => now + stable,
                    // Bounded by `latest`, so that a file that is saved again and again is still processed.
                    ChangeKind::Settled | ChangeKind::Folder => (now + settle).min(latest).max(entry.due.min(now)),
                };
                entry.touched = Some(now);
                self.insert(path.to_owned(), entry);
            }
        }
    }

    /// Notes a file that a scan found and that may be incomplete, unless the path is noted already.
    pub(super) fn note_unsettled(&mut self, root: &Arc<Path>, path: &Path, now: Instant) {
        if !self.entries.contains_key(path) {
            let entry = Entry::new(root, now + self.delays.stable, ChangeKind::Changing);
            self.insert(path.to_owned(), entry);
        }
    }

    /// Whether a path that was noted before a moment is still waiting. Files that have kept changing since do not
    /// count.
    pub(super) fn has_pending_since(&self, moment: Instant) -> bool {
        self.entries.values().any(|entry| {
            let is_busy = entry.kind == ChangeKind::Changing && entry.touched.is_some_and(|touched| touched > moment);
            entry.first.is_none_or(|first| first <= moment) && !is_busy
        })
    }

    /// Queues a change again that could not be processed.
    pub(super) fn requeue(&mut self, root: &Arc<Path>, change: &Change, is_folder: bool, due: Instant) {
        let path = change.path();
        if let Some(entry) = self.entries.get_mut(&path) {
            // It has changed again since, which is noted already; the earlier change is still to be processed.
            entry.first = None;
            entry.kind = if is_folder { ChangeKind::Folder } else { entry.kind };
            return;
        }
        let kind = if is_folder { ChangeKind::Folder } else { ChangeKind::Settled };
        self.insert(path, Entry::new(root, due, kind));
    }

    /// Forgets the entries of a root at and below a path.
    pub(super) fn forget(&mut self, root: &Path, start: &Path) {
        let is_below = |(path, entry): &(&PathBuf, &Entry)| *entry.root == *root && path.starts_with(start);
        let below: Vec<PathBuf> = self.entries.iter().filter(is_below).map(|(path, _)| path.clone()).collect();
        for path in below {
            self.remove(&path);
        }
    }

    /// Takes at most `max` paths that are due. `stat` reads the state of files that may still change. `clock` is the
    /// current time of the file system's clock, in nanoseconds since 1970.
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        max: usize,
        clock: i64,
        stat: impl Fn(&Path) -> Option<FileStat>,
    ) -> Due {
        let mut due = Due::default();
        // Changes of the same moment are taken together, such as the two ends of a rename.
        let is_due = self.next().is_some_and(|due| due <= now);
        let soon = if is_due { now + self.delays.settle / 4 } else { now };
        let mut early = Vec::new();
        while due.files.len() + due.folders.len() < max {
            let Some((_, path)) = self.by_due.first().filter(|(at, _)| *at <= soon).cloned() else { break };
            let mut entry = self.remove(&path).expect("both hold the same paths");
            if entry.kind == ChangeKind::Changing {
                if entry.due > now {
                    early.push((path, entry));
                    continue;
                }
                let found = stat(&path);
                if !self.is_stable(entry.stat.as_ref(), found.as_ref(), clock) {
                    // The file changes without events.
                    entry.touched = if entry.stat.is_some() { Some(now) } else { entry.touched };
                    (entry.stat, entry.due) = (found, now + self.delays.stable);
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

    /// Whether a file has stayed unchanged for long enough, judged by its timestamps or by its state at the last check.
    fn is_stable(&self, before: Option<&FileStat>, found: Option<&FileStat>, clock: i64) -> bool {
        let Some(found) = found else { return true };
        let age = clock.saturating_sub(found.ctime_ns.max(found.mtime_ns));
        let is_old = u128::try_from(age).is_ok_and(|age| age >= self.delays.stable.as_nanos());
        is_old || before == Some(found)
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

    /// A queue, and a clock that only the test advances.
    struct Fixture {
        dirty: DirtyPaths,
        root: Arc<Path>,
        start: Instant,
        now: Instant,
    }

    impl Fixture {
        fn new() -> Self {
            let dirty = DirtyPaths::new(Delays { settle: SETTLE, stable: STABLE });
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

        /// Advances the clock and takes what is due. `changed` is the files' last change, counted from the start.
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
    fn a_closed_file_is_due_at_once_and_a_growing_one_when_it_stays_unchanged() {
        let mut fixture = Fixture::new();
        fixture.note("closed.jpg", ChangeKind::Changing);
        fixture.note("closed.jpg", ChangeKind::Settled);
        fixture.note("growing.jpg", ChangeKind::Changing);
        assert_eq!(fixture.files_after(SETTLE - Duration::from_millis(1), Duration::ZERO), [] as [&str; 0]);
        assert_eq!(fixture.files_after(Duration::from_millis(1), Duration::ZERO), ["closed.jpg"]);
        // It is written to again just before it would have been due.
        fixture.now = fixture.start + STABLE - SETTLE;
        fixture.note("growing.jpg", ChangeKind::Changing);
        let changed = STABLE - SETTLE;
        assert_eq!(fixture.files_after(SETTLE, changed), [] as [&str; 0]);
        assert_eq!(fixture.files_after(STABLE - SETTLE, changed), ["growing.jpg"]);
        assert_eq!(fixture.dirty.next(), None);
    }

    #[test]
    fn a_file_that_grows_without_events_is_not_due_until_it_is_stable() {
        let mut fixture = Fixture::new();
        fixture.note("a.jpg", ChangeKind::Changing);
        // Only its timestamp shows that it has just changed, as on a network drive without events.
        for second in 1..10 {
            let time = STABLE * second;
            assert_eq!(fixture.files_after(STABLE, time), [] as [&str; 0], "after {second} rounds");
        }
        let last = STABLE * 9;
        assert_eq!(fixture.files_after(STABLE, last), ["a.jpg"]);
    }

    #[test]
    fn a_time_in_the_future_does_not_keep_a_file_waiting_forever() {
        let mut fixture = Fixture::new();
        fixture.note("a.jpg", ChangeKind::Changing);
        let future = Duration::from_secs(3600);
        assert_eq!(fixture.files_after(STABLE, future), [] as [&str; 0]);
        assert_eq!(fixture.files_after(STABLE, future), ["a.jpg"]);
    }

    #[test]
    fn attributes_that_change_after_a_file_was_closed_do_not_delay_it_much() {
        let mut fixture = Fixture::new();
        fixture.note("a.jpg", ChangeKind::Settled);
        fixture.now += SETTLE / 2;
        fixture.note("a.jpg", ChangeKind::Changing);
        assert_eq!(fixture.files_after(SETTLE, Duration::ZERO), ["a.jpg"]);
    }

    #[test]
    fn a_file_that_is_saved_again_and_again_is_still_processed() {
        let mut fixture = Fixture::new();
        let mut processed = 0;
        for _ in 0..100 {
            fixture.note("a.jpg", ChangeKind::Settled);
            processed += fixture.files_after(SETTLE / 2, Duration::ZERO).len();
        }
        // Once every two seconds, in five seconds.
        assert_eq!(processed, 2);
    }

    #[test]
    fn a_missing_file_is_due_without_waiting_for_it_to_be_stable() {
        let mut fixture = Fixture::new();
        fixture.note("a.jpg", ChangeKind::Changing);
        fixture.now += STABLE;
        let due = fixture.dirty.take_due(fixture.now, usize::MAX, fixture.clock(), |_| None);
        assert_eq!(due.files.len(), 1);
    }

    #[test]
    fn folders_are_separate_from_files_and_a_requeued_change_comes_back() {
        let mut fixture = Fixture::new();
        fixture.note("sub", ChangeKind::Folder);
        fixture.note("a.jpg", ChangeKind::Settled);
        fixture.now += SETTLE;
        let due = fixture.dirty.take_due(fixture.now, usize::MAX, fixture.clock(), |_| None);
        assert_eq!((due.files.len(), due.folders.len()), (1, 1));
        let later = fixture.now + Duration::from_secs(5);
        for change in &due.folders {
            fixture.dirty.requeue(&fixture.root, change, true, later);
        }
        assert_eq!(fixture.dirty.next(), Some(later));
    }

    #[test]
    fn a_file_that_never_stops_changing_does_not_block_a_sync() {
        let mut fixture = Fixture::new();
        fixture.note("log.png", ChangeKind::Changing);
        fixture.note("saved.png", ChangeKind::Settled);
        let moment = fixture.now;
        assert!(fixture.dirty.has_pending_since(moment));
        for _ in 0..4 {
            fixture.now += STABLE / 2;
            fixture.note("log.png", ChangeKind::Changing);
            fixture.files_after(Duration::ZERO, STABLE * 10);
        }
        assert!(!fixture.dirty.has_pending_since(moment) && fixture.dirty.len() == 1);
        // A file that a scan has found counts as noted before.
        fixture.dirty.note_unsettled(&fixture.root.clone(), Path::new("/r/found.png"), fixture.now);
        assert!(fixture.dirty.has_pending_since(moment));
    }

    #[test]
    fn too_many_paths_become_one_root() {
        let mut fixture = Fixture::new();
        for number in 0..=MAX_PATHS {
            fixture.note(&format!("{number}.jpg"), ChangeKind::Settled);
        }
        assert_eq!(fixture.dirty.len(), 1);
        assert_eq!(fixture.after(STABLE, Duration::ZERO), (vec![], vec![String::new()]));
    }
}
