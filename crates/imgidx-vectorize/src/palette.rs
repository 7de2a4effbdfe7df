//! The palette of a drawing, without the mixed colours of anti-aliased edges.

use std::collections::HashMap;

use image::RgbImage;

use super::color::{DISTINCT_COLOR_THRESHOLD, Rgb, distance, distance_from_mixtures, squared_distance};
use super::deadline::Deadline;
use super::fit::Point;
use super::gradient::Gradient;
use super::outline::NotDrawn;
use super::pixel_kinds::Kind;
use super::source::Source;

/// Minimum distance from all mixtures of other colours for a colour that forms no area.
const OWN_COLOR_THRESHOLD: f32 = 16.0;

/// Maximum number of colours while similar ones are merged.
const MAX_COLORS: usize = 1024;

/// Number of pixels between two checks of the deadline.
const PIXELS_PER_CHECK: usize = 4096;

/// Number of colours between two checks of the deadline. Each is compared with up to [`MAX_COLORS`] others.
const COLORS_PER_CHECK: usize = 1024;

/// The colours of a drawing, the most frequent first, followed by stand-ins for its gradients.
#[derive(Debug, Clone)]
pub(super) struct Palette {
    colors: Vec<Rgb>,
    gradients: Vec<Gradient>,
}

/// The nearest palette colour of a pixel, and its distance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nearest {
    pub color: u16,
    pub distance: f32,
}

/// A colour, and the number of flat and fine pixels that have it.
#[derive(Debug, Clone, Copy)]
struct Counted {
    color: Rgb,
    flat: u32,
    fine: u32,
}

impl Counted {
    /// Flat pixels count ten times as much as fine ones.
    fn weight(&self) -> u64 {
        10 * u64::from(self.flat) + u64::from(self.fine)
    }
}

impl Palette {
    /// Collects the colours of a picture: at most `max_colors`, not counting gradients. Colours closer than `radius`
    /// are merged. The background of a transparent picture is always the first colour.
    ///
    /// # Errors
    /// [`NotDrawn::Late`] if the deadline passes.
    pub(crate) fn of(source: &Source, radius: f32, max_colors: usize, deadline: &Deadline) -> Result<Self, NotDrawn> {
        let gradients = source.smooth.gradients.clone();
        let merged = merge(count(source, deadline)?, radius, deadline)?;
        let mut kept: Vec<Rgb> = source.ground.into_iter().collect();
        // Colours that may occur in mixtures.
        let mut all: Vec<Rgb> = gradients.iter().flat_map(Gradient::ends).chain(source.ground).collect();
        for found in merged {
            deadline.check()?;
            if kept.len() >= max_colors {
                break;
            }
            let is_ground = source.ground.is_some_and(|ground| distance(ground, found.color) < radius);
            // Four flat pixels are an area: its colour is kept even if it is also a mixture of others.
            let is_color = found.flat >= 4 || found.flat + found.fine >= 3 && !is_mixture(found.color, &all);
            if is_color && !is_ground {
                kept.push(found.color);
                all.push(found.color);
            }
        }
        if kept.is_empty() && gradients.is_empty() {
            kept.push(mean(&source.pixels));
        }
        for gradient in &gradients {
            kept.push(stand_in(gradient, &kept));
        }
        Ok(Self { colors: kept, gradients })
    }

    /// All colours. The stand-ins for gradients come last.
    pub(crate) fn colors(&self) -> &[Rgb] {
        &self.colors
    }

    /// Number of colours that are not gradients.
    pub(crate) fn flat(&self) -> usize {
        self.colors.len() - self.gradients.len()
    }

    /// The gradients with their stand-in colours.
    pub(crate) fn gradients(&self) -> impl Iterator<Item = (&Gradient, Rgb)> {
        self.gradients.iter().zip(self.colors[self.flat()..].iter().copied())
    }

