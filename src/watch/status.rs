//! How a watcher tells of itself: its state, and what happens.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::indexer::{IndexReport, Progress, Vanished};
use crate::store::RootState;
use crate::types::path_text;

/// What a watcher is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activity {
    /// Everything is done.
    #[default]
    Idle,
    /// Something has changed and is about to be looked at.
    Waiting,
    /// Files are being indexed.
    Working,
    /// It was told to do nothing.
    Paused,
}

impl Activity {
    /// Its name: `idle`, `waiting`, `working` or `paused`.
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchStatus {
    /// What it is doing.
    pub activity: Activity,
    /// When it began, in seconds since 1970.
    pub since: u64,
    /// Paths that are to be looked at.
    pub waiting: u64,
    /// What it keeps current.
    pub roots: Vec<WatchedRoot>,
    /// Why changes may be noticed late; empty if all is well.
    pub degraded: Vec<String>,
    /// What it has done.
    pub totals: Totals,
    /// Whether the model is in memory.
    pub model_loaded: bool,
}

impl WatchStatus {
    pub(super) fn begin(&mut self) {
        self.since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    }

    pub(super) fn set_activity(&mut self, paused: bool, running: bool, waiting: bool) {
        self.activity = match () {
            () if paused => Activity::Paused,
            () if running => Activity::Working,
            () if waiting => Activity::Waiting,
            () => Activity::Idle,
        };
    }
}

/// A root, or a part of one, as a watcher sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedRoot {
    /// Where it begins.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// Whether it is there.
    pub state: RootState,
    /// Folders in it that the system watches.
    pub folders: u64,
    /// Why it is scanned now and then too, where the system does not tell of all changes.
    pub polled: Option<String>,
}

/// What a watcher has done since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// New files.
    pub new: u64,
    /// Changed files.
    pub changed: u64,
    /// Moved files.
    pub moved: u64,
    /// Files that are gone.
    pub missing: u64,
    /// Files that could not be indexed.
    pub failed: u64,
    /// Pictures for which the model ran.
    pub embedded: u64,
}

impl Totals {
    pub(super) fn take_in(&mut self, report: &IndexReport) {
        for (total, more) in [
            (&mut self.new, report.new),
            (&mut self.changed, report.changed),
            (&mut self.moved, report.moved),
            (&mut self.missing, report.missing),
            (&mut self.failed, report.failed),
            (&mut self.embedded, report.embedded),
        ] {
            *total += more;
        }
    }
}

/// Something that a watcher has to tell.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchEvent {
    /// It listens: every later change will be noticed.
    Ready {
        /// Roots that are there.
        roots: usize,
        /// Folders in them.
        folders: u64,
    },
    /// Files were indexed, or are gone.
    Updated(Box<IndexReport>),
    /// How far it has come with what it is doing.
    Progress(Progress),
    /// A root is gone, or is not itself. Its rows stay.
    Offline(PathBuf),
    /// A root is back.
    Online(PathBuf),
    /// So much of a root has vanished that it is not believed.
    Vanished(Vanished),
    /// Events were lost; the root is scanned.
    Lost(PathBuf),
    /// Changes may be noticed late.
    Degraded(String),
    /// All is well again.
    Recovered,
    /// Something could not be done, and will be tried again.
    Failed(String),
    /// The index goes over to another model.
    Model(String),
    /// The memory of the model was given back.
    Unloaded,
    /// Nothing is to do, and nothing was watched for a while. FsEvent now and then, so that who is told knows that it is alive.
    Alive,
    /// It has ended.
    Stopped,
}
