//! What a watcher reports: its status and its events.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::indexer::{IndexReport, Progress, Vanished};
use crate::store::RootState;
use crate::types::PathField;

/// What a watcher is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Activity {
    /// Everything is done.
    #[default]
    Idle,
    /// Changes are waiting to be processed.
    Waiting,
    /// Files are being indexed.
    Working,
    /// Work is paused by request.
    Paused,
}

impl Activity {
    /// The name: `idle`, `waiting`, `working` or `paused`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Working => "working",
            Self::Paused => "paused",
        }
    }
}

/// The state of a watcher.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WatchStatus {
    /// What the watcher is doing.
    pub activity: Activity,
    /// Start time of the watcher, in UTC, as specified by RFC 3339.
    pub since: String,
    /// Number of paths that are waiting to be processed.
    pub waiting: u64,
    /// The roots, or parts of roots, that it keeps current.
    pub roots: Vec<WatchedRoot>,
    /// Why changes may be noticed late; empty if there is no problem.
    pub degraded: Vec<String>,
    /// What it has done since its start.
    pub totals: Totals,
    /// Whether the model is in memory.
    pub model_loaded: bool,
}

/// The status of a daemon: of its process and of its watcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DaemonStatus {
    /// Its process id.
    pub pid: u32,
    /// The version of its program.
    pub version: String,
    /// The status of its watcher.
    #[serde(flatten)]
    pub watch: WatchStatus,
}

/// A watched root, or a watched part of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WatchedRoot {
    /// Path of the root or part.
    #[serde(flatten, with = "PathField")]
    #[schemars(with = "PathField")]
    pub path: PathBuf,
    /// Whether it is online.
    pub state: RootState,
    /// Number of folders in it that the system watches.
    pub folders: u64,
    /// Why it is also scanned at intervals; `None` if the system reports all changes.
    pub polled: Option<String>,
}

/// What a watcher has done since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Totals {
    /// New files.
    pub new: u64,
    /// Changed files.
    pub changed: u64,
    /// Moved files.
    pub moved: u64,
    /// Files that no longer exist.
    pub missing: u64,
    /// Files that could not be indexed.
    pub failed: u64,
    /// Pictures that the model has embedded.
    pub embedded: u64,
}

impl Totals {
    pub(super) fn add_report(&mut self, report: &IndexReport) {
        self.new += report.new;
        self.changed += report.changed;
        self.moved += report.moved;
        self.missing += report.missing;
        self.failed += report.failed;
        self.embedded += report.embedded;
    }
}

/// Something that a watcher reports.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchEvent {
    /// The watches are in place: every later change will be noticed.
    Ready {
        /// Number of roots that are online.
        roots: usize,
        /// Number of watched folders in them.
        folders: u64,
    },
    /// Files were indexed, or no longer exist.
    Updated(Box<IndexReport>),
    /// Progress of the current run.
    Progress(Progress),
    /// A root is not there, or another directory is in its place. Its rows are kept.
    Offline(PathBuf),
    /// A root is back.
    Online(PathBuf),
    /// So many files of a root have disappeared at once that their rows are kept.
    Vanished(Vanished),
    /// Events were lost; the root is scanned.
    Lost(PathBuf),
    /// Changes may be noticed late, for this reason.
    Degraded(String),
    /// There is no problem any more.
    Recovered,
    /// Something failed for this reason and will be tried again.
    Failed(String),
    /// The index has switched to the model of this name.
    Model(String),
    /// The model was unloaded from memory.
    Unloaded,
    /// A sign of life, sent at regular intervals.
    Alive,
    /// The watcher has ended.
    Stopped,
}
