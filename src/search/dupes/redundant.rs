//! Which copies can be removed safely: only those whose kept copy was just verified on disk.
//!
//! The index is as old as the last `add`. Removing the files that it calls redundant must not lose a picture because
//! the kept copy was deleted or overwritten, lies on a disconnected drive, or is another name of the same file.
//! Therefore every file is checked before it is offered. A file that is not provably safe to remove is withheld with a
//! reason.

use std::collections::HashSet;
use std::path::PathBuf;

use same_file::Handle;

use super::{DupeGroup, DupeTier};
use crate::error::Result;
use crate::store::{Store, StoredCopy};
use crate::types::{ContentHash, FileStat, open_regular};

/// A file that can be removed, because another file holds its content or a better version of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedundantFile {
    /// Its path.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// The file that is kept instead. It existed and was unchanged at the time of the check.
    pub kept: PathBuf,
    /// The tier of the group that contains both.
    pub tier: DupeTier,
}

/// A file of a group that must not be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithheldFile {
    /// Its path.
    pub path: PathBuf,
    /// The reason.
    pub reason: Withheld,
}

/// The reason for which a file is not offered for removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Withheld {
    /// It does not exist, or cannot be read.
    Gone,
    /// It has changed since it was indexed, so it may be the only file with its content.
    Changed,
    /// It is a symbolic link, or another file that is not regular.
    NotRegular,
    /// It is the kept file under another name: a hard link, or a path through a link or a second mount.
    SameFile,
    /// No other file of its group exists unchanged as a separate file.
    OnlyCopy,
}

impl Withheld {
    /// The reason as a predicate, to follow "the file".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "does not exist or cannot be read",
            Self::Changed => "has changed since it was indexed",
            Self::NotRegular => "is a link, not a regular file",
            Self::SameFile => "is the kept file under another name",
            Self::OnlyCopy => "is the only copy that could be verified",
        }
    }
}

/// The files that can be removed, and the files that must stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redundant {
    /// Files that can be removed, by group.
    pub files: Vec<RedundantFile>,
    /// Files that are not offered, without the kept ones.
    pub withheld: Vec<WithheldFile>,
}

/// Checks the files of all groups on disk, and separates those that can be removed from those that must stay. In each
/// group, the first verified file is kept.
///
/// # Errors
/// If the database fails.
pub(crate) fn find_redundant(store: &Store, groups: &[DupeGroup]) -> Result<Redundant> {
    let mut redundant = Redundant::default();
    // Several paths can lead to one file, for example through links. It can be removed only once.
    let mut seen = HashSet::new();
    for group in groups {
        let offered = redundant.files.len();
        let mut kept: Option<(PathBuf, Handle)> = None;
        let mut withheld = Vec::new();
        for picture in &group.pictures {
            let Some(image) = store.image(&picture.image)? else { continue };
            for copy in store.copies_of(image)? {
                let path = copy.path.clone();
                let verified = verify(&copy, &picture.image).and_then(|handle| {
                    let real = path.canonicalize().map_err(|_| Withheld::Gone)?;
                    if seen.insert(real) { Ok(handle) } else { Err(Withheld::SameFile) }
                });
                match (verified, &kept) {
                    (Err(reason), _) => withheld.push(WithheldFile { path, reason }),
                    (Ok(handle), None) => kept = Some((path, handle)),
                    (Ok(handle), Some((_, kept_handle))) if handle == *kept_handle => {
                        withheld.push(WithheldFile { path, reason: Withheld::SameFile });
                    }
                    (Ok(_), Some((kept_path, _))) => {
                        let (bytes, kept, tier) = (picture.bytes, kept_path.clone(), group.tier);
                        redundant.files.push(RedundantFile { path, bytes, kept, tier });
                    }
                }
            }
        }
        if let (true, Some((path, _))) = (redundant.files.len() == offered, kept) {
            withheld.push(WithheldFile { path, reason: Withheld::OnlyCopy });
        }
        redundant.withheld.append(&mut withheld);
    }
    Ok(redundant)
}

/// Checks that a path is a regular file that still holds the given content, and returns a handle that identifies it.
fn verify(copy: &StoredCopy, hash: &ContentHash) -> std::result::Result<Handle, Withheld> {
    let metadata = copy.path.symlink_metadata().map_err(|_| Withheld::Gone)?;
    if !metadata.is_file() {
        return Err(Withheld::NotRegular);
    }
    let is_unchanged = copy.stat.matches(&FileStat::new(&metadata)) && !copy.stat.is_racy(copy.read_at_ns);
    if !is_unchanged {
        let mut hasher = blake3::Hasher::new();
        let read = open_regular(&copy.path).and_then(|file| hasher.update_reader(file).map(drop));
        read.map_err(|_| Withheld::Gone)?;
        if hasher.finalize() != *hash.as_bytes() {
            return Err(Withheld::Changed);
        }
    }
    let handle = open_regular(&copy.path).and_then(Handle::from_file);
    handle.map_err(|_| Withheld::Gone)
}
