//! Synthetic pictures for benchmarks and checks where no real ones are available.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, Rgb, RgbImage};

use super::content::Content;
use super::format::Format;
use imgidx_types::ContentHash;

/// Draws a picture of 500 × 375 pixels with about as much detail as a photograph. Each seed gives a different picture.
pub fn drawn_picture(seed: u32) -> RgbImage {
    let phase = f64::from(seed) * 0.7;
    let mut state = u64::from(seed) + 1;
    RgbImage::from_fn(500, 375, |x, y| {
        let (x, y) = (f64::from(x), f64::from(y));
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let noise = f64::from((state >> 59) as u8) - 16.0;
        let wave = |length: f64, angle: f64| ((x * angle.cos() + y * angle.sin()) / length + phase).sin();
        let value =
            |tone: f64| 128.0 + 60.0 * wave(70.0, tone) + 30.0 * wave(9.0, phase) * wave(40.0, tone + 1.0) + noise;
        Rgb([value(0.3) as u8, value(0.9) as u8, value(1.7) as u8])
    })
}

/// Like [`drawn_picture`], encoded as a JPEG file.
pub fn drawn_photograph(seed: u32) -> Content {
    let mut bytes = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut bytes, 90)
        .encode_image(&drawn_picture(seed))
        .expect("encoding to memory does not fail");
    let bytes = bytes.into_inner();
    let (hash, size) = (ContentHash::of(&bytes), bytes.len() as u64);
    Content { bytes, hash, size, format: Format::Raster(ImageFormat::Jpeg) }
}
