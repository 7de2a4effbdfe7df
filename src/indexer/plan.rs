//! The plan for one target: merges a walk over the disk with the rows of the database.
//!
//! Both are sorted by the bytes of their paths, so that neither has to be held in memory.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::options::Again;
use super::targets::{Change, Target, of_changes, scope_range};
use crate::error::Result;
use crate::scan::{ScanError, ScanOptions, ScanRules, ScannedFile, Walker};
use crate::store::{ContentState, FileState, KnownFile, ModelRow, Root, Store};
use crate::types::{FileId, RootId, nanoseconds_since_1970, path_from_bytes, path_to_bytes};

/// Why a file has to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadCause {
    /// Its path is not in the index.
    New,
    /// Its signature (size, times and inode) has changed, or was taken too soon after a change.
    Changed,
    /// Its content has no vector of this model yet, or its features are not measured.
    Pending,
    /// Its content was indexed by a thumbnail, and the whole picture is decoded now.
    Provisional,
    /// Only its metadata is read, because this version reads other fields.
    Undescribed,
    /// It failed before and is tried again.
    Retry,
}

/// What has to be done for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanStep {
    /// Nothing: the file is unchanged.
    Unchanged(FileState),
    /// Mark the file of this row as present: it was missing, and is back unchanged.
    Restored(FileId, FileState),
    /// Store the new path in this row: its file has been renamed.
    Moved(FileId, ScannedFile, FileState),
    /// Read the file.
    Read(ScannedFile, ReadCause),
    /// Record the failure: a file or folder could not be examined.
    Unlisted(ScanError),
}

/// Number of rows that are fetched at once.
const PAGE_ROWS: usize = 4096;

/// Yields the steps for one target, sorted by path.
pub(crate) struct Planner<'a> {
    store: &'a Store,
    walker: Walker,
    /// `None` if the files of the root were given one by one, to which no rules apply.
    rules: Option<ScanRules>,
    rows: Rows,
    root_path: PathBuf,
    /// The device and the file system of the root; `None` if the root is not in the index yet.
    place: Option<(u64, u64)>,
    follow_links: bool,
    again: Again,
    unseen: Vec<FileId>,
}

/// The rows of a scope, fetched page by page.
struct Rows {
    /// `None` if the root is not in the index yet, and so has no rows.
    root: Option<RootId>,
    model: ModelRow,
    page: VecDeque<KnownFile>,
    after: Vec<u8>,
    until: Option<Vec<u8>>,
    finished: bool,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(
        store: &'a Store,
        target: &Target,
        root: Option<&Root>,
        model: ModelRow,
        options: &ScanOptions,
        again: Again,
    ) -> Result<Self> {
        let (after, until) = scope_range(&target.part.scope);
        let id = root.map(|root| root.id);
        let mut rows = Rows { root: id, model, page: VecDeque::new(), after, until, finished: false };
        // The scope may be a file, or may have been one when it was indexed.
        if let (false, Some(root)) = (target.part.is_root(), id) {
            rows.page.extend(store.file(root, &path_to_bytes(&target.part.scope), model)?);
        }
        let left_out = [target.nested_roots.as_slice(), &store.forgotten()?].concat();
        let walker = Walker::new(&target.part.root, (&target.part.path(), target.why), &left_out, options)?;
        let rules = ScanRules::new(&target.part.root, options)?;
        Ok(Self {
            store,
            walker,
            rules: target.recursive.then_some(rules),
            rows,
            root_path: target.part.root.clone(),
            place: root.map(|root| (root.device, root.file_system)),
            follow_links: options.follow_links,
            again,
            unseen: Vec::new(),
        })
    }

