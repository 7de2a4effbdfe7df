//! Properties of a drawing that predict how good its trace will be.

use serde::{Deserialize, Serialize};

use super::deadline::Deadline;
use super::outline::NotDrawn;
use super::palette::Palette;
use super::pixel_kinds::Kind;
use super::source::Source;

/// Properties of a picture, known before it is traced, that predict how good its trace will be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SourceFacts {
    /// Number of pixels, in millions.
    pub megapixels: f32,
    /// Number of palette colours, including gradients.
    pub colors: u32,
    /// Fraction of pixels that look the same as their neighbours, 0 to 1.
    pub flat: f32,
    /// Fraction of pixels that are mixtures of their neighbours, as anti-aliasing produces at edges, 0 to 1.
    pub mixed: f32,
    /// Fraction of all other pixels: lines, points and texture, 0 to 1.
    pub fine: f32,
    /// Mean colour distance of the pixels from the palette, 0 to 442; large for texture.
    pub off_palette: f32,
    /// Total length of all edges: neighbouring pixels with different palette colours, per pixel, 0 to 2.
    pub edges: f32,
    /// Whether the picture has transparent parts.
    pub transparent: bool,
}

impl Source {
    /// Properties that predict how good the trace will be.
    ///
    /// # Errors
    /// [`NotDrawn::Late`] if the deadline passes.
    pub fn facts(&self, deadline: &Deadline) -> Result<SourceFacts, NotDrawn> {
        let palette = Palette::of(self, 12.0, 256, deadline)?;
        let indices = palette.indices(self, deadline)?;
        let count = self.kinds.len() as f32;
        let part = |kind: Kind| self.kinds.iter().filter(|k| **k == kind).count() as f32 / count;
        let width = self.pixels.width() as usize;
        let differ = |a: usize, b: usize| usize::from(indices[a].color != indices[b].color);
        let right: usize = (0..indices.len()).filter(|i| i % width > 0).map(|i| differ(i, i - 1)).sum();
        let down: usize = (width..indices.len()).map(|i| differ(i, i - width)).sum();
        Ok(SourceFacts {
            megapixels: count / 1e6,
            colors: palette.colors().len() as u32,
            flat: part(Kind::Flat),
            mixed: part(Kind::Mixture),
            fine: part(Kind::Fine),
            off_palette: indices.iter().map(|nearest| nearest.distance).sum::<f32>() / count,
            edges: (right + down) as f32 / count,
            transparent: self.ground.is_some(),
        })
    }
}
