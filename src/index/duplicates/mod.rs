//! Removing duplicates, or replacing them with links to the file that is kept.
//!
//! A list of redundant files is outdated a second after it was made. So each file is checked again when its turn comes,
//! together with the file that is kept: both are opened, verified against the index, and compared byte for byte if they
//! are to hold the same content. What happens then can be undone until it has succeeded: a file goes to the trash, or
//! changes places with a link before it is removed.

mod exchange;
mod link;
mod trash;

use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use same_file::Handle;

use self::exchange::rename_new;
use super::Index;
use crate::error::{Result, io_reason};
use crate::search::{DupeTier, PairError, Redundant, RedundantFile, Verified, VerifiedPair, Withheld, verify_pair};
use crate::store::{Batch, FoundFile, ModelRow, StoredCopy, Writer};
use crate::types::{CancelToken, ContentHash, FileStat, now_ns, path_to_bytes};

/// What happens to a redundant file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DupeAction {
    /// It is moved to the system's trash.
    Trash,
    /// It is replaced with a hard link to the kept file. Exact copies only.
    HardLink,
    /// It is replaced with a clone of the kept file, which shares its blocks on the disk until one of them is changed.
    /// Exact copies only, on file systems that can do this, such as Btrfs, XFS and APFS.
    Reflink,
}

/// Why a redundant file was left as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DupeActionError {
    /// The file itself cannot be removed safely.
    #[error("it {}", .0.as_str())]
    Unsafe(Withheld),
    /// The file to keep could not be verified.
    #[error("the file to keep, `{}`, {}", path.display(), reason.as_str())]
    KeptUnsafe {
        /// The file to keep.
        path: PathBuf,
        /// What is wrong with it.
        reason: Withheld,
    },
    /// Only exact copies can be replaced with links.
    #[error("it is not an exact copy of `{}`", .0.display())]
    NotExact(PathBuf),
    /// Both hold the same content by the index, but not by their bytes.
    #[error("its bytes differ from those of `{}`", .0.display())]
    Differs(PathBuf),
    /// A hard link cannot lead to another device.
    #[error("it is not on the device of `{}`, so a hard link is not possible", .0.display())]
    OtherDevice(PathBuf),
    /// The file system cannot clone files, or not between these two places.
    #[error("the file system cannot make a reflink of `{}` here", .0.display())]
    NoReflinks(PathBuf),
    /// The file to keep changed while the file was being moved to the trash.
    #[error("it is in the trash, but the file to keep, `{}`, has changed meanwhile; restore it if you need it", .0.display())]
    KeptChangedLate(PathBuf),
    /// The system's trash refused the file.
    #[error("the trash refused it: {0}")]
    NoTrash(String),
    /// The file system refused a step.
    #[error("cannot {action}: {}", io_reason(source))]
    Io {
        /// The step, as a verb and what it applies to.
        action: &'static str,
        /// The reason.
        source: io::Error,
    },
    /// A step failed after the file was renamed, and it could not be renamed back.
    #[error("it is now called `{}`, because it could not be renamed back: {}", path.display(), io_reason(source))]
    Aside {
        /// Where the file is.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

impl DupeActionError {
    fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}

/// What [`Index::act_on_duplicates`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DupeActionReport {
    /// Number of files that were moved to the trash or replaced.
    pub done: u64,
    /// Number of files that were left as they are, for a reason that was reported.
    pub failed: u64,
    /// Whether the run was cancelled before all files were processed.
    pub interrupted: bool,
}

/// Number of files after which the index is updated.
const FILES_PER_BATCH: usize = 64;

impl Index {
    /// Moves redundant files to the trash, or replaces them with links, and updates the index.
    ///
    /// Each file is checked again together with the file that is kept. If either is not what it was when
    /// [`Searcher::redundant`](crate::Searcher::redundant) listed it, nothing happens to the file. `each` is called with
    /// every file and, if it was left as it is, the reason. If `each` fails, no further file is processed.
    ///
    /// # Errors
    /// If another process is writing, the database fails, or `each` fails.
    pub fn act_on_duplicates<E: From<crate::Error>>(
        &mut self,
        redundant: &Redundant,
        action: DupeAction,
        cancel: &CancelToken,
        mut each: impl FnMut(&RedundantFile, Option<&DupeActionError>) -> Result<(), E>,
    ) -> Result<DupeActionReport, E> {
        let mut writer = Writer::open(self.path())?;
        let mut report = DupeActionReport::default();
        let mut ended: Result<(), E> = Ok(());
        for files in redundant.files.chunks(FILES_PER_BATCH) {
            let mut done = Vec::new();
            for file in files {
                if cancel.is_cancelled() {
                    report.interrupted = true;
                    break;
                }
                ended = act(&writer, file, action).map_err(E::from).and_then(|acted| {
                    let failure = acted.err();
                    if matches!(failure, None | Some(DupeActionError::KeptChangedLate(_))) {
                        done.push(file);
                    }
                    *(if failure.is_none() { &mut report.done } else { &mut report.failed }) += 1;
                    each(file, failure.as_ref())
                });
                if ended.is_err() {
                    break;
                }
            }
            // What was done is recorded, however the run ended.
            record(&mut writer, &done, action)?;
            if report.interrupted || ended.is_err() {
                break;
            }
        }
        if report.done > 0 {
            self.tidy_after_removal(&mut writer);
        }
        ended.map(|()| report)
    }
}

/// Checks one file and its kept file, and acts.
fn act(writer: &Writer, file: &RedundantFile, action: DupeAction) -> Result<Result<(), DupeActionError>> {
    let [row, kept_row] = [&file.row, &file.kept_row].map(|(row, hash)| (row, hash));
    let pair = match verify_pair(writer, row, kept_row)? {
        Ok(pair) => pair,
        Err(PairError::Redundant(reason)) => return Ok(Err(DupeActionError::Unsafe(reason))),
        Err(PairError::Kept(reason)) => {
            return Ok(Err(DupeActionError::KeptUnsafe { path: file.kept.clone(), reason }));
        }
    };
    Ok(act_on(file, &pair, action))
}

