//! Opens and decodes any supported format within limits.

use std::fmt;
use std::io::Cursor;
use std::time::Duration;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, Luma, RgbImage, RgbaImage};
use serde::{Deserialize, Serialize};

use super::color::Profile;
use super::error::{DecodeError, from_image_error};
use super::format::Format;
use super::heif::Layers;
use super::heif_thumbnail::Thumbnail;
use super::{color, heif, jpeg, jpeg2000, jxl, large_png, psd, raw, svg};
use crate::{DecodeRequest, DecodedFrom, ImageInfo};
use imgidx_types::catching_panics;

/// How many times as many pixels as requested the shorter side keeps after decoding at reduced size. The last step of
/// scaling averages over them.
pub(super) const OVERSAMPLING: u32 = 2;

/// Limits for decoding one picture.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Default)]
pub struct Picture {
    pub(super) pixels: RgbImage,
    pub(super) orientation: Option<Orientation>,
    pub(super) profile: Option<Profile>,
    pub(super) has_alpha: bool,
    /// Opacity of each pixel before compositing on white. `None` if it was not requested, or if all pixels are opaque.
    pub(super) alpha: Option<GrayImage>,
    pub(super) truncated: bool,
    /// Width and height to report where they differ from those of the pixels, as for a rendered vector graphic.
    pub(super) nominal_size: Option<(u32, u32)>,
    /// Width and height of the area that the picture covers, in pixels. A picture that was decoded at reduced size may
    /// cover its last row and column only in part.
    pub(super) filled: Option<(f64, f64)>,
    /// What of the file the pixels are.
    pub(super) decoded_from: DecodedFrom,
}

impl Picture {
    /// Makes a picture from upright, opaque sRGB pixels.
    pub fn from_rgb(pixels: RgbImage) -> Self {
        Self { pixels, ..Self::default() }
    }

    /// Makes a picture from pixels that are means of squares with `divisor` pixels of the file on each side.
    pub(super) fn from_means(pixels: RgbImage, width: u32, height: u32, divisor: u32) -> Self {
        let filled = [width, height].map(|side| f64::from(side) / f64::from(divisor)).into();
        Self { nominal_size: Some((width, height)), filled: Some(filled), ..Self::from_rgb(pixels) }
    }

    /// Makes a picture from upright RGBA pixels. `None` if there are too few.
    pub(super) fn from_rgba(rgba: Vec<u8>, width: u32, height: u32, keeps_alpha: bool) -> Option<Self> {
        let image = DynamicImage::from(RgbaImage::from_raw(width, height, rgba)?);
        let alpha = keeps_alpha.then(|| color::alpha_of(&image)).flatten();
        Some(Self { has_alpha: true, alpha, ..Self::from_rgb(color::to_rgb(image)) })
    }

    /// Makes a picture from colours and an opacity of the same size.
    pub(super) fn from_layers(layers: Layers, keeps_alpha: bool) -> Self {
        let Layers { color: mut pixels, alpha, is_premultiplied } = layers;
        let Some(alpha) = alpha else { return Self::from_rgb(pixels) };
        for (pixel, Luma([alpha])) in pixels.pixels_mut().zip(alpha.pixels()) {
            pixel.0 = pixel.0.map(|value| match is_premultiplied {
                true => value.saturating_add(255 - alpha),
                false => color::on_white(value, *alpha),
            });
        }
        let is_transparent = alpha.pixels().any(|pixel| pixel.0[0] < 255);
        Self { has_alpha: true, alpha: Some(alpha).filter(|_| keeps_alpha && is_transparent), ..Self::from_rgb(pixels) }
    }

    /// Adds the orientation of an EXIF chunk, and a colour profile.
    pub(super) fn with_metadata(self, exif: Option<&[u8]>, profile: Option<Vec<u8>>) -> Self {
        let orientation = exif.and_then(Orientation::from_exif_chunk);
        Self { orientation, profile: profile.map(Profile::Icc), ..self }
    }

    pub(super) fn orientation(&self) -> Orientation {
        self.orientation.unwrap_or(Orientation::NoTransforms)
    }

