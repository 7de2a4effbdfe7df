//! Checks whether the directory at a root's path is the one that was there before.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::types::{FileStat, is_exhausted};

/// Number of the first and of the last known files that are checked if a directory is on another file system than
/// before.
pub const SAMPLE_FILES: usize = 16;

/// The device and file system that hold a directory, by which the directory is recognised.
///
/// Device numbers may change when the system restarts, and so do the identities of some file systems. If they differ,
/// only the files in the directory can show whether it is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootIdentity {
    /// The device number.
    pub device: u64,
    /// The file system's identity (`f_fsid`), 0 if there is none.
    pub file_system: u64,
    /// Whether the directory has no entries.
    pub empty: bool,
    /// Whether another drive may have the same identity: FAT derives it from the device number.
    pub is_ambiguous: bool,
}

impl RootIdentity {
    /// Whether this is certainly the place that had these two numbers before.
    ///
    /// The device number alone proves nothing: the next drive that is plugged in gets the number of the last one.
    pub fn is_same_place(&self, device: u64, file_system: u64) -> bool {
        !self.is_ambiguous && self.device == device && self.file_system == file_system
    }
}

/// Reads the identity of a root directory.
///
/// # Errors
/// When the path does not exist, is not a directory, or cannot be listed.
pub fn root_identity(path: &Path) -> io::Result<RootIdentity> {
    let metadata = fs::metadata(path)?;
    let empty = fs::read_dir(path)?.next().is_none();
    let file_system = file_system_identity(path);
    let is_ambiguous = matches!(file_system_kind(path), Some(FAT | EXFAT));
    Ok(RootIdentity { device: FileStat::new(&metadata).device, file_system, empty, is_ambiguous })
}

/// Checks whether the directory at a root's path is still the indexed one, which was on this device and file system.
/// Returns `None` if it does not exist, is an empty mount point, or belongs to another drive.
///
/// `known_files` returns paths relative to the root. It is called only if the identity of the directory is no proof.
///
/// # Errors
/// If the system is out of file handles or memory, or `known_files` fails.
pub fn find_root(
    path: &Path,
    (device, file_system): (u64, u64),
    known_files: impl FnOnce() -> Result<Vec<PathBuf>>,
) -> Result<Option<RootIdentity>> {
    let identity = match root_identity(path) {
        Ok(identity) => identity,
        Err(error) if is_exhausted(&error) => return Err(Error::io("list", path)(error)),
        Err(_) => return Ok(None),
    };
    if !identity.empty && identity.is_same_place(device, file_system) {
        return Ok(Some(identity));
    }
    let known_files = known_files()?;
    let is_there = |file: &PathBuf| path.join(file).symlink_metadata().is_ok();
    let is_same = known_files.is_empty() || (!identity.empty && known_files.iter().any(is_there));
    Ok(is_same.then_some(identity))
}

#[cfg(unix)]
fn file_system_identity(path: &Path) -> u64 {
    let Ok(info) = fs::File::open(path).and_then(|folder| Ok(rustix::fs::fstatvfs(folder)?)) else { return 0 };
    info.f_fsid
}

#[cfg(not(unix))]
fn file_system_identity(_: &Path) -> u64 {
    0
}

const FAT: u64 = 0x4D44;
const EXFAT: u64 = 0x2011_BAB0;

/// The type of the file system that holds a path, as a magic number; statfs(2) lists them.
#[cfg(target_os = "linux")]
fn file_system_kind(path: &Path) -> Option<u64> {
    Some(rustix::fs::statfs(path).ok()?.f_type as u64 & 0xFFFF_FFFF)
}

#[cfg(not(target_os = "linux"))]
fn file_system_kind(_: &Path) -> Option<u64> {
    None
}

/// The type of network file system that holds a path; `None` if it is local. A write-ahead log does not work on one.
pub fn on_network_file_system(path: &Path) -> Option<&'static str> {
    match file_system_kind(path)? {
        0x6969 => Some("NFS"),
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => Some("SMB"),
        0x0102_1997 => Some("9p"),
        0x5346_414F => Some("AFS"),
        0x00C3_6400 => Some("Ceph"),
        _ => None,
    }
}

/// The type of file system that holds a path, if it does not report all changes. Other computers, or the program behind
/// a FUSE file system, change files without the kernel's knowledge.
pub fn tells_too_little(path: &Path) -> Option<&'static str> {
    const FUSE: u64 = 0x6573_5546;
    if file_system_kind(path)? == FUSE { Some("FUSE") } else { on_network_file_system(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_drive_under_the_same_device_number_is_another_place() {
        let here = RootIdentity { device: 5, file_system: 77, empty: false, is_ambiguous: false };
        assert!(here.is_same_place(5, 77));
        assert!(!here.is_same_place(5, 78));
        assert!(!here.is_same_place(6, 77));
        assert!(!RootIdentity { is_ambiguous: true, ..here }.is_same_place(5, 77));
    }

    #[test]
    fn a_folder_without_entries_is_empty() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(root_identity(dir.path()).expect("it is there").empty);
        fs::write(dir.path().join("a"), "").expect("a file");
        assert!(!root_identity(dir.path()).expect("it is there").empty);
        assert!(root_identity(&dir.path().join("gone")).is_err());
    }
}
