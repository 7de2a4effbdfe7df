//! Compares the fine structure and the colours of two miniatures.

use super::{CELLS, COLOR_CELLS, Miniature, SIDE};

/// Cells of a block in each direction.
const BLOCK: usize = 4;
const BLOCKS_IN_ROW: usize = SIDE / BLOCK;
const BLOCKS: usize = BLOCKS_IN_ROW * BLOCKS_IN_ROW;

/// Half the side of the square of cells whose mean is subtracted from each cell.
const REACH: usize = 2;

/// Minimum root mean square of the detail of a block with structure, in luma. JPEG noise of quality 40 is below it.
const MIN_DETAIL: f32 = 4.0;
/// Minimum correlation of two blocks that agree.
const AGREEING: f32 = 0.7;
/// Minimum correlation of two blocks that look alike.
const ALIKE: f32 = 0.9;
/// Minimum correlation of two blocks that are equal but for their compression.
const EQUAL: f32 = 0.97;

/// Maximum chroma of a grey picture: compression tints it a little.
const MAX_GREY_CHROMA: f32 = 5.0;
/// Factors by which the chroma of a brighter or darker version may differ.
const CHROMA_GAINS: [f32; 5] = [1.0, 0.85, 1.0 / 0.85, 0.72, 1.0 / 0.72];

/// The detail of a miniature, prepared for comparisons.
#[derive(Debug, Clone)]
pub struct Structure {
    luma: [u8; CELLS],
    /// Each cell minus the mean of the cells around it, block by block.
    detail: [[f32; BLOCK * BLOCK]; BLOCKS],
    chroma: Chroma,
}

/// How alike two pictures are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likeness {
    /// Number of blocks, of 64, in which at least one of the two has structure.
    pub structured: u32,
    /// Number of those whose structure agrees (a correlation of at least 0.7).
    pub agreeing: u32,
    /// Number of those that look alike (0.9).
    pub alike: u32,
    /// Number of those that are equal but for their compression (0.97).
    pub equal: u32,
    /// Correlation of all structure, -1 to 1; 1 if there is none.
    pub correlation: f32,
    /// Maximum difference of the luma of a cell, 0 to 255.
    pub luma_difference: f32,
    /// Maximum difference of the chroma of a part, after the gain that makes it smallest.
    pub chroma_difference: f32,
    /// Whether exactly one of the two is grey.
    pub is_one_grey: bool,
}

impl From<&Miniature> for Structure {
    fn from(miniature: &Miniature) -> Self {
        let detail = detail(&miniature.luma);
        let block = |at: usize| {
            let (left, top) = (at % BLOCKS_IN_ROW * BLOCK, at / BLOCKS_IN_ROW * BLOCK);
            std::array::from_fn(|i| detail[(top + i / BLOCK) * SIDE + left + i % BLOCK])
        };
        Self {
            luma: miniature.luma,
            detail: std::array::from_fn(block),
            chroma: miniature.chroma.map(|cell| cell.map(f32::from)),
        }
    }
}

/// Each cell minus the mean of the 5 × 5 cells around it. Cells at the edge are repeated beyond it.
fn detail(luma: &[u8; CELLS]) -> [f32; CELLS] {
    let window = |at: usize| (0..=2 * REACH).map(move |i| (at + i).saturating_sub(REACH).min(SIDE - 1));
    let rows: [f32; CELLS] =
        std::array::from_fn(|at| window(at % SIDE).map(|x| f32::from(luma[at / SIDE * SIDE + x])).sum());
    const AREA: f32 = ((2 * REACH + 1) * (2 * REACH + 1)) as f32;
    std::array::from_fn(|at| {
        let sum: f32 = window(at / SIDE).map(|y| rows[y * SIDE + at % SIDE]).sum();
        f32::from(luma[at]) - sum / AREA
    })
}

impl Structure {
    /// Mean a* and b* of the picture. Turning does not change them.
    pub fn mean_chroma(&self) -> [f32; 2] {
        [0, 1].map(|i| self.chroma.iter().map(|cell| cell[i]).sum::<f32>() / COLOR_CELLS as f32)
    }

    /// Compares two pictures.
    pub fn compare(&self, other: &Self) -> Likeness {
        let mut likeness = Likeness {
            structured: 0,
            agreeing: 0,
            alike: 0,
            equal: 0,
            correlation: 1.0,
            luma_difference: self.luma.iter().zip(other.luma).map(|(a, b)| a.abs_diff(b)).max().unwrap_or(0).into(),
            chroma_difference: chroma_difference(&self.chroma, &other.chroma),
            is_one_grey: is_grey(&self.chroma) != is_grey(&other.chroma),
        };
        let (mut products, mut squares) = (0.0, [0.0; 2]);
        for (at, (a, b)) in self.detail.iter().zip(&other.detail).enumerate() {
            let dot =
                |a: &[f32; BLOCK * BLOCK], b: &[f32; BLOCK * BLOCK]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let (ab, aa, bb) = (dot(a, b), dot(a, a), dot(b, b));
            (products, squares) = (products + ab, [squares[0] + aa, squares[1] + bb]);
            let most = (aa.max(bb) / (BLOCK * BLOCK) as f32).sqrt();
            if most < MIN_DETAIL || self.is_clipped(other, at) || other.is_clipped(self, at) {
                continue;
            }
            let correlation = ab / (aa * bb).sqrt().max(f32::MIN_POSITIVE);
            likeness.structured += 1;
            likeness.agreeing += u32::from(correlation >= AGREEING);
            likeness.alike += u32::from(correlation >= ALIKE);
            likeness.equal += u32::from(correlation >= EQUAL);
        }
        if squares[0] * squares[1] > 0.0 {
            likeness.correlation = products / (squares[0] * squares[1]).sqrt();
        }
        likeness
    }

