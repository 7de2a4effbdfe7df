//! Options for tracing.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::media::DecodeLimits;
use crate::types::CancelToken;

/// The effort to spend on a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Tries one candidate.
    Fast,
    /// Tries all six candidates.
    Balanced,
    /// Tries all six, then improves the best one parameter at a time, while that helps and time remains.
    Quality,
}

impl Tier {
    /// All tiers, the fastest first. The database has their positions in this list.
    pub const ALL: [Self; 3] = [Self::Fast, Self::Balanced, Self::Quality];

    /// The name that is shown and used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Balanced => "balanced",
            Self::Quality => "quality",
        }
    }
}

/// Options for tracing pictures.
#[derive(Debug, Clone)]
pub struct TraceOptions {
    /// The effort to spend on each picture.
    pub tier: Tier,
    /// Time limit for each picture, from reading it. The result is the best drawing found until then, or else a coarse
    /// one, for which there is half a second more.
    pub time: Duration,
    /// Whether to trace photographs too.
    pub photos: bool,
    /// Number of CPUs to use; `None` means all.
    pub threads: Option<NonZeroUsize>,
    /// Memory limit for the whole run, in bytes; `None` means [`TraceOptions::MEMORY`].
    pub memory: Option<u64>,
    /// CPU time limit for decoding one picture.
    pub picture_time: Duration,
    /// Whether to return the pixels that each drawing was compared with.
    pub pixels: bool,
    /// Cancels the run. Pictures in progress end with the best drawing found so far.
    pub cancel: CancelToken,
}

impl TraceOptions {
    /// Default time limit for each picture.
    pub const TIME: Duration = Duration::from_secs(10);

    /// Default memory limit.
    pub const MEMORY: u64 = 512 << 20;

    /// Options for a tier with default limits.
    pub fn of(tier: Tier) -> Self {
        Self { tier, ..Self::default() }
    }
}

impl Default for TraceOptions {
    fn default() -> Self {
        Self {
            tier: Tier::Balanced,
            time: Self::TIME,
            photos: false,
            threads: None,
            memory: None,
            picture_time: DecodeLimits::TIME,
            pixels: false,
            cancel: CancelToken::default(),
        }
    }
}
