//! A drawing for pictures whose time is up before there is a better one.

use std::time::{Duration, Instant};

use image::{GrayImage, RgbImage, imageops};

use super::limits::{Resources, deadline};
use super::{Tier, TraceFacts, Traced, bytes_for, find};
use crate::types::{CancelToken, ContentHash, Features};
use crate::vector::{NotDrawn, Parameters, Source};

/// Maximum length of the longer side of the copy that is traced.
const MAX_SIDE: u32 = 256;

/// Time for a coarse drawing, after the time limit has passed.
const TIME: Duration = Duration::from_millis(500);

/// Large areas of few colours take the least time.
const PARAMETERS: Parameters = Parameters { scale: 3.0, radius: 24.0, ..Parameters::DEFAULT };

/// A small copy of a picture, with what else is needed to trace it.
pub(crate) struct Coarse {
    pixels: RgbImage,
    alpha: Option<GrayImage>,
    /// Size of the original.
    size: (u32, u32),
    features: Features,
}

impl Coarse {
    /// Makes a copy with a longer side of at most [`MAX_SIDE`].
    pub(crate) fn of(pixels: &RgbImage, alpha: Option<&GrayImage>, size: (u32, u32), features: &Features) -> Self {
        let (width, height) = pixels.dimensions();
        let scale = f64::from(MAX_SIDE) / f64::from(width.max(height));
        let side = |length: u32| ((f64::from(length) * scale).round() as u32).clamp(1, length);
        let (width, height) = (side(width), side(height));
        Self {
            pixels: imageops::thumbnail(pixels, width, height),
            alpha: alpha.map(|alpha| imageops::thumbnail(alpha, width, height)),
            size,
            features: features.clone(),
        }
    }

    /// Makes one drawing.
    ///
    /// # Errors
    /// When there is no time for it either, or the tracer fails.
    pub(super) fn trace(
        self,
        hash: ContentHash,
        tier: Tier,
        resources: &Resources,
        cancel: &CancelToken,
    ) -> Result<Traced, NotDrawn> {
        let start = Instant::now();
        let deadline = deadline(start, TIME, cancel);
        let source = Source::within(self.pixels, self.alpha.as_ref(), self.size, &deadline)?;
        let facts = TraceFacts::of(&source, &self.features, &deadline)?;
        let limits = resources.limits(bytes_for(&source, Tier::Fast), TIME.saturating_sub(start.elapsed()), cancel);
        let traced = find(&source, (hash, facts), Tier::Fast, PARAMETERS, &limits)?;
        Ok(Traced { tier, coarse: true, complete: false, ..traced })
    }
}
