//! Fits the runs between corners with lines and curves.

use super::Outline;
use super::corners::{Corner, ROUNDED_STEPS};
use super::curve::{curves, direction, direction_around};
use super::geometry::{Line, Piece, Point, stretch};

/// Maximum distance of steps from a straight line, in pixels. Rasterising alone moves them half a pixel off a slanted
/// line.
const MAX_LINE_OFFSET: f64 = 0.5;

/// The same for a line between curves, which must be distinguishable from them.
const MAX_INNER_LINE_OFFSET: f64 = 0.3;

/// Minimum length of a line between curves, in pixels.
const MIN_INNER_LINE_LENGTH: f64 = 40.0;

/// If doubling the allowed offset lengthens a stretch by more than this factor, it is an arc. An arc gets longer by the
/// square root of 2, and a line hardly longer.
const MAX_LENGTHENING: f64 = 1.22;

/// Maximum bow of a line between curves, in pixels. An arc with the maximum offset of a line has a bow of twice that
/// offset.
const MAX_BOW: f64 = 0.12;

/// Joins the corners of an outline, whose steps have these edges, with lines and curves. Leaves off once `is_late`
/// returns true.
pub(super) fn join(edges: &[Point], corners: &[Corner], tolerance: f64, is_late: &dyn Fn() -> bool) -> Outline {
    let count = edges.len();
    let runs: Vec<Run> = match corners {
        // Without corners, any point can be the start.
        [] => return ring(edges, tolerance),
        [one] => vec![Run::new(edges, *one, Corner { step: one.step + count, ..*one })],
        several => (0..several.len())
            .map(|i| {
                let (from, to) = (several[i], several[(i + 1) % several.len()]);
                let step = if to.step <= from.step { to.step + count } else { to.step };
                Run::new(edges, from, Corner { step, ..to })
            })
            .collect(),
    };
    // Where two lines meet, their intersection is the best position of the corner.
    let mut points: Vec<Point> = (0..runs.len())
        .map(|i| {
            let (before, after) = (&runs[(i + runs.len() - 1) % runs.len()], &runs[i]);
            let meeting = before.line.zip(after.line).and_then(|(before, after)| before.meets(&after));
            let meeting = meeting.filter(|meeting| !corners[i].is_fixed && meeting.distance_to(after.from) < 6.0);
            meeting.unwrap_or(after.from)
        })
        .collect();
    for i in (0..runs.len()).filter(|i| runs[*i].line.is_some()) {
        let next = (i + 1) % points.len();
        if !corners[i].is_fixed && !corners[next].is_fixed {
            (points[i], points[next]) = align(points[i], points[next]);
        }
    }
    let mut pieces = Vec::new();
    for (i, run) in runs.iter().enumerate() {
        if is_late() {
            break;
        }
        run.draw(points[i], points[(i + 1) % points.len()], tolerance, &mut pieces);
    }
    Outline { start: points[0], pieces }
}

/// Aligns the ends of a line that is nearly horizontal or vertical.
fn align(from: Point, to: Point) -> (Point, Point) {
    let (x, y) = ((from.x + to.x) / 2.0, (from.y + to.y) / 2.0);
    let (across, down) = ((from.x - to.x).abs(), (from.y - to.y).abs());
    if across < 0.8 && down > 8.0 {
        (Point { x, ..from }, Point { x, ..to })
    } else if down < 0.8 && across > 8.0 {
        (Point { y, ..from }, Point { y, ..to })
    } else {
        (from, to)
    }
}

/// The stretch of an outline between two corners.
struct Run {
    from: Point,
    /// The steps that the corners do not round.
    inner: Vec<Point>,
    /// The line that fits these steps, if there is one.
    line: Option<Line>,
}

impl Run {
    fn new(edges: &[Point], from: Corner, to: Corner) -> Self {
        let (first, last) = (from.step + ROUNDED_STEPS, to.step.saturating_sub(ROUNDED_STEPS));
        let inner: Vec<Point> = stretch(edges, first, last).collect();
        let line = straight(&inner, MAX_LINE_OFFSET).filter(|_| inner.len() >= 4);
        Self { from: from.point, inner, line }
    }

    fn draw(&self, from: Point, to: Point, tolerance: f64, pieces: &mut Vec<Piece>) {
        if self.line.is_some() || self.inner.len() < 4 {
            pieces.push(Piece::Line(to));
            return;
        }
        draw_through(&[&[from], &self.inner[..], &[to]].concat(), tolerance, pieces);
    }
}

/// Fits an outline without corners.
fn ring(edges: &[Point], tolerance: f64) -> Outline {
    let count = edges.len();
    // Starting in the middle of a line, if there is one, cuts no curve in two.
    let mut all = edges.to_vec();
    let lines = lines(&[all.as_slice(), all.as_slice()].concat());
    if let Some((from, to)) = lines.into_iter().max_by_key(|(from, to)| to - from) {
        let middle = (from + to) / 2 % count;
        all.rotate_left(middle);
        all.push(all[0]);
        let mut pieces = Vec::new();
        draw_through(&all, tolerance, &mut pieces);
        return join_ends(Outline { start: all[0], pieces });
    }
    let mut points = smoothed(&all, true);
    points.push(points[0]);
    let around: Vec<Point> = (count - 8..count).chain(0..=8).map(|i| points[i % count]).collect();
    let tangent = direction_around(&around, 8);
    let mut pieces = Vec::new();
    curves(&points, tangent, tangent, tolerance, &mut pieces);
    Outline { start: points[0], pieces }
}

