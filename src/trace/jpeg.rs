//! How much noise the compression of a JPEG has left.

/// Compression noise of a JPEG: the difference below which neighbouring colours may be the same, 0 to 40. 0 for other
/// files.
///
/// The noise grows with the steps to which the frequencies of the luma are rounded (ITU-T T.81, B.2.4.1).
pub(super) fn noise(content: &[u8]) -> f32 {
    luma_steps(content).map_or(0.0, |steps| (NOISE_OF_LEAST_STEPS + NOISE_PER_STEP * steps).min(MAX_NOISE))
}

const NOISE_OF_LEAST_STEPS: f32 = 8.0;
const NOISE_PER_STEP: f32 = 0.6;
const MAX_NOISE: f32 = 40.0;

/// Mean of the luma's quantization table: about 6 at quality 95, 29 at 75, and 58 at 50.
fn luma_steps(content: &[u8]) -> Option<f32> {
    const QUANTIZATION: u8 = 0xDB;
    const SCAN: u8 = 0xDA;
    let mut rest = content.strip_prefix(b"\xFF\xD8")?;
    loop {
        // Any number of fill bytes may come before a marker.
        let [0xFF, marker, ..] = *rest else { return None };
        if marker == 0xFF {
            rest = &rest[1..];
            continue;
        }
        let segment = rest.get(2..)?;
        let length = usize::from(u16::from_be_bytes([*segment.first()?, *segment.get(1)?]));
        let (mut tables, after) = (segment.get(2..length)?, segment.get(length..)?);
        while marker == QUANTIZATION
            && let Some((kind, table)) = tables.split_first()
        {
            let (is_wide, number) = (kind >> 4 == 1, kind & 15);
            let (table, others) = table.split_at_checked(if is_wide { 128 } else { 64 })?;
            if number == 0 {
                let wide =
                    || table.chunks_exact(2).map(|step| u32::from(u16::from_be_bytes([step[0], step[1]]))).sum::<u32>();
                let sum: u32 = if is_wide { wide() } else { table.iter().map(|step| u32::from(*step)).sum() };
                return Some(sum as f32 / 64.0);
            }
            tables = others;
        }
        if marker == SCAN {
            return None;
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::jpeg::JpegEncoder;
    use image::{Rgb, RgbImage};

    #[test]
    fn a_jpeg_of_lower_quality_has_more_noise_and_other_files_have_none() {
        let picture = RgbImage::from_fn(20, 20, |x, _| Rgb([12 * x as u8; 3]));
        let noise_at = |quality| {
            let mut bytes = Vec::new();
            JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(&picture).expect("it encodes");
            // No part of a file may be read beyond its end.
            for end in 0..bytes.len() {
                let _ = noise(&bytes[..end]);
            }
            noise(&bytes)
        };
        let all = [95, 85, 75, 60].map(noise_at);
        assert!(all.is_sorted() && 8.0 < all[0] && all[0] < 13.0 && 30.0 < all[3] && all[3] < 40.0, "{all:?}");
        assert_eq!((noise(b"\x89PNG\r\n"), noise(b""), noise_at(5)), (0.0, 0.0, MAX_NOISE));
    }
}
