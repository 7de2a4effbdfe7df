//! Replacing a file with a link to the file that is kept.
//!
//! The link is made under another name first. Then it changes places with the file, so that the path holds the picture
//! at every moment. The file itself is removed last, once it is certain that it is the one that was verified.

use std::fs::{self, File};
use std::io;

use tempfile::{Builder, TempPath};

use super::exchange::exchange;
use super::{DupeActionError, has_content_of, is_at};
use crate::search::{RedundantFile, VerifiedPair, Withheld};

/// The beginning of the names of unfinished links. Hidden files are not indexed by default.
const PREFIX: &str = ".imgidx-";

/// Replaces a file with a hard link to the kept file, so that it shares the inode, times and permissions of that file.
pub(super) fn replace_by_hard_link(file: &RedundantFile, pair: &VerifiedPair) -> Result<(), DupeActionError> {
    let other_device = || DupeActionError::OtherDevice(file.kept.clone());
    if pair.redundant.stat.device != pair.kept.stat.device {
        return Err(other_device());
    }
    let folder = file.path.parent().ok_or(DupeActionError::Unsafe(Withheld::Gone))?;
    let made = Builder::new().prefix(PREFIX).make_in(folder, |path| fs::hard_link(&file.kept, path));
    let link = made.map_err(|error| match error.kind() {
        // Two mounts of one device count as different devices too.
        io::ErrorKind::CrossesDevices => other_device(),
        _ => DupeActionError::io("make a hard link")(error),
    })?;
    let link = link.into_temp_path();
    if !is_at(&link, &pair.kept.handle) {
        return Err(DupeActionError::KeptUnsafe { path: file.kept.clone(), reason: Withheld::Changed });
    }
    put_in_place(link, file, pair)
}

/// Replaces a file with a clone of the kept file. It keeps its own times and permissions.
pub(super) fn replace_by_reflink(file: &RedundantFile, pair: &VerifiedPair) -> Result<(), DupeActionError> {
    let folder = file.path.parent().ok_or(DupeActionError::Unsafe(Withheld::Gone))?;
    let clone = Builder::new().prefix(PREFIX).make_in(folder, |path| clone_file(pair.kept.handle.as_file(), path));
    let clone = clone.map_err(|error| match error.kind() {
        io::ErrorKind::CrossesDevices | io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput => {
            DupeActionError::NoReflinks(file.kept.clone())
        }
        _ => DupeActionError::io("make a reflink")(error),
    })?;
    let (clone, path) = clone.into_parts();
    copy_attributes(pair.redundant.handle.as_file(), &clone).map_err(DupeActionError::io("copy its attributes"))?;
    put_in_place(path, file, pair)
}

/// Exchanges a finished link with the file, and removes the file.
fn put_in_place(mut link: TempPath, file: &RedundantFile, pair: &VerifiedPair) -> Result<(), DupeActionError> {
    exchange(&link, &file.path).map_err(DupeActionError::io("swap it with the link"))?;
    // The file has the other name now. If it is not the verified one, the exchange is undone.
    let is_verified = is_at(&link, &pair.redundant.handle)
        && has_content_of(&pair.redundant.handle, &pair.redundant.stat)
        && has_content_of(&pair.kept.handle, &pair.kept.stat);
    if is_verified {
        return link.close().map_err(DupeActionError::io("remove it"));
    }
    if let Err(source) = exchange(&link, &file.path) {
        link.disable_cleanup(true);
        return Err(DupeActionError::Aside { path: link.to_path_buf(), source });
    }
    Err(DupeActionError::Unsafe(Withheld::Changed))
}

/// Makes a new file that shares the blocks of another one.
#[cfg(target_os = "linux")]
fn clone_file(from: &File, path: &std::path::Path) -> io::Result<File> {
    let to = File::options().write(true).create_new(true).open(path)?;
    if let Err(error) = rustix::fs::ioctl_ficlone(&to, from) {
        drop(to);
        fs::remove_file(path)?;
        return Err(error.into());
    }
    Ok(to)
}

#[cfg(target_os = "macos")]
fn clone_file(from: &File, path: &std::path::Path) -> io::Result<File> {
    rustix::fs::fclonefileat(from, rustix::fs::CWD, path, rustix::fs::CloneFlags::empty())?;
    File::options().write(true).open(path)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn clone_file(_: &File, _: &std::path::Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Gives a file the permissions and the times of another one.
fn copy_attributes(from: &File, to: &File) -> io::Result<()> {
    let metadata = from.metadata()?;
    to.set_permissions(metadata.permissions())?;
    let times = fs::FileTimes::new().set_modified(metadata.modified()?);
    to.set_times(metadata.accessed().map_or(times, |accessed| times.set_accessed(accessed)))
}
