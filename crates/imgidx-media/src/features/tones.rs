//! Features of the luma: entropy, brightness, contrast, gradient and sharpness.

use image::{GrayImage, RgbImage};
use multiversion::multiversion;

/// Luma with the weights of Rec. 709 in ten-thousandths, rounded down. The result equals `image::imageops::grayscale`.
#[multiversion(targets("x86_64+avx2"))]
pub(crate) fn luma(image: &RgbImage) -> GrayImage {
    let weighted = |[r, g, b]: &[u8; 3]| 2126 * u32::from(*r) + 7152 * u32::from(*g) + 722 * u32::from(*b);
    let pixels = image.as_raw().as_chunks::<3>().0;
    let luma = pixels.iter().map(|pixel| (weighted(pixel) / 10_000) as u8).collect();
    GrayImage::from_raw(image.width(), image.height(), luma).expect("the buffer has one byte per pixel")
}

/// Number of occurrences of each value.
pub(super) fn histogram(values: &[u8]) -> [u32; 256] {
    // Four histograms: equal values often follow each other, and with one histogram each would wait for the one before.
    let mut counts = [[0_u32; 256]; 4];
    let (fours, rest) = values.as_chunks::<4>();
    for four in fours {
        for (count, value) in counts.iter_mut().zip(four) {
            count[usize::from(*value)] += 1;
        }
    }
    for value in rest {
        counts[0][usize::from(*value)] += 1;
    }
    std::array::from_fn(|value| counts.iter().map(|count| count[value]).sum())
}

/// Shannon entropy in bits.
pub(super) fn entropy(histogram: &[u32; 256]) -> f32 {
    let total: u32 = histogram.iter().sum();
    let shares = histogram.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / f64::from(total));
    // Turns the -0.0 of a picture with a single luma into 0.
    (-shares.map(|share| share * share.log2()).sum::<f64>()).max(0.0) as f32
}

/// Mean and standard deviation of the values, 0 to 255.
pub(super) fn moments(histogram: &[u32; 256]) -> (f32, f32) {
    let total: f64 = histogram.iter().map(|count| f64::from(*count)).sum();
    let mean_of = |f: &dyn Fn(f64) -> f64| {
        histogram.iter().enumerate().map(|(luma, count)| f(luma as f64) * f64::from(*count)).sum::<f64>() / total
    };
    let mean = mean_of(&|luma| luma);
    (mean as f32, mean_of(&|luma| (luma - mean).powi(2)).sqrt() as f32)
}

/// Mean of √((h² + v²) / 2) over all pixels with eight neighbours, where h and v are Sobel differences of a luma from 0
/// to 1 with weights that add up to 1.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn gradient_strength(luma: &GrayImage) -> f32 {
    let mut lengths: Vec<f32> = Vec::new();
    let mean = mean_of_rows(luma, |[a, b, c]| {
        let count = a.len() - 2;
        let (above_left, above, above_right) = (&a[..count], &a[1..][..count], &a[2..][..count]);
        let (left, right) = (&b[..count], &b[2..][..count]);
        let (below_left, below, below_right) = (&c[..count], &c[1..][..count], &c[2..][..count]);
        // All lengths first, then their sum: square roots can be vectorised, but additions depend on each other.
        lengths.resize(count, 0.0);
        let roots = &mut lengths[..count];
        for x in 0..count {
            let across = |left: &[u8], right: &[u8]| i16::from(right[x]) - i16::from(left[x]);
            let h = across(above_left, above_right) + 2 * across(left, right) + across(below_left, below_right);
            let v = across(above_left, below_left) + 2 * across(above, below) + across(above_right, below_right);
            let (h, v) = (i32::from(h), i32::from(v));
            roots[x] = ((h * h + v * v) as f32).sqrt();
        }
        let mut sums = [0.0_f32; 8];
        let (eights, rest) = lengths.as_chunks::<8>();
        eights.iter().for_each(|eight| sums.iter_mut().zip(eight).for_each(|(sum, x)| *sum += x));
        f64::from(sums.iter().chain(rest).sum::<f32>())
    });
    (mean / 2.0_f64.sqrt() / (4.0 * 255.0)) as f32
}

