//! Cubic Bézier curves through many points.

use super::geometry::{Line, Piece, Point};

/// Points on either side that tell the direction at a point.
const REACH: usize = 12;

/// How often points are given better places on a curve.
const ROUNDS: usize = 6;

/// Draws as few curves through points as stay within a distance of all of them, each as long as it can be. They go on into each other smoothly.
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

/// The longest curve that fits from a point on, nearly.
fn longest(at: usize, end: usize, fitted: &impl Fn(usize) -> Option<Piece>) -> Option<(usize, Piece)> {
    let (mut best, mut step) = (None, 4);
    // It grows by factors, and is narrowed down then: what is far away is not looked at in vain.
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
    // A short rest would have to turn too much: it takes its part of the way.
    match best {
        Some((to, _)) if end - to < (to - at) / 3 => {
            let middle = usize::midpoint(at, end);
            fitted(middle).map(|piece| (middle, piece)).or(best)
        }
        best => best,
    }
}

/// The direction of points around one of them.
pub(super) fn direction_around(points: &[Point], at: usize) -> Point {
    let reach = REACH.min(at).min(points.len() - 1 - at).max(1);
    let (from, to) = (at.saturating_sub(reach), (at + reach).min(points.len() - 1));
    let line = Line::through(points[from..=to].iter().copied());
    line.map_or_else(|| direction(points[from], points[to]), |line| line.direction)
}

pub(super) fn direction(from: Point, to: Point) -> Point {
    let length = from.distance(to).max(1e-9);
    Point::new((to.x - from.x) / length, (to.y - from.y) / length)
}

/// One curve through points that leaves the first and comes to the last in these directions, if it is near enough to all of them: Schneider, "An
/// algorithm for automatically fitting digitized curves", Graphics Gems, 1990.
fn fit(points: &[Point], leaves: Point, comes: Point, tolerance: f64) -> Option<Piece> {
    let (first, last) = (points[0], points[points.len() - 1]);
    if points.len() == 2 {
        return Some(Piece::Line(last));
    }
    let mut places = places(points);
    for round in 0..ROUNDS {
        let (a, b) = handles(points, &places, leaves, comes);
        let controls = [
            first,
            Point::new(first.x + a * leaves.x, first.y + a * leaves.y),
            Point::new(last.x - b * comes.x, last.y - b * comes.y),
            last,
        ];
        let off = points.iter().zip(&places).map(|(point, place)| at(&controls, *place).distance(*point));
        let off = off.fold(0.0, f64::max);
        if off <= tolerance {
            return Some(Piece::Curve(controls[1], controls[2], last));
        }
        // What is far off does not come near by better places.
        if off > 4.0 * tolerance && round > 0 {
            return None;
        }
        improve(points, &controls, &mut places);
    }
    None
}

/// Where points are on a curve, 0 to 1: by the way along them.
fn places(points: &[Point]) -> Vec<f64> {
    let mut way = 0.0;
    let mut places = vec![0.0];
    for pair in points.windows(2) {
        way += pair[0].distance(pair[1]);
        places.push(way);
    }
    places.iter_mut().for_each(|place| *place /= way.max(1e-9));
    places
}

/// How long the handles are with which a curve is least off its points, by the sum of squares.
fn handles(points: &[Point], places: &[f64], leaves: Point, comes: Point) -> (f64, f64) {
    let (first, last) = (points[0], points[points.len() - 1]);
    let (mut aa, mut ab, mut bb, mut ya, mut yb) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (point, &t) in points.iter().zip(places) {
        let u = 1.0 - t;
        let (b0, b1, b2, b3) = (u * u * u, 3.0 * u * u * t, 3.0 * u * t * t, t * t * t);
        let a = (b1 * leaves.x, b1 * leaves.y);
        let b = (-b2 * comes.x, -b2 * comes.y);
        let rest =
            (point.x - (b0 + b1) * first.x - (b2 + b3) * last.x, point.y - (b0 + b1) * first.y - (b2 + b3) * last.y);
        aa += a.0 * a.0 + a.1 * a.1;
        ab += a.0 * b.0 + a.1 * b.1;
        bb += b.0 * b.0 + b.1 * b.1;
        ya += a.0 * rest.0 + a.1 * rest.1;
        yb += b.0 * rest.0 + b.1 * rest.1;
    }
    let determinant = aa * bb - ab * ab;
    let whole = first.distance(last);
    let usual = whole / 3.0;
    let (a, b) = ((ya * bb - yb * ab) / determinant, (yb * aa - ya * ab) / determinant);
    // Handles that point backwards or beyond the end make loops.
    let is_sound = |handle: f64| handle.is_finite() && handle > 0.01 * whole && handle < 3.0 * whole.max(1.0);
    if is_sound(a) && is_sound(b) { (a, b) } else { (usual, usual) }
}

fn at(controls: &[Point; 4], t: f64) -> Point {
    let [p, q, r, s] = *controls;
    let (pq, qr, rs) = (p.toward(q, t), q.toward(r, t), r.toward(s, t));
    pq.toward(qr, t).toward(qr.toward(rs, t), t)
}

/// Moves each place to where the curve is nearer to its point (Newton's method).
fn improve(points: &[Point], controls: &[Point; 4], places: &mut [f64]) {
    let [p, q, r, s] = *controls;
    let less = |a: Point, b: Point| Point::new(b.x - a.x, b.y - a.y);
    let (d0, d1, d2) = (less(p, q), less(q, r), less(r, s));
    let (e0, e1) = (less(d0, d1), less(d1, d2));
    for (point, place) in points.iter().zip(places) {
        let t = *place;
        let on = at(controls, t);
        let (slope, bend) = (d0.toward(d1, t).toward(d1.toward(d2, t), t), e0.toward(e1, t));
        let (slope, bend) = (Point::new(3.0 * slope.x, 3.0 * slope.y), Point::new(6.0 * bend.x, 6.0 * bend.y));
        let (x, y) = (on.x - point.x, on.y - point.y);
        let down = slope.x * slope.x + slope.y * slope.y + x * bend.x + y * bend.y;
        if down.abs() > 1e-9 {
            *place = (t - (x * slope.x + y * slope.y) / down).clamp(0.0, 1.0);
        }
    }
}
