//! Storing what came out: the one place where an `add` writes.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::mass_deletion_guard::MassDeletionGuard;
use super::plan::is_gone;
use super::report::IndexReport;
use crate::error::{Error, Result};
use crate::model::Embedded;
use crate::store::{Batch, ContentState, FileState, FoundFile, ModelRow, RootState, Store};
use crate::types::{ContentHash, Features, FileId, ImageId, ImageInfo, RootId, Stage, path_from_bytes};

/// A file that was read, and where.
#[derive(Debug, Clone)]
pub(super) struct ObservedFile {
    pub file: FoundFile,
    pub root_path: std::sync::Arc<Path>,
}

/// What decoding and measuring a content told.
#[derive(Debug)]
pub(super) struct DecodedImage {
    pub hash: ContentHash,
    pub bytes: u64,
    pub info: ImageInfo,
    pub features: Features,
}

/// What became of a file, or of something else that the scan came by.
#[derive(Debug)]
pub(super) enum Outcome {
    /// So many, one after another, are as they were.
    Unchanged(FileState, u64),
    /// It was missing and is back as it was.
    Restored(FileId, FileState),
    /// It is the file of this row under another name.
    Moved { from: FileId, observed: ObservedFile },
    /// A known content, which needs no work.
    Linked { observed: ObservedFile, image: ImageId, state: ContentState },
    /// The same new content as another file of this run, which is being worked on.
    Twin { observed: ObservedFile, hash: ContentHash },
    /// A new content with its vector.
    Indexed { observed: ObservedFile, decoded: DecodedImage, embedded: Embedded },
    /// A content whose vector is there, and whose features are new.
    Measured { observed: ObservedFile, decoded: DecodedImage },
    /// A content that cannot be decoded.
    Undecodable { observed: ObservedFile, hash: ContentHash, bytes: u64, reason: String },
    /// A content of which the model makes nothing.
    Unembeddable { observed: ObservedFile, decoded: DecodedImage, reason: String },
    /// No picture that can be decoded.
    Skipped { observed: ObservedFile, reason: String },
    /// A file that could not be read; without signature it is tried again each time.
    Unreadable { root: RootId, path: Vec<u8>, observed: Option<ObservedFile>, stage: Stage, reason: String },
    /// It changed while it was read, or so shortly before that it may be changing still.
    Unsettled(PathBuf),
    /// Known files of a root that are gone.
    Missing(RootId, Vec<FileId>),
    /// A root that was itself at the beginning is not any more.
    WentOffline(RootId, PathBuf),
    /// A stage cannot go on at all.
    Broken(Error),
}

/// The contents that some thread is working on, so that a second file of one is not decoded too.
#[derive(Debug, Default)]
pub(super) struct InFlightSet(Mutex<HashSet<ContentHash>>);

impl InFlightSet {
    /// Takes a content; `false` if it is taken.
    pub(super) fn take(&self, hash: ContentHash) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(hash)
    }

    pub(super) fn release(&self, hash: &ContentHash) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(hash);
    }
}

/// How many other files of a moved content are decoded at for one that is gone.
const MOVE_CANDIDATES: usize = 16;

/// Writes outcomes into batches and counts them.
pub(super) struct Recorder {
    model: ModelRow,
    /// The time that missing files of this run get.
    moment: i64,
    pub report: IndexReport,
    waiting: HashMap<ContentHash, Vec<ObservedFile>>,
    /// Contents that are in the open batch; others may look them up once it is committed.
    settled: Vec<ContentHash>,
    /// Whether contents that failed before are tried again, and those that have failed again.
    retry_failed: bool,
    failed_again: HashSet<ContentHash>,
    /// Roots that were found to be themselves in this run.
    online: HashSet<RootId>,
    /// Roots from which files have moved, and which are not there.
    left_behind: HashSet<RootId>,
    gone: MassDeletionGuard,
}

impl Recorder {
    pub(super) fn new(model: ModelRow, moment: i64, online: HashSet<RootId>, retry_failed: bool) -> Self {
        Self {
            model,
            moment,
            report: IndexReport::default(),
            waiting: HashMap::new(),
            settled: Vec::new(),
            retry_failed,
            failed_again: HashSet::new(),
            online,
            left_behind: HashSet::new(),
            gone: MassDeletionGuard::default(),
        }
    }

