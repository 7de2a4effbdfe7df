//! Miniatures: very small versions of pictures, which show whether two pictures are the same one.
//!
//! A hash of 64 bits is the same for two pages of text, two slides of one layout, or a red and a blue shirt. A
//! miniature keeps just enough to distinguish them: the luma of 32 × 32 cells and the colour of 8 × 8 cells, in 1,152 bytes.
//! [`Miniature::layout`] returns bits for finding candidates, [`Structure::compare`] compares two of them.

mod structure;
mod turn;

use image::{GrayImage, RgbImage};

use crate::Lab;
use crate::features::scaled;
pub use structure::{Likeness, Structure};
pub use turn::Turn;

/// Luma cells in each direction.
const SIDE: usize = 32;
/// Colour cells in each direction.
const COLOR_SIDE: usize = 8;
const CELLS: usize = SIDE * SIDE;
const COLOR_CELLS: usize = COLOR_SIDE * COLOR_SIDE;

/// Cells of the layout in each direction.
const LAYOUT_SIDE: usize = 16;
/// 64-bit words of a layout: two bits for each of its cells.
pub const LAYOUT_WORDS: usize = 2 * LAYOUT_SIDE * LAYOUT_SIDE / 64;

/// A very small version of a picture, stretched to a square.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miniature {
    /// Luma of each cell, 0 to 255, row by row.
    luma: [u8; CELLS],
    /// a* and b* of each larger cell, row by row.
    chroma: [[i8; 2]; COLOR_CELLS],
}

impl Miniature {
    /// Length of [`Miniature::to_bytes`].
    pub const BYTES: usize = CELLS + 2 * COLOR_CELLS;

    /// Makes the miniature of a picture from a smaller version of it and from the luma of that.
    pub(crate) fn new(small: &RgbImage, luma: &GrayImage) -> Self {
        let cells = scaled(luma, SIDE as u32, SIDE as u32);
        let luma = cells.as_raw().as_slice().try_into().expect("it has one byte per cell");
        Self { luma, chroma: chroma(small) }
    }

    /// The bytes that are stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let chroma = self.chroma.as_flattened().iter().map(|value| value.cast_unsigned());
        self.luma.iter().copied().chain(chroma).collect()
    }

    /// Reads stored bytes; `None` if their number is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (luma, chroma) = bytes.split_first_chunk::<CELLS>()?;
        let (pairs, rest) = chroma.as_chunks::<2>();
        let pairs: &[[u8; 2]; COLOR_CELLS] = pairs.try_into().ok().filter(|_| rest.is_empty())?;
        Some(Self { luma: *luma, chroma: pairs.map(|pair| pair.map(u8::cast_signed)) })
    }

    /// The miniature of the turned picture.
    #[must_use]
    pub fn turned(&self, turn: Turn) -> Self {
        Self { luma: turn.apply(&self.luma, SIDE), chroma: turn.apply(&self.chroma, COLOR_SIDE) }
    }

    /// Bits by which versions of the picture are found: for each of 16 × 16 cells, whether it is brighter than the
    /// picture, and whether it is brighter than its neighbours.
    ///
    /// Of pictures of unrelated things, two in a million differ in less than a tenth of these bits; versions of one
    /// picture, scaled or compressed again, differ in less than a twentieth (`cargo bench --bench duplicates`).
    pub fn layout(&self) -> [u64; LAYOUT_WORDS] {
        const STEP: usize = SIDE / LAYOUT_SIDE;
        /// Difference from the neighbours, in luma, below which a cell counts as equal to them.
        const NOISE: i32 = 1;
        let cell = |x: usize, y: usize| -> i32 {
            let row = |dy: usize| &self.luma[(STEP * y + dy) * SIDE + STEP * x..][..STEP];
            (0..STEP).flat_map(row).map(|luma| i32::from(*luma)).sum()
        };
        let cells: [i32; LAYOUT_SIDE * LAYOUT_SIDE] =
            std::array::from_fn(|at| cell(at % LAYOUT_SIDE, at / LAYOUT_SIDE));
        let sum: i32 = cells.iter().sum();
        let neighbors = |at: usize| {
            let (x, y, last) = (at % LAYOUT_SIDE, at / LAYOUT_SIDE, LAYOUT_SIDE - 1);
            let (left, right, up, down) =
                (x.saturating_sub(1), (x + 1).min(last), y.saturating_sub(1), (y + 1).min(last));
            [(left, y), (right, y), (x, up), (x, down)]
                .into_iter()
                .map(|(x, y)| cells[y * LAYOUT_SIDE + x])
                .sum::<i32>()
        };
        let mut words = [0; LAYOUT_WORDS];
        for (at, value) in cells.iter().enumerate() {
            let is_bright = value * cells.len() as i32 > sum;
            let stands_out = 4 * value > neighbors(at) + 4 * NOISE * (STEP * STEP) as i32;
            words[at / 64] |= u64::from(is_bright) << (at % 64);
            words[LAYOUT_WORDS / 2 + at / 64] |= u64::from(stands_out) << (at % 64);
        }
        words
    }

    /// The layout of the turned picture, from the layout of the picture.
    pub fn turned_layout(layout: [u64; LAYOUT_WORDS], turn: Turn) -> [u64; LAYOUT_WORDS] {
        let mut turned = [0; LAYOUT_WORDS];
        for half in [0, LAYOUT_WORDS / 2] {
            let bits: [bool; LAYOUT_SIDE * LAYOUT_SIDE] =
                std::array::from_fn(|at| layout[half + at / 64] >> (at % 64) & 1 == 1);
            for (at, bit) in turn.apply(&bits, LAYOUT_SIDE).into_iter().enumerate() {
                turned[half + at / 64] |= u64::from(bit) << (at % 64);
            }
        }
        turned
    }
}

