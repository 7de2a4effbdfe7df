//! Connected shapes before the background, and rows of them that look like letters.

/// Pixels that a shape has at least: less is noise, or the dot of an i.
const LEAST_PIXELS: u32 = 6;
/// Shapes that are compared with each other at most, the largest ones; a line has fewer letters.
const MAX_GLYPHS: usize = 128;

/// A connected part of the foreground, by the box around it; `right` and `bottom` are outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub left: u32,
    pub top: u32,
    pub right: u32,
    pub bottom: u32,
    pub pixels: u32,
}

impl Shape {
    fn width(&self) -> u32 {
        self.right - self.left
    }

    fn height(&self) -> u32 {
        self.bottom - self.top
    }

    fn and(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
            pixels: self.pixels + other.pixels,
        }
    }

    /// Whether it has the proportions of a letter: an l is narrow, a W wide, and a line is neither.
    fn may_be_glyph(&self) -> bool {
        let (width, height) = (self.width(), self.height());
        height >= 4 && width <= 2 * height && 10 * width >= height && 10 * self.pixels >= width * height
    }
}

/// The shapes of a mask, two pixels being connected if they touch at a side or a corner, in no particular order.
///
/// Runs of pixels in each row are joined with those that they touch in the row above (Rosenfeld and Pfaltz, JACM 1966).
pub(super) fn shapes(mask: &[bool], width: usize) -> Vec<Shape> {
    let mut parents: Vec<usize> = Vec::new();
    let mut runs: Vec<Shape> = Vec::new();
    let mut above = 0..0;
    for (y, row) in mask.chunks_exact(width).enumerate() {
        let first = runs.len();
        let mut candidate = above.start;
        let mut x = 0;
        while let Some(from) = row[x..].iter().position(|set| *set) {
            let left = x + from;
            let right = row[left..].iter().position(|set| !*set).map_or(width, |length| left + length);
            x = right;
            let this = runs.len();
            parents.push(this);
            let (left, right) = (left as u32, right as u32);
            runs.push(Shape { left, top: y as u32, right, bottom: y as u32 + 1, pixels: right - left });
            while candidate < above.end && runs[candidate].right < left {
                candidate += 1;
            }
            let touches = |other: &usize| runs[*other].left <= right;
            (candidate..above.end).take_while(touches).for_each(|other| join(&mut parents, this, other));
        }
        above = first..runs.len();
    }
    let mut shapes: Vec<Option<Shape>> = vec![None; runs.len()];
    for (at, run) in runs.into_iter().enumerate() {
        let shape = &mut shapes[root(&mut parents, at)];
        *shape = Some(shape.map_or(run, |shape| shape.and(run)));
    }
    shapes.into_iter().flatten().filter(|shape| shape.pixels >= LEAST_PIXELS).collect()
}

fn root(parents: &mut [usize], mut at: usize) -> usize {
    while parents[at] != at {
        parents[at] = parents[parents[at]];
        at = parents[at];
    }
    at
}

fn join(parents: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parents, a), root(parents, b));
    parents[a.max(b)] = a.min(b);
}

/// The most shapes that stand on one line, are about as high as each other, and have the proportions of letters.
pub(super) fn longest_line(shapes: &[Shape]) -> u32 {
    let mut glyphs: Vec<Shape> = shapes.iter().filter(|shape| shape.may_be_glyph()).copied().collect();
    glyphs.sort_unstable_by_key(|shape| (std::cmp::Reverse(shape.pixels), shape.left, shape.top));
    glyphs.truncate(MAX_GLYPHS);
    let on_line_of = |line: &Shape| {
        let stands = |shape: &&Shape| {
            let middle = (shape.top + shape.bottom) / 2;
            let (height, of_line) = (shape.height(), line.height());
            (line.top..line.bottom).contains(&middle) && 5 * height >= 2 * of_line && 5 * height <= 8 * of_line
        };
        glyphs.iter().filter(stands).count() as u32
    };
    glyphs.iter().map(on_line_of).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Shapes by flooding, as their boxes and sizes, sorted.
    fn flooded(mask: &[bool], width: usize) -> Vec<(u32, u32, u32, u32, u32)> {
        let height = mask.len() / width;
        let mut left = mask.to_vec();
        let mut found = Vec::new();
        for start in 0..left.len() {
            if !left[start] {
                continue;
            }
            left[start] = false;
            let (mut open, mut pixels) = (vec![start], Vec::new());
            while let Some(at) = open.pop() {
                let (x, y) = (at % width, at / width);
                pixels.push((x as u32, y as u32));
                for row in y.saturating_sub(1)..(y + 2).min(height) {
                    for column in x.saturating_sub(1)..(x + 2).min(width) {
                        if std::mem::take(&mut left[row * width + column]) {
                            open.push(row * width + column);
                        }
                    }
                }
            }
            let edge = |of: fn(&(u32, u32)) -> u32| {
                (pixels.iter().map(of).min().expect("some"), pixels.iter().map(of).max().expect("some") + 1)
            };
            let ((x0, x1), (y0, y1)) = (edge(|p| p.0), edge(|p| p.1));
            if pixels.len() as u32 >= LEAST_PIXELS {
                found.push((x0, y0, x1, y1, pixels.len() as u32));
            }
        }
        found.sort_unstable();
        found
    }

    proptest! {
        #[test]
        fn shapes_are_what_flooding_finds((width, mask) in (1..20_usize).prop_flat_map(|width| {
            (Just(width), (1..20_usize).prop_flat_map(move |height| prop::collection::vec(prop::bool::weighted(0.4), width * height)))
        })) {
            let mut found: Vec<_> =
                shapes(&mask, width).iter().map(|s| (s.left, s.top, s.right, s.bottom, s.pixels)).collect();
            found.sort_unstable();
            prop_assert_eq!(found, flooded(&mask, width));
        }
    }

    #[test]
    fn letters_on_a_line_are_counted_and_a_rule_below_them_is_not() {
        let letter = |left: u32, top: u32| Shape { left, top, right: left + 8, bottom: top + 12, pixels: 50 };
        let rule = Shape { left: 0, top: 40, right: 100, bottom: 42, pixels: 200 };
        let line: Vec<Shape> = (0..5).map(|i| letter(12 * i, i % 2)).chain([letter(3, 60), rule]).collect();
        assert_eq!(longest_line(&line), 5);
        assert_eq!(longest_line(&[]), 0);
    }
}
