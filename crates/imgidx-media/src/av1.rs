//! Decodes one AV1 picture to RGB: the pixels of an AVIF file without its container.

use std::ops::Deref;

use image::{GrayImage, RgbImage};
use re_rav1d::{Decoder, Picture, PixelLayout, PlanarImageComponent, Plane, Settings};
use yuv::{YuvError, YuvGrayImage, YuvPlanarImage, YuvRange, YuvStandardMatrix};

use super::error::{DecodeError, damaged};

/// Maximum number of times that the decoder may ask for the rest of its data.
const MAX_ATTEMPTS: u32 = 1000;

/// How the colours are coded: matrix coefficients of ITU-T H.273, and whether values use the full range.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coding {
    pub matrix: u16,
    pub is_full_range: bool,
}

/// The samples of one component, with 8 bits each.
enum Samples {
    Coded(Plane),
    Reduced(Vec<u8>),
}

impl Deref for Samples {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Coded(plane) => plane,
            Self::Reduced(samples) => samples,
        }
    }
}

/// A decoded frame.
pub(super) struct Av1Frame {
    picture: Picture,
    coding: Coding,
}

impl Av1Frame {
    /// Decodes the first frame of a bitstream. `coding` replaces what the bitstream says, as containers may.
    ///
    /// # Errors
    /// If the data is damaged, or if the frame has more than `max_pixels` pixels.
    pub(super) fn decode(
        data: &[u8],
        max_pixels: u32,
        operating_point: u8,
        coding: Option<Coding>,
    ) -> Result<Self, DecodeError> {
        if data.is_empty() {
            return Err(DecodeError::new("the picture has no data"));
        }
        let mut settings = Settings::new();
        settings.set_n_threads(1);
        settings.set_max_frame_delay(1);
        settings.set_all_layers(false);
        settings.set_operating_point(operating_point.min(31).into());
        settings.set_frame_size_limit(max_pixels.max(1));
        let failed = |error: re_rav1d::Error| match error {
            re_rav1d::Error::NotEnoughMemory => DecodeError::too_large("decoding needs more memory than is allowed"),
            re_rav1d::Error::Again => DecodeError::new("the file ends before the picture is complete"),
            _ => damaged("invalid AV1 data"),
        };
        let mut decoder = Decoder::with_settings(&settings).map_err(failed)?;
        let mut sent = decoder.send_data(data.to_vec(), None, None, None);
        // A decoder of one thread takes all data at once, or asks for its pictures to be collected first.
        let mut attempts = 0;
        let picture = loop {
            attempts += 1;
            match decoder.get_picture() {
                Ok(picture) => break picture,
                Err(re_rav1d::Error::Again) if sent == Err(re_rav1d::Error::Again) && attempts < MAX_ATTEMPTS => {
                    sent = decoder.send_pending_data();
                    sent.or_else(|error| if error.is_again() { Ok(()) } else { Err(error) }).map_err(failed)?;
                }
                Err(error) => return Err(failed(sent.err().filter(|error| !error.is_again()).unwrap_or(error))),
            }
        };
        let in_stream = Coding { matrix: picture.matrix_coefficients() as u16, is_full_range: is_full_range(&picture) };
        Ok(Self { coding: coding.unwrap_or(in_stream), picture })
    }

    /// Colour primaries and transfer characteristics that the bitstream states (ITU-T H.273).
    pub(super) fn code_points(&self) -> (u16, u16) {
        (self.picture.color_primaries() as u16, self.picture.transfer_characteristic() as u16)
    }

    /// The brightness as an opacity from 0 to 255.
    pub(super) fn to_alpha(&self) -> Result<GrayImage, DecodeError> {
        let (width, height) = (self.picture.width(), self.picture.height());
        let (plane, stride) = self.plane(PlanarImageComponent::Y);
        let expand = |value: u8| match self.coding.is_full_range {
            true => value,
            false => ((u32::from(value).saturating_sub(16) * 255 + 109) / 219).min(255) as u8,
        };
        let rows = plane.chunks(stride as usize).take(height as usize);
        let opacity: Vec<u8> = rows.flat_map(|row| row.iter().take(width as usize).map(|x| expand(*x))).collect();
        GrayImage::from_raw(width, height, opacity)
            .ok_or_else(|| DecodeError::new("the decoder returned too few pixels"))
    }

