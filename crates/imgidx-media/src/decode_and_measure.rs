//! Decodes and measures a picture in one call. The only pixels in the result are those that were requested.

use std::time::{Duration, Instant};

use image::{GrayImage, RgbImage};
use serde::{Deserialize, Serialize};
use tracing::trace_span;

use super::decode::{DecodeLimits, Picture, decode_within};
use super::error::DecodeError;
use super::features::measure_with_miniature;
use super::format::Format;
use super::resize::{Filter, Fit};
use crate::{Features, ImageInfo, Metadata, Miniature, Packets};

/// Requested pixels of a picture: upright sRGB, scaled to this size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// How a picture with a different aspect ratio is fitted.
    pub fit: Fit,
    /// Width in pixels, at least 1.
    pub width: u32,
    /// Height in pixels, at least 1.
    pub height: u32,
    /// The interpolation.
    pub filter: Filter,
}

impl Frame {
    /// Scales a picture to this frame.
    pub fn of(&self, picture: &Picture) -> RgbImage {
        picture.resized(self.fit, self.width, self.height, self.filter)
    }
}

/// What to compute from a picture.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct DecodeRequest {
    /// Minimum length of the decoded picture's shorter side in pixels, if the file has that many. Smaller is faster.
    pub side: u32,
    /// Time limit for measuring features; `None` means no limit.
    pub feature_time: Option<Duration>,
    /// Size and fit of the pixels to return; `None` if no pixels are needed.
    pub frame: Option<Frame>,
    /// Whether to return the alpha channel of those pixels. Supported for frames with [`Fit::Inside`] only.
    pub alpha: bool,
    /// Whether a thumbnail in the file may stand in for the whole picture, if it has at least 160 pixels on its shorter
    /// side and as many as the frame. It applies to HEIC and AVIF files; other formats ignore it.
    pub quick: bool,
}

impl DecodeRequest {
    /// Minimum length of the shorter side of a thumbnail that stands in for the whole picture, in pixels.
    pub(super) fn thumbnail_side(&self) -> u32 {
        self.frame.map_or(0, |frame| frame.width.max(frame.height)).max(MIN_THUMBNAIL_SIDE)
    }
}

/// Vectors of smaller thumbnails, such as those of EXIF (160 × 120 pixels), have little to do with those of their
/// pictures: their cosine was 0.71.
const MIN_THUMBNAIL_SIDE: u32 = 160;

/// Result of decoding and measuring a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// Facts about the picture.
    pub info: ImageInfo,
    /// What the file says of itself.
    pub metadata: Metadata,
    /// Features, as far as there was time for them.
    pub features: Features,
    /// A very small version, by which the same picture is recognised.
    pub miniature: Box<Miniature>,
    /// The scaled pixels, if a frame was requested.
    pub pixels: Option<RgbImage>,
    /// Opacity of each of those pixels before they were composited on white; 255 is opaque. `None` if it was not
    /// requested, or if all pixels are opaque.
    pub alpha: Option<GrayImage>,
}

/// Decodes a picture, measures its features and scales its pixels.
///
/// `hold` is called with a number of bytes before that much memory is allocated. Its result is dropped when the memory
/// has been freed.
///
/// # Errors
/// If the picture is too damaged to decode, or if it exceeds the limits.
pub fn decode_and_measure<H>(
    bytes: &[u8],
    format: Format,
    limits: DecodeLimits,
    request: &DecodeRequest,
    hold: impl Fn(u64) -> H,
) -> Result<Decoded, DecodeError> {
    let (picture, _held) = trace_span!("decode").in_scope(|| decode_within(bytes, format, limits, request, hold))?;
    let deadline = request.feature_time.map(|time| Instant::now() + time);
    let (features, miniature) = trace_span!("features").in_scope(|| measure_with_miniature(&picture, deadline));
    let pixels = request.frame.map(|frame| trace_span!("scale").in_scope(|| frame.of(&picture)));
    let alpha = request.frame.filter(|_| request.alpha).and_then(|frame| picture.resized_alpha(frame));
    let metadata = trace_span!("metadata").in_scope(|| Packets::find(bytes, format).metadata());
    let info = ImageInfo { taken: metadata.taken.clone(), ..picture.info(format) };
    Ok(Decoded { info, metadata, features, miniature: Box::new(miniature), pixels, alpha })
}
