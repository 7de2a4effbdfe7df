//! How many workers, threads and pictures at once.

use serde::{Deserialize, Serialize};

use crate::model::Device;

/// A way to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Setting {
    /// Where the model runs.
    pub device: Device,
    /// Workers that decode, and on the processor embed.
    pub workers: usize,
    /// Threads of one session.
    pub model_threads: usize,
    /// Pictures that go through the model at once.
    pub batch_size: usize,
}

impl Setting {
    /// Workers, threads and pictures at most: more would only exhaust the system.
    pub const MAX_COUNT: usize = 1024;

    /// Whether anybody could have meant it: it may have been read from a file.
    pub(crate) fn is_sane(&self) -> bool {
        [self.workers, self.model_threads, self.batch_size].iter().all(|count| (1..=Self::MAX_COUNT).contains(count))
    }
}
