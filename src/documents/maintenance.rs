//! The documents of `prune`, `forget` and `backup`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::types::FileField;

/// What `prune` removed from the index.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Pruned {
    /// Number of missing files.
    pub files: u64,
    /// Number of contents that no other file has.
    pub images: u64,
    /// Whether nothing was removed, because only the numbers were asked for.
    pub dry_run: bool,
}

/// What `forget` removed from the index.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Forgotten {
    /// Number of files.
    pub files: u64,
    /// Whether nothing was removed, because only the number was asked for.
    pub dry_run: bool,
}

/// A backup of the index.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct BackedUp {
    /// The file that was written.
    #[serde(flatten)]
    pub file: FileField,
    /// Its length in bytes.
    pub bytes: u64,
}
