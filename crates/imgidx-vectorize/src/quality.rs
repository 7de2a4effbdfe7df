//! Measures how closely a drawing matches the original picture.

use fast_ssim2::{PixelDescriptor, PixelSlice, Ssimulacra2Reference};
use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::deadline::Deadline;
use super::outline::NotDrawn;
use super::render::render_within;
use super::source::Source;
use crate::scale::scale_to;

/// Maximum number of pixels of a comparison.
const MAX_COMPARED_PIXELS: f64 = 1_048_576.0;

/// How closely a drawing matches the original picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Quality {
    /// SSIMULACRA2: 100 is identical, 90 visually indistinguishable, 70 high quality, below 0 a different picture.
    pub ssimulacra2: f64,
    /// Structural similarity of the luma, at most 1.
    pub ssim: f64,
}

/// Rates a drawing by likeness and size: SSIMULACRA2 minus four points for each doubling of `bytes / 1000 + 1`.
pub fn score(ssimulacra2: f64, bytes: usize) -> f64 {
    ssimulacra2 - 4.0 * (bytes as f64 / 1000.0 + 1.0).log2()
}

/// A picture prepared for comparisons with drawings.
#[derive(Debug)]
pub struct Reference {
    pixels: RgbImage,
    ground: [u8; 3],
    prepared: Ssimulacra2Reference,
}

/// Memory for a comparison, in bytes per pixel: the scales of three channels of two pictures, and their blurred copies.
const COMPARE_BYTES_PER_PIXEL: u64 = 130;

impl Source {
    /// Approximate memory for a comparison with its [`Reference`], in bytes.
    pub fn compared_bytes(&self) -> u64 {
        let (width, height) = self.pixels().dimensions();
        COMPARE_BYTES_PER_PIXEL * (u64::from(width) * u64::from(height)).min(MAX_COMPARED_PIXELS as u64)
    }
}

impl Reference {
    /// Prepares a picture for comparisons. Larger pictures are scaled down to 1,048,576 pixels.
    ///
    /// # Errors
    /// When the picture cannot be compared.
    pub fn new(source: &Source) -> Result<Self, NotDrawn> {
        let (width, height) = source.pixels().dimensions();
        let scale = (MAX_COMPARED_PIXELS / (f64::from(width) * f64::from(height))).sqrt();
        let pixels = if scale < 1.0 {
            let side = |length: u32| ((f64::from(length) * scale) as u32).max(1);
            scale_to(source.pixels(), side(width), side(height))
        } else {
            source.pixels().clone()
        };
        let prepared = Ssimulacra2Reference::new(&slice(&pixels)?).map_err(failed)?;
        Ok(Self { pixels, ground: source.ground(), prepared })
    }

    /// The SSIMULACRA2 score of a rendered drawing.
    ///
    /// Source: Sneyers, "Detecting the psychovisual impact of compression related artifacts using SSIMULACRA", and its
    /// second version, cloudinary/ssimulacra2.
    ///
    /// # Errors
    /// When the drawing cannot be compared.
    pub fn ssimulacra2(&self, rendered: &RgbImage) -> Result<f64, NotDrawn> {
        self.prepared.compare(&slice(rendered)?).map_err(failed)
    }

    /// The [`structural_similarity`] of a rendered drawing.
    pub fn ssim(&self, rendered: &RgbImage) -> f64 {
        structural_similarity(&self.pixels, rendered)
    }

    /// Renders a drawing in the size of the comparison.
    ///
    /// # Errors
    /// When the drawing cannot be rendered, or the deadline passes.
    pub fn render(&self, svg: &str, deadline: &Deadline) -> Result<RgbImage, NotDrawn> {
        let (width, height) = self.pixels.dimensions();
        render_within(svg, (width, height), self.ground, deadline)?
            .ok_or_else(|| failed("the drawing cannot be rendered"))
    }
}

fn failed(reason: impl ToString) -> NotDrawn {
    NotDrawn::Failed(reason.to_string())
}

fn slice(pixels: &RgbImage) -> Result<PixelSlice<'_>, NotDrawn> {
    let (width, height) = pixels.dimensions();
    PixelSlice::new(pixels.as_raw(), width, height, 3 * width as usize, PixelDescriptor::RGB8_SRGB)
        .map_err(|error| failed(format!("{error:?}")))
}

