//! Turns the bytes of a picture file into upright sRGB pixels and features.
//!
//! [`sniff`] recognises the format from the first bytes. [`Decoder::open`] reads the header and computes the memory
//! that decoding needs. [`Decoder::decode`] returns a [`Picture`], and [`Picture::resized`] returns the pixels for a
//! model or a thumbnail. [`decode_and_measure`] does all of this in one call and measures the [`Features`] as well.
//!
//! No input is trusted: sizes are checked before memory is allocated, and a panic inside a decoder is returned as an
//! error. The [`sandbox`] module runs decoders in separate processes.
//!
//! ```
//! use imgidx_media::{DecodeLimits, DecodeRequest, Kind, decode_and_measure, sniff};
//!
//! let mut png = std::io::Cursor::new(Vec::new());
//! image::RgbImage::from_pixel(40, 30, image::Rgb([200, 30, 30]))
//!     .write_to(&mut png, image::ImageFormat::Png)
//!     .expect("it encodes");
//! let Kind::Picture(format) = sniff(png.get_ref(), None) else { panic!("it is a picture") };
//! let request = DecodeRequest { side: 64, ..DecodeRequest::default() };
//! let decoded = decode_and_measure(png.get_ref(), format, DecodeLimits::default(), &request, |_| ())?;
//! assert_eq!((format.name(), decoded.info.width, decoded.info.height), ("png", 40, 30));
//! # Ok::<(), imgidx_media::DecodeError>(())
//! ```

mod av1;
mod avif;
mod code_points;
mod color;
mod color_name;
mod content;
mod decode;
mod decode_and_measure;
mod drawn;
mod error;
mod features;
mod format;
mod frames;
mod geometry;
mod heif;
mod heif_grid;
mod heif_thumbnail;
mod hevc_item;
mod info;
mod jpeg;
mod jpeg2000;
mod jpeg_quality;
mod jxl;
mod lab;
mod large_png;
mod metadata;
mod miniature;
mod psd;
mod raw;
mod resize;
pub mod sandbox;
mod sequence;
mod svg;

pub use color_name::ColorName;
pub use content::{Content, Reading, has_picture_extension, read_content, read_named_picture};
pub use decode::{DecodeLimits, Decoder, Picture, decode_within};
pub use decode_and_measure::{DecodeRequest, Decoded, Frame, decode_and_measure};
pub use drawn::{drawn_photograph, drawn_picture};
pub use error::{DecodeError, Limit};
pub use features::{
    ColorShares, DetailFeatures, DominantColor, FeatureStage, Features, ImageType, QuickFeatures, SIDE as FEATURE_SIDE,
    ToneFeatures, TypeGuess, measure, measure_pixels, type_terms,
};
pub use format::{FORMATS_VERSION, Format, Kind, SNIFF_BYTES, sniff};
pub use frames::has_several_pictures;
pub use info::{DecodedFrom, ImageInfo};
pub use jpeg_quality::jpeg_quality;
pub use lab::Lab;
pub use metadata::{Location, Metadata, Packets};
pub use miniature::{LAYOUT_WORDS, Likeness, Miniature, Structure, Turn};
pub use resize::{Filter, Fit, scale_rgb};

/// Entry points for fuzzers: functions that read untrusted bytes.
#[doc(hidden)]
pub mod fuzzed {
    /// Reads `data` as a file of each format whose header is read by code of this crate.
    pub fn containers(data: &[u8]) {
        use super::{DecodeLimits, Decoder, Format};
        for format in [Format::Heic, Format::Avif, Format::Jxl, Format::Jpeg2000, Format::Psd, Format::Raw] {
            let _ = Decoder::open(data, format, DecodeLimits::default());
        }
        let _ = super::has_several_pictures(std::io::Cursor::new(data));
        let _ = super::raw::Excerpt::find(&data).and_then(|excerpt| excerpt.read(&data));
    }

    /// Reads `data` as metadata of each kind, and in a file of each format.
    pub fn metadata(data: &[u8]) {
        use super::{Format, Packets};
        for format in Format::ALL {
            let _ = Packets::find(data, format).metadata();
        }
        let packet = || Some(data.to_vec());
        let _ = Packets { exif: packet(), xmp: packet(), iptc: packet() }.metadata();
    }

    /// Reads `data` as the beginning of a picture file.
    pub fn header(data: &[u8]) {
        let _ = super::sniff(data, None);
        let _ = super::jpeg_quality(&mut std::io::Cursor::new(data));
        if let Ok(markers) = super::jpeg::read_markers(data) {
            let _ = markers.decoding_bytes(markers.divisor(256));
            let _ = markers.decoding_bytes(1);
        }
    }
}
