//! The SQLite database, the source of truth: everything else that imgidx stores for an index is derived from it.
//!
//! # Terms
//! A *root* is a directory that was given to `add`. A *file* is a path below a root; it is *present* unless its row is
//! marked missing. An *image* is one distinct file content, identified by its BLAKE3 hash and stored once, however many
//! files hold it and whether or not it can be decoded.
//!
//! # Locking
//! A [`Store`] only reads and is never blocked: the journal is a write-ahead log, and every query sees one committed
//! state. A [`Writer`] holds the lock file beside the database, so only one process writes at a time. Each [`Batch`]
//! is one `BEGIN IMMEDIATE` transaction. A [`Recorder`] writes traces without that lock, because nothing else depends
//! on them.
//!
//! # Durability
//! `synchronous=NORMAL`: a killed process loses nothing that was committed. A power failure may lose the last batches,
//! but always whole batches. The next `add` repeats the lost work.
//!
//! # Compatibility
//! `user_version` is the number of the last file in `schema/` that was applied. Files there are never changed, only
//! added.

mod backup;
mod batch;
mod check;
mod dupes;
mod failure;
mod features;
mod files;
mod forgotten;
mod formats;
mod list;
mod lock;
mod metadata;
mod open;
mod orphans;
mod pages;
mod roots;
mod runs;
mod salvage;
mod select;
mod sqlite_error;
mod subtree;
mod traces;
mod vectors;
mod words;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Params, Row, Transaction, TransactionBehavior};

pub use batch::{Batch, ModelRow, StoredModel, Writer};
pub use check::Problem;
pub use dupes::{Fingerprint, Provenance};
pub use failure::FailureRow;
pub use files::{ContentState, FileState, FoundFile, KnownContent, KnownFile, Neighbor, StoredCopy};
pub use list::{Counts, PictureRow};
pub use lock::FileLock;
pub use orphans::OrphanState;
pub use roots::{Root, RootState};
pub use runs::RunRow;
pub use salvage::salvage;
pub use select::{SelectedImage, Selection, Subtree};
use sqlite_error::At;
pub use traces::{Recorder, TraceRow};
pub use vectors::StoredVector;
pub use words::{LabelRow, SeenLabel};

use crate::error::Result;
use crate::types::{FileStat, path_from_bytes};

/// A read transaction: until it is dropped, all reads of its [`Store`] see the same committed state.
///
/// It also makes short reads cheaper, because SQLite takes its locks once instead of once per statement.
#[derive(Debug)]
pub struct Snapshot<'a>(#[expect(dead_code, reason = "dropping it ends the transaction")] Transaction<'a>);

/// How long a statement waits for another process.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// A connection that reads the database.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
    own_files: OwnFiles,
}

