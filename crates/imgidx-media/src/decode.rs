//! Opens and decodes any supported format within limits.

use std::fmt;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use super::error::{DecodeError, from_image_error};
use super::format::Format;
use super::{camera, color, jpeg, large_png, svg};
use imgidx_types::catching_panics;

use crate::ImageInfo;

/// Limits for decoding one picture.
#[derive(Debug, Clone, Copy)]
pub struct DecodeLimits {
    /// Maximum memory for pixels while one picture is decoded, in bytes.
    pub memory: u64,
    /// Maximum CPU time for one picture. It applies only where pictures are decoded in separate processes.
    pub time: Duration,
}

impl DecodeLimits {
    /// Default time limit: fifty times what a JPEG of 24 megapixels takes.
    pub const TIME: Duration = Duration::from_secs(10);
}

impl Default for DecodeLimits {
    /// 512 MiB, which is enough for a JPEG of 170 megapixels, and [`DecodeLimits::TIME`].
    fn default() -> Self {
        Self { memory: 512 << 20, time: Self::TIME }
    }
}

/// A decoded picture: pixels as they are stored in the file, with the orientation and the colour profile.
///
/// [`Picture::resized`] applies orientation and profile after scaling, when few pixels are left.
#[derive(Debug, Clone)]
pub struct Picture {
    pub(super) pixels: RgbImage,
    pub(super) orientation: Option<Orientation>,
    pub(super) profile: Option<Vec<u8>>,
    pub(super) taken: Option<String>,
    pub(super) has_alpha: bool,
    /// Opacity of each pixel before compositing on white. `None` if it was not requested, or if all pixels are opaque.
    pub(super) alpha: Option<GrayImage>,
    pub(super) truncated: bool,
    /// Width and height to report where they differ from those of the pixels, as for a rendered vector graphic.
    pub(super) nominal_size: Option<(u32, u32)>,
    /// Width and height of the area that the picture covers, in pixels. A picture that was decoded at reduced size may
    /// cover its last row and column only in part.
    pub(super) filled: Option<(f64, f64)>,
}

impl Picture {
    /// Makes a picture from upright, opaque sRGB pixels.
    pub fn from_rgb(pixels: RgbImage) -> Self {
        Self {
            pixels,
            orientation: None,
            profile: None,
            taken: None,
            has_alpha: false,
            alpha: None,
            truncated: false,
            nominal_size: None,
            filled: None,
        }
    }

    pub(super) fn orientation(&self) -> Orientation {
        self.orientation.unwrap_or(Orientation::NoTransforms)
    }

    /// Width and height to report, after the orientation has been applied.
    pub(super) fn upright_size(&self) -> (u32, u32) {
        let (width, height) = self.nominal_size.unwrap_or(self.pixels.dimensions());
        if swaps_sides(self.orientation()) { (height, width) } else { (width, height) }
    }

    /// The facts to store. Width and height are those after the orientation has been applied.
    pub fn info(&self, format: Format) -> ImageInfo {
        let (width, height) = self.upright_size();
        ImageInfo {
            format: format.name().to_owned(),
            width,
            height,
            orientation: self.orientation().to_exif(),
            has_alpha: self.has_alpha,
            truncated: self.truncated,
            taken: self.taken.clone(),
        }
    }
}

/// Whether an orientation turns the picture by 90° or 270°, which swaps width and height.
pub(super) fn swaps_sides(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// A file whose header has been read and checked, ready to be decoded.
pub struct Decoder<'a> {
    source: Source<'a>,
    memory: u64,
    /// Whether the picture is decoded at reduced size, by a method that tolerates less damage.
    is_reduced: bool,
    keeps_alpha: bool,
}

