//! What was done, while it is being done and afterwards.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Device;
use crate::types::{path_text, paths_text, peak_memory};

/// The counts of one `add`. Each file that was found is in exactly one of `new`, `changed`, `moved`, `unchanged`,
/// `failed` and `skipped`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct IndexReport {
    /// Files at paths that were not known, copies of known contents among them.
    pub new: u64,
    /// Files with another content than before.
    pub changed: u64,
    /// Files whose content was known at a path that is no longer there, and other known files that were renamed.
    pub moved: u64,
    /// Files that hold what they held before; files whose failure was known before among them.
    pub unchanged: u64,
    /// Known files that are no longer there. Their rows stay until `prune`.
    pub missing: u64,
    /// Files that could not be indexed, this time.
    pub failed: u64,
    /// Files that are no pictures, or none that can be decoded, and files that were just being written.
    pub skipped: u64,
    /// Files among the skipped ones that changed or vanished while they were read: the next run sees to them.
    pub changing: u64,
    /// Pictures for which the model ran.
    pub embedded: u64,
    /// Pictures whose features were measured.
    pub measured: u64,
    /// Files among the unchanged ones that failed before and were not tried again.
    pub known_failures: u64,
    /// Roots that could not be read, or were not themselves. Their rows stay.
    #[serde(with = "paths_text")]
    pub offline_roots: Vec<PathBuf>,
    /// Files among the changing ones, and files that have changed so shortly before that they were not read yet.
    #[serde(skip)]
    pub unsettled: Vec<PathBuf>,
    /// Roots of which so much has vanished at once that it is not believed: their rows stay as they are until the files
    /// are back, or [`Index::prune`](crate::Index::prune) confirms that they are gone.
    pub vanished: Vec<Vanished>,
    /// What went wrong without keeping the index from being complete: something derived could not be written.
    pub warnings: Vec<String>,
    /// Wall time.
    pub seconds: f64,
    /// Pictures embedded in a second of wall time.
    pub images_per_second: f64,
    /// The most memory that the process had at a time, and those that decode for it; `None` where the system does not tell.
    pub peak_memory_bytes: Option<u64>,
    /// Where the model ran; `None` if it did not.
    #[serde(default)]
    pub device: Option<Device>,
    /// Workers.
    #[serde(default)]
    pub workers: usize,
    /// Pictures that went through the model at once, in the end.
    #[serde(default)]
    pub batch_size: usize,
    /// Whether the work was cancelled before its end.
    pub interrupted: bool,
}

/// Files of a root that have vanished, too many at once to be believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vanished {
    /// The root.
    #[serde(with = "path_text")]
    pub root: PathBuf,
    /// How many files have vanished.
    pub files: u64,
    /// Of how many.
    pub of: u64,
}

impl std::fmt::Display for Vanished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { root, files, of } = self;
        write!(
            f,
            "{files} of {of} files of `{}` have vanished at once; their rows are kept as they are",
            root.display()
        )
    }
}

impl IndexReport {
    /// Files that were found, whatever became of them.
    pub fn found(&self) -> u64 {
        self.new + self.changed + self.moved + self.unchanged + self.failed + self.skipped
    }

    /// Takes in the counts of another run.
    pub(crate) fn merge(&mut self, other: Self) {
        for (count, more) in [
            (&mut self.new, other.new),
            (&mut self.changed, other.changed),
            (&mut self.moved, other.moved),
            (&mut self.unchanged, other.unchanged),
            (&mut self.missing, other.missing),
            (&mut self.failed, other.failed),
            (&mut self.skipped, other.skipped),
            (&mut self.changing, other.changing),
            (&mut self.embedded, other.embedded),
            (&mut self.measured, other.measured),
            (&mut self.known_failures, other.known_failures),
        ] {
            *count += more;
        }
        self.unsettled.extend(other.unsettled);
        self.vanished.extend(other.vanished);
        self.offline_roots.extend(other.offline_roots);
        self.warnings.extend(other.warnings);
        self.interrupted |= other.interrupted;
        self.device = other.device.or(self.device);
        (self.workers, self.batch_size) = (other.workers, other.batch_size);
        self.peak_memory_bytes = other.peak_memory_bytes.max(self.peak_memory_bytes);
        self.set_seconds(self.seconds + other.seconds);
    }

    fn set_seconds(&mut self, seconds: f64) {
        self.seconds = seconds;
        self.images_per_second = if seconds > 0.0 { self.embedded as f64 / seconds } else { 0.0 };
    }

    /// `decoders` is the peak of the memory of other processes, in bytes.
    pub(super) fn finish(&mut self, elapsed: Duration, decoders: u64) {
        self.set_seconds(elapsed.as_secs_f64());
        self.peak_memory_bytes = peak_memory().map(|peak| peak + decoders);
    }
}

/// How far an `add` has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Files that were found so far.
    pub found: u64,
    /// Whether more may be found.
    pub scanning: bool,
    /// Files that are done, one way or another.
    pub done: u64,
    /// Pictures for which the model ran.
    pub embedded: u64,
    /// Files that failed.
    pub failed: u64,
    /// The memory that the process has, in bytes; `None` where the system does not tell.
    #[serde(default)]
    pub memory: Option<u64>,
    /// What waits between the context.
    #[serde(default)]
    pub waiting: Waiting,
    /// Workers that take pictures.
    #[serde(default)]
    pub workers: usize,
    /// Pictures that go through the model at once.
    #[serde(default)]
    pub batch_size: usize,
}

/// What waits between the context of an `add`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Paths that wait for being read.
    pub paths: usize,
    /// Pictures that were read and wait for a worker.
    pub pictures: usize,
    /// Results that wait for being written.
    pub results: usize,
}
