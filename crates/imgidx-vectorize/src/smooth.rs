//! Areas in which colours change smoothly, and the gradients that they are.

use std::collections::{HashMap, HashSet};

use image::RgbImage;

use super::fit::Point;
use super::gradient::{CHANGE, Gradient, Sample, Slope, change};

/// How much neighbouring pixels of an area may differ, of 255: where areas turn out to be several, less.
const STEPS: [u8; 4] = [6, 6, 3, 2];

/// How much of an area has one colour if that is an area of its own.
const FLAT: f64 = 0.4;

/// The least that a channel changes by in an area that shares its gradient with others.
const CHANGE_OF_SHARED: u8 = 5;

/// The least pixels of an area with a gradient of its own, and of one that shares it with others.
const SMALLEST: usize = 120;
const SMALLEST_OF_SHARED: usize = 12;

/// The most gradients.
const MAX_GRADIENTS: usize = 64;

/// How many areas may be tried in vain: photographs are full of them, and what looks like a gradient there is none.
const IN_VAIN: usize = 24;

/// The most pixels that are looked at to tell a gradient.
const SAMPLES: usize = 4096;

/// The gradients of a picture, and where they are.
#[derive(Debug, Clone, Default)]
pub(super) struct Smooth {
    pub gradients: Vec<Gradient>,
    /// For each pixel the number of its gradient, from 1 on; empty where there are none.
    areas: Vec<u8>,
}

impl Smooth {
    /// Finds the gradients of a picture among the pixels that are solid.
    pub(crate) fn of(pixels: &RgbImage, is_solid: impl Fn(usize) -> bool) -> Self {
        let mut free: Vec<bool> = (0..pixels.pixels().len()).map(is_solid).collect();
        let found = Self { gradients: Vec::new(), areas: vec![0; free.len()] };
        let mut search = Search { pixels, found, in_vain: HashSet::new() };
        for step in STEPS {
            let grown = Grown::new(pixels, step, &free);
            free.fill(false);
            let mut areas: Vec<&Vec<u32>> = grown.areas.iter().collect();
            areas.sort_by_key(|area| std::cmp::Reverse(area.len()));
            for area in areas {
                for pixel in search.take(&grown, area) {
                    free[pixel as usize] = true;
                }
                if search.in_vain.len() == IN_VAIN {
                    return Self::default();
                }
            }
        }
        if search.found.gradients.is_empty() { Self::default() } else { search.found }
    }

    /// The number of a pixel's gradient.
    pub(crate) fn gradient_of(&self, pixel: usize) -> Option<usize> {
        self.areas.get(pixel).and_then(|number| usize::from(*number).checked_sub(1))
    }
}

/// The search for the gradients of a picture.
struct Search<'a> {
    pixels: &'a RgbImage,
    found: Smooth,
    /// The areas that had no gradient: their first pixels, and how many they have.
    in_vain: HashSet<(u32, usize)>,
}

impl Search<'_> {
    /// Takes in the gradient of an area, if it has one, and tells which of its pixels may still have another.
    fn take(&mut self, grown: &Grown, area: &[u32]) -> Vec<u32> {
        let pixels = self.pixels;
        let change = change(area.iter().map(|pixel| color(pixels, *pixel)));
        if change < CHANGE_OF_SHARED {
            return Vec::new();
        }
        let mut left = area.to_vec();
        if self.in_vain.contains(&(area[0], area.len())) {
            return left;
        }
        let samples = grown.samples(pixels, area);
        if let Some(flat) = flat(&samples) {
            left.retain(|pixel| color(pixels, *pixel) != flat);
        } else if let Some(number) = self.gradient(grown, area, change, &samples) {
            let gradient = &self.found.gradients[usize::from(number) - 1];
            left.retain(|pixel| !gradient.is_near(&(middle(pixels, *pixel), color(pixels, *pixel))));
            for pixel in area {
                self.found.areas[*pixel as usize] = number;
            }
            for pixel in &left {
                self.found.areas[*pixel as usize] = 0;
            }
        }
        if left.len() >= SMALLEST { left } else { Vec::new() }
    }

    /// The number, from 1 on, of the gradient that an area has.
    fn gradient(&mut self, grown: &Grown, area: &[u32], change: u8, samples: &[Sample]) -> Option<u8> {
        let gradients = &mut self.found.gradients;
        // Beyond its ends a gradient has one colour, and would be near to anything that changes little.
        let is_of = |gradient: &Gradient| gradient.explains(samples) && gradient.change_among(samples) >= change / 2;
        if let Some(known) = gradients.iter().position(is_of) {
            return Some(known as u8 + 1);
        }
        if change < CHANGE || area.len() < SMALLEST || gradients.len() == MAX_GRADIENTS {
            return None;
        }
        let Some(gradient) = Gradient::fit(samples, &grown.slopes(self.pixels, area)) else {
            self.in_vain.insert((area[0], area.len()));
            return None;
        };
        gradients.push(gradient);
        Some(gradients.len() as u8)
    }
}

