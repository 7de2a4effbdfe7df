//! Decodes large PNG files at reduced size, row by row.
//!
//! A picture that is far larger than requested is averaged over squares while it is decoded, so that it is never in
//! memory as a whole.

use std::io::Cursor;

use image::RgbImage;
use png::{ColorType, Transformations};

use super::color::on_white;
use super::decode::{OVERSAMPLING, Picture};
use super::error::{DecodeError, damaged};

/// Maximum number of pixels of a file that is decoded at reduced size: about ten seconds of work. A larger file goes to
/// the decoder for full size, where it exceeds any realistic memory limit.
const MAX_PIXELS: u64 = 1 << 31;

/// Maximum number of rows of bytes whose sums fit into 16 bits.
const MAX_ROWS: u32 = 257;

/// How to decode a file at reduced size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reduced {
    width: u32,
    height: u32,
    /// Side of the squares in pixels.
    divisor: u32,
}

impl Reduced {
    /// Reduced size for a shorter side of `side` pixels; `None` if the file is too small, too large or interlaced.
    pub(crate) fn new(bytes: &[u8], side: u32) -> Option<Self> {
        // Signature, length and type of the first chunk, and the header (PNG, third edition, 11.2.1).
        let header = bytes.get(..33).filter(|header| &header[12..16] == b"IHDR")?;
        let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (width, height, is_interlaced) = (number(16), number(20), header[28] != 0);
        let divisor = (width.min(height) / side.saturating_mul(OVERSAMPLING).max(1)).min(MAX_ROWS);
        let is_bounded = u64::from(width) * u64::from(height) <= MAX_PIXELS;
        (divisor > 1 && !is_interlaced && is_bounded).then_some(Self { width, height, divisor })
    }

    /// Memory for decoding in bytes: the reduced picture, and some rows with at most eight bytes per pixel.
    pub(crate) fn decoding_bytes(&self) -> u64 {
        let pixels = u64::from(self.width.div_ceil(self.divisor)) * u64::from(self.height.div_ceil(self.divisor));
        3 * pixels + u64::from(self.width) * (3 * 8 + 2 * 3)
    }

    /// Decodes the file; each pixel is the mean of a square.
    ///
    /// # Errors
    /// If the file is damaged. Decoding at full size may still recover a picture.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<Picture, DecodeError> {
        let Self { width, height, divisor } = *self;
        let mut decoder = png::Decoder::new(Cursor::new(bytes));
        decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
        let mut reader = decoder.read_info().map_err(damaged)?;
        let color = reader.output_color_type().0;
        let info = reader.info();
        let exif = info.exif_metadata.as_deref().map(<[u8]>::to_vec);
        let profile = info.icc_profile.as_deref().map(<[u8]>::to_vec);
        let mut row_on_white = vec![0; 3 * width as usize];
        // Sums over the rows of the current squares, one for each byte of a row.
        let mut sums = vec![0_u16; row_on_white.len()];
        let (mut rows, mut pixels) = (0, Vec::new());
        while let Some(row) = reader.next_row().map_err(damaged)? {
            let row = to_rgb(row.data(), color, &mut row_on_white);
            sums.iter_mut().zip(row).for_each(|(sum, byte)| *sum += u16::from(*byte));
            rows += 1;
            if rows % divisor == 0 || rows == height {
                pixels.extend(means(&sums, divisor, (rows - 1) % divisor + 1));
                sums.fill(0);
            }
        }
        let pixels = RgbImage::from_raw(width.div_ceil(divisor), height.div_ceil(divisor), pixels)
            .ok_or_else(|| DecodeError::new("the decoder returned too few rows"))?;
        let has_alpha = matches!(color, ColorType::Rgba | ColorType::GrayscaleAlpha);
        let picture = Picture::from_means(pixels, width, height, divisor).with_metadata(exif.as_deref(), profile);
        Ok(Picture { has_alpha, ..picture })
    }
}

