//! The picture that is to be traced.

use image::{GrayImage, RgbImage};
use serde::{Deserialize, Serialize};

use super::color::{Rgb, squared_distance};
use super::palette::{Kind, Palette, kinds};
use super::smooth::Smooth;

/// The most pixels that a picture is enlarged to: 1,536 a side, for which the tracer takes 100 MB.
pub const MAX_PIXELS: u64 = 1536 * 1536;

/// Opacity from which on a pixel is there.
const OPAQUE: u8 = 128;

/// Opacity from which on nothing shines through.
const SOLID: u8 = 250;

/// How much of a picture has to be transparent for its trace to be so too.
const SOME: f64 = 0.002;

/// Grounds that a drawing may be laid on: what stands out from its own colours is taken, white if that does.
const GROUNDS: [Rgb; 6] = [[255; 3], [0; 3], [128; 3], [255, 0, 255], [0, 255, 0], [0, 128, 255]];

/// How far white has to be from all colours to be the ground.
const STANDS_OUT: f32 = 40.0;

/// A picture that is to be traced.
#[derive(Debug, Clone)]
pub struct Source {
    /// The size of the drawing, in pixels of the original.
    pub(super) size: (u32, u32),
    /// What is compared: on the ground, where something is transparent.
    pub(super) pixels: RgbImage,
    /// The colour that stands for nothing.
    pub(super) ground: Option<Rgb>,
    /// What each pixel is.
    pub(super) kinds: Vec<Kind>,
    /// Its gradients.
    pub(super) smooth: Smooth,
}

/// What can be told of a picture before it is traced: what a trace of it will depend on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// Pixels, in millions.
    pub megapixels: f32,
    /// Colours of its palette.
    pub colors: u32,
    /// Part of the pixels that are as those around them, 0 to 1.
    pub flat: f32,
    /// Part that are mixtures of those around them, as anti-aliasing makes them at edges, 0 to 1.
    pub mixed: f32,
    /// Part that are neither: lines, points, texture; 0 to 1.
    pub fine: f32,
    /// Mean distance of the pixels from the palette, 0 to 442: gradients and texture have a large one.
    pub off_palette: f32,
    /// Neighbouring pixels of different colours of the palette, for each pixel, 0 to 2: the length of all edges.
    pub edges: f32,
    /// Whether something is transparent.
    pub transparent: bool,
}

impl Source {
    /// Takes a picture's pixels, composited on white, and how opaque they are. `size` is that of the original, which they may be smaller than.
    pub fn new(mut pixels: RgbImage, alpha: Option<&GrayImage>, size: (u32, u32)) -> Self {
        let alpha = alpha.filter(|alpha| is_transparent(alpha));
        let ground = alpha.map(|alpha| {
            let ground = ground(&pixels, alpha);
            lay_on(&mut pixels, alpha, ground);
            ground
        });
        // What shines through has the colour of the ground in it.
        let is_solid = |pixel: usize| alpha.is_none_or(|alpha| alpha.as_raw()[pixel] >= SOLID);
        let smooth = Smooth::of(&pixels, is_solid);
        let mut kinds = kinds(&pixels);
        for (i, kind) in kinds.iter_mut().enumerate() {
            if smooth.gradient_of(i).is_some() {
                *kind = Kind::Flat;
            }
        }
        Self { size, pixels, ground, kinds, smooth }
    }

    /// What it will be compared with, and what lies under it where it is transparent.
    pub fn pixels(&self) -> &RgbImage {
        &self.pixels
    }

    /// The colour under what is transparent; white if nothing is.
    pub fn ground(&self) -> [u8; 3] {
        self.ground.unwrap_or([255; 3])
    }