    /// The colour of a palette entry at a point of the small picture.
    pub(crate) fn color(&self, index: u16, at: Point) -> Rgb {
        let index = usize::from(index);
        index.checked_sub(self.flat()).map_or_else(|| self.colors[index], |gradient| self.gradients[gradient].color(at))
    }

    /// The palette entry among some that is nearest to a colour at a point of the small picture.
    pub(crate) fn nearest_of(&self, among: &[u16], color: Rgb, at: Point) -> u16 {
        let squared = |index: &u16| squared_distance(self.color(*index, at), color);
        let nearest = among.iter().min_by(|a, b| squared(a).total_cmp(&squared(b)));
        *nearest.expect("the list of candidates is not empty")
    }

    /// The nearest palette entry of each pixel.
    ///
    /// # Errors
    /// [`NotDrawn::Late`] if the deadline passes.
    pub(crate) fn indices(&self, source: &Source, deadline: &Deadline) -> Result<Vec<Nearest>, NotDrawn> {
        let flat: Vec<u16> = (0..self.flat() as u16).collect();
        let mut known: HashMap<Rgb, Nearest> = HashMap::new();
        let mut nearest_flat = |color: Rgb, at: Point| {
            *known.entry(color).or_insert_with(|| {
                let index = self.nearest_of(&flat, color, at);
                Nearest { color: index, distance: distance(self.colors[usize::from(index)], color) }
            })
        };
        let mut nearest = |(pixel, (x, y, color)): (usize, (u32, u32, &image::Rgb<u8>))| {
            let at = Point::new(f64::from(x) + 0.5, f64::from(y) + 0.5);
            let gradient = source.smooth.gradient_of(pixel).or((flat.is_empty()).then_some(0));
            match gradient.map(|gradient| (flat.len() + gradient) as u16) {
                Some(index) => Nearest { color: index, distance: distance(self.color(index, at), color.0) },
                None => nearest_flat(color.0, at),
            }
        };
        let mut all = Vec::with_capacity(source.kinds.len());
        let mut pixels = source.pixels.enumerate_pixels().enumerate();
        while all.len() < source.kinds.len() {
            deadline.check()?;
            all.extend(pixels.by_ref().take(PIXELS_PER_CHECK).map(&mut nearest));
        }
        Ok(all)
    }
}

/// Counts the colours of flat and fine pixels outside of gradients, heaviest first.
fn count(source: &Source, deadline: &Deadline) -> Result<Vec<Counted>, NotDrawn> {
    let mut counts: HashMap<Rgb, (u32, u32)> = HashMap::new();
    for (i, (pixel, kind)) in source.pixels.pixels().zip(&source.kinds).enumerate() {
        if i % PIXELS_PER_CHECK == 0 {
            deadline.check()?;
        }
        match kind {
            _ if source.smooth.gradient_of(i).is_some() => {}
            Kind::Flat => counts.entry(pixel.0).or_default().0 += 1,
            Kind::Fine => counts.entry(pixel.0).or_default().1 += 1,
            Kind::Mixture => {}
        }
    }
    let mut all: Vec<Counted> = counts.into_iter().map(|(color, (flat, fine))| Counted { color, flat, fine }).collect();
    sort(&mut all);
    Ok(all)
}

/// Sorts by descending weight. Ties are ordered by colour, to keep the result deterministic.
fn sort(colors: &mut [Counted]) {
    colors.sort_unstable_by(|a, b| b.weight().cmp(&a.weight()).then(a.color.cmp(&b.color)));
}

/// Merges each colour into the first heavier one that is closer than `radius`.
fn merge(colors: Vec<Counted>, radius: f32, deadline: &Deadline) -> Result<Vec<Counted>, NotDrawn> {
    let mut merged: Vec<Counted> = Vec::new();
    for (i, found) in colors.into_iter().enumerate() {
        if i % COLORS_PER_CHECK == 0 {
            deadline.check()?;
        }
        let is_near = |other: &Counted| squared_distance(other.color, found.color) < radius * radius;
        match merged.iter().position(is_near) {
            Some(near) => {
                merged[near].flat += found.flat;
                merged[near].fine += found.fine;
            }
            None if merged.len() < MAX_COLORS => merged.push(found),
            None => {}
        }
    }
    sort(&mut merged);
    Ok(merged)
}