    /// Swaps width and height if the orientation turns the picture by 90° or 270°.
    pub(super) fn turned(&self, width: u32, height: u32) -> (u32, u32) {
        use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
        match self.orientation() {
            Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH => (height, width),
            _ => (width, height),
        }
    }

    /// Width and height to report, after the orientation has been applied.
    pub(super) fn upright_size(&self) -> (u32, u32) {
        let (width, height) = self.nominal_size.unwrap_or(self.pixels.dimensions());
        self.turned(width, height)
    }

    /// The facts to store. Width and height are those after the orientation has been applied. The capture time is part of
    /// the metadata, which `decode_and_measure` reads.
    pub fn info(&self, format: Format) -> ImageInfo {
        let (width, height) = self.upright_size();
        ImageInfo {
            format: format.name().to_owned(),
            width,
            height,
            orientation: self.orientation().to_exif(),
            has_alpha: self.has_alpha,
            truncated: self.truncated,
            taken: None,
            decoded_from: self.decoded_from,
        }
    }
}

/// A file in a format that has a module of its own. Its header has been read and checked.
pub(super) trait Prepared {
    /// Peak memory for pixels while decoding, in bytes.
    fn decoding_bytes(&self) -> u64;

    /// Whether the picture is decoded at reduced size, by a method that tolerates less damage.
    fn is_reduced(&self) -> bool {
        false
    }

    /// Decodes the picture. The alpha channel is kept on request; colours are on white in any case.
    ///
    /// # Errors
    /// If the data is so damaged that no picture is left.
    fn decode(&self, keeps_alpha: bool) -> Result<Picture, DecodeError>;
}

/// A file whose header has been read and checked, ready to be decoded.
pub struct Decoder<'a> {
    source: Source<'a>,
    /// Peak memory for pixels while decoding, in bytes.
    pub(super) memory: u64,
    /// Whether to keep the alpha channel of raster pictures that are decoded at full size.
    keeps_alpha: bool,
    /// What of the file is decoded.
    decoded_from: DecodedFrom,
}