    /// Width and height of the original.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// What its trace will depend on.
    pub fn facts(&self) -> SourceFacts {
        let palette = Palette::of(self, 12.0, 256);
        let indices = palette.indices(self);
        let count = self.kinds.len() as f32;
        let part = |kind: Kind| self.kinds.iter().filter(|k| **k == kind).count() as f32 / count;
        let (width, height) = (self.pixels.width() as usize, self.pixels.height() as usize);
        let at = |x: usize, y: usize| indices[y * width + x].color;
        let right =
            (0..height).flat_map(|y| (1..width).map(move |x| (x, y))).filter(|&(x, y)| at(x, y) != at(x - 1, y));
        let down = (1..height).flat_map(|y| (0..width).map(move |x| (x, y))).filter(|&(x, y)| at(x, y) != at(x, y - 1));
        let edges = (right.count() + down.count()) as f32 / count;
        SourceFacts {
            megapixels: count / 1e6,
            colors: palette.colors().len() as u32,
            flat: part(Kind::Flat),
            mixed: part(Kind::Mixture),
            fine: part(Kind::Fine),
            off_palette: indices.iter().map(|nearest| nearest.distance).sum::<f32>() / count,
            edges,
            transparent: self.ground.is_some(),
        }
    }
}

fn is_transparent(alpha: &GrayImage) -> bool {
    let clear = alpha.as_raw().iter().filter(|a| **a < 16).count();
    clear as f64 > SOME * alpha.as_raw().len() as f64
}

/// A colour without the white that it was composited on.
fn uncomposited(pixel: Rgb, alpha: u8) -> Rgb {
    let (alpha, white) = (i32::from(alpha), 255 * (255 - i32::from(alpha)));
    pixel.map(|channel| ((255 * i32::from(channel) - white) / alpha.max(1)).clamp(0, 255) as u8)
}

/// The colour to lay a drawing on.
fn ground(pixels: &RgbImage, alpha: &GrayImage) -> Rgb {
    let mut nearest = [f32::INFINITY; GROUNDS.len()];
    for (pixel, alpha) in pixels.pixels().zip(alpha.pixels()) {
        if alpha[0] >= OPAQUE {
            let color = uncomposited(pixel.0, alpha[0]);
            for (least, ground) in nearest.iter_mut().zip(GROUNDS) {
                *least = least.min(squared_distance(color, ground));
            }
        }
    }
    if nearest[0] >= STANDS_OUT * STANDS_OUT {
        return GROUNDS[0];
    }
    let best = (0..GROUNDS.len()).max_by(|a, b| nearest[*a].total_cmp(&nearest[*b]).then(b.cmp(a)));
    GROUNDS[best.expect("there are grounds")]
}

/// Moves pixels from white to another ground.
fn lay_on(pixels: &mut RgbImage, alpha: &GrayImage, ground: Rgb) {
    for (pixel, alpha) in pixels.pixels_mut().zip(alpha.pixels()) {
        let under = 255 - i32::from(alpha[0]);
        for (channel, ground) in pixel.0.iter_mut().zip(ground) {
            let less = under * (255 - i32::from(ground));
            *channel = (i32::from(*channel) - (less + 127) / 255).clamp(0, 255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Luma, Rgb as Pixel};

    #[test]
    fn a_white_drawing_on_nothing_is_laid_on_another_ground() {
        let pixels = RgbImage::from_pixel(20, 20, Pixel([255; 3]));
        let alpha = GrayImage::from_fn(20, 20, |x, _| Luma([if x < 10 { 255 } else { 0 }]));
        let source = Source::new(pixels.clone(), Some(&alpha), (20, 20));
        assert_eq!(source.ground, Some([0; 3]));
        assert_eq!((source.pixels.get_pixel(3, 3).0, source.pixels.get_pixel(15, 3).0), ([255; 3], [0; 3]));
        assert!(Source::new(pixels, None, (20, 20)).ground.is_none());
    }

    #[test]
    fn a_dark_drawing_on_nothing_is_laid_on_white() {
        let pixels = RgbImage::from_fn(20, 20, |x, _| Pixel(if x < 10 { [9, 20, 30] } else { [255; 3] }));
        let alpha = GrayImage::from_fn(20, 20, |x, _| Luma([if x < 10 { 255 } else { 0 }]));
        let source = Source::new(pixels.clone(), Some(&alpha), (20, 20));
        assert_eq!(source.ground, Some([255; 3]));
        assert_eq!(source.pixels, pixels);
    }
}
