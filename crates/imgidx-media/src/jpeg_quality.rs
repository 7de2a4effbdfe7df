//! Estimates with what quality a JPEG file was compressed, from its quantisation table.

use std::io::{self, Read, Seek};

/// Sum of the luminance table in ITU-T T.81, annex K.1. Encoders scale this table by the quality.
const STANDARD_SUM: u32 = 3688;

/// Maximum number of segments before the picture data. Real files have a few dozen.
const MAX_SEGMENTS: usize = 1000;

/// The quality on the scale of the IJG library, 1 to 100, with which the luminance of a JPEG file was quantised: exact
/// for encoders that scale the standard table, and an estimate for others. `None` if the file is not a JPEG, or has no
/// table before the picture data.
///
/// Reads a few hundred bytes and skips metadata, so that the table of an embedded thumbnail is not taken for that of
/// the picture.
///
/// # Errors
/// If the file cannot be read.
pub fn jpeg_quality(file: &mut (impl Read + Seek)) -> io::Result<Option<u8>> {
    match find_table(file) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        found => Ok(found?.map(quality_of)),
    }
}

/// The sum of the luminance table, which is table 0.
fn find_table(file: &mut (impl Read + Seek)) -> io::Result<Option<u32>> {
    if read::<2>(file)? != [0xFF, 0xD8] {
        return Ok(None);
    }
    for _ in 0..MAX_SEGMENTS {
        let [lead, mut marker] = read(file)?;
        if lead != 0xFF {
            return Ok(None);
        }
        // Any number of these bytes may precede a marker.
        while marker == 0xFF {
            [marker] = read(file)?;
        }
        let length = i64::from(u16::from_be_bytes(read(file)?)).saturating_sub(2).max(0);
        match marker {
            0xDB => {
                if let Some(sum) = sum_of_luminance(file, length)? {
                    return Ok(Some(sum));
                }
            }
            // The picture data begins, or the file ends.
            0xDA | 0xD9 => return Ok(None),
            _ => file.seek_relative(length)?,
        }
    }
    Ok(None)
}

/// Reads a segment of tables to its end, and sums up table 0 if it is there.
fn sum_of_luminance(file: &mut (impl Read + Seek), mut length: i64) -> io::Result<Option<u32>> {
    let mut sum = None;
    while length > 64 {
        let [kind] = read(file)?;
        let values: Vec<u32> = match kind >> 4 {
            0 => read::<64>(file)?.into_iter().map(u32::from).collect(),
            _ => read::<128>(file)?.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).collect(),
        };
        length -= if kind >> 4 == 0 { 65 } else { 129 };
        if kind & 15 == 0 {
            sum = Some(values.iter().sum());
        }
    }
    file.seek_relative(length.max(0))?;
    Ok(sum)
}

/// The quality whose scaled table has this sum; the inverse of `jpeg_quality_scaling` in libjpeg.
fn quality_of(sum: u32) -> u8 {
    let percent = sum as f32 * 100.0 / STANDARD_SUM as f32;
    let quality = if percent <= 100.0 { (200.0 - percent) / 2.0 } else { 5000.0 / percent };
    (quality.round() as u8).clamp(1, 100)
}

fn read<const N: usize>(file: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::jpeg::JpegEncoder;

    fn jpeg(quality: u8) -> Vec<u8> {
        let picture = image::RgbImage::from_fn(32, 32, |x, y| image::Rgb([(x * 8) as u8, (y * 8) as u8, 90]));
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(&picture).expect("it encodes");
        bytes
    }

    fn estimate(bytes: &[u8]) -> Option<u8> {
        jpeg_quality(&mut io::Cursor::new(bytes)).expect("memory can be read")
    }

    #[test]
    fn the_quality_that_an_encoder_was_given_is_found() {
        for quality in [30, 50, 75, 85, 95] {
            let found = estimate(&jpeg(quality)).expect("there is a table");
            assert!(found.abs_diff(quality) <= 1, "{quality}: {found}");
        }
    }

    #[test]
    fn the_table_of_an_embedded_thumbnail_is_skipped() {
        let (picture, thumbnail) = (jpeg(90), jpeg(20));
        let length = u16::try_from(thumbnail.len() + 2).expect("a small picture").to_be_bytes();
        let with_thumbnail = [&picture[..2], &[0xFF, 0xE1], &length, &thumbnail, &picture[2..]].concat();
        assert_eq!(estimate(&with_thumbnail), estimate(&picture));
    }

    #[test]
    fn what_has_no_table_has_no_quality() {
        let whole = jpeg(80);
        for bytes in [&b""[..], b"\xFF\xD8", b"\xFF\xD8\xFF\xD9\x00\x00", b"\x89PNG\r\n\x1a\n", &whole[..30]] {
            assert_eq!(estimate(bytes), None, "{bytes:?}");
        }
    }
}
