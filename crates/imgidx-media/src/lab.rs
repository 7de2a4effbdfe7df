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
/// White point D50 in CIE XYZ.
const WHITE_D50: [f32; 3] = [0.964_22, 1.0, 0.825_21];
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
        let [x, y, z] = self.relative_to_white();
        let [x, z] = [x * WHITE[0], z * WHITE[2]];
        [
            3.240_454_2 * x - 1.537_138_5 * y - 0.498_531_4 * z,
            -0.969_266 * x + 1.876_010_8 * y + 0.041_556 * z,
            0.055_643_4 * x - 0.204_025_9 * y + 1.057_225_2 * z,
        ]
        .map(srgb_from_linear)
    }

    /// Converts components that were measured under D50, as in files, to the nearest 8-bit sRGB colour. The white point
    /// is adapted with the matrix of Bradford.
    pub(super) fn d50_to_srgb(components: [f32; 3]) -> [u8; 3] {
        let [x, y, z] = Self(components).relative_to_white();
        let [x, z] = [x * WHITE_D50[0], z * WHITE_D50[2]];
        [
            3.133_856 * x - 1.616_866_7 * y - 0.490_614_6 * z,
            -0.978_768_4 * x + 1.916_141_5 * y + 0.033_454 * z,
            0.071_945_3 * x - 0.228_991_4 * y + 1.405_242_7 * z,
        ]
        .map(srgb_from_linear)
    }

    /// CIE XYZ, each as a share of that of white.
    fn relative_to_white(self) -> [f32; 3] {
        let Self([l, a, b]) = self;
        let y = (l + 16.0) / 116.0;
        [y + a / 500.0, y, y - b / 200.0].map(|f| {
            let cube = f * f * f;
            if cube > EPSILON { cube } else { (116.0 * f - 16.0) / KAPPA }
        })
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

    #[test]
    fn colours_under_d50_are_adapted_to_the_white_of_srgb() {
        // Made with LittleCMS from its built-in profiles, relative colorimetric.
        let expected = [
            ([100.0, 0.0, 0.0], [255, 255, 255]),
            ([53.0, 0.0, 0.0], [126, 126, 126]),
            ([60.0, 40.0, 20.0], [215, 114, 112]),
            ([40.0, 10.0, -30.0], [88, 90, 144]),
        ];
        for (components, rgb) in expected {
            let found = Lab::d50_to_srgb(components);
            assert!(found.iter().zip(rgb).all(|(a, b)| a.abs_diff(b) <= 1), "{components:?} {found:?}");
        }
    }

    proptest! {
        #[test]
        fn every_colour_round_trips(rgb in any::<[u8; 3]>()) {
            prop_assert_eq!(Lab::from_srgb(rgb.map(f32::from)).to_srgb(), rgb);
        }
    }
}
