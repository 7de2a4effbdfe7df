//! Linear and radial gradients: fits them to pixels and writes them as SVG.

use std::fmt::Write;

use super::color::Rgb;
use super::fit::Point;
use super::provenance::checksum;

/// Number of bins along a gradient in which colours are averaged.
const BINS: usize = 48;

/// Maximum error of the interpolation between two stops, of 255.
const MAX_STOP_ERROR: f64 = 1.5;

/// Maximum number of stops.
const MAX_STOPS: usize = 12;

/// Minimum change of a channel over a gradient, of 255.
pub(super) const MIN_CHANGE: u8 = 12;

/// Maximum difference of a channel between a pixel and the gradient that it belongs to, of 255.
const MAX_PIXEL_ERROR: u8 = 5;

/// Minimum fraction of an area's pixels that belong to its gradient.
const MIN_INLIERS: f64 = 0.85;

/// Minimum factor by which circles must improve on lines, and ellipses on circles: see [`Shape::roughness`].
const MIN_IMPROVEMENT: f64 = 1.5;

/// Roughness below which a shape fits: it stems from rounding and from the change of colour within a bin.
const SMOOTH_THRESHOLD: f64 = 2.0;

/// If a shape leaves more than this fraction of the variance, the area has no gradient.
const MAX_UNEXPLAINED: f64 = 0.5;

/// Maximum fraction of the variance that a gradient may leave. Excludes flat colours with JPEG noise.
const MAX_NOISE: f64 = 0.15;

/// Scales an angle, or the logarithm of a ratio, so that its steps are comparable to steps of one pixel.
const STEPS_PER_UNIT: f64 = 20.0;

/// Maximum number of samples for finding a shape.
const MAX_SHAPE_SAMPLES: usize = 1024;

/// The centre of a pixel, and its colour.
pub(super) type Sample = (Point, Rgb);

/// The centre of a pixel, and the change of each channel along x and along y.
pub(super) type Slope = (Point, [[f64; 3]; 2]);

/// The lines or curves on which a gradient has one colour.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    /// Lines perpendicular to the direction with this sine and cosine.
    Linear { sin: f64, cos: f64 },
    /// Ellipses around a point. `sin` and `cos` give the direction of one axis; scaling by `across` perpendicular to
    /// it makes them circles.
    Radial { center: Point, sin: f64, cos: f64, across: f64 },
}

/// A colour at a position: the distance in pixels along a linear gradient, or from the centre of a radial one.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stop {
    place: f64,
    color: Rgb,
}

/// A gradient as in SVG: colours are interpolated linearly in sRGB between stops, and constant beyond them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gradient {
    shape: Shape,
    /// The mean position of the samples that it was fitted to.
    middle: Point,
    stops: Vec<Stop>,
}

impl Gradient {
    /// Fits a gradient to samples of an area, if the area has one.
    pub(crate) fn fit(samples: &[Sample], slopes: &[Slope]) -> Option<Self> {
        let shape = Shape::of(samples, slopes)?;
        let rough = Self::with_shape(shape, samples);
        // Fits again without outliers.
        let inliers: Vec<Sample> = samples.iter().copied().filter(|sample| rough.is_near(sample)).collect();
        if 2 * inliers.len() < samples.len() {
            return None;
        }
        let gradient = Self::with_shape(shape.refined(&inliers), &inliers);
        let is_noise = gradient.shape.roughness(&inliers) > MAX_NOISE * variance(&inliers);
        (!is_noise && change(gradient.stops.iter().map(|stop| stop.color)) >= MIN_CHANGE && gradient.explains(samples))
            .then_some(gradient)
    }

