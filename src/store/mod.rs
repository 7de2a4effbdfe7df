//! SQLite: the truth. Everything else that imgidx keeps on disk is derived from here.
//!
//! # Locking
//! A [`Store`] reads and is never blocked: the journal is a write-ahead log, and every query sees one committed
//! state. A [`Writer`] holds the lock file beside the database, so that there is one writing process at a time;
//! each [`Batch`] is one `BEGIN IMMEDIATE` transaction. A [`Recorder`] writes traces, which nothing else depends on, without
//! that lock.
//!
//! # Durability
//! `synchronous=NORMAL`: a killed process loses nothing that was committed; after a power cut the last batches may
//! be gone, whole batches each. What is gone is done again by the next `add`.
//!
//! # Compatibility
//! `user_version` is the number of the last file in `schema/` that was applied. Files there are only ever added.

mod backup;
mod batch;
mod check;
mod dupes;
mod failure;
mod features;
mod files;
mod list;
mod lock;
mod open;
mod pages;
mod roots;
mod runs;
mod salvage;
mod select;
mod sqlite_error;
mod traces;
mod vectors;
mod words;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

pub use batch::{Batch, ModelRow, StoredModel, Writer};
pub use check::Problem;
pub use dupes::Fingerprint;
pub use failure::FailureRow;
pub use files::{ContentState, FileState, FoundFile, KnownContent, KnownFile, KnownFileAt, StoredCopy};
pub use list::{Counts, OrphanState, PictureRow};
pub use lock::WatcherLock;
pub use roots::{Root, RootState};
pub use runs::RunRow;
pub use salvage::salvage;
pub use select::{SelectedImage, Selection, Subtree};
use sqlite_error::At;
pub use traces::{Recorder, TraceLesson, TraceRow};
pub use vectors::StoredVector;
pub use words::{LabelRow, SeenLabel};

use crate::error::Result;

/// One committed state of the database, which everything sees that is read before this is dropped.
///
/// Short reads are also cheaper within one: SQLite takes its locks once, and not for each statement.
#[derive(Debug)]
pub struct Snapshot<'a>(#[expect(dead_code, reason = "it is ended by being dropped")] Transaction<'a>);

/// A reader of the database.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
    own_files: OwnFiles,
}

impl Store {
    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts to read from one committed state. There must not be another snapshot of this reader.
    ///
    /// Not for long: while it is there, the write-ahead log only grows.
    pub fn snapshot(&self) -> Result<Snapshot<'_>> {
        Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred).map(Snapshot).at(&self.path)
    }

    /// Reads a setting.
    pub fn setting(&self, key: &str) -> Result<Option<String>> {
        self.connection
            .prepare_cached("SELECT value FROM setting WHERE key = ?1")
            .and_then(|mut statement| statement.query_row([key], |row| row.get(0)).optional())
            .at(&self.path)
    }

    /// Whether a file is the database, or one beside it that is named after it.
    pub fn owns(&self, file: &Path) -> bool {
        self.own_files.contain(file)
    }

    /// Which file the database is: it may have been deleted, or another one put in its place. `None` if there is none.
    pub fn identity(path: &Path) -> Option<(u64, u64)> {
        let stat = crate::types::FileStat::new(&path.metadata().ok()?);
        Some((stat.device, stat.inode))
    }

    /// A path beside the database, named after it.
    pub fn beside(path: &Path, suffix: &str) -> PathBuf {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        path.with_file_name(name)
    }
}

/// The files of a database: itself, and what lies beside it and is named after it: its log, its locks, its folder of derived
/// files. They are known under every name that their folder has.
#[derive(Debug, Clone)]
pub struct OwnFiles {
    /// The database's name as it was given, and without links.
    names: Vec<std::ffi::OsString>,
    /// Device and inode of the folders that it is in, under either name.
    folders: Vec<(u64, u64)>,
}

impl OwnFiles {
    /// Those of the database at a path.
    pub fn of(path: &Path) -> Self {
        let given = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let resolved = std::fs::canonicalize(path).unwrap_or_else(|_| given.clone());
        let both = [given, resolved];
        Self {
            names: both.iter().filter_map(|path| path.file_name().map(Into::into)).collect(),
            folders: both.iter().filter_map(|path| path.parent().and_then(Store::identity)).collect(),
        }
    }

    /// Whether a path is that of one of them, or of something in one of them.
    pub fn contain(&self, path: &Path) -> bool {
        path.ancestors().any(|path| {
            path.file_name().is_some_and(|name| self.is_name(name.as_encoded_bytes()))
                && path.parent().and_then(Store::identity).is_some_and(|folder| self.folders.contains(&folder))
        })
    }

    fn is_name(&self, name: &[u8]) -> bool {
        let rest = |own: &std::ffi::OsString| name.strip_prefix(own.as_encoded_bytes());
        self.names.iter().filter_map(rest).any(|rest| rest.is_empty() || rest.starts_with(b"-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_database_are_told_from_their_neighbors() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("b")).expect("a folder");
        let own = OwnFiles::of(&dir.path().join("photos.db"));
        for file in ["photos.db", "photos.db-wal", "photos.db-lock", "photos.db-ann/x/y.codes"] {
            assert!(own.contain(&dir.path().join(file)), "{file}");
        }
        for file in ["photos.db.png", "photos.png", "b/photos.db", "photos.d", ""] {
            assert!(!own.contain(&dir.path().join(file)), "{file}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn files_of_a_database_are_known_under_other_names() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(dir.path().join("data")).expect("a folder");
        std::fs::write(dir.path().join("data/real.db"), "").expect("a file");
        std::os::unix::fs::symlink("data/real.db", dir.path().join("link.db")).expect("a link");
        std::os::unix::fs::symlink("data", dir.path().join("folder")).expect("a link");
        let own = OwnFiles::of(&dir.path().join("link.db"));
        for file in ["link.db", "link.db-lock", "data/real.db", "data/real.db-wal", "folder/real.db-shm"] {
            assert!(own.contain(&dir.path().join(file)), "{file}");
        }
    }
}