/// Mean structural similarity (SSIM) of the luma of two pictures of the same size, at most 1.
///
/// Uses a Gaussian window of 11 × 11 pixels with σ 1.5. Source: Wang et al., "Image quality assessment: from error
/// visibility to structural similarity", IEEE TIP 2004.
pub fn structural_similarity(a: &RgbImage, b: &RgbImage) -> f64 {
    /// The paper's stabilising constants for values of 0 to 255: (0.01 · 255)² and (0.03 · 255)².
    const STABILIZERS: [f32; 2] = [6.5025, 58.5225];
    let size = (a.width() as usize, a.height() as usize);
    let (a, b) = (luma(a), luma(b));
    let products = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).collect::<Vec<_>>();
    let (mean_a, mean_b) = (blur(&a, size), blur(&b, size));
    let (aa, bb, ab) = (blur(&products(&a, &a), size), blur(&products(&b, &b), size), blur(&products(&a, &b), size));
    let similarity = |i: usize| {
        let (x, y) = (mean_a[i], mean_b[i]);
        let covariance = ab[i] - x * y;
        let variances = (aa[i] - x * x) + (bb[i] - y * y);
        let similar = (2.0 * x * y + STABILIZERS[0]) * (2.0 * covariance + STABILIZERS[1]);
        f64::from(similar / ((x * x + y * y + STABILIZERS[0]) * (variances + STABILIZERS[1])))
    };
    (0..a.len()).map(similarity).sum::<f64>() / a.len().max(1) as f64
}

/// Luma with the coefficients of ITU-R BT.601.
fn luma(pixels: &RgbImage) -> Vec<f32> {
    pixels.pixels().map(|p| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2])).collect()
}

/// Gaussian blur. Pixels outside the picture equal those on its border.
fn blur(values: &[f32], (width, height): (usize, usize)) -> Vec<f32> {
    const REACH: usize = 5;
    let weights: Vec<f32> =
        (0..=2 * REACH).map(|i| (-(i as f32 - REACH as f32).powi(2) / (2.0 * 1.5 * 1.5)).exp()).collect();
    let sum: f32 = weights.iter().sum();
    let clamped = |at: usize, i: usize, length: usize| (at + i).saturating_sub(REACH).min(length - 1);
    let mut across = vec![0.0; values.len()];
    for (row, target) in values.chunks_exact(width).zip(across.chunks_exact_mut(width)) {
        for (x, target) in target.iter_mut().enumerate() {
            *target = weights.iter().enumerate().map(|(i, w)| w * row[clamped(x, i, width)]).sum::<f32>() / sum;
        }
    }
    let mut down = vec![0.0_f32; values.len()];
    for (y, target) in down.chunks_exact_mut(width).enumerate() {
        for (i, weight) in weights.iter().enumerate() {
            let from = clamped(y, i, height) * width;
            let row = &across[from..from + width];
            target.iter_mut().zip(row).for_each(|(target, value)| *target += weight / sum * value);
        }
    }
    down
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn picture(shift: u8) -> RgbImage {
        RgbImage::from_fn(40, 30, |x, y| Rgb([(x * 5) as u8, (y * 7) as u8, ((x * y) as u8).wrapping_add(shift)]))
    }

    #[test]
    fn identical_pictures_have_similarity_one_and_others_less() {
        let same = structural_similarity(&picture(0), &picture(0));
        assert!((same - 1.0).abs() < 1e-5, "{same}");
        let (little, much) =
            (structural_similarity(&picture(0), &picture(9)), structural_similarity(&picture(0), &picture(90)));
        assert!(much < little && little < 1.0, "{much} {little}");
        let inverse = RgbImage::from_fn(40, 30, |x, y| Rgb(picture(0).get_pixel(x, y).0.map(|channel| 255 - channel)));
        assert!(structural_similarity(&picture(0), &inverse) < 0.0);
    }

    #[test]
    fn a_longer_drawing_scores_less_at_equal_quality() {
        assert!(score(80.0, 1000) > score(80.0, 2000));
        assert!((score(80.0, 1000) - 76.0).abs() < 1e-9);
    }
}
