//! Features of the luma: histogram, gradient, sharpness.

use image::GrayImage;

/// How many pixels have each luma.
pub(super) fn histogram(luma: &GrayImage) -> [u32; 256] {
    // Four at a time: pixels of one luma come one after another and would wait for each other's count.
    let mut counts = [[0_u32; 256]; 4];
    let (fours, rest) = luma.as_raw().as_chunks::<4>();
    for pixels in fours {
        for (count, pixel) in counts.iter_mut().zip(pixels) {
            count[usize::from(*pixel)] += 1;
        }
    }
    for pixel in rest {
        counts[0][usize::from(*pixel)] += 1;
    }
    std::array::from_fn(|luma| counts.iter().map(|count| count[luma]).sum())
}

/// Shannon entropy in bits.
pub(super) fn entropy(histogram: &[u32; 256]) -> f32 {
    let total: u32 = histogram.iter().sum();
    let shares = histogram.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / f64::from(total));
    // 0 is made of -0.0 where there is one luma only.
    (-shares.map(|share| share * share.log2()).sum::<f64>()).max(0.0) as f32
}

/// Mean and standard deviation.
pub(super) fn moments(histogram: &[u32; 256]) -> (f32, f32) {
    let total: f64 = histogram.iter().map(|count| f64::from(*count)).sum();
    let mean_of = |f: &dyn Fn(f64) -> f64| {
        histogram.iter().enumerate().map(|(luma, count)| f(luma as f64) * f64::from(*count)).sum::<f64>() / total
    };
    let mean = mean_of(&|luma| luma);
    (mean as f32, mean_of(&|luma| (luma - mean).powi(2)).sqrt() as f32)
}

/// Mean of √((h² + v²) / 2), where h and v are Sobel's differences of a luma from 0 to 1, weights adding up to 1, over
/// all pixels that have eight neighbours.
pub(super) fn gradient_strength(luma: &GrayImage) -> f32 {
    mean_of_windows(luma, |rows, x| {
        let [a, b, c] = rows.map(|row| [f32::from(row[x]), f32::from(row[x + 1]), f32::from(row[x + 2])]);
        let h = (a[2] - a[0]) + 2.0 * (b[2] - b[0]) + (c[2] - c[0]);
        let v = (c[0] - a[0]) + 2.0 * (c[1] - a[1]) + (c[2] - a[2]);
        ((h * h + v * v) / 2.0).sqrt()
    }) / (4.0 * 255.0)
}

/// Variance of the Laplacian (weights 1, 1, -4, 1, 1) over all pixels that have eight neighbours.
pub(super) fn laplacian_variance(luma: &GrayImage) -> f32 {
    let laplacian = |rows: [&[u8]; 3], x: usize| {
        let sum =
            i32::from(rows[0][x + 1]) + i32::from(rows[2][x + 1]) + i32::from(rows[1][x]) + i32::from(rows[1][x + 2]);
        (sum - 4 * i32::from(rows[1][x + 1])) as f32
    };
    let mean = mean_of_windows(luma, laplacian);
    mean_of_windows(luma, |rows, x| laplacian(rows, x).powi(2)) - mean * mean
}

/// The mean of a function of three rows and the first of three columns; 0 where there are too few.
fn mean_of_windows(luma: &GrayImage, value: impl Fn([&[u8]; 3], usize) -> f32) -> f32 {
    let (width, height) = (luma.width() as usize, luma.height() as usize);
    if width < 3 || height < 3 {
        return 0.0;
    }
    let rows: Vec<&[u8]> = luma.as_raw().chunks_exact(width).collect();
    let sum_of_row = |rows: &[&[u8]]| {
        let rows = [&rows[0][..width], &rows[1][..width], &rows[2][..width]];
        // A row is short enough to be added up in 32 bits.
        f64::from((0..width - 2).map(|x| value(rows, x)).sum::<f32>())
    };
    let sum: f64 = rows.windows(3).map(sum_of_row).sum();
    (sum / ((width - 2) * (height - 2)) as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    #[test]
    fn entropy_of_equal_shares_is_the_logarithm_of_their_number() {
        let stripes = GrayImage::from_fn(64, 64, |x, _| Luma([(x % 8) as u8 * 30]));
        assert!((entropy(&histogram(&stripes)) - 3.0).abs() < 1e-6);
        let one = entropy(&histogram(&GrayImage::from_pixel(5, 7, Luma([9]))));
        assert!(one == 0.0 && one.is_sign_positive());
    }

    #[test]
    fn moments_are_those_of_the_pixels() {
        let halves = GrayImage::from_fn(10, 10, |x, _| Luma([if x < 5 { 100 } else { 200 }]));
        assert_eq!(moments(&histogram(&halves)), (150.0, 50.0));
    }

    #[test]
    fn a_ramp_has_its_slope_and_no_laplacian() {
        let ramp = GrayImage::from_fn(60, 20, |x, _| Luma([4 * x as u8]));
        // Eight levels between the left and the right neighbour; none between rows.
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
}
