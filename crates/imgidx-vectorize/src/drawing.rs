//! Tells drawings from photographs, whatever compression has done to them.

use image::RgbImage;

use super::color::{Rgb, distance};
use super::deadline::Deadline;
use super::denoise::denoise;
use crate::scale::scale_to;

/// Longer side of the copy that is examined, in pixels.
const MAX_SIDE: u32 = 256;

/// Noise that is removed first: that of a JPEG of quality 75.
const NOISE: f32 = 24.0;

/// Colour distance below which neighbours count as equal, and from which there is an edge between them. What lies
/// between is a gradual change.
const EQUAL_THRESHOLD: f32 = 2.0;
const EDGE_THRESHOLD: f32 = 12.0;

/// Minimum colour distance between the foreground and the most frequent colour.
const FOREGROUND_THRESHOLD: f32 = 24.0;

/// Maximum colour distance between two pixels of an even border.
const BORDER_THRESHOLD: f32 = 10.0;

/// Minimum logarithm of the odds of a photograph: a probability of 0.6.
const PHOTO_THRESHOLD: f32 = 0.405;

/// Whether a picture looks like a drawing once compression noise is removed.
///
/// A logistic regression on logos of 64 to 512 pixels as JPEGs of qualities 60 to 95, and photographs.
/// `docs/accuracy.md` has its errors.
pub fn is_drawing(pixels: &RgbImage) -> bool {
    let scale = f64::from(MAX_SIDE) / f64::from(pixels.width().max(pixels.height()));
    let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    let mut small = match scale < 1.0 {
        true => scale_to(pixels, side(pixels.width()), side(pixels.height())),
        false => pixels.clone(),
    };
    denoise(&mut small, NOISE, &Deadline::never()).expect("there is always time");
    photo_log_odds(&small) < PHOTO_THRESHOLD
}

fn photo_log_odds(pixels: &RgbImage) -> f32 {
    let Histogram { main, frequent } = Histogram::of(pixels);
    let (mut pairs, mut gradual, mut edges, mut foreground, mut even) = (0, 0, 0, 0, 0);
    let (width, height) = pixels.dimensions();
    for (x, y, color) in pixels.enumerate_pixels() {
        let is_foreground = distance(color.0, main) >= FOREGROUND_THRESHOLD;
        for (is_before, (dx, dy)) in [(x > 0, (1, 0)), (y > 0, (0, 1))] {
            if !is_before {
                continue;
            }
            let change = distance(color.0, pixels.get_pixel(x - dx, y - dy).0);
            pairs += 1;
            gradual += u32::from((EQUAL_THRESHOLD..EDGE_THRESHOLD).contains(&change));
            edges += u32::from(change >= EDGE_THRESHOLD);
            if is_foreground && dx == 1 {
                foreground += 1;
                even += u32::from(change < EQUAL_THRESHOLD);
            }
        }
    }
    let part = |count: u32, of: u32| count as f32 / of.max(1) as f32;
    let (gradual, edges) = (part(gradual, pairs), part(edges, pairs));
    let size = (width as f32 * height as f32).ln();
    -6.443 - 9.78 * frequent + 1.166 * gradual / (edges + 0.01) + 1.36 * size + 5.667 * gradual
        - 2.414 * part(even, foreground + 1)
        - 3.936 * even_border(pixels)
}

/// The most frequent colours of a picture, with four bits for each channel.
struct Histogram {
    /// Mean of the most frequent colour.
    main: Rgb,
    /// Fraction of the pixels that have one of the four most frequent colours.
    frequent: f32,
}

impl Histogram {
    fn of(pixels: &RgbImage) -> Self {
        let mut bins = vec![(0_u32, [0_u32; 3]); 1 << 12];
        for pixel in pixels.pixels() {
            let [red, green, blue] = pixel.0.map(|channel| usize::from(channel >> 4));
            let (count, sum) = &mut bins[red << 8 | green << 4 | blue];
            *count += 1;
            (0..3).for_each(|i| sum[i] += u32::from(pixel[i]));
        }
        bins.sort_unstable_by_key(|(count, sum)| (std::cmp::Reverse(*count), *sum));
        let (count, sum) = bins[0];
        let frequent: u32 = bins[..4].iter().map(|(count, _)| count).sum();
        Self {
            main: sum.map(|channel| (channel / count.max(1)) as u8),
            frequent: frequent as f32 / pixels.pixels().len().max(1) as f32,
        }
    }
}

/// Fraction of the pixels along the sides of a picture that have about the median colour of them.
fn even_border(pixels: &RgbImage) -> f32 {
    let (width, height) = pixels.dimensions();
    let rows = (0..width).flat_map(|x| [(x, 0), (x, height - 1)]);
    let columns = (0..height).flat_map(|y| [(0, y), (width - 1, y)]);
    let border: Vec<Rgb> = rows.chain(columns).map(|(x, y)| pixels.get_pixel(x, y).0).collect();
    let median = [0, 1, 2].map(|i| {
        let mut channel: Vec<u8> = border.iter().map(|color| color[i]).collect();
        channel.sort_unstable();
        channel[channel.len() / 2]
    });
    let even = border.iter().filter(|color| distance(**color, median) < BORDER_THRESHOLD).count();
    even as f32 / border.len() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::jpeg::JpegEncoder;
    use image::{Rgb as Pixel, imageops};

    fn as_jpeg(picture: &RgbImage, quality: u8) -> RgbImage {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(picture).expect("it encodes");
        image::load_from_memory(&bytes).expect("a JPEG").into_rgb8()
    }

    #[test]
    fn a_drawing_stays_one_as_a_jpeg_and_a_picture_full_of_shades_is_none() {
        let sharp = RgbImage::from_fn(512, 512, |x, y| {
            let (dx, dy) = (x as f32 - 300.0, y as f32 - 220.0);
            Pixel(match () {
                () if dx.hypot(dy) < 120.0 => [20, 90, 200],
                () if (60..400).contains(&x) && (150..450).contains(&y) => [250, 180, 30],
                () => [255; 3],
            })
        });
        let shades = RgbImage::from_fn(512, 512, |x, y| {
            let wave = |length: f32| ((x as f32 + 0.7 * y as f32) / length).sin() * 40.0;
            let value = 128.0 + wave(7.0) + wave(60.0) + wave(200.0);
            Pixel([value as u8, (value * 0.8) as u8, (255.0 - value) as u8])
        });
        for (side, quality) in [(64, 60), (64, 90), (128, 60), (256, 75), (512, 60)] {
            let scaled = |picture| imageops::resize(picture, side, side, imageops::FilterType::Triangle);
            assert!(is_drawing(&as_jpeg(&scaled(&sharp), quality)), "{side} {quality}");
            // So few pixels do not show whether a change is gradual.
            if side > 64 {
                assert!(!is_drawing(&as_jpeg(&scaled(&shades), quality)), "{side} {quality}");
            }
        }
    }
}
