//! Which copies may go: only those whose kept copy was seen on the disk just now.
//!
//! The index is as old as the last `add`. Whoever removes what it calls redundant must not lose a picture because the copy that
//! would be kept is gone, was overwritten, lies on a drive that is not there, or is another name of the same file. So every file
//! is checked when it is offered, and what cannot be shown to be safe is withheld with a reason.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use same_file::Handle;

use super::{DupeGroup, DupeTier};
use crate::error::Result;
use crate::store::{Store, StoredCopy};
use crate::types::{ContentHash, FileStat, open_regular};

/// A file that may be removed: another file holds its content, or a better version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedundantFile {
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// The file that is kept in its place, which was there and unchanged when this was found out.
    pub kept: PathBuf,
    /// The tier of the group that both are in.
    pub tier: DupeTier,
}

/// A file of a group that must not be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithheldFile {
    /// The file.
    pub path: PathBuf,
    /// Why not.
    pub reason: Withheld,
}

/// Why a file is not offered for removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Withheld {
    /// It is not there, or cannot be read.
    Gone,
    /// It has changed since it was indexed, so that it may be the only one of its content.
    Changed,
    /// It is a symbolic link, or no regular file.
    NotRegular,
    /// It is the kept file under another name: a hard link, or reached through a link or a second mount.
    SameFile,
    /// No other file of its group is there, unchanged and a file of its own.
    NoKeeper,
}

impl Withheld {
    /// The reason as a sentence's end: "the file …".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "is not there or cannot be read",
            Self::Changed => "has changed since it was indexed",
            Self::NotRegular => "is a link, not a file of its own",
            Self::SameFile => "is the kept file under another name",
            Self::NoKeeper => "is the only copy that could be verified",
        }
    }
}

/// What may be removed, and what must not be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redundant {
    /// Files that may go, by group.
    pub files: Vec<RedundantFile>,
    /// Files that are not offered, but for the kept ones.
    pub withheld: Vec<WithheldFile>,
}

/// Checks the files of all groups on the disk and sorts them into those that may go and those that must not. In each group the
/// first file that is safe is kept.
///
/// # Errors
/// When the database fails.
pub(crate) fn find_redundant(store: &Store, groups: &[DupeGroup]) -> Result<Redundant> {
    let mut redundant = Redundant::default();
    // Two paths that lead to one file through a link or not: it can be removed once.
    let mut seen = HashSet::new();
    for group in groups {
        let offered = redundant.files.len();
        let mut keeper: Option<(PathBuf, Handle)> = None;
        let mut withheld = Vec::new();
        for picture in &group.pictures {
            let Some(image) = store.image(&picture.image)? else { continue };
            for copy in store.copies_of(image)? {
                let path = copy.path.clone();
                let verified = verify(&copy, &picture.image).and_then(|handle| {
                    let real = path.canonicalize().map_err(|_| Withheld::Gone)?;
                    if seen.insert(real) { Ok(handle) } else { Err(Withheld::SameFile) }
                });
                match (verified, &keeper) {
                    (Err(reason), _) => withheld.push(WithheldFile { path, reason }),
                    (Ok(handle), None) => keeper = Some((path, handle)),
                    (Ok(handle), Some((_, kept))) if handle == *kept => {
                        withheld.push(WithheldFile { path, reason: Withheld::SameFile });
                    }
                    (Ok(_), Some((kept, _))) => {
                        let (bytes, kept, tier) = (picture.bytes, kept.clone(), group.tier);
                        redundant.files.push(RedundantFile { path, bytes, kept, tier });
                    }
                }
            }
        }
        if let (true, Some((path, _))) = (redundant.files.len() == offered, keeper) {
            withheld.push(WithheldFile { path, reason: Withheld::NoKeeper });
        }
        redundant.withheld.append(&mut withheld);
    }
    Ok(redundant)
}

/// Whether a path is a regular file that still holds a content, and which file it is.
fn verify(copy: &StoredCopy, hash: &ContentHash) -> std::result::Result<Handle, Withheld> {
    let metadata = copy.path.symlink_metadata().map_err(|_| Withheld::Gone)?;
    if !metadata.is_file() {
        return Err(Withheld::NotRegular);
    }
    let is_unchanged = copy.stat.matches(&FileStat::new(&metadata)) && !copy.stat.is_racy(copy.read_at_ns);
    if !is_unchanged && hash_file(&copy.path).map_err(|_| Withheld::Gone)? != *hash {
        return Err(Withheld::Changed);
    }
    let handle = open_regular(&copy.path).and_then(Handle::from_file);
    handle.map_err(|_| Withheld::Gone)
}

fn hash_file(path: &Path) -> io::Result<ContentHash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(open_regular(path)?)?;
    Ok((*hasher.finalize().as_bytes()).into())
}
