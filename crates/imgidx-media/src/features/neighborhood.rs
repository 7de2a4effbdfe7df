//! Local variation: how much a picture changes around each pixel.

use image::RgbImage;
use multiversion::multiversion;

/// Up to this range, an area is flat: it has one colour, apart from rounding.
pub(super) const MAX_FLAT_RANGE: u8 = 1;
/// Up to this range, an area changes smoothly.
pub(super) const MAX_SMOOTH_RANGE: u8 = 24;

/// For each pixel, row by row, the largest range (maximum minus minimum) of any channel in the 3 × 3 pixels around it.
/// At the border, only pixels inside the picture count.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn ranges(image: &RgbImage) -> Vec<u8> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let stride = 3 * width;
    let rows: Vec<&[u8]> = image.as_raw().chunks_exact(stride).collect();
    // Padded at both ends with a copy of the outermost pixel.
    let (mut low, mut high) = (vec![0_u8; stride + 6], vec![0_u8; stride + 6]);
    let mut channels = vec![0_u8; stride];
    let mut result = Vec::with_capacity(width * height);
    for y in 0..height {
        // Here and below, slices of a length that the compiler sees let it vectorise the loops.
        let row = |y: usize| &rows[y][..stride];
        let (above, here, below) = (row(y.saturating_sub(1)), row(y), row((y + 1).min(height - 1)));
        let (lows, highs) = (&mut low[3..][..stride], &mut high[3..][..stride]);
        for i in 0..stride {
            lows[i] = here[i].min(above[i]).min(below[i]);
            highs[i] = here[i].max(above[i]).max(below[i]);
        }
        for row in [&mut low, &mut high] {
            row.copy_within(3..6, 0);
            row.copy_within(stride..stride + 3, stride + 3);
        }
        let (low_left, low_here, low_right) = (&low[..stride], &low[3..][..stride], &low[6..][..stride]);
        let (high_left, high_here, high_right) = (&high[..stride], &high[3..][..stride], &high[6..][..stride]);
        let ranges = &mut channels[..stride];
        for i in 0..stride {
            let highest = high_left[i].max(high_here[i]).max(high_right[i]);
            ranges[i] = highest.abs_diff(low_left[i].min(low_here[i]).min(low_right[i]));
        }
        result.extend(channels.as_chunks::<3>().0.iter().map(|[r, g, b]| (*r).max(*g).max(*b)));
    }
    result
}

/// Fraction of the pixels that are not flat and have nothing sharper than a smooth change within two pixels.
///
/// This includes the inside of gradients, but not the soft fringe that anti-aliasing leaves along edges.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn gradient_fraction(ranges: &[u8], width: usize) -> f32 {
    let rows: Vec<&[u8]> = ranges.chunks_exact(width).collect();
    // Padded with two zeros on each side, so that every pixel has neighbours.
    let mut padded = vec![0_u8; width + 4];
    let mut count = 0;
    for (y, row) in rows.iter().enumerate() {
        let highest = &mut padded[2..width + 2];
        highest.copy_from_slice(row);
        for other in &rows[y.saturating_sub(2)..(y + 3).min(rows.len())] {
            highest.iter_mut().zip(*other).for_each(|(highest, x)| *highest = (*highest).max(*x));
        }
        let from = |at: usize| &padded[at..][..width];
        let (a, b, c, d, e) = (from(0), from(1), from(2), from(3), from(4));
        let row = &row[..width];
        for x in 0..width {
            let around = a[x].max(b[x]).max(c[x]).max(d[x]).max(e[x]);
            count += u32::from((row[x] > MAX_FLAT_RANGE) & (around <= MAX_SMOOTH_RANGE));
        }
    }
    count as f32 / ranges.len() as f32
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
            values().max().expect("the pixel itself") - values().min().expect("the pixel itself")
        };
        (0..3).map(range).max().expect("three channels")
    }

    #[test]
    fn a_ramp_is_a_gradient_and_the_fringe_of_an_edge_is_not() {
        // Black, three steps of anti-aliasing, white.
        let step = [0, 0, 0, 0, 0, 20, 128, 240, 255, 255, 255, 255];
        let fringe = RgbImage::from_fn(12, 12, |x, _| image::Rgb([step[x as usize]; 3]));
        assert_eq!(gradient_fraction(&ranges(&fringe), 12), 0.0);
        let ramp = RgbImage::from_fn(12, 12, |x, _| image::Rgb([5 * x as u8; 3]));
        assert_eq!(gradient_fraction(&ranges(&ramp), 12), 1.0);
    }

    proptest! {
        #[test]
        fn ranges_match_a_naive_search(
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
