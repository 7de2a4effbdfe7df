//! JPEG XL (ISO/IEC 18181), decoded by the libjxl project's decoder in Rust.

use image::{DynamicImage, GrayImage, Rgb32FImage, RgbImage, RgbaImage};
use jxl::api::{
    Endianness, Event, ExtraChannel, JxlColorEncoding, JxlColorProfile, JxlColorType, JxlDataFormat, JxlDecoder,
    JxlDecoderOptions, JxlOutputBuffer, JxlPixelFormat, JxlPrimaries, JxlTransferFunction, ProfileLevel,
};

use super::code_points::CodePoints;
use super::color::{Profile, alpha_of, to_rgb};
use super::decode::{DecodeLimits, Picture, Prepared};
use super::error::{DecodeError, damaged};

/// A file whose header has been read.
pub(super) struct Jxl<'a> {
    bytes: &'a [u8],
    max_samples: usize,
    header: Header,
}

/// Facts from the header. Width and height are those of the upright picture.
#[derive(Debug, Clone)]
struct Header {
    width: usize,
    height: usize,
    extra_channels: usize,
    has_alpha: bool,
    is_gray: bool,
    is_animation: bool,
    profile: Option<Profile>,
    /// Whether values are proportional to light. Eight bits would not be enough for them.
    is_linear: bool,
}

/// Starts decoding, reads the header, and asks for a pixel format that fits it.
fn start(bytes: &[u8], max_samples: usize) -> Result<(JxlDecoder, &[u8], Header), DecodeError> {
    let mut options = JxlDecoderOptions::default();
    options.sample_limit = Some(max_samples);
    options.max_profile_level = ProfileLevel::Main10;
    let mut decoder = JxlDecoder::new(options);
    let mut rest = bytes;
    match decoder.process(&mut rest, None, None).map_err(jxl_error)? {
        Event::BasicInfo => {}
        _ => return Err(DecodeError::new("the file ends before the picture's dimensions")),
    }
    let missing = || DecodeError::new("the file ends before the picture's dimensions");
    let info = decoder.basic_info().ok_or_else(missing)?;
    let is_gray = decoder.current_pixel_format().is_some_and(|format| format.color_type.is_grayscale());
    let profile = decoder.output_color_profile();
    let is_linear = profile.and_then(JxlColorProfile::transfer_function) == Some(&JxlTransferFunction::Linear);
    let header = Header {
        width: info.size.0,
        height: info.size.1,
        extra_channels: info.extra_channels.len(),
        has_alpha: info.extra_channels.iter().any(|channel| channel.ec_type == ExtraChannel::Alpha),
        is_gray,
        is_animation: info.animation.is_some(),
        profile: profile.and_then(profile_of),
        is_linear,
    };
    decoder
        .set_pixel_format(JxlPixelFormat {
            color_type: header.color_type(),
            color_data_format: Some(match is_linear {
                true => JxlDataFormat::F32 { endianness: Endianness::native() },
                false => JxlDataFormat::U8 { bit_depth: 8 },
            }),
            extra_channel_format: vec![None; header.extra_channels],
        })
        .map_err(jxl_error)?;
    Ok((decoder, rest, header))
}

impl Header {
    fn color_type(&self) -> JxlColorType {
        match (self.is_gray, self.has_alpha) {
            (true, false) => JxlColorType::Grayscale,
            (true, true) => JxlColorType::GrayscaleAlpha,
            (false, false) => JxlColorType::Rgb,
            (false, true) => JxlColorType::Rgba,
        }
    }

    fn samples(&self) -> usize {
        self.width * self.height * self.color_type().samples_per_pixel()
    }

    /// Makes an image from samples of 8 bits.
    fn image(&self, samples: Vec<u8>) -> Option<DynamicImage> {
        let (width, height) = (u32::try_from(self.width).ok()?, u32::try_from(self.height).ok()?);
        Some(match self.color_type() {
            JxlColorType::Grayscale => GrayImage::from_raw(width, height, samples)?.into(),
            JxlColorType::GrayscaleAlpha => {
                DynamicImage::ImageLumaA8(image::ImageBuffer::from_raw(width, height, samples)?)
            }
            JxlColorType::Rgba => RgbaImage::from_raw(width, height, samples)?.into(),
            _ => RgbImage::from_raw(width, height, samples)?.into(),
        })
    }

    /// Makes an image from samples of linear light.
    fn linear_image(&self, samples: Vec<f32>) -> Option<DynamicImage> {
        let (width, height) = (u32::try_from(self.width).ok()?, u32::try_from(self.height).ok()?);
        Some(match self.color_type() {
            JxlColorType::Grayscale => {
                let samples = samples.into_iter().flat_map(|value| [value; 3]).collect();
                Rgb32FImage::from_raw(width, height, samples)?.into()
            }
            JxlColorType::GrayscaleAlpha => {
                let pixels =
                    samples.as_chunks::<2>().0.iter().flat_map(|[value, alpha]| [*value, *value, *value, *alpha]);
                DynamicImage::ImageRgba32F(image::ImageBuffer::from_raw(width, height, pixels.collect())?)
            }
            JxlColorType::Rgba => DynamicImage::ImageRgba32F(image::ImageBuffer::from_raw(width, height, samples)?),
            _ => Rgb32FImage::from_raw(width, height, samples)?.into(),
        })
    }
}

