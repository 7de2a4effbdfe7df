//! Traces the outlines of an area of pixels, around the area and around its holes.

use super::Point;

/// Follows all outlines of the pixels for which `is_inside` returns true, in a picture of this size.
///
/// Each outline is a list of corners with the area to its right, so holes run the other way round. Pixels that only
/// touch at a corner are not connected.
pub(crate) fn contours((width, height): (usize, usize), is_inside: impl Fn(i32, i32) -> bool) -> Vec<Vec<Point>> {
    let mut seen = vec![false; width * height];
    let mut all = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let is_upper_side = is_inside(x as i32, y as i32) && !is_inside(x as i32, y as i32 - 1);
            // Every outline runs along the upper side of some pixel, to the right.
            if is_upper_side && !seen[y * width + x] {
                all.push(follow((x as i32, y as i32), &is_inside, |x, y| seen[y as usize * width + x as usize] = true));
            }
        }
    }
    all
}

fn follow(start: (i32, i32), is_inside: &impl Fn(i32, i32) -> bool, mut visit: impl FnMut(i32, i32)) -> Vec<Point> {
    let right = (1, 0);
    let (mut at, mut direction) = (start, right);
    let mut corners = Vec::new();
    loop {
        if direction == right {
            visit(at.0, at.1);
        }
        at = (at.0 + direction.0, at.1 + direction.1);
        // `ahead` tests the pixels ahead, to the left and to the right of the direction.
        let (dx, dy) = direction;
        let ahead =
            |x: i32, y: i32| is_inside((2 * at.0 + dx + x - 1).div_euclid(2), (2 * at.1 + dy + y - 1).div_euclid(2));
        let turned = match (ahead(dy, -dx), ahead(-dy, dx)) {
            (_, false) => (-dy, dx),
            (true, true) => (dy, -dx),
            (false, true) => direction,
        };
        if turned != direction {
            corners.push(Point::new(at.0.into(), at.1.into()));
        }
        direction = turned;
        if at == start && direction == right {
            return corners;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The outlines of a drawing in characters: their numbers of corners, and their areas, negative for holes.
    fn areas(drawing: &[&str]) -> Vec<(usize, f64)> {
        let size = (drawing[0].len(), drawing.len());
        let is_inside = |x: i32, y: i32| {
            let line = usize::try_from(y).ok().and_then(|y| drawing.get(y));
            line.zip(usize::try_from(x).ok()).is_some_and(|(line, x)| line.as_bytes().get(x) == Some(&b'#'))
        };
        let area = |corners: &Vec<Point>| {
            let pairs = corners.iter().zip(corners.iter().cycle().skip(1));
            (corners.len(), pairs.map(|(a, b)| a.x * b.y - b.x * a.y).sum::<f64>() / 2.0)
        };
        contours(size, is_inside).iter().map(area).collect()
    }

    #[test]
    fn holes_go_the_other_way_round() {
        assert_eq!(areas(&["....", ".##.", ".##.", "...."]), [(4, 4.0)]);
        assert_eq!(areas(&["#####", "#.#.#", "#####"]), [(4, 15.0), (4, -1.0), (4, -1.0)]);
        assert_eq!(areas(&["###", "#.#", "#.."]), [(8, 6.0)]);
    }

    #[test]
    fn pixels_that_only_touch_at_a_corner_are_not_connected() {
        assert_eq!(areas(&["#.", ".#"]), [(4, 1.0), (4, 1.0)]);
        // A hole that touches the outside at a corner belongs to one outline that passes that corner twice.
        assert_eq!(areas(&["###", "#.#", "##."]), [(10, 7.0)]);
    }

    #[test]
    fn winding_numbers_match_the_pixels() {
        let is_set =
            |x: i32, y: i32| (0..24).contains(&x) && (0..16).contains(&y) && (x * x + 7 * y * x + 3 * y) % 5 < 3;
        let all = contours((24, 16), is_set);
        let winding = |x: f64, y: f64| {
            let crossed =
                |(a, b): (&Point, &Point)| match a.x == b.x && a.x > x && (a.y.min(b.y)..a.y.max(b.y)).contains(&y) {
                    true => (b.y - a.y).signum() as i32,
                    false => 0,
                };
            all.iter().flat_map(|ring| ring.iter().zip(ring.iter().cycle().skip(1))).map(crossed).sum::<i32>()
        };
        for (x, y) in (0..24).flat_map(|x| (0..16).map(move |y| (x, y))) {
            assert_eq!(winding(f64::from(x) + 0.5, f64::from(y) + 0.5), i32::from(is_set(x, y)), "{x} {y}");
        }
    }
}
