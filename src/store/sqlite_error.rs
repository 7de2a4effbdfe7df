//! SQLite's errors in the crate's own words.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::error::{Error, Result};

/// Names the database in whatever failed on it.
pub(super) trait At<T> {
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> At<T> for rusqlite::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|error| translate(&error, path))
    }
}

impl<T> At<T> for Result<T, rusqlite_migration::Error> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|error| match error {
            rusqlite_migration::Error::RusqliteError { err, .. } => translate(&err, path),
            other => Error::Database { path: path.to_owned(), reason: other.to_string() },
        })
    }
}

fn translate(error: &rusqlite::Error, path: &Path) -> Error {
    let path = path.to_owned();
    let reason = match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::DiskFull { path },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Locked { path, holder: None },
        Some(ErrorCode::NotADatabase) => Error::NotAnIndex { path, reason },
        Some(ErrorCode::DatabaseCorrupt) => Error::Damaged { path, reason },
        _ if matches!(error, rusqlite::Error::FromSqlConversionFailure(..)) => Error::Damaged { path, reason },
        _ => Error::Database { path, reason },
    }
}