/// Converts a row to RGB on white. The result is the row itself or in `buffer`.
fn to_rgb<'a>(row: &'a [u8], color: ColorType, buffer: &'a mut [u8]) -> &'a [u8] {
    let pixels = buffer.as_chunks_mut::<3>().0.iter_mut();
    match color {
        ColorType::Rgb => return row,
        ColorType::Rgba => pixels.zip(row.as_chunks::<4>().0).for_each(|(pixel, [r, g, b, a])| {
            *pixel = [on_white(*r, *a), on_white(*g, *a), on_white(*b, *a)];
        }),
        ColorType::GrayscaleAlpha => pixels.zip(row.as_chunks::<2>().0).for_each(|(pixel, [grey, a])| {
            *pixel = [on_white(*grey, *a); 3];
        }),
        ColorType::Grayscale | ColorType::Indexed => pixels.zip(row).for_each(|(pixel, grey)| *pixel = [*grey; 3]),
    }
    buffer
}

/// Means of the squares that `rows` rows with these sums are divided into.
fn means(sums: &[u16], divisor: u32, rows: u32) -> impl Iterator<Item = u8> {
    sums.chunks(3 * divisor as usize).flat_map(move |square| {
        let mut sums = [0_u32; 3];
        for pixel in square.as_chunks::<3>().0 {
            sums.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += u32::from(*x));
        }
        let count = (square.len() / 3) as u32 * rows;
        sums.map(|sum| ((sum + count / 2) / count) as u8)
    })
}

#[cfg(test)]
mod tests {
    use super::super::decode::tests::{decode_for, detailed, difference, png};
    use super::*;
    use crate::{DecodeLimits, Decoder, Format};
    use image::{DynamicImage, ImageFormat};

    #[test]
    fn a_large_file_of_any_kind_is_averaged_while_it_is_decoded_and_looks_the_same() {
        let rgba = detailed(1501, 907);
        let kinds = [
            DynamicImage::from(rgba.to_rgb8()),
            DynamicImage::from(rgba.to_luma8()),
            DynamicImage::from(rgba.to_luma_alpha8()),
            DynamicImage::from(rgba.to_rgba16()),
            rgba,
        ];
        for image in kinds {
            let bytes = png(&image);
            let whole = decode_for(&bytes, ImageFormat::Png, u32::MAX).expect("a picture");
            let (format, limits) = (Format::Raster(ImageFormat::Png), DecodeLimits::default());
            let decoder = Decoder::open_for(&bytes, format, limits, 100).expect("a header");
            assert!(decoder.memory < 400_000, "{:?}: {} bytes", image.color(), decoder.memory);
            let reduced = decoder.decode().expect("a picture");
            assert_eq!(reduced.pixels.dimensions(), (1501_u32.div_ceil(4), 907_u32.div_ceil(4)));
            assert_eq!((reduced.upright_size(), reduced.has_alpha), (whole.upright_size(), whole.has_alpha));
            let mean = difference(&whole, &reduced, 100);
            assert!(mean < 1.0, "{:?}: {mean}", image.color());
        }
    }

    #[test]
    fn a_square_is_the_mean_of_its_pixels_even_at_the_edge_of_the_picture() {
        let image = RgbImage::from_fn(7, 5, |x, y| image::Rgb([(10 * x) as u8, (20 * y) as u8, 7]));
        let reduced = Reduced { width: 7, height: 5, divisor: 3 };
        let picture = reduced.decode(&png(&image.into())).expect("a picture");
        let pixel = |x, y| picture.pixels.get_pixel(x, y).0;
        assert_eq!((pixel(0, 0), pixel(2, 0), pixel(2, 1)), ([10, 20, 7], [60, 20, 7], [60, 70, 7]));
    }

    #[test]
    fn a_large_truncated_file_is_rejected_like_a_small_one() {
        let mut bytes = png(&detailed(1501, 907));
        bytes.truncate(bytes.len() / 2);
        let reason = |side| decode_for(&bytes, ImageFormat::Png, side).expect_err("it is truncated");
        assert_eq!(reason(100), reason(u32::MAX));
    }
}