    /// Converts the frame to 8-bit RGB.
    ///
    /// # Errors
    /// If the colours are coded in a way that is not supported.
    pub(super) fn to_rgb(&self) -> Result<RgbImage, DecodeError> {
        let (width, height) = (self.picture.width(), self.picture.height());
        let mut pixels = RgbImage::new(width, height);
        let range = if self.coding.is_full_range { YuvRange::Full } else { YuvRange::Limited };
        let layout = self.picture.pixel_layout();
        let (y_plane, y_stride) = self.plane(PlanarImageComponent::Y);
        let y_plane = &*y_plane;
        let converted = if layout == PixelLayout::I400 {
            let gray = YuvGrayImage { y_plane, y_stride, width, height };
            yuv::yuv400_to_rgb(&gray, &mut pixels, 3 * width, range, YuvStandardMatrix::Bt601)
        } else {
            let (u_plane, u_stride) = self.plane(PlanarImageComponent::U);
            let (v_plane, v_stride) = self.plane(PlanarImageComponent::V);
            let (u_plane, v_plane) = (&*u_plane, &*v_plane);
            let planes = YuvPlanarImage { y_plane, y_stride, u_plane, u_stride, v_plane, v_stride, width, height };
            convert(&planes, layout, self.coding.matrix, self.code_points().0, range, &mut pixels)?
        };
        converted.map_err(damaged)?;
        Ok(pixels)
    }

    /// A plane in 8 bits, and its stride in samples. Deeper samples are rounded.
    fn plane(&self, component: PlanarImageComponent) -> (Samples, u32) {
        let stride = self.picture.stride(component);
        let plane = self.picture.plane(component);
        let depth = self.picture.bit_depth();
        if depth == 8 {
            return (Samples::Coded(plane), stride);
        }
        let (max, shift) = ((1_u32 << depth) - 1, depth - 8);
        let samples = plane.as_chunks::<2>().0.iter().map(|bytes| u32::from(u16::from_ne_bytes(*bytes)).min(max));
        // Limited range scales by a power of two: 16 and 235 stay black and white.
        let reduced: Vec<u8> = match self.coding.is_full_range {
            true => samples.map(|value| ((value * 255 + max / 2) / max) as u8).collect(),
            false => samples.map(|value| ((value + (1 << (shift - 1))) >> shift).min(255) as u8).collect(),
        };
        (Samples::Reduced(reduced), stride / 2)
    }
}

fn is_full_range(picture: &Picture) -> bool {
    picture.color_range() == re_rav1d::pixel::YUVRange::Full
}

/// Converts planes by matrix coefficients of ITU-T H.273, table 4.
fn convert(
    planes: &YuvPlanarImage<'_, u8>,
    layout: PixelLayout,
    matrix: u16,
    primaries: u16,
    range: YuvRange,
    pixels: &mut RgbImage,
) -> Result<Result<(), YuvError>, DecodeError> {
    let stride = 3 * planes.width;
    let standard = match (matrix, primaries) {
        (0, _) if layout == PixelLayout::I444 => return Ok(yuv::gbr_to_rgb(planes, pixels, stride, range)),
        (0, _) => return Err(DecodeError::new("damaged: RGB with reduced colour resolution")),
        (8, _) => {
            return Ok(match layout {
                PixelLayout::I420 => yuv::ycgco420_to_rgb(planes, pixels, stride, range),
                PixelLayout::I422 => yuv::ycgco422_to_rgb(planes, pixels, stride, range),
                _ => yuv::ycgco444_to_rgb(planes, pixels, stride, range),
            });
        }
        (1, _) | (12, 1) => YuvStandardMatrix::Bt709,
        (4, _) => YuvStandardMatrix::Fcc,
        (7, _) => YuvStandardMatrix::Smpte240,
        (9 | 10, _) | (12 | 13, 9) => YuvStandardMatrix::Bt2020,
        (11 | 14, _) => return Err(DecodeError::new(format!("not supported: colours coded with matrix {matrix}"))),
        // Unspecified means BT.601, as in JPEG.
        _ => YuvStandardMatrix::Bt601,
    };
    Ok(match layout {
        PixelLayout::I420 => yuv::yuv420_to_rgb(planes, pixels, stride, range, standard),
        PixelLayout::I422 => yuv::yuv422_to_rgb(planes, pixels, stride, range, standard),
        _ => yuv::yuv444_to_rgb(planes, pixels, stride, range, standard),
    })
}
