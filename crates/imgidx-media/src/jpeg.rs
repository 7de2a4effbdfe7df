//! JPEG: reads the markers and decodes.
//!
//! The markers are read once before decoding (ITU-T T.81, annex B). They show the dimensions, whether the end is
//! missing, how many passes a progressive file needs, and whether it has four components, which need another decoder.

use std::io::Cursor;

use image::RgbImage;
use jpeg_decoder::PixelFormat;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::decode::{OVERSAMPLING, Picture, Prepared};
use super::error::{DecodeError, damaged};

/// Maximum number of passes in a progressive file. Encoders write about ten. Each pass costs as much as decoding the
/// whole picture, so without a limit 40 kB could keep a CPU busy for a minute.
const MAX_SCANS: u32 = 100;

/// Facts from the markers of a JPEG file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Markers {
    pub width: u32,
    pub height: u32,
    pub components: u8,
    pub progressive: bool,
    /// Whether the file uses the DCT with Huffman coding, as nearly all files do.
    pub is_huffman_dct: bool,
    pub scans: u32,
    /// Number of coefficients of all components. A progressive file needs them all in memory before the first pixel.
    pub coefficients: u64,
    /// Whether the file has Adobe's application segment.
    pub adobe: bool,
    /// Whether the file has the end-of-image marker.
    pub complete: bool,
}

/// Reads the markers from the start of the image to its end.
pub(super) fn read_markers(bytes: &[u8]) -> Result<Markers, DecodeError> {
    let mut found = Markers::default();
    let mut at = 2;
    while let Some(marker) = next_marker(bytes, &mut at) {
        match marker {
            0xD9 => {
                found.complete = true;
                break;
            }
            0x01 | 0xD0..=0xD8 => continue,
            _ => {}
        }
        let Some(length) = bytes.get(at..at + 2).map(|b| usize::from(u16::from_be_bytes([b[0], b[1]]))) else { break };
        match marker {
            // Decoders use the first frame; a second one could hide the first one's dimensions.
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) && found.components == 0 => {
                let Some(frame) = bytes.get(at + 2..at + 8) else { break };
                found.height = u32::from(u16::from_be_bytes([frame[1], frame[2]]));
                found.width = u32::from(u16::from_be_bytes([frame[3], frame[4]]));
                found.components = frame[5];
                found.is_huffman_dct = matches!(marker, 0xC0..=0xC2);
                found.progressive = matches!(marker, 0xC2 | 0xC6 | 0xCA | 0xCE);
                let factors = bytes.get(at + 8..).unwrap_or_default().iter().skip(1).step_by(3);
                found.coefficients = found.count_coefficients(factors.take(frame[5].into()).copied());
            }
            0xEE => found.adobe |= bytes.get(at + 2..at + 7) == Some(b"Adobe"),
            0xDA => found.scans += 1,
            _ => {}
        }
        at += length.max(2);
    }
    if found.width == 0 || found.components == 0 {
        return Err(DecodeError::new("the file ends before the picture's dimensions"));
    }
    if found.scans > MAX_SCANS {
        return Err(DecodeError::new(format!("{} progressive passes; the limit is {MAX_SCANS}", found.scans)));
    }
    Ok(found)
}

/// Skips entropy-coded data up to the next marker, moves past that marker and returns its code.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        let rest = bytes.get(*at..)?;
        *at += rest.iter().position(|&byte| byte == 0xFF)? + 1;
        // A marker may be preceded by any number of fill bytes; 0xFF00 is a data byte.
        while bytes.get(*at) == Some(&0xFF) {
            *at += 1;
        }
        let code = *bytes.get(*at)?;
        *at += 1;
        if code != 0 {
            return Some(code);
        }
    }
}

