//! Lock files: one writing process and one watching process at a time.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::Store;
use crate::error::{Error, Result};
use crate::types::open_nofollow;

const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// The maximum number of digits of a process id.
const MAX_PID_DIGITS: u64 = 20;

/// An advisory lock on a file beside the database, released on drop.
///
/// The system releases it when the process dies. The file contains the process id of the holder, for the error message
/// in other processes. The file is never removed, because another process may be about to lock the removed file.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    /// Whether the file contains at most a process id. Any other content is left as it is.
    is_ours: bool,
}

impl FileLock {
    /// Acquires the exclusive right to write to a database, waiting up to `timeout`.
    pub(super) fn writer(database: &Path, timeout: Duration) -> Result<Self> {
        let locked = |holder| Error::Locked { path: database.to_owned(), holder };
        Self::acquire(&Store::beside(database, "-lock"), timeout, locked)
    }

    /// Acquires the exclusive right to watch the roots of a database, without waiting. It does not prevent other
    /// processes from writing.
    ///
    /// # Errors
    /// [`Error::Watched`] when another process holds it.
    pub fn watcher(database: &Path) -> Result<Self> {
        let watched = |holder| Error::Watched { path: database.to_owned(), holder };
        Self::acquire(&Store::beside(database, "-watch"), Duration::ZERO, watched)
    }

    /// Acquires a lock, waiting up to `timeout`. `held` makes the error from the id of the process that holds it; `None`
    /// if it has not written it to the lock file.
    fn acquire(path: &Path, timeout: Duration, held: impl FnOnce(Option<u32>) -> Error) -> Result<Self> {
        let mut file = open_nofollow(path).map_err(Error::io("open the lock file", path))?;
        let deadline = Instant::now() + timeout;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(RETRY_INTERVAL),
                Err(TryLockError::WouldBlock) => return Err(held(read_holder(&mut file))),
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
            }
        }
        let is_ours = is_lock_file(&mut file);
        let mut lock = Self { file, is_ours };
        // The process id is optional: a full disk must not prevent `prune`.
        let _ = lock.write(&std::process::id().to_string());
        Ok(lock)
    }

    fn write(&mut self, text: &str) -> std::io::Result<()> {
        if self.is_ours {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.file.write_all(text.as_bytes())?;
        }
        Ok(())
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        let _ = self.write("");
        // Closing the file is not enough: a child process that another thread is starting inherits the open file and
        // keeps it until it executes its own program.
        let _ = self.file.unlock();
    }
}

/// Whether a file contains only what a lock file may contain: digits or nothing.
fn is_lock_file(file: &mut File) -> bool {
    let mut text = Vec::new();
    let read = file.rewind().and_then(|()| file.take(MAX_PID_DIGITS + 1).read_to_end(&mut text));
    read.is_ok() && text.len() as u64 <= MAX_PID_DIGITS && text.iter().all(u8::is_ascii_digit)
}

/// The id of the process that holds the lock. Tries repeatedly, because the holder writes its id just after it has
/// acquired the lock.
fn read_holder(file: &mut File) -> Option<u32> {
    for _ in 0..20 {
        let mut text = String::new();
        file.rewind().and_then(|()| file.take(MAX_PID_DIGITS).read_to_string(&mut text)).ok()?;
        if let Ok(holder) = text.trim().parse() {
            return Some(holder);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::scratch;

    #[test]
    fn a_file_that_is_not_a_lock_is_not_written_to() {
        let (_dir, database) = scratch();
        let beside = Store::beside(&database, "-lock");
        std::fs::write(&beside, "a diary").expect("a file");
        drop(FileLock::writer(&database, Duration::ZERO).expect("it can be locked all the same"));
        assert_eq!(std::fs::read(&beside).expect("it is there"), b"a diary");
    }

    #[test]
    fn a_lock_is_released_while_the_file_is_open_elsewhere() {
        let (_dir, database) = scratch();
        let lock = FileLock::writer(&database, Duration::ZERO).expect("nobody holds it");
        // A process that is being started briefly has the same open file.
        let _inherited = lock.file.try_clone().expect("it can be cloned");
        drop(lock);
        FileLock::writer(&database, Duration::ZERO).expect("it was released");
    }
}
