//! How much of a picture has each colour name.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use image::RgbImage;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{ColorName, Lab};

/// Bits per channel of the colours that are named.
const BITS: u32 = 5;

/// The share of a picture that has each colour name. Regions of names overlap, so the shares do not add up to 1.
///
/// As JSON it is an object with the names that occur.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColorShares([u8; ColorName::COUNT]);

impl ColorShares {
    /// Shares are stored in steps of half a per cent.
    pub const STEPS: u8 = 200;

    /// Share of the pixels that have a colour of this name, 0 to 1, rounded down to half a per cent.
    pub fn share(&self, name: ColorName) -> f32 {
        f32::from(self.0[name.index()]) / f32::from(Self::STEPS)
    }

    /// The names that occur with their shares, in the order of [`ColorName::all`].
    pub fn names(&self) -> impl Iterator<Item = (ColorName, f32)> + '_ {
        ColorName::all().map(|name| (name, self.share(name))).filter(|(_, share)| *share > 0.0)
    }

    /// One byte for each name, in the order of [`ColorName::all`]: the share in half per cents.
    pub fn to_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads what [`to_bytes`](Self::to_bytes) returned. Names that are not there have no share.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(std::array::from_fn(|at| bytes.get(at).copied().unwrap_or(0).min(Self::STEPS)))
    }

    /// Measures the shares of a picture.
    pub(super) fn of(image: &RgbImage) -> Self {
        let mut counts = vec![0_u32; NAMES_OF.len()];
        for pixel in image.as_raw().as_chunks::<3>().0 {
            counts[cell(*pixel)] += 1;
        }
        let mut sums = [0_u32; ColorName::COUNT];
        for (count, names) in counts.iter().zip(&*NAMES_OF).filter(|(count, _)| **count > 0) {
            let mut rest = *names;
            while rest > 0 {
                sums[rest.trailing_zeros() as usize] += count;
                rest &= rest - 1;
            }
        }
        let pixels: u32 = counts.iter().sum();
        Self(sums.map(|sum| (sum * u32::from(Self::STEPS) / pixels.max(1)) as u8))
    }
}

fn cell([r, g, b]: [u8; 3]) -> usize {
    let part = |x: u8| usize::from(x >> (8 - BITS));
    part(r) << (2 * BITS) | part(g) << BITS | part(b)
}

/// The names of each colour at 5 bits per channel, as a set of bits. It is made once in each process, in a few
/// milliseconds: a picture has too many colours to convert them all.
static NAMES_OF: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let names = |cell: u32| {
        let middle = |shift: u32| (cell >> shift & ((1 << BITS) - 1)) as f32;
        // The first level is black and the last one white; the others lie evenly between them.
        let rgb = [2 * BITS, BITS, 0].map(|shift| middle(shift) * 255.0 / ((1 << BITS) - 1) as f32);
        let lab = Lab::from_srgb(rgb);
        ColorName::all().filter(|name| name.contains(lab)).fold(0, |set, name| set | 1 << name.index())
    };
    (0..1 << (3 * BITS)).map(names).collect()
});

impl Serialize for ColorShares {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_map(self.names().map(|(name, share)| (name.as_str(), share)))
        } else {
            self.0.as_slice().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for ColorShares {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return Ok(Self::from_bytes(&Vec::<u8>::deserialize(deserializer)?));
        }
        let shares = BTreeMap::<ColorName, f32>::deserialize(deserializer)?;
        let mut bytes = [0; ColorName::COUNT];
        for (name, share) in shares {
            bytes[name.index()] = (share * f32::from(Self::STEPS)).round() as u8;
        }
        Ok(Self::from_bytes(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn share(shares: &ColorShares, name: &str) -> f32 {
        shares.share(ColorName::from_name(name).expect("a name"))
    }

    #[test]
    fn a_twentieth_is_measured_exactly() {
        // 5 of 100 columns are navy, 15 are crimson, the others white.
        let image = RgbImage::from_fn(100, 20, |x, _| {
            Rgb(match x {
                0..5 => [0, 0, 128],
                5..20 => [220, 20, 60],
                _ => [255; 3],
            })
        });
        let shares = ColorShares::of(&image);
        let expected = [("navy", 0.05), ("blue", 0.05), ("red", 0.15), ("white", 0.8), ("green", 0.0), ("grey", 0.0)];
        for (name, expected) in expected {
            assert!((share(&shares, name) - expected).abs() < 1e-6, "{name}: {}", share(&shares, name));
        }
    }

    #[test]
    fn shares_round_trip_as_bytes_and_as_json() {
        let image = RgbImage::from_fn(64, 64, |x, y| Rgb([4 * x as u8, 4 * y as u8, 120]));
        let shares = ColorShares::of(&image);
        assert!(shares.names().count() > 8, "{shares:?}");
        assert_eq!(ColorShares::from_bytes(shares.to_bytes()), shares);
        let json = serde_json::to_string(&shares).expect("JSON");
        assert_eq!(serde_json::from_str::<ColorShares>(&json).expect("shares"), shares, "{json}");
    }

    #[test]
    fn shares_match_a_naive_count() {
        let image = RgbImage::from_fn(80, 80, |x, y| Rgb([(3 * x) as u8, (3 * y) as u8, (x * y / 26) as u8]));
        let shares = ColorShares::of(&image);
        for name in ColorName::all() {
            let count = image.pixels().filter(|pixel| name.contains(Lab::from_srgb(pixel.0.map(f32::from)))).count();
            // Colours near a bound are named by the middle of their cell.
            assert!((shares.share(name) - count as f32 / 6400.0).abs() < 0.03, "{} {count}", name.as_str());
        }
    }
}
