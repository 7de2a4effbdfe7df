//! The options of `add`.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::machine::cores;
use crate::media::DecodeLimits;
use crate::model::Device;
use crate::scan::ScanOptions;
use crate::types::CancelToken;

/// Options of [`Index::add`](crate::Index::add). The defaults suit most uses.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct AddOptions {
    /// Which files are indexed.
    pub scan: ScanOptions,
    /// Number of workers that decode and embed. By default the number that [`Index::tune`](crate::Index::tune) has
    /// found, or else the number of cores.
    pub threads: Option<NonZeroUsize>,
    /// Number of pictures that go through the model at once. By default the number that
    /// [`Index::tune`](crate::Index::tune) has found, or else one that suits the device. On accelerators, larger
    /// batches are tried during the run.
    pub batch_size: Option<NonZeroUsize>,
    /// Memory limit of the whole process, in bytes. If the process already uses much memory for other purposes, the
    /// limit applies to what it uses beyond that. Pictures wait until there is enough memory for them; a picture that
    /// needs more than the limit by itself fails. The program and the built-in model need about 100 MiB. The default is
    /// 512 MiB, or more if the model needs more with one worker for each core, up to half of the machine's memory. On
    /// Linux, memory use is also monitored during the run.
    pub memory: Option<u64>,
    /// Where the model runs.
    #[serde(skip)]
    pub device: Device,
    /// Time limit for measuring the features of one picture. Features that take longer are left out. There is no limit
    /// by default.
    #[serde(serialize_with = "as_milliseconds", deserialize_with = "from_milliseconds")]
    pub feature_time: Option<Duration>,
    /// CPU time limit for decoding, measuring and scaling one picture, in whole seconds. A picture that takes longer
    /// fails. The limit is enforced only if pictures are decoded in separate processes
    /// ([`OpenOptions::decoder`](crate::OpenOptions::decoder)).
    #[serde(serialize_with = "as_seconds", deserialize_with = "from_seconds")]
    pub picture_time: Duration,
    /// Whether to try contents again that failed before.
    pub retry_failed: bool,
    /// Whether new contents may be indexed by the thumbnails in their files, where that is much faster: in HEIC and AVIF
    /// files. They are provisional: the next run without this option reads the whole pictures, and replaces all that was
    /// derived from the thumbnails.
    pub quick: bool,
    /// Minimum time since the last change of a file that the scan finds. Files that changed more recently are postponed
    /// and listed in [`IndexReport::unsettled`](super::IndexReport::unsettled). This serves callers that index
    /// repeatedly: a file that is still being written is read once, when it is complete.
    #[serde(skip)]
    pub settle: Option<Duration>,
    /// Stops the run. Files that are being processed are finished and stored.
    #[serde(skip)]
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
            quick: false,
            settle: None,
            cancel: CancelToken::default(),
        }
    }
}

/// Which known contents a run processes again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Again {
    /// Those that failed before.
    pub failed: bool,
    /// Those that were indexed by a thumbnail.
    pub provisional: bool,
}

impl AddOptions {
    /// Which known contents are processed again.
    pub(crate) fn again(&self) -> Again {
        Again { failed: self.retry_failed, provisional: !self.quick }
    }

    /// The number of workers, where `tuned` is the number that tuning has found.
    pub(super) fn workers(&self, tuned: Option<usize>) -> usize {
        self.threads.map(NonZeroUsize::get).or(tuned).unwrap_or_else(cores)
    }
}

fn as_milliseconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_millis() as u64).serialize(serializer)
}

fn from_milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
}

fn as_seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    time.as_secs().serialize(serializer)
}

/// Reads `null` as [`DecodeLimits::TIME`].
fn from_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Ok(Option::<u64>::deserialize(deserializer)?.map_or(DecodeLimits::TIME, Duration::from_secs))
}
