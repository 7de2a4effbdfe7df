//! Perceptual hashes, which are similar for pictures that look similar.
//!
//! The bits are the same as those of `image_hasher` for the same pixels: its Gradient hash, and its Median hash after a
//! cosine transform. Most of the time goes into scaling the luma down, so this module does that for whole rows at a
//! time. The weights, and the order in which products are added, are those of the `image` crate, so that every sum is
//! the same to the last bit.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::LazyLock;

use image::GrayImage;
use image_hasher::{HashAlg, Hasher, HasherConfig};
use multiversion::multiversion;

/// Number of bits in a row of a hash, and number of rows.
const SIDE: u32 = 8;
/// Side of the transformed picture. The perceptual hash uses the lower half of the frequencies in each direction.
const FREQUENCIES: u32 = 2 * SIDE;

/// Difference hash: one bit for each of 8 × 8 pixels, set if the pixel is darker than its right neighbour.
pub(super) fn difference(luma: &GrayImage) -> u64 {
    let small = scaled(luma, SIDE + 1, SIDE);
    let rows = small.as_raw().chunks_exact(SIDE as usize + 1);
    let bits = rows.flat_map(|row| row.windows(2).map(|pair| pair[0] < pair[1]));
    bits.enumerate().fold(0, |hash, (i, bit)| hash | u64::from(bit) << i)
}

/// Perceptual hash: one bit for each of the 8 × 8 lowest frequencies, set if it is at least as strong as their median.
pub(super) fn perceptual(luma: &GrayImage) -> u64 {
    static HASHER: LazyLock<Hasher<[u8; 8]>> = LazyLock::new(|| {
        HasherConfig::with_bytes_type().hash_alg(HashAlg::Median).hash_size(SIDE, SIDE).preproc_dct().to_hasher()
    });
    // The picture already has the size that the hasher would scale it to, so the hasher only transforms it.
    let hash = HASHER.hash_image(&scaled(luma, FREQUENCIES, FREQUENCIES));
    u64::from_le_bytes(hash.as_bytes().try_into().expect("the hash has 64 bits"))
}

/// Scales with Lanczos3, with the same result as `image::imageops::resize`.
#[multiversion(targets("x86_64+avx2"))]
pub(crate) fn scaled(luma: &GrayImage, width: u32, height: u32) -> GrayImage {
    if luma.dimensions() == (width, height) {
        return luma.clone();
    }
    let (source_width, source_height) = (luma.width() as usize, luma.height() as usize);
    let source: Vec<f32> = luma.as_raw().iter().map(|x| f32::from(*x)).collect();
    let mut result = GrayImage::new(width, height);
    let columns = taps(source_width, width as usize);
    let rows = taps(source_height, height as usize);
    let mut row = vec![0.0; source_width];
    for (taps, target) in rows.iter().zip(result.chunks_exact_mut(width as usize)) {
        row.fill(0.0);
        for (weight, line) in taps.weights.iter().zip(source[taps.first * source_width..].chunks_exact(source_width)) {
            row.iter_mut().zip(line).for_each(|(sum, x)| *sum += x * weight);
        }
        for (taps, target) in columns.iter().zip(target) {
            let sum = taps.weights.iter().zip(&row[taps.first..]).fold(0.0_f32, |sum, (weight, x)| sum + x * weight);
            *target = sum.clamp(0.0, 255.0).round() as u8;
        }
    }
    result
}

/// The source pixels of a line that contribute to one target pixel, and their weights.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

type CachedTaps = HashMap<(usize, usize), Rc<[Taps]>>;

thread_local! {
    /// Taps by source and target length. There are few: sides of small pictures and of hashes.
    static TAPS: RefCell<CachedTaps> = RefCell::default();
}

/// Taps for all pixels of a line. Those of small pictures are cached, because the sines take longer than all the sums.
fn taps(source: usize, target: usize) -> Rc<[Taps]> {
    if source > super::SIDE as usize {
        return new_taps(source, target);
    }
    TAPS.with_borrow_mut(|cache| cache.entry((source, target)).or_insert_with(|| new_taps(source, target)).clone())
}

fn new_taps(source: usize, target: usize) -> Rc<[Taps]> {
    const LOBES: f32 = 3.0;
    let ratio = source as f32 / target as f32;
    let scale = ratio.max(1.0);
    let taps_of = |at: usize| {
        let centre = (at as f32 + 0.5) * ratio;
        let first = ((centre - LOBES * scale).floor() as i64).clamp(0, source as i64 - 1);
        let end = ((centre + LOBES * scale).ceil() as i64).clamp(first + 1, source as i64);
        let mut weights: Vec<f32> = (first..end).map(|i| lanczos((i as f32 - (centre - 0.5)) / scale, LOBES)).collect();
        let sum = weights.iter().fold(0.0, |sum, weight| sum + weight);
        weights.iter_mut().for_each(|weight| *weight /= sum);
        Taps { first: first as usize, weights }
    };
    (0..target).map(taps_of).collect()
}

fn lanczos(x: f32, lobes: f32) -> f32 {
    let sinc = |x: f32| if x == 0.0 { 1.0 } else { (x * std::f32::consts::PI).sin() / (x * std::f32::consts::PI) };
    if x.abs() < lobes { sinc(x) * sinc(x / lobes) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, Luma, RgbImage};
    use proptest::prelude::*;

    /// Pictures of any size with smooth blobs, like real pictures.
    fn picture() -> impl Strategy<Value = GrayImage> {
        (1..257_u32, 1..257_u32, any::<u32>()).prop_map(|(width, height, seed)| {
            let phase = |i: u32| f32::from((seed >> (8 * i)) as u8) / 10.0;
            GrayImage::from_fn(width, height, |x, y| {
                let wave =
                    ((x as f32 * 0.05 + phase(0)).sin() + (y as f32 * 0.08 + phase(1)).cos()) * (1.0 + phase(2) / 9.0);
                Luma([(128.0 + 40.0 * wave + ((x * y + seed % 7) % 5) as f32).clamp(0.0, 255.0) as u8])
            })
        })
    }

    proptest! {
        #[test]
        fn hashes_match_image_hasher(luma in picture()) {
            let rgb = DynamicImage::ImageLuma8(luma.clone()).into_rgb8();
            let config = || HasherConfig::with_bytes_type::<[u8; 8]>().hash_size(8, 8);
            let of = |hasher: Hasher<[u8; 8]>, image: &RgbImage| {
                u64::from_le_bytes(hasher.hash_image(image).as_bytes().try_into().expect("64 bits"))
            };
            prop_assert_eq!(difference(&luma), of(config().hash_alg(HashAlg::Gradient).to_hasher(), &rgb));
            prop_assert_eq!(perceptual(&luma), of(config().hash_alg(HashAlg::Median).preproc_dct().to_hasher(), &rgb));
        }
    }
}
