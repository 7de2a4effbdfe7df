//! Stores the outcomes of the stages: the only place where an `add` writes to the database.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mass_deletion_guard::MassDeletionGuard;
use super::options::Again;
use super::plan::{Unseen, is_gone, is_settled};
use super::report::IndexReport;
use crate::error::{Error, Result};
use crate::model::Embedded;
use crate::store::{Batch, ContentState, FileState, FoundFile, ModelRow, RootState, Store};
use crate::types::{
    ContentHash, DecodedFrom, Features, FileId, ImageId, ImageInfo, Metadata, Miniature, RootId, Stage, path_from_bytes,
};

/// A file that was found, with the path of its root. Once the file is read, its signature is the one from then.
#[derive(Debug, Clone)]
pub(super) struct ObservedFile {
    pub file: FoundFile,
    pub root_path: Arc<Path>,
}

impl ObservedFile {
    pub(super) fn path(&self) -> PathBuf {
        self.root_path.join(path_from_bytes(&self.file.path))
    }
}

/// The result of decoding and measuring a content.
#[derive(Debug)]
pub(super) struct DecodedImage {
    pub hash: ContentHash,
    pub bytes: u64,
    pub info: ImageInfo,
    pub metadata: Metadata,
    pub features: Features,
    pub miniature: Box<Miniature>,
}

/// The outcome for a file, or for anything else that the scan has found.
#[derive(Debug)]
pub(super) enum Outcome {
    /// This number of consecutive files is unchanged.
    Unchanged(FileState, u64),
    /// The file was missing and is back unchanged.
    Restored(FileId, FileState),
    /// The file of this row has been renamed.
    Moved { from: FileId, observed: ObservedFile },
    /// A known content that needs no work.
    Linked { observed: ObservedFile, image: ImageId, state: ContentState },
    /// The same new content as another file of this run, which is being processed.
    Duplicate { observed: ObservedFile, hash: ContentHash },
    /// A content with new features; without a vector if that is stored already.
    Indexed { observed: ObservedFile, decoded: DecodedImage, embedded: Option<Embedded> },
    /// What a known content says of itself. If its file needed nothing else, it counts as unchanged.
    Described { image: ImageId, metadata: Metadata, is_unchanged: bool },
    /// An XMP file.
    Sidecar { observed: ObservedFile, metadata: Metadata },
    /// A content that cannot be decoded.
    Undecodable { observed: ObservedFile, hash: ContentHash, bytes: u64, reason: String },
    /// A content for which the model returns no valid vector.
    Unembeddable { observed: ObservedFile, decoded: DecodedImage, reason: String },
    /// A file that is not a picture, or has a format that cannot be decoded.
    Skipped { observed: ObservedFile, reason: String },
    /// A file that cannot be read. Without a signature it is tried again in every run.
    Unreadable { root: RootId, path: Vec<u8>, observed: Option<ObservedFile>, stage: Stage, reason: String },
    /// The file changed while it was read, or so recently that it may still be changing.
    Unsettled(PathBuf),
    /// Known files of a root that the scan did not find.
    Unseen(RootId, Unseen),
    /// A root that was online at the start of the run and no longer is.
    WentOffline(RootId, PathBuf),
    /// A stage cannot continue.
    Broken(Error),
}

/// Maximum number of other files with the same content that are checked as the source of a move.
const MAX_MOVE_CANDIDATES: usize = 16;

/// Writes outcomes into batches and counts them.
pub(super) struct Recorder {
    model: ModelRow,
    /// The time with which this run marks missing files, in milliseconds since 1970.
    moment: i64,
    pub report: IndexReport,
    /// Duplicates that wait until their content is processed.
    waiting: HashMap<ContentHash, Vec<ObservedFile>>,
    /// Contents in the open batch. Other threads can look them up once it is committed.
    pub settled: Vec<ContentHash>,
    again: Again,
    /// Contents that failed before and have failed again in this run.
    failed_again: HashSet<ContentHash>,
    /// Roots that are online in this run.
    online: HashSet<RootId>,
    /// Roots that do not exist and from which files have moved.
    left_behind: HashSet<RootId>,
    missing: MassDeletionGuard,
}

impl Recorder {
    pub(super) fn new(model: ModelRow, moment: i64, online: HashSet<RootId>, again: Again) -> Self {
        Self {
            model,
            moment,
            report: IndexReport::default(),
            waiting: HashMap::new(),
            settled: Vec::new(),
            again,
            failed_again: HashSet::new(),
            online,
            left_behind: HashSet::new(),
            missing: MassDeletionGuard::default(),
        }
    }

    /// Writes what is known only at the end of the scan: missing files, and roots that all pictures have left. `whole`
    /// holds the roots that were scanned completely.
    pub(super) fn finish(&mut self, batch: &Batch<'_>, store: &Store, whole: &HashSet<RootId>) -> Result<()> {
        self.report.vanished = std::mem::take(&mut self.missing).record(batch, store, self.moment, whole)?;
        batch.describe_orphaned()?;
        for root in &self.left_behind {
            if !batch.has_pictures(*root)? {
                batch.delete_root(*root)?;
            }
        }
        Ok(())
    }

