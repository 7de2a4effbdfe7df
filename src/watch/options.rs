//! How a watcher works.

use std::time::Duration;

use crate::indexer::AddOptions;
use crate::scan::ScanOptions;

/// The options of a [`Watcher`](super::Watcher). The defaults serve.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    /// How pictures are indexed. Which files are looked at is what `scan` says, and `cancel` and `settle` are not used.
    pub add: AddOptions,
    /// Which files of the given paths are looked at; `None`: what they were last added with.
    pub scan: Option<ScanOptions>,
    /// How long after a file was closed it is read.
    pub settle: Duration,
    /// How long a file that was not closed has to be left alone before it is read.
    pub stable: Duration,
    /// How often everything is scanned to find what no event has told; some tenths more or less, so that many computers do not
    /// scan one server at once.
    pub reconcile: Duration,
    /// How often that is scanned of which the system does not tell all changes.
    pub poll: Duration,
    /// Whether everything is of that kind.
    pub poll_all: bool,
    /// How often it is looked whether roots have come or gone.
    pub look: Duration,
    /// How long the model stays in memory after the last picture.
    pub keep_model: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            add: AddOptions::default(),
            scan: None,
            settle: Duration::from_millis(80),
            stable: Duration::from_secs(2),
            reconcile: Duration::from_secs(3600),
            poll: Duration::from_secs(60),
            poll_all: false,
            look: Duration::from_secs(10),
            keep_model: Duration::from_secs(60),
        }
    }
}
