//! The document of `status`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::search::{NeighborStatus, RootStatus, Status};
use crate::store::RunRow;
use crate::types::{DatabaseField, ImageType, PathField, rfc3339};
use crate::watch::DaemonStatus;

/// The state of an index.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct IndexStatus {
    /// The database file.
    #[serde(flatten)]
    pub database: DatabaseField,
    /// Number of pictures that some present file holds.
    pub images: u64,
    /// Number of present files that hold these pictures.
    pub files: u64,
    /// Number of files that are marked missing.
    pub missing: u64,
    /// Number of present files that are not pictures that can be indexed.
    pub skipped: u64,
    /// Number of skipped files by reason, the most frequent reason first.
    #[serde(serialize_with = "as_object")]
    #[schemars(with = "BTreeMap<String, u64>")]
    pub skipped_reasons: Vec<(String, u64)>,
    /// Number of present files that hold a truncated picture.
    pub truncated: u64,
    /// The indexed directories.
    pub roots: Vec<RootStatus>,
    /// Number of pictures of each type, the most frequent type first.
    #[serde(serialize_with = "as_object")]
    #[schemars(with = "BTreeMap<String, u64>")]
    pub types: Vec<(ImageType, u64)>,
    /// Number of pictures that have not been measured yet, so that their types are unknown.
    pub unmeasured: u64,
    /// Number of pictures that are indexed by the thumbnails in their files, until the next `add` reads them whole.
    pub provisional: u64,
    /// The most frequent top-ranked labels, the most frequent label first.
    pub labels: Vec<LabelCount>,
    /// Name of the model in use.
    pub model: String,
    /// The nearest-neighbour index of that model.
    pub index: NeighborStatus,
    /// Number of files that could not be indexed.
    pub failures: u64,
    /// Number of stored traces.
    pub traces: u64,
    /// Files and directories that `forget` has removed, and that `add` leaves out until it is given their path.
    pub forgotten: Vec<PathField>,
    /// The daemon; null if none runs.
    pub daemon: Option<DaemonStatus>,
    /// The last runs of `add`, newest first.
    pub runs: Vec<Run>,
}

/// A top-ranked label.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LabelCount {
    /// The label.
    pub label: String,
    /// Number of pictures that it describes best.
    pub images: u64,
}

/// A run of `add`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Run {
    /// When it started, in UTC, as specified by RFC 3339.
    pub started: String,
    /// The fields of the document of `add`, as the version of the program that ran it has them, without
    /// `offline_roots` and `vanished`.
    #[serde(flatten)]
    pub report: Map<String, Value>,
}

impl IndexStatus {
    /// The document of a status, of skipped files by reason, of a daemon, and of the last runs.
    pub fn new(status: Status, skipped: Vec<(String, u64)>, daemon: Option<DaemonStatus>, runs: &[RunRow]) -> Self {
        Self {
            database: status.database.into(),
            images: status.counts.images,
            files: status.counts.files,
            missing: status.counts.missing,
            skipped: status.counts.skipped,
            skipped_reasons: skipped,
            truncated: status.counts.truncated,
            roots: status.roots,
            types: status.types,
            unmeasured: status.unmeasured,
            provisional: status.provisional,
            labels: status.labels.into_iter().map(|(label, images)| LabelCount { label, images }).collect(),
            model: status.model,
            index: status.index,
            failures: status.failures,
            traces: status.traces,
            forgotten: status.forgotten.iter().map(PathField::from).collect(),
            daemon,
            runs: runs.iter().map(Run::from).collect(),
        }
    }
}

impl From<&RunRow> for Run {
    fn from(run: &RunRow) -> Self {
        let mut report: Map<String, Value> = serde_json::from_str(&run.report).unwrap_or_default();
        report.retain(|field, _| !matches!(field.as_str(), "offline_roots" | "vanished"));
        let started = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(run.started_at).unwrap_or(0));
        Self { started: rfc3339(started), report }
    }
}

fn as_object<K: Serialize, S: Serializer>(counts: &[(K, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counts.iter().map(|(name, count)| (name, count)))
}
