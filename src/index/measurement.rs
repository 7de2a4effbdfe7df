//! A setting with its speed.

use serde::{Deserialize, Serialize};

use crate::indexer::Setting;

/// A setting with its measured speed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Measurement {
    /// The setting.
    #[serde(flatten)]
    pub setting: Setting,
    /// Pictures a second, the median of some rounds: what `add` reports for the same pictures.
    pub images_per_second: f64,
}
