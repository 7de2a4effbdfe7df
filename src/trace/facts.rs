//! Properties of a picture that predict how good its trace will be.

use serde::{Deserialize, Serialize};

use crate::types::{Features, ImageType};
use crate::vector::{Deadline, NotDrawn, Source, SourceFacts};

/// Properties of a picture, known before it is traced, that predict how good its trace will be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TraceFacts {
    /// Kind of picture, if it was classified.
    pub kind: Option<ImageType>,
    /// Size, colours, pixel kinds and edges.
    #[serde(flatten)]
    pub source: SourceFacts,
    /// Shannon entropy of the luma, in bits, 0 to 8; 0 if it was not measured.
    pub entropy: f32,
    /// Fraction of pixels inside gradients, 0 to 1.
    pub gradient_fraction: f32,
    /// Corners per 1,000 pixels; 0 if they were not counted.
    pub corner_density: f32,
    /// Number of distinct colours of flat areas.
    pub shades: u32,
}

/// Number of values that [`TraceFacts::numbers`] returns.
pub(crate) const NUMBERS: usize = 10;

impl TraceFacts {
    /// Collects the properties of a picture.
    ///
    /// # Errors
    /// [`NotDrawn::Late`] if the deadline passes.
    pub fn of(source: &Source, features: &Features, deadline: &Deadline) -> Result<Self, NotDrawn> {
        Ok(Self {
            kind: features.kind.map(|kind| kind.label),
            source: source.facts(deadline)?,
            entropy: features.tones.map_or(0.0, |tones| tones.entropy),
            gradient_fraction: features.quick.gradient_fraction,
            corner_density: features.detail.map_or(0.0, |detail| detail.corner_density),
            shades: features.quick.shades,
        })
    }

    /// The properties as numbers for the prior. Properties that vary by orders of magnitude become logarithms.
    pub fn numbers(&self) -> [f64; NUMBERS] {
        let SourceFacts { colors, flat, mixed, fine, off_palette, edges, .. } = self.source;
        let log = |value: f64| value.max(0.0).ln_1p();
        [
            log(f64::from(colors)),
            f64::from(flat),
            f64::from(mixed),
            f64::from(fine),
            log(f64::from(off_palette)),
            log(100.0 * f64::from(edges)),
            f64::from(self.entropy),
            f64::from(self.gradient_fraction),
            log(f64::from(self.corner_density)),
            log(f64::from(self.shades)),
        ]
    }
}
