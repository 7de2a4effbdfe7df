//! Blocks of 8 × 8 pixels: what is left of flat areas, gradients and writing after compression as JPEG.
//!
//! JPEG spreads noise over the blocks of 8 × 8 pixels that an edge touches, so that single pixels look smooth where a
//! drawing is flat. Means of blocks hardly change, and blocks without edges stay nearly flat.

use image::{GrayImage, RgbImage};
use multiversion::multiversion;

/// Side of a block in pixels.
const SIDE: usize = 8;
/// Maximum range of a calm block: the noise of JPEG beside an edge, or a gradient.
const MAX_CALM_RANGE: u8 = 32;
/// Minimum range of a busy block, which has edges in it.
const MIN_BUSY_RANGE: u8 = 65;
/// Means of neighbouring calm blocks that differ by at most this much have the same colour.
const SAME_MEAN_THRESHOLD: f32 = 2.0;
/// Means that differ by more than that, and at most this much, are a gradient.
const MAX_SLOPE: f32 = 32.0;
/// Means at most this far apart in each channel are one colour of calm blocks.
const SAME_COLOR_THRESHOLD: f32 = 6.0;
/// Maximum number of colours of calm blocks that are counted.
const MAX_COLORS: usize = 64;
/// Minimum difference of neighbouring pixels in a stroke of writing.
const MIN_STROKE: u8 = 25;

/// Statistics of the blocks of a picture; all are 0 if it has no whole block.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Blocks {
    /// Fraction of the neighbouring pairs of calm blocks that are a gradient.
    pub slope: f32,
    /// Number of colours of calm blocks.
    pub colors: u32,
    /// Fraction of the blocks that are calm and have the most frequent of these colours.
    pub paper: f32,
    /// Fraction of the blocks that are busy.
    pub busy: f32,
    /// Fraction of the pixels of busy blocks whose luma is in the middle three fifths of its range in their block. It is
    /// small where edges are sharp.
    pub midtones: f32,
    /// How much the number of strokes changes from row to row, 0 to 1: lines of writing alternate with gaps.
    pub row_rhythm: f32,
    /// The same from column to column.
    pub column_rhythm: f32,
}

/// Range and mean of each block.
struct Grid {
    columns: usize,
    ranges: Vec<u8>,
    means: Vec<[f32; 3]>,
}

impl Blocks {
    pub(super) fn of(image: &RgbImage, luma: &GrayImage) -> Self {
        let grid = grid(image);
        if grid.ranges.is_empty() {
            return Self::default();
        }
        let count = grid.ranges.len() as f32;
        let colors = grid.calm_colors();
        let (rows, columns) = strokes(luma);
        Self {
            slope: grid.slope(),
            colors: colors.len() as u32,
            paper: colors.iter().map(|(_, blocks)| *blocks).max().unwrap_or(0) as f32 / count,
            busy: grid.ranges.iter().filter(|range| **range >= MIN_BUSY_RANGE).count() as f32 / count,
            midtones: grid.midtones(luma),
            row_rhythm: rhythm(&rows),
            column_rhythm: rhythm(&columns),
        }
    }
}

/// Measures the blocks. Pixels beyond the last whole block are left out.
#[multiversion(targets("x86_64+avx2"))]
fn grid(image: &RgbImage) -> Grid {
    let columns = image.width() as usize / SIDE;
    let stride = 3 * image.width() as usize;
    let length = columns * SIDE * 3;
    let (mut ranges, mut means) = (Vec::new(), Vec::new());
    let (mut low, mut high, mut sums) = (vec![0_u8; length], vec![0_u8; length], vec![0_u16; length]);
    for band in image.as_raw().chunks_exact(stride * SIDE).filter(|_| columns > 0) {
        low.fill(255);
        high.fill(0);
        sums.fill(0);
        for row in band.chunks_exact(stride) {
            let (row, low, high, sums) = (&row[..length], &mut low[..length], &mut high[..length], &mut sums[..length]);
            for i in 0..length {
                low[i] = low[i].min(row[i]);
                high[i] = high[i].max(row[i]);
                sums[i] += u16::from(row[i]);
            }
        }
        for at in (0..length).step_by(3 * SIDE) {
            let within = |channel: usize| (at + channel..at + 3 * SIDE).step_by(3);
            let range = |channel: usize| {
                let highest = within(channel).map(|i| high[i]).max().expect("a block has pixels");
                highest - within(channel).map(|i| low[i]).min().expect("a block has pixels")
            };
            ranges.push(range(0).max(range(1)).max(range(2)));
            let sum = |channel: usize| within(channel).map(|i| u32::from(sums[i])).sum::<u32>();
            means.push(std::array::from_fn(|channel| sum(channel) as f32 / (SIDE * SIDE) as f32));
        }
    }
    Grid { columns, ranges, means }
}

impl Grid {
    fn is_calm(&self, at: usize) -> bool {
        self.ranges[at] <= MAX_CALM_RANGE
    }

    /// Fraction of the neighbouring pairs of calm blocks that are a gradient.
    fn slope(&self) -> f32 {
        let (mut all, mut slope) = (0_u32, 0_u32);
        let mut compare = |a: usize, b: usize| {
            if !self.is_calm(a) || !self.is_calm(b) {
                return;
            }
            let difference = difference(self.means[a], self.means[b]);
            all += 1;
            slope += u32::from(difference > SAME_MEAN_THRESHOLD && difference <= MAX_SLOPE);
        };
        for at in 0..self.ranges.len() {
            if (at + 1) % self.columns != 0 {
                compare(at, at + 1);
            }
            if at + self.columns < self.ranges.len() {
                compare(at, at + self.columns);
            }
        }
        slope as f32 / all.max(1) as f32
    }

