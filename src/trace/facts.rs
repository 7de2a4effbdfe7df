//! What a picture's trace will depend on, in numbers that can be compared.

use serde::{Deserialize, Serialize};

use crate::types::{Features, ImageType};
use crate::vector::{Source, SourceFacts};

/// What is known of a picture before it is traced.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TraceFacts {
    /// Its kind.
    pub kind: Option<ImageType>,
    /// Its colours, edges and pixels.
    #[serde(flatten)]
    pub source: SourceFacts,
    /// Shannon entropy of the luma, in bits, 0 to 8; 0 if it was not measured.
    pub entropy: f32,
    /// Part of the pixels that are inside of gradients, 0 to 1.
    pub gradient_fraction: f32,
    /// Corners among 1,000 pixels; 0 if they were not counted.
    pub corner_density: f32,
    /// Colours of flat areas, each counted by itself.
    pub shades: u32,
}

/// How many numbers there are.
pub(crate) const NUMBERS: usize = 10;

impl TraceFacts {
    /// Those of a picture.
    pub fn of(source: &Source, features: &Features) -> Self {
        Self {
            kind: features.kind.map(|kind| kind.label),
            source: source.facts(),
            entropy: features.tones.map_or(0.0, |tones| tones.entropy),
            gradient_fraction: features.quick.gradient_fraction,
            corner_density: features.detail.map_or(0.0, |detail| detail.corner_density),
            shades: features.quick.shades,
        }
    }

    /// As numbers of about equal weight: what grows by factors as its logarithm.
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
