//! Extends areas a little under those drawn over them.
//!
//! The edge between two areas is fitted once for each of them. If the areas only touched, the background would show
//! through between the two fits.

use visioncortex::{BinaryImage, PointI32};
use vtracer::Segmentation;
use vtracer::colorfit::ColorFitter;
use vtracer::ir::RegionMask;

use super::deadline::Stop;

/// Extends each area by `reach` pixels where other areas cover it.
pub(super) struct Spread {
    pub reach: usize,
    pub stop: Stop,
}

impl ColorFitter for Spread {
    fn fit(&self, drawing: &mut Segmentation) {
        let size = (drawing.width as usize, drawing.height as usize);
        let top = top(drawing, &self.stop);
        for (number, layer) in (1..).zip(&mut drawing.layers) {
            if self.stop.is_late() {
                return;
            }
            layer.mask = spread(&layer.mask, size, self.reach, |x, y| top[y * size.0 + x] > number);
        }
    }
}

/// The number of the topmost area at each pixel: 1 is the lowest area, 0 means no area.
pub(super) fn top(drawing: &Segmentation, stop: &Stop) -> Vec<u32> {
    let width = drawing.width as usize;
    let mut top = vec![0_u32; width * drawing.height as usize];
    for (number, layer) in (1..).zip(&drawing.layers) {
        if stop.is_late() {
            break;
        }
        for_each_pixel(&layer.mask, |x, y| top[y * width + x] = number);
    }
    top
}

fn for_each_pixel(mask: &RegionMask, mut each: impl FnMut(usize, usize)) {
    let (left, top) = (mask.offset.x as usize, mask.offset.y as usize);
    for y in 0..mask.height() {
        for x in 0..mask.width() {
            if mask.image.get_pixel(x, y) {
                each(left + x, top + y);
            }
        }
    }
}

/// Grows a mask by up to `reach` pixels, over covered pixels only.
fn spread(
    mask: &RegionMask,
    size: (usize, usize),
    reach: usize,
    is_covered: impl Fn(usize, usize) -> bool,
) -> RegionMask {
    let (left, top) = ((mask.offset.x as usize).saturating_sub(reach), (mask.offset.y as usize).saturating_sub(reach));
    let right = (mask.offset.x as usize + mask.width() + reach).min(size.0);
    let bottom = (mask.offset.y as usize + mask.height() + reach).min(size.1);
    let mut image = BinaryImage::new_w_h(right - left, bottom - top);
    for_each_pixel(mask, |x, y| image.set_pixel(x - left, y - top, true));
    let mut border = Vec::new();
    for_each_pixel(mask, |x, y| {
        let (x, y) = ((x - left) as i32, (y - top) as i32);
        let is_inner = [(-1, 0), (1, 0), (0, -1), (0, 1)].iter().all(|(dx, dy)| image.get_pixel_safe(x + dx, y + dy));
        border.extend((!is_inner).then_some((x as usize + left, y as usize + top)));
    });
    for _ in 0..reach {
        let mut next = Vec::new();
        for (x, y) in border {
            let beside = [(x.wrapping_sub(1), y), (x + 1, y), (x, y.wrapping_sub(1)), (x, y + 1)];
            for (x, y) in beside {
                let is_inside = (left..right).contains(&x) && (top..bottom).contains(&y);
                if is_inside && !image.get_pixel(x - left, y - top) && is_covered(x, y) {
                    image.set_pixel(x - left, y - top, true);
                    next.push((x, y));
                }
            }
        }
        border = next;
    }
    RegionMask::new(image, PointI32 { x: left as i32, y: top as i32 })
}

#[cfg(test)]
mod tests {
    use super::super::deadline::Deadline;
    use super::*;
    use vtracer::ir::{Layer, Paint};
    use vtracer::{CancelToken, Color};

    /// A layer with all pixels of some columns of a 10 × 10 drawing.
    fn columns(from: usize, to: usize) -> Layer {
        let mut image = BinaryImage::new_w_h(to - from, 10);
        (0..10).for_each(|y| (0..to - from).for_each(|x| image.set_pixel(x, y, true)));
        Layer {
            paint: Paint::Solid(Color::new(1, 2, 3)),
            mask: RegionMask::new(image, PointI32 { x: from as i32, y: 0 }),
        }
    }

    #[test]
    fn an_area_extends_under_areas_drawn_over_it_and_nowhere_else() {
        let mut drawing = Segmentation::new(10, 10);
        drawing.layers = vec![columns(3, 6), columns(6, 9)];
        let stop = Stop { deadline: Deadline::never(), cancel: CancelToken::new() };
        Spread { reach: 2, stop }.fit(&mut drawing);
        let covered = |layer: &Layer| {
            let mut all = Vec::new();
            for_each_pixel(&layer.mask, |x, y| all.extend((y == 4).then_some(x)));
            all
        };
        assert_eq!(drawing.layers.iter().map(covered).collect::<Vec<_>>(), [vec![3, 4, 5, 6, 7], vec![6, 7, 8]]);
    }
}
