//! Fits corners, straight lines and curves to the outline of an area, which is a staircase of pixels.
//!
//! Corners come first: places where the directions before and after differ. Enlarging has rounded the pixels next to a
//! corner, so the corner is placed where its two sides meet. The stretch between two corners becomes a line if it fits
//! one. Otherwise it becomes curves and the long lines between them. The curves are fitted as in Schneider, "An
//! algorithm for automatically fitting digitized curves", Graphics Gems, 1990.

mod contours;
mod corners;
mod curve;
mod geometry;
mod runs;

pub(super) use contours::contours;
use geometry::Steps;
pub(super) use geometry::{Piece, Point, cross};

/// Settings for fitting an outline.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fitting {
    /// Maximum deviation of a curve, in pixels.
    pub tolerance: f64,
    /// Minimum angle of a corner, in radians.
    pub corner: f64,
    /// The top left and bottom right corners of the picture. Outlines along its sides stay there.
    pub frame: (Point, Point),
}

/// The closed outline of an area: its starting point, and pieces of which the last ends at that point.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outline {
    pub start: Point,
    pub pieces: Vec<Piece>,
}

/// Minimum number of steps of a fitted outline. Shorter ones, such as points, stay as they are.
const MIN_STEPS: usize = 16;

/// Fits a closed outline along pixel sides, given by its corners.
///
/// `edge` moves the midpoint of a pixel side to the edge between the two pixels that share the side. Once `is_late`
/// returns true, the outline is left incomplete.
pub(super) fn fit(
    corners: &[Point],
    fitting: &Fitting,
    edge: impl Fn(Point) -> Point,
    is_late: &dyn Fn() -> bool,
) -> Outline {
    let steps = Steps::along(corners, edge, is_late);
    if steps.sides.len() < MIN_STEPS {
        let start = corners.first().copied().unwrap_or_default();
        return Outline { start, pieces: corners.iter().skip(1).copied().chain([start]).map(Piece::Line).collect() };
    }
    let corners = corners::find(&steps, fitting, is_late);
    runs::join(&steps.edges, &corners, fitting.tolerance, is_late)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FITTING: Fitting =
        Fitting { tolerance: 1.0, corner: 1.0, frame: (Point { x: 0.0, y: 0.0 }, Point { x: 200.0, y: 200.0 }) };

    /// The fitted outline of the pixels whose centres are inside: one area without holes.
    fn fitted(size: i32, is_inside: impl Fn(f64, f64) -> bool) -> Outline {
        let is_inside = |x: i32, y: i32| {
            (0..size).contains(&x) && (0..size).contains(&y) && is_inside(f64::from(x) + 0.5, f64::from(y) + 0.5)
        };
        fit(&contours((size as usize, size as usize), is_inside).remove(0), &FITTING, |side| side, &|| false)
    }

    fn ends(outline: &Outline) -> Vec<Point> {
        outline.pieces.iter().map(Piece::end).collect()
    }

    #[test]
    fn a_square_is_four_lines() {
        let outline = fitted(100, |x, y| (20.0..80.0).contains(&x) && (30.0..70.0).contains(&y));
        assert!(outline.pieces.iter().all(|piece| matches!(piece, Piece::Line(_))), "{outline:?}");
        let mut found: Vec<(i32, i32)> =
            ends(&outline).iter().map(|p| (p.x.round() as i32, p.y.round() as i32)).collect();
        found.sort_unstable();
        assert_eq!(found, [(20, 30), (20, 70), (80, 30), (80, 70)]);
    }

    #[test]
    fn a_slanted_triangle_has_its_corners() {
        // Its sides cross pixels at arbitrary places.
        let corners = [(20.0, 150.0), (180.0, 120.0), (70.0, 15.0)];
        let inside = |x: f64, y: f64| {
            (0..3).all(|i| {
                let ((ax, ay), (bx, by)) = (corners[i], corners[(i + 1) % 3]);
                (bx - ax) * (y - ay) - (by - ay) * (x - ax) < 0.0
            })
        };
        let outline = fitted(200, inside);
        assert_eq!(outline.pieces.len(), 3, "{outline:?}");
        for (x, y) in corners {
            let off = ends(&outline).iter().map(|end| f64::hypot(end.x - x, end.y - y)).fold(f64::INFINITY, f64::min);
            assert!(off < 1.0, "{x} {y}: {outline:?}");
        }
    }

    #[test]
    fn a_disc_is_a_few_curves_that_stay_close() {
        let (radius, middle) = (70.0, 100.0);
        let outline = fitted(200, |x, y| f64::hypot(x - middle, y - middle) < radius);
        assert!((3..=6).contains(&outline.pieces.len()), "{} pieces", outline.pieces.len());
        let mut from = outline.start;
        for piece in &outline.pieces {
            for i in 0..=8 {
                let at = curve::at(&piece.controls(from), f64::from(i) / 8.0);
                let off = (f64::hypot(at.x - middle, at.y - middle) - radius).abs();
                assert!(off < 0.9, "{off} at {at:?}");
            }
            from = piece.end();
        }
        assert_eq!(from, outline.start);
    }

    #[test]
    fn sides_of_a_rounded_square_are_straight() {
        let inside = |x: f64, y: f64| {
            let (dx, dy) = ((x - 100.0).abs() - 50.0, (y - 100.0).abs() - 50.0);
            f64::hypot(dx.max(0.0), dy.max(0.0)) < 30.0
        };
        let outline = fitted(200, inside);
        let lines = outline.pieces.iter().filter(|piece| matches!(piece, Piece::Line(_))).count();
        assert_eq!((lines, outline.pieces.len()), (4, 8), "{outline:?}");
    }

    #[test]
    fn an_outline_along_the_side_of_the_picture_stays_there() {
        // The area left between a disc that touches all sides and one corner of the picture.
        let inside = |x: f64, y: f64| {
            (0.0..200.0).contains(&x)
                && (0.0..200.0).contains(&y)
                && x < 100.0
                && y < 100.0
                && f64::hypot(x - 100.0, y - 100.0) > 100.0
        };
        let outline = fitted(200, inside);
        let mut on_side = ends(&outline);
        on_side.retain(|end| end.x.abs() < 1e-9 || end.y.abs() < 1e-9);
        assert!(on_side.contains(&Point::new(0.0, 0.0)) && on_side.len() == 3, "{outline:?}");
        assert!(on_side.iter().all(|end| end.x == 0.0 || end.y == 0.0), "{outline:?}");
    }

    #[test]
    fn a_point_stays_as_it_is() {
        let corners = [(1.0, 1.0), (3.0, 1.0), (3.0, 2.0), (1.0, 2.0)].map(|(x, y)| Point::new(x, y));
        let outline = fit(&corners, &FITTING, |side| side, &|| false);
        assert_eq!((outline.start, ends(&outline)), (corners[0], [&corners[1..], &corners[..1]].concat()));
        assert_eq!(fit(&[], &FITTING, |side| side, &|| false).pieces, [Piece::Line(Point::default())]);
    }
}