/// The colour that much of an area has.
fn flat(samples: &[Sample]) -> Option<[u8; 3]> {
    let mut counts: HashMap<[u8; 3], usize> = HashMap::new();
    for (_, color) in samples {
        *counts.entry(*color).or_default() += 1;
    }
    let (color, count) = counts.into_iter().max_by_key(|(color, count)| (*count, *color))?;
    (count as f64 > FLAT * samples.len() as f64).then_some(color)
}

fn color(pixels: &RgbImage, pixel: u32) -> [u8; 3] {
    pixels.get_pixel(pixel % pixels.width(), pixel / pixels.width()).0
}

fn middle(pixels: &RgbImage, pixel: u32) -> Point {
    Point::new(f64::from(pixel % pixels.width()) + 0.5, f64::from(pixel / pixels.width()) + 0.5)
}

/// Areas of pixels that hardly differ from those beside them.
struct Grown {
    /// Those that are large enough.
    areas: Vec<Vec<u32>>,
    /// The number of each pixel's area, from 1 on.
    numbers: Vec<u32>,
    size: (i32, i32),
}

impl Grown {
    fn new(pixels: &RgbImage, step: u8, free: &[bool]) -> Self {
        let size = (pixels.width() as i32, pixels.height() as i32);
        let mut grown = Self { areas: Vec::new(), numbers: vec![0; free.len()], size };
        let (mut next, mut area, mut number) = (Vec::new(), Vec::new(), 0);
        for first in 0..free.len() {
            if !free[first] || grown.numbers[first] != 0 {
                continue;
            }
            number += 1;
            area.clear();
            grown.numbers[first] = number;
            next.push(first as u32);
            while let Some(pixel) = next.pop() {
                area.push(pixel);
                let own = color(pixels, pixel);
                for way in [(-1, 0), (1, 0), (0, -1), (0, 1)] {
                    let Some(beside) = grown.beside(pixel, way) else { continue };
                    let other = color(pixels, beside);
                    let is_near = (0..3).all(|i| own[i].abs_diff(other[i]) <= step);
                    if is_near && free[beside as usize] && grown.numbers[beside as usize] == 0 {
                        grown.numbers[beside as usize] = number;
                        next.push(beside);
                    }
                }
            }
            if area.len() >= SMALLEST_OF_SHARED {
                grown.areas.push(area.clone());
            }
        }
        grown
    }

    fn beside(&self, pixel: u32, (dx, dy): (i32, i32)) -> Option<u32> {
        let (width, height) = self.size;
        let (x, y) = (pixel as i32 % width + dx, pixel as i32 / width + dy);
        ((0..width).contains(&x) && (0..height).contains(&y)).then_some((y * width + x) as u32)
    }

    /// Whether all pixels so near are of one area.
    fn is_inside(&self, pixel: u32, reach: i32) -> bool {
        let number = self.numbers[pixel as usize];
        let ways = (-reach..=reach).flat_map(|dy| (-reach..=reach).map(move |dx| (dx, dy)));
        ways.into_iter()
            .all(|way| self.beside(pixel, way).is_some_and(|beside| self.numbers[beside as usize] == number))
    }

