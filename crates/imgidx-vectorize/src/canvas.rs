//! The enlarged picture, with every pixel snapped to the palette.

use std::ops::Range;

use image::RgbImage;

use super::color::{Mixture, Rgb};
use super::deadline::Deadline;
use super::fit::Point;
use super::outline::NotDrawn;
use super::palette::{Nearest, Palette};
use super::pixel_kinds::Kind;
use super::source::{MAX_PIXELS, Source};
use crate::scale::scale_to;

/// Distances in pixels within which a pixel's colour candidates are collected, tried in this order.
const REACH: [i32; 2] = [2, 4];

/// Maximum distance between a pixel of a line and its palette colour for the pixel to make that colour a candidate.
const LINE_COLOR_THRESHOLD: f32 = 24.0;

/// Maximum distance between a pixel and the only candidate around it. Beyond this, the whole palette is searched.
const LOST_COLOR_THRESHOLD: f32 = 60.0;

/// Number of pixels of a row between two checks of the deadline. Each becomes up to 64 pixels of the enlarged picture.
const COLUMNS_PER_CHECK: u32 = 256;

/// The enlarged picture, with a palette index for each pixel.
pub(super) struct Canvas {
    pub width: u32,
    pub height: u32,
    pub colors: Vec<u16>,
    /// Size of the picture before it was enlarged.
    small: (u32, u32),
    /// The enlarged pixels before they were snapped.
    pixels: RgbImage,
}

impl Canvas {
    /// Enlarges a picture and snaps it to a palette.
    ///
    /// A pixel at an edge may be nearer to a third colour than to the two that it mixes. The candidates for a pixel are
    /// therefore limited to the colours that occur around it.
    ///
    /// # Errors
    /// [`NotDrawn::Late`] if the deadline passes.
    pub(crate) fn new(source: &Source, palette: &Palette, scale: f32, deadline: &Deadline) -> Result<Self, NotDrawn> {
        let small = &source.pixels;
        let (width, height) = size(small.dimensions(), scale);
        let pixels = match (width, height) == small.dimensions() {
            true => small.clone(),
            false => scale_to(small, width, height),
        };
        let colors = vec![0; width as usize * height as usize];
        let mut canvas = Self { width, height, colors, small: small.dimensions(), pixels };
        let candidates = Candidates {
            kinds: &source.kinds,
            nearest: palette.indices(source, deadline)?,
            size: (small.width() as i32, small.height() as i32),
            all: (0..palette.flat().max(1) as u16).collect(),
        };
        let mut choice = Vec::new();
        for row in 0..small.height() {
            for column in 0..small.width() {
                if column % COLUMNS_PER_CHECK == 0 {
                    deadline.check()?;
                }
                candidates.colors(column, row, &mut choice);
                for y in cells(row, small.height(), height) {
                    for x in cells(column, small.width(), width) {
                        let color = match choice.as_slice() {
                            [only] => *only,
                            several => {
                                palette.nearest_of(several, canvas.pixels.get_pixel(x, y).0, canvas.to_small((x, y)))
                            }
                        };
                        canvas.colors[y as usize * width as usize + x as usize] = color;
                    }
                }
            }
        }
        Ok(canvas)
    }

    /// Enlargement factors along x and y.
    pub(crate) fn scale(&self) -> (f64, f64) {
        (f64::from(self.width) / f64::from(self.small.0), f64::from(self.height) / f64::from(self.small.1))
    }

    /// The centre of a pixel, in coordinates of the small picture.
    fn to_small(&self, (x, y): (u32, u32)) -> Point {
        let scale = self.scale();
        Point::new((f64::from(x) + 0.5) / scale.0, (f64::from(y) + 0.5) / scale.1)
    }

    /// The colours of two neighbouring pixels, if they differ.
    pub(crate) fn colors_of(&self, palette: &Palette, a: (u32, u32), b: (u32, u32)) -> Option<(Rgb, Rgb)> {
        let [first, second] = [a, b].map(|(x, y)| self.colors[y as usize * self.width as usize + x as usize]);
        (first != second).then(|| (palette.color(first, self.to_small(a)), palette.color(second, self.to_small(b))))
    }

    /// Position of the edge between the centres of two neighbouring pixels with these colours, 0 to 1: the point at
    /// which the unsnapped pixels mix both colours equally.
    pub(crate) fn edge_between(&self, (first, second): (Rgb, Rgb), a: (u32, u32), b: (u32, u32)) -> f64 {
        // There is no edge between equal colours, nor where the unsnapped pixels do not change from one to the other.
        let Some(mixture) = Mixture::of(first, second) else { return 0.5 };
        let [before, after] = [a, b].map(|(x, y)| mixture.share(self.pixels.get_pixel(x, y).0));
        let edge = (0.5 - before) / (after - before);
        if edge.is_finite() { edge.clamp(0.0, 1.0) } else { 0.5 }
    }
}

