//! Checks on disk whether a file may be removed because another one is kept.
//!
//! The index is as old as the last `add`. Since then, the file to keep may have been deleted, overwritten or moved to
//! a drive that is not connected, and two paths may have become names of one file. All of this is checked here, before
//! a file is offered for removal, and again when it is removed.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io::{BufReader, Seek};
use std::path::Path;

use same_file::Handle;
use serde::Serialize;

use crate::error::Result;
use crate::media::has_several_pictures;
use crate::scan::{SAMPLE_FILES, find_root, tells_too_little};
use crate::store::{Store, StoredCopy};
use crate::types::{ContentHash, FileStat, RootId, open_regular};

/// The reason for which a file is not offered for removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Withheld {
    /// It does not exist, or cannot be read.
    Gone,
    /// It has changed since it was indexed, so it may be the only file with its content.
    Changed,
    /// It is a symbolic link, or another file that is not regular.
    NotRegular,
    /// Its path leads through a symbolic link to a directory.
    LinkedFolder,
    /// Its root is offline: not there, or not the directory that was indexed.
    Offline,
    /// A link of the index leads to it, and would lead nowhere without it.
    LinkTarget,
    /// It is the kept file under another name: a hard link, or a path through a link or a second mount.
    SameFile,
    /// It holds more than the picture that was compared: further frames or pages, layers, or the data of a camera.
    HoldsMore,
    /// It is of the same shot as another file of its group, such as the edited version of a photograph.
    Companion,
    /// It is known by a thumbnail only, so that it may not be what it looks like.
    Provisional,
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
            Self::LinkedFolder => "is reached through a link to a directory",
            Self::Offline => "is in a directory that is offline",
            Self::LinkTarget => "is the target of a link",
            Self::SameFile => "is the kept file under another name",
            Self::HoldsMore => "holds more than the picture that was compared",
            Self::Companion => "belongs to another file of the same shot (--companions offers it)",
            Self::Provisional => "is indexed by a thumbnail only (`imgidx add` without --quick reads it whole)",
            Self::OnlyCopy => "is the only copy that could be verified",
        }
    }
}

/// A file that was just verified to hold the content that the index has for it.
#[derive(Debug)]
pub(crate) struct Verified {
    /// The open file, which also identifies it.
    pub handle: Handle,
    /// Its signature.
    pub stat: FileStat,
    /// Number of its hard links; 1 where the system does not tell.
    pub links: u64,
}

impl Verified {
    /// Whether the file holds several pictures, or may do so because it is damaged.
    pub(super) fn may_hold_several_pictures(&self) -> bool {
        let mut file = BufReader::new(self.handle.as_file());
        file.rewind().is_err() || has_several_pictures(file).unwrap_or(true)
    }
}

/// Two verified files: one may be removed because the other one is kept.
#[derive(Debug)]
pub(crate) struct VerifiedPair {
    /// The file that may be removed.
    pub redundant: Verified,
    /// The file that is kept.
    pub kept: Verified,
    /// Whether the system's word for these being two files may not be enough, because they are on different devices or
    /// on a file system whose inode numbers mean little.
    pub is_doubtful: bool,
}

/// Checks roots once each.
#[derive(Debug, Default)]
pub(super) struct OnlineRoots(HashMap<RootId, bool>);

impl OnlineRoots {
    /// Whether the root of a file is online.
    pub(super) fn has(&mut self, store: &Store, copy: &StoredCopy) -> Result<bool> {
        if let Some(&known) = self.0.get(&copy.root) {
            return Ok(known);
        }
        let found = find_root(&copy.root_path, copy.place, || store.sample_paths(copy.root, SAMPLE_FILES))?.is_some();
        self.0.insert(copy.root, found);
        Ok(found)
    }
}

