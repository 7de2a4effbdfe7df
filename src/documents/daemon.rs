//! The document of `daemon status`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::watch::DaemonStatus;

/// The status of a daemon, as a document.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Daemon {
    /// Its status.
    pub daemon: DaemonStatus,
}