impl Markers {
    /// By how much to divide both sides while decoding if the shorter side needs `side` pixels; 1 is full size.
    /// Truncated files are decoded at full size, because zune-jpeg recovers more of them.
    pub(crate) fn divisor(&self, side: u32) -> u32 {
        let fits = |divisor: &u32| self.width.min(self.height) / divisor >= side.saturating_mul(OVERSAMPLING);
        let is_reducible = self.complete && self.is_huffman_dct && self.components != 4;
        [8, 4, 2].into_iter().find(fits).filter(|_| is_reducible).unwrap_or(1)
    }

    /// Number of coefficients. `factors` are the components' sampling factors, one byte each: horizontal in the high
    /// half, vertical in the low half (A.1.1).
    fn count_coefficients(&self, factors: impl Iterator<Item = u8>) -> u64 {
        let factors: Vec<(u64, u64)> =
            factors.map(|byte| (u64::from(byte >> 4).clamp(1, 4), u64::from(byte & 15).clamp(1, 4))).collect();
        let max = |of: fn(&(u64, u64)) -> u64| factors.iter().map(of).max().unwrap_or(1);
        let units =
            u64::from(self.width).div_ceil(8 * max(|it| it.0)) * u64::from(self.height).div_ceil(8 * max(|it| it.1));
        units * factors.iter().map(|(across, down)| across * down * 64).sum::<u64>()
    }

    /// Peak memory of decoding in bytes: the pixels, and the coefficients of a progressive file.
    pub(crate) fn decoding_bytes(&self, divisor: u32) -> u64 {
        let pixels = match divisor {
            // Four components: the planes, the interleaved ink, and the colours.
            1 => u64::from(self.width) * u64::from(self.height) * if self.components == 4 { 4 + 4 + 3 } else { 3 },
            // The planes, and the pixels made from them.
            _ => {
                let side = |side: u32| u64::from(side.div_ceil(divisor)).next_multiple_of(16);
                2 * 3 * side(self.width) * side(self.height)
            }
        };
        pixels + if self.progressive { 2 * self.coefficients } else { 0 }
    }
}

/// A JPEG file inside another file.
pub(super) struct Inner<'a> {
    bytes: &'a [u8],
    markers: Markers,
    divisor: u32,
}

impl<'a> Inner<'a> {
    /// Reads the markers, for a picture that will be scaled down to a shorter side of `side` pixels.
    ///
    /// # Errors
    /// If they are damaged.
    pub(super) fn open(bytes: &'a [u8], side: u32) -> Result<Self, DecodeError> {
        let markers = read_markers(bytes)?;
        Ok(Self { bytes, divisor: markers.divisor(side), markers })
    }
}

impl Prepared for Inner<'_> {
    fn decoding_bytes(&self) -> u64 {
        self.markers.decoding_bytes(self.divisor)
    }

    fn is_reduced(&self) -> bool {
        self.divisor > 1
    }

    fn decode(&self, _keeps_alpha: bool) -> Result<Picture, DecodeError> {
        decode(self.bytes, &self.markers, self.divisor)
    }
}

/// Decodes grey and colour files at full size with zune-jpeg. Others go to jpeg-decoder: files with four components,
/// because zune-jpeg inverts YCCK, and files that are decoded at reduced size.
///
/// # Errors
/// If the file is damaged. zune-jpeg is more tolerant than jpeg-decoder.
pub(super) fn decode(bytes: &[u8], markers: &Markers, divisor: u32) -> Result<Picture, DecodeError> {
    let uses_zune = divisor == 1 && markers.components != 4;
    let picture = if uses_zune { decode_with_zune(bytes, markers)? } else { decode_scaled(bytes, markers, divisor)? };
    Ok(Picture { truncated: !markers.complete, ..picture })
}

