//! The colours of areas, exactly as they are in the palette.

use std::collections::HashMap;
use std::sync::Arc;

use vtracer::colorfit::ColorFitter;
use vtracer::ir::Paint;
use vtracer::{Color, Segmentation};

use super::canvas::Canvas;
use super::palette::Palette;
use super::spread::top;

/// Gives each area the colour that most of its pixels have on the canvas. The tracer gives it the mean of all that it was made of, which may be
/// like a colour that means something else: that which stands for a gradient.
pub(super) struct Repaint {
    pub canvas: Arc<Canvas>,
    pub palette: Arc<Palette>,
    /// Whether the first colour is nothing, and a row of it is above and below.
    pub is_transparent: bool,
}

impl ColorFitter for Repaint {
    fn fit(&self, drawing: &mut Segmentation) {
        let width = self.canvas.width as usize;
        let top = top(drawing);
        let margin = if self.is_transparent { width } else { 0 };
        let mut counts: HashMap<(u32, u16), usize> = HashMap::new();
        let pixels = top[margin..].iter().copied().zip(self.canvas.colors.iter().copied());
        let mut run = (pixels.clone().next().unwrap_or_default(), 0);
        for pixel in pixels {
            if pixel != run.0 {
                *counts.entry(run.0).or_default() += run.1;
                run = (pixel, 0);
            }
            run.1 += 1;
        }
        *counts.entry(run.0).or_default() += run.1;
        let mut most = vec![(0, 0); drawing.layers.len()];
        for ((layer, color), count) in counts {
            // What no area covers, and what is nothing.
            let Some(layer) = (layer as usize).checked_sub(1) else { continue };
            if !(self.is_transparent && color == 0) && (count, color) > most[layer] {
                most[layer] = (count, color);
            }
        }
        for (layer, (count, color)) in drawing.layers.iter_mut().zip(most) {
            // One that is covered by others is not seen.
            if count > 0 {
                let [red, green, blue] = self.palette.colors()[usize::from(color)];
                layer.paint = Paint::Solid(Color::new(red, green, blue));
            }
        }
    }
}