/// The mean colours of the parts of a picture. A picture of fewer pixels than cells repeats them.
fn chroma(small: &RgbImage) -> [[i8; 2]; COLOR_CELLS] {
    let part = |at: usize, length: u32| {
        let (first, end) = (at * length as usize / COLOR_SIDE, ((at + 1) * length as usize).div_ceil(COLOR_SIDE));
        first..end.max(first + 1)
    };
    let lines: Vec<&[u8]> = small.as_raw().chunks_exact(3 * small.width() as usize).collect();
    let mut sums = vec![0_u32; 3 * small.width() as usize];
    let mut parts = [[0; 2]; COLOR_CELLS];
    for (row, parts) in parts.chunks_exact_mut(COLOR_SIDE).enumerate() {
        let rows = part(row, small.height());
        sums.fill(0);
        for line in &lines[rows.clone()] {
            sums.iter_mut().zip(*line).for_each(|(sum, value)| *sum += u32::from(*value));
        }
        for (column, part_of_row) in parts.iter_mut().enumerate() {
            let columns = part(column, small.width());
            let pixels = sums[3 * columns.start..3 * columns.end].as_chunks::<3>().0;
            let total =
                pixels.iter().fold([0; 3], |total, sum| std::array::from_fn(|channel| total[channel] + sum[channel]));
            let count = (rows.len() * columns.len()) as f32;
            let Lab([_, a, b]) = Lab::from_srgb(total.map(|sum: u32| sum as f32 / count));
            *part_of_row = [a, b].map(|value| value.round() as i8);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    pub(super) fn miniature(image: &RgbImage) -> Miniature {
        Miniature::new(image, &crate::features::luma(image))
    }

    /// A picture without any symmetry, in three colours.
    pub(super) fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let (x, y) = (x as f32 / width as f32, y as f32 / height as f32);
            Rgb(match () {
                () if (x - 0.3).powi(2) + (y - 0.35).powi(2) < 0.04 => [200, 40, 40],
                () if x > 0.6 && y > 0.2 + 0.3 * x => [30, 60, 190],
                () => [240, 235, (180.0 + 60.0 * y) as u8],
            })
        })
    }

    #[test]
    fn bytes_are_read_back_and_others_are_refused() {
        let original = miniature(&picture(120, 90));
        let bytes = original.to_bytes();
        assert_eq!(bytes.len(), Miniature::BYTES);
        assert_eq!(Miniature::from_bytes(&bytes), Some(original));
        assert_eq!(
            (Miniature::from_bytes(&bytes[1..]), Miniature::from_bytes(&[bytes, vec![0]].concat())),
            (None, None)
        );
    }

    #[test]
    fn pictures_smaller_than_the_cells_have_one_too() {
        for (width, height) in [(1, 1), (3, 200), (7, 5)] {
            let red = miniature(&RgbImage::from_pixel(width, height, Rgb([200, 0, 0])));
            assert!(
                red.chroma.iter().all(|cell| *cell == red.chroma[0]) && red.chroma[0][0] > 60,
                "{width} × {height}"
            );
            assert!(red.luma.iter().all(|luma| *luma == red.luma[0]), "{width} × {height}");
        }
    }

    #[test]
    fn layouts_of_versions_agree_and_of_others_do_not() {
        let layout = |image: &RgbImage| miniature(image).layout();
        let differing = |a: &RgbImage, b: &RgbImage| -> u32 {
            layout(a).iter().zip(layout(b)).map(|(a, b)| (a ^ b).count_ones()).sum()
        };
        let (large, small) = (picture(240, 180), picture(120, 90));
        assert!(differing(&large, &small) <= 12, "{}", differing(&large, &small));
        for turn in Turn::OTHERS {
            let original = miniature(&large);
            assert_eq!(Miniature::turned_layout(original.layout(), turn), original.turned(turn).layout());
        }
        let mirrored = image::imageops::flip_horizontal(&large);
        assert!(differing(&large, &mirrored) > 100, "{}", differing(&large, &mirrored));
    }
}
