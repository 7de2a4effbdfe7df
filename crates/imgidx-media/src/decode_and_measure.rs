//! A whole look at a picture: from a file's bytes to all that is kept of it, and no pixels but those for the model.

use std::time::{Duration, Instant};

use image::{GrayImage, RgbImage};
use serde::{Deserialize, Serialize};
use tracing::trace_span;

use super::decode::{DecodeLimits, Picture, decode_for};
use super::error::DecodeError;
use super::features::measure;
use super::format::Format;
use super::resize::{Filter, Fit};
use crate::{Features, ImageInfo};

/// Pixels of a picture as somebody wants them: upright sRGB of this size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// How a picture of another shape is fitted.
    pub fit: Fit,
    /// Pixels across, at least 1.
    pub width: u32,
    /// Pixels down, at least 1.
    pub height: u32,
    /// The interpolation.
    pub filter: Filter,
}

impl Frame {
    /// The picture's pixels like this.
    pub fn of(&self, picture: &Picture) -> RgbImage {
        picture.resized(self.fit, self.width, self.height, self.filter)
    }

    /// How opaque those pixels are, where a picture fits inside; `None` if all are wholly.
    fn alpha_of(&self, picture: &Picture) -> Option<GrayImage> {
        picture.resized_alpha(self.width, self.height, self.filter)
    }
}

/// What is request of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DecodeRequest {
    /// Pixels that its shorter side has to have at least, if it has so many; fewer are faster.
    pub side: u32,
    /// How long its features may be measured; `None` is as long as it takes.
    pub feature_time: Option<Duration>,
    /// The pixels that are request, if any.
    pub frame: Option<Frame>,
    /// Whether to tell what is transparent of those pixels, if anything is. For frames that are [`Fit::Inside`] only.
    pub alpha: bool,
}

/// What a look at a picture has told.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The facts.
    pub info: ImageInfo,
    /// What it looks like.
    pub features: Features,
    /// The pixels, where a frame was given.
    pub pixels: Option<RgbImage>,
    /// How opaque each of those pixels is (they are composited on white): 255 is wholly. `None` if it was not asked for, or all are.
    pub alpha: Option<GrayImage>,
}

/// Decodes a picture, measures it, and scales it.
///
/// `hold` is called with the number of bytes before they are taken from memory; what it returns is dropped when they have been given back.
///
/// # Errors
/// When the picture is damaged beyond use, or larger than the limits allow.
pub fn decode_and_measure<H>(
    bytes: &[u8],
    format: Format,
    limits: DecodeLimits,
    request: &DecodeRequest,
    hold: impl Fn(u64) -> H,
) -> Result<Decoded, DecodeError> {
    // A part of the pixels has no alpha.
    let side = if request.alpha && format == Format::Raster(image::ImageFormat::Png) { u32::MAX } else { request.side };
    let decode = || decode_for(bytes, format, limits, (side, request.alpha), hold);
    let (picture, _held) = trace_span!("decode").in_scope(decode)?;
    let deadline = request.feature_time.map(|time| Instant::now() + time);
    let features = trace_span!("features").in_scope(|| measure(&picture, deadline));
    let pixels = request.frame.map(|frame| trace_span!("scale").in_scope(|| frame.of(&picture)));
    let alpha = request.frame.filter(|_| request.alpha).and_then(|frame| frame.alpha_of(&picture));
    Ok(Decoded { info: picture.info(format), features, pixels, alpha })
}
