//! SQLite: the truth. Everything else that imgidx keeps on disk is derived from here.
//!
//! # Locking
//! A [`Store`] reads and is never blocked: the journal is a write-ahead log, and every query sees one committed
//! state. A [`Writer`] holds the lock file beside the database, so that there is one writing process at a time;
//! each [`Batch`] is one `BEGIN IMMEDIATE` transaction.
//!
//! # Durability
//! `synchronous=NORMAL`: a killed process loses nothing that was committed; after a power cut the last batches may
//! be gone, whole batches each. What is gone is done again by the next `add`.
//!
//! # Compatibility
//! `user_version` is the number of the last file in `schema/` that was applied. Files there are only ever added.

mod batch;
mod check;
mod dupes;
mod failure;
mod features;
mod files;
mod list;
mod lock;
mod open;
mod roots;
mod select;
mod sqlite_error;
mod vectors;
mod words;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

pub use batch::{Batch, ModelRow, StoredModel, Writer};
pub use check::Problem;
pub use dupes::Fingerprint;
pub use failure::FailureRow;
pub use files::{ContentState, FileState, FoundFile, KnownContent, KnownFile, KnownFileAt};
pub use list::{Counts, PictureRow};
pub use lock::WatcherLock;
pub use roots::{Root, RootState};
pub use select::{SelectedImage, Selection, Subtree};
use sqlite_error::At;
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
    /// The path without links.
    full_path: PathBuf,
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
        is_of_database(&self.full_path, file)
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

/// Whether a file is a database, or lies beside it and is named after it: its log, its locks, its folder of derived files.
pub(crate) fn is_of_database(database: &Path, file: &Path) -> bool {
    let (Some(folder), Some(name)) = (database.parent(), database.file_name()) else { return false };
    let Ok(below) = file.strip_prefix(folder) else { return false };
    let first = below.components().next().map(|part| part.as_os_str().as_encoded_bytes()).unwrap_or_default();
    match first.strip_prefix(name.as_encoded_bytes()) {
        Some(rest) => rest.is_empty() || rest.starts_with(b"-"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_database_are_told_from_their_neighbors() {
        let own = |file: &str| is_of_database(Path::new("/a/photos.db"), Path::new(file));
        for file in ["/a/photos.db", "/a/photos.db-wal", "/a/photos.db-lock", "/a/photos.db-ann/x/y.codes"] {
            assert!(own(file), "{file}");
        }
        for file in ["/a/photos.db.png", "/a/photos.png", "/b/photos.db", "/a/b/photos.db", "/a/photos.d", "/a"] {
            assert!(!own(file), "{file}");
        }
    }
}
