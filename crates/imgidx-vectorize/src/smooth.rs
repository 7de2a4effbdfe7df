//! Finds areas in which colours change smoothly, and their gradients.

use std::collections::{HashMap, HashSet};

use image::RgbImage;

use super::deadline::Deadline;
use super::fit::Point;
use super::gradient::{Gradient, MIN_CHANGE, Sample, Slope, change, pick};
use super::outline::NotDrawn;

/// Maximum difference between neighbouring pixels of an area, of 255, for each pass. Later passes are stricter: they
/// split areas that contain several gradients.
const MAX_STEPS: [u8; 4] = [6, 6, 3, 2];

/// If more than this fraction of an area has one colour, that colour is an area of its own.
const FLAT_FRACTION_THRESHOLD: f64 = 0.4;

/// Minimum change of a channel, of 255, in an area that shares the gradient of another area.
const MIN_SHARED_CHANGE: u8 = 5;

/// Minimum number of pixels of an area with its own gradient.
const MIN_AREA: usize = 120;

/// Minimum number of pixels of an area that shares the gradient of another area.
const MIN_SHARED_AREA: usize = 12;

/// Maximum number of gradients.
const MAX_GRADIENTS: usize = 64;

/// Number of areas without a gradient after which the picture counts as a photograph. Photographs are full of such
/// areas, and what resembles a gradient in them is none.
const MAX_REJECTED: usize = 24;

/// Maximum number of pixels sampled to fit a gradient.
const MAX_SAMPLES: usize = 4096;

/// Number of pixels between two checks of the deadline.
const PIXELS_PER_CHECK: usize = 4096;

/// The gradients of a picture, and the pixels that they cover.
#[derive(Debug, Clone, Default)]
pub(super) struct Smooth {
    pub gradients: Vec<Gradient>,
    /// The number of each pixel's gradient, starting at 1; 0 for no gradient. Empty if the picture has no gradients.
    areas: Vec<u8>,
}

impl Smooth {
    /// Finds the gradients of a picture among its opaque pixels.
    ///
    /// # Errors
    /// [`NotDrawn::Late`] if the deadline passes.
    pub(crate) fn of(
        pixels: &RgbImage,
        is_solid: impl Fn(usize) -> bool,
        deadline: &Deadline,
    ) -> Result<Self, NotDrawn> {
        let mut free: Vec<bool> = (0..pixels.pixels().len()).map(is_solid).collect();
        let found = Self { gradients: Vec::new(), areas: vec![0; free.len()] };
        let mut search = Search { found, rejected: HashSet::new() };
        for step in MAX_STEPS {
            let grown = Grown::new(pixels, step, &free, deadline)?;
            free.fill(false);
            for area in &grown.areas {
                deadline.check()?;
                for pixel in search.add_area(&grown, area) {
                    free[pixel as usize] = true;
                }
                if search.rejected.len() == MAX_REJECTED {
                    return Ok(Self::default());
                }
            }
        }
        Ok(if search.found.gradients.is_empty() { Self::default() } else { search.found })
    }

    /// The index of a pixel's gradient.
    pub(crate) fn gradient_of(&self, pixel: usize) -> Option<usize> {
        self.areas.get(pixel).and_then(|number| usize::from(*number).checked_sub(1))
    }
}

/// The search for the gradients of a picture.
struct Search {
    found: Smooth,
    /// Areas without a gradient, identified by their first pixel and their number of pixels.
    rejected: HashSet<(u32, usize)>,
}

impl Search {
    /// Adds the gradient of an area, if it has one, and returns the pixels that may belong to another gradient.
    fn add_area(&mut self, grown: &Grown<'_>, area: &[u32]) -> Vec<u32> {
        let change = change(area.iter().map(|pixel| grown.color(*pixel)));
        if change < MIN_SHARED_CHANGE {
            return Vec::new();
        }
        let mut left = area.to_vec();
        if self.rejected.contains(&(area[0], area.len())) {
            return left;
        }
        let samples = grown.samples(area);
        if let Some(flat) = flat(&samples) {
            left.retain(|pixel| grown.color(*pixel) != flat);
        } else if let Some(number) = self.gradient(grown, area, change, &samples) {
            let gradient = &self.found.gradients[usize::from(number) - 1];
            left.retain(|pixel| !gradient.is_near(&grown.sample(*pixel)));
            for pixel in area {
                self.found.areas[*pixel as usize] = number;
            }
            for pixel in &left {
                self.found.areas[*pixel as usize] = 0;
            }
        }
        if left.len() >= MIN_AREA { left } else { Vec::new() }
    }

