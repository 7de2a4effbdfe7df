//! Connected shapes in the foreground, and lines of shapes that look like letters.

/// Minimum number of pixels of a shape. Smaller ones are noise, or the dot of an i.
const MIN_PIXELS: u32 = 6;
/// Maximum number of shapes that are compared with each other, the largest first. A line has fewer letters.
const MAX_GLYPHS: usize = 128;

/// A connected part of the foreground, with its bounding box. `right` and `bottom` are exclusive.
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

    fn union(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
            pixels: self.pixels + other.pixels,
        }
    }

    /// Whether the shape has the proportions of a letter. An l is narrow and a W is wide; a ruled line exceeds both.
    fn may_be_glyph(&self) -> bool {
        let (width, height) = (self.width(), self.height());
        height >= 4 && width <= 2 * height && 10 * width >= height && 10 * self.pixels >= width * height
    }
}

/// Finds the connected shapes of a mask, in no particular order. Pixels are connected if they share a side or a corner.
///
/// Runs of pixels in each row are merged with those that they touch in the row above (Rosenfeld and Pfaltz, JACM 1966).
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
        *shape = Some(shape.map_or(run, |shape| shape.union(run)));
    }
    shapes.into_iter().flatten().filter(|shape| shape.pixels >= MIN_PIXELS).collect()
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

/// Size of the largest set of shapes that are on one line, have about the same height and the proportions of letters.
pub(super) fn longest_line(shapes: &[Shape]) -> u32 {
    let mut glyphs: Vec<Shape> = shapes.iter().filter(|shape| shape.may_be_glyph()).copied().collect();
    glyphs.sort_unstable_by_key(|shape| (std::cmp::Reverse(shape.pixels), shape.left, shape.top));
    glyphs.truncate(MAX_GLYPHS);
    let count_on_line = |line: &Shape| {
        let is_on_line = |shape: &&Shape| {
            let middle = (shape.top + shape.bottom) / 2;
            let (height, line_height) = (shape.height(), line.height());
            (line.top..line.bottom).contains(&middle) && 5 * height >= 2 * line_height && 5 * height <= 8 * line_height
        };
        glyphs.iter().filter(is_on_line).count() as u32
    };
    glyphs.iter().map(count_on_line).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma};
    use imageproc::region_labelling::{Connectivity, connected_components};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Bounding boxes and sizes of the shapes that imageproc finds.
    fn labelled(mask: &[bool], width: usize) -> Vec<Shape> {
        // An empty border, since imageproc has too few labels for a picture of one pixel and panics.
        let mut image = GrayImage::new(width as u32 + 2, (mask.len() / width) as u32 + 2);
        for (at, _) in mask.iter().enumerate().filter(|(_, set)| **set) {
            image.put_pixel((at % width) as u32 + 1, (at / width) as u32 + 1, Luma([1]));
        }
        let mut shapes: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
        for (x, y, Luma([label])) in connected_components(&image, Connectivity::Eight, Luma([0])).enumerate_pixels() {
            if *label > 0 {
                shapes.entry(*label).or_default().push((x - 1, y - 1));
            }
        }
        let shape = |pixels: Vec<(u32, u32)>| {
            let edges = |of: fn(&(u32, u32)) -> u32| {
                (pixels.iter().map(of).min().expect("a pixel"), pixels.iter().map(of).max().expect("a pixel") + 1)
            };
            let ((left, right), (top, bottom)) = (edges(|p| p.0), edges(|p| p.1));
            Shape { left, top, right, bottom, pixels: pixels.len() as u32 }
        };
        shapes.into_values().map(shape).filter(|shape| shape.pixels >= MIN_PIXELS).collect()
    }

    proptest! {
        #[test]
        fn shapes_match_imageproc((width, mask) in (1..20_usize).prop_flat_map(|width| {
            (Just(width), (1..20_usize).prop_flat_map(move |height| prop::collection::vec(prop::bool::weighted(0.4), width * height)))
        })) {
            let sorted = |mut shapes: Vec<Shape>| {
                shapes.sort_unstable_by_key(|s| (s.left, s.top, s.right, s.bottom, s.pixels));
                shapes
            };
            prop_assert_eq!(sorted(shapes(&mask, width)), sorted(labelled(&mask, width)));
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
