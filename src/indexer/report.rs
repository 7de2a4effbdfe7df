//! The progress and the result of an `add`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::Device;
use crate::types::{PathField, RootField, paths_text, peak_memory};

/// The result of one `add`. Each file that was found counts in exactly one of `new`, `changed`, `moved`, `unchanged`,
/// `failed` and `skipped`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct IndexReport {
    /// Files at paths that were not in the index, including copies of known contents.
    pub new: u64,
    /// Files whose content has changed.
    pub changed: u64,
    /// Files whose content was known from a path that no longer exists, and other known files that were renamed.
    pub moved: u64,
    /// Files whose content has not changed, including those in `known_failures`.
    pub unchanged: u64,
    /// Known files that no longer exist. Their rows are kept until `prune`.
    pub missing: u64,
    /// Files that could not be indexed in this run.
    pub failed: u64,
    /// Files that are not pictures or have a format that cannot be decoded, and files that were being written.
    pub skipped: u64,
    /// Those of the skipped files that changed or disappeared while they were read. The next run tries them again.
    pub changing: u64,
    /// Pictures that the model has embedded.
    pub embedded: u64,
    /// Pictures whose features were measured.
    pub measured: u64,
    /// Pictures that were indexed by the thumbnails in their files. The next run without
    /// [`AddOptions::quick`](super::AddOptions::quick) reads the whole pictures.
    #[serde(default)]
    pub provisional: u64,
    /// Those of the unchanged files that failed in an earlier run and were not tried again.
    pub known_failures: u64,
    /// Files that are in the index and still exist, but that the scan options exclude. They stay until
    /// [`Index::prune`](crate::Index::prune) is asked to remove them.
    #[serde(default)]
    pub excluded: u64,
    /// Roots that could not be read, or whose path holds another directory. Their rows are kept.
    #[serde(with = "paths_text")]
    #[schemars(with = "Vec<String>")]
    pub offline_roots: Vec<PathBuf>,
    /// The files of `changing`, and files that changed too recently to be read.
    #[serde(skip)]
    pub unsettled: Vec<PathBuf>,
    /// Roots from which too many files have disappeared at once. Their rows are kept unchanged until the files are
    /// back, or until [`Index::prune`](crate::Index::prune) confirms that they are gone.
    pub vanished: Vec<Vanished>,
    /// Problems that do not make the index incomplete, such as a derived file that could not be written.
    pub warnings: Vec<String>,
    /// Wall time of the run, in seconds.
    pub seconds: f64,
    /// Pictures embedded per second of wall time.
    pub images_per_second: f64,
    /// Peak memory of this process and its decoder processes, in bytes; `None` where the system does not report it.
    pub peak_memory_bytes: Option<u64>,
    /// The device that the model ran on; `None` if it did not run.
    #[serde(default)]
    pub device: Option<Device>,
    /// Number of workers.
    #[serde(default)]
    pub workers: usize,
    /// Batch size at the end of the run, in pictures.
    #[serde(default)]
    pub batch_size: usize,
    /// Whether the run was cancelled before it was complete.
    pub interrupted: bool,
}

/// A root from which too many files have disappeared at once; see [`IndexReport::vanished`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Vanished {
    /// Path of the root; in JSON documents as `path` and as `root`.
    #[serde(flatten, with = "PathAndRoot")]
    #[schemars(with = "PathAndRoot")]
    pub root: PathBuf,
    /// Number of files that have disappeared.
    pub files: u64,
    /// Number of files that the root had before.
    pub of: u64,
}

/// A path under the name that all documents use, and under that which this one has had from the start.
#[derive(Serialize, schemars::JsonSchema)]
struct PathAndRoot {
    #[serde(flatten)]
    path: PathField,
    #[serde(flatten)]
    root: RootField,
}

impl PathAndRoot {
    fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        Serialize::serialize(&Self { path: path.into(), root: path.into() }, serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        RootField::deserialize(deserializer)
    }
}

impl std::fmt::Display for Vanished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { root, files, of } = self;
        write!(f, "{files} of {of} files in `{}` have disappeared at once; they stay in the index", root.display())
    }
}

impl IndexReport {
    /// The number of files that were found, whatever their result.
    pub fn found(&self) -> u64 {
        self.new + self.changed + self.moved + self.unchanged + self.failed + self.skipped
    }

    /// Adds the counts of another run.
    pub(crate) fn merge(&mut self, other: Self) {
        self.new += other.new;
        self.changed += other.changed;
        self.moved += other.moved;
        self.unchanged += other.unchanged;
        self.missing += other.missing;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.changing += other.changing;
        self.embedded += other.embedded;
        self.measured += other.measured;
        self.provisional += other.provisional;
        self.known_failures += other.known_failures;
        self.excluded += other.excluded;
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

    /// Sets the time and the peak memory. `decoders` is the peak memory of the decoder processes, in bytes.
    pub(super) fn finish(&mut self, elapsed: Duration, decoders: u64) {
        self.set_seconds(elapsed.as_secs_f64());
        self.peak_memory_bytes = peak_memory().map(|peak| peak + decoders);
    }
}

/// The progress of an `add`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Files found so far.
    pub found: u64,
    /// Whether the scan is still running, so that more files may be found.
    pub scanning: bool,
    /// Files that are finished, whatever their result.
    pub done: u64,
    /// Pictures that the model has embedded.
    pub embedded: u64,
    /// Files that failed.
    pub failed: u64,
    /// Memory in use, in bytes; `None` where the system does not report it.
    #[serde(default)]
    pub memory: Option<u64>,
    /// Lengths of the queues between the stages.
    #[serde(default)]
    pub waiting: Waiting,
    /// Workers that currently take pictures.
    #[serde(default)]
    pub workers: usize,
    /// Current batch size, in pictures.
    #[serde(default)]
    pub batch_size: usize,
}

/// The lengths of the queues between the stages of an `add`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Paths that wait to be read.
    pub paths: usize,
    /// Pictures that were read and wait to be decoded.
    pub pictures: usize,
    /// Results that wait to be written.
    pub results: usize,
}
