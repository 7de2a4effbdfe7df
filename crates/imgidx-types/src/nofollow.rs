//! Safely opening files with predictable names in folders that others may write to.
//!
//! The files beside a database are named after it. Anyone who can create files in the folder could create a link or a
//! pipe under such a name, so that the program would empty another file or wait for ever. These functions refuse to
//! open them.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Opens a file for reading and writing. Creates it, accessible by its owner only, if it does not exist. Never
/// truncates it.
///
/// # Errors
/// If the path is a symbolic link or not a regular file, if the file has another hard link, or if the system cannot
/// open it.
pub fn open_nofollow(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    let file = options.open(path).map_err(|error| if is_link(path) { refused("a symbolic link") } else { error })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(refused("not a regular file"));
    }
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::nlink(&metadata) > 1 {
        return Err(refused("a file with more than one hard link"));
    }
    Ok(file)
}

/// Opens a regular file for reading. Symbolic links are followed. Does not block on a pipe without a writer.
///
/// # Errors
/// If the file is not a regular file, or the system cannot open it.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = options.open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(refused("not a regular file")) }
}

/// Whether the system is out of file handles or memory, so that the error does not concern the file or folder itself.
pub fn is_exhausted(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
    }
    #[cfg(not(unix))]
    {
        error.kind() == io::ErrorKind::OutOfMemory
    }
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink())
}

fn refused(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn links_and_pipes_instead_of_a_file_are_refused_and_their_targets_are_unchanged() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("precious"), b"precious").expect("a file");
        std::os::unix::fs::symlink("precious", path("link")).expect("a link");
        std::os::unix::fs::symlink("nothing", path("dangling")).expect("a link");
        std::fs::hard_link(path("precious"), path("name")).expect("a link");
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().expect("mkfifo is there");
        assert!(made.success());
        for name in ["link", "dangling", "name", "pipe", "."] {
            assert!(open_nofollow(&path(name)).is_err(), "{name}");
        }
        assert!(open_regular(&path("pipe")).is_err() && open_regular(dir.path()).is_err());
        assert_eq!(std::fs::read(path("precious")).expect("it is there"), b"precious");
        assert!(!path("nothing").exists());
        assert!(open_nofollow(&path("new")).is_ok() && open_regular(&path("link")).is_ok());
    }
}
