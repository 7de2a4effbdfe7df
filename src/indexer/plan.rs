//! What has to be done for one target: the walk over the disk merged with the rows of the database.
//!
//! Both come in the byte order of their paths, so that neither has to be held in memory.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::targets::{Change, Target, of_changes, scope_range};
use crate::error::Result;
use crate::scan::{ScanError, ScanOptions, ScannedFile, Walker};
use crate::store::{ContentState, FileState, KnownFile, KnownFileAt, ModelRow, Root, Store};
use crate::types::{FileId, RootId, nanoseconds_since_1970, path_from_bytes, path_to_bytes};

/// Why a file has to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadCause {
    /// Its path is not known.
    New,
    /// Its signature is another one, or was taken too soon after a change.
    Changed,
    /// The model has not observed its content yet, or its features are to be measured.
    Pending,
    /// It failed before and is tried again.
    Retry,
}

/// What has to be done with one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanStep {
    /// Nothing; it holds what it held.
    Unchanged(FileState),
    /// Nothing but noting that it is back: it was missing, and holds what it held.
    Restored(FileId, FileState),
    /// Nothing but noting its new path: it is the file that this row is of, renamed.
    Moved(FileId, ScannedFile, FileState),
    /// It has to be read.
    Read(ScannedFile, ReadCause),
    /// It, or a folder, could not be looked at.
    Unlisted(ScanError),
}

/// Rows that are fetched at a time.
const PAGE: usize = 4096;

/// The steps for one target, in the order of the paths.
pub(crate) struct Planner<'a> {
    store: &'a Store,
    walker: Walker,
    rows: Rows,
    root_path: PathBuf,
    /// The device and the file system of the root; `None` if the root is not known yet.
    place: Option<(u64, u64)>,
    follow_links: bool,
    retry_failed: bool,
    unseen: Vec<FileId>,
}

/// The rows of a scope, fetched page by page.
struct Rows {
    /// `None` if the root is not known yet, and so has no rows.
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
        retry_failed: bool,
    ) -> Result<Self> {
        let (after, until) = scope_range(&target.scope);
        let id = root.map(|root| root.id);
        let mut rows = Rows { root: id, model, page: VecDeque::new(), after, until, finished: false };
        // The scope may be a file, or have been one.
        if let (false, Some(root)) = (target.scope.as_os_str().is_empty(), id) {
            rows.page.extend(store.file(root, &path_to_bytes(&target.scope), model)?);
        }
        let walker = Walker::new(&target.root_path, (&target.start(), target.why), &target.nested_roots, options)?;
        Ok(Self {
            store,
            walker,
            rows,
            root_path: target.root_path.clone(),
            place: root.map(|root| (root.device, root.file_system)),
            follow_links: options.follow_links,
            retry_failed,
            unseen: Vec::new(),
        })
    }

    /// The next step; `None` when everything was looked at.
    pub(crate) fn next(&mut self) -> Result<Option<PlanStep>> {
        let file = loop {
            match self.walker.next() {
                None => return Ok(None),
                Some(Err(error)) => return Ok(Some(PlanStep::Unlisted(error))),
                // The index changes with every look at it.
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

    /// The row of the same file under a name that it does not have any more, if that tells all that there is to know.
    ///
    /// Inode, size and time of modification stay when a file is renamed; a file that is written to gets another time. A new file may
    /// get the inode of a deleted one, and its time be set, but it was made later than the old one was read.
    fn renamed(&self, file: &ScannedFile) -> Result<Option<(FileId, FileState)>> {
        let Some(place) = self.place.filter(|place| place.0 == file.stat.device && file.stat.inode != 0) else {
            return Ok(None);
        };
        for KnownFileAt { file: known, root_path, .. } in self.store.files_like(&file.stat, place, self.rows.model)? {
            let is_settled = match known.state {
                FileState::Picture(ContentState::Done) | FileState::Skipped => true,
                FileState::Picture(ContentState::Failed) => !self.retry_failed,
                _ => false,
            };
            let was_read_well = !known.unreadable && !known.stat.is_racy(known.read_at_ns);
            let is_old = || made_at_ns(&self.root_path.join(path_from_bytes(&file.path))) < known.read_at_ns;
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
            FileState::Picture(ContentState::Failed) | FileState::Unreadable if self.retry_failed => {
                PlanStep::Read(file, ReadCause::Retry)
            }
            state if known.missing => PlanStep::Restored(known.id, state),
            state => PlanStep::Unchanged(state),
        }
    }

    /// The known files that the walk did not come by and that are really gone.
    ///
    /// Each is looked for once more: a file that is excluded now, or in a folder that cannot be listed, is not gone.
    pub(crate) fn missing(mut self) -> Result<Vec<FileId>> {
        self.rows.drain(self.store, &mut self.unseen)?;
        let mut missing = Vec::new();
        for id in self.unseen {
            if let Some(path) = self.store.present_path(id)?
                && (is_gone(&self.root_path.join(&path))
                    || (!self.follow_links && is_behind_link(&self.root_path, &path)))
            {
                missing.push(id);
            }
        }
        Ok(missing)
    }
}

/// The known files of a root, scanned with its own options, that are gone.
pub(crate) fn missing_in(store: &Store, root: &Root, model: ModelRow) -> Result<Vec<FileId>> {
    let targets = of_changes(store, &[Change { root: root.path.clone(), scope: PathBuf::new() }], &store.roots()?)?;
    let options = ScanOptions::from_json(&root.scan);
    let mut missing = Vec::new();
    for target in targets {
        let mut planner = Planner::new(store, &target, Some(root), model, &options, false)?;
        while planner.next()?.is_some() {}
        missing.extend(planner.missing()?);
    }
    Ok(missing)
}

/// Whether there is certainly no file at a path.
pub(super) fn is_gone(path: &Path) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match path.metadata() {
        Ok(metadata) => !metadata.is_file(),
        Err(error) => matches!(error.kind(), NotFound | NotADirectory),
    }
}

/// When a file was made, nanoseconds since 1970; greater than any time where the file system does not tell.
fn made_at_ns(path: &Path) -> i64 {
    path.symlink_metadata().and_then(|metadata| metadata.created()).map_or(i64::MAX, nanoseconds_since_1970)
}

/// Whether a path below a root leads over a link: then what is there is not what was there.
fn is_behind_link(root: &Path, path: &Path) -> bool {
    let links = |part: &Path| !part.as_os_str().is_empty() && root.join(part).is_symlink();
    path.ancestors().any(links)
}

impl Rows {
    /// Passes over the rows before a path, which the walk did not come by, and returns the path's own row.
    fn advance_to(&mut self, store: &Store, path: &[u8], unseen: &mut Vec<FileId>) -> Result<Option<KnownFile>> {
        while let Some(row) = self.peek(store)? {
            if row.path.as_slice() > path {
                return Ok(None);
            }
            let row = self.page.pop_front().expect("it was peeked at");
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
        while self.peek(store)?.is_some() {
            let rows = self.page.drain(..);
            unseen.extend(rows.filter(|row| !row.missing).map(|row| row.id));
        }
        Ok(())
    }

    fn peek(&mut self, store: &Store) -> Result<Option<&KnownFile>> {
        if let (true, false, Some(root)) = (self.page.is_empty(), self.finished, self.root) {
            let rows = store.files_page(root, self.model, &self.after, self.until.as_deref(), PAGE)?;
            self.finished = rows.len() < PAGE;
            if let Some(last) = rows.last() {
                self.after.clone_from(&last.path);
            }
            self.page = rows.into();
        }
        Ok(self.page.front())
    }
}