    /// Writes one outcome.
    pub(super) fn record(&mut self, batch: &Batch<'_>, outcome: Outcome) -> Result<()> {
        match outcome {
            Outcome::Unchanged(state, files) => self.count_unchanged(state, files),
            Outcome::Restored(id, state) => {
                batch.mark_present(id)?;
                batch.describe_again(id)?;
                self.count_unchanged(state, 1);
            }
            Outcome::Moved { from, observed } => self.rename(batch, from, &observed)?,
            Outcome::Linked { observed, image, state } => self.link(batch, &observed, image, state, false)?,
            Outcome::Duplicate { observed, hash } => match batch.content(&hash, self.model)? {
                Some(known) if is_settled(known.state, self.again_without(&hash)) => {
                    self.link(batch, &observed, known.image, known.state, true)?;
                }
                _ => self.waiting.entry(hash).or_default().push(observed),
            },
            Outcome::Indexed { observed, decoded, embedded } => {
                let image = self.put_decoded(batch, &decoded)?;
                if let Some(Embedded { embedding, classes }) = embedded {
                    batch.clear_content_failure(image, self.model)?;
                    batch.put_embedding(image, self.model, &embedding)?;
                    batch.put_classes(image, self.model, &classes)?;
                    self.report.embedded += 1;
                }
                let is_provisional = decoded.info.decoded_from == DecodedFrom::Thumbnail;
                self.report.provisional += u64::from(is_provisional);
                let state = if is_provisional { ContentState::Provisional } else { ContentState::Done };
                self.settle(batch, observed, decoded.hash, image, state)?;
            }
            Outcome::Described { image, metadata, is_unchanged } => {
                batch.put_metadata(image, &metadata)?;
                if is_unchanged {
                    self.count_unchanged(FileState::Picture(ContentState::Done), 1);
                }
            }
            Outcome::Sidecar { observed, metadata } => {
                batch.put_sidecar(&observed.file, &metadata)?;
                self.report.skipped += 1;
            }
            Outcome::Undecodable { observed, hash, bytes, reason } => {
                batch.delete_provisional(&hash)?;
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
            Outcome::Unsettled(path) => self.count_unsettled(path),
            Outcome::Unseen(root, unseen) => {
                self.missing.extend(root, unseen.missing);
                self.report.excluded += unseen.excluded;
            }
            Outcome::WentOffline(root, path) => {
                self.missing.forget(root);
                batch.set_root_state(root, RootState::Offline)?;
                self.report.offline_roots.push(path);
            }
            Outcome::Broken(error) => return Err(error),
        }
        Ok(())
    }

    fn put_decoded(&mut self, batch: &Batch<'_>, decoded: &DecodedImage) -> Result<ImageId> {
        if decoded.info.decoded_from != DecodedFrom::Thumbnail {
            batch.delete_provisional(&decoded.hash)?;
        }
        let image = batch.put_image(&decoded.hash, decoded.bytes, Some(&decoded.info))?;
        batch.put_features(image, &decoded.features)?;
        batch.put_miniature(image, &decoded.miniature)?;
        batch.put_metadata(image, &decoded.metadata)?;
        self.report.measured += 1;
        Ok(image)
    }

    /// Which known contents are processed again, where another file with this content may have been processed before.
    fn again_without(&self, hash: &ContentHash) -> Again {
        Again { failed: self.again.failed && !self.failed_again.contains(hash), ..self.again }
    }

    /// Counts a file that is left for the next run.
    fn count_unsettled(&mut self, path: PathBuf) {
        self.report.skipped += 1;
        self.report.changing += 1;
        self.report.unsettled.push(path);
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

    /// Links a file whose content was processed, and all duplicates that waited for it.
    fn settle(
        &mut self,
        batch: &Batch<'_>,
        observed: ObservedFile,
        hash: ContentHash,
        image: ImageId,
        state: ContentState,
    ) -> Result<()> {
        self.settled.push(hash);
        if state == ContentState::Failed && self.again.failed {
            self.failed_again.insert(hash);
        }
        self.link(batch, &observed, image, state, true)?;
        for duplicate in self.waiting.remove(&hash).unwrap_or_default() {
            self.link(batch, &duplicate, image, state, true)?;
        }
        Ok(())
    }

    /// Writes the row of a file, after all rows that it refers to, and counts the file.
    ///
    /// `tried` is whether the content was processed in this run.
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
        batch.describe_at(observed.file.root, &observed.file.path)?;
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

    /// Moves the row of a renamed file to its new path.
    fn rename(&mut self, batch: &Batch<'_>, from: FileId, observed: &ObservedFile) -> Result<()> {
        let root_before = batch.root_of(from)?;
        if !batch.move_file(from, &observed.file)? {
            // The row no longer exists.
            self.count_unsettled(observed.path());
            return Ok(());
        }
        batch.describe_at(observed.file.root, &observed.file.path)?;
        self.left_behind.extend(root_before.filter(|(_, path)| !path.is_dir()).map(|(root, _)| root));
        self.report.moved += 1;
        Ok(())
    }

    /// Removes the row of the path from which this content has moved, if there is one.
    fn take_moved(&mut self, batch: &Batch<'_>, observed: &ObservedFile, image: ImageId) -> Result<bool> {
        let here = observed.path();
        for other in batch.files_of(image, MAX_MOVE_CANDIDATES)? {
            let there = other.root_path.join(&other.path);
            if there == here || !(other.missing || is_gone(&there)) {
                continue;
            }
            // If this run has not found the root to be online, it may be an empty mount point, and a missing file
            // proves nothing. The exception is the same file at the new path: equal inode and drive, because inodes
            // alone may be equal on another drive.
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
