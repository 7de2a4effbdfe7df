//! The rule that decides whether two pictures are duplicates.

use serde::Serialize;

/// How similar the pictures of a group are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DupeTier {
    /// The same bytes.
    Exact,
    /// The same picture, scaled, recompressed, recoloured or slightly brightened.
    Near,
    /// Almost the same picture: cropped, framed or with text on it, or two shots of one scene.
    Similar,
}

impl DupeTier {
    /// All tiers, the strictest first.
    pub const ALL: [Self; 3] = [Self::Exact, Self::Near, Self::Similar];

    /// The name: `exact`, `near` or `similar`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Near => "near",
            Self::Similar => "similar",
        }
    }
}

// These values were measured with `cargo bench --bench duplicates`, on 150 photographs with nine transformations each
// among 650 others and 185 logos. One in a hundred grey versions has a cosine of 0.55, with hardly any differing bit.
// Cropped and framed versions have 0.83 and up to 45 bits. Different clothes on the same floor have 0.9 and 35 bits, or
// 0.7 and 13 bits.

/// Number of bits in which the hashes of near copies may differ without a higher minimum cosine.
const FREE_NEAR_BITS: u32 = 10;
/// Minimum cosine of near copies.
const MIN_NEAR_COSINE: f32 = 0.5;
/// Increase of that minimum for each further bit.
const NEAR_SLOPE: f32 = 0.075;
/// Maximum number of bits in which the hashes of near copies may differ.
const MAX_NEAR_BITS: u32 = 16;

/// Default minimum similarity of similar pictures.
pub const SIMILAR_THRESHOLD: f32 = 0.85;
/// Number of bits in which the hashes of similar pictures may differ without a deduction.
const FREE_SIMILAR_BITS: u32 = 32;
/// Deduction from the cosine for each further bit.
const SIMILAR_SLOPE: f32 = 0.0015;

/// The strictest tier of two different contents, by the cosine of their vectors and the number of differing bits of both
/// hashes, 0 to 128. `similar` is the minimum similarity of similar pictures: their cosine, minus 0.0015 for each
/// differing bit beyond 32.
pub(super) fn tier(cosine: f32, bits: u32, similar: f32) -> Option<DupeTier> {
    let further = bits.saturating_sub(FREE_NEAR_BITS) as f32;
    if bits <= MAX_NEAR_BITS && cosine >= MIN_NEAR_COSINE + NEAR_SLOPE * further {
        Some(DupeTier::Near)
    } else if cosine - SIMILAR_SLOPE * bits.saturating_sub(FREE_SIMILAR_BITS) as f32 >= similar {
        Some(DupeTier::Similar)
    } else {
        None
    }
}

/// Maximum number of differing bits with which two pictures are candidates regardless of their vectors.
pub(super) const MAX_CANDIDATE_BITS: u32 = MAX_NEAR_BITS;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cosine: f32, bits: u32) -> Option<DupeTier> {
        tier(cosine, bits, SIMILAR_THRESHOLD)
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
