//! Points, lines, and the steps of an outline.

/// A point of the enlarged picture, or a vector.
pub(crate) use visioncortex::PointF64 as Point;

/// The point at a fraction of the way from one point to another, 0 to 1.
pub(crate) fn lerp(from: Point, to: Point, fraction: f64) -> Point {
    from + (to - from) * fraction
}

/// The cross product: the signed area of the parallelogram of two vectors.
pub(crate) fn cross(a: Point, b: Point) -> f64 {
    a.x * b.y - a.y * b.x
}

/// A piece of an outline. It starts at the end of the previous piece.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Piece {
    /// A straight line to a point.
    Line(Point),
    /// A cubic Bézier curve: two control points, and the end.
    Curve(Point, Point, Point),
}

impl Piece {
    pub(crate) fn end(&self) -> Point {
        match self {
            Self::Line(end) | Self::Curve(_, _, end) => *end,
        }
    }

    /// This piece as a cubic Bézier curve.
    pub(crate) fn controls(&self, start: Point) -> [Point; 4] {
        match *self {
            Self::Line(end) => [start, lerp(start, end, 1.0 / 3.0), lerp(start, end, 2.0 / 3.0), end],
            Self::Curve(a, b, end) => [start, a, b, end],
        }
    }
}

/// Number of steps between two checks of the deadline.
pub(super) const STEPS_PER_CHECK: usize = 1024;

/// The pixel sides that an outline follows.
#[derive(Debug, Clone)]
pub(super) struct Steps {
    /// The midpoints of the pixel sides.
    pub sides: Vec<Point>,
    /// The points of the edge that correspond to the sides.
    pub edges: Vec<Point>,
}

impl Steps {
    /// Splits an outline, given by its corners, into steps. `edge` moves the midpoint of a pixel side to the edge.
    pub(super) fn along(corners: &[Point], edge: impl Fn(Point) -> Point, is_late: &dyn Fn() -> bool) -> Self {
        let mut sides = Vec::new();
        for (i, from) in corners.iter().enumerate() {
            let to = corners[(i + 1) % corners.len()];
            let count = from.distance_to(to).round() as usize;
            sides.extend((0..count).map(|step| lerp(*from, to, (step as f64 + 0.5) / count as f64)));
        }
        let mut edges = Vec::with_capacity(sides.len());
        for some in sides.chunks(STEPS_PER_CHECK) {
            if is_late() {
                edges.extend_from_slice(&sides[edges.len()..]);
                break;
            }
            edges.extend(some.iter().map(|side| edge(*side)));
        }
        Self { sides, edges }
    }
}

/// The points from one index to another, both included. Indices wrap around the outline.
pub(super) fn stretch(outline: &[Point], from: usize, to: usize) -> impl Iterator<Item = Point> + Clone {
    (from..=to).map(|index| outline[index % outline.len()])
}

/// A straight line through the mean of some points, in the direction of their order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    pub middle: Point,
    /// Unit vector.
    pub direction: Point,
}

impl Line {
    /// The line with the least sum of squared distances to some points; `None` if they have no direction.
    pub(super) fn through(points: impl Iterator<Item = Point> + Clone) -> Option<Self> {
        let (mut count, mut sum) = (0.0, Point::default());
        for point in points.clone() {
            count += 1.0;
            sum += point;
        }
        let middle = sum / count;
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for Point { x, y } in points.clone().map(|point| point - middle) {
            (xx, xy, yy) = (xx + x * x, xy + x * y, yy + y * y);
        }
        let (sin, cos) = (f64::atan2(2.0 * xy, xx - yy) / 2.0).sin_cos();
        let direction = Point::new(cos, sin);
        let (first, last) = (points.clone().next()?, points.last()?);
        let ahead = (last - first).dot(direction);
        if xx + yy <= 0.0 || ahead == 0.0 {
            return None;
        }
        Some(Self { middle, direction: direction * ahead.signum() })
    }

    /// Signed distance of a point from the line.
    pub(super) fn offset(&self, point: Point) -> f64 {
        cross(point - self.middle, self.direction)
    }

    /// The point of the line that is nearest to another point.
    pub(super) fn nearest(&self, point: Point) -> Point {
        self.middle + self.direction * (point - self.middle).dot(self.direction)
    }

    /// The intersection of two lines; `None` if they are nearly parallel.
    pub(super) fn meets(&self, other: &Self) -> Option<Point> {
        let sine = cross(self.direction, other.direction);
        let along = cross(other.middle - self.middle, other.direction) / sine;
        (sine.abs() >= 0.05).then(|| self.middle + self.direction * along)
    }

    /// The angle between the directions of two lines, in radians, 0 to π.
    pub(super) fn turn(&self, other: &Self) -> f64 {
        self.direction.dot(other.direction).clamp(-1.0, 1.0).acos()
    }
}
