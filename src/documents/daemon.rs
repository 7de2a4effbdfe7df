//! The document of `daemon status`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::watch::WatchStatus;

/// The state of a daemon, as a document.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Daemon {
    /// Its state.
    pub daemon: DaemonState,
}

/// The state of a daemon.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DaemonState {
    /// Its process id.
    pub pid: u32,
    /// Its version of the program.
    pub version: String,
    /// The state of its watcher.
    #[serde(flatten)]
    pub watch: WatchStatus,
}

#[cfg(unix)]
impl From<&crate::daemon::DaemonStatus> for DaemonState {
    fn from(status: &crate::daemon::DaemonStatus) -> Self {
        Self { pid: status.pid, version: status.version.clone(), watch: status.watch.clone() }
    }
}