/// Checks that a path is a regular file that still holds a content.
///
/// The file is opened once, and the open file is what is checked. If its signature does not prove that it is unchanged,
/// it is hashed.
pub(super) fn verify(copy: &StoredCopy, hash: &ContentHash) -> std::result::Result<Verified, Withheld> {
    let at_path = copy.path.symlink_metadata().map_err(|_| Withheld::Gone)?;
    if !at_path.is_file() {
        return Err(Withheld::NotRegular);
    }
    if leads_through_link(copy) {
        return Err(Withheld::LinkedFolder);
    }
    let file = open_regular(&copy.path).map_err(|_| Withheld::Gone)?;
    let metadata = file.metadata().map_err(|_| Withheld::Gone)?;
    let stat = FileStat::new(&metadata);
    // Another file may have taken the path since the first check.
    if FileStat::new(&at_path) != stat {
        return Err(Withheld::Changed);
    }
    // Without a change time, a program can give new content the old time.
    let has_change_time = cfg!(unix);
    if !has_change_time || !copy.stat.matches(&stat) || copy.stat.is_racy(copy.read_at_ns) {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&file).map_err(|_| Withheld::Gone)?;
        let after = file.metadata().map(|metadata| FileStat::new(&metadata));
        if hasher.finalize() != *hash.as_bytes() || after.ok() != Some(stat) {
            return Err(Withheld::Changed);
        }
    }
    let handle = Handle::from_file(file).map_err(|_| Withheld::Gone)?;
    Ok(Verified { handle, stat, links: links(&metadata) })
}

/// Checks two files of the index, each with the hash of its content, and that they are not the same file.
///
/// # Errors
/// If the database fails.
pub(crate) fn verify_pair(
    store: &Store,
    (redundant, redundant_hash): (&StoredCopy, &ContentHash),
    (kept, kept_hash): (&StoredCopy, &ContentHash),
) -> Result<std::result::Result<VerifiedPair, PairError>> {
    // A drive may be unplugged at any time, so this is not remembered from file to file.
    let mut roots = OnlineRoots::default();
    if !roots.has(store, kept)? {
        return Ok(Err(PairError::Kept(Withheld::Offline)));
    }
    if !roots.has(store, redundant)? {
        return Ok(Err(PairError::Redundant(Withheld::Offline)));
    }
    let pair = || {
        let kept_file = verify(kept, kept_hash).map_err(PairError::Kept)?;
        let redundant_file = verify(redundant, redundant_hash).map_err(PairError::Redundant)?;
        if is_same_file(&redundant_file, &kept_file) {
            return Err(PairError::Redundant(Withheld::SameFile));
        }
        let is_doubtful =
            redundant_file.stat.device != kept_file.stat.device || tells_too_little(&redundant.path).is_some();
        Ok(VerifiedPair { redundant: redundant_file, kept: kept_file, is_doubtful })
    };
    Ok(pair())
}

/// Which of two files could not be verified, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PairError {
    /// The file that was to be removed.
    Redundant(Withheld),
    /// The file that was to be kept.
    Kept(Withheld),
}

/// Whether two verified files are one file.
///
/// A network drive that is mounted twice may appear as two devices. No program can choose the change time of a file, so
/// copies on two devices do not have the same one to the nanosecond.
pub(super) fn is_same_file(a: &Verified, b: &Verified) -> bool {
    let is_seen_twice = || {
        let times = |stat: &FileStat| (stat.size, stat.mtime_ns, stat.ctime_ns);
        cfg!(unix) && a.stat.device != b.stat.device && times(&a.stat) == times(&b.stat)
    };
    a.handle == b.handle || is_seen_twice()
}

/// What identifies a file among others, without keeping it open. Systems without inodes have the real path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum FileKey {
    Inode(u64, u64),
    Path(std::path::PathBuf),
}

impl FileKey {
    pub(super) fn new(path: &Path, stat: &FileStat) -> Self {
        match stat.inode {
            0 => Self::Path(path.canonicalize().unwrap_or_else(|_| path.to_owned())),
            inode => Self::Inode(stat.device, inode),
        }
    }

    /// The file to which a symbolic link leads; `None` if the path is not a link. A file in a linked directory has its
    /// own path too, and no link is broken without it.
    pub(super) fn behind_link(copy: &StoredCopy) -> Option<Self> {
        if !copy.path.symlink_metadata().ok()?.is_symlink() {
            return None;
        }
        Some(Self::new(&copy.path, &FileStat::new(&copy.path.metadata().ok()?)))
    }
}

/// Whether a directory between the root and the file is a symbolic link.
fn leads_through_link(copy: &StoredCopy) -> bool {
    let folders = copy.path.ancestors().skip(1).take_while(|folder| *folder != copy.root_path);
    let mut inside = folders.filter(|folder| folder.starts_with(&copy.root_path));
    inside.any(|folder| folder.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()))
}

#[cfg(unix)]
fn links(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(metadata)
}

#[cfg(not(unix))]
fn links(_: &Metadata) -> u64 {
    1
}
