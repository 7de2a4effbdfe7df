//! Colours that change along a line, or away from a point.

use std::fmt::Write;

use super::color::Rgb;
use super::fit::Point;
use super::provenance::checksum;

/// Parts in which colours are averaged.
const PARTS: usize = 48;

/// How far a line between two stops may be off, of 255.
const TOLERANCE: f64 = 1.5;

/// The most stops.
const MOST_STOPS: usize = 12;

/// The least that colours change by, of 255.
pub(super) const CHANGE: u8 = 12;

/// How far a pixel may be off, of 255; and how many of them have to be within.
const OFF: u8 = 5;
const MIN_INLIERS: f64 = 0.85;

/// How much better circles have to be than lines, and ellipses than circles: see [`Shape::roughness`].
const BETTER: f64 = 1.5;

/// So rough is what colours are rounded by, and how they change within a part.
const FINE: f64 = 2.0;

/// How much of the variance has to be left for a shape to be none.
const TELLS_NOTHING: f64 = 0.5;

/// How much of the variance may be left in a gradient: what JPEG leaves of one colour is no gradient.
const NOISE: f64 = 0.15;

/// Steps of an angle, and of a logarithm, that are as large as one of a pixel.
const TURN: f64 = 20.0;

/// How many samples tell a shape.
const ENOUGH: usize = 1024;

/// A pixel's middle and its colour.
pub(super) type Sample = (Point, Rgb);

/// How colours change at a place: along x and along y, each channel.
pub(super) type Slope = (Point, [[f64; 3]; 2]);

/// Where colours are the same.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    /// On lines across this direction, of which this is the sine and cosine.
    Linear { sin: f64, cos: f64 },
    /// On ellipses around a point: circles, once turned by the angle of which this is the sine and cosine, and enlarged so much across it.
    Radial { center: Point, sin: f64, cos: f64, across: f64 },
}

/// A colour at a place: pixels along the direction of lines, or from the centre of circles.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stop {
    place: f64,
    color: Rgb,
}

/// Colours that change along a line, or away from a point; as those of SVG, linear in sRGB between stops, and the same beyond them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gradient {
    shape: Shape,
    /// A point in the middle of what it was found in.
    middle: Point,
    stops: Vec<Stop>,
}

impl Gradient {
    /// The gradient that some pixels have, if they have one.
    pub(crate) fn fit(samples: &[Sample], slopes: &[Slope]) -> Option<Self> {
        let shape = Shape::of(samples, slopes)?;
        let rough = Self::with_shape(shape, samples);
        // Once more without what is something else.
        let of_it: Vec<Sample> = samples.iter().copied().filter(|sample| rough.is_near(sample)).collect();
        if 2 * of_it.len() < samples.len() {
            return None;
        }
        let gradient = Self::with_shape(shape.refined(&of_it), &of_it);
        let is_noise = gradient.shape.roughness(&of_it) > NOISE * variance(&of_it);
        (!is_noise && change(gradient.stops.iter().map(|stop| stop.color)) >= CHANGE && gradient.explains(samples))
            .then_some(gradient)
    }

    fn with_shape(shape: Shape, samples: &[Sample]) -> Self {
        let count = samples.len() as f64;
        let sum = samples.iter().fold(Point::default(), |sum, (at, _)| Point::new(sum.x + at.x, sum.y + at.y));
        let middle = Point::new(sum.x / count, sum.y / count);
        let mut gradient = Self { shape, middle, stops: stops(&shape.parts(samples)) };
        gradient.go_on(shape.ends(samples));
        gradient
    }

    /// Goes on in the same way to both ends; stops are in the middle of what they were told from.
    fn go_on(&mut self, (first, last): (f64, f64)) {
        let last_stop = self.stops.len() - 1;
        // Not beyond black and white: there it stays the same.
        if let [a, b, ..] = self.stops[..]
            && let Some(color) = color_at(a, b, first)
        {
            self.stops[0] = Stop { place: first, color };
        }
        if let [.., a, b] = self.stops[..]
            && let Some(color) = color_at(a, b, last)
        {
            self.stops[last_stop] = Stop { place: last, color };
        }
    }

    /// Whether pixels have the colours of this gradient.
    pub(crate) fn explains(&self, samples: &[Sample]) -> bool {
        let most = ((1.0 - MIN_INLIERS) * samples.len() as f64) as usize;
        samples.iter().filter(|sample| !self.is_near(sample)).nth(most).is_none()
    }

