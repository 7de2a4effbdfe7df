//! The document of `check`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::index::CheckProblem;

/// The result of a check.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Checked {
    /// Whether the index is undamaged now.
    pub ok: bool,
    /// The problems that were found.
    pub problems: Vec<CheckProblem>,
}
