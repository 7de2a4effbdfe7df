//! From a file's bytes to upright sRGB pixels.
//!
//! [`sniff`] tells the format from the first bytes, [`Decoder::open`] reads the header and tells what decoding will
//! cost, [`Decoder::decode`] gives a [`Picture`], and [`Picture::resized`] gives the pixels for a model or a
//! thumbnail. Nothing here trusts its input: sizes are checked before anything is allocated, and a panic inside a
//! decoder comes back as an error.

mod camera;
mod color;
mod content;
mod decode;
mod decode_and_measure;
mod drawn;
mod error;
mod features;
mod format;
mod info;
mod jpeg;
mod lab;
mod large_png;
mod resize;
pub mod sandbox;
mod svg;

pub use content::has_picture_extension;
pub use content::{Content, Reading, read_content};
pub use decode::{DecodeLimits, Decoder, Picture, decode_within};
pub use decode_and_measure::{DecodeRequest, Decoded, Frame, decode_and_measure};
pub use drawn::{drawn_photograph, drawn_picture};
pub use error::{DecodeError, Limit};
pub use features::{
    DetailFeatures, DominantColor, FeatureStage, Features, ImageType, QuickFeatures, SIDE as FEATURE_SIDE,
    ToneFeatures, TypeGuess, measure, measure_pixels,
};
pub use format::{Format, Kind, SNIFF_BYTES, sniff};
pub use info::ImageInfo;
pub use lab::Lab;
pub use resize::{Filter, Fit, scale_rgb};

/// Parts that fuzzers call with bytes from elsewhere.
#[doc(hidden)]
pub mod fuzzed {
    /// Takes the beginning of a file for a picture's.
    pub fn header(data: &[u8]) {
        let _ = super::sniff(data, None);
        let _ = super::camera::taken(data);
        if let Ok(markers) = super::jpeg::read_markers(data) {
            let _ = markers.part(256).map(|part| part.decoding_bytes());
            let _ = markers.decoding_bytes();
        }
    }
}
