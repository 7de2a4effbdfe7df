//! Finds out whether a file holds more pictures than the first one, which is the one that is decoded.

use std::io::{BufRead, Read, Seek, SeekFrom};

use heifer_isobmff::HeifFile;
use image::codecs::{gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use image::{AnimationDecoder, ImageDecoder, ImageError, ImageFormat, ImageResult, Limits};
use tiff::decoder::Decoder as TiffDecoder;

use super::format::{Format, Kind, sniff};
use super::{DecodeLimits, jxl, sequence};

/// Maximum memory for two frames of an animation, in bytes.
const MAX_FRAME_BYTES: u64 = 512 << 20;

/// Maximum length of the metadata of a HEIF or AVIF file, and of the header of a JPEG XL file, in bytes.
const MAX_METADATA: u64 = 16 << 20;

/// Whether a picture file holds several pictures: an animation, a burst, or the pages of a document. Their number, size
/// and content do not matter. Thumbnails, layers and previews do not count.
///
/// # Errors
/// If the file is damaged, or cannot be read.
pub fn has_several_pictures(mut file: impl BufRead + Seek) -> ImageResult<bool> {
    match sniff(file.fill_buf()?, None) {
        Kind::Picture(Format::Heic | Format::Avif) => return has_several_items(file),
        Kind::Picture(Format::Jxl) => {
            let mut header = Vec::new();
            file.take(MAX_METADATA).read_to_end(&mut header)?;
            return Ok(jxl::Jxl::open(&header, DecodeLimits::default()).map_err(damaged)?.is_animation());
        }
        Kind::Picture(Format::Raw) => return Ok(false),
        _ => {}
    }
    match image::guess_format(file.fill_buf()?) {
        Ok(ImageFormat::Gif) => {
            let mut decoder = GifDecoder::new(file)?;
            let mut limits = Limits::no_limits();
            limits.max_alloc = Some(MAX_FRAME_BYTES);
            decoder.set_limits(limits)?;
            let second = decoder.into_frames().nth(1).transpose()?;
            Ok(second.is_some())
        }
        Ok(ImageFormat::Png) => PngDecoder::new(file)?.is_apng(),
        Ok(ImageFormat::WebP) => Ok(WebPDecoder::new(file)?.has_animation()),
        Ok(ImageFormat::Tiff) => {
            let decoder = TiffDecoder::new(file);
            Ok(decoder.map_err(damaged)?.more_images())
        }
        _ => Ok(false),
    }
}

fn damaged(error: impl std::error::Error + Send + Sync + 'static) -> ImageError {
    ImageError::IoError(std::io::Error::other(error))
}

/// Whether a HEIF or AVIF file has a track of several frames, or several pictures to be shown. Only its metadata is
/// read.
fn has_several_items(mut file: impl Read + Seek) -> ImageResult<bool> {
    let end = file.seek(SeekFrom::End(0))?;
    let (mut at, mut metadata, mut movie) = (0, Vec::new(), Vec::new());
    while at + 8 <= end {
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 16];
        file.by_ref().take(end - at).read_exact(&mut head[..8])?;
        let size = match u32::from_be_bytes([head[0], head[1], head[2], head[3]]) {
            0 => end - at,
            1 => {
                file.read_exact(&mut head[8..])?;
                head[8..].iter().fold(0, |size, byte| size << 8 | u64::from(*byte))
            }
            size => size.into(),
        };
        let to = match &head[4..8] {
            b"ftyp" | b"meta" => Some(&mut metadata),
            b"moov" => Some(&mut movie),
            _ => None,
        };
        if let Some(to) = to
            && size <= MAX_METADATA
        {
            file.seek(SeekFrom::Start(at))?;
            file.by_ref().take(size).read_to_end(to)?;
        }
        at = at.saturating_add(size.max(8));
    }
    if sequence::find(&movie).is_some_and(|track| track.samples > 1) {
        return Ok(true);
    }
    match HeifFile::parse(&metadata) {
        Ok(items) => Ok(items.top_level_image_ids().len() > 1),
        Err(_) if !movie.is_empty() => Ok(false),
        Err(error) => Err(damaged(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::gif::GifEncoder;
    use image::{Frame, RgbaImage};
    use std::io::Cursor;
    use tiff::encoder::{TiffEncoder, colortype::Gray8};

    #[test]
    fn an_animation_holds_several_pictures() {
        let gif = |frames: u8| {
            let mut file = Vec::new();
            let mut encoder = GifEncoder::new(&mut file);
            let frame = |grey: u8| Frame::new(RgbaImage::from_pixel(9, 7, image::Rgba([grey, grey, grey, 255])));
            encoder.encode_frames((0..frames).map(|at| frame(100 * at))).expect("it encodes");
            drop(encoder);
            has_several_pictures(Cursor::new(file)).expect("it can be read")
        };
        assert_eq!((gif(1), gif(2), gif(3)), (false, true, true));
    }

    #[test]
    fn a_scanned_document_holds_several_pictures() {
        let tiff = |pages: u8| {
            let mut file = Cursor::new(Vec::new());
            let mut encoder = TiffEncoder::new(&mut file).expect("it starts");
            for page in 0..pages {
                encoder.write_image::<Gray8>(3, 2, &[page; 6]).expect("it encodes");
            }
            file.set_position(0);
            has_several_pictures(file).expect("it can be read")
        };
        assert_eq!((tiff(1), tiff(2)), (false, true));
    }

    #[test]
    fn still_pictures_hold_one_and_damaged_files_are_errors() {
        for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp] {
            let mut file = Cursor::new(Vec::new());
            RgbaImage::new(5, 4).write_to(&mut file, format).expect("it encodes");
            file.set_position(0);
            assert!(!has_several_pictures(file).expect("it can be read"), "{format:?}");
        }
        for start in [&b"\x89PNG\r\n\x1a\n"[..], b"RIFF\0\0\0\0WEBP", b"GIF89a", b"II*\0"] {
            assert!(has_several_pictures(Cursor::new([start, b"damaged"].concat())).is_err(), "{start:?}");
        }
    }
}
