//! Fits cubic Bézier curves to many points.

use super::geometry::{Line, Piece, Point, lerp};

/// Number of points on either side from which the direction at a point is estimated.
const REACH: usize = 12;

/// Maximum number of times that points are reparametrised on a curve.
const MAX_ROUNDS: usize = 6;

/// Fits the fewest curves that stay within a tolerance of all points, each as long as possible. Curves join smoothly.
pub(super) fn curves(points: &[Point], first: Point, last: Point, tolerance: f64, pieces: &mut Vec<Piece>) {
    let end = points.len() - 1;
    let (mut at, mut ahead) = (0, first);
    while at < end {
        let direction_at = |to: usize| if to == end { last } else { direction_around(points, to) };
        let fitted = |to: usize| fit(&points[at..=to], ahead, direction_at(to), tolerance);
        let (to, piece) = longest(at, end, &fitted).unwrap_or_else(|| (at + 1, Piece::Line(points[at + 1])));
        pieces.push(piece);
        (at, ahead) = (to, direction_at(to));
    }
}

/// Finds nearly the longest curve that fits from a point on.
fn longest(at: usize, end: usize, fitted: &impl Fn(usize) -> Option<Piece>) -> Option<(usize, Piece)> {
    let (mut best, mut step) = (None, 4);
    // Exponential search, then bisection: most attempts stay near the result, which keeps them short.
    let mut good = at;
    let mut bad = loop {
        let to = end.min(at + step);
        match fitted(to) {
            Some(piece) if to == end => return Some((end, piece)),
            Some(piece) => (best, good) = (Some((to, piece)), to),
            None => break to,
        }
        step *= 2;
    };
    while bad - good > 1 + (good - at) / 16 {
        let middle = usize::midpoint(good, bad);
        match fitted(middle) {
            Some(piece) => (best, good) = (Some((middle, piece)), middle),
            None => bad = middle,
        }
    }
    // A short remainder would have to turn too sharply, so the points are split in half instead.
    match best {
        Some((to, _)) if end - to < (to - at) / 3 => {
            let middle = usize::midpoint(at, end);
            fitted(middle).map(|piece| (middle, piece)).or(best)
        }
        best => best,
    }
}

/// The direction of the points around one of them, a unit vector.
pub(super) fn direction_around(points: &[Point], at: usize) -> Point {
    let reach = REACH.min(at).min(points.len() - 1 - at).max(1);
    let (from, to) = (at.saturating_sub(reach), (at + reach).min(points.len() - 1));
    let line = Line::through(points[from..=to].iter().copied());
    line.map_or_else(|| direction(points[from], points[to]), |line| line.direction)
}

pub(super) fn direction(from: Point, to: Point) -> Point {
    (to - from) / from.distance_to(to).max(1e-9)
}

/// Fits one curve to points with given directions at its ends; `None` if it does not stay within the tolerance.
///
/// Source: Schneider, "An algorithm for automatically fitting digitized curves", Graphics Gems, 1990.
fn fit(points: &[Point], start_direction: Point, end_direction: Point, tolerance: f64) -> Option<Piece> {
    let (first, last) = (points[0], points[points.len() - 1]);
    if points.len() == 2 {
        return Some(Piece::Line(last));
    }
    let mut parameters = parameters(points);
    for round in 0..MAX_ROUNDS {
        let (a, b) = handles(points, &parameters, start_direction, end_direction);
        let controls = [first, first + start_direction * a, last - end_direction * b, last];
        let off = |(point, parameter): (&Point, &f64)| at(&controls, *parameter).distance_to(*point);
        let off = points.iter().zip(&parameters).map(off).fold(0.0, f64::max);
        if off <= tolerance {
            return Some(Piece::Curve(controls[1], controls[2], last));
        }
        // Reparametrising cannot correct a large error.
        if off > 4.0 * tolerance && round > 0 {
            return None;
        }
        reparametrise(points, &controls, &mut parameters);
    }
    None
}

/// Curve parameters of points, 0 to 1, by chord length.
fn parameters(points: &[Point]) -> Vec<f64> {
    let mut length = 0.0;
    let mut parameters = vec![0.0];
    for pair in points.windows(2) {
        length += pair[0].distance_to(pair[1]);
        parameters.push(length);
    }
    parameters.iter_mut().for_each(|parameter| *parameter /= length.max(1e-9));
    parameters
}

/// Lengths of the two handles that give the least sum of squared distances.
fn handles(points: &[Point], parameters: &[f64], start_direction: Point, end_direction: Point) -> (f64, f64) {
    let (first, last) = (points[0], points[points.len() - 1]);
    let (mut aa, mut ab, mut bb, mut ya, mut yb) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (point, &t) in points.iter().zip(parameters) {
        let u = 1.0 - t;
        let (b0, b1, b2, b3) = (u * u * u, 3.0 * u * u * t, 3.0 * u * t * t, t * t * t);
        let (a, b) = (start_direction * b1, end_direction * -b2);
        let rest = *point - first * (b0 + b1) - last * (b2 + b3);
        aa += a.dot(a);
        ab += a.dot(b);
        bb += b.dot(b);
        ya += a.dot(rest);
        yb += b.dot(rest);
    }
    let determinant = aa * bb - ab * ab;
    let whole = first.distance_to(last);
    let (a, b) = ((ya * bb - yb * ab) / determinant, (yb * aa - ya * ab) / determinant);
    // Handles that point backwards or are too long make loops.
    let is_sound = |handle: f64| handle.is_finite() && handle > 0.01 * whole && handle < 3.0 * whole.max(1.0);
    if is_sound(a) && is_sound(b) { (a, b) } else { (whole / 3.0, whole / 3.0) }
}

/// The point of a curve at a parameter of 0 to 1.
pub(super) fn at(controls: &[Point; 4], t: f64) -> Point {
    let [p, q, r, s] = *controls;
    let (pq, qr, rs) = (lerp(p, q, t), lerp(q, r, t), lerp(r, s, t));
    lerp(lerp(pq, qr, t), lerp(qr, rs, t), t)
}

/// Improves each parameter by one step of Newton's method towards the nearest point of the curve.
fn reparametrise(points: &[Point], controls: &[Point; 4], parameters: &mut [f64]) {
    let [p, q, r, s] = *controls;
    let (d0, d1, d2) = (q - p, r - q, s - r);
    let (e0, e1) = (d1 - d0, d2 - d1);
    for (point, parameter) in points.iter().zip(parameters) {
        let t = *parameter;
        let off = at(controls, t) - *point;
        let slope = lerp(lerp(d0, d1, t), lerp(d1, d2, t), t) * 3.0;
        let bend = lerp(e0, e1, t) * 6.0;
        let down = slope.dot(slope) + off.x * bend.x + off.y * bend.y;
        if down.abs() > 1e-9 {
            *parameter = (t - off.dot(slope) / down).clamp(0.0, 1.0);
        }
    }
}