    /// Whether a block is white where the other picture is light: the structure of highlights is lost when a picture is
    /// made brighter.
    fn is_clipped(&self, other: &Self, block: usize) -> bool {
        const WHITE: u8 = 250;
        const LIGHT: u8 = 200;
        let (left, top) = (block % BLOCKS_IN_ROW * BLOCK, block / BLOCKS_IN_ROW * BLOCK);
        let all = |luma: &[u8; CELLS], least: u8| {
            (top..top + BLOCK).all(|y| luma[y * SIDE + left..][..BLOCK].iter().all(|luma| *luma >= least))
        };
        all(&self.luma, WHITE) && all(&other.luma, LIGHT)
    }
}

type Chroma = [[f32; 2]; COLOR_CELLS];

fn largest(cells: impl Iterator<Item = [f32; 2]>) -> f32 {
    cells.map(|[a, b]| a.hypot(b)).fold(0.0, f32::max)
}

fn is_grey(chroma: &Chroma) -> bool {
    largest(chroma.iter().copied()) <= MAX_GREY_CHROMA
}

/// Maximum difference of the chroma of a part, with the gain that makes it smallest.
fn chroma_difference(a: &Chroma, b: &Chroma) -> f32 {
    let with_gain = |gain: f32| largest(a.iter().zip(b).map(|(a, b)| [a[0] - gain * b[0], a[1] - gain * b[1]]));
    CHROMA_GAINS.into_iter().map(with_gain).fold(f32::INFINITY, f32::min)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{miniature, picture};
    use super::*;
    use image::{Rgb, RgbImage};

    fn compare(a: &RgbImage, b: &RgbImage) -> Likeness {
        Structure::from(&miniature(a)).compare(&Structure::from(&miniature(b)))
    }

    /// A white page with lines of made-up words.
    fn page(seed: u32) -> RgbImage {
        let mut page = RgbImage::from_pixel(200, 260, Rgb([255; 3]));
        let mut state = seed;
        for line in 0..20 {
            let mut x = 20;
            while x < 170 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let (word, gap) = (6 + (state >> 24) % 24, 4 + (state >> 16) % 5);
                for (dx, dy) in (0..word).flat_map(|dx| (0..5).map(move |dy| (dx, dy))) {
                    if !(dx + dy + state).is_multiple_of(3) {
                        page.put_pixel(x + dx, 20 + 11 * line + dy, Rgb([20; 3]));
                    }
                }
                x += word + gap;
            }
        }
        page
    }

    #[test]
    fn versions_of_a_picture_are_alike() {
        let original = picture(240, 180);
        let brighter = RgbImage::from_fn(240, 180, |x, y| {
            Rgb(original.get_pixel(x, y).0.map(|v| (f32::from(v) * 1.2).min(255.0) as u8))
        });
        let grey = RgbImage::from_fn(240, 180, |x, y| {
            let [r, g, b] = original.get_pixel(x, y).0.map(u32::from);
            Rgb([((2126 * r + 7152 * g + 722 * b) / 10_000) as u8; 3])
        });
        for version in [picture(120, 90), brighter, grey] {
            let likeness = compare(&original, &version);
            assert!(likeness.structured >= 10 && likeness.alike == likeness.structured, "{likeness:?}");
            assert!(likeness.is_one_grey || likeness.chroma_difference < 15.0, "{likeness:?}");
        }
    }

    #[test]
    fn a_recoloured_picture_has_the_same_structure_and_other_colours() {
        let original = picture(240, 180);
        let recolored = RgbImage::from_fn(240, 180, |x, y| {
            let [r, g, b] = original.get_pixel(x, y).0;
            Rgb([b, r, g])
        });
        assert!(compare(&original, &recolored).chroma_difference > 40.0);
    }

    #[test]
    fn two_pages_of_text_do_not_agree() {
        let likeness = compare(&page(1), &page(2));
        assert!(likeness.structured > 30 && 2 * likeness.agreeing < likeness.structured, "{likeness:?}");
        let same = compare(&page(1), &page(1));
        assert_eq!((same.equal, same.luma_difference), (same.structured, 0.0));
    }

    #[test]
    fn flat_pictures_have_no_structure_and_differ_by_luma_and_chroma() {
        let flat = |color| RgbImage::from_pixel(60, 40, Rgb(color));
        let likeness = compare(&flat([200, 30, 30]), &flat([30, 30, 200]));
        assert!(likeness.structured == 0 && likeness.chroma_difference > 50.0 && likeness.luma_difference > 10.0);
    }
}
