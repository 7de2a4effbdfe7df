//! The options of a watcher.

use std::time::Duration;

use crate::indexer::AddOptions;
use crate::scan::ScanOptions;

/// Options of a [`Watcher`](super::Watcher). The defaults suit most uses.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    /// How pictures are indexed. `scan` below selects the files instead of `add.scan`; `add.cancel` and `add.settle`
    /// are not used.
    pub add: AddOptions,
    /// Which files of the given paths are indexed; `None` uses the options that each root was last added with.
    pub scan: Option<ScanOptions>,
    /// Delay between the closing of a file and reading it.
    pub settle: Duration,
    /// How long a file that was not closed must stay unchanged before it is read.
    pub stable: Duration,
    /// Interval between full scans, which find what no event has reported. It varies by up to a tenth, so that many
    /// computers do not scan one server at the same time.
    pub reconcile: Duration,
    /// Interval between scans of file systems that do not report all changes.
    pub poll: Duration,
    /// Whether to treat every file system as one that does not report all changes.
    pub poll_all: bool,
    /// Interval between checks whether roots have appeared or disappeared.
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
