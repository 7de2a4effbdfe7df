//! Colours of a picture: inks, shades, background and dominant colours.

use std::collections::HashMap;

use image::RgbImage;
use multiversion::multiversion;

use super::neighborhood::MAX_FLAT_RANGE;
use crate::{DominantColor, Lab};

/// Colours at most this far apart in RGB are one ink. Anti-aliasing and compression shift colours by less.
const SAME_INK_THRESHOLD: i32 = 18;
/// Maximum number of inks that are counted. Only photographs and gradients come near.
const MAX_INKS: usize = 64;
/// Minimum share of the pixels for an ink to count.
const MIN_INK_SHARE: f32 = 0.0005;

/// Index of a colour at 4 bits per channel, 0 to 4095.
fn coarse([r, g, b]: [u8; 3]) -> usize {
    usize::from(r >> 4) << 8 | usize::from(g >> 4) << 4 | usize::from(b >> 4)
}

fn distance_squared(a: [i32; 3], b: [i32; 3]) -> i32 {
    (0..3).map(|i| (a[i] - b[i]).pow(2)).sum()
}

/// Minimum share of the pixels for a shade to count.
const MIN_SHADE_SHARE: f32 = 0.0001;

/// Counts of the colours in flat areas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FlatColors {
    /// Number of inks: a colour close to a more frequent one counts as the same ink.
    pub palette_size: u32,
    /// Number of exact colours. A slow gradient has many; a drawing has no more shades than inks.
    pub shades: u32,
}

/// Counts the colours of flat pixels.
pub(super) fn flat_colors(image: &RgbImage, ranges: &[u8]) -> FlatColors {
    let mut counts: HashMap<[u8; 3], u32> = HashMap::new();
    let mut run = ([0; 3], 0);
    for (pixel, range) in image.as_raw().as_chunks::<3>().0.iter().zip(ranges) {
        if *range > MAX_FLAT_RANGE {
            continue;
        }
        // In flat areas, runs of equal colours are long, so runs are counted instead of single pixels.
        if *pixel != run.0 {
            *counts.entry(run.0).or_default() += run.1;
            run = (*pixel, 0);
        }
        run.1 += 1;
    }
    *counts.entry(run.0).or_default() += run.1;
    let mut colors: Vec<([i32; 3], u32)> =
        counts.into_iter().map(|(color, count)| (color.map(i32::from), count)).collect();
    colors.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let min_pixels = |share: f32| (share * ranges.len() as f32).max(1.0);
    let shades = colors.iter().filter(|color| color.1 as f32 >= min_pixels(MIN_SHADE_SHARE)).count() as u32;
    let mut inks: Vec<([i32; 3], u32)> = Vec::new();
    for (color, count) in colors {
        match inks.iter().position(|ink| distance_squared(ink.0, color) <= SAME_INK_THRESHOLD * SAME_INK_THRESHOLD) {
            Some(ink) => inks[ink].1 += count,
            None if inks.len() < MAX_INKS => inks.push((color, count)),
            None => {}
        }
    }
    let palette_size = inks.iter().filter(|ink| ink.1 as f32 >= min_pixels(MIN_INK_SHARE)).count() as u32;
    FlatColors { palette_size, shades }
}

/// Mask of the pixels that do not have the background colour. The background is the most frequent colour of the border.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn foreground(image: &RgbImage) -> Vec<bool> {
    const SAME_COLOR_THRESHOLD: i32 = 32;
    let background = background(image);
    let distance_squared = |pixel: &[u8; 3]| distance_squared(pixel.map(i32::from), background);
    let pixels = image.as_raw().as_chunks::<3>().0.iter();
    pixels.map(|pixel| distance_squared(pixel) > SAME_COLOR_THRESHOLD * SAME_COLOR_THRESHOLD).collect()
}

fn background(image: &RgbImage) -> [i32; 3] {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let pixels = image.as_raw().as_chunks::<3>().0;
    let sides = (1..height.saturating_sub(1)).flat_map(|y| [y * width, (y + 1) * width - 1]);
    let border = (0..width).chain(sides).chain((height - 1) * width..height * width);
    // Among equally frequent colours, the one with the largest sums wins.
    let cells = Histogram::new(border.map(|at| &pixels[at])).cells;
    let [count, r, g, b] = cells.into_iter().max().expect("a histogram has cells");
    [r, g, b].map(|sum| (sum / count) as i32)
}

/// Colour histogram at 4 bits per channel. A cell holds its number of pixels and the sums of their red, green and blue.
pub(super) struct Histogram {
    cells: Vec<[u32; 4]>,
}