    /// Writes what can be told only when everything was decoded at: what is gone, and roots that all pictures have left.
    /// `whole` are the roots that were scanned as a whole.
    pub(super) fn finish(&mut self, batch: &Batch<'_>, store: &Store, whole: &HashSet<RootId>) -> Result<()> {
        self.report.vanished = std::mem::take(&mut self.gone).record(batch, store, self.moment, whole)?;
        self.remove_emptied_roots(batch)
    }

    /// Removes roots that are not there and from which all pictures have moved to others.
    fn remove_emptied_roots(&self, batch: &Batch<'_>) -> Result<()> {
        for root in &self.left_behind {
            if !batch.has_pictures(*root)? {
                batch.delete_root(*root)?;
            }
        }
        Ok(())
    }

    /// The contents that the batch which was just committed made known.
    pub(super) fn committed(&mut self) -> std::vec::Drain<'_, ContentHash> {
        self.settled.drain(..)
    }

    /// Writes one outcome.
    pub(super) fn record(&mut self, batch: &Batch<'_>, outcome: Outcome) -> Result<()> {
        match outcome {
            Outcome::Unchanged(state, files) => self.count_unchanged(state, files),
            Outcome::Restored(id, state) => {
                batch.mark_present(id)?;
                self.count_unchanged(state, 1);
            }
            Outcome::Moved { from, observed } => self.rename(batch, from, &observed)?,
            Outcome::Linked { observed, image, state } => self.link(batch, &observed, image, state, false)?,
            Outcome::Twin { observed, hash } => match batch.find_content(&hash, self.model)? {
                Some(known) if self.is_settled(&hash, known.state) => {
                    self.link(batch, &observed, known.image, known.state, true)?;
                }
                _ => self.waiting.entry(hash).or_default().push(observed),
            },
            Outcome::Indexed { observed, decoded, embedded } => {
                let image = self.put_decoded(batch, &decoded)?;
                batch.clear_content_failure(image, self.model)?;
                batch.put_embedding(image, self.model, &embedded.embedding)?;
                batch.put_classes(image, self.model, &embedded.classes)?;
                self.report.embedded += 1;
                self.settle(batch, observed, decoded.hash, image, ContentState::Done)?;
            }
            Outcome::Measured { observed, decoded } => {
                let image = self.put_decoded(batch, &decoded)?;
                self.settle(batch, observed, decoded.hash, image, ContentState::Done)?;
            }
            Outcome::Undecodable { observed, hash, bytes, reason } => {
                let image = batch.put_image(&hash, bytes, None)?;
                batch.put_content_failure(image, None, Stage::Decode, &reason)?;
                self.settle(batch, observed, hash, image, ContentState::Failed)?;
            }
            Outcome::Unembeddable { observed, decoded, reason } => {
                let image = self.put_decoded(batch, &decoded)?;
                batch.put_content_failure(image, Some(self.model), Stage::Embed, &reason)?;
                self.settle(batch, observed, decoded.hash, image, ContentState::Failed)?;
            }
            Outcome::Skipped { observed, reason } => {
                batch.put_file(&observed.file, None, Some(&reason))?;
                self.report.skipped += 1;
            }
            Outcome::Unreadable { root, path, observed, stage, reason } => {
                if let Some(observed) = observed {
                    batch.put_file(&observed.file, None, None)?;
                }
                batch.put_path_failure(root, &path, stage, &reason)?;
                self.report.failed += 1;
            }
            Outcome::Unsettled(path) => {
                self.report.skipped += 1;
                self.report.changing += 1;
                self.report.unsettled.push(path);
            }
            Outcome::Missing(root, files) => self.gone.extend(root, files),
            Outcome::WentOffline(root, path) => {
                self.gone.forget(root);
                batch.set_root_state(root, RootState::Offline)?;
                self.report.offline_roots.push(path);
            }
            Outcome::Broken(error) => return Err(error),
        }
        Ok(())
    }

    fn put_decoded(&mut self, batch: &Batch<'_>, decoded: &DecodedImage) -> Result<ImageId> {
        let image = batch.put_image(&decoded.hash, decoded.bytes, Some(&decoded.info))?;
        batch.put_features(image, &decoded.features)?;
        self.report.measured += 1;
        Ok(image)
    }

    /// Whether a content needs no more work in this run.
    fn is_settled(&self, hash: &ContentHash, state: ContentState) -> bool {
        match state {
            ContentState::Done => true,
            ContentState::Failed => !self.retry_failed || self.failed_again.contains(hash),
            ContentState::Pending | ContentState::Unmeasured => false,
        }
    }

    fn count_unchanged(&mut self, state: FileState, files: u64) {
        match state {
            FileState::Skipped => self.report.skipped += files,
            FileState::Picture(ContentState::Failed) | FileState::Unreadable => {
                self.report.unchanged += files;
                self.report.known_failures += files;
            }
            FileState::Picture(_) => self.report.unchanged += files,
        }
    }

    /// Links the file whose content was worked on, and all that waited for it.
    fn settle(
        &mut self,
        batch: &Batch<'_>,
        observed: ObservedFile,
        hash: ContentHash,
        image: ImageId,
        state: ContentState,
    ) -> Result<()> {
        self.settled.push(hash);
        if state == ContentState::Failed && self.retry_failed {
            self.failed_again.insert(hash);
        }
        self.link(batch, &observed, image, state, true)?;
        for twin in self.waiting.remove(&hash).unwrap_or_default() {
            self.link(batch, &twin, image, state, true)?;
        }
        Ok(())
    }

    /// Writes the file row, last of all rows that belong to it, and counts the file.
    ///
    /// `tried` says whether the content was worked on in this run.
    fn link(
        &mut self,
        batch: &Batch<'_>,
        observed: &ObservedFile,
        image: ImageId,
        state: ContentState,
        tried: bool,
    ) -> Result<()> {
        let before = batch.image_at(observed.file.root, &observed.file.path)?;
        batch.put_file(&observed.file, Some(image), None)?;
        if state == ContentState::Failed {
            if before == Some(Some(image)) && !tried {
                self.count_unchanged(FileState::Picture(state), 1);
            } else {
                self.report.failed += 1;
            }
            return Ok(());
        }
        let count = match before {
            Some(Some(known)) if known == image => &mut self.report.unchanged,
            Some(_) => &mut self.report.changed,
            None if self.take_moved(batch, observed, image)? => &mut self.report.moved,
            None => &mut self.report.new,
        };
        *count += 1;
        Ok(())
    }

    /// Gives the row of a file that was renamed its new place.
    fn rename(&mut self, batch: &Batch<'_>, from: FileId, observed: &ObservedFile) -> Result<()> {
        let root_before = batch.root_of(from)?;
        if !batch.move_file(from, &observed.file)? {
            // Somebody else has taken the row: what is here will be decoded at anew.
            self.report.skipped += 1;
            self.report.changing += 1;
            self.report.unsettled.push(observed.root_path.join(path_from_bytes(&observed.file.path)));
            return Ok(());
        }
        self.left_behind.extend(root_before.filter(|(_, path)| !path.is_dir()).map(|(root, _)| root));
        self.report.moved += 1;
        Ok(())
    }

    /// Removes the row of a path from which the content has moved here, if there is one.
    fn take_moved(&mut self, batch: &Batch<'_>, observed: &ObservedFile, image: ImageId) -> Result<bool> {
        let here = observed.root_path.join(path_from_bytes(&observed.file.path));
        for other in batch.files_of(image, MOVE_CANDIDATES)? {
            let there: PathBuf = other.root_path.join(&other.path);
            if there == here || !(other.missing || is_gone(&there)) {
                continue;
            }
            // Below a root that this run has not found to be itself, perhaps an empty mount point, absence tells
            // nothing, unless it is the very same file that is here now: another drive may count inodes alike.
            let same_file = other.inode == observed.file.stat.inode
                && other.inode != 0
                && other.place == batch.root_place(observed.file.root)?;
            if !other.missing && !self.online.contains(&other.root) && !same_file {
                continue;
            }
            batch.delete_file(other.id)?;
            if !other.root_path.is_dir() {
                self.left_behind.insert(other.root);
            }
            return Ok(true);
        }
        Ok(false)
    }
}