    /// How much a channel changes at most between places of samples.
    pub(crate) fn change_among(&self, samples: &[Sample]) -> u8 {
        change(samples.iter().map(|(at, _)| self.color(*at)))
    }

    /// Whether a pixel has the colour of this gradient.
    pub(crate) fn is_near(&self, (at, color): &Sample) -> bool {
        let own = self.color(*at);
        (0..3).all(|i| own[i].abs_diff(color[i]) <= OFF)
    }

    /// The colour at a point.
    pub(crate) fn color(&self, at: Point) -> Rgb {
        let place = self.shape.place(at);
        let after = self.stops.partition_point(|stop| stop.place < place);
        match (after.checked_sub(1).map(|before| self.stops[before]), self.stops.get(after)) {
            (Some(a), Some(b)) => color_at(a, *b, place).unwrap_or(a.color),
            (Some(only), None) => only.color,
            (None, Some(only)) => only.color,
            (None, None) => unreachable!("there are stops"),
        }
    }

    /// The first and the last of its colours.
    pub(crate) fn ends(&self) -> [Rgb; 2] {
        [self.stops[0].color, self.stops[self.stops.len() - 1].color]
    }

    /// Its definition in SVG, of a drawing that is enlarged along x and y and begins so far down; and the name by which it is used, which is
    /// the same only for the same gradient, so that several drawings can be in one page.
    pub(crate) fn definition(&self, scale: (f64, f64), top: f64) -> (String, String) {
        let to = |point: Point| (short(point.x * scale.0), short(point.y * scale.1 + top));
        let (first, last) = (self.stops[0].place, self.stops[self.stops.len() - 1].place);
        let (tag, line, from, whole) = match self.shape {
            Shape::Linear { sin, cos } => {
                let place = self.shape.place(self.middle);
                let at = |to: f64| Point::new(self.middle.x + cos * (to - place), self.middle.y + sin * (to - place));
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
        // Of circles far away only a little is seen.
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

/// With one decimal.
fn short(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The colour at a place on the line through two stops, if there is such a colour.
fn color_at(a: Stop, b: Stop, place: f64) -> Option<Rgb> {
    let part = (place - a.place) / (b.place - a.place);
    let channel = |i: usize| (f64::from(a.color[i]) + part * (f64::from(b.color[i]) - f64::from(a.color[i]))).round();
    let channels = [0, 1, 2].map(channel);
    channels.iter().all(|channel| (0.0..=255.0).contains(channel)).then(|| channels.map(|channel| channel as u8))
}

/// The most that a channel changes by.
pub(super) fn change(colors: impl Iterator<Item = Rgb>) -> u8 {
    let ends = colors.fold(([u8::MAX; 3], [0; 3]), |(least, most), color| {
        ([0, 1, 2].map(|i| color[i].min(least[i])), [0, 1, 2].map(|i| color[i].max(most[i])))
    });
    (0..3).map(|i| ends.1[i].saturating_sub(ends.0[i])).max().unwrap_or(0)
}

/// Samples of about one place: how many, the means of their places and colours, and the sum of their squares.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    count: f64,
    place: f64,
    color: [f64; 3],
    squares: f64,
}

impl Shape {
    /// The shape along which the colours of pixels change.
    fn of(samples: &[Sample], slopes: &[Slope]) -> Option<Self> {
        let samples = &few(samples);
        // The structure tensor, whose first eigenvector is the direction in which colours change most; and the point from which they change
        // away, to which all directions lead.
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
        let Self::Radial { center, .. } = circles else { unreachable!("circles stay circles") };
        let better = |a: Self, b: Self| if a.roughness(samples) > BETTER * b.roughness(samples) + 1.0 { b } else { a };
        let simple = better(linear, circles);
        let rest = simple.roughness(samples);
        if rest < FINE || rest > TELLS_NOTHING * variance(samples) {
            return (rest < FINE).then_some(simple);
        }
        let ellipses =
            [0.7, -0.7].map(|across| Self::ellipses([center.x, center.y, across * TURN, 0.0]).refined(samples));
        Some(ellipses.into_iter().fold(simple, better))
    }

    fn circles([x, y]: [f64; 2]) -> Self {
        Self::Radial { center: Point::new(x, y), sin: 0.0, cos: 1.0, across: 1.0 }
    }

    /// Of a centre, the logarithm of how much they are enlarged, and an angle; both in steps as large as pixels.
    fn ellipses([x, y, across, angle]: [f64; 4]) -> Self {
        let (sin, cos) = (angle / TURN).sin_cos();
        Self::Radial { center: Point::new(x, y), sin, cos, across: (across / TURN).clamp(-2.0, 2.0).exp() }
    }

    /// The same kind of shape, where the colours of samples differ least from others of the same place.
    fn refined(self, samples: &[Sample]) -> Self {
        let samples = &few(samples);
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
                let start = [center.x, center.y, across.ln() * TURN, f64::atan2(sin, cos) * TURN];
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

    /// The first and the last place of samples.
    fn ends(&self, samples: &[Sample]) -> (f64, f64) {
        let places = samples.iter().map(|(at, _)| self.place(*at));
        places.fold((f64::MAX, f64::MIN), |(first, last), at| (first.min(at), last.max(at)))
    }

    /// Means of samples, by their places.
    fn parts(&self, samples: &[Sample]) -> [Part; PARTS] {
        let (first, last) = self.ends(samples);
        let to_part = PARTS as f64 / (last - first).max(1e-9);
        let mut parts = [Part::default(); PARTS];
        for (at, color) in samples {
            let place = self.place(*at);
            let part = &mut parts[(((place - first) * to_part) as usize).min(PARTS - 1)];
            let color = color.map(f64::from);
            part.count += 1.0;
            part.place += place;
            part.squares += color.iter().map(|channel| channel * channel).sum::<f64>();
            (0..3).for_each(|i| part.color[i] += color[i]);
        }
        for part in parts.iter_mut().filter(|part| part.count > 0.0) {
            part.place /= part.count;
            part.color = part.color.map(|sum| sum / part.count);
        }
        parts
    }

    /// How much colours differ from others of the same place: the mean of the squares.
    fn roughness(&self, samples: &[Sample]) -> f64 {
        let parts = self.parts(samples);
        let rest = |part: &Part| part.squares - part.count * part.color.iter().map(|mean| mean * mean).sum::<f64>();
        parts.iter().map(rest).sum::<f64>() / samples.len() as f64
    }
}

/// The variance of the colours of samples.
fn variance(samples: &[Sample]) -> f64 {
    let count = samples.len() as f64;
    let channel = |i: usize| {
        let values = || samples.iter().map(|(_, color)| f64::from(color[i]));
        let mean = values().sum::<f64>() / count;
        values().map(|value| (value - mean).powi(2)).sum::<f64>() / count
    };
    (0..3).map(channel).sum()
}

/// Samples from all over some, not more than are enough.
fn few(samples: &[Sample]) -> Vec<Sample> {
    let count = samples.len().min(ENOUGH);
    (0..count).map(|i| samples[i * samples.len() / count]).collect()
}

/// The least of a function near a point, by looking on both sides of each coordinate in smaller and smaller steps.
fn refine<const N: usize>(mut best: [f64; N], mut step: f64, last: f64, value: impl Fn([f64; N]) -> f64) -> [f64; N] {
    const MOST_STEPS: usize = 200;
    let mut least = value(best);
    for _ in 0..MOST_STEPS {
        let mut is_better = false;
        for i in 0..N {
            for way in [step, -step] {
                let mut other = best;
                other[i] += way;
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

/// As few stops as tell the colours of all parts: Douglas and Peucker's.
fn stops(parts: &[Part; PARTS]) -> Vec<Stop> {
    // A few pixels at an end may be of something else.
    let usual = parts.iter().map(|part| part.count).sum::<f64>() / PARTS as f64;
    let known: Vec<&Part> = parts.iter().filter(|part| part.count > usual / 10.0).collect();
    let mut kept = vec![0, known.len() - 1];
    while kept.len() < MOST_STOPS {
        let off_between =
            |from: usize, to: usize| (from + 1..to).map(|i| (i, off(known[from], known[i], known[to]))).collect();
        let worst = kept
            .windows(2)
            .flat_map(|ends| -> Vec<_> { off_between(ends[0], ends[1]) })
            .max_by(|a, b| a.1.total_cmp(&b.1));
        match worst {
            Some((i, off)) if off > TOLERANCE => kept.insert(kept.partition_point(|other| *other < i), i),
            _ => break,
        }
    }
    kept.dedup();
    let stop = |i: usize| Stop { place: known[i].place, color: known[i].color.map(|channel| channel.round() as u8) };
    kept.into_iter().map(stop).collect()
}

/// How far a part's colour is from the line between two others, of 255.
fn off(a: &Part, part: &Part, b: &Part) -> f64 {
    let share = (part.place - a.place) / (b.place - a.place);
    let off = |i: usize| (a.color[i] + share * (b.color[i] - a.color[i]) - part.color[i]).abs();
    (0..3).map(off).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples of 60 × 40 pixels, and their slopes, of colours that are known everywhere.
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

    #[test]
    fn colors_along_a_line_are_found_with_the_stop_between_them() {
        let (sin, cos) = 0.5_f64.sin_cos();
        // From 20 to 220 of red on 40 pixels, and then green from 0 on.
        let (samples, slopes) = sampled(|at| {
            let place = at.x * cos + at.y * sin;
            [20.0 + 5.0 * place.min(40.0), (place - 40.0).max(0.0) * 4.0, 90.0]
        });
        let found = Gradient::fit(&samples, &slopes).expect("there is one");
        let Shape::Linear { sin: s, cos: c } = found.shape else { panic!("{found:?}") };
        assert!((s * cos - c * sin).abs() < 0.01, "{found:?}");
        assert!((3..=4).contains(&found.stops.len()), "a part may have the corner in it: {found:?}");
        let off = samples.iter().map(|(at, color)| (0..3).map(|i| color[i].abs_diff(found.color(*at)[i])).max());
        assert!(off.max().flatten() <= Some(4), "{found:?}");
    }

    #[test]
    fn circles_are_told_from_lines() {
        let center = Point::new(20.0, 25.0);
        let (samples, slopes) = sampled(|at| [240.0 - 3.0 * at.distance(center), 90.0, 30.0]);
        let found = Gradient::fit(&samples, &slopes).expect("there is one");
        let Shape::Radial { center: at, across: 1.0, .. } = found.shape else { panic!("{found:?}") };
        assert!(at.distance(center) < 0.5, "{found:?}");
        assert_eq!(found.stops.len(), 2, "{found:?}");
    }

    #[test]
    fn ellipses_are_told_from_circles() {
        let (sin, cos) = 0.4_f64.sin_cos();
        let shape = Shape::Radial { center: Point::new(25.0, 18.0), sin, cos, across: 2.0 };
        let (samples, slopes) = sampled(|at| [240.0 - 3.0 * shape.place(at), 90.0, 30.0]);
        let found = Gradient::fit(&samples, &slopes).expect("there is one");
        let off = samples.iter().map(|(at, color)| color[0].abs_diff(found.color(*at)[0])).max();
        assert!(off <= Some(3), "{off:?} {found:?}");
        assert!(found.definition((1.0, 1.0), 0.0).1.contains("gradientTransform"));
    }

    #[test]
    fn what_is_white_beyond_the_end_does_not_bend_the_rest() {
        let color = |at: Point| [(at.x * 6.0).min(255.0), 90.0, 30.0];
        let (mut samples, slopes) = sampled(color);
        // Few enough to be no part of their own.
        samples.retain(|(at, _)| at.x < 42.0 || at.y < 2.0);
        let found = Gradient::fit(&samples, &slopes).expect("there is one");
        let off = samples.iter().map(|(at, color)| color[0].abs_diff(found.color(*at)[0])).max();
        assert!(off <= Some(4), "{off:?} {found:?}");
    }

    #[test]
    fn neither_one_colour_nor_many_are_a_gradient() {
        let (samples, slopes) = sampled(|at| [100.0 + at.x / 10.0, 90.0, 30.0]);
        assert_eq!(Gradient::fit(&samples, &slopes), None, "it changes too little");
        let (samples, slopes) = sampled(|at| [100.0 + 20.0 * at.x.cos(), 90.0 + 20.0 * (at.y / 2.0).sin(), 30.0]);
        assert_eq!(Gradient::fit(&samples, &slopes), None);
    }

    #[test]
    fn the_same_gradient_has_the_same_name_and_another_has_another() {
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
