//! The role of each pixel among its neighbours: flat, a mixture, or fine detail.

use image::RgbImage;

use super::color::{DISTINCT_COLOR_THRESHOLD, Rgb, SAME_COLOR_THRESHOLD, distance, squared_distance};
use super::deadline::Deadline;
use super::outline::NotDrawn;

/// Number of pixels between two checks of the deadline.
const PIXELS_PER_CHECK: usize = 4096;

/// The role of a pixel among its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Looks the same as its neighbours.
    Flat,
    /// A mixture of the pixels on two opposite sides. Pixels on the border that are not flat also count as mixtures,
    /// because one side is unknown.
    Mixture,
    /// Neither: part of a line, a point or a corner.
    Fine,
}

/// Determines the kind of each pixel.
///
/// # Errors
/// [`NotDrawn::Late`] if the deadline passes.
pub(super) fn kinds(pixels: &RgbImage, deadline: &Deadline) -> Result<Vec<Kind>, NotDrawn> {
    let (width, height) = (pixels.width() as i32, pixels.height() as i32);
    let at = |x: i32, y: i32| {
        let is_inside = x >= 0 && y >= 0 && x < width && y < height;
        is_inside.then(|| pixels.get_pixel(x as u32, y as u32).0)
    };
    let mut all = Vec::with_capacity(pixels.pixels().len());
    for (x, y, color) in pixels.enumerate_pixels() {
        if all.len() % PIXELS_PER_CHECK == 0 {
            deadline.check()?;
        }
        all.push(kind(color.0, |dx, dy| at(x as i32 + dx, y as i32 + dy)));
    }
    Ok(all)
}

fn kind(color: Rgb, beside: impl Fn(i32, i32) -> Option<Rgb>) -> Kind {
    let (mut is_flat, mut is_mixture) = (true, false);
    for (dx, dy) in [(1, 0), (0, 1), (1, 1), (1, -1)] {
        let (a, b) = (beside(-dx, -dy), beside(dx, dy));
        is_flat &= [a, b]
            .into_iter()
            .flatten()
            .all(|side| squared_distance(side, color) <= SAME_COLOR_THRESHOLD * SAME_COLOR_THRESHOLD);
        match (a, b) {
            (Some(a), Some(b)) => is_mixture |= !is_flat && mixes(color, a, b),
            _ => is_mixture = true,
        }
    }
    match (is_flat, is_mixture) {
        (true, _) => Kind::Flat,
        (false, true) => Kind::Mixture,
        (false, false) => Kind::Fine,
    }
}

/// Whether a colour lies between two others and differs from both.
fn mixes(color: Rgb, a: Rgb, b: Rgb) -> bool {
    let (whole, to_a, to_b) = (distance(a, b), distance(a, color), distance(color, b));
    whole > DISTINCT_COLOR_THRESHOLD
        && to_a > SAME_COLOR_THRESHOLD / 2.0
        && to_b > SAME_COLOR_THRESHOLD / 2.0
        && to_a + to_b < whole * 1.1 + 2.0
}