/// Size of the enlarged picture: at most [`MAX_PIXELS`] in total, but never smaller than the original.
pub(super) fn size((width, height): (u32, u32), scale: f32) -> (u32, u32) {
    let pixels = f64::from(width) * f64::from(height);
    let scale = f64::from(scale).min((MAX_PIXELS as f64 / pixels).sqrt()).max(1.0);
    let side = |length: u32| ((f64::from(length) * scale).floor() as u32).max(length);
    (side(width), side(height))
}

/// The rows or columns of the enlarged picture that come from one of the small picture.
fn cells(index: u32, small: u32, large: u32) -> Range<u32> {
    let start = |index: u64| (index * u64::from(large)).div_ceil(small.into()) as u32;
    start(index.into())..start(u64::from(index) + 1)
}

/// The candidate colours of each pixel of the small picture: those that occur around it.
struct Candidates<'a> {
    kinds: &'a [Kind],
    nearest: Vec<Nearest>,
    size: (i32, i32),
    all: Vec<u16>,
}

impl Candidates<'_> {
    /// Collects the palette indices that a pixel may be snapped to.
    fn colors(&self, x: u32, y: u32, found: &mut Vec<u16>) {
        let (x, y) = (x as i32, y as i32);
        let own = self.at(x, y);
        found.clear();
        let nearest = self.nearest[own];
        let is_uniform = || self.window(x, y, 1).all(|beside| self.nearest[beside].color == nearest.color);
        if self.kinds[own] == Kind::Flat && is_uniform() {
            found.push(nearest.color);
            return;
        }
        for reach in REACH {
            self.collect(x, y, reach, found);
            if found.len() > 1 || found.first() == Some(&nearest.color) && nearest.distance < LINE_COLOR_THRESHOLD {
                return;
            }
        }
        if found.first() != Some(&nearest.color) || nearest.distance > LOST_COLOR_THRESHOLD {
            found.clone_from(&self.all);
        }
    }

    fn at(&self, x: i32, y: i32) -> usize {
        y as usize * self.size.0 as usize + x as usize
    }

    fn window(&self, x: i32, y: i32, reach: i32) -> impl Iterator<Item = usize> {
        let (width, height) = self.size;
        let columns = (x - reach).max(0)..=(x + reach).min(width - 1);
        ((y - reach).max(0)..=(y + reach).min(height - 1))
            .flat_map(move |y| columns.clone().map(move |x| self.at(x, y)))
    }

    fn collect(&self, x: i32, y: i32, reach: i32, found: &mut Vec<u16>) {
        for pixel in self.window(x, y, reach) {
            let nearest = self.nearest[pixel];
            let counts = match self.kinds[pixel] {
                Kind::Flat => true,
                Kind::Fine => nearest.distance < LINE_COLOR_THRESHOLD,
                Kind::Mixture => false,
            };
            if counts && !found.contains(&nearest.color) {
                found.push(nearest.color);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb as Pixel;

    #[test]
    fn every_enlarged_pixel_comes_from_exactly_one_pixel() {
        for (small, large) in [(1, 1), (3, 12), (7, 10), (10, 10), (5, 39)] {
            let all: Vec<u32> = (0..small).flat_map(|index| cells(index, small, large)).collect();
            assert_eq!(all, (0..large).collect::<Vec<_>>(), "{small} to {large}");
        }
    }

    #[test]
    fn a_picture_is_never_enlarged_beyond_the_maximum() {
        assert_eq!(size((256, 256), 4.0), (1024, 1024));
        assert_eq!(size((2048, 2048), 4.0), (2048, 2048));
        let (width, height) = size((1500, 900), 8.0);
        assert!(u64::from(width) * u64::from(height) <= MAX_PIXELS && width > 1900, "{width}");
        assert_eq!(size((4096, 1), 2.0), (8192, 2));
    }

    #[test]
    fn a_mixture_of_black_and_white_is_not_snapped_to_a_grey_elsewhere() {
        let pixels = RgbImage::from_fn(40, 40, |x, y| match (x, y) {
            (_, 30..) => Pixel([128; 3]),
            (20, 0..20) => Pixel([128; 3]),
            (21.., 0..20) => Pixel([0; 3]),
            _ => Pixel([255; 3]),
        });
        let source = Source::new(pixels, None, (40, 40));
        let never = Deadline::never();
        let palette = Palette::of(&source, 12.0, 16, &never).expect("there is time");
        let grey = palette.colors().iter().position(|color| *color == [128; 3]).expect("it has an area") as u16;
        let canvas = Canvas::new(&source, &palette, 4.0, &never).expect("there is time");
        let rows = |from: usize, to: usize| &canvas.colors[from * 160..to * 160];
        assert!(!rows(0, 64).contains(&grey));
        assert!(rows(128, 160).iter().all(|color| *color == grey));
    }
}
