//! A setting: how many workers, threads and pictures are used at once.

use serde::{Deserialize, Serialize};

use crate::model::Device;

/// Where the model runs, and how much work is done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Setting {
    /// Where the model runs.
    pub device: Device,
    /// Number of workers, which decode pictures and, on the CPU, also embed them.
    pub workers: usize,
    /// Number of threads of one session.
    pub model_threads: usize,
    /// Number of pictures that go through the model at once.
    pub batch_size: usize,
}

impl Setting {
    /// Maximum number of workers, threads or pictures. More would only exhaust the system.
    pub const MAX_COUNT: usize = 1024;

    /// Whether the numbers are plausible: they may come from a damaged file.
    pub(crate) fn is_sane(&self) -> bool {
        [self.workers, self.model_threads, self.batch_size].iter().all(|count| (1..=Self::MAX_COUNT).contains(count))
    }
}
