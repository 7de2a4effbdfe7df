//! The documents of `add`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::indexer::IndexReport;
use crate::types::{PathField, escape_path};

/// The result of an `add`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Added {
    /// The report, with escaped paths of offline roots.
    #[serde(flatten)]
    report: IndexReport,
}

/// A line of `add --dry-run`: a file that would be processed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PlannedStep {
    /// `new`, `changed`, `pending`, `provisional`, `metadata`, `retry`, `moved`, `unreadable`, `missing` or `offline`.
    pub plan: &'static str,
    /// The file or directory.
    #[serde(flatten)]
    pub path: PathField,
}

impl From<&IndexReport> for Added {
    fn from(report: &IndexReport) -> Self {
        let offline_roots = report.offline_roots.iter().map(|root| escape_path(root).into()).collect();
        Self { report: IndexReport { offline_roots, ..report.clone() } }
    }
}
