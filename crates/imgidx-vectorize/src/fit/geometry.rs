//! Points, lines, and the steps of an outline.

/// A point of the enlarged picture.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Point {
    pub x: f64,
    pub y: f64,
}

impl Point {
    pub(crate) fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }

    pub(crate) fn distance(self, other: Self) -> f64 {
        // Not `hypot`, which is several times slower: the squares of these coordinates cannot overflow.
        ((self.x - other.x).powi(2) + (self.y - other.y).powi(2)).sqrt()
    }

    /// The point at a fraction of the way to another, 0 to 1.
    pub(crate) fn toward(self, other: Self, fraction: f64) -> Self {
        Self::new(self.x + fraction * (other.x - self.x), self.y + fraction * (other.y - self.y))
    }
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

    /// The point at a curve parameter of 0 to 1.
    #[cfg(test)]
    pub(crate) fn at(&self, from: Point, t: f64) -> Point {
        match *self {
            Self::Line(end) => from.toward(end, t),
            Self::Curve(a, b, end) => {
                let (ab, bc, cd) = (from.toward(a, t), a.toward(b, t), b.toward(end, t));
                ab.toward(bc, t).toward(bc.toward(cd, t), t)
            }
        }
    }
}

/// The pixel sides that an outline follows.
#[derive(Debug, Clone)]
pub(super) struct Steps {
    /// The midpoints of the pixel sides.
    sides: Vec<Point>,
    /// The points of the edge that correspond to the sides.
    edges: Vec<Point>,
}

impl Steps {
    /// Splits an outline, given by its corners, into steps. `edge` moves the midpoint of a pixel side to the edge.
    pub(super) fn along(corners: &[Point], edge: impl Fn(Point) -> Point) -> Self {
        let mut sides = Vec::new();
        for (i, from) in corners.iter().enumerate() {
            let to = corners[(i + 1) % corners.len()];
            let count = from.distance(to).round() as usize;
            sides.extend((0..count).map(|step| from.toward(to, (step as f64 + 0.5) / count as f64)));
        }
        let edges = sides.iter().map(|side| edge(*side)).collect();
        Self { sides, edges }
    }

    /// The midpoint of a pixel side. Indices wrap around the outline.
    pub(super) fn side(&self, index: usize) -> Point {
        self.sides[index % self.sides.len()]
    }

    pub(super) fn len(&self) -> usize {
        self.edges.len()
    }

    /// The point of the edge at a step. Indices wrap around the outline.
    pub(super) fn at(&self, index: usize) -> Point {
        self.edges[index % self.edges.len()]
    }

    /// The midpoints of the pixel sides from one step to another, both included.
    pub(super) fn sides_between(&self, from: usize, to: usize) -> impl Iterator<Item = Point> + Clone {
        (from..=to).map(|index| self.side(index))
    }

    /// The points of the edge from one step to another, both included.
    pub(super) fn between(&self, from: usize, to: usize) -> impl Iterator<Item = Point> + Clone {
        (from..=to).map(|index| self.at(index))
    }
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
            (count, sum) = (count + 1.0, Point::new(sum.x + point.x, sum.y + point.y));
        }
        let middle = Point::new(sum.x / count, sum.y / count);
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for point in points.clone() {
            let (x, y) = (point.x - middle.x, point.y - middle.y);
            (xx, xy, yy) = (xx + x * x, xy + x * y, yy + y * y);
        }
        let angle = f64::atan2(2.0 * xy, xx - yy) / 2.0;
        let (first, last) = (points.clone().next()?, points.last()?);
        let (x, y) = (angle.cos(), angle.sin());
        let ahead = (last.x - first.x) * x + (last.y - first.y) * y;
        if xx + yy <= 0.0 || ahead == 0.0 {
            return None;
        }
        Some(Self { middle, direction: Point::new(x * ahead.signum(), y * ahead.signum()) })
    }

    /// Signed distance of a point from the line.
    pub(super) fn offset(&self, point: Point) -> f64 {
        (point.x - self.middle.x) * self.direction.y - (point.y - self.middle.y) * self.direction.x
    }

    /// The point of the line that is nearest to another point.
    pub(super) fn nearest(&self, point: Point) -> Point {
        let along = (point.x - self.middle.x) * self.direction.x + (point.y - self.middle.y) * self.direction.y;
        Point::new(self.middle.x + along * self.direction.x, self.middle.y + along * self.direction.y)
    }

    /// The intersection of two lines; `None` if they are nearly parallel.
    pub(super) fn meets(&self, other: &Self) -> Option<Point> {
        let cross = self.direction.x * other.direction.y - self.direction.y * other.direction.x;
        if cross.abs() < 0.05 {
            return None;
        }
        let (x, y) = (other.middle.x - self.middle.x, other.middle.y - self.middle.y);
        let along = (x * other.direction.y - y * other.direction.x) / cross;
        Some(Point::new(self.middle.x + along * self.direction.x, self.middle.y + along * self.direction.y))
    }

    /// The angle between the directions of two lines, in radians, 0 to π.
    pub(super) fn turn(&self, other: &Self) -> f64 {
        let dot = self.direction.x * other.direction.x + self.direction.y * other.direction.y;
        dot.clamp(-1.0, 1.0).acos()
    }
}