/// Decodes with zune-jpeg. The decoder may allocate for the checked dimensions only, whatever it reads from the file.
fn decode_with_zune(bytes: &[u8], markers: &Markers) -> Result<Picture, DecodeError> {
    let options = DecoderOptions::new_fast()
        .set_strict_mode(false)
        .set_max_width(markers.width as usize)
        .set_max_height(markers.height as usize)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let pixels = decoder.decode().map_err(damaged)?;
    let (width, height) = decoder.dimensions().ok_or_else(|| DecodeError::new("the picture has no size"))?;
    let exif = decoder.exif().map(Vec::as_slice);
    Ok(Picture::from_rgb(to_image(width, height, pixels)?).with_metadata(exif, decoder.icc_profile()))
}

/// Decodes with jpeg-decoder. For reduced size, only as many coefficients of each block of 8 × 8 are transformed as
/// pixels remain, so each pixel is a mean.
fn decode_scaled(bytes: &[u8], markers: &Markers, divisor: u32) -> Result<Picture, DecodeError> {
    let (width, height, is_cmyk) = (markers.width, markers.height, markers.components == 4);
    let mut decoder = jpeg_decoder::Decoder::new(Cursor::new(bytes));
    decoder.set_max_decoding_buffer_size(width as usize * height as usize * if is_cmyk { 4 } else { 3 });
    if divisor > 1 {
        let reduced = |side: u32| u16::try_from(side.div_ceil(divisor)).map_err(damaged);
        decoder.scale(reduced(width)?, reduced(height)?).map_err(damaged)?;
    }
    let data = decoder.decode().map_err(damaged)?;
    let info = decoder.info().ok_or_else(|| DecodeError::new("the picture has no size"))?;
    let pixels = match info.pixel_format {
        PixelFormat::RGB24 if !is_cmyk => data,
        PixelFormat::L8 if !is_cmyk => data.into_iter().flat_map(|grey| [grey; 3]).collect(),
        PixelFormat::CMYK32 if is_cmyk => {
            let to_rgb = if markers.adobe { ink_to_rgb } else { |ink: [u8; 4]| ink_to_rgb(ink.map(|x| 255 - x)) };
            data.as_chunks::<4>().0.iter().flat_map(|ink| to_rgb(*ink)).collect()
        }
        other => return Err(DecodeError::new(format!("unexpected pixel format {other:?}"))),
    };
    let pixels = to_image(info.width.into(), info.height.into(), pixels)?;
    // A profile of the ink does not apply to the colours made from it.
    let profile = decoder.icc_profile().filter(|_| !is_cmyk);
    let picture = match divisor {
        1 => Picture::from_rgb(pixels),
        _ => Picture::from_means(pixels, width, height, divisor),
    };
    Ok(picture.with_metadata(decoder.exif_data(), profile))
}

/// Converts CMYK to RGB without a profile; 0 is no ink.
///
/// Adobe's programs store inverted values, and jpeg-decoder inverts every file as if Adobe's programs had written it.
fn ink_to_rgb(ink: [u8; 4]) -> [u8; 3] {
    paper_to_rgb(ink.map(|x| 255 - x))
}

/// Converts inverted CMYK to RGB without a profile; 255 is no ink.
pub(super) fn paper_to_rgb(paper: [u8; 4]) -> [u8; 3] {
    let paper = paper.map(u16::from);
    [0, 1, 2].map(|i| ((paper[i] * paper[3] + 127) / 255) as u8)
}

fn to_image(width: usize, height: usize, pixels: Vec<u8>) -> Result<RgbImage, DecodeError> {
    let size = |side: usize| u32::try_from(side).unwrap_or(0);
    RgbImage::from_raw(size(width), size(height), pixels)
        .ok_or_else(|| DecodeError::new("the decoder returned too few pixels"))
}

#[cfg(test)]
mod tests {
    use super::super::decode::tests::{decode_for, detailed, difference};
    use super::*;
    use image::codecs::jpeg::JpegEncoder;
    use image::{DynamicImage, ImageFormat};

