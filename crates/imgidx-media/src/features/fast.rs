//! Corner detection: FAST-9 (Rosten and Drummond, ECCV 2006).

use image::GrayImage;
use multiversion::multiversion;

/// Minimum difference between the centre and a brighter or darker pixel of the circle.
const THRESHOLD: u8 = 20;
/// Circle of radius 3, clockwise from the top, as offsets (column, row) from the centre.
const CIRCLE: [(isize, isize); 16] = [
    (0, -3),
    (1, -3),
    (2, -2),
    (3, -1),
    (3, 0),
    (3, 1),
    (2, 2),
    (1, 3),
    (0, 3),
    (-1, 3),
    (-2, 2),
    (-3, 1),
    (-3, 0),
    (-3, -1),
    (-2, -2),
    (-1, -3),
];

/// Number of corners per 1,000 pixels.
pub(super) fn corners_per_thousand(luma: &GrayImage) -> f32 {
    let pixels = luma.width() as f32 * luma.height() as f32;
    corners(luma) as f32 / pixels * 1000.0
}

fn corners(luma: &GrayImage) -> usize {
    let (width, height) = (luma.width() as usize, luma.height() as usize);
    if width < 7 || height < 7 {
        return 0;
    }
    let pixels = luma.as_raw().as_slice();
    let circle = CIRCLE.map(|(x, y)| y * width as isize + x);
    let mut candidates = vec![0; width - 6];
    let row = |y: usize| {
        let first = y * width + 3;
        mark_candidates(pixels, first, &circle, &mut candidates);
        let marked = candidates.iter().enumerate().filter(|(_, mark)| **mark != 0);
        marked.filter(|(x, mark)| is_corner(pixels, first + x, &circle, **mark)).count()
    };
    (3..height - 3).map(row).sum()
}

/// Marks of pixels that may have a brighter or a darker arc.
const BRIGHT: u8 = 1;
const DARK: u8 = 2;

/// Marks the pixels from `first` on that may be corners. Any nine consecutive pixels of the circle include four
/// consecutive ones among every second pixel, so only these eight are tested. The code has no branches, so that the
/// compiler can vectorise it.
#[multiversion(targets("x86_64+avx2"))]
fn mark_candidates(pixels: &[u8], first: usize, circle: &[isize; 16], marks: &mut [u8]) {
    let count = marks.len();
    let from = |i: usize| {
        let at = first.wrapping_add_signed(circle[i]);
        &pixels[at..][..count]
    };
    let centre = &pixels[first..][..count];
    let (a, b, c, d) = (from(0), from(2), from(4), from(6));
    let (e, f, g, h) = (from(8), from(10), from(12), from(14));
    for x in 0..count {
        let (high, low) = (centre[x].saturating_add(THRESHOLD), centre[x].saturating_sub(THRESHOLD));
        let has_four = |a: bool, b: bool, c: bool, d: bool, e: bool, f: bool, g: bool, h: bool| {
            let (ab, bc, cd, de, ef, fg, gh, ha) = (a & b, b & c, c & d, d & e, e & f, f & g, g & h, h & a);
            (ab & cd) | (bc & de) | (cd & ef) | (de & fg) | (ef & gh) | (fg & ha) | (gh & ab) | (ha & bc)
        };
        let (p, q, r, s) = (a[x], b[x], c[x], d[x]);
        let (t, u, v, w) = (e[x], f[x], g[x], h[x]);
        let is_bright = has_four(p > high, q > high, r > high, s > high, t > high, u > high, v > high, w > high);
        let is_dark = has_four(p < low, q < low, r < low, s < low, t < low, u < low, v < low, w < low);
        marks[x] = u8::from(is_bright) * BRIGHT + u8::from(is_dark) * DARK;
    }
}

fn is_corner(pixels: &[u8], at: usize, circle: &[isize; 16], mark: u8) -> bool {
    let centre = pixels[at];
    let around = circle.map(|offset| pixels[at.wrapping_add_signed(offset)]);
    let (high, low) = (centre.saturating_add(THRESHOLD), centre.saturating_sub(THRESHOLD));
    let mask = |is: [bool; 16]| (0..16).fold(0, |mask, i| mask | u32::from(is[i]) << i);
    (mark & BRIGHT != 0 && has_arc(mask(around.map(|x| x > high))))
        || (mark & DARK != 0 && has_arc(mask(around.map(|x| x < low))))
}

/// Whether nine consecutive bits are set in a circle of sixteen.
fn has_arc(mask: u32) -> bool {
    let one = mask | mask << 16;
    let two = one & one >> 1;
    let four = two & two >> 2;
    let eight = four & four >> 4;
    eight & one >> 8 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;
    use imageproc::corners::corners_fast9;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn corners_match_imageproc(cells in prop::collection::vec(prop::sample::select(vec![0_u8, 15, 25, 50, 200]), 49)) {
            // Blocks of 4 × 4 pixels have corners; random single pixels hardly ever have any.
            let blocks = GrayImage::from_fn(28, 28, |x, y| Luma([cells[(y / 4 * 7 + x / 4) as usize]]));
            prop_assert_eq!(corners(&blocks), corners_fast9(&blocks, THRESHOLD).len());
        }
    }

    #[test]
    fn a_square_has_corners_and_an_edge_has_none() {
        let square = GrayImage::from_fn(40, 40, |x, y| {
            Luma([if (10..30).contains(&x) && (10..30).contains(&y) { 255 } else { 0 }])
        });
        let edge = GrayImage::from_fn(40, 40, |x, _| Luma([if x < 20 { 255 } else { 0 }]));
        assert!(corners(&square) >= 4 && corners(&square) == corners_fast9(&square, THRESHOLD).len());
        assert_eq!(corners(&edge), 0);
    }
}
