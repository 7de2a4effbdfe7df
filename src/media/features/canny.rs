//! Edges after Canny (IEEE PAMI 1986), as scikit-image finds them: σ 1, thresholds 0.1 and 0.2 for a luma of 0 to 1, and
//! interpolation between the neighbours that lie across an edge.

use image::GrayImage;

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
    let smooth = smoothed(luma);
    let gradients = Gradients::new(&smooth, width, height);
    count_connected(&gradients.thinned(), width) as f32 / (width * height) as f32
}

/// Gaussian smoothing. At the border it is the mean of what is there.
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
        for shift in 0..=2 * RADIUS {
            let weight = weights[shift.abs_diff(RADIUS)];
            target.iter_mut().zip(&padded[shift..]).for_each(|(sum, x)| *sum += weight * x);
        }
        target.iter_mut().zip(&columns).for_each(|(sum, norm)| *sum *= norm);
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

struct Gradients {
    width: usize,
    /// Differences from left to right, and from top to bottom, and their length; 0 along the border.
    h: Vec<f32>,
    v: Vec<f32>,
    length: Vec<f32>,
}

impl Gradients {
    fn new(smooth: &[f32], width: usize, height: usize) -> Self {
        let empty = || vec![0.0; smooth.len()];
        let mut gradients = Self { width, h: empty(), v: empty(), length: empty() };
        for y in 1..height - 1 {
            let row = |y: usize| &smooth[y * width..(y + 1) * width];
            let (a, b, c) = (row(y - 1), row(y), row(y + 1));
            let inner = y * width + 1..(y + 1) * width - 1;
            let (h, v) = (&mut gradients.h[inner.clone()], &mut gradients.v[inner.clone()]);
            let length = &mut gradients.length[inner];
            for x in 0..width - 2 {
                h[x] = (a[x + 2] - a[x]) + 2.0 * (b[x + 2] - b[x]) + (c[x + 2] - c[x]);
                v[x] = (c[x] - a[x]) + 2.0 * (c[x + 1] - a[x + 1]) + (c[x + 2] - a[x + 2]);
                length[x] = (h[x] * h[x] + v[x] * v[x]).sqrt();
            }
        }
        gradients
    }

    /// The lengths of those pixels that are no shorter than what lies before and behind them across the edge; 0 for
    /// all others.
    fn thinned(&self) -> Vec<f32> {
        // Along the border the length is 0, so that the others have neighbours on all sides.
        let thin = |(at, length): (usize, &f32)| if *length >= LOW && self.is_ridge(at) { *length } else { 0.0 };
        self.length.iter().enumerate().map(thin).collect()
    }

    fn is_ridge(&self, at: usize) -> bool {
        let (h, v, here) = (self.h[at], self.v[at], self.length[at]);
        // The two neighbours on one side between which the gradient points; the others lie opposite.
        let (straight, weight) = if v.abs() > h.abs() { (self.width, h / v) } else { (1, v / h) };
        let aside = if v.abs() > h.abs() { 1 } else { self.width };
        let weight = if weight.is_nan() { 0.0 } else { weight };
        let between = |side: usize, slanted: usize| {
            self.length[slanted] * weight.abs() + self.length[side] * (1.0 - weight.abs())
        };
        // Where both differences have one sign, the gradient points down to the right, or up to the left.
        let (behind, before) = if weight >= 0.0 {
            (at + straight + aside, at - straight - aside)
        } else {
            (at + straight - aside, at - straight + aside)
        };
        // Of two pixels between which an edge lies evenly one is enough, however their sums were rounded.
        between(at + straight, behind) <= here * ALIKE && between(at - straight, before) * ALIKE < here
    }
}

/// How many pixels are connected, over others that are not 0, with one that reaches the high threshold.
fn count_connected(thin: &[f32], width: usize) -> usize {
    let mut taken = vec![false; thin.len()];
    let mut open: Vec<usize> = Vec::new();
    let mut count = 0;
    for start in 0..thin.len() {
        if thin[start] < HIGH || taken[start] {
            continue;
        }
        taken[start] = true;
        open.push(start);
        while let Some(at) = open.pop() {
            count += 1;
            // Edges keep off the border, so that there are neighbours on all sides.
            for row in [at - width, at, at + width] {
                for other in row - 1..=row + 1 {
                    if thin[other] > 0.0 && !taken[other] {
                        taken[other] = true;
                        open.push(other);
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
