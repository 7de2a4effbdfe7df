//! Distances between colours.

/// Maximum distance of colours that look the same or differ by noise only.
pub(super) const SAME_COLOR_THRESHOLD: f32 = 6.0;

/// Minimum distance between two colours whose mixture can be recognised.
pub(super) const DISTINCT_COLOR_THRESHOLD: f32 = 12.0;

/// A colour: red, green, blue.
pub(super) type Rgb = [u8; 3];

/// Weighted Euclidean distance in RGB, 0 to 442. Green has more weight, because the eye is most sensitive to it.
pub(super) fn distance(a: Rgb, b: Rgb) -> f32 {
    squared_distance(a, b).sqrt()
}

/// The square of [`distance`].
pub(super) fn squared_distance(a: Rgb, b: Rgb) -> f32 {
    const WEIGHTS: [f32; 3] = [0.9, 1.2, 0.9];
    (0..3)
        .map(|i| {
            let difference = f32::from(a[i]) - f32::from(b[i]);
            WEIGHTS[i] * difference * difference
        })
        .sum()
}

/// Mixtures of two colours.
pub(super) struct Mixture {
    first: [f64; 3],
    difference: [f64; 3],
    squared: f64,
}

impl Mixture {
    /// `None` if the colours are equal.
    pub(super) fn of(first: Rgb, second: Rgb) -> Option<Self> {
        let first = first.map(f64::from);
        let difference = [0, 1, 2].map(|i| f64::from(second[i]) - first[i]);
        let squared = difference.iter().map(|part| part * part).sum();
        (squared > 0.0).then_some(Self { first, difference, squared })
    }

    /// Share of the second colour in a pixel, 0 to 1 for a mixture.
    pub(super) fn share(&self, pixel: Rgb) -> f64 {
        (0..3).map(|i| (f64::from(pixel[i]) - self.first[i]) * self.difference[i]).sum::<f64>() / self.squared
    }
}

/// Distance of a colour from the line between two others, or `None` if it does not lie between them.
pub(super) fn distance_from_mixtures(color: Rgb, a: Rgb, b: Rgb) -> Option<f32> {
    let to = |other: Rgb| [0, 1, 2].map(|i| f32::from(other[i]) - f32::from(a[i]));
    let dot = |x: [f32; 3], y: [f32; 3]| x[0] * y[0] + x[1] * y[1] + x[2] * y[2];
    let (line, point) = (to(b), to(color));
    let share = dot(line, point) / dot(line, line);
    // Also rejects NaN, which results when `a` and `b` are equal.
    if !(0.04..=0.96).contains(&share) {
        return None;
    }
    let off = [0, 1, 2].map(|i| point[i] - share * line[i]);
    Some(dot(off, off).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_is_a_mixture_of_black_and_white_and_red_is_none() {
        assert_eq!(distance_from_mixtures([128; 3], [0; 3], [255; 3]), Some(0.0));
        assert!(distance_from_mixtures([255, 0, 0], [0; 3], [255; 3]).is_some_and(|distance| distance > 200.0));
        assert_eq!(distance_from_mixtures([255; 3], [0; 3], [255; 3]), None);
        assert_eq!(distance_from_mixtures([9; 3], [7; 3], [7; 3]), None);
    }
}
