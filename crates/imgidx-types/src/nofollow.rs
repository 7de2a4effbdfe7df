//! Opening files whose names are known beforehand, in folders that others may write to.
//!
//! What lies beside a database is named after it. Whoever may put a file there could put a link or a pipe there instead, so that
//! another file would be emptied or the program would wait for ever. Such names are refused.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Opens a file to read and write, and makes it, for its owner only, if it is not there. Its content stays.
///
/// # Errors
/// When it is a link, or anything but a file with one name; and what the system says.
pub fn open_nofollow(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    let file = options.open(path).map_err(|error| if is_link(path) { not_own("a link") } else { error })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(not_own("no regular file"));
    }
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::nlink(&metadata) > 1 {
        return Err(not_own("also known under another name"));
    }
    Ok(file)
}

/// Opens a file to read it, without waiting for anybody at the other end of a pipe.
///
/// # Errors
/// What the system says, and when it is not a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = options.open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_own("no regular file")) }
}

/// Whether the system has no room to open anything, and the file or folder is not the reason.
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

fn not_own(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn links_and_pipes_in_the_place_of_a_file_are_refused_and_what_they_lead_to_stays() {
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
