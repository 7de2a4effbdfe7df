//! When two pictures are copies of each other.

use serde::Serialize;

/// How alike the pictures of a group are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DupeTier {
    /// The same bytes.
    Exact,
    /// The same picture: scaled, compressed again, in other colours or a little brighter.
    Near,
    /// About the same picture: cropped, framed or written on, too; or two shots of one scene.
    Similar,
}

impl DupeTier {
    /// All tiers, the strictest first.
    pub const ALL: [Self; 3] = [Self::Exact, Self::Near, Self::Similar];

    /// The name by which it is asked for and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Near => "near",
            Self::Similar => "similar",
        }
    }

    /// The tier of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == name)
    }
}

/// How alike two contents are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Likeness {
    /// Cosine of their vectors.
    pub cosine: f32,
    /// Differing bits of their difference hashes and of their perceptual hashes, 0 to 64.
    pub dhash: u32,
    pub phash: u32,
}

impl Likeness {
    /// Bits in which both hashes differ, of 128.
    fn bits(self) -> u32 {
        self.dhash + self.phash
    }
}

// What follows was measured on 150 photographs with nine transformations each, among 650 others and 185 logos:
// `cargo bench --bench duplicates`. Of grey versions one in a hundred has a cosine of 0.55 and hardly any bit of difference; cropped
// and framed ones have 0.83 and up to 45 bits; different clothes on the same floor have 0.9 and 35 bits, or 0.7 and 13.

/// Bits in which the hashes of near copies may differ.
const NEAR_BITS: u32 = 10;
/// The least cosine of near copies.
const NEAR: f32 = 0.5;
/// What the cosine of near copies must be above that for each further bit.
const NEAR_SLOPE: f32 = 0.075;
/// Bits beyond which no cosine makes near copies.
const MOST_NEAR_BITS: u32 = 16;

/// The likeness from which on pictures are similar, unless another one is asked for.
pub const SIMILAR: f32 = 0.85;
/// Bits in which the hashes of similar pictures may differ for nothing, and what each further one takes off the cosine.
const SIMILAR_BITS: u32 = 32;
const SIMILAR_SLOPE: f32 = 0.0015;

/// The strictest tier that two different contents are in, where `similar` is the least likeness of similar ones: their cosine, less
/// 0.0015 for each bit over 32 in which their hashes differ.
pub(super) fn tier(likeness: Likeness, similar: f32) -> Option<DupeTier> {
    let Likeness { cosine, .. } = likeness;
    let further = likeness.bits().saturating_sub(NEAR_BITS) as f32;
    if likeness.bits() <= MOST_NEAR_BITS && cosine >= NEAR + NEAR_SLOPE * further {
        Some(DupeTier::Near)
    } else if cosine - SIMILAR_SLOPE * likeness.bits().saturating_sub(SIMILAR_BITS) as f32 >= similar {
        Some(DupeTier::Similar)
    } else {
        None
    }
}

/// Bits in which the hashes of pictures may differ that are compared whatever their vectors say.
pub(super) const CANDIDATE_BITS: u32 = MOST_NEAR_BITS;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cosine: f32, bits: u32) -> Option<DupeTier> {
        tier(Likeness { cosine, dhash: bits / 2, phash: bits - bits / 2 }, SIMILAR)
    }

    #[test]
    fn neither_hashes_nor_vectors_alone_make_a_near_copy() {
        assert_eq!(of(0.55, 4), Some(DupeTier::Near));
        assert_eq!(of(0.3, 0), None);
        assert_eq!(of(0.95, 40), Some(DupeTier::Similar));
        // Two pullovers on one bed, and two pairs of trousers on one floor.
        assert_eq!((of(0.703, 13), of(0.774, 16)), (None, None));
    }

    #[test]
    fn a_mirrored_picture_is_similar_though_its_hashes_are_not() {
        assert_eq!(of(0.95, 66), Some(DupeTier::Similar));
        assert_eq!(of(0.86, 66), None);
    }
}