/// Chooses a stand-in colour for a gradient. It resembles the gradient, because the tracer merges small areas into
/// similar ones, and differs from all other colours.
fn stand_in(gradient: &Gradient, others: &[Rgb]) -> Rgb {
    const SHIFTS: [i16; 9] = [0, 12, -12, 24, -24, 36, -36, 48, -48];
    let [first, last] = gradient.ends();
    let middle = [0, 1, 2].map(|i| first[i].midpoint(last[i]));
    let min_distance = |color: &Rgb| others.iter().map(|other| distance(*other, *color)).fold(f32::MAX, f32::min);
    let shifted = |shift: i16| middle.map(|channel| (i16::from(channel) + shift).clamp(0, 255) as u8);
    let near = SHIFTS.map(shifted).into_iter().find(|color| min_distance(color) >= DISTINCT_COLOR_THRESHOLD);
    let any = || (0..=u8::MAX).flat_map(|red| [[red, 0, 255], [red, 255, 0], [255, red, 0]]);
    let farthest = || any().max_by(|a, b| min_distance(a).total_cmp(&min_distance(b)));
    near.or_else(farthest).expect("the colours to try are not empty")
}

fn is_mixture(color: Rgb, of: &[Rgb]) -> bool {
    let is_between =
        |a: &Rgb, b: &Rgb| distance_from_mixtures(color, *a, *b).is_some_and(|distance| distance < OWN_COLOR_THRESHOLD);
    of.iter().enumerate().any(|(i, a)| of[..i].iter().any(|b| is_between(a, b)))
}

fn mean(pixels: &RgbImage) -> Rgb {
    let sum = pixels.pixels().fold([0u64; 3], |sum, pixel| [0, 1, 2].map(|i| sum[i] + u64::from(pixel[i])));
    sum.map(|channel| (channel / pixels.pixels().len().max(1) as u64) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb as Pixel, imageops};

    fn palette(pixels: RgbImage) -> Vec<Rgb> {
        let size = pixels.dimensions();
        let palette = Palette::of(&Source::new(pixels, None, size), 12.0, 64, &Deadline::never());
        palette.expect("there is time").colors().to_vec()
    }

    /// A red disc on white with anti-aliased edges.
    fn disc(radius: f32) -> RgbImage {
        let sharp = RgbImage::from_fn(400, 400, |x, y| {
            let (dx, dy) = (x as f32 - 200.0, y as f32 - 200.0);
            Pixel(if dx * dx + dy * dy < 16.0 * radius * radius { [200, 0, 0] } else { [255; 3] })
        });
        imageops::resize(&sharp, 100, 100, imageops::FilterType::Triangle)
    }

    #[test]
    fn soft_edges_add_no_colors() {
        assert_eq!(palette(disc(30.0)), [[255; 3], [200, 0, 0]]);
    }

    #[test]
    fn a_thin_line_keeps_its_color() {
        let pixels = RgbImage::from_fn(60, 60, |_, y| Pixel(if y == 30 { [0, 0, 200] } else { [255; 3] }));
        assert_eq!(palette(pixels), [[255; 3], [0, 0, 200]]);
    }

    #[test]
    fn there_is_always_a_color() {
        let checkered = RgbImage::from_fn(2, 2, |x, y| Pixel([(255 * ((x + y) % 2)) as u8; 3]));
        assert_eq!(palette(checkered).len(), 1);
        assert_eq!(palette(RgbImage::from_pixel(1, 1, Pixel([3, 4, 5]))), [[3, 4, 5]]);
    }
}