enum Source<'a> {
    Jpeg { bytes: &'a [u8], markers: jpeg::Markers, divisor: u32 },
    ReducedPng { bytes: &'a [u8], reduced: large_png::Reduced },
    Raster(Box<dyn ImageDecoder + 'a>),
    Svg(Box<svg::Drawing>),
    Prepared(Box<dyn Prepared + 'a>),
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
    /// A large JPEG, PNG or grid of HEIC tiles is then decoded at reduced size: each pixel is the mean of a square, and the shorter side
    /// keeps at least twice as many pixels as requested. The reported width and height stay those of the file.
    ///
    /// # Errors
    /// The same as those of [`Decoder::open`].
    pub fn open_for(bytes: &'a [u8], format: Format, limits: DecodeLimits, side: u32) -> Result<Self, DecodeError> {
        let (source, memory) = guarded(|| open(bytes, format, limits, side))?;
        if memory > limits.memory {
            let (needed, allowed) = (memory.div_ceil(1 << 20), limits.memory >> 20);
            return Err(DecodeError::too_large(format!("decoding needs {needed} MiB; the limit is {allowed} MiB")));
        }
        let decoded_from = if format == Format::Raw { DecodedFrom::Preview } else { DecodedFrom::Whole };
        Ok(Self { source, memory, keeps_alpha: false, decoded_from })
    }

    /// Opens the thumbnail in a file, for a picture that will be scaled down to a shorter side of `side` pixels. `None`
    /// if there is none that can stand in for the whole picture.
    fn open_thumbnail(bytes: &'a [u8], format: Format, limits: DecodeLimits, side: u32) -> Option<Self> {
        if !matches!(format, Format::Heic | Format::Avif) {
            return None;
        }
        let (source, memory) = prepared(Box::new(guarded(|| Ok(Thumbnail::open(bytes, side))).ok()??));
        let decoded_from = DecodedFrom::Thumbnail;
        (memory <= limits.memory).then_some(Self { source, memory, keeps_alpha: false, decoded_from })
    }

    /// Whether the picture is decoded at reduced size, by a method that tolerates less damage.
    fn is_reduced(&self) -> bool {
        match &self.source {
            Source::Prepared(file) => file.is_reduced(),
            source => matches!(source, Source::Jpeg { divisor: 2.., .. } | Source::ReducedPng { .. }),
        }
    }

    /// Decodes the first frame to 8-bit RGB, with alpha composited on white.
    ///
    /// # Errors
    /// If the data is so damaged that no picture is left. At reduced size, any damage may be an error; after
    /// [`Decoder::open`] the same file may still decode.
    pub fn decode(self) -> Result<Picture, DecodeError> {
        let picture = guarded(|| match self.source {
            Source::Jpeg { bytes, markers, divisor } => jpeg::decode(bytes, &markers, divisor),
            Source::ReducedPng { bytes, reduced } => reduced.decode(bytes),
            Source::Svg(drawing) => drawing.render(),
            Source::Prepared(file) => file.decode(self.keeps_alpha),
            Source::Raster(mut decoder) => {
                let orientation = decoder.orientation().ok();
                let exif = decoder.exif_metadata().ok().flatten();
                let profile = decoder.icc_profile().ok().flatten();
                let image = DynamicImage::from_decoder(decoder).map_err(from_image_error)?;
                let has_alpha = image.color().has_alpha();
                let alpha = self.keeps_alpha.then(|| color::alpha_of(&image)).flatten();
                let picture = Picture::from_rgb(color::to_rgb(image)).with_metadata(exif.as_deref(), profile);
                Ok(Picture { orientation, has_alpha, alpha, ..picture })
            }
        })?;
        Ok(Picture { decoded_from: self.decoded_from, ..picture })
    }
}

/// Reads the header. Returns what is needed to decode, and the memory that decoding needs, in bytes.
fn open(bytes: &[u8], format: Format, limits: DecodeLimits, side: u32) -> Result<(Source<'_>, u64), DecodeError> {
    Ok(match format {
        Format::Svg => {
            let drawing = svg::Drawing::parse(bytes)?;
            let memory = drawing.decoding_bytes();
            (Source::Svg(Box::new(drawing)), memory)
        }
        Format::Heic | Format::Avif => prepared(heif::open(bytes, side)?),
        Format::Jxl => prepared(Box::new(jxl::Jxl::open(bytes, limits)?)),
        Format::Jpeg2000 => prepared(Box::new(jpeg2000::Jpeg2000::open(bytes)?)),
        Format::Psd => prepared(Box::new(psd::Psd::open(bytes)?)),
        Format::Raw => match raw::Preview::open(bytes, side) {
            Ok(preview) => prepared(Box::new(preview)),
            // Small previews may be uncompressed, as in other TIFF files.
            Err(error) => open(bytes, Format::Raster(ImageFormat::Tiff), limits, side).map_err(|_| error)?,
        },
        Format::Raster(ImageFormat::Jpeg) => {
            let markers = jpeg::read_markers(bytes)?;
            let divisor = markers.divisor(side);
            let memory = markers.decoding_bytes(divisor);
            (Source::Jpeg { bytes, markers, divisor }, memory)
        }
        Format::Raster(ImageFormat::Png) if let Some(reduced) = large_png::Reduced::new(bytes, side) => {
            (Source::ReducedPng { bytes, reduced }, reduced.decoding_bytes())
        }
        Format::Raster(format) => {
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
            (Source::Raster(Box::new(decoder)), memory)
        }
    })
}

fn prepared(file: Box<dyn Prepared + '_>) -> (Source<'_>, u64) {
    let memory = file.decoding_bytes();
    (Source::Prepared(file), memory)
}

/// Decodes a picture for a request, as [`Decoder::open_for`] does, without measuring or scaling it.
///
/// A quick request is met by the thumbnail in the file, if there is one that can be decoded. If decoding at reduced size
/// fails, the picture is decoded at full size, which tolerates more damage. `hold` is called with a number of bytes before
/// that much memory is allocated; its result is returned with the picture.
///
/// # Errors
/// The same as those of [`Decoder::open`] and [`Decoder::decode`].
pub fn decode_within<H>(
    bytes: &[u8],
    format: Format,
    limits: DecodeLimits,
    request: &DecodeRequest,
    hold: impl Fn(u64) -> H,
) -> Result<(Picture, H), DecodeError> {
    if request.quick
        && let Some(decoder) = Decoder::open_thumbnail(bytes, format, limits, request.thumbnail_side())
    {
        let held = hold(decoder.memory);
        if let Ok(picture) = decoder.decode() {
            return Ok((picture, held));
        }
    }
    let open = |side| {
        let decoder = Decoder::open_for(bytes, format, limits, side)?;
        Ok::<_, DecodeError>((hold(decoder.memory), Decoder { keeps_alpha: request.alpha, ..decoder }))
    };
    // A PNG that is decoded at reduced size has no alpha channel.
    let needs_full_size = request.alpha && format == Format::Raster(ImageFormat::Png);
    let (held, decoder) = open(if needs_full_size { u32::MAX } else { request.side })?;
    let is_reduced = decoder.is_reduced();
    match decoder.decode() {
        Err(_) if is_reduced => {
            drop(held);
            let (held, decoder) = open(u32::MAX)?;
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
    catching_panics(run).unwrap_or_else(|panic| Err(DecodeError::new(format!("the decoder panicked: {panic}"))))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{Filter, Fit, Limit};
    use image::{Rgb, Rgba, RgbaImage};

    pub(crate) fn png(image: &DynamicImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).expect("it encodes");
        bytes.into_inner()
    }

    /// A picture with detail of every size that fades from transparent to opaque.
    pub(crate) fn detailed(width: u32, height: u32) -> DynamicImage {
        let pixel = |x: u32, y: u32| {
            let wave = |length: f32| ((x as f32 + 0.7 * y as f32) / length).sin() * 40.0;
            let value = 128.0 + wave(7.0) + wave(60.0) + wave(900.0);
            Rgba([value as u8, (value * 0.8) as u8, (255.0 - value) as u8, (x / 6).min(255) as u8])
        };
        RgbaImage::from_fn(width, height, pixel).into()
    }

    /// Decodes a picture that will be scaled down to a shorter side of `side` pixels.
    pub(crate) fn decode_for(bytes: &[u8], format: ImageFormat, side: u32) -> Result<Picture, DecodeError> {
        let request = DecodeRequest { side, ..DecodeRequest::default() };
        Ok(decode_within(bytes, Format::Raster(format), DecodeLimits::default(), &request, |_| ())?.0)
    }

    /// Mean difference of the bytes of two pictures that were scaled down to `side` pixels.
    pub(crate) fn difference(a: &Picture, b: &Picture, side: u32) -> f64 {
        let [a, b] = [a, b].map(|picture| picture.resized(Fit::Inside, side, side, Filter::Bicubic));
        a.iter().zip(b.iter()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
    }

    #[test]
    fn transparent_pixels_are_composited_on_white() {
        let image = RgbaImage::from_fn(3, 1, |x, _| Rgba([200, 0, 0, [0, 128, 255][x as usize]]));
        let picture = decode_for(&png(&image.into()), ImageFormat::Png, u32::MAX).expect("a picture");
        assert!(picture.has_alpha);
        assert_eq!(picture.pixels.get_pixel(0, 0), &Rgb([255, 255, 255]));
        assert_eq!(picture.pixels.get_pixel(1, 0), &Rgb([227, 127, 127]));
        assert_eq!(picture.pixels.get_pixel(2, 0), &Rgb([200, 0, 0]));
    }

    #[test]
    fn sixteen_bits_and_grey_become_eight_bit_rgb() {
        let deep = image::ImageBuffer::from_pixel(1, 1, image::Luma([0x80FF_u16]));
        let picture =
            decode_for(&png(&DynamicImage::ImageLuma16(deep)), ImageFormat::Png, u32::MAX).expect("a picture");
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
        assert!(decode_for(&bytes, ImageFormat::Farbfeld, u32::MAX).is_err());
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
            let error = decode_for(b"", format, u32::MAX).expect_err("no picture");
            assert!(!error.to_string().is_empty());
        }
    }
}
