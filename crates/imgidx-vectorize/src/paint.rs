//! Paints areas in exact palette colours.

use std::collections::HashMap;
use std::sync::Arc;

use vtracer::colorfit::ColorFitter;
use vtracer::ir::Paint;
use vtracer::{Color, Segmentation};

use super::canvas::Canvas;
use super::deadline::Stop;
use super::palette::Palette;
use super::spread::top;

/// Gives each area the most frequent colour of its pixels on the canvas.
///
/// The tracer would use the mean colour of the area, which may be close to the stand-in colour of a gradient.
pub(super) struct Repaint {
    pub canvas: Arc<Canvas>,
    pub palette: Arc<Palette>,
    /// Whether the first colour means transparent, and the drawing has an empty row above and below.
    pub is_transparent: bool,
    pub stop: Stop,
}

impl ColorFitter for Repaint {
    fn fit(&self, drawing: &mut Segmentation) {
        let width = self.canvas.width as usize;
        let top = top(drawing, &self.stop);
        let margin = if self.is_transparent { width } else { 0 };
        let mut counts: HashMap<(u32, u16), usize> = HashMap::new();
        let mut pixels = top[margin..].iter().copied().zip(self.canvas.colors.iter().copied()).peekable();
        while let Some(pixel) = pixels.next() {
            // Runs of equal pixels are counted at once, because looking up each pixel is slow.
            let mut run = 1;
            while pixels.next_if_eq(&pixel).is_some() {
                run += 1;
            }
            *counts.entry(pixel).or_default() += run;
        }
        let mut dominant = vec![(0, 0); drawing.layers.len()];
        for ((layer, color), count) in counts {
            // No area covers number 0.
            let Some(layer) = (layer as usize).checked_sub(1) else { continue };
            if !(self.is_transparent && color == 0) && (count, color) > dominant[layer] {
                dominant[layer] = (count, color);
            }
        }
        for (layer, (count, color)) in drawing.layers.iter_mut().zip(dominant) {
            // A completely covered area keeps its colour: nothing of it is visible.
            if count > 0 {
                let [red, green, blue] = self.palette.colors()[usize::from(color)];
                layer.paint = Paint::Solid(Color::new(red, green, blue));
            }
        }
    }
}
