//! The document of an error, which every command prints on standard error.

use schemars::JsonSchema;
use serde::Serialize;

/// Why a command failed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ErrorDocument {
    /// The error.
    pub error: ErrorDetails,
}

/// An error.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ErrorDetails {
    /// A short name for programs to compare.
    pub kind: &'static str,
    /// What failed, on which file, and why.
    pub message: String,
    /// What can be done about it; null if nothing is known.
    pub hint: Option<String>,
}