impl Store {
    /// The path of the database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts to read from one committed state.
    ///
    /// A store can have one snapshot at a time. Keep it short: while it exists, the write-ahead log cannot be reset and
    /// grows.
    pub fn snapshot(&self) -> Result<Snapshot<'_>> {
        Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred).map(Snapshot).at(&self.path)
    }

    /// Returns the value of a setting.
    pub fn setting(&self, key: &str) -> Result<Option<String>> {
        self.find("SELECT value FROM setting WHERE key = ?1", [key], |row| row.get(0))
    }

    /// Whether a path is the database or belongs to it; see [`OwnFiles`].
    pub fn owns(&self, file: &Path) -> bool {
        self.own_files.contain(file)
    }

    /// Device and inode of the file at a path; `None` if there is none. They differ when the database was replaced.
    pub fn identity(path: &Path) -> Option<(u64, u64)> {
        let stat = FileStat::new(&path.metadata().ok()?);
        Some((stat.device, stat.inode))
    }

    /// The path of a file beside the database: its name followed by `suffix`.
    pub fn beside(path: &Path, suffix: &str) -> PathBuf {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        path.with_file_name(name)
    }

    /// Runs a statement that writes.
    fn run(&self, sql: &str, params: impl Params) -> Result<()> {
        self.change(sql, params).map(|_| ())
    }

    /// Runs a statement that writes, and returns the number of rows that it changed.
    fn change(&self, sql: &str, params: impl Params) -> Result<u64> {
        let changed = self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params));
        changed.map(|rows| rows as u64).at(&self.path)
    }

    /// All rows of a query.
    fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let statement = self.connection.prepare_cached(sql);
        statement.and_then(|mut statement| statement.query_map(params, read)?.collect()).at(&self.path)
    }

    /// The row of a query that returns at most one.
    fn find<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        let statement = self.connection.prepare_cached(sql);
        statement.and_then(|mut statement| statement.query_row(params, read).optional()).at(&self.path)
    }

    /// The row of a query that returns exactly one.
    fn row<T>(&self, sql: &str, params: impl Params, read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let statement = self.connection.prepare_cached(sql);
        statement.and_then(|mut statement| statement.query_row(params, read)).at(&self.path)
    }

    /// Calls `each` with the rows of a query, one at a time.
    fn for_each(&self, sql: &str, params: impl Params, mut each: impl FnMut(&Row<'_>) -> Result<()>) -> Result<()> {
        let mut statement = self.connection.prepare_cached(sql).at(&self.path)?;
        let mut rows = statement.query(params).at(&self.path)?;
        while let Some(row) = rows.next().at(&self.path)? {
            each(row)?;
        }
        Ok(())
    }
}

/// A path that is stored in a column.
fn path_in(row: &Row<'_>, column: usize) -> rusqlite::Result<PathBuf> {
    Ok(path_from_bytes(row.get_ref(column)?.as_blob()?))
}

/// The files that belong to a database: the file itself, and its log, locks and folder of derived files, which lie
/// beside it and are named after it. They are recognized under every path that leads to their folder.
#[derive(Debug, Clone)]
pub struct OwnFiles {
    /// The database's file name, as given and with links resolved.
    names: Vec<std::ffi::OsString>,
    /// Device and inode of the folder of either name.
    folders: Vec<(u64, u64)>,
}

impl OwnFiles {
    /// The files of the database at `path`.
    pub fn of(path: &Path) -> Self {
        let given = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let resolved = std::fs::canonicalize(path).unwrap_or_else(|_| given.clone());
        let both = [given, resolved];
        Self {
            names: both.iter().filter_map(|path| path.file_name().map(Into::into)).collect(),
            folders: both.iter().filter_map(|path| path.parent().and_then(Store::identity)).collect(),
        }
    }

    /// Whether a path is one of these files, or lies in one of them.
    pub fn contain(&self, path: &Path) -> bool {
        path.ancestors().any(|path| {
            path.file_name().is_some_and(|name| self.is_name(name.as_encoded_bytes()))
                && path.parent().and_then(Store::identity).is_some_and(|folder| self.folders.contains(&folder))
        })
    }

    fn is_name(&self, name: &[u8]) -> bool {
        let suffix = |own: &std::ffi::OsString| name.strip_prefix(own.as_encoded_bytes());
        self.names.iter().filter_map(suffix).any(|suffix| suffix.is_empty() || suffix.starts_with(b"-"))
    }
}

/// A folder for a test, and the path of a database in it that does not exist yet.
#[cfg(test)]
fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("photos.db");
    (dir, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_database_are_distinguished_from_their_neighbors() {
        let (dir, path) = scratch();
        std::fs::create_dir(dir.path().join("b")).expect("a folder");
        let own = OwnFiles::of(&path);
        for file in ["photos.db", "photos.db-wal", "photos.db-lock", "photos.db-ann/x/y.codes"] {
            assert!(own.contain(&dir.path().join(file)), "{file}");
        }
        for file in ["photos.db.png", "photos.png", "b/photos.db", "photos.d", ""] {
            assert!(!own.contain(&dir.path().join(file)), "{file}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn files_of_a_database_are_recognized_under_other_names() {
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
