//! Conversion of SQLite's errors to [`Error`].

use std::path::Path;

use rusqlite::ErrorCode;

use super::pages::rejected_page;
use crate::error::{Error, Result};

/// Converts an error of SQLite to an [`Error`] that names the database.
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
            other => Error::Damaged { path: path.to_owned(), reason: first_line(&other.to_string()) },
        })
    }
}

fn translate(error: &rusqlite::Error, path: &Path) -> Error {
    let path = path.to_owned();
    let reason = match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => first_line(message),
        other => first_line(&other.to_string()),
    };
    // The value in a row is not valid for its column.
    let is_invalid = matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
    );
    let extended = error.sqlite_error().map(|error| error.extended_code);
    match error.sqlite_error_code() {
        Some(_) if extended == Some(rusqlite::ffi::SQLITE_IOERR_DATA) => {
            let page = rejected_page().map_or_else(|| "a page".into(), |page| format!("page {page}"));
            Error::Damaged { path, reason: format!("{page} does not match its checksum") }
        }
        Some(_) if extended == Some(rusqlite::ffi::SQLITE_IOERR_WRITE) => {
            let reason = "the disk failed, or the limit on file sizes was reached (`ulimit -f`)".into();
            Error::Database { path, reason }
        }
        Some(ErrorCode::DiskFull) => Error::DiskFull { path },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Locked { path, holder: None },
        Some(ErrorCode::NotADatabase) => Error::NotAnIndex { path, reason: "it is not an SQLite database".into() },
        Some(ErrorCode::DatabaseCorrupt) => Error::Damaged { path, reason },
        Some(ErrorCode::ReadOnly) => Error::Database { path, reason: "it or its directory is not writable".into() },
        _ if is_invalid => Error::Damaged { path, reason: format!("a row has an invalid value: {reason}") },
        _ => Error::Database { path, reason },
    }
}

/// The first line of SQLite's message, without the SQL statement that may follow.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.split(" in CREATE ").next().unwrap_or(line).split(" in --").next().unwrap_or(line).to_owned()
}
