//! CIE L\*a\*b\*: a colour space in which distances match perceived differences.

use serde::{Deserialize, Serialize};

use super::color::srgb_from_linear;

/// A colour in CIE L\*a\*b\* under D65: L\* 0 to 100, a\* and b\* about -128 to 127.
///
/// Distances between colours are about proportional to how different they look (CIE 15).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Lab(pub [f32; 3]);

/// White point D65 in CIE XYZ.
const WHITE: [f32; 3] = [0.950_47, 1.0, 1.088_83];
/// Below this value, a line replaces the cube root in the lightness (CIE 15).
const EPSILON: f32 = 216.0 / 24389.0;
const KAPPA: f32 = 24389.0 / 27.0;

impl Lab {
    /// Converts from sRGB components, 0 to 255 (IEC 61966-2-1).
    pub fn from_srgb(rgb: [f32; 3]) -> Self {
        let [r, g, b] = rgb.map(|x| {
            let x = x / 255.0;
            if x <= 0.04045 { x / 12.92 } else { ((x + 0.055) / 1.055).powf(2.4) }
        });
        let xyz = [
            0.412_456_4 * r + 0.357_576_1 * g + 0.180_437_5 * b,
            0.212_672_9 * r + 0.715_152_2 * g + 0.072_175 * b,
            0.019_333_9 * r + 0.119_192 * g + 0.950_304_1 * b,
        ];
        let f = |i: usize| {
            let t = xyz[i] / WHITE[i];
            if t > EPSILON { t.cbrt() } else { (KAPPA * t + 16.0) / 116.0 }
        };
        Self([116.0 * f(1) - 16.0, 500.0 * (f(0) - f(1)), 200.0 * (f(1) - f(2))])
    }

    /// Converts to the nearest 8-bit sRGB colour.
    pub fn to_srgb(self) -> [u8; 3] {
        let Self([l, a, b]) = self;
        let y = (l + 16.0) / 116.0;
        let linear = |f: f32| {
            let cube = f * f * f;
            if cube > EPSILON { cube } else { (116.0 * f - 16.0) / KAPPA }
        };
        let [x, y, z] = [linear(y + a / 500.0) * WHITE[0], linear(y), linear(y - b / 200.0) * WHITE[2]];
        [
            3.240_454_2 * x - 1.537_138_5 * y - 0.498_531_4 * z,
            -0.969_266 * x + 1.876_010_8 * y + 0.041_556 * z,
            0.055_643_4 * x - 0.204_025_9 * y + 1.057_225_2 * z,
        ]
        .map(srgb_from_linear)
    }

    /// Perceived difference of two colours: their Euclidean distance (ΔE of 1976). Colours that people call by
    /// different names are about 15 apart.
    pub fn difference(self, other: Self) -> f32 {
        (0..3).map(|i| (self.0[i] - other.0[i]).powi(2)).sum::<f32>().sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lab_values_match_the_standard() {
        // From the tables of ISO 12640, and from any colour calculator.
        let expected = [
            ([255.0, 0.0, 0.0], [53.24, 80.09, 67.20]),
            ([0.0, 0.0, 255.0], [32.30, 79.19, -107.86]),
            ([255.0; 3], [100.0, 0.0, 0.0]),
        ];
        for (rgb, expected) in expected {
            let lab = Lab::from_srgb(rgb);
            assert!(lab.difference(Lab(expected)) < 0.05, "{rgb:?} {lab:?}");
        }
    }

    proptest! {
        #[test]
        fn every_colour_round_trips(rgb in any::<[u8; 3]>()) {
            prop_assert_eq!(Lab::from_srgb(rgb.map(f32::from)).to_srgb(), rgb);
        }
    }
}
