//! Canny edges (IEEE PAMI 1986) with the parameters of scikit-image: σ 1, thresholds 0.1 and 0.2 for a luma of 0 to 1,
//! and interpolation between the neighbours across an edge.

use image::GrayImage;
use multiversion::multiversion;

/// Radius of the Gaussian kernel: 4 σ, with σ 1.
const RADIUS: usize = 4;
/// Thresholds for the gradient's length √(h² + v²), where h and v are Sobel sums of a luma of 0 to 255.
const LOW_THRESHOLD: f32 = 0.1 * 255.0;
const HIGH_THRESHOLD: f32 = 0.2 * 255.0;
/// Lengths whose ratio is at most this are equal except for rounding errors.
const ROUNDING_TOLERANCE: f32 = 1.0 + 1e-5;

/// Fraction of the pixels that are edges.
pub(super) fn edge_density(luma: &GrayImage) -> f32 {
    let (width, height) = (luma.width() as usize, luma.height() as usize);
    if width < 3 || height < 3 {
        return 0.0;
    }
    let edges = thinned(&smoothed(luma), width, height);
    count_connected(edges, width) as f32 / (width * height) as f32
}

/// Gaussian smoothing. At the border, only pixels inside the picture count.
#[multiversion(targets("x86_64+avx2"))]
fn smoothed(luma: &GrayImage) -> Vec<f32> {
    let (width, height) = (luma.width() as usize, luma.height() as usize);
    let weights: [f32; RADIUS + 1] = std::array::from_fn(|i| (-0.5 * (i * i) as f32).exp());
    let (columns, rows) = (norms(width, &weights), norms(height, &weights));
    let source: Vec<f32> = luma.as_raw().iter().map(|x| f32::from(*x)).collect();
    let mut vertical = vec![0.0; source.len()];
    for (y, target) in vertical.chunks_exact_mut(width).enumerate() {
        for row in y.saturating_sub(RADIUS)..(y + RADIUS + 1).min(height) {
            let weight = weights[row.abs_diff(y)] * rows[y];
            target.iter_mut().zip(&source[row * width..]).for_each(|(sum, x)| *sum += weight * x);
        }
    }
    let mut padded = vec![0.0; width + 2 * RADIUS];
    let mut result = vec![0.0; source.len()];
    for (row, target) in vertical.chunks_exact(width).zip(result.chunks_exact_mut(width)) {
        padded[RADIUS..RADIUS + width].copy_from_slice(row);
        // Slices of equal length let the compiler vectorise the loop.
        let from = |at: usize| &padded[at..][..width];
        let (a, b, c, d, e) = (from(0), from(1), from(2), from(3), from(4));
        let (f, g, h, i) = (from(5), from(6), from(7), from(8));
        let (norms, target) = (&columns[..width], &mut target[..width]);
        let [first, second, third, fourth, fifth] = weights;
        for x in 0..width {
            let near = e[x] * first + (d[x] + f[x]) * second + (c[x] + g[x]) * third;
            target[x] = (near + (b[x] + h[x]) * fourth + (a[x] + i[x]) * fifth) * norms[x];
        }
    }
    result
}

/// For each pixel of a line, one divided by the sum of the weights that fall inside the line.
fn norms(length: usize, weights: &[f32; RADIUS + 1]) -> Vec<f32> {
    let sum = |at: usize| -> f32 {
        (at.saturating_sub(RADIUS)..(at + RADIUS + 1).min(length)).map(|other| weights[other.abs_diff(at)]).sum()
    };
    (0..length).map(|at| 1.0 / sum(at)).collect()
}

/// Gradients of a row: horizontal and vertical Sobel differences and their length, 0 at both ends.
struct GradientRow {
    h: Vec<f32>,
    v: Vec<f32>,
    length: Vec<f32>,
}

impl GradientRow {
    fn new(width: usize) -> Self {
        let empty = || vec![0.0; width];
        Self { h: empty(), v: empty(), length: empty() }
    }

    fn fill(&mut self, rows: [&[f32]; 3]) {
        fill(rows, &mut self.h[1..], &mut self.v[1..], &mut self.length[1..]);
    }
}

/// Computes the Sobel differences of the middle row of three.
#[multiversion(targets("x86_64+avx2"))]
fn fill([a, b, c]: [&[f32]; 3], h: &mut [f32], v: &mut [f32], length: &mut [f32]) {
    let count = a.len() - 2;
    let (h, v, length) = (&mut h[..count], &mut v[..count], &mut length[..count]);
    let (above_left, above, above_right) = (&a[..count], &a[1..][..count], &a[2..][..count]);
    let (left, right) = (&b[..count], &b[2..][..count]);
    let (below_left, below, below_right) = (&c[..count], &c[1..][..count], &c[2..][..count]);
    for x in 0..count {
        h[x] = (above_right[x] - above_left[x]) + 2.0 * (right[x] - left[x]) + (below_right[x] - below_left[x]);
        v[x] = (below_left[x] - above_left[x]) + 2.0 * (below[x] - above[x]) + (below_right[x] - above_right[x]);
        length[x] = (h[x] * h[x] + v[x] * v[x]).sqrt();
    }
}

/// Strength of a pixel after thinning: `NONE`, 1 if it reaches only the low threshold, or `STRONG`.
const NONE: u8 = 0;
const STRONG: u8 = 2;