    fn with_shape(shape: Shape, samples: &[Sample]) -> Self {
        let middle = samples.iter().fold(Point::default(), |sum, (at, _)| sum + *at) / samples.len() as f64;
        let mut stops = stops(&shape.bins(samples));
        // Extrapolates to both ends, because the outer stops lie at the mean position of their bins. Beyond black or
        // white, SVG keeps the colour of the last stop.
        let ((first, last), last_stop) = (shape.ends(samples), stops.len() - 1);
        if let [a, b, ..] = stops[..]
            && let Some(color) = color_at(a, b, first)
        {
            stops[0] = Stop { place: first, color };
        }
        if let [.., a, b] = stops[..]
            && let Some(color) = color_at(a, b, last)
        {
            stops[last_stop] = Stop { place: last, color };
        }
        Self { shape, middle, stops }
    }

    /// Whether at least [`MIN_INLIERS`] of the samples have the colours of this gradient.
    pub(crate) fn explains(&self, samples: &[Sample]) -> bool {
        let max_outliers = ((1.0 - MIN_INLIERS) * samples.len() as f64) as usize;
        samples.iter().filter(|sample| !self.is_near(sample)).nth(max_outliers).is_none()
    }

    /// Largest change of a channel of this gradient over the positions of samples.
    pub(crate) fn change_among(&self, samples: &[Sample]) -> u8 {
        change(samples.iter().map(|(at, _)| self.color(*at)))
    }

    /// Whether a pixel has the colour of this gradient, within [`MAX_PIXEL_ERROR`].
    pub(crate) fn is_near(&self, (at, color): &Sample) -> bool {
        let own = self.color(*at);
        (0..3).all(|i| own[i].abs_diff(color[i]) <= MAX_PIXEL_ERROR)
    }

    /// The colour of this gradient at a point.
    pub(crate) fn color(&self, at: Point) -> Rgb {
        let place = self.shape.place(at);
        let after = self.stops.partition_point(|stop| stop.place < place);
        // Beyond the ends, both are the same stop.
        let (a, b) = (self.stops[after.saturating_sub(1)], self.stops[after.min(self.stops.len() - 1)]);
        if a == b { a.color } else { color_at(a, b, place).unwrap_or(a.color) }
    }

    /// The first and the last colour.
    pub(crate) fn ends(&self) -> [Rgb; 2] {
        [self.stops[0].color, self.stops[self.stops.len() - 1].color]
    }