impl<'a> Jxl<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// If it is damaged, or if the picture is far larger than the limits allow.
    pub(super) fn open(bytes: &'a [u8], limits: DecodeLimits) -> Result<Self, DecodeError> {
        // A sample takes at least four bytes.
        let max_samples = usize::try_from(limits.memory / 4).unwrap_or(usize::MAX);
        let (_, _, header) = start(bytes, max_samples)?;
        if header.width == 0 || header.height == 0 {
            return Err(DecodeError::new("the picture has no pixels"));
        }
        Ok(Self { bytes, max_samples, header })
    }

    /// Whether the file is an animation.
    pub(super) fn is_animation(&self) -> bool {
        self.header.is_animation
    }
}

impl Prepared for Jxl<'_> {
    /// Two planes of floating-point numbers for each channel while they are filtered, the samples, and RGB.
    fn decoding_bytes(&self) -> u64 {
        let Header { width, height, extra_channels, is_linear, .. } = self.header;
        let pixels = (width as u64).saturating_mul(height as u64);
        let sample = if is_linear { 4 + 4 } else { 1 };
        pixels.saturating_mul(2 * 4 * 3 / 2 + 4 * extra_channels as u64 + 4 * sample + 3)
    }

    fn decode(&self, keeps_alpha: bool) -> Result<Picture, DecodeError> {
        let (mut decoder, mut rest, header) = start(self.bytes, self.max_samples)?;
        let height = header.height;
        let mut finish = |buffer: &mut [u8]| {
            let stride = buffer.len() / height;
            let mut output = JxlOutputBuffer::new(buffer, height, stride);
            loop {
                let event = decoder.process(&mut rest, Some(std::slice::from_mut(&mut output)), None);
                match event.map_err(jxl_error)? {
                    Event::FrameHeader | Event::BasicInfo => {}
                    Event::FrameComplete { .. } => return Ok(false),
                    Event::NeedMoreInput { .. } | Event::Complete => break,
                }
            }
            match decoder.flush_pixels(std::slice::from_mut(&mut output), None) {
                Ok(true) => Ok(true),
                _ => Err(DecodeError::new("the file ends before the picture is complete")),
            }
        };
        let (image, truncated) = if header.is_linear {
            let mut samples = vec![0_f32; header.samples()];
            let truncated = finish(bytemuck::cast_slice_mut(&mut samples))?;
            (header.linear_image(samples), truncated)
        } else {
            let mut samples = vec![0; header.samples()];
            let truncated = finish(&mut samples)?;
            (header.image(samples), truncated)
        };
        let image = image.ok_or_else(|| DecodeError::new("the picture has no size"))?;
        let alpha = keeps_alpha.then(|| alpha_of(&image)).flatten();
        Ok(Picture {
            profile: header.profile.filter(|_| !header.is_linear),
            has_alpha: header.has_alpha,
            alpha,
            truncated,
            ..Picture::from_rgb(to_rgb(image))
        })
    }
}

/// The colour space of the decoded pixels.
fn profile_of(profile: &JxlColorProfile) -> Option<Profile> {
    let encoding = match profile {
        JxlColorProfile::Icc(icc) => return Some(Profile::Icc(icc.clone())),
        JxlColorProfile::Simple(encoding) => encoding,
    };
    let (primaries, transfer) = match encoding {
        JxlColorEncoding::RgbColorSpace { primaries, transfer_function, .. } => (Some(primaries), transfer_function),
        JxlColorEncoding::GrayscaleColorSpace { transfer_function, .. } => (None, transfer_function),
        JxlColorEncoding::XYB { .. } => return None,
    };
    let primaries = match primaries {
        Some(JxlPrimaries::BT2100) => 9,
        Some(JxlPrimaries::P3) => 12,
        Some(JxlPrimaries::Chromaticities { .. }) => return profile.try_as_icc().map(|icc| Profile::Icc(icc.to_vec())),
        Some(JxlPrimaries::SRGB) | None => 1,
    };
    let transfer = match transfer {
        JxlTransferFunction::PQ => 16,
        JxlTransferFunction::HLG => 18,
        JxlTransferFunction::Gamma(gamma) if (0.43..0.48).contains(gamma) => 4,
        JxlTransferFunction::Gamma(_) | JxlTransferFunction::DCI => {
            return profile.try_as_icc().map(|icc| Profile::Icc(icc.to_vec()));
        }
        JxlTransferFunction::BT709 | JxlTransferFunction::SRGB | JxlTransferFunction::Linear => 13,
    };
    CodePoints::new(primaries, transfer).map(Profile::CodePoints)
}

fn jxl_error(error: jxl::error::Error) -> DecodeError {
    use jxl::error::Error;
    match error {
        Error::OutOfBounds(_) => DecodeError::new("the file ends before the picture is complete"),
        Error::ImageSizeTooLarge(..) | Error::OutOfMemory(_) => {
            DecodeError::too_large("decoding needs more memory than is allowed")
        }
        other => damaged(other),
    }
}
