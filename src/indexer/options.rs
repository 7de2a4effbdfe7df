//! How `add` works.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::media::DecodeLimits;
use crate::model::Device;
use crate::scan::ScanOptions;
use crate::types::CancelToken;

/// The options of [`Index::add`](crate::Index::add). The defaults serve.
#[derive(Debug, Clone)]
pub struct AddOptions {
    /// Which files are decoded at.
    pub scan: ScanOptions,
    /// Workers that decode and embed. By default what [`Index::tune`](crate::Index::tune) has found, or as many as there are cores.
    pub threads: Option<NonZeroUsize>,
    /// Pictures that go through the model at once. By default what [`Index::tune`](crate::Index::tune) has found, or what suits
    /// the device; on accelerators larger ones are tried while it runs.
    pub batch_size: Option<NonZeroUsize>,
    /// Bytes that the whole process may take; of a process that has much already, bytes beyond that. Pictures wait until there is memory_plan for them; one that would
    /// need more by itself fails. The program and the built-in model need about 100 MiB. By default 512 MiB, or as much as the model needs with a worker for each
    /// core, but not more than half of the machine's memory. On Linux memory is also watched while it runs.
    pub memory: Option<u64>,
    /// Where the model runs.
    pub device: Device,
    /// How long measuring the features of one picture may take. What there is no time for is left out; by default there
    /// is time for everything.
    pub feature_time: Option<Duration>,
    /// Time of a processor that decoding, measuring and scaling one picture may take: one that takes longer fails. Kept where pictures are
    /// decoded in processes of their own ([`OpenOptions::decoder`](crate::OpenOptions::decoder)); in whole seconds.
    pub picture_time: Duration,
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
            memory: None,
            device: Device::Auto,
            feature_time: None,
            picture_time: DecodeLimits::TIME,
            retry_failed: false,
            settle: None,
            cancel: CancelToken::default(),
        }
    }
}

impl AddOptions {
    /// How many workers there are, if `tuned` was found to be the best.
    pub(super) fn workers(&self, tuned: Option<usize>) -> usize {
        self.threads.map(NonZeroUsize::get).or(tuned).unwrap_or_else(cores)
    }
}

/// Cores that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
