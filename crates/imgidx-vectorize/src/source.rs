//! The picture to trace.

use image::{GrayImage, RgbImage};

use super::color::{Rgb, squared_distance};
use super::deadline::Deadline;
use super::outline::NotDrawn;
use super::pixel_kinds::{Kind, kinds};
use super::smooth::Smooth;

/// Maximum number of pixels of the enlarged picture: 1,536 a side, for which the tracer takes 100 MB.
pub const MAX_PIXELS: u64 = 1536 * 1536;

/// Minimum alpha of a pixel that counts as visible.
const VISIBLE_THRESHOLD: u8 = 128;

/// Minimum alpha of a pixel that counts as fully opaque.
const SOLID_THRESHOLD: u8 = 250;

/// Fraction of clear pixels above which a trace keeps the transparency.
const MIN_CLEAR_FRACTION: f64 = 0.002;

/// Candidates for the background of a transparent drawing. White is used if it differs enough from the colours of the
/// drawing, otherwise the candidate that differs most.
const BACKGROUNDS: [Rgb; 6] = [[255; 3], [0; 3], [128; 3], [255, 0, 255], [0, 255, 0], [0, 128, 255]];

/// Minimum distance between white and all colours of the drawing for white to be the background.
const MIN_WHITE_DISTANCE: f32 = 40.0;

/// A picture to trace, analysed and ready for any number of traces.
#[derive(Debug, Clone)]
pub struct Source {
    /// Width and height of the original, in pixels.
    pub(super) size: (u32, u32),
    /// The pixels that traces are compared with, composited on `ground` if the picture is transparent.
    pub(super) pixels: RgbImage,
    /// The background colour that stands for transparency; `None` for an opaque picture.
    pub(super) ground: Option<Rgb>,
    /// The kind of each pixel.
    pub(super) kinds: Vec<Kind>,
    /// The gradients of the picture.
    pub(super) smooth: Smooth,
}

impl Source {
    /// Analyses a picture: its pixels composited on white, and its alpha channel.
    ///
    /// `size` is the width and height of the original, which may be larger than `pixels`.
    pub fn new(pixels: RgbImage, alpha: Option<&GrayImage>, size: (u32, u32)) -> Self {
        Self::within(pixels, alpha, size, &Deadline::never()).expect("there is always time")
    }

    /// Like [`Source::new`], until a deadline.
    ///
    /// # Errors
    /// [`NotDrawn::Late`] if the deadline passes.
    pub fn within(
        mut pixels: RgbImage,
        alpha: Option<&GrayImage>,
        size: (u32, u32),
        deadline: &Deadline,
    ) -> Result<Self, NotDrawn> {
        let alpha = alpha.filter(|alpha| is_transparent(alpha));
        let ground = alpha.map(|alpha| {
            let ground = ground(&pixels, alpha);
            recomposite(&mut pixels, alpha, ground);
            ground
        });
        // Semi-transparent pixels contain the background colour, so they belong to no gradient.
        let is_solid = |pixel: usize| alpha.is_none_or(|alpha| alpha.as_raw()[pixel] >= SOLID_THRESHOLD);
        let smooth = Smooth::of(&pixels, is_solid, deadline)?;
        let mut kinds = kinds(&pixels, deadline)?;
        for (i, kind) in kinds.iter_mut().enumerate() {
            if smooth.gradient_of(i).is_some() {
                *kind = Kind::Flat;
            }
        }
        Ok(Self { size, pixels, ground, kinds, smooth })
    }

    /// The pixels that traces are compared with, composited on [`Self::ground`].
    pub fn pixels(&self) -> &RgbImage {
        &self.pixels
    }

    /// The background colour under transparent parts; white for an opaque picture.
    pub fn ground(&self) -> [u8; 3] {
        self.ground.unwrap_or([255; 3])
    }
}

fn is_transparent(alpha: &GrayImage) -> bool {
    let clear = alpha.as_raw().iter().filter(|a| **a < 16).count();
    clear as f64 > MIN_CLEAR_FRACTION * alpha.as_raw().len() as f64
}

/// Removes the white that a colour was composited on.
fn uncomposited(pixel: Rgb, alpha: u8) -> Rgb {
    let (alpha, white) = (i32::from(alpha), 255 * (255 - i32::from(alpha)));
    pixel.map(|channel| ((255 * i32::from(channel) - white) / alpha.max(1)).clamp(0, 255) as u8)
}

/// Chooses the background colour for a transparent drawing.
fn ground(pixels: &RgbImage, alpha: &GrayImage) -> Rgb {
    let mut nearest = [f32::INFINITY; BACKGROUNDS.len()];
    for (pixel, alpha) in pixels.pixels().zip(alpha.pixels()) {
        if alpha[0] >= VISIBLE_THRESHOLD {
            let color = uncomposited(pixel.0, alpha[0]);
            for (least, ground) in nearest.iter_mut().zip(BACKGROUNDS) {
                *least = least.min(squared_distance(color, ground));
            }
        }
    }
    if nearest[0] >= MIN_WHITE_DISTANCE * MIN_WHITE_DISTANCE {
        return BACKGROUNDS[0];
    }
    let best = (0..BACKGROUNDS.len()).max_by(|a, b| nearest[*a].total_cmp(&nearest[*b]).then(b.cmp(a)));
    BACKGROUNDS[best.expect("the list of backgrounds is not empty")]
}

/// Replaces the white that pixels were composited on with another background.
fn recomposite(pixels: &mut RgbImage, alpha: &GrayImage, ground: Rgb) {
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
    fn a_transparent_white_drawing_gets_another_background() {
        let pixels = RgbImage::from_pixel(20, 20, Pixel([255; 3]));
        let alpha = GrayImage::from_fn(20, 20, |x, _| Luma([if x < 10 { 255 } else { 0 }]));
        let source = Source::new(pixels.clone(), Some(&alpha), (20, 20));
        assert_eq!(source.ground, Some([0; 3]));
        assert_eq!((source.pixels.get_pixel(3, 3).0, source.pixels.get_pixel(15, 3).0), ([255; 3], [0; 3]));
        assert!(Source::new(pixels, None, (20, 20)).ground.is_none());
    }

    #[test]
    fn a_transparent_dark_drawing_gets_a_white_background() {
        let pixels = RgbImage::from_fn(20, 20, |x, _| Pixel(if x < 10 { [9, 20, 30] } else { [255; 3] }));
        let alpha = GrayImage::from_fn(20, 20, |x, _| Luma([if x < 10 { 255 } else { 0 }]));
        let source = Source::new(pixels.clone(), Some(&alpha), (20, 20));
        assert_eq!(source.ground, Some([255; 3]));
        assert_eq!(source.pixels, pixels);
    }
}
