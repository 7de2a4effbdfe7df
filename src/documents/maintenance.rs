//! The documents of `prune`, `forget` and `backup`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::index::OfflineRoot;
use crate::types::{FileField, PathField};

/// What `prune` removed from the index.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Pruned {
    /// Number of missing files.
    pub files: u64,
    /// Number of files that the options of `add` exclude; only with `--excluded`.
    pub excluded: u64,
    /// Number of pictures that no other file holds.
    pub images: u64,
    /// Directories that are offline, and the files that disappeared from them. They stay in the index.
    pub offline: Vec<OfflineRoot>,
    /// Whether this was a dry run, which removes nothing.
    pub dry_run: bool,
}

/// What `forget` removed from the index.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Forgotten {
    /// The directory or file.
    #[serde(flatten)]
    pub path: PathField,
    /// Number of files.
    pub files: u64,
    /// Whether it lies in an indexed directory, whose scans leave it out until `add` is given its path.
    pub stays_out: bool,
    /// Whether this was a dry run, which removes nothing.
    pub dry_run: bool,
}

/// A backup of the index.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct BackedUp {
    /// The file that was written.
    #[serde(flatten)]
    pub path: PathField,
    /// The same file under the name that it has had from the start.
    #[serde(flatten)]
    pub file: FileField,
    /// Its length in bytes.
    pub bytes: u64,
}
