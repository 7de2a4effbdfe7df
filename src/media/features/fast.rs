//! Corners: FAST-9 (Rosten and Drummond, ECCV 2006).

use image::GrayImage;

/// How much brighter or darker than the centre a pixel of the circle has to be.
const THRESHOLD: i16 = 20;
/// Pixels of the circle in a row that have to be so.
const ARC: u32 = 9;
/// The circle of radius 3, clockwise from the top: columns and rows from the centre.
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

/// Corners among 1,000 pixels of the picture.
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
    let row = |y: usize| (y * width + 3..(y + 1) * width - 3).filter(|at| is_corner(pixels, *at, &circle)).count();
    (3..height - 3).map(row).sum()
}

fn is_corner(pixels: &[u8], at: usize, circle: &[isize; 16]) -> bool {
    let centre = i16::from(pixels[at]);
    let difference = |i: usize| i16::from(pixels[at.wrapping_add_signed(circle[i])]) - centre;
    // Any nine in a row have two that lie side by side of these four.
    let quarters = [difference(0), difference(4), difference(8), difference(12)];
    let (bright, dark) = (quarters.map(|d| d > THRESHOLD), quarters.map(|d| d < -THRESHOLD));
    let neighbours = |set: [bool; 4]| (0..4).any(|i| set[i] && set[(i + 1) % 4]);
    let (may_be_bright, may_be_dark) = (neighbours(bright), neighbours(dark));
    if !may_be_bright && !may_be_dark {
        return false;
    }
    let mask = |is: fn(i16) -> bool| (0..16).fold(0_u32, |mask, i| mask | u32::from(is(difference(i))) << i);
    may_be_bright && has_arc(mask(|d| d > THRESHOLD)) || may_be_dark && has_arc(mask(|d| d < -THRESHOLD))
}

/// Whether nine bits of sixteen in a circle are set in a row.
fn has_arc(mask: u32) -> bool {
    let twice = mask | mask << 16;
    (1..ARC).fold(twice, |run, _| run & run >> 1) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;
    use proptest::prelude::*;

    /// As the paper defines it.
    fn naive(luma: &GrayImage) -> usize {
        let is_corner = |x: u32, y: u32| {
            let centre = i32::from(luma.get_pixel(x, y).0[0]);
            let ring: Vec<i32> = CIRCLE
                .iter()
                .map(|(dx, dy)| i32::from(luma.get_pixel((x as isize + dx) as u32, (y as isize + dy) as u32).0[0]))
                .collect();
            (0..16).any(|start| {
                let arc = || (0..9).map(|i| ring[(start + i) % 16]);
                arc().all(|p| p > centre + 20) || arc().all(|p| p < centre - 20)
            })
        };
        (3..luma.height() - 3)
            .flat_map(|y| (3..luma.width() - 3).map(move |x| (x, y)))
            .filter(|(x, y)| is_corner(*x, *y))
            .count()
    }

    proptest! {
        #[test]
        fn corners_are_those_of_the_definition(cells in prop::collection::vec(prop::sample::select(vec![0_u8, 15, 25, 50, 200]), 49)) {
            // Blocks of 4 × 4 pixels have corners; single random pixels hardly ever.
            let blocks = GrayImage::from_fn(28, 28, |x, y| Luma([cells[(y / 4 * 7 + x / 4) as usize]]));
            prop_assert_eq!(corners(&blocks), naive(&blocks));
        }
    }

    #[test]
    fn a_square_has_corners_and_an_edge_has_none() {
        let square = GrayImage::from_fn(40, 40, |x, y| {
            Luma([if (10..30).contains(&x) && (10..30).contains(&y) { 255 } else { 0 }])
        });
        let edge = GrayImage::from_fn(40, 40, |x, _| Luma([if x < 20 { 255 } else { 0 }]));
        assert!(corners(&square) >= 4 && corners(&square) == naive(&square));
        assert_eq!(corners(&edge), 0);
    }
}