enum Source<'a> {
    Jpeg { bytes: &'a [u8], markers: jpeg::Markers },
    ReducedJpeg { bytes: &'a [u8], reduced: jpeg::Reduced },
    ReducedPng { bytes: &'a [u8], reduced: large_png::Reduced },
    Raster(Box<dyn ImageDecoder + 'a>),
    Svg(Box<svg::Drawing>),
}

impl fmt::Debug for Decoder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("memory", &self.memory).finish_non_exhaustive()
    }
}

impl<'a> Decoder<'a> {
    /// Reads the header and checks the memory that decoding needs against the limits.
    ///
    /// # Errors
    /// If the header is damaged, or if decoding needs more memory than the limits allow.
    pub fn open(bytes: &'a [u8], format: Format, limits: DecodeLimits) -> Result<Self, DecodeError> {
        Self::open_for(bytes, format, limits, u32::MAX)
    }

    /// Like [`Decoder::open`], for a picture that will be scaled down to a shorter side of `side` pixels.
    ///
    /// A large JPEG or PNG is then decoded at reduced size: each pixel is the mean of a square, and the shorter side
    /// keeps at least twice as many pixels as requested. The reported width and height stay those of the file.
    ///
    /// # Errors
    /// The same as those of [`Decoder::open`].
    pub fn open_for(bytes: &'a [u8], format: Format, limits: DecodeLimits, side: u32) -> Result<Self, DecodeError> {
        let decoder = guarded(|| Self::open_unguarded(bytes, format, limits, side))?;
        if decoder.memory > limits.memory {
            let (needed, allowed) = (decoder.memory.div_ceil(1 << 20), limits.memory >> 20);
            return Err(DecodeError::too_large(format!("decoding needs {needed} MiB; the limit is {allowed} MiB")));
        }
        Ok(decoder)
    }

    fn open_unguarded(bytes: &'a [u8], format: Format, limits: DecodeLimits, side: u32) -> Result<Self, DecodeError> {
        let (source, memory) = match format {
            Format::Svg => {
                let drawing = svg::Drawing::parse(bytes)?;
                let memory = drawing.decoding_bytes();
                (Source::Svg(Box::new(drawing)), memory)
            }
            Format::Raster(ImageFormat::Jpeg) => {
                let markers = jpeg::read_markers(bytes)?;
                match markers.reduced(side) {
                    Some(reduced) => (Source::ReducedJpeg { bytes, reduced }, reduced.decoding_bytes()),
                    None => {
                        let memory = markers.decoding_bytes();
                        (Source::Jpeg { bytes, markers }, memory)
                    }
                }
            }
            Format::Raster(ImageFormat::Png) if let Some(reduced) = large_png::Reduced::new(bytes, side) => {
                (Source::ReducedPng { bytes, reduced }, reduced.decoding_bytes())
            }
            Format::Raster(format) => return Self::open_raster(bytes, format, limits),
        };
        let is_reduced = matches!(source, Source::ReducedJpeg { .. } | Source::ReducedPng { .. });
        Ok(Self { source, memory, is_reduced, keeps_alpha: false })
    }

    fn open_raster(bytes: &'a [u8], format: ImageFormat, limits: DecodeLimits) -> Result<Self, DecodeError> {
        let reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut decoder = reader.into_decoder().map_err(from_image_error)?;
        let (width, height) = decoder.dimensions();
        if width == 0 || height == 0 {
            return Err(DecodeError::new("the picture has no pixels"));
        }
        let pixels = u64::from(width).saturating_mul(u64::from(height));
        let converted = pixels.saturating_mul(conversion_bytes(decoder.color_type()));
        let memory = decoder.total_bytes().saturating_add(converted);
        let mut inner = Limits::no_limits();
        inner.max_alloc = Some(limits.memory);
        // Some decoders do not support limits and return an error; the caller checks `memory` anyway.
        let _ = decoder.set_limits(inner);
        Ok(Self { source: Source::Raster(Box::new(decoder)), memory, is_reduced: false, keeps_alpha: false })
    }

    /// Sets whether to keep the alpha channel of raster pictures that are decoded at full size.
    #[must_use]
    pub fn keep_alpha(mut self, keep: bool) -> Self {
        self.keeps_alpha = keep;
        self
    }

    /// Peak memory for pixels while decoding, in bytes.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Decodes the first frame to 8-bit RGB, with alpha composited on white.
    ///
    /// # Errors
    /// If the data is so damaged that no picture is left. At reduced size, any damage may be an error; after
    /// [`Decoder::open`] the same file may still decode.
    pub fn decode(self) -> Result<Picture, DecodeError> {
        guarded(|| match self.source {
            Source::Jpeg { bytes, markers } => jpeg::decode(bytes, &markers),
            Source::ReducedJpeg { bytes, reduced } => reduced.decode(bytes),
            Source::ReducedPng { bytes, reduced } => reduced.decode(bytes),
            Source::Svg(drawing) => drawing.render(),
            Source::Raster(mut decoder) => {
                let orientation = decoder.orientation().ok();
                let taken = decoder.exif_metadata().ok().flatten().and_then(|chunk| camera::taken(&chunk));
                let profile = decoder.icc_profile().ok().flatten();
                let image = DynamicImage::from_decoder(decoder).map_err(from_image_error)?;
                let has_alpha = image.color().has_alpha();
                let alpha = self.keeps_alpha.then(|| color::alpha_of(&image)).flatten();
                let picture = Picture::from_rgb(color::to_rgb(image));
                Ok(Picture { orientation, profile, taken, has_alpha, alpha, ..picture })
            }
        })
    }
}

/// Decodes a picture that will be scaled down to a shorter side of `side` pixels, as [`Decoder::open_for`] does.
///
/// If decoding at reduced size fails, the picture is decoded at full size, which tolerates more damage. `hold` is
/// called with a number of bytes before that much memory is allocated; its result is returned with the picture.
///
/// # Errors
/// The same as those of [`Decoder::open`] and [`Decoder::decode`].
pub fn decode_within<H>(
    bytes: &[u8],
    format: Format,
    limits: DecodeLimits,
    side: u32,
    hold: impl Fn(u64) -> H,
) -> Result<(Picture, H), DecodeError> {
    decode_for(bytes, format, limits, (side, false), hold)
}

/// Like [`decode_within`], with the option of [`Decoder::keep_alpha`].
pub(super) fn decode_for<H>(
    bytes: &[u8],
    format: Format,
    limits: DecodeLimits,
    (side, keep_alpha): (u32, bool),
    hold: impl Fn(u64) -> H,
) -> Result<(Picture, H), DecodeError> {
    let decoder = Decoder::open_for(bytes, format, limits, side)?.keep_alpha(keep_alpha);
    let (is_reduced, held) = (decoder.is_reduced, hold(decoder.memory));
    match decoder.decode() {
        Err(_) if is_reduced => {
            drop(held);
            let decoder = Decoder::open(bytes, format, limits)?.keep_alpha(keep_alpha);
            let held = hold(decoder.memory);
            Ok((decoder.decode()?, held))
        }
        result => Ok((result?, held)),
    }
}

/// Memory for converting one pixel to 8-bit RGB, in addition to the decoded pixel, in bytes.
fn conversion_bytes(color: image::ColorType) -> u64 {
    use image::ColorType::{La8, La16, Rgb8, Rgb32F, Rgba8, Rgba16, Rgba32F};
    match color {
        Rgb8 => 0,
        Rgb32F | Rgba32F => 16 + 3 + 1,
        La8 | La16 | Rgba16 => 4 + 3 + 1,
        Rgba8 => 3 + 1,
        _ => 3,
    }
}

/// Runs a decoder and turns a panic into an error for this picture.
fn guarded<T>(run: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    catching_panics(|| catch_unwind(AssertUnwindSafe(run))).unwrap_or_else(|panic| {
        let message =
            panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(DecodeError::new(format!("the decoder panicked: {}", message.unwrap_or("no message"))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limit;
    use image::{Rgb, Rgba, RgbaImage};

    fn png(image: &DynamicImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).expect("it encodes");
        bytes.into_inner()
    }

    fn decode(bytes: &[u8], format: ImageFormat) -> Result<Picture, DecodeError> {
        Decoder::open(bytes, Format::Raster(format), DecodeLimits::default())?.decode()
    }

    #[test]
    fn transparent_pixels_are_composited_on_white() {
        let image = RgbaImage::from_fn(3, 1, |x, _| Rgba([200, 0, 0, [0, 128, 255][x as usize]]));
        let picture = decode(&png(&image.into()), ImageFormat::Png).expect("a picture");
        assert!(picture.has_alpha);
        assert_eq!(picture.pixels.get_pixel(0, 0), &Rgb([255, 255, 255]));
        assert_eq!(picture.pixels.get_pixel(1, 0), &Rgb([227, 127, 127]));
        assert_eq!(picture.pixels.get_pixel(2, 0), &Rgb([200, 0, 0]));
    }

    #[test]
    fn sixteen_bits_and_grey_become_eight_bit_rgb() {
        let deep = image::ImageBuffer::from_pixel(1, 1, image::Luma([0x80FF_u16]));
        let picture = decode(&png(&DynamicImage::ImageLuma16(deep)), ImageFormat::Png).expect("a picture");
        assert_eq!(picture.pixels.get_pixel(0, 0), &Rgb([0x80; 3]));
    }

    #[test]
    fn a_picture_larger_than_the_limit_is_refused_before_it_is_decoded() {
        let bytes = png(&RgbImage::new(100, 100).into());
        let limits = DecodeLimits { memory: 29_999, ..DecodeLimits::default() };
        let error = Decoder::open(&bytes, Format::Raster(ImageFormat::Png), limits).expect_err("too large");
        assert!(error.limit() == Some(Limit::Memory) && error.to_string().contains("the limit is 0 MiB"), "{error}");
        let limits = DecodeLimits { memory: 30_000, ..DecodeLimits::default() };
        assert!(Decoder::open(&bytes, Format::Raster(ImageFormat::Png), limits).is_ok());
    }

    #[test]
    fn a_header_that_promises_a_huge_picture_allocates_nothing() {
        // Farbfeld: magic, width and height; 2^31 by 2^31 pixels of 8 bytes.
        let bytes = [b"farbfeld".as_slice(), &[0x7F, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF]].concat();
        assert!(decode(&bytes, ImageFormat::Farbfeld).is_err());
    }

    #[test]
    fn a_panic_in_a_decoder_is_an_error_of_one_picture() {
        let error = guarded::<()>(|| panic!("index out of bounds")).expect_err("it panicked");
        assert_eq!(error.to_string(), "the decoder panicked: index out of bounds");
        assert!(!imgidx_types::is_panic_caught());
    }

    #[test]
    fn an_empty_file_has_a_reason() {
        for format in [ImageFormat::Png, ImageFormat::Gif, ImageFormat::Jpeg, ImageFormat::Tiff, ImageFormat::Bmp] {
            let error = decode(b"", format).expect_err("no picture");
            assert!(!error.to_string().is_empty());
        }
    }
}