    /// Pixels from all over an area; not from its border, where others are mixed in, if there are others.
    fn samples(&self, pixels: &RgbImage, area: &[u32]) -> Vec<Sample> {
        let inner: Vec<u32> = area.iter().copied().filter(|pixel| self.is_inside(*pixel, 1)).collect();
        let from = if 3 * inner.len() >= area.len() { &inner } else { area };
        let count = from.len().min(SAMPLES);
        (0..count)
            .map(|i| from[i * from.len() / count])
            .map(|pixel| (middle(pixels, pixel), color(pixels, pixel)))
            .collect()
    }

    /// Slopes from all over an area.
    fn slopes(&self, pixels: &RgbImage, area: &[u32]) -> Vec<Slope> {
        // The wider, the less they depend on how colours are rounded.
        let wide = self.slopes_within(pixels, area, 2);
        if wide.len() >= 12 { wide } else { self.slopes_within(pixels, area, 1) }
    }

    fn slopes_within(&self, pixels: &RgbImage, area: &[u32], reach: i32) -> Vec<Slope> {
        let is_on_grid = |pixel: &u32| {
            let (x, y) = (*pixel as i32 % self.size.0, *pixel as i32 / self.size.0);
            x % (reach + 1) == 0 && y % (reach + 1) == 0
        };
        let places: Vec<u32> =
            area.iter().copied().filter(|pixel| is_on_grid(pixel) && self.is_inside(*pixel, reach)).collect();
        let count = places.len().min(SAMPLES);
        (0..count).map(|i| self.slope(pixels, places[i * places.len() / count], reach)).collect()
    }

    /// The plane through the colours around a pixel: least squares.
    fn slope(&self, pixels: &RgbImage, pixel: u32, reach: i32) -> Slope {
        let mut slope = [[0.0; 3]; 2];
        let mut squares = 0.0;
        for (dx, dy) in (-reach..=reach).flat_map(|dy| (-reach..=reach).map(move |dx| (dx, dy))) {
            let Some(beside) = self.beside(pixel, (dx, dy)) else { continue };
            squares += f64::from(dx * dx);
            let color = color(pixels, beside).map(f64::from);
            for i in 0..3 {
                slope[0][i] += f64::from(dx) * color[i];
                slope[1][i] += f64::from(dy) * color[i];
            }
        }
        (middle(pixels, pixel), slope.map(|channels| channels.map(|sum| sum / squares)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn each_area_has_its_gradient_and_flat_ones_have_none() {
        // One from left to right, one from top to bottom, one more of the first, and two flat areas, one of which has a colour of the first.
        let pixels = RgbImage::from_fn(120, 90, |x, y| match (x, y) {
            (0..60, 0..40) | (30..60, 70..90) => Rgb([2 * x as u8, 40, 200]),
            (60..120, 0..60) => Rgb([200, 3 * y as u8, 0]),
            (0..20, 50..90) => Rgb([40, 40, 200]),
            _ => Rgb([255; 3]),
        });
        let found = Smooth::of(&pixels, |_| true);
        let at = |x: usize, y: usize| found.gradient_of(y * 120 + x);
        assert_eq!(found.gradients.len(), 2);
        assert!(at(30, 20).is_some() && at(90, 30).is_some());
        assert_eq!(at(30, 20), at(45, 80));
        assert_eq!((at(10, 70), at(40, 60)), (None, None));
        assert_ne!(at(30, 20), at(90, 30));
    }

    #[test]
    fn some_areas_that_are_no_gradients_do_not_matter_and_many_make_a_photograph() {
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
            Smooth::of(&pixels, |_| true).gradients.len()
        };
        assert_eq!((with(0), with(12), with(40)), (1, 1, 0));
    }

    #[test]
    fn what_shines_through_is_no_gradient() {
        let pixels = RgbImage::from_fn(60, 60, |x, _| Rgb([4 * x as u8, 0, 0]));
        assert_eq!(Smooth::of(&pixels, |_| true).gradients.len(), 1);
        assert_eq!(Smooth::of(&pixels, |_| false).gradients.len(), 0);
    }
}
