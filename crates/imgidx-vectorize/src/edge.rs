//! Locates the edge between two colours inside the pixels that anti-aliasing has mixed.

use image::RgbImage;

use super::color::{Mixture, Rgb};
use super::fit::Point;

/// Numbers of pixels to examine on either side of an edge. The smaller one is for tight places.
const REACHES: [i32; 2] = [3, 2];

/// Maximum share of the other colour at the ends of the examined pixels.
const MAX_IMPURITY: f64 = 0.1;

/// Maximum distance of an edge from the expected place, in pixels.
const MAX_DISTANCE: f64 = 1.0;

/// Locates the edge between two colours near a point, exactly where no other colours are involved.
///
/// Anti-aliasing mixes a pixel in proportion to its area on each side of the edge. The shares of one colour in a column
/// (or in a row, for a steep edge) therefore add up to the height at which the edge crosses it.
///
/// Returns `None` where the edge cannot be located: at corners, and for shapes narrower than a few pixels.
pub(super) fn locate(pixels: &RgbImage, (first, second): (Rgb, Rgb), near: Point) -> Option<Point> {
    let mixture = Mixture::of(first, second)?;
    // Pixels outside the picture equal those on its border.
    let share = |x: i32, y: i32| {
        let inside = |at: i32, length: u32| at.clamp(0, length as i32 - 1) as u32;
        let pixel = pixels.get_pixel(inside(x, pixels.width()), inside(y, pixels.height())).0;
        mixture.share(pixel).clamp(0.0, 1.0)
    };
    let (column, row) = (near.x.floor() as i32, near.y.floor() as i32);
    let side = |dx: i32, dy: i32| {
        [-1, 0, 1].map(|along| share(column + dx + along * dy.abs(), row + dy + along * dx.abs())).iter().sum::<f64>()
    };
    let (across, down) = (side(1, 0) - side(-1, 0), side(0, 1) - side(0, -1));
    let found = if down.abs() >= across.abs() {
        Point::new(near.x, between(near.x, |x| height(row, down > 0.0, |y| share(x, y)))?)
    } else {
        Point::new(between(near.y, |y| height(column, across > 0.0, |x| share(x, y)))?, near.y)
    };
    (found.distance_to(near) <= MAX_DISTANCE).then_some(found)
}

/// Interpolates a value between the centres of two columns.
fn between(place: f64, at: impl Fn(i32) -> Option<f64>) -> Option<f64> {
    let left = (place - 0.5).floor();
    let (before, after) = (at(left as i32)?, at(left as i32 + 1)?);
    Some(before + (place - 0.5 - left) * (after - before))
}

/// The height at which an edge crosses a column near a row. If `is_rising`, the second colour lies after the edge.
fn height(row: i32, is_rising: bool, share: impl Fn(i32) -> f64) -> Option<f64> {
    let before = |y: i32| if is_rising { 1.0 - share(y) } else { share(y) };
    let reach = REACHES
        .into_iter()
        .find(|reach| before(row - reach) >= 1.0 - MAX_IMPURITY && before(row + reach) <= MAX_IMPURITY)?;
    Some(f64::from(row - reach) + (row - reach..=row + reach).map(before).sum::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb as Pixel;

    const INK: Rgb = [200, 30, 60];
    const PAPER: Rgb = [255, 255, 255];

    /// A picture with ink where `is_ink` returns true, each pixel averaged from 32 × 32 points.
    fn drawn(is_ink: impl Fn(f64, f64) -> bool) -> RgbImage {
        RgbImage::from_fn(64, 64, |x, y| {
            let points = (0..1024).map(|i| (f64::from(i % 32) / 32.0, f64::from(i / 32) / 32.0));
            let ink = points
                .filter(|(dx, dy)| is_ink(f64::from(x) + dx + 1.0 / 64.0, f64::from(y) + dy + 1.0 / 64.0))
                .count();
            let part = ink as f64 / 1024.0;
            Pixel(
                [0, 1, 2]
                    .map(|i| (f64::from(PAPER[i]) + part * (f64::from(INK[i]) - f64::from(PAPER[i]))).round() as u8),
            )
        })
    }

    #[test]
    fn the_edge_of_a_disc_is_located_exactly() {
        let disc = drawn(|x, y| f64::hypot(x - 32.3, y - 31.8) < 20.4);
        for degree in (0..360).step_by(5) {
            let (sin, cos) = f64::from(degree).to_radians().sin_cos();
            let near = Point::new(32.3 + 20.0 * cos, 31.8 + 20.0 * sin);
            let found = locate(&disc, (INK, PAPER), near).expect("there is an edge");
            let off = f64::hypot(found.x - 32.3, found.y - 31.8) - 20.4;
            assert!(off.abs() < 0.03, "{degree}: {off}");
            let swapped = locate(&disc, (PAPER, INK), near).expect("there is an edge");
            assert!(swapped.distance_to(found) < 1e-9);
        }
    }

    #[test]
    fn thin_lines_and_single_colours_have_no_edge() {
        let line = drawn(|_, y| (30.2..31.7).contains(&y));
        assert_eq!(locate(&line, (PAPER, INK), Point::new(20.0, 30.0)), None);
        assert_eq!(locate(&line, (INK, INK), Point::new(20.0, 30.0)), None);
    }
}