    /// The number of an area's gradient, starting at 1: a known gradient, or a new one.
    fn gradient(&mut self, grown: &Grown<'_>, area: &[u32], change: u8, samples: &[Sample]) -> Option<u8> {
        let gradients = &mut self.found.gradients;
        // Beyond its ends a gradient is constant, and would match any area that changes little.
        let is_of = |gradient: &Gradient| gradient.explains(samples) && gradient.change_among(samples) >= change / 2;
        if let Some(known) = gradients.iter().position(is_of) {
            return Some(known as u8 + 1);
        }
        if change < MIN_CHANGE || area.len() < MIN_AREA || gradients.len() == MAX_GRADIENTS {
            return None;
        }
        let Some(gradient) = Gradient::fit(samples, &grown.slopes(area)) else {
            self.rejected.insert((area[0], area.len()));
            return None;
        };
        gradients.push(gradient);
        Some(gradients.len() as u8)
    }
}

/// The dominant colour of an area, if it covers more than [`FLAT_FRACTION_THRESHOLD`].
fn flat(samples: &[Sample]) -> Option<[u8; 3]> {
    let mut counts: HashMap<[u8; 3], usize> = HashMap::new();
    for (_, color) in samples {
        *counts.entry(*color).or_default() += 1;
    }
    let (color, count) = counts.into_iter().max_by_key(|(color, count)| (*count, *color))?;
    (count as f64 > FLAT_FRACTION_THRESHOLD * samples.len() as f64).then_some(color)
}

/// Connected areas in which neighbouring pixels hardly differ.
struct Grown<'a> {
    pixels: &'a RgbImage,
    /// The areas with at least [`MIN_SHARED_AREA`] pixels, the largest first.
    areas: Vec<Vec<u32>>,
    /// The number of each pixel's area, starting at 1; 0 for pixels that are not free.
    numbers: Vec<u32>,
}

impl<'a> Grown<'a> {
    fn new(pixels: &'a RgbImage, step: u8, free: &[bool], deadline: &Deadline) -> Result<Self, NotDrawn> {
        let mut grown = Self { pixels, areas: Vec::new(), numbers: vec![0; free.len()] };
        let (mut next, mut area, mut number) = (Vec::new(), Vec::new(), 0);
        for first in 0..free.len() {
            if first % PIXELS_PER_CHECK == 0 {
                deadline.check()?;
            }
            if !free[first] || grown.numbers[first] != 0 {
                continue;
            }
            number += 1;
            area.clear();
            grown.numbers[first] = number;
            next.push(first as u32);
            while let Some(pixel) = next.pop() {
                area.push(pixel);
                let own = grown.color(pixel);
                for direction in [(-1, 0), (1, 0), (0, -1), (0, 1)] {
                    let Some(beside) = grown.beside(pixel, direction) else { continue };
                    let other = grown.color(beside);
                    let is_near = (0..3).all(|i| own[i].abs_diff(other[i]) <= step);
                    if is_near && free[beside as usize] && grown.numbers[beside as usize] == 0 {
                        grown.numbers[beside as usize] = number;
                        next.push(beside);
                    }
                }
            }
            if area.len() >= MIN_SHARED_AREA {
                grown.areas.push(area.clone());
            }
        }
        grown.areas.sort_by_key(|area| std::cmp::Reverse(area.len()));
        Ok(grown)
    }

    fn place(&self, pixel: u32) -> (u32, u32) {
        (pixel % self.pixels.width(), pixel / self.pixels.width())
    }

    fn color(&self, pixel: u32) -> [u8; 3] {
        let (x, y) = self.place(pixel);
        self.pixels.get_pixel(x, y).0
    }

    fn sample(&self, pixel: u32) -> Sample {
        let (x, y) = self.place(pixel);
        (Point::new(f64::from(x) + 0.5, f64::from(y) + 0.5), self.color(pixel))
    }

    fn beside(&self, pixel: u32, (dx, dy): (i32, i32)) -> Option<u32> {
        let (x, y) = self.place(pixel);
        let (x, y) = (x.checked_add_signed(dx)?, y.checked_add_signed(dy)?);
        (x < self.pixels.width() && y < self.pixels.height()).then_some(y * self.pixels.width() + x)
    }

    /// Whether all pixels within this reach belong to the same area.
    fn is_inside(&self, pixel: u32, reach: i32) -> bool {
        let number = self.numbers[pixel as usize];
        around(reach)
            .all(|offset| self.beside(pixel, offset).is_some_and(|beside| self.numbers[beside as usize] == number))
    }

