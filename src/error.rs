//! The one error type: what failed, on which file, and what can be done about it.

use std::io;
use std::path::PathBuf;

pub(crate) use imgidx_types::io_reason;

use crate::types::Stage;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can stop an operation.
///
/// A file that cannot be indexed is not among them: `add` records it as a failure and goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused.
    #[error("cannot {action} `{}`: {}", path.display(), io_reason(source))]
    Io {
        /// What was tried, as the verb of the sentence.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A query came before the first `add`.
    #[error("there is no index at `{}`", path.display())]
    NoIndex {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The database belongs to another program, or is no database.
    #[error("`{}` is not an imgidx database: {reason}", path.display())]
    NotAnIndex {
        /// The file.
        path: PathBuf,
        /// What speaks against it.
        reason: String,
    },
    /// The database was written by a later version.
    #[error("`{}` was made by a newer imgidx: its schema is version {found}, and this program knows up to {known}", path.display())]
    TooNew {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The last one this program knows.
        known: i64,
    },
    /// Another process is writing to the index.
    #[error("`{}` is being written by {}", path.display(), holder_name(*holder))]
    Locked {
        /// The database.
        path: PathBuf,
        /// The other process, if it could be told.
        holder: Option<u32>,
    },
    /// Another process keeps the index current already.
    #[error("`{}` is being watched by {} already", path.display(), holder_name(*holder))]
    Watched {
        /// The database.
        path: PathBuf,
        /// The other process, if it could be told.
        holder: Option<u32>,
    },
    /// A daemon was to be told something, and there is none.
    #[error("no daemon watches `{}`", path.display())]
    NoDaemon {
        /// The database.
        path: PathBuf,
    },
    /// The system's service manager is not there, or refuses.
    #[error("`{command}` failed: {reason}")]
    Service {
        /// What was run.
        command: String,
        /// What it said.
        reason: String,
    },
    /// The disk that holds the database has no room.
    #[error("no space is left on the disk of `{}`; what was committed before is safe", path.display())]
    DiskFull {
        /// The database.
        path: PathBuf,
    },
    /// The database's content contradicts itself.
    #[error("`{}` is damaged: {reason}", path.display())]
    Damaged {
        /// The database or derived file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// SQLite failed in another way.
    #[error("the database `{}` failed: {reason}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// SQLite's message.
        reason: String,
    },
    /// A picture given as a query cannot be used.
    #[error("cannot use `{}` as a picture: {reason}", path.display())]
    Picture {
        /// The picture's path, or `-` for standard input.
        path: PathBuf,
        /// How far it came.
        stage: Stage,
        /// Why no further.
        reason: String,
    },
    /// A picture that was to be traced is no drawing, or is one of paths already.
    #[error("`{}` {}", path.display(), no_drawing(*is_photo))]
    NoDrawing {
        /// The picture.
        path: PathBuf,
        /// Whether it looks like a photograph; else it is an SVG.
        is_photo: bool,
    },
    /// A picture could not be traced.
    #[error("cannot trace `{}`: {reason}", path.display())]
    NotTraced {
        /// The picture.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// There is a file where one is to be written, and it may be somebody's work.
    #[error("`{}` is there already, and was not made by imgidx", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// There is a picture where another kind of file is to be written.
    #[error("`{}` is a picture, and pictures are never replaced", path.display())]
    IsPicture {
        /// The picture.
        path: PathBuf,
    },
    /// A model, ONNX Runtime or a device cannot be used.
    #[error(transparent)]
    Model(#[from] imgidx_model::Error),
    /// An option's value makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The operation was cancelled.
    #[error("interrupted; what was done is kept, and the same command goes on from there")]
    Interrupted,
}

impl Error {
    /// Wraps an error of the file system: `Error::io("read", path)` fits `map_err`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// What the user can do about it, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoIndex { .. } => Some("make one with `imgidx add DIRECTORY`, or name another with --db".into()),
            Self::NotAnIndex { .. } => Some("name another file with --db, or move this one away".into()),
            Self::TooNew { .. } => Some("update imgidx, or name another database with --db".into()),
            Self::Locked { .. } => Some("wait until it is done; queries work meanwhile".into()),
            Self::Watched { .. } => Some("`imgidx daemon stop` ends it; `imgidx add` gives it more directories".into()),
            Self::NoDaemon { .. } => {
                Some("`imgidx watch` runs one in the foreground, and `imgidx daemon start` an installed one".into())
            }
            Self::Service { .. } => Some("`imgidx watch` does the same in the foreground".into()),
            Self::DiskFull { .. } => Some("make room and run the same command again".into()),
            Self::Damaged { .. } => Some("`imgidx check --repair` mends what can be rebuilt".into()),
            Self::Exists { .. } => Some("--overwrite replaces it; -o names another file".into()),
            Self::IsPicture { .. } => Some("name another file with -o, or remove the picture first".into()),
            Self::NoDrawing { is_photo: true, .. } => {
                Some("--force traces photographs too; their traces are large and look like paintings".into())
            }
            Self::Model(error) => error.hint(),
            _ => None,
        }
    }
}

fn no_drawing(is_photo: bool) -> &'static str {
    if is_photo { "looks like a photograph, and only drawings are traced" } else { "is an SVG already" }
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