fn act_on(file: &RedundantFile, pair: &VerifiedPair, action: DupeAction) -> Result<(), DupeActionError> {
    let is_exact = file.row.1 == file.kept_row.1;
    if is_exact && !has_same_bytes(pair).map_err(DupeActionError::io("compare it with the file to keep"))? {
        return Err(DupeActionError::Differs(file.kept.clone()));
    }
    if action != DupeAction::Trash && !(is_exact && file.tier == DupeTier::Exact) {
        return Err(DupeActionError::NotExact(file.kept.clone()));
    }
    if pair.is_doubtful {
        check_by_renaming(file, pair)?;
    }
    require_unchanged(file, pair)?;
    match action {
        DupeAction::Trash => trash::move_to_trash(file, pair),
        DupeAction::HardLink => link::replace_by_hard_link(file, pair),
        DupeAction::Reflink => link::replace_by_reflink(file, pair),
    }
}

/// Compares two open files byte for byte.
fn has_same_bytes(pair: &VerifiedPair) -> io::Result<bool> {
    const PIECE: usize = 1 << 16;
    let [mut a, mut b] = [pair.redundant.handle.as_file(), pair.kept.handle.as_file()];
    a.rewind()?;
    b.rewind()?;
    let [mut piece, mut other] = [vec![0; PIECE], vec![0; PIECE]];
    loop {
        let length = a.read(&mut piece)?;
        if length == 0 {
            return Ok(b.read(&mut other)? == 0);
        }
        match b.read_exact(&mut other[..length]) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        if piece[..length] != other[..length] {
            return Ok(false);
        }
    }
}

/// Whether a path still leads to an open file, without a link.
fn is_at(path: &Path, handle: &Handle) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
        && Handle::from_path(path).is_ok_and(|found| found == *handle)
}

/// Whether an open file has the content that was verified: neither its length nor its modification time have changed.
fn has_content_of(handle: &Handle, verified: &FileStat) -> bool {
    let now = handle.as_file().metadata().map(|metadata| FileStat::new(&metadata));
    now.is_ok_and(|now| (now.size, now.mtime_ns) == (verified.size, verified.mtime_ns))
}

/// Checks both files a last time, by their paths.
fn require_unchanged(file: &RedundantFile, pair: &VerifiedPair) -> Result<(), DupeActionError> {
    let is_there = |path: &Path, verified: &Verified| {
        is_at(path, &verified.handle) && has_content_of(&verified.handle, &verified.stat)
    };
    if !is_there(&file.kept, &pair.kept) {
        return Err(DupeActionError::KeptUnsafe { path: file.kept.clone(), reason: Withheld::Changed });
    }
    if !is_there(&file.path, &pair.redundant) {
        return Err(DupeActionError::Unsafe(Withheld::Changed));
    }
    Ok(())
}

/// Renames the file temporarily, and checks that the kept file is still there. It is not if both are one file that is
/// seen through two mounts of a network drive, or through a FUSE file system.
fn check_by_renaming(file: &RedundantFile, pair: &VerifiedPair) -> Result<(), DupeActionError> {
    let aside = aside_name(&file.path);
    rename_new(&file.path, &aside).map_err(DupeActionError::io("rename it temporarily"))?;
    let is_separate = is_at(&file.kept, &pair.kept.handle);
    rename_new(&aside, &file.path).map_err(|source| DupeActionError::Aside { path: aside, source })?;
    if is_separate { Ok(()) } else { Err(DupeActionError::Unsafe(Withheld::SameFile)) }
}

/// A name in the same directory that no file has, as far as random numbers can tell.
fn aside_name(path: &Path) -> PathBuf {
    let random: u64 = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), path);
    path.with_file_name(format!(".imgidx-{random:016x}"))
}

/// Brings the index up to date with what was done.
fn record(writer: &mut Writer, done: &[&RedundantFile], action: DupeAction) -> Result<()> {
    if done.is_empty() {
        return Ok(());
    }
    let batch = writer.batch()?;
    for file in done {
        let (row, hash) = &file.row;
        match action {
            DupeAction::Trash => {
                let known = batch.file(row.root, &path_in_root(row), ModelRow::NONE)?;
                // Another file may have taken the path.
                if let (Some(known), Err(_)) = (known, row.path.symlink_metadata()) {
                    batch.mark_missing(&[known.id], batch.now())?;
                }
            }
            DupeAction::HardLink | DupeAction::Reflink => {
                let (kept_row, kept_hash) = &file.kept_row;
                put_linked(&batch, row, hash)?;
                // A new hard link changes the signature of the kept file.
                put_linked(&batch, kept_row, kept_hash)?;
            }
        }
    }
    batch.commit()
}

/// Stores the signature of a file whose content is known. The time of reading is too close to the change to prove
/// anything, so the next `add` hashes the file once.
fn put_linked(batch: &Batch<'_>, row: &StoredCopy, hash: &ContentHash) -> Result<()> {
    let (Some(image), Ok(metadata)) = (batch.image(hash)?, row.path.symlink_metadata()) else { return Ok(()) };
    let (stat, path) = (FileStat::new(&metadata), path_in_root(row));
    batch.put_file(&FoundFile { root: row.root, path, stat, read_at_ns: now_ns() }, Some(image), None)
}

fn path_in_root(row: &StoredCopy) -> Vec<u8> {
    path_to_bytes(row.path.strip_prefix(&row.root_path).unwrap_or(&row.path)).into_owned()
}
