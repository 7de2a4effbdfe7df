//! Decodes large PNG files at reduced size, row by row.
//!
//! A picture that is far larger than requested is averaged over squares while it is decoded, so that it is never in
//! memory as a whole.

use std::io::Cursor;

use image::RgbImage;
use image::metadata::Orientation;
use png::{ColorType, Transformations};

use super::camera;
use super::color::on_white;
use super::decode::Picture;
use super::error::{DecodeError, damaged};

/// How many times as many pixels as requested the shorter side keeps. The last step of scaling averages over them.
const OVERSAMPLING: u32 = 2;

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
        let mut decoder = png::Decoder::new(Cursor::new(bytes));
        decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
        let mut reader = decoder.read_info().map_err(damaged)?;
        let color = reader.output_color_type().0;
        let info = reader.info();
        let exif = info.exif_metadata.as_deref().map(<[u8]>::to_vec);
        let profile = info.icc_profile.as_deref().map(<[u8]>::to_vec);
        let mut means = Means::new(*self);
        while let Some(row) = reader.next_row().map_err(damaged)? {
            means.add(row.data(), color);
        }
        let mut picture = Picture::from_rgb(means.finish()?);
        picture.orientation = exif.as_deref().and_then(Orientation::from_exif_chunk);
        picture.taken = exif.as_deref().and_then(camera::taken);
        picture.profile = profile;
        picture.has_alpha = matches!(color, ColorType::Rgba | ColorType::GrayscaleAlpha);
        picture.nominal_size = Some((self.width, self.height));
        picture.filled = Some([self.width, self.height].map(|side| f64::from(side) / f64::from(self.divisor)).into());
        Ok(picture)
    }
}

/// Computes means of squares from one row at a time.
struct Means {
    reduced: Reduced,
    /// Buffer for the current row, composited on white.
    row: Vec<u8>,
    /// Sums over the rows of the current squares, one for each byte of a row.
    sums: Vec<u16>,
    rows: u32,
    pixels: Vec<u8>,
}

impl Means {
    fn new(reduced: Reduced) -> Self {
        let bytes = 3 * reduced.width as usize;
        Self { reduced, row: vec![0; bytes], sums: vec![0; bytes], rows: 0, pixels: Vec::new() }
    }

    /// Adds the next row.
    fn add(&mut self, row: &[u8], color: ColorType) {
        let pixels = self.row.as_chunks_mut::<3>().0.iter_mut();
        match color {
            ColorType::Rgb => return self.add_opaque(row),
            ColorType::Rgba => pixels.zip(row.as_chunks::<4>().0).for_each(|(pixel, [r, g, b, a])| {
                *pixel = [on_white(*r, *a), on_white(*g, *a), on_white(*b, *a)];
            }),
            ColorType::GrayscaleAlpha => pixels.zip(row.as_chunks::<2>().0).for_each(|(pixel, [grey, a])| {
                *pixel = [on_white(*grey, *a); 3];
            }),
            ColorType::Grayscale | ColorType::Indexed => {
                pixels.zip(row).for_each(|(pixel, grey)| *pixel = [*grey; 3]);
            }
        }
        let row = std::mem::take(&mut self.row);
        self.add_opaque(&row);
        self.row = row;
    }

    fn add_opaque(&mut self, row: &[u8]) {
        self.sums.iter_mut().zip(row).for_each(|(sum, byte)| *sum += u16::from(*byte));
        self.rows += 1;
        if self.rows == self.reduced.divisor {
            self.finish_squares();
        }
    }

    /// Appends a row of means and resets the sums.
    fn finish_squares(&mut self) {
        for square in self.sums.chunks(3 * self.reduced.divisor as usize) {
            let mut sums = [0_u32; 3];
            for pixel in square.as_chunks::<3>().0 {
                sums.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += u32::from(*x));
            }
            let count = (square.len() / 3) as u32 * self.rows;
            self.pixels.extend(sums.map(|sum| ((sum + count / 2) / count) as u8));
        }
        self.sums.fill(0);
        self.rows = 0;
    }

    fn finish(mut self) -> Result<RgbImage, DecodeError> {
        if self.rows > 0 {
            self.finish_squares();
        }
        let Reduced { width, height, divisor } = self.reduced;
        RgbImage::from_raw(width.div_ceil(divisor), height.div_ceil(divisor), self.pixels)
            .ok_or_else(|| DecodeError::new("the decoder returned too few rows"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DecodeLimits, Decoder, Filter, Fit, Format};
    use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};

    /// A picture with detail of every size that fades from transparent to opaque.
    fn large() -> RgbaImage {
        RgbaImage::from_fn(1501, 907, |x, y| {
            let wave = |length: f32| ((x as f32 + 0.7 * y as f32) / length).sin() * 40.0;
            let value = 128.0 + wave(7.0) + wave(60.0) + wave(900.0);
            Rgba([value as u8, (value * 0.8) as u8, (255.0 - value) as u8, (x / 6).min(255) as u8])
        })
    }

    fn png(image: &DynamicImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).expect("it encodes");
        bytes.into_inner()
    }

    fn open(bytes: &[u8], side: u32) -> Decoder<'_> {
        Decoder::open_for(bytes, Format::Raster(ImageFormat::Png), DecodeLimits::default(), side).expect("a header")
    }

    #[test]
    fn a_large_file_of_any_kind_is_averaged_while_it_is_decoded_and_looks_the_same() {
        let rgba = DynamicImage::from(large());
        let kinds = [
            DynamicImage::from(rgba.to_rgb8()),
            DynamicImage::from(rgba.to_luma8()),
            DynamicImage::from(rgba.to_luma_alpha8()),
            DynamicImage::from(rgba.to_rgba16()),
            rgba,
        ];
        for image in kinds {
            let bytes = png(&image);
            let whole = open(&bytes, u32::MAX).decode().expect("a picture");
            let decoder = open(&bytes, 100);
            assert!(decoder.memory() < 400_000, "{:?}: {} bytes", image.color(), decoder.memory());
            let reduced = decoder.decode().expect("a picture");
            assert_eq!(reduced.pixels.dimensions(), (1501_u32.div_ceil(4), 907_u32.div_ceil(4)));
            assert_eq!((reduced.upright_size(), reduced.has_alpha), (whole.upright_size(), whole.has_alpha));
            let small = |picture: &Picture| picture.resized(Fit::Inside, 100, 100, Filter::Bicubic);
            let (a, b) = (small(&whole), small(&reduced));
            let difference: u64 = a.iter().zip(b.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            let mean = difference as f64 / a.len() as f64;
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
        let mut bytes = png(&large().into());
        bytes.truncate(bytes.len() / 2);
        let decoded = |side: u32| {
            let limits = DecodeLimits::default();
            let format = Format::Raster(ImageFormat::Png);
            crate::decode_within(&bytes, format, limits, side, |_| ()).expect_err("it is truncated").to_string()
        };
        assert_eq!(decoded(100), decoded(u32::MAX));
    }
}
