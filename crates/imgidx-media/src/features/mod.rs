//! Classical features of a picture, measured on a small version of it.
//!
//! The budget is one millisecond per picture on one core, not counting the scaling. Where a library would be slower,
//! this module has its own code, and tests compare the two.

mod blocks;
mod canny;
mod color_shares;
mod colors;
mod fast;
mod hashes;
mod kind;
mod neighborhood;
mod shapes;
mod tones;
mod values;

use std::ops::RangeInclusive;
use std::time::Instant;

use image::{GrayImage, RgbImage};

use super::decode::Picture;
use super::resize::{Filter, Fit};
use crate::Miniature;
use blocks::Blocks;
pub use color_shares::ColorShares;
pub(crate) use hashes::scaled;
#[cfg(test)]
pub(crate) use tones::luma;
pub use values::{
    DetailFeatures, DominantColor, FeatureStage, Features, ImageType, QuickFeatures, ToneFeatures, TypeGuess,
};

/// Maximum length of the longer side of the picture that features are measured on, in pixels.
pub const SIDE: u32 = 256;

/// Measures the features of a picture. Stages that would start after `deadline` are left out.
///
/// The first stage is always measured.
pub fn measure(picture: &Picture, deadline: Option<Instant>) -> Features {
    measure_with_miniature(picture, deadline).0
}

/// Like [`measure`], and makes the miniature of the picture.
pub(crate) fn measure_with_miniature(picture: &Picture, deadline: Option<Instant>) -> (Features, Miniature) {
    let small = picture.resized(Fit::Inside, SIDE, SIDE, Filter::Bilinear);
    let (width, height) = picture.upright_size();
    let luma = tones::luma(&small);
    (features(&small, &luma, width as f32 / height as f32, deadline), Miniature::new(&small, &luma))
}

/// Like [`measure`], for pixels that are already scaled. `aspect_ratio` is the original width divided by the height.
pub fn measure_pixels(small: &RgbImage, aspect_ratio: f32, deadline: Option<Instant>) -> Features {
    features(small, &tones::luma(small), aspect_ratio, deadline)
}

fn features(small: &RgbImage, luma: &GrayImage, aspect_ratio: f32, deadline: Option<Instant>) -> Features {
    let in_time = || deadline.is_none_or(|deadline| Instant::now() < deadline);
    let ranges = neighborhood::ranges(small);
    let quick = quick(small, luma, &ranges, aspect_ratio);
    let tones = in_time().then(|| tones(small, luma, &ranges));
    let detail = tones.filter(|_| in_time()).map(|tones| detail(luma, &tones, &quick));
    let kind = tones.map(|tones| kind::classify(&quick, &tones, &Blocks::of(small, luma)));
    Features { quick, tones, detail, kind }
}

/// The terms by which the type is decided, with their names, for fitting the rules.
#[doc(hidden)]
pub fn type_terms(picture: &Picture) -> Vec<(&'static str, f32)> {
    let small = picture.resized(Fit::Inside, SIDE, SIDE, Filter::Bilinear);
    let (width, height) = picture.upright_size();
    let (luma, ranges) = (tones::luma(&small), neighborhood::ranges(&small));
    let quick = quick(&small, &luma, &ranges, width as f32 / height as f32);
    kind::terms(&quick, &tones(&small, &luma, &ranges), &Blocks::of(&small, &luma)).to_vec()
}

fn quick(small: &RgbImage, luma: &GrayImage, ranges: &[u8], aspect_ratio: f32) -> QuickFeatures {
    let counts = tones::histogram(ranges);
    let share = |bounds: RangeInclusive<u8>| {
        let count: u32 = bounds.map(|range| counts[usize::from(range)]).sum();
        count as f32 / ranges.len() as f32
    };
    let flat = colors::flat_colors(small, ranges);
    let colors = colors::Histogram::new(small.as_raw().as_chunks().0);
    QuickFeatures {
        aspect_ratio,
        unique_colors: colors.distinct(),
        palette_size: flat.palette_size,
        shades: flat.shades,
        flat_fraction: share(0..=neighborhood::MAX_FLAT_RANGE),
        smooth_fraction: share(neighborhood::MAX_FLAT_RANGE + 1..=neighborhood::MAX_SMOOTH_RANGE),
        edge_fraction: share(neighborhood::MAX_SMOOTH_RANGE + 1..=255),
        gradient_fraction: neighborhood::gradient_fraction(ranges, small.width() as usize),
        dominant_colors: colors.dominant(),
        color_shares: ColorShares::of(small),
        dhash: hashes::difference(luma),
        phash: hashes::perceptual(luma),
    }
}

fn tones(small: &RgbImage, luma: &GrayImage, ranges: &[u8]) -> ToneFeatures {
    let histogram = tones::histogram(luma.as_raw());
    let (mean, deviation) = tones::moments(&histogram);
    let foreground = colors::foreground(small);
    let filled = foreground.iter().filter(|set| **set).count();
    let is_flat = |range: u8| range <= neighborhood::MAX_FLAT_RANGE;
    let flat = foreground.iter().zip(ranges).filter(|(set, range)| **set && is_flat(**range)).count();
    let shapes = shapes::shapes(&foreground, small.width() as usize);
    ToneFeatures {
        entropy: tones::entropy(&histogram),
        brightness: mean / 255.0,
        contrast: deviation / 255.0,
        fill_ratio: filled as f32 / foreground.len() as f32,
        foreground_flat: flat as f32 / filled.max(1) as f32,
        shapes: shapes.len() as u32,
        glyphs: shapes::longest_line(&shapes),
    }
}

fn detail(luma: &GrayImage, tones: &ToneFeatures, quick: &QuickFeatures) -> DetailFeatures {
    let edge_density = canny::edge_density(luma);
    let corner_density = fast::corners_per_thousand(luma);
    let gradient_strength = tones::gradient_strength(luma);
    // Each value is divided by a high value for photographs: about the ninth decile.
    let weighted = [
        (0.30, edge_density / 0.2),
        (0.25, tones.entropy / 8.0),
        (0.20, corner_density / 60.0),
        (0.15, gradient_strength / 0.12),
        (0.10, (quick.unique_colors as f32).log2() / 12.0),
    ];
    DetailFeatures {
        edge_density,
        corner_density,
        gradient_strength,
        sharpness: tones::laplacian_variance(luma),
        complexity_score: weighted.iter().map(|(weight, part)| weight * part.clamp(0.0, 1.0)).sum(),
    }
}