    fn midtones(&self, luma: &GrayImage) -> f32 {
        let width = luma.width() as usize;
        let (mut all, mut middle) = (0_u32, 0_u32);
        for at in (0..self.ranges.len()).filter(|at| self.ranges[*at] >= MIN_BUSY_RANGE) {
            let (left, top) = (at % self.columns * SIDE, at / self.columns * SIDE);
            middle += u32::from(midtones(&luma.as_raw()[top * width + left..], width));
            all += (SIDE * SIDE) as u32;
        }
        middle as f32 / all.max(1) as f32
    }

    /// The colours of calm blocks, each with its number of blocks.
    fn calm_colors(&self) -> Vec<([f32; 3], u32)> {
        let mut colors: Vec<([f32; 3], u32)> = Vec::new();
        for at in (0..self.ranges.len()).filter(|at| self.is_calm(*at)) {
            let mean = self.means[at];
            match colors.iter().position(|(color, _)| difference(*color, mean) <= SAME_COLOR_THRESHOLD) {
                Some(color) => colors[color].1 += 1,
                None if colors.len() < MAX_COLORS => colors.push((mean, 1)),
                None => {}
            }
        }
        colors
    }
}

/// Number of pixels of a block in the middle three fifths of its range.
#[multiversion(targets("x86_64+avx2"))]
fn midtones(block: &[u8], stride: usize) -> u16 {
    let rows: [&[u8; SIDE]; SIDE] = std::array::from_fn(|y| block[y * stride..].first_chunk().expect("a whole block"));
    let (mut low, mut high) = ([255; SIDE], [0; SIDE]);
    for row in rows {
        low = std::array::from_fn(|x| low[x].min(row[x]));
        high = std::array::from_fn(|x| high[x].max(row[x]));
    }
    let (low, high) = (low.into_iter().fold(255, u8::min), high.into_iter().fold(0, u8::max));
    let range = u16::from(high - low);
    // More than a fifth of the range above the lowest, and less than four fifths.
    let (first, end) = (low + (range / 5) as u8 + 1, low + (4 * range).div_ceil(5) as u8);
    let mut counts = [0_u16; SIDE];
    for row in rows {
        counts = std::array::from_fn(|x| counts[x] + u16::from(row[x] >= first && row[x] < end));
    }
    counts.into_iter().sum()
}

/// The largest difference of a channel.
fn difference(a: [f32; 3], b: [f32; 3]) -> f32 {
    (0..3).map(|i| (a[i] - b[i]).abs()).fold(0.0, f32::max)
}

/// For each row, the number of pixels that differ much from the next one in it; for each column, from the next one below.
#[multiversion(targets("x86_64+avx2"))]
fn strokes(luma: &GrayImage) -> (Vec<u32>, Vec<u32>) {
    let width = luma.width() as usize;
    let rows: Vec<&[u8]> = luma.as_raw().chunks_exact(width).collect();
    let is_stroke = |a: u8, b: u8| a.abs_diff(b) >= MIN_STROKE;
    let along = rows.iter().map(|row| row.iter().zip(&row[1..]).map(|(a, b)| u32::from(is_stroke(*a, *b))).sum());
    let mut columns = vec![0_u32; width];
    for [above, below] in rows.array_windows() {
        columns.iter_mut().zip(*above).zip(*below).for_each(|((count, a), b)| *count += u32::from(is_stroke(*a, *b)));
    }
    (along.collect(), columns)
}

/// Sum of the differences of every count from the one after the next, in parts of the largest possible sum.
fn rhythm(counts: &[u32]) -> f32 {
    let changes: u32 = counts.array_windows().map(|[a, _, c]| a.abs_diff(*c)).sum();
    let total: u32 = counts.iter().sum();
    changes as f32 / (2 * total).max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::super::tones::luma;
    use super::*;
    use image::Rgb;

    fn blocks(pixel: impl Fn(u32, u32) -> [u8; 3]) -> Blocks {
        let image = RgbImage::from_fn(128, 96, |x, y| Rgb(pixel(x, y)));
        Blocks::of(&image, &luma(&image))
    }

    #[test]
    fn a_flat_area_with_noise_has_one_colour_and_a_gradient_has_slopes() {
        let noisy = blocks(|x, y| [200 + ((x * 7 + y * 13) % 5) as u8, 90, 40]);
        assert_eq!((noisy.slope, noisy.colors, noisy.paper), (0.0, 1, 1.0));
        let gradient = blocks(|x, _| [50 + x as u8, 90, 40]);
        // Blocks beside each other differ by eight levels; those above each other do not differ.
        assert!(gradient.slope > 0.45 && gradient.slope < 0.55 && gradient.colors > 10, "{gradient:?}");
    }

    #[test]
    fn lines_of_writing_have_a_rhythm_from_row_to_row() {
        let lines = blocks(|x, y| if y % 8 < 4 && x % 2 == 0 { [0; 3] } else { [255; 3] });
        assert!(lines.row_rhythm > 0.4 && lines.column_rhythm < lines.row_rhythm, "{lines:?}");
        assert_eq!((lines.busy, lines.midtones, lines.paper), (1.0, 0.0, 0.0));
        let soft = blocks(|x, _| [(x % 8 * 36) as u8; 3]);
        assert!(soft.busy == 1.0 && soft.midtones == 0.5, "{soft:?}");
    }

    #[test]
    fn a_picture_without_a_whole_block_has_no_statistics() {
        let image = RgbImage::from_pixel(300, 5, Rgb([9; 3]));
        assert_eq!(Blocks::of(&image, &luma(&image)), Blocks::default());
    }
}