/// Non-maximum suppression: keeps pixels that reach a threshold and whose gradient is longer than those on both sides
/// of the edge.
fn thinned(smooth: &[f32], width: usize, height: usize) -> Vec<u8> {
    let rows: Vec<&[f32]> = smooth.chunks_exact(width).collect();
    let mut thin = vec![NONE; smooth.len()];
    // The length is 0 along the border, so that all other pixels have eight neighbours.
    let [mut above, mut here, mut below] = std::array::from_fn(|_| GradientRow::new(width));
    here.fill([rows[0], rows[1], rows[2]]);
    for y in 1..height - 1 {
        match rows.get(y..y + 3) {
            Some(rows) => below.fill([rows[0], rows[1], rows[2]]),
            None => below.length.fill(0.0),
        }
        let lengths = [&above.length[..], &here.length, &below.length];
        thin_row(lengths, &here.h, &here.v, &mut thin[y * width + 1..(y + 1) * width - 1]);
        std::mem::swap(&mut above, &mut here);
        std::mem::swap(&mut here, &mut below);
    }
    thin
}

/// Thins the inner pixels of a row: keeps a pixel if its gradient (h, v) is longer than those across the edge. These
/// are interpolated between the two neighbours on each side between which the gradient points. The code has no
/// branches, so that the compiler can vectorise it.
#[multiversion(targets("x86_64+avx2"))]
fn thin_row<'a>(lengths: [&'a [f32]; 3], h: &'a [f32], v: &'a [f32], thin: &mut [u8]) {
    let count = thin.len();
    let from = |row: &'a [f32], at: usize| &row[at..][..count];
    let [above, row, below] = lengths;
    let (above_left, above_here, above_right) = (from(above, 0), from(above, 1), from(above, 2));
    let (left, here, right) = (from(row, 0), from(row, 1), from(row, 2));
    let (below_left, below_here, below_right) = (from(below, 0), from(below, 1), from(below, 2));
    let (h, v) = (from(h, 1), from(v, 1));
    let pick = |condition: bool, one: f32, other: f32| if condition { one } else { other };
    for x in 0..count {
        let (across, down) = (h[x].abs(), v[x].abs());
        let (is_down, is_one_sign) = (down > across, h[x] * v[x] >= 0.0);
        let (long, short) = (pick(is_down, down, across), pick(is_down, across, down));
        // If both differences have the same sign, the gradient points down to the right or up to the left.
        let slanted_below = pick(is_one_sign, below_right[x], below_left[x]);
        let slanted_above = pick(is_one_sign, above_left[x], above_right[x]);
        let straight_behind = pick(is_down, below_here[x], right[x]);
        let straight_before = pick(is_down, above_here[x], left[x]);
        let slanted_behind = pick(is_down | is_one_sign, slanted_below, slanted_above);
        let slanted_before = pick(is_down | is_one_sign, slanted_above, slanted_below);
        // All lengths are multiplied by the longer difference, which saves a division.
        let behind = slanted_behind * short + straight_behind * (long - short);
        let before = slanted_before * short + straight_before * (long - short);
        let length = here[x] * long;
        // If an edge lies exactly between two pixels, only one of them is kept, whatever the rounding errors.
        let is_ridge = (behind <= length * ROUNDING_TOLERANCE) & (before * ROUNDING_TOLERANCE < length);
        let strength = u8::from(here[x] >= LOW_THRESHOLD) + u8::from(here[x] >= HIGH_THRESHOLD);
        thin[x] = u8::from(is_ridge) * strength;
    }
}

/// Hysteresis: the number of edge pixels that are strong or connected to a strong one.
fn count_connected(mut thin: Vec<u8>, width: usize) -> usize {
    let mut open: Vec<usize> = Vec::new();
    let mut count = 0;
    for start in 0..thin.len() {
        if thin[start] != STRONG {
            continue;
        }
        thin[start] = NONE;
        open.push(start);
        while let Some(at) = open.pop() {
            count += 1;
            // No edge lies on the border, so every pixel has eight neighbours.
            for row in [at - width, at, at + width] {
                for (i, other) in thin[row - 1..=row + 1].iter_mut().enumerate() {
                    if *other != NONE {
                        *other = NONE;
                        open.push(row - 1 + i);
                    }
                }
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    #[test]
    fn a_disc_has_one_closed_edge() {
        let disc = GrayImage::from_fn(100, 100, |x, y| {
            let inside = (x as f32 - 50.0).hypot(y as f32 - 50.0) < 30.0;
            Luma([if inside { 220 } else { 20 }])
        });
        let edges = edge_density(&disc) * 10_000.0;
        // A circle of radius 30 on a grid has 2πr / √2 pixels if all steps are diagonal, and 8r if none is.
        assert!((133.0..=240.0).contains(&edges), "{edges}");
    }

    #[test]
    fn weak_edges_count_only_where_they_continue_strong_ones() {
        /// A step whose height changes evenly from the first row to the last.
        fn step(first: f32, last: f32) -> f32 {
            let height = |y: u32| first + (last - first) * y as f32 / 59.0;
            let pixel = |x, y| Luma([50 + if x < 30 { 0 } else { height(y) as u8 }]);
            edge_density(&GrayImage::from_fn(60, 60, pixel)) * 3600.0
        }
        // The first and the last row have no edge pixels.
        assert_eq!(step(100.0, 100.0), 58.0);
        assert_eq!(step(17.0, 13.0), 0.0);
        // Where the height changes by one, a second pixel of the row may be an edge.
        let both = step(100.0, 13.0);
        assert!((58.0..=60.0).contains(&both), "{both}");
    }

    #[test]
    fn smoothing_keeps_flat_areas_up_to_the_border() {
        let flat = smoothed(&GrayImage::from_pixel(7, 20, Luma([200])));
        assert!(flat.iter().all(|x| (x - 200.0).abs() < 1e-3), "{flat:?}");
    }
}