    /// The next step; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<PlanStep>> {
        let file = loop {
            match self.walker.next() {
                None => return Ok(None),
                Some(Err(error)) => return Ok(Some(PlanStep::Unlisted(error))),
                // The index's own files change with every use.
                Some(Ok(file)) if self.store.owns(&self.root_path.join(path_from_bytes(&file.path))) => {}
                Some(Ok(file)) => break file,
            }
        };
        let known = self.rows.advance_to(self.store, &file.path, &mut self.unseen)?;
        match known {
            Some(known) => Ok(Some(self.decide(file, known))),
            None => Ok(Some(match self.renamed(&file)? {
                Some((id, state)) => PlanStep::Moved(id, file, state),
                None => PlanStep::Read(file, ReadCause::New),
            })),
        }
    }

    /// The row of a renamed file under its old path, if that row makes reading the file unnecessary.
    ///
    /// A rename keeps the inode, the size and the modification time; a write changes the time. A new file may get the
    /// inode of a deleted one, and its modification time may be set, but it was created after the old file was read.
    fn renamed(&self, file: &ScannedFile) -> Result<Option<(FileId, FileState)>> {
        let Some(place) = self.place.filter(|place| place.0 == file.stat.device && file.stat.inode != 0) else {
            return Ok(None);
        };
        for (known, root_path) in self.store.files_like(&file.stat, place, self.rows.model)? {
            let is_settled = match known.state {
                FileState::Picture(state) => is_settled(state, self.again),
                FileState::Skipped => true,
                FileState::Unreadable => false,
            };
            let was_read_well = !known.unreadable && !known.stat.is_racy(known.read_at_ns);
            let is_old = || created_at_ns(&self.root_path.join(path_from_bytes(&file.path))) < known.read_at_ns;
            if is_settled && was_read_well && is_old() && is_gone(&root_path.join(path_from_bytes(&known.path))) {
                return Ok(Some((known.id, known.state)));
            }
        }
        Ok(None)
    }

    fn decide(&self, file: ScannedFile, known: KnownFile) -> PlanStep {
        if !known.stat.matches(&file.stat) || known.stat.is_racy(known.read_at_ns) {
            return PlanStep::Read(file, ReadCause::Changed);
        }
        match known.state {
            FileState::Picture(_) | FileState::Skipped if known.unreadable => PlanStep::Read(file, ReadCause::Retry),
            FileState::Picture(ContentState::Pending | ContentState::Unmeasured) => {
                PlanStep::Read(file, ReadCause::Pending)
            }
            FileState::Picture(ContentState::Provisional) if self.again.provisional => {
                PlanStep::Read(file, ReadCause::Provisional)
            }
            FileState::Picture(ContentState::Undescribed) if !known.missing => {
                PlanStep::Read(file, ReadCause::Undescribed)
            }
            FileState::Picture(ContentState::Failed) | FileState::Unreadable if self.again.failed => {
                PlanStep::Read(file, ReadCause::Retry)
            }
            state if known.missing => PlanStep::Restored(known.id, state),
            state => PlanStep::Unchanged(state),
        }
    }

    /// The known files that the walk did not find.
    ///
    /// Each is checked once more, because a file that is excluded now, or in a folder that cannot be listed, still
    /// exists.
    pub(crate) fn unseen(mut self) -> Result<Unseen> {
        self.rows.drain(self.store, &mut self.unseen)?;
        let mut unseen = Unseen::default();
        for id in self.unseen {
            let Some(path) = self.store.present_path(id)? else { continue };
            let full = self.root_path.join(&path);
            if is_gone(&full) || (!self.follow_links && is_behind_link(&self.root_path, &path)) {
                unseen.missing.push(id);
            } else if self.rules.as_ref().is_some_and(|rules| !rules.admits(&self.root_path, &full, false)) {
                unseen.excluded += 1;
            }
        }
        Ok(unseen)
    }
}

/// Known files that a walk did not find.
#[derive(Debug, Default)]
pub(crate) struct Unseen {
    /// Those that no longer exist.
    pub missing: Vec<FileId>,
    /// Number of those that exist, but that the scan options exclude.
    pub excluded: u64,
}

/// The known files of a root that no longer exist. The root is scanned with its stored options.
pub(crate) fn missing_in(store: &Store, root: &Root, model: ModelRow) -> Result<Vec<FileId>> {
    let targets = of_changes(store, &[Change { root: root.path.clone(), scope: PathBuf::new() }], &store.roots()?)?;
    let options = ScanOptions::from_json(&root.scan);
    let mut missing = Vec::new();
    for target in targets {
        let mut planner = Planner::new(store, &target, Some(root), model, &options, Again::default())?;
        while planner.next()?.is_some() {}
        missing.extend(planner.unseen()?.missing);
    }
    Ok(missing)
}

/// Whether a content needs no work.
pub(super) fn is_settled(state: ContentState, again: Again) -> bool {
    match state {
        ContentState::Done => true,
        ContentState::Failed => !again.failed,
        ContentState::Provisional => !again.provisional,
        ContentState::Pending | ContentState::Unmeasured | ContentState::Undescribed => false,
    }
}

/// Whether it is certain that a path is not a file.
pub(super) fn is_gone(path: &Path) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match path.metadata() {
        Ok(metadata) => !metadata.is_file(),
        Err(error) => matches!(error.kind(), NotFound | NotADirectory),
    }
}

/// When a file was created, in nanoseconds since 1970; `i64::MAX` where the file system does not report it.
fn created_at_ns(path: &Path) -> i64 {
    path.symlink_metadata().and_then(|metadata| metadata.created()).map_or(i64::MAX, nanoseconds_since_1970)
}

/// Whether a path below a root goes through a symbolic link, so that it leads to another file than the indexed one.
fn is_behind_link(root: &Path, path: &Path) -> bool {
    let links = |part: &Path| !part.as_os_str().is_empty() && root.join(part).is_symlink();
    path.ancestors().any(links)
}

impl Rows {
    /// Skips the rows before a path, whose files the walk did not find, and returns the row of the path itself.
    fn advance_to(&mut self, store: &Store, path: &[u8], unseen: &mut Vec<FileId>) -> Result<Option<KnownFile>> {
        while let Some(row) = self.front(store)? {
            if row.path.as_slice() > path {
                return Ok(None);
            }
            let row = self.page.pop_front().expect("the page has a front row");
            if row.path == path {
                return Ok(Some(row));
            }
            if !row.missing {
                unseen.push(row.id);
            }
        }
        Ok(None)
    }

    fn drain(&mut self, store: &Store, unseen: &mut Vec<FileId>) -> Result<()> {
        while self.front(store)?.is_some() {
            let rows = self.page.drain(..);
            unseen.extend(rows.filter(|row| !row.missing).map(|row| row.id));
        }
        Ok(())
    }

    /// The next row, without consuming it.
    fn front(&mut self, store: &Store) -> Result<Option<&KnownFile>> {
        if let (true, false, Some(root)) = (self.page.is_empty(), self.finished, self.root) {
            let rows = store.files_page(root, self.model, &self.after, self.until.as_deref(), PAGE_ROWS)?;
            self.finished = rows.len() < PAGE_ROWS;
            if let Some(last) = rows.last() {
                self.after.clone_from(&last.path);
            }
            self.page = rows.into();
        }
        Ok(self.page.front())
    }
}
