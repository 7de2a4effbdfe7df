//! The document of `failures`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::store::FailureRow;

/// The files that could not be indexed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Failures {
    /// The files, sorted by path.
    pub failures: Vec<FailureRow>,
}
