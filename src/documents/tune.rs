//! The documents of `tune`: [`TuneReport`](crate::index::TuneReport), or the remembered settings.

use schemars::JsonSchema;
use serde::Serialize;

use crate::index::Tuned;

/// The settings that an earlier `tune` found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Remembered {
    /// The settings.
    pub remembered: Tuned,
}