/// Variance of the Laplacian (weights 1, 1, -4, 1, 1) over all pixels with eight neighbours.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn laplacian_variance(luma: &GrayImage) -> f32 {
    let mut squares = 0.0;
    let mean = mean_of_rows(luma, |[above, row, below]| {
        let inner = 1..row.len() - 1;
        let across = above[inner.clone()].iter().zip(&below[inner.clone()]);
        let along = row[..row.len() - 2].iter().zip(&row[2..]);
        let (mut sum, mut square) = (0, 0);
        for ((here, (a, b)), (c, d)) in row[inner].iter().zip(across).zip(along) {
            let x = i32::from(*a) + i32::from(*b) + i32::from(*c) + i32::from(*d) - 4 * i32::from(*here);
            sum += x;
            // Each square is at most 1,020², so the sum has room for 4,000 pixels of a row.
            square += (x * x) as u32;
        }
        squares += f64::from(square);
        f64::from(sum)
    });
    let inner = f64::from(luma.width().saturating_sub(2) * luma.height().saturating_sub(2)).max(1.0);
    (squares / inner - mean * mean) as f32
}

/// Mean over all pixels with eight neighbours, from `sum` over every three consecutive rows; 0 if there are no such
/// pixels.
#[inline(always)]
fn mean_of_rows(luma: &GrayImage, sum: impl FnMut([&[u8]; 3]) -> f64) -> f64 {
    let (width, height) = (luma.width() as usize, luma.height() as usize);
    if width < 3 || height < 3 {
        return 0.0;
    }
    let rows: Vec<&[u8]> = luma.as_raw().chunks_exact(width).collect();
    let total: f64 = rows.array_windows().copied().map(sum).sum();
    total / ((width - 2) * (height - 2)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    #[test]
    fn entropy_of_equal_shares_is_the_logarithm_of_their_number() {
        let stripes = GrayImage::from_fn(64, 64, |x, _| Luma([(x % 8) as u8 * 30]));
        assert!((entropy(&histogram(stripes.as_raw())) - 3.0).abs() < 1e-6);
        let one = entropy(&histogram(&[9; 35]));
        assert!(one == 0.0 && one.is_sign_positive());
    }

    #[test]
    fn moments_are_mean_and_standard_deviation() {
        let halves = GrayImage::from_fn(10, 10, |x, _| Luma([if x < 5 { 100 } else { 200 }]));
        assert_eq!(moments(&histogram(halves.as_raw())), (150.0, 50.0));
    }

    #[test]
    fn a_ramp_has_its_slope_and_no_laplacian() {
        let ramp = GrayImage::from_fn(60, 20, |x, _| Luma([4 * x as u8]));
        // The left and the right neighbour differ by eight levels, rows by none.
        assert!((gradient_strength(&ramp) - 8.0 / 255.0 / 2.0_f32.sqrt()).abs() < 1e-6);
        assert_eq!(laplacian_variance(&ramp), 0.0);
        let checkers = GrayImage::from_fn(20, 20, |x, y| Luma([if (x + y) % 2 == 0 { 0 } else { 10 }]));
        assert!((laplacian_variance(&checkers) - 1600.0).abs() < 1.0);
    }

    #[test]
    fn a_line_has_no_gradient() {
        assert_eq!(gradient_strength(&GrayImage::new(2, 100)), 0.0);
        assert_eq!(laplacian_variance(&GrayImage::new(100, 1)), 0.0);
    }

    #[test]
    fn luma_matches_the_image_crate() {
        let all = RgbImage::from_fn(256, 256, |x, y| image::Rgb([x as u8, y as u8, (x * 7 + y * 13) as u8]));
        assert_eq!(luma(&all), image::imageops::grayscale(&all));
    }
}