    /// Samples spread over an area. Avoids the border, where other colours are mixed in, if enough pixels remain.
    fn samples(&self, area: &[u32]) -> Vec<Sample> {
        let inner: Vec<u32> = area.iter().copied().filter(|pixel| self.is_inside(*pixel, 1)).collect();
        let from = if 3 * inner.len() >= area.len() { &inner } else { area };
        pick(from, MAX_SAMPLES).into_iter().map(|pixel| self.sample(pixel)).collect()
    }

    /// Slopes spread over an area.
    fn slopes(&self, area: &[u32]) -> Vec<Slope> {
        // A wider window is less sensitive to the rounding of colours.
        let wide = self.slopes_within(area, 2);
        if wide.len() >= 12 { wide } else { self.slopes_within(area, 1) }
    }

    fn slopes_within(&self, area: &[u32], reach: i32) -> Vec<Slope> {
        let is_on_grid = |pixel: u32| {
            let (x, y) = self.place(pixel);
            x % (reach as u32 + 1) == 0 && y % (reach as u32 + 1) == 0
        };
        let places: Vec<u32> =
            area.iter().copied().filter(|pixel| is_on_grid(*pixel) && self.is_inside(*pixel, reach)).collect();
        pick(&places, MAX_SAMPLES).into_iter().map(|pixel| self.slope(pixel, reach)).collect()
    }

    /// The slope at a pixel: the least-squares plane through the colours around it.
    fn slope(&self, pixel: u32, reach: i32) -> Slope {
        let mut slope = [[0.0; 3]; 2];
        let mut squares = 0.0;
        for (dx, dy) in around(reach) {
            let Some(beside) = self.beside(pixel, (dx, dy)) else { continue };
            squares += f64::from(dx * dx);
            let color = self.color(beside).map(f64::from);
            for i in 0..3 {
                slope[0][i] += f64::from(dx) * color[i];
                slope[1][i] += f64::from(dy) * color[i];
            }
        }
        (self.sample(pixel).0, slope.map(|channels| channels.map(|sum| sum / squares)))
    }
}

/// The offsets within a reach, row by row.
fn around(reach: i32) -> impl Iterator<Item = (i32, i32)> {
    (-reach..=reach).flat_map(move |dy| (-reach..=reach).map(move |dx| (dx, dy)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn smooth(pixels: &RgbImage, is_solid: bool) -> Smooth {
        Smooth::of(pixels, |_| is_solid, &Deadline::never()).expect("there is time")
    }

    #[test]
    fn each_area_has_its_gradient_and_flat_ones_have_none() {
        // A gradient from left to right in two areas, one from top to bottom, and two flat areas. One of the flat areas
        // has a colour of the first gradient.
        let pixels = RgbImage::from_fn(120, 90, |x, y| match (x, y) {
            (0..60, 0..40) | (30..60, 70..90) => Rgb([2 * x as u8, 40, 200]),
            (60..120, 0..60) => Rgb([200, 3 * y as u8, 0]),
            (0..20, 50..90) => Rgb([40, 40, 200]),
            _ => Rgb([255; 3]),
        });
        let found = smooth(&pixels, true);
        let at = |x: usize, y: usize| found.gradient_of(y * 120 + x);
        assert_eq!(found.gradients.len(), 2);
        assert!(at(30, 20).is_some() && at(90, 30).is_some());
        assert_eq!(at(30, 20), at(45, 80));
        assert_eq!((at(10, 70), at(40, 60)), (None, None));
        assert_ne!(at(30, 20), at(90, 30));
    }

    #[test]
    fn a_few_areas_without_gradient_are_accepted_and_many_mean_a_photograph() {
        let with = |count: u32| {
            let pixels = RgbImage::from_fn(320, 400, |x, y| {
                let (column, row) = (x / 40, y / 40);
                let (fx, fy) = (f64::from(x), f64::from(y));
                match x % 40 < 36 && y % 40 < 36 {
                    _ if y < 36 => Rgb([(x / 2) as u8, 40, 200]),
                    true if row >= 1 && 8 * (row - 1) + column < count => {
                        Rgb([120.0 + 20.0 * (fx / 4.0).cos(), 90.0 + 20.0 * (fy / 4.0).sin(), 0.0]
                            .map(|channel| channel as u8))
                    }
                    _ => Rgb([255; 3]),
                }
            });
            smooth(&pixels, true).gradients.len()
        };
        assert_eq!((with(0), with(12), with(40)), (1, 1, 0));
    }

    #[test]
    fn semi_transparent_pixels_have_no_gradient() {
        let pixels = RgbImage::from_fn(60, 60, |x, _| Rgb([4 * x as u8, 0, 0]));
        assert_eq!(smooth(&pixels, true).gradients.len(), 1);
        assert_eq!(smooth(&pixels, false).gradients.len(), 0);
    }
}
