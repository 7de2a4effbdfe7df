//! Converts pixels to sRGB that describe their colours by code points (ITU-T H.273), as HEIF and AVIF files do.
//!
//! High dynamic range (PQ and HLG) is tone-mapped: diffuse white is 203 cd/m² (ITU-R BT.2408-7, table 1), and
//! highlights up to 1000 cd/m² are compressed below it with the curve of ITU-R BT.2390-11, 5.4.1. What is darker than
//! about 90 cd/m² keeps its brightness.

use image::RgbImage;

use super::color::srgb_from_linear;

/// Luminance that becomes white, in cd/m².
const WHITE: f32 = 203.0;

/// Luminance of the brightest highlights, in cd/m². Files that state another one are rare.
const PEAK: f32 = 1000.0;

/// Number of entries of the tables that are indexed by light.
const STEPS: usize = 4096;

/// Colour primaries and transfer characteristics that differ from those of sRGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CodePoints {
    primaries: Primaries,
    transfer: Transfer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Primaries {
    Srgb,
    DisplayP3,
    Bt2020,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transfer {
    Srgb,
    Gamma(u8),
    Linear,
    Pq,
    Hlg,
}

impl CodePoints {
    /// Interprets two code points. `None` if they mean sRGB, are unspecified, or mean a standard for video whose
    /// difference from sRGB is ignored, as programs that show pictures do.
    pub(super) fn new(primaries: u16, transfer: u16) -> Option<Self> {
        let primaries = match primaries {
            9 => Primaries::Bt2020,
            11 | 12 => Primaries::DisplayP3,
            _ => Primaries::Srgb,
        };
        let transfer = match transfer {
            4 => Transfer::Gamma(22),
            5 => Transfer::Gamma(28),
            8 => Transfer::Linear,
            16 => Transfer::Pq,
            18 => Transfer::Hlg,
            _ => Transfer::Srgb,
        };
        (primaries != Primaries::Srgb || transfer != Transfer::Srgb).then_some(Self { primaries, transfer })
    }

    /// Converts pixels to sRGB in place. Colours outside its gamut are clipped.
    pub(super) fn to_srgb(self, pixels: &mut RgbImage) {
        let light: Vec<f32> = (0..=255).map(|value: u8| self.transfer.decode(f32::from(value) / 255.0)).collect();
        let encoded: Vec<u8> = (0..STEPS).map(|at| srgb_from_linear(light_at(at))).collect();
        let is_hdr = matches!(self.transfer, Transfer::Pq | Transfer::Hlg);
        let gains: Vec<f32> =
            if is_hdr { (0..STEPS).map(|at| tone_gain(light_at(at) * PEAK)).collect() } else { vec![] };
        let matrix = self.primaries.to_srgb();
        for pixel in pixels.pixels_mut() {
            let mut color = pixel.0.map(|value| light[usize::from(value)]);
            if self.transfer == Transfer::Hlg {
                // The system gamma of HLG acts on luminance (ITU-R BT.2100-2, table 5).
                let luminance = 0.2627 * color[0] + 0.6780 * color[1] + 0.0593 * color[2];
                let gain = PEAK * luminance.max(0.0).powf(0.2);
                color = color.map(|light| light * gain);
            }
            if is_hdr {
                let brightest = color[0].max(color[1]).max(color[2]);
                let gain = gains[step(brightest / PEAK)];
                color = color.map(|nits| nits.min(PEAK) * gain);
            }
            let mixed = matrix.map(|row| row[0] * color[0] + row[1] * color[1] + row[2] * color[2]);
            pixel.0 = mixed.map(|light| encoded[step(light)]);
        }
    }
}

/// The entry for an amount of light from 0 to 1. Entries are close together where it is dark.
fn step(light: f32) -> usize {
    (light.clamp(0.0, 1.0).sqrt() * (STEPS - 1) as f32 + 0.5) as usize
}

/// The light of an entry; the inverse of [`step`].
fn light_at(step: usize) -> f32 {
    (step as f32 / (STEPS - 1) as f32).powi(2)
}

impl Transfer {
    /// Light for a coded value from 0 to 1: in cd/m² for PQ, relative to white otherwise.
    fn decode(self, value: f32) -> f32 {
        match self {
            Self::Srgb if value <= 0.040_45 => value / 12.92,
            Self::Srgb => ((value + 0.055) / 1.055).powf(2.4),
            Self::Gamma(tenths) => value.powf(f32::from(tenths) / 10.0),
            Self::Linear => value,
            Self::Pq => pq_decode(value),
            Self::Hlg if value <= 0.5 => value * value / 3.0,
            Self::Hlg => (((value - 0.559_910_7) / 0.178_832_77).exp() + 0.284_668_92) / 12.0,
        }
    }
}

impl Primaries {
    /// The matrix from linear light of these primaries to that of sRGB.
    fn to_srgb(self) -> [[f32; 3]; 3] {
        match self {
            Self::Srgb => [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            Self::DisplayP3 => [[1.2249, -0.2249, 0.0], [-0.0420, 1.0420, 0.0], [-0.0196, -0.0786, 1.0982]],
            // ITU-R BT.2087-0, annex 2.
            Self::Bt2020 => [[1.6605, -0.5877, -0.0728], [-0.1246, 1.1330, -0.0084], [-0.0182, -0.1006, 1.1188]],
        }
    }
}

/// Luminance in cd/m² for a PQ value from 0 to 1 (SMPTE ST 2084).
fn pq_decode(value: f32) -> f32 {
    let power = value.powf(1.0 / 78.843_75);
    10_000.0 * ((power - 0.835_937_5).max(0.0) / (18.851_563 - 18.6875 * power)).powf(1.0 / 0.159_301_76)
}

/// PQ value from 0 to 1 for a luminance in cd/m².
fn pq_encode(nits: f32) -> f32 {
    let power = (nits / 10_000.0).max(0.0).powf(0.159_301_76);
    ((0.835_937_5 + 18.851_563 * power) / (1.0 + 18.6875 * power)).powf(78.843_75)
}

/// The factor from luminance in cd/m² to light relative to white, for colours whose brightest channel is `nits`.
fn tone_gain(nits: f32) -> f32 {
    let (peak, white) = (pq_encode(PEAK), pq_encode(WHITE) / pq_encode(PEAK));
    let knee = 1.5 * white - 0.5;
    let value = pq_encode(nits) / peak;
    if value <= knee || nits <= 0.0 {
        return 1.0 / WHITE;
    }
    // A Hermite spline from the knee to white.
    let t = (value - knee) / (1.0 - knee);
    let (t2, t3) = (t * t, t * t * t);
    let mapped =
        (2.0 * t3 - 3.0 * t2 + 1.0) * knee + (t3 - 2.0 * t2 + t) * (1.0 - knee) + (-2.0 * t3 + 3.0 * t2) * white;
    pq_decode(mapped * peak) / WHITE / nits
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn converted(primaries: u16, transfer: u16, pixel: [u8; 3]) -> [u8; 3] {
        let mut pixels = RgbImage::from_pixel(1, 1, Rgb(pixel));
        if let Some(points) = CodePoints::new(primaries, transfer) {
            points.to_srgb(&mut pixels);
        }
        pixels.get_pixel(0, 0).0
    }

    /// The 8-bit PQ value of a grey of this luminance.
    fn pq(nits: f32) -> [u8; 3] {
        [(pq_encode(nits) * 255.0).round() as u8; 3]
    }

    #[test]
    fn standard_colours_stay_as_they_are() {
        for (primaries, transfer) in [(1, 13), (2, 2), (1, 1), (6, 6), (0, 0), (99, 300)] {
            assert_eq!(converted(primaries, transfer, [10, 120, 250]), [10, 120, 250], "{primaries} {transfer}");
        }
    }

    #[test]
    fn grey_stays_grey_and_a_wide_gamut_green_is_more_saturated_in_srgb() {
        for primaries in [9, 12] {
            let [red, green, blue] = converted(primaries, 13, [128; 3]);
            assert!([red, green, blue].iter().all(|x| x.abs_diff(128) <= 1), "{red} {green} {blue}");
            let [red, green, _] = converted(primaries, 13, [90, 200, 90]);
            assert!(red < 85 && green >= 199, "{primaries}: {red} {green}");
        }
    }

    #[test]
    fn pq_and_sdr_agree_on_mid_grey_and_highlights_stay_apart() {
        // 18 % of diffuse white is 118 in sRGB.
        let [grey, ..] = converted(9, 16, pq(0.18 * WHITE));
        assert!(grey.abs_diff(118) <= 2, "{grey}");
        let levels = [50.0, 100.0, 203.0, 400.0, 700.0, 1000.0].map(|nits| converted(9, 16, pq(nits))[0]);
        assert!(levels[..4].is_sorted_by(|a, b| a < b) && levels.is_sorted(), "{levels:?}");
        assert!(levels[2] > 210 && levels[5] >= 254, "{levels:?}");
        assert_eq!(converted(9, 16, [255; 3]), [255; 3]);
        assert_eq!(converted(9, 16, [0; 3]), [0; 3]);
    }

    #[test]
    fn hlg_is_dark_where_it_is_dark_and_white_at_its_peak() {
        // 38 % is 18 % grey, and 75 % is diffuse white (ITU-R BT.2408-7, table 1).
        let levels = [0, 97, 191, 255].map(|value| converted(9, 18, [value; 3])[0]);
        assert_eq!((levels[0], levels[3]), (0, 255));
        assert!((85..=125).contains(&levels[1]) && (210..=245).contains(&levels[2]), "{levels:?}");
    }
}
