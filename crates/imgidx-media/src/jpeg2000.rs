//! JPEG 2000 (ISO/IEC 15444-1): JP2 files and bare codestreams.

use hayro_jpeg2000::{ColorSpace, DecodeSettings, DecoderContext, Image};
use image::{DynamicImage, GrayImage, ImageBuffer, RgbImage, RgbaImage};

use super::color::{Profile, alpha_of, to_rgb};
use super::decode::{Picture, Prepared};
use super::error::{DecodeError, damaged};
use super::jpeg::paper_to_rgb;

/// A file whose header has been read.
pub(super) struct Jpeg2000<'a> {
    image: Image<'a>,
}

impl<'a> Jpeg2000<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// If it is damaged.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let image = Image::new(bytes, &DecodeSettings::default()).map_err(damaged)?;
        if image.width() == 0 || image.height() == 0 {
            return Err(DecodeError::new("the picture has no pixels"));
        }
        Ok(Self { image })
    }

    /// Number of channels of a pixel, with alpha.
    fn channels(&self) -> usize {
        usize::from(self.image.color_space().num_channels()) + usize::from(self.image.has_alpha())
    }
}

impl Prepared for Jpeg2000<'_> {
    /// Coefficients and samples as floating-point numbers, samples of 8 bits, and RGB.
    fn decoding_bytes(&self) -> u64 {
        let pixels = u64::from(self.image.width()) * u64::from(self.image.height());
        pixels.saturating_mul(self.channels() as u64 * (4 + 4 + 1) + 4 + 3)
    }

    fn decode(&self, keeps_alpha: bool) -> Result<Picture, DecodeError> {
        let (width, height) = (self.image.width(), self.image.height());
        let mut context = DecoderContext::default();
        let decoded = self.image.decode(&mut context).map_err(damaged)?;
        let pixels = width as usize * height as usize;
        let components = decoded.components();
        if components.len() != self.channels() || components.iter().any(|one| one.samples().len() < pixels) {
            return Err(DecodeError::new("damaged: the channels have different sizes"));
        }
        let samples = decoded.data_u8();
        let (space, has_alpha) = (self.image.color_space(), self.image.has_alpha());
        let image: Option<DynamicImage> = match (space.num_channels(), has_alpha) {
            (1, false) => GrayImage::from_raw(width, height, samples).map(Into::into),
            (1, true) => ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLumaA8),
            (3, false) => RgbImage::from_raw(width, height, samples).map(Into::into),
            (3, true) => RgbaImage::from_raw(width, height, samples).map(Into::into),
            (4, _) => {
                let inks = samples.chunks_exact(self.channels());
                let rgb = inks.flat_map(|ink| paper_to_rgb([0, 1, 2, 3].map(|channel| 255 - ink[channel])));
                RgbImage::from_raw(width, height, rgb.collect()).map(Into::into)
            }
            (channels, _) => return Err(DecodeError::new(format!("not supported: {channels} colour channels"))),
        };
        let image = image.ok_or_else(|| DecodeError::new("the decoder returned too few pixels"))?;
        let profile = match space {
            ColorSpace::Icc { profile, num_channels: 3 } => Some(Profile::Icc(profile.clone())),
            _ => None,
        };
        let alpha = keeps_alpha.then(|| alpha_of(&image)).flatten();
        Ok(Picture { profile, has_alpha, alpha, ..Picture::from_rgb(to_rgb(image)) })
    }
}
