//! One writing process at a time.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::Store;
use crate::error::{Error, Result};
use crate::types::open_nofollow;

const RETRY: Duration = Duration::from_millis(20);

/// Digits of the number of a process, at most.
const MAX_DIGITS: u64 = 20;

/// The right to write to one database, held until it is dropped.
#[derive(Debug)]
pub(super) struct WriterLock {
    _lock: FileLock,
}

impl WriterLock {
    /// Takes the lock, or waits for it for so long.
    pub(super) fn acquire(database: &Path, patience: Duration) -> Result<Self> {
        match FileLock::acquire(&Store::beside(database, "-lock"), patience)? {
            Ok(lock) => Ok(Self { _lock: lock }),
            Err(LockHolder { by }) => Err(Error::Locked { path: database.to_owned(), holder: by }),
        }
    }
}

/// The right to be the one process that keeps a database current, held until it is dropped. It does not keep others from
/// writing.
#[derive(Debug)]
pub struct WatcherLock {
    _lock: FileLock,
}

impl WatcherLock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`Error::Watched`] when another process has it.
    pub fn acquire(database: &Path) -> Result<Self> {
        match FileLock::acquire(&Store::beside(database, "-watch"), Duration::ZERO)? {
            Ok(lock) => Ok(Self { _lock: lock }),
            Err(LockHolder { by }) => Err(Error::Watched { path: database.to_owned(), holder: by }),
        }
    }
}

/// A lock that another process has, whose number is known if it has written it.
struct LockHolder {
    by: Option<u32>,
}

/// A lock on a file, held until it is dropped.
///
/// It is an advisory lock on a file beside the database, so the system takes it back from a process that dies. The
/// file holds the process id of the holder, for the message that others get; it is never removed, because another
/// process may be about to lock the removed file.
#[derive(Debug)]
struct FileLock {
    file: File,
    /// Whether there is nothing in the file but a number: otherwise it is left as it is.
    is_ours: bool,
}

impl FileLock {
    /// Takes the lock, or waits for it for so long.
    fn acquire(path: &Path, patience: Duration) -> Result<Result<Self, LockHolder>> {
        let mut file = open_nofollow(path).map_err(Error::io("open the lock file", path))?;
        let until = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(RETRY),
                Err(TryLockError::WouldBlock) => {
                    return Ok(Err(LockHolder { by: read_holder(&mut file) }));
                }
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
            }
        }
        let is_ours = is_lock(&mut file);
        let mut lock = Self { file, is_ours };
        // The name is a courtesy: a full disk must not keep anyone from pruning.
        let _ = lock.write(&std::process::id().to_string());
        Ok(Ok(lock))
    }
}

/// Whether a file has what a lock has in it.
fn is_lock(file: &mut File) -> bool {
    let mut text = Vec::new();
    let read = file.rewind().and_then(|()| file.take(MAX_DIGITS + 1).read_to_end(&mut text));
    read.is_ok() && text.len() as u64 <= MAX_DIGITS && text.iter().all(u8::is_ascii_digit)
}

/// The number of the process that holds the lock. It writes it just after it took the lock, so that it may not be
/// there at once.
fn read_holder(file: &mut File) -> Option<u32> {
    for _ in 0..20 {
        let mut text = String::new();
        file.rewind().and_then(|()| file.take(MAX_DIGITS).read_to_string(&mut text)).ok()?;
        if let Ok(holder) = text.trim().parse() {
            return Some(holder);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

impl FileLock {
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
        // Closing the file would not be enough: a child process that another thread has just started holds it open
        // too, until it runs its own program.
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_writer_is_told_who_the_first_one_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let database = dir.path().join("photos.db");
        let first = WriterLock::acquire(&database, Duration::ZERO).expect("nobody holds it");
        let error = WriterLock::acquire(&database, Duration::ZERO).expect_err("it is held");
        assert!(matches!(error, Error::Locked { holder: Some(id), .. } if id == std::process::id()), "{error}");
        drop(first);
        WriterLock::acquire(&database, Duration::ZERO).expect("it was given back");
    }

    #[test]
    fn a_file_that_is_no_lock_is_not_written_to() {
        let dir = tempfile::tempdir().expect("a folder");
        let database = dir.path().join("photos.db");
        let beside = dir.path().join("photos.db-lock");
        std::fs::write(&beside, "a diary").expect("a file");
        drop(WriterLock::acquire(&database, Duration::ZERO).expect("it can be locked all the same"));
        assert_eq!(std::fs::read(&beside).expect("it is there"), b"a diary");
    }

    #[test]
    fn a_lock_is_given_back_while_the_file_is_open_elsewhere() {
        let dir = tempfile::tempdir().expect("a folder");
        let database = dir.path().join("photos.db");
        let lock = WriterLock::acquire(&database, Duration::ZERO).expect("nobody holds it");
        // What a process that is being started has for a moment: the same open file.
        let _inherited = lock._lock.file.try_clone().expect("it can be cloned");
        drop(lock);
        WriterLock::acquire(&database, Duration::ZERO).expect("it was given back");
    }
}