    /// The name and the SVG definition of this gradient, for a drawing enlarged by `scale` along x and y and moved down
    /// by `top`. The name is a checksum of the definition, so that several drawings can share one page.
    pub(crate) fn definition(&self, scale: (f64, f64), top: f64) -> (String, String) {
        let to = |point: Point| (short(point.x * scale.0), short(point.y * scale.1 + top));
        let (first, last) = (self.stops[0].place, self.stops[self.stops.len() - 1].place);
        let (tag, line, from, whole) = match self.shape {
            Shape::Linear { sin, cos } => {
                let place = self.shape.place(self.middle);
                let at = |to: f64| self.middle + Point::new(cos, sin) * (to - place);
                let ((x1, y1), (x2, y2)) = (to(at(first)), to(at(last)));
                ("linearGradient", format!(r#"x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}""#), first, last - first)
            }
            Shape::Radial { center, sin, cos, across } => {
                let ((cx, cy), radius) = (to(center), short(last * (scale.0 * scale.1).sqrt()));
                let circle = match across == 1.0 {
                    true => format!(r#"cx="{cx}" cy="{cy}" r="{radius}""#),
                    false => {
                        let (degrees, along) =
                            (short(f64::atan2(sin, cos).to_degrees()), (1000.0 / across).round() / 1000.0);
                        let transform = format!("translate({cx} {cy}) rotate({degrees}) scale(1 {along})");
                        format!(r#"r="{radius}" cx="0" cy="0" gradientTransform="{transform}""#)
                    }
                };
                ("radialGradient", circle, 0.0, last)
            }
        };
        // Offsets need more decimals where only a small part of a radial gradient is visible.
        let decimals = 3.0 + (whole / (last - first)).log10().ceil().clamp(0.0, 4.0);
        let unit = 10_f64.powf(decimals);
        let mut stops = String::new();
        for Stop { place, color: [red, green, blue] } in &self.stops {
            let offset = ((place - from) / whole * unit).round() / unit;
            let _ = write!(stops, r##"<stop offset="{offset}" stop-color="#{red:02X}{green:02X}{blue:02X}"/>"##);
        }
        let name = format!("g{}", checksum([line.as_bytes(), stops.as_bytes()]));
        let text = format!(r#"<{tag} id="{name}" gradientUnits="userSpaceOnUse" {line}>{stops}</{tag}>"#);
        (name, text)
    }
}

/// Rounds to one decimal place.
fn short(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The colour at a place, interpolated or extrapolated from two stops; `None` if a channel would leave 0 to 255.
fn color_at(a: Stop, b: Stop, place: f64) -> Option<Rgb> {
    let share = (place - a.place) / (b.place - a.place);
    let channel = |i: usize| (f64::from(a.color[i]) + share * (f64::from(b.color[i]) - f64::from(a.color[i]))).round();
    let channels = [0, 1, 2].map(channel);
    channels.iter().all(|channel| (0.0..=255.0).contains(channel)).then(|| channels.map(|channel| channel as u8))
}

/// Largest difference within one channel.
pub(super) fn change(colors: impl Iterator<Item = Rgb>) -> u8 {
    let ends = colors.fold(([u8::MAX; 3], [0; 3]), |(least, most), color| {
        ([0, 1, 2].map(|i| color[i].min(least[i])), [0, 1, 2].map(|i| color[i].max(most[i])))
    });
    (0..3).map(|i| ends.1[i].saturating_sub(ends.0[i])).max().unwrap_or(0)
}

/// Samples of about the same place: their number, mean place, mean colour, and the sum of the squared channels.
#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    count: f64,
    place: f64,
    color: [f64; 3],
    squares: f64,
}

impl Shape {
    /// Finds the shape along which the colours of samples change.
    fn of(samples: &[Sample], slopes: &[Slope]) -> Option<Self> {
        let samples = &pick(samples, MAX_SHAPE_SAMPLES);
        // Sums the structure tensor, whose first eigenvector is the direction of the strongest change, and the
        // right-hand side of a least-squares system for the centre: the point nearest to the lines along all slopes.
        let (mut xx, mut xy, mut yy, mut right) = (0.0, 0.0, 0.0, Point::default());
        for (at, [along, down]) in slopes {
            for i in 0..3 {
                let (x, y) = (along[i], down[i]);
                (xx, xy, yy) = (xx + x * x, xy + x * y, yy + y * y);
                right.x += y * y * at.x - x * y * at.y;
                right.y += x * x * at.y - x * y * at.x;
            }
        }
        if xx + yy == 0.0 {
            return None;
        }
        let angle = 0.5 * f64::atan2(2.0 * xy, xx - yy);
        let linear = Self::linear(angle).refined(samples);
        let determinant = xx * yy - xy * xy;
        if determinant < 1e-3 * (xx + yy).powi(2) {
            return Some(linear);
        }
        let (x, y) = ((xx * right.x + xy * right.y) / determinant, (xy * right.x + yy * right.y) / determinant);
        let circles = Self::circles([x, y]).refined(samples);
        let Self::Radial { center, .. } = circles else { unreachable!("refining keeps circles radial") };
        let better =
            |a: Self, b: Self| if a.roughness(samples) > MIN_IMPROVEMENT * b.roughness(samples) + 1.0 { b } else { a };
        let simple = better(linear, circles);
        let rest = simple.roughness(samples);
        if rest < SMOOTH_THRESHOLD || rest > MAX_UNEXPLAINED * variance(samples) {
            return (rest < SMOOTH_THRESHOLD).then_some(simple);
        }
        let ellipses = [0.7, -0.7]
            .map(|across| Self::ellipses([center.x, center.y, across * STEPS_PER_UNIT, 0.0]).refined(samples));
        Some(ellipses.into_iter().fold(simple, better))
    }

    fn circles([x, y]: [f64; 2]) -> Self {
        Self::Radial { center: Point::new(x, y), sin: 0.0, cos: 1.0, across: 1.0 }
    }

    /// Ellipses from a centre, the logarithm of `across`, and an angle, the last two in steps of [`STEPS_PER_UNIT`].
    fn ellipses([x, y, across, angle]: [f64; 4]) -> Self {
        let (sin, cos) = (angle / STEPS_PER_UNIT).sin_cos();
        Self::Radial { center: Point::new(x, y), sin, cos, across: (across / STEPS_PER_UNIT).clamp(-2.0, 2.0).exp() }
    }

    /// Adjusts the shape for the least roughness. Keeps its kind.
    fn refined(self, samples: &[Sample]) -> Self {
        let samples = &pick(samples, MAX_SHAPE_SAMPLES);
        match self {
            Self::Linear { sin, cos } => {
                let angle =
                    refine([f64::atan2(sin, cos)], 0.07, 0.001, |[angle]| Self::linear(angle).roughness(samples));
                Self::linear(angle[0])
            }
            Self::Radial { center, across: 1.0, .. } => {
                let center = [center.x, center.y];
                Self::circles(refine(center, 8.0, 0.2, |center| Self::circles(center).roughness(samples)))
            }
            Self::Radial { center, sin, cos, across } => {
                let start = [center.x, center.y, across.ln() * STEPS_PER_UNIT, f64::atan2(sin, cos) * STEPS_PER_UNIT];
                Self::ellipses(refine(start, 8.0, 0.2, |to| Self::ellipses(to).roughness(samples)))
            }
        }
    }

    fn linear(angle: f64) -> Self {
        let (sin, cos) = angle.sin_cos();
        Self::Linear { sin, cos }
    }

    fn place(&self, at: Point) -> f64 {
        match self {
            Self::Linear { sin, cos } => at.x * cos + at.y * sin,
            Self::Radial { center, sin, cos, across } => {
                let (x, y) = (at.x - center.x, at.y - center.y);
                let (along, aside) = (x * cos + y * sin, across * (y * cos - x * sin));
                (along * along + aside * aside).sqrt()
            }
        }
    }

    /// The smallest and the largest place of samples.
    fn ends(&self, samples: &[Sample]) -> (f64, f64) {
        let places = samples.iter().map(|(at, _)| self.place(*at));
        places.fold((f64::MAX, f64::MIN), |(first, last), at| (first.min(at), last.max(at)))
    }

    /// Averages samples in bins by their places.
    fn bins(&self, samples: &[Sample]) -> [Bin; BINS] {
        let (first, last) = self.ends(samples);
        let to_bin = BINS as f64 / (last - first).max(1e-9);
        let mut bins = [Bin::default(); BINS];
        for (at, color) in samples {
            let place = self.place(*at);
            let bin = &mut bins[(((place - first) * to_bin) as usize).min(BINS - 1)];
            let color = color.map(f64::from);
            bin.count += 1.0;
            bin.place += place;
            bin.squares += color.iter().map(|channel| channel * channel).sum::<f64>();
            (0..3).for_each(|i| bin.color[i] += color[i]);
        }
        for bin in bins.iter_mut().filter(|bin| bin.count > 0.0) {
            bin.place /= bin.count;
            bin.color = bin.color.map(|sum| sum / bin.count);
        }
        bins
    }

    /// Mean squared difference between colours and the mean colour of their bin.
    fn roughness(&self, samples: &[Sample]) -> f64 {
        let bins = self.bins(samples);
        let rest = |bin: &Bin| bin.squares - bin.count * bin.color.iter().map(|mean| mean * mean).sum::<f64>();
        bins.iter().map(rest).sum::<f64>() / samples.len() as f64
    }
}

/// Variance of the colours of samples, summed over the channels.
fn variance(samples: &[Sample]) -> f64 {
    let count = samples.len() as f64;
    let channel = |i: usize| {
        let values = || samples.iter().map(|(_, color)| f64::from(color[i]));
        let mean = values().sum::<f64>() / count;
        values().map(|value| (value - mean).powi(2)).sum::<f64>() / count
    };
    (0..3).map(channel).sum()
}

/// Picks at most `max` evenly spread items.
pub(super) fn pick<T: Copy>(items: &[T], max: usize) -> Vec<T> {
    let count = items.len().min(max);
    (0..count).map(|i| items[i * items.len() / count]).collect()
}

/// Finds a local minimum of a function by coordinate search with decreasing steps.
fn refine<const N: usize>(mut best: [f64; N], mut step: f64, last: f64, value: impl Fn([f64; N]) -> f64) -> [f64; N] {
    const MAX_ITERATIONS: usize = 200;
    let mut least = value(best);
    for _ in 0..MAX_ITERATIONS {
        let mut is_better = false;
        for i in 0..N {
            for change in [step, -step] {
                let mut other = best;
                other[i] += change;
                let found = value(other);
                if found < least {
                    (best, least, is_better) = (other, found, true);
                }
            }
        }
        if !is_better {
            step /= 2.0;
        }
        if step < last {
            break;
        }
    }
    best
}

/// The fewest stops that reproduce the colours of all bins within [`MAX_STOP_ERROR`] (Douglas and Peucker, "Algorithms
/// for the reduction of the number of points required to represent a digitized line or its caricature", Cartographica
/// 1973).
fn stops(bins: &[Bin; BINS]) -> Vec<Stop> {
    // A few pixels at an end may belong to something else.
    let usual = bins.iter().map(|bin| bin.count).sum::<f64>() / BINS as f64;
    let known: &Vec<&Bin> = &bins.iter().filter(|bin| bin.count > usual / 10.0).collect();
    let mut kept = vec![0, known.len() - 1];
    while kept.len() < MAX_STOPS {
        let worst = kept
            .windows(2)
            .flat_map(|ends| (ends[0] + 1..ends[1]).map(move |i| (i, off(known[ends[0]], known[i], known[ends[1]]))))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        match worst {
            Some((i, off)) if off > MAX_STOP_ERROR => kept.insert(kept.partition_point(|other| *other < i), i),
            _ => break,
        }
    }
    kept.dedup();
    let stop = |i: usize| Stop { place: known[i].place, color: known[i].color.map(|channel| channel.round() as u8) };
    kept.into_iter().map(stop).collect()
}

/// Distance of a bin's colour from the interpolation between two others, of 255.
fn off(a: &Bin, bin: &Bin, b: &Bin) -> f64 {
    let share = (bin.place - a.place) / (b.place - a.place);
    let off = |i: usize| (a.color[i] + share * (b.color[i] - a.color[i]) - bin.color[i]).abs();
    (0..3).map(off).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples and slopes of 60 × 40 pixels with the colours of a function.
    fn sampled(color: impl Fn(Point) -> [f64; 3]) -> (Vec<Sample>, Vec<Slope>) {
        let places = || (0..2400).map(|i| Point::new(f64::from(i % 60) + 0.5, f64::from(i / 60) + 0.5));
        let samples = places().map(|at| (at, color(at).map(|channel| channel.round() as u8))).collect();
        let slope = |at: Point| {
            let difference = |dx: f64, dy: f64| {
                let (a, b) = (color(Point::new(at.x - dx, at.y - dy)), color(Point::new(at.x + dx, at.y + dy)));
                [0, 1, 2].map(|i| b[i] - a[i])
            };
            (at, [difference(0.5, 0.0), difference(0.0, 0.5)])
        };
        (samples, places().step_by(7).map(slope).collect())
    }

    /// The largest difference of a channel between samples and a gradient.
    fn max_error(samples: &[Sample], found: &Gradient) -> u8 {
        let off = |(at, color): &Sample| (0..3).map(|i| color[i].abs_diff(found.color(*at)[i])).max();
        samples.iter().filter_map(off).max().expect("there are samples")
    }

    #[test]
    fn colors_along_a_line_are_found_with_the_stop_between_them() {
        let (sin, cos) = 0.5_f64.sin_cos();
        // Red rises from 20 to 220 over 40 pixels, then green rises from 0.
        let (samples, slopes) = sampled(|at| {
            let place = at.x * cos + at.y * sin;
            [20.0 + 5.0 * place.min(40.0), (place - 40.0).max(0.0) * 4.0, 90.0]
        });
        let found = Gradient::fit(&samples, &slopes).expect("there is one");
        let Shape::Linear { sin: s, cos: c } = found.shape else { panic!("{found:?}") };
        assert!((s * cos - c * sin).abs() < 0.01, "{found:?}");
        assert!((3..=4).contains(&found.stops.len()), "the corner may lie inside a bin: {found:?}");
        assert!(max_error(&samples, &found) <= 4, "{found:?}");
    }

    #[test]
    fn circles_are_distinguished_from_lines() {
        let center = Point::new(20.0, 25.0);
        let (samples, slopes) = sampled(|at| [240.0 - 3.0 * at.distance_to(center), 90.0, 30.0]);
        let found = Gradient::fit(&samples, &slopes).expect("there is one");
        let Shape::Radial { center: at, across: 1.0, .. } = found.shape else { panic!("{found:?}") };
        assert!(at.distance_to(center) < 0.5, "{found:?}");
        assert_eq!(found.stops.len(), 2, "{found:?}");
    }

    #[test]
    fn ellipses_are_distinguished_from_circles() {
        let (sin, cos) = 0.4_f64.sin_cos();
        let shape = Shape::Radial { center: Point::new(25.0, 18.0), sin, cos, across: 2.0 };
        let (samples, slopes) = sampled(|at| [240.0 - 3.0 * shape.place(at), 90.0, 30.0]);
        let found = Gradient::fit(&samples, &slopes).expect("there is one");
        assert!(max_error(&samples, &found) <= 3, "{found:?}");
        assert!(found.definition((1.0, 1.0), 0.0).1.contains("gradientTransform"));
    }

    #[test]
    fn white_beyond_the_end_does_not_distort_the_gradient() {
        let color = |at: Point| [(at.x * 6.0).min(255.0), 90.0, 30.0];
        let (mut samples, slopes) = sampled(color);
        // Too few to count as a bin.
        samples.retain(|(at, _)| at.x < 42.0 || at.y < 2.0);
        let found = Gradient::fit(&samples, &slopes).expect("there is one");
        assert!(max_error(&samples, &found) <= 4, "{found:?}");
    }

    #[test]
    fn nearly_flat_areas_and_patterns_are_not_gradients() {
        let (samples, slopes) = sampled(|at| [100.0 + at.x / 10.0, 90.0, 30.0]);
        assert_eq!(Gradient::fit(&samples, &slopes), None, "it changes too little");
        let (samples, slopes) = sampled(|at| [100.0 + 20.0 * at.x.cos(), 90.0 + 20.0 * (at.y / 2.0).sin(), 30.0]);
        assert_eq!(Gradient::fit(&samples, &slopes), None);
    }

    #[test]
    fn the_name_of_a_gradient_depends_on_its_definition() {
        let (samples, slopes) = sampled(|at| [4.0 * at.x, 0.0, 0.0]);
        let gradient = Gradient::fit(&samples, &slopes).expect("there is one");
        let (name, text) = gradient.definition((2.0, 2.0), 0.0);
        assert!(
            text.starts_with(&format!(
                "<linearGradient id=\"{name}\" gradientUnits=\"userSpaceOnUse\" x1=\"1\" y1=\"40\" x2=\"119\""
            )),
            "{text}"
        );
        assert_eq!(gradient.definition((2.0, 2.0), 0.0).0, name);
        assert_ne!(gradient.definition((2.0, 2.0), 1.0).0, name);
    }
}
