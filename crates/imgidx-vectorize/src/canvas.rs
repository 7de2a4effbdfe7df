//! The enlarged picture, with every pixel snapped to the palette.

use image::RgbImage;

use super::color::Rgb;
use super::fit::Point;
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
    pub(crate) fn new(source: &Source, palette: &Palette, scale: f32) -> Self {
        let small = &source.pixels;
        let (width, height) = size(small.dimensions(), scale);
        let pixels = match (width, height) == small.dimensions() {
            true => small.clone(),
            false => scale_to(small, width, height),
        };
        let colors = vec![0; width as usize * height as usize];
        let mut canvas = Self { width, height, colors, small: small.dimensions(), pixels };
        let candidates = Candidates::new(source, palette);
        let columns = Cells::new(small.width(), width);
        let rows = Cells::new(small.height(), height);
        let mut choice = Vec::new();
        for y in 0..small.height() {
            for x in 0..small.width() {
                candidates.colors(x, y, &mut choice);
                canvas.fill(palette, columns.of(x), rows.of(y), &choice);
            }
        }
        canvas
    }

    fn fill(&mut self, palette: &Palette, columns: std::ops::Range<u32>, rows: std::ops::Range<u32>, choice: &[u16]) {
        for y in rows {
            for x in columns.clone() {
                let color = match choice {
                    [only] => *only,
                    several => palette.nearest_of(several, self.pixels.get_pixel(x, y).0, self.to_small((x, y))),
                };
                self.colors[y as usize * self.width as usize + x as usize] = color;
            }
        }
    }
}

impl Canvas {
    /// Enlargement factors along x and y.
    pub(crate) fn scale(&self) -> (f64, f64) {
        (f64::from(self.width) / f64::from(self.small.0), f64::from(self.height) / f64::from(self.small.1))
    }

    /// The centre of a pixel, in coordinates of the small picture.
    fn to_small(&self, (x, y): (u32, u32)) -> Point {
        let scale = self.scale();
        Point::new((f64::from(x) + 0.5) / scale.0, (f64::from(y) + 0.5) / scale.1)
    }

    fn index(&self, (x, y): (u32, u32)) -> u16 {
        self.colors[y as usize * self.width as usize + x as usize]
    }

    fn color(&self, palette: &Palette, pixel: (u32, u32)) -> Rgb {
        palette.color(self.index(pixel), self.to_small(pixel))
    }

    /// The colours of two neighbouring pixels, if they differ.
    pub(crate) fn colors_of(&self, palette: &Palette, a: (u32, u32), b: (u32, u32)) -> Option<(Rgb, Rgb)> {
        (self.index(a) != self.index(b)).then(|| (self.color(palette, a), self.color(palette, b)))
    }

    /// Position of the edge between the centres of two neighbouring pixels, 0 to 1: the point at which the unsnapped
    /// pixels mix both colours equally.
    pub(crate) fn edge_between(&self, palette: &Palette, a: (u32, u32), b: (u32, u32)) -> f64 {
        let (from, to) = (self.color(palette, a).map(f64::from), self.color(palette, b).map(f64::from));
        let difference = [0, 1, 2].map(|i| to[i] - from[i]);
        let squared: f64 = difference.iter().map(|part| part * part).sum();
        let share = |(x, y): (u32, u32)| {
            let pixel = self.pixels.get_pixel(x, y).0;
            (0..3).map(|i| (f64::from(pixel[i]) - from[i]) * difference[i]).sum::<f64>() / squared
        };
        let (before, after) = (share(a), share(b));
        let edge = (0.5 - before) / (after - before);
        // There is no edge between equal colours, nor where the unsnapped pixels do not change from one to the other.
        if squared > 0.0 && edge.is_finite() { edge.clamp(0.0, 1.0) } else { 0.5 }
    }
}

/// Size of the enlarged picture: at most [`MAX_PIXELS`] in total, but never smaller than the original.
pub(super) fn size((width, height): (u32, u32), scale: f32) -> (u32, u32) {
    let pixels = f64::from(width) * f64::from(height);
    let scale = f64::from(scale).min((MAX_PIXELS as f64 / pixels).sqrt()).max(1.0);
    let side = |length: u32| ((f64::from(length) * scale).floor() as u32).max(length);
    (side(width), side(height))
}

/// Maps a row or column of the small picture to the rows or columns of the enlarged picture.
struct Cells {
    small: u64,
    large: u64,
}

impl Cells {
    fn new(small: u32, large: u32) -> Self {
        Self { small: small.into(), large: large.into() }
    }

    fn of(&self, index: u32) -> std::ops::Range<u32> {
        let start = |index: u64| (index * self.large).div_ceil(self.small) as u32;
        start(index.into())..start(u64::from(index) + 1)
    }
}

/// The candidate colours of each pixel of the small picture: those that occur around it.
struct Candidates<'a> {
    kinds: &'a [Kind],
    nearest: Vec<Nearest>,
    size: (i32, i32),
    all: Vec<u16>,
}

impl<'a> Candidates<'a> {
    fn new(source: &'a Source, palette: &Palette) -> Self {
        let (width, height) = source.pixels.dimensions();
        Self {
            kinds: &source.kinds,
            nearest: palette.indices(source),
            size: (width as i32, height as i32),
            all: (0..palette.flat().max(1) as u16).collect(),
        }
    }

    /// Collects the palette indices that a pixel may be snapped to.
    fn colors(&self, x: u32, y: u32, found: &mut Vec<u16>) {
        let (x, y) = (x as i32, y as i32);
        let own = self.at(x, y);
        found.clear();
        if self.kinds[own] == Kind::Flat && self.is_uniform(x, y) {
            found.push(self.nearest[own].color);
            return;
        }
        for reach in REACH {
            self.collect(x, y, reach, found);
            let is_enough = match found.as_slice() {
                [] => false,
                [only] => *only == self.nearest[own].color && self.nearest[own].distance < LINE_COLOR_THRESHOLD,
                _ => true,
            };
            if is_enough {
                return;
            }
        }
        let is_lost = match found.as_slice() {
            [] => true,
            [only] => *only != self.nearest[own].color || self.nearest[own].distance > LOST_COLOR_THRESHOLD,
            _ => false,
        };
        if is_lost {
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

    /// Whether all adjacent pixels have the same colour as this one.
    fn is_uniform(&self, x: i32, y: i32) -> bool {
        let own = self.nearest[self.at(x, y)].color;
        self.window(x, y, 1).all(|beside| self.nearest[beside].color == own)
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
            let cells = Cells::new(small, large);
            let all: Vec<u32> = (0..small).flat_map(|index| cells.of(index)).collect();
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
        let palette = Palette::of(&source, 12.0, 16);
        let grey = palette.colors().iter().position(|color| *color == [128; 3]).expect("it has an area") as u16;
        let canvas = Canvas::new(&source, &palette, 4.0);
        let rows = |from: usize, to: usize| &canvas.colors[from * 160..to * 160];
        assert!(!rows(0, 64).contains(&grey));
        assert!(rows(128, 160).iter().all(|color| *color == grey));
    }
}
