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
mod failure;
mod files;
mod list;
mod lock;
mod open;
mod roots;
mod select;
mod sqlite_error;
mod vectors;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

pub use batch::{Batch, ModelRow, StoredModel, Writer};
pub use check::Problem;
pub use failure::FailureRow;
pub use files::{ContentState, FileState, FoundFile, KnownContent, KnownFile};
pub use list::{Counts, PictureRow};
pub use roots::{Root, RootState};
pub use select::{Selection, Subtree};
use sqlite_error::At;
pub use vectors::StoredVector;

use crate::error::Result;

/// A reader of the database.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a setting.
    pub fn setting(&self, key: &str) -> Result<Option<String>> {
        self.connection
            .prepare_cached("SELECT value FROM setting WHERE key = ?1")
            .and_then(|mut statement| statement.query_row([key], |row| row.get(0)).optional())
            .at(&self.path)
    }

    /// A path beside the database, named after it.
    pub fn beside(path: &Path, suffix: &str) -> PathBuf {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        path.with_file_name(name)
    }
}