    fn encoded(image: &DynamicImage) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 92)).expect("it encodes");
        bytes
    }

    fn small() -> Vec<u8> {
        encoded(&detailed(40, 30).to_rgb8().into())
    }

    #[test]
    fn markers_give_dimensions_and_end() {
        let markers = read_markers(&small()).expect("a JPEG file");
        assert_eq!((markers.width, markers.height, markers.components), (40, 30, 3));
        assert!(markers.complete && !markers.progressive);
        assert_eq!(markers.scans, 1);
    }

    #[test]
    fn a_large_file_is_decoded_at_reduced_size_and_looks_the_same() {
        let picture = DynamicImage::from(detailed(2500, 1801).to_rgb8());
        for image in [picture.to_luma8().into(), picture] {
            let bytes = encoded(&image);
            let whole = decode_for(&bytes, ImageFormat::Jpeg, u32::MAX).expect("a picture");
            assert_eq!(whole.pixels.dimensions(), (2500, 1801));
            for (side, dimensions) in [(500, (2500, 1801)), (400, (1250, 901)), (224, (625, 451)), (112, (313, 226))] {
                let reduced = decode_for(&bytes, ImageFormat::Jpeg, side).expect("a picture");
                assert_eq!(reduced.pixels.dimensions(), dimensions, "for {side}");
                assert_eq!(reduced.upright_size(), (2500, 1801));
                let mean = difference(&whole, &reduced, side);
                assert!(mean < 1.5, "{mean} for {side}, {:?}", image.color());
            }
        }
    }

    #[test]
    fn a_large_truncated_file_is_decoded_at_full_size() {
        let mut bytes = encoded(&detailed(1200, 1200).to_rgb8().into());
        bytes.truncate(bytes.len() / 2);
        let picture = decode_for(&bytes, ImageFormat::Jpeg, 100).expect("a picture");
        assert!(picture.truncated && picture.pixels.dimensions() == (1200, 1200));
    }

    #[test]
    fn a_file_truncated_anywhere_in_its_data_is_incomplete() {
        let bytes = small();
        for cut in [bytes.len() - 1, bytes.len() - 2, bytes.len() - 40] {
            let markers = read_markers(&bytes[..cut]).expect("the header is there");
            assert!(!markers.complete, "cut at {cut} of {}", bytes.len());
        }
        assert!(read_markers(&bytes[..20]).is_err());
    }

    #[test]
    fn bytes_after_the_end_do_not_hide_it() {
        let mut bytes = small();
        bytes.extend_from_slice(&[0; 300]);
        assert!(read_markers(&bytes).expect("a JPEG file").complete);
    }

    #[test]
    fn a_second_frame_header_does_not_hide_the_first_ones_size() {
        let mut bytes = small();
        let frame = bytes.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a frame header");
        let length = 2 + usize::from(u16::from_be_bytes([bytes[frame + 2], bytes[frame + 3]]));
        let second = bytes[frame..frame + length].to_vec();
        bytes[frame + 5..frame + 9].copy_from_slice(&[0xEA, 0x60, 0xEA, 0x60]);
        bytes.splice(frame + length..frame + length, second);
        let markers = read_markers(&bytes).expect("a size is there");
        assert_eq!((markers.width, markers.height), (60_000, 60_000));
        assert!(markers.decoding_bytes(1) > 10_000_000_000);
    }

    #[test]
    fn a_file_with_too_many_passes_is_rejected() {
        let mut bytes = small();
        bytes.truncate(bytes.len() - 2);
        for _ in 0..=MAX_SCANS {
            bytes.extend_from_slice(&[0xFF, 0xDA, 0, 2]);
        }
        let error = read_markers(&bytes).expect_err("too many passes");
        assert!(error.to_string().contains("progressive passes"), "{error}");
    }

    #[test]
    fn no_ink_is_white_and_full_black_is_black() {
        assert_eq!(ink_to_rgb([0, 0, 0, 0]), [255, 255, 255]);
        assert_eq!(ink_to_rgb([0, 0, 0, 255]), [0, 0, 0]);
        assert_eq!(ink_to_rgb([255, 0, 0, 0]), [0, 255, 255]);
    }
}
