//! What is asked for.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::Tier;
use crate::media::DecodeLimits;
use crate::types::CancelToken;

/// How pictures are traced.
#[derive(Debug, Clone)]
pub struct TraceOptions {
    /// How much is tried.
    pub tier: Tier,
    /// How long drawings of one picture are decoded for; what was found until then is taken. The first one is made in any case, unless that
    /// takes a minute.
    pub time: Duration,
    /// Whether photographs are traced too.
    pub photos: bool,
    /// Processors that are used; all if none is given.
    pub threads: Option<NonZeroUsize>,
    /// Bytes of memory that all of it may take; [`TraceOptions::MEMORY`] if none is given.
    pub memory: Option<u64>,
    /// Time of a processor that decoding one picture may take.
    pub picture_time: Duration,
    /// Whether to tell the pixels too that the drawing was compared with.
    pub pixels: bool,
    /// Ends the work: pictures that are in hand are finished with what was found until then.
    pub cancel: CancelToken,
}

impl TraceOptions {
    /// The time for one picture where no other one is given.
    pub const TIME: Duration = Duration::from_secs(10);

    /// The memory where no other one is given.
    pub const MEMORY: u64 = 512 << 20;

    /// A tier, and the usual limits.
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