impl Histogram {
    pub(super) fn new<'a>(pixels: impl IntoIterator<Item = &'a [u8; 3]>) -> Self {
        let mut cells = vec![[0; 4]; 4096];
        for [r, g, b] in pixels {
            let cell = &mut cells[coarse([*r, *g, *b])];
            cell.iter_mut().zip([1, u32::from(*r), u32::from(*g), u32::from(*b)]).for_each(|(sum, x)| *sum += x);
        }
        Self { cells }
    }

    /// Number of distinct colours at 4 bits per channel.
    pub(super) fn distinct(&self) -> u32 {
        self.cells.iter().filter(|cell| cell[0] > 0).count() as u32
    }

    /// The most frequent colours, at most five. A colour close to a more frequent one is merged with it.
    pub(super) fn dominant(&self) -> Vec<DominantColor> {
        /// Maximum number of cells that are examined, the most frequent first.
        const MAX_CELLS: usize = 64;
        const MAX_COLORS: usize = 5;
        /// Colours that people call by different names are about this far apart (ΔE of 1976).
        const SAME_COLOR_THRESHOLD: f32 = 15.0;
        const MIN_SHARE: f32 = 0.02;
        let mut cells: Vec<[u32; 4]> = self.cells.iter().filter(|cell| cell[0] > 0).copied().collect();
        let pixels: u32 = cells.iter().map(|cell| cell[0]).sum();
        cells.sort_unstable_by(|a, b| b.cmp(a));
        let mut colors: Vec<DominantColor> = Vec::new();
        for [count, r, g, b] in cells.into_iter().take(MAX_CELLS) {
            let mean = [r, g, b].map(|sum| sum as f32 / count as f32);
            let (lab, share) = (Lab::from_srgb(mean), count as f32 / pixels as f32);
            match colors.iter().position(|color| color.lab.difference(lab) <= SAME_COLOR_THRESHOLD) {
                Some(at) => {
                    let color = &mut colors[at];
                    let part = share / (color.share + share);
                    color.lab.0.iter_mut().zip(lab.0).for_each(|(old, new)| *old += part * (new - *old));
                    color.share += share;
                }
                None => colors.push(DominantColor { lab, share }),
            }
        }
        colors.retain(|color| color.share >= MIN_SHARE);
        colors.sort_by(|a, b| b.share.total_cmp(&a.share));
        colors.truncate(MAX_COLORS);
        colors
    }
}

#[cfg(test)]
mod tests {
    use super::super::neighborhood::ranges;
    use super::*;
    use image::Rgb;

    #[test]
    fn inks_are_counted_and_blends_between_them_are_not() {
        // Three inks, blended where they meet, as by anti-aliasing.
        let inks = [[250, 250, 250], [200, 30, 40], [20, 40, 160]];
        let image = RgbImage::from_fn(90, 40, |x, _| {
            let (ink, at) = ((x / 30) as usize, x % 30);
            if at == 0 && ink > 0 {
                let blend = |i: usize| ((u16::from(inks[ink][i]) + u16::from(inks[ink - 1][i])) / 2) as u8;
                return Rgb([blend(0), blend(1), blend(2)]);
            }
            Rgb(inks[ink])
        });
        assert_eq!(flat_colors(&image, &ranges(&image)), FlatColors { palette_size: 3, shades: 3 });
        assert_eq!(Histogram::new(image.as_raw().as_chunks().0).distinct(), 5);
    }

    #[test]
    fn noise_and_gradients_do_not_count_as_many_inks() {
        let nearly_flat = RgbImage::from_fn(64, 64, |x, _| Rgb([100 + (x / 16) as u8, 100, 100]));
        assert_eq!(flat_colors(&nearly_flat, &ranges(&nearly_flat)), FlatColors { palette_size: 1, shades: 4 });
        let noise = RgbImage::from_fn(64, 64, |x, y| Rgb([(x * 37 + y * 91) as u8, (x * 13) as u8, (y * 57) as u8]));
        assert_eq!(flat_colors(&noise, &ranges(&noise)), FlatColors { palette_size: 0, shades: 0 });
    }

    #[test]
    fn the_background_is_the_most_frequent_colour_of_the_border() {
        let image = RgbImage::from_fn(20, 20, |x, y| {
            let inside = (5..15).contains(&x) && (5..15).contains(&y);
            Rgb(if inside { [200, 0, 0] } else { [10, 10, 10] })
        });
        let inside = |at: usize| (5..15).contains(&(at % 20)) && (5..15).contains(&(at / 20));
        assert_eq!(foreground(&image), (0..400).map(inside).collect::<Vec<_>>());
        assert_eq!(foreground(&RgbImage::from_pixel(1, 1, Rgb([3, 4, 5]))), [false]);
    }

    #[test]
    fn dominant_colours_are_sorted_by_share() {
        let image = RgbImage::from_fn(100, 10, |x, _| {
            Rgb(match x {
                0..60 => [255, 255, 255],
                60..90 => [255, 0, 0],
                90..99 => [253, 2, 3],
                _ => [0, 0, 0],
            })
        });
        let colors = Histogram::new(image.as_raw().as_chunks().0).dominant();
        // The two reds are merged; one per cent of black is too little.
        assert_eq!(colors.len(), 2);
        assert!((colors[0].share - 0.6).abs() < 1e-5 && (colors[1].share - 0.39).abs() < 1e-5, "{colors:?}");
        assert!(colors[1].lab.difference(Lab::from_srgb([255.0, 0.0, 0.0])) < 2.0);
    }
}
