//! How much a picture changes around each pixel.

use image::RgbImage;

/// Up to this range nothing changes: rounding apart, the area has one colour.
pub(super) const FLAT: u8 = 1;
/// Up to this range it changes smoothly.
pub(super) const SMOOTH: u8 = 24;

/// The largest range of any channel among 3 × 3 pixels around each pixel, row by row; at the border, among those that
/// are there.
pub(super) fn ranges(image: &RgbImage) -> Vec<u8> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let stride = 3 * width;
    let rows: Vec<&[u8]> = image.as_raw().chunks_exact(stride).collect();
    let (mut low, mut high) = (vec![0; stride], vec![0; stride]);
    let mut result = Vec::with_capacity(width * height);
    let mut wide = (vec![0; stride], vec![0; stride]);
    for y in 0..height {
        let (above, below) = (rows[y.saturating_sub(1)], rows[(y + 1).min(height - 1)]);
        for (((low, high), here), (above, below)) in
            low.iter_mut().zip(&mut high).zip(rows[y]).zip(above.iter().zip(below))
        {
            *low = (*here).min(*above).min(*below);
            *high = (*here).max(*above).max(*below);
        }
        widen(&low, &mut wide.0, u8::min);
        widen(&high, &mut wide.1, u8::max);
        let pixels = wide.0.chunks_exact(3).zip(wide.1.chunks_exact(3));
        result.extend(pixels.map(|(low, high)| (high[0] - low[0]).max(high[1] - low[1]).max(high[2] - low[2])));
    }
    result
}

/// Part of the pixels around which it changes, but within two pixels nowhere more than smoothly.
///
/// The soft fringe that anti-aliasing leaves along an edge is not among them, the inside of a gradient is.
pub(super) fn gradient_fraction(ranges: &[u8], width: usize) -> f32 {
    let rows: Vec<&[u8]> = ranges.chunks_exact(width).collect();
    let mut highest = vec![0; width];
    let mut count = 0;
    for (y, row) in rows.iter().enumerate() {
        highest.copy_from_slice(row);
        for other in &rows[y.saturating_sub(2)..(y + 3).min(rows.len())] {
            highest.iter_mut().zip(*other).for_each(|(highest, x)| *highest = (*highest).max(*x));
        }
        let around = |x: usize| highest[x.saturating_sub(2)..(x + 3).min(width)].iter().all(|range| *range <= SMOOTH);
        count += (0..width).filter(|x| row[*x] > FLAT && around(*x)).count();
    }
    count as f32 / ranges.len() as f32
}

/// The least or greatest of each value and those of the same channel left and right of it.
fn widen(row: &[u8], wide: &mut [u8], pick: fn(u8, u8) -> u8) {
    wide.copy_from_slice(row);
    if row.len() < 6 {
        return;
    }
    let inner = row.len() - 3;
    for (x, right) in wide[..inner].iter_mut().zip(&row[3..]) {
        *x = pick(*x, *right);
    }
    for (x, left) in wide[3..].iter_mut().zip(&row[..inner]) {
        *x = pick(*x, *left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(image: &RgbImage, x: u32, y: u32) -> u8 {
        let xs = x.saturating_sub(1)..=(x + 1).min(image.width() - 1);
        let around =
            || xs.clone().flat_map(|x| (y.saturating_sub(1)..=(y + 1).min(image.height() - 1)).map(move |y| (x, y)));
        let range = |channel: usize| {
            let values = || around().map(|(x, y)| image.get_pixel(x, y).0[channel]);
            values().max().expect("it is there") - values().min().expect("it is there")
        };
        (0..3).map(range).max().expect("three channels")
    }

    #[test]
    fn the_fringe_of_an_edge_is_no_gradient_and_a_ramp_is() {
        // Black, three steps of anti-aliasing, white.
        let step = [0, 0, 0, 0, 0, 20, 128, 240, 255, 255, 255, 255];
        let fringe = RgbImage::from_fn(12, 12, |x, _| image::Rgb([step[x as usize]; 3]));
        assert_eq!(gradient_fraction(&ranges(&fringe), 12), 0.0);
        let ramp = RgbImage::from_fn(12, 12, |x, _| image::Rgb([5 * x as u8; 3]));
        assert_eq!(gradient_fraction(&ranges(&ramp), 12), 1.0);
    }

    proptest! {
        #[test]
        fn ranges_are_what_a_naive_search_finds(
            (width, height, bytes) in (1..9_u32, 1..9_u32).prop_flat_map(|(w, h)| {
                (Just(w), Just(h), prop::collection::vec(any::<u8>(), (3 * w * h) as usize))
            })
        ) {
            let image = RgbImage::from_raw(width, height, bytes).expect("it fits");
            let expected: Vec<u8> = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| naive(&image, x, y)).collect();
            prop_assert_eq!(ranges(&image), expected);
        }
    }
}
