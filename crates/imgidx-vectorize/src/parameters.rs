//! The parameters of a trace.

use serde::{Deserialize, Serialize};

/// How areas are combined into a drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compositing {
    /// Areas overlap, like stacked paper cut-outs.
    Stacked,
    /// Areas lie side by side and share their edges.
    Cutout,
}

/// The parameters of a trace. Lengths are in pixels of the enlarged picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Parameters {
    /// Factor by which the picture is enlarged before it is traced, 1 to 8; reduced to stay within
    /// [`MAX_PIXELS`](crate::MAX_PIXELS).
    pub scale: f32,
    /// Colours closer than this are merged, 1 to 100 (colour distances are at most 442).
    pub radius: f32,
    /// Maximum number of colours, 2 to 256. Gradients do not count.
    pub colors: u16,
    /// Maximum deviation of a simplified curve, 0 to 10.
    pub simplify: f32,
    /// Areas with fewer pixels than the square of this are left out, 0 to 16.
    pub speckle: u8,
    /// Colour difference at which a gradual change gets another layer, 0 to 128.
    pub layers: u8,
    /// Minimum angle of a corner, in degrees, 0 to 180.
    pub corner: u8,
    /// Decimal places of coordinates, 0 to 3.
    pub precision: u8,
    /// How areas are combined.
    pub compositing: Compositing,
    /// Whether to keep sharp corners and straight lines instead of smoothing everything. [`Compositing::Cutout`]
    /// always smooths.
    pub straight: bool,
}

impl Parameters {
    /// Maximum value of [`Self::scale`].
    pub const LARGEST_SCALE: f32 = 8.0;

    /// A good starting point for any drawing.
    pub const DEFAULT: Self = Self {
        scale: 5.0,
        radius: 6.0,
        colors: 256,
        simplify: 0.75,
        speckle: 4,
        layers: 0,
        corner: 45,
        precision: 0,
        compositing: Compositing::Stacked,
        straight: true,
    };

    /// Whether all parameters are in range. Other values would wrap around or hang in the tracer.
    pub fn are_valid(&self) -> bool {
        (1.0..=Self::LARGEST_SCALE).contains(&self.scale)
            && (1.0..=100.0).contains(&self.radius)
            && (2..=256).contains(&self.colors)
            && (0.0..=10.0).contains(&self.simplify)
            && self.speckle <= 16
            && self.layers <= 128
            && self.corner <= 180
            && self.precision <= 3
    }

    /// All parameter sets that differ by one step in one parameter, in a fixed order: the parameters that matter most
    /// come first.
    pub fn neighbors(&self) -> Vec<Self> {
        const SCALES: [f32; 7] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];
        const RADII: [f32; 7] = [4.0, 6.0, 9.0, 12.0, 16.0, 24.0, 36.0];
        const COLORS: [u16; 7] = [4, 8, 16, 32, 64, 128, 256];
        const SIMPLIFY: [f32; 8] = [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0];
        const SPECKLES: [u8; 6] = [1, 2, 4, 6, 8, 12];
        const LAYERS: [u8; 6] = [0, 4, 8, 16, 32, 64];
        const CORNERS: [u8; 6] = [30, 45, 60, 75, 90, 120];
        let other = match self.compositing {
            Compositing::Stacked => Compositing::Cutout,
            Compositing::Cutout => Compositing::Stacked,
        };
        let mut all = Vec::new();
        all.extend(steps(&SIMPLIFY, self.simplify).map(|simplify| Self { simplify, ..*self }));
        all.extend(steps(&SCALES, self.scale).map(|scale| Self { scale, ..*self }));
        all.push(Self { compositing: other, ..*self });
        all.push(Self { straight: !self.straight, ..*self });
        all.extend(steps(&RADII, self.radius).map(|radius| Self { radius, ..*self }));
        all.extend(steps(&LAYERS, self.layers).map(|layers| Self { layers, ..*self }));
        all.extend(steps(&SPECKLES, self.speckle).map(|speckle| Self { speckle, ..*self }));
        all.extend(steps(&COLORS, self.colors).map(|colors| Self { colors, ..*self }));
        all.extend(steps(&CORNERS, self.corner).map(|corner| Self { corner, ..*self }));
        all.push(Self { precision: 1 - self.precision.min(1), ..*self });
        all
    }
}

/// The next larger and the next smaller value on the ladder.
fn steps<T: Copy + PartialOrd>(ladder: &[T], value: T) -> impl Iterator<Item = T> {
    let larger = ladder.iter().copied().find(|step| *step > value);
    let smaller = ladder.iter().copied().rev().find(|step| *step < value);
    larger.into_iter().chain(smaller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_neighbor_is_valid_and_differs() {
        let mut near = vec![Parameters::DEFAULT];
        for _ in 0..2 {
            near = near.iter().flat_map(Parameters::neighbors).collect();
        }
        assert!(near.len() > 150);
        for parameters in near {
            assert!(parameters.are_valid(), "{parameters:?}");
            assert!(!parameters.neighbors().contains(&parameters));
        }
        assert!(!Parameters { scale: f32::NAN, ..Parameters::DEFAULT }.are_valid());
    }
}