/// Merges the first and the last line of an outline that starts within a line.
fn join_ends(mut outline: Outline) -> Outline {
    if let [Piece::Line(first), .., Piece::Line(_)] = outline.pieces.as_slice() {
        outline.start = *first;
        outline.pieces.remove(0);
        if let Some(Piece::Line(end)) = outline.pieces.last_mut() {
            *end = outline.start;
        }
    }
    outline
}

/// Draws through points from the first to the last: long lines, and curves between them.
fn draw_through(points: &[Point], tolerance: f64, pieces: &mut Vec<Piece>) {
    let last = points.len() - 1;
    let mut at = 0;
    let mut before: Option<Line> = None;
    let mut from = points[0];
    for (start, end) in lines(points) {
        let Some(line) = Line::through(points[start..=end].iter().copied()) else { continue };
        let begins = if start == 0 { points[0] } else { line.nearest(points[start]) };
        let ends = if end == last { points[last] } else { line.nearest(points[end]) };
        if start > at {
            let between = [&[from], &points[at + 1..start], &[begins]].concat();
            curve_between(&between, before, Some(line), tolerance, pieces);
        }
        pieces.push(Piece::Line(ends));
        (at, from, before) = (end, ends, Some(line));
    }
    if at < last {
        curve_between(&[&[from], &points[at + 1..]].concat(), before, None, tolerance, pieces);
    }
}

/// Draws curves that continue smoothly from the line before and into the line after, if there are any.
fn curve_between(points: &[Point], before: Option<Line>, after: Option<Line>, tolerance: f64, pieces: &mut Vec<Piece>) {
    if points.len() < 3 {
        pieces.push(Piece::Line(points[points.len() - 1]));
        return;
    }
    let smooth = smoothed(points, false);
    let reach = 6.min(smooth.len() - 1);
    let last = smooth.len() - 1;
    let start = before.map_or_else(|| direction(smooth[0], smooth[reach]), |line| line.direction);
    let end = after.map_or_else(|| direction(smooth[last - reach], smooth[last]), |line| line.direction);
    curves(&smooth, start, end, tolerance, pieces);
}

/// Smooths out the jumps from one row of pixels to the next.
fn smoothed(points: &[Point], is_ring: bool) -> Vec<Point> {
    let mut smooth = points.to_vec();
    let count = points.len();
    for _ in 0..10 {
        let old = smooth.clone();
        for i in 0..count {
            if is_ring || (i > 0 && i + 1 < count) {
                smooth[i] = (old[(i + count - 1) % count] + old[i] * 2.0 + old[(i + 1) % count]) / 4.0;
            }
        }
    }
    smooth
}

/// Finds long straight stretches: the indices of the first and the last point of each, in order.
fn lines(points: &[Point]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut start = 0;
    while start + 1 < points.len() {
        let end = straight_from(points, start, MAX_INNER_LINE_OFFSET);
        let length = points[start].distance_to(points[end]);
        let goes_on = || {
            let longer = straight_from(points, start, 2.0 * MAX_INNER_LINE_OFFSET);
            points[start].distance_to(points[longer]) > MAX_LENGTHENING * length + 8.0
        };
        if length >= MIN_INNER_LINE_LENGTH && bow(&points[start..=end]) <= MAX_BOW && !goes_on() {
            found.push((start, end));
            start = end;
        } else {
            start += 3;
        }
    }
    found
}

/// Bow of points: the height of the middle over the ends, by the least-squares parabola.
fn bow(points: &[Point]) -> f64 {
    let Some(line) = Line::through(points.iter().copied()) else { return 0.0 };
    let half = (points.len() - 1) as f64 / 2.0;
    let (mut sum, mut squares) = (0.0, 0.0);
    for (i, point) in points.iter().enumerate() {
        let along = i as f64 / half - 1.0;
        let parabola = along * along - 1.0 / 3.0;
        sum += line.offset(*point) * parabola;
        squares += parabola * parabola;
    }
    (sum / squares).abs()
}

/// The line through points, if they all lie within a distance of it.
fn straight(points: &[Point], distance: f64) -> Option<Line> {
    let line = Line::through(points.iter().copied())?;
    points.iter().all(|point| line.offset(*point).abs() <= distance).then_some(line)
}

/// Index of the last point up to which all points lie within a distance of a straight line.
fn straight_from(points: &[Point], start: usize, distance: f64) -> usize {
    let fits = |end: usize| straight(&points[start..=end], distance).is_some();
    // Exponential search, then bisection. The result is nearly the maximum.
    let (mut good, mut step) = (start, 8);
    let last = points.len() - 1;
    while good + step <= last && fits(good + step) {
        good += step;
        step *= 2;
    }
    while step > 0 {
        if good + step <= last && fits(good + step) {
            good += step;
        }
        step /= 2;
    }
    good
}
