//! Edges after Canny (IEEE PAMI 1986), as scikit-image finds them: σ 1, thresholds 0.1 and 0.2 for a luma of 0 to 1, and
//! interpolation between the neighbours that lie across an edge.

use image::GrayImage;
use multiversion::multiversion;

/// Weights of a Gaussian of σ 1 up to 4 σ, from the centre outwards.
const RADIUS: usize = 4;
/// Thresholds for √(h² + v²) of Sobel's sums, of a luma of 0 to 255.
const LOW: f32 = 0.1 * 255.0;
const HIGH: f32 = 0.2 * 255.0;
/// Lengths with no greater ratio than this are the same but for rounding.
const ALIKE: f32 = 1.0 + 1e-5;

/// Part of the pixels that are edges.
pub(super) fn edge_density(luma: &GrayImage) -> f32 {
    let (width, height) = (luma.width() as usize, luma.height() as usize);
    if width < 3 || height < 3 {
        return 0.0;
    }
    let edges = thinned(&smoothed(luma), width, height);
    count_connected(edges, width) as f32 / (width * height) as f32
}

/// Gaussian smoothing. At the border it is the mean of what is there.
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
        // Slices of one length, so that several are done at once.
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

/// One over the sum of the weights that fall on pixels, for each pixel of a line.
fn norms(length: usize, weights: &[f32; RADIUS + 1]) -> Vec<f32> {
    let sum = |at: usize| -> f32 {
        (at.saturating_sub(RADIUS)..(at + RADIUS + 1).min(length)).map(|other| weights[other.abs_diff(at)]).sum()
    };
    (0..length).map(|at| 1.0 / sum(at)).collect()
}

/// The differences of a row from left to right, and from top to bottom, and their length; 0 at both ends.
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

/// Takes Sobel's differences of three rows.
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

/// What a pixel is after thinning: this, 1 if it reaches the low threshold only, or strong.
const NOTHING: u8 = 0;
const STRONG: u8 = 2;

/// Which pixels are longer in gradient than what lies before and behind them across the edge, and reach a threshold.
fn thinned(smooth: &[f32], width: usize, height: usize) -> Vec<u8> {
    let rows: Vec<&[f32]> = smooth.chunks_exact(width).collect();
    let mut thin = vec![NOTHING; smooth.len()];
    // Along the border the length is 0, so that the others have neighbours on all sides.
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

/// Decides the inner pixels of a row: whether each one's gradient (h, v) is longer than those across the edge, taken
/// between the two neighbours on each side between which it points. Without branches, so that several are done at once.
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
        // Where both differences have one sign, the gradient points down to the right, or up to the left.
        let slanted_below = pick(is_one_sign, below_right[x], below_left[x]);
        let slanted_above = pick(is_one_sign, above_left[x], above_right[x]);
        let straight_behind = pick(is_down, below_here[x], right[x]);
        let straight_before = pick(is_down, above_here[x], left[x]);
        let slanted_behind = pick(is_down | is_one_sign, slanted_below, slanted_above);
        let slanted_before = pick(is_down | is_one_sign, slanted_above, slanted_below);
        // All times the longer difference, which saves dividing by it.
        let behind = slanted_behind * short + straight_behind * (long - short);
        let before = slanted_before * short + straight_before * (long - short);
        let length = here[x] * long;
        // Of two pixels between which an edge lies evenly one is enough, however their sums were rounded.
        let is_ridge = (behind <= length * ALIKE) & (before * ALIKE < length);
        let strength = u8::from(here[x] >= LOW) + u8::from(here[x] >= HIGH);
        thin[x] = u8::from(is_ridge) * strength;
    }
}

/// How many pixels are connected, over others that are something, with a strong one.
fn count_connected(mut thin: Vec<u8>, width: usize) -> usize {
    let mut open: Vec<usize> = Vec::new();
    let mut count = 0;
    for start in 0..thin.len() {
        if thin[start] != STRONG {
            continue;
        }
        thin[start] = NOTHING;
        open.push(start);
        while let Some(at) = open.pop() {
            count += 1;
            // Edges keep off the border, so that there are neighbours on all sides.
            for row in [at - width, at, at + width] {
                for (i, other) in thin[row - 1..=row + 1].iter_mut().enumerate() {
                    if *other != NOTHING {
                        *other = NOTHING;
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
        // A circle of radius 30 on a grid: 2πr / √2 pixels, were all steps diagonal, and 8r, were none.
        assert!((133.0..=240.0).contains(&edges), "{edges}");
    }

    #[test]
    fn faint_edges_count_only_where_they_go_on_from_strong_ones() {
        /// A step whose height changes evenly from the first row to the last.
        fn step(first: f32, last: f32) -> f32 {
            let height = |y: u32| first + (last - first) * y as f32 / 59.0;
            let pixel = |x, y| Luma([50 + if x < 30 { 0 } else { height(y) as u8 }]);
            edge_density(&GrayImage::from_fn(60, 60, pixel)) * 3600.0
        }
        // The first and the last row are no edges.
        assert_eq!(step(100.0, 100.0), 58.0);
        assert_eq!(step(17.0, 13.0), 0.0);
        // Where the height steps by one a second pixel of the row may be an edge.
        let both = step(100.0, 13.0);
        assert!((58.0..=60.0).contains(&both), "{both}");
    }

    #[test]
    fn smoothing_keeps_what_is_flat_up_to_the_border() {
        let flat = smoothed(&GrayImage::from_pixel(7, 20, Luma([200])));
        assert!(flat.iter().all(|x| (x - 200.0).abs() < 1e-3), "{flat:?}");
    }
}
