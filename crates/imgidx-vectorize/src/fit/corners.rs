//! Finds the corners of an outline.

use super::Fitting;
use super::geometry::{Line, Point, STEPS_PER_CHECK, Steps, lerp, stretch};

/// Number of steps from which the direction before and after a step is estimated.
const REACH: usize = 9;

/// Number of steps next to a corner that enlarging has rounded.
pub(super) const ROUNDED_STEPS: usize = 2;

/// Maximum number of steps to which a side of a corner is fitted.
const MAX_SIDE_STEPS: usize = 12;

/// Maximum distance of a corner from the outline, in pixels.
const MAX_DISTANCE: f64 = 6.0;

/// A corner of an outline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Corner {
    /// The nearest step.
    pub step: usize,
    /// Its position.
    pub point: Point,
    /// Whether the position is exact and must not be adjusted.
    pub is_fixed: bool,
}

/// Finds the corners of an outline, in order: where it turns by at least `fitting.corner`, and where it reaches or
/// leaves a side of the picture. None more are found once `is_late` returns true.
pub(super) fn find(steps: &Steps, fitting: &Fitting, is_late: &dyn Fn() -> bool) -> Vec<Corner> {
    let count = steps.sides.len();
    let sides: Vec<Option<usize>> = steps.sides.iter().map(|step| side(*step, fitting.frame)).collect();
    let changes = (0..count).filter(|step| sides[*step] != sides[(step + 1) % count]);
    let fixed: Vec<Corner> =
        changes.map(|step| Corner { step, point: corner_after(steps, step), is_fixed: true }).collect();
    let is_free = |step: &usize| {
        let away = |corner: &Corner| (step + count - corner.step) % count;
        fixed.iter().all(|corner| away(corner).min(count - away(corner)) > REACH / 2)
    };
    let reach = REACH.min(count / 6).max(2);
    let turns: Vec<f64> = (0..count).map(|step| turn(steps, step, reach)).collect();
    let is_sharpest = |step: usize| {
        let around = (1..=reach).flat_map(|away| [(step + away) % count, (step + count - away) % count]);
        // Of several equal ones, takes the first.
        around.into_iter().all(|other| turns[other] < turns[step] || turns[other] == turns[step] && other > step)
    };
    let is_in_time = |step: &usize| !step.is_multiple_of(STEPS_PER_CHECK) || !is_late();
    let sharp = (0..count)
        .take_while(is_in_time)
        .filter(|step| turns[*step] >= fitting.corner && is_sharpest(*step))
        .filter(is_free);
    let sharp = sharp.map(|step| Corner { step, point: steps.edges[step], is_fixed: false });
    let mut found: Vec<Corner> = sharp.chain(fixed.iter().copied()).collect();
    found.sort_by_key(|corner| corner.step);
    let place = |i: usize| {
        let (corner, before) = (found[i], found[(i + found.len() - 1) % found.len()]);
        let after = found[(i + 1) % found.len()];
        let room = |from: Corner, to: Corner| (to.step + count - from.step - 1) % count + 1;
        let meeting = || point_of(steps, corner.step, room(before, corner), room(corner, after));
        if corner.is_fixed { corner } else { Corner { point: meeting(), ..corner } }
    };
    (0..found.len()).map(place).collect()
}

/// The side of the picture that a step follows, if any.
fn side(step: Point, (first, last): (Point, Point)) -> Option<usize> {
    let is_at = |at: f64, side: f64| (at - side).abs() < 1e-6;
    let sides = [is_at(step.x, first.x), is_at(step.y, first.y), is_at(step.x, last.x), is_at(step.y, last.y)];
    sides.iter().position(|is_there| *is_there)
}

/// The corner of a pixel between a step and the next one.
fn corner_after(steps: &Steps, step: usize) -> Point {
    let (here, next) = (steps.sides[step], steps.sides[(step + 1) % steps.sides.len()]);
    // The midpoint of a step along a row has a whole y; of a step along a column, a whole x.
    let is_along_row = |step: Point| step.y.fract() == 0.0;
    match (is_along_row(here), is_along_row(next)) {
        (true, false) => Point::new(next.x, here.y),
        (false, true) => Point::new(here.x, next.y),
        _ => lerp(here, next, 0.5),
    }
}

/// The angle by which the outline turns around a step, in radians.
fn turn(steps: &Steps, step: usize, reach: usize) -> f64 {
    let here = step + steps.sides.len();
    // Uses the pixel sides, because edges cannot be located next to a corner.
    let before = Line::through(stretch(&steps.sides, here - reach, here));
    let after = Line::through(stretch(&steps.sides, here, here + reach));
    before.zip(after).map_or(0.0, |(before, after)| before.turn(&after))
}

/// The position of a corner, where its two sides meet. `before` and `after` are the steps to the neighbouring corners.
fn point_of(steps: &Steps, step: usize, before: usize, after: usize) -> Point {
    let (here, at) = (step + steps.edges.len(), steps.edges[step]);
    // Uses at most half of the steps to the next corner.
    let far = |room: usize| MAX_SIDE_STEPS.min(room / 2);
    let (first, last) = (far(before), far(after));
    if first < ROUNDED_STEPS + 2 || last < ROUNDED_STEPS + 2 {
        return at;
    }
    let before = Line::through(stretch(&steps.edges, here - first, here - ROUNDED_STEPS));
    let after = Line::through(stretch(&steps.edges, here + ROUNDED_STEPS, here + last));
    let meeting = before.zip(after).and_then(|(before, after)| before.meets(&after));
    meeting.filter(|point| point.distance_to(at) < MAX_DISTANCE).unwrap_or(at)
}
