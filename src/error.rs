//! The error type of the crate: what failed, on which file, why, and what the user can do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use imgidx_types::io_reason;

use crate::types::Stage;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The errors that stop an operation.
///
/// A file that cannot be indexed is not an error: `add` records the failure and continues.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file system operation failed.
    #[error("cannot {action} `{}`: {}", path.display(), io_reason(source))]
    Io {
        /// The operation, as the verb of the message.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The database does not exist; the first `add` creates it.
    #[error("there is no index at `{}`", path.display())]
    NoIndex {
        /// The path of the missing database.
        path: PathBuf,
    },
    /// The file is not a database, or belongs to another program.
    #[error("`{}` is not an imgidx database: {reason}", path.display())]
    NotAnIndex {
        /// The file.
        path: PathBuf,
        /// Why it is not an imgidx database.
        reason: String,
    },
    /// A later version of imgidx wrote the database.
    #[error("`{}` was made by a newer imgidx: it has schema {found}, and this version supports schemas up to {known}", path.display())]
    TooNew {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The latest schema version that this program supports.
        known: i64,
    },
    /// Another process is writing to the index.
    #[error("`{}` is being written by {}", path.display(), holder_name(*holder))]
    Locked {
        /// The database.
        path: PathBuf,
        /// The id of the other process, if known.
        holder: Option<u32>,
    },
    /// Another process is already watching the index.
    #[error("`{}` is already being watched by {}", path.display(), holder_name(*holder))]
    Watched {
        /// The database.
        path: PathBuf,
        /// The id of the other process, if known.
        holder: Option<u32>,
    },
    /// A command needs a daemon, and none is running.
    #[error("no daemon is running for `{}`", path.display())]
    NoDaemon {
        /// The database.
        path: PathBuf,
    },
    /// The system's service manager is missing or returned an error.
    #[error("`{command}` failed: {reason}")]
    Service {
        /// The command that failed.
        command: String,
        /// Its message.
        reason: String,
    },
    /// The disk that holds the database is full.
    #[error("no space is left on the disk of `{}`; everything saved so far is safe", path.display())]
    DiskFull {
        /// The database.
        path: PathBuf,
    },
    /// The database or a derived file is damaged.
    #[error("`{}` is damaged: {reason}", path.display())]
    Damaged {
        /// The damaged file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// SQLite reported another error.
    #[error("cannot use the database `{}`: {reason}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// SQLite's message.
        reason: String,
    },
    /// A picture given as a query cannot be used.
    #[error("cannot use `{}`: {reason}", path.display())]
    Picture {
        /// The picture's path, or `-` for standard input.
        path: PathBuf,
        /// The stage that failed.
        stage: Stage,
        /// Why it failed.
        reason: String,
    },
    /// A picture to trace is a photograph, or already an SVG.
    #[error("`{}` {}", path.display(), not_a_drawing(*is_photo))]
    NoDrawing {
        /// The picture.
        path: PathBuf,
        /// Whether it looks like a photograph; otherwise it is an SVG.
        is_photo: bool,
    },
    /// A picture could not be traced.
    #[error("cannot trace `{}`: {reason}", path.display())]
    NotTraced {
        /// The picture.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// There was no time to trace a picture.
    #[error("cannot trace `{}` within {} s", path.display(), limit.as_secs_f64())]
    TraceTimeout {
        /// The picture.
        path: PathBuf,
        /// The time limit.
        limit: Duration,
    },
    /// The output file exists and was not made by imgidx, so it may be the user's own.
    #[error("`{}` already exists and was not made by imgidx", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The output file exists and is a picture.
    #[error("`{}` is a picture, and pictures are never replaced", path.display())]
    IsPicture {
        /// The picture.
        path: PathBuf,
    },
    /// A model, ONNX Runtime or a device cannot be used.
    #[error(transparent)]
    Model(#[from] imgidx_model::Error),
    /// An argument is invalid.
    #[error("{0}")]
    Invalid(String),
    /// The operation was cancelled.
    #[error("interrupted; finished work is kept, and the same command continues from there")]
    Interrupted,
}

impl Error {
    /// Returns a function that wraps a file system error, for `map_err(Error::io("read", path))`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// A name for this kind of error that stays the same from version to version, for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::NoIndex { .. } => "no_index",
            Self::NotAnIndex { .. } => "not_an_index",
            Self::TooNew { .. } => "too_new",
            Self::Locked { .. } => "locked",
            Self::Watched { .. } => "watched",
            Self::NoDaemon { .. } => "no_daemon",
            Self::Service { .. } => "service",
            Self::DiskFull { .. } => "disk_full",
            Self::Damaged { .. } => "damaged",
            Self::Database { .. } => "database",
            Self::Picture { .. } => "picture",
            Self::NoDrawing { .. } => "no_drawing",
            Self::NotTraced { .. } => "not_traced",
            Self::TraceTimeout { .. } => "trace_timeout",
            Self::Exists { .. } => "exists",
            Self::IsPicture { .. } => "is_picture",
            Self::Model(error) => error.kind(),
            Self::Invalid(_) => "invalid",
            Self::Interrupted => "interrupted",
        }
    }

    /// What the user can do about the error, if anything.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoIndex { .. } => Some("create one with `imgidx add DIRECTORY`, or name another with --db".into()),
            Self::NotAnIndex { .. } => Some("name another file with --db, or move this one away".into()),
            Self::TooNew { .. } => Some("update imgidx, or name another database with --db".into()),
            Self::Locked { .. } => Some("wait until it finishes; queries still work".into()),
            Self::Watched { .. } => Some("`imgidx daemon stop` stops it; `imgidx add` adds directories to it".into()),
            Self::NoDaemon { .. } => {
                Some("`imgidx watch` runs one in the foreground; `imgidx daemon start` starts an installed one".into())
            }
            Self::Service { .. } => Some("`imgidx watch` does the same in the foreground".into()),
            Self::DiskFull { .. } => Some("free some space and run the same command again".into()),
            Self::Damaged { .. } => Some("`imgidx check --repair` repairs what can be rebuilt".into()),
            Self::TraceTimeout { .. } => Some("a longer --time-limit may help".into()),
            Self::Exists { .. } => Some("replace it with --overwrite, or name another file".into()),
            Self::IsPicture { .. } => Some("name another file, or remove the picture first".into()),
            Self::NoDrawing { is_photo: true, .. } => {
                Some("--force traces photographs too; their traces are large and look like paintings".into())
            }
            Self::Model(error) => error.hint(),
            _ => None,
        }
    }
}

fn not_a_drawing(is_photo: bool) -> &'static str {
    if is_photo { "looks like a photograph; only drawings are traced" } else { "is already an SVG" }
}

fn holder_name(holder: Option<u32>) -> String {
    holder.map_or_else(|| "another process".into(), |id| format!("process {id}"))
}

impl From<imgidx_ann::Error> for Error {
    fn from(error: imgidx_ann::Error) -> Self {
        match error {
            imgidx_ann::Error::Io { action, path, source } => Self::Io { action, path, source },
            imgidx_ann::Error::Damaged { path, reason } => Self::Damaged { path, reason },
            error => Self::Invalid(error.to_string()),
        }
    }
}
