//! How `add` works.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::cancel::CancelToken;
use super::room::usual_memory;
use crate::model::Device;
use crate::scan::ScanOptions;

/// The options of [`Index::add`](crate::Index::add). The defaults serve.
#[derive(Debug, Clone)]
pub struct AddOptions {
    /// Which files are looked at.
    pub scan: ScanOptions,
    /// Workers that decode and embed. By default what [`Index::tune`](crate::Index::tune) has found, or as many as there are cores.
    pub threads: Option<NonZeroUsize>,
    /// Pictures that go through the model at once. By default what [`Index::tune`](crate::Index::tune) has found, or what suits
    /// the device; on accelerators larger ones are tried while it runs.
    pub batch_size: Option<NonZeroUsize>,
    /// Bytes that the whole process may take. Pictures wait until there is room for them; one that would need more by itself fails.
    /// The program and the built-in model need about 100 MiB. By default 512 MiB, and more where there are many cores.
    pub memory: u64,
    /// Where the model runs.
    pub device: Device,
    /// How long measuring the features of one picture may take. What there is no time for is left out; by default there
    /// is time for everything.
    pub feature_time: Option<Duration>,
    /// Whether contents that failed before are tried again.
    pub retry_failed: bool,
    /// How long ago a file that is found by walking must have changed last to be read; others are left for later, and
    /// told in [`IndexReport::unsettled`](super::IndexReport::unsettled). For those who come again: a file that is still
    /// being written is read once, when it is whole.
    pub settle: Option<Duration>,
    /// Stops the work: what is in hand is finished and stored.
    pub cancel: CancelToken,
}

impl Default for AddOptions {
    fn default() -> Self {
        Self {
            scan: ScanOptions::default(),
            threads: None,
            batch_size: None,
            memory: usual_memory(cores()),
            device: Device::Auto,
            feature_time: None,
            retry_failed: false,
            settle: None,
            cancel: CancelToken::default(),
        }
    }
}

impl AddOptions {
    /// How many workers there are.
    pub(super) fn workers(&self) -> usize {
        self.threads.map_or_else(cores, NonZeroUsize::get)
    }
}

/// Cores that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
