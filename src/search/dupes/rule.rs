//! The rule that decides whether two pictures are duplicates.

use serde::Serialize;

use crate::media::Likeness;

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

// The values below were chosen with `cargo bench --bench duplicates`, on changed versions of photographs and drawings
// and on sets made to mislead: colour variants of drawings, slides of one layout, pages of text, flat pictures.

/// Maximum number of differing bits, of 512, of the layouts of two candidates.
pub(super) const MAX_LAYOUT_BITS: u32 = 80;
/// The same for a picture and a turned one, which are rarely changed in other ways too.
pub(super) const MAX_TURNED_BITS: u32 = 44;

/// Maximum difference of the chroma of a part of near copies. A brighter version of a drawing has up to 20.
const MAX_CHROMA_DIFFERENCE: f32 = 22.0;
/// Minimum share of the blocks with structure that agree.
const MIN_AGREEING: f32 = 0.97;
/// For photographs, the minimum share of blocks that look alike: highlights of a brighter version are lost.
const MIN_ALIKE: f32 = 0.85;
/// For photographs, the minimum share of blocks that are equal: some of the others may be written on.
const MIN_EQUAL: f32 = 0.5;
/// Minimum number of blocks with structure for a comparison of structure.
const MIN_STRUCTURED: u32 = 6;
/// Maximum difference of luma and chroma of pictures with less structure.
const MAX_FLAT_DIFFERENCE: f32 = 8.0;

/// Whether two contents are near copies of each other.
pub(super) fn are_near(likeness: &Likeness, are_photos: bool) -> bool {
    let share = |blocks: u32| blocks as f32 / likeness.structured.max(1) as f32;
    if likeness.structured < MIN_STRUCTURED {
        let is_flat =
            likeness.luma_difference <= MAX_FLAT_DIFFERENCE && likeness.chroma_difference <= MAX_FLAT_DIFFERENCE;
        return is_flat && likeness.agreeing == likeness.structured;
    }
    let agree = share(likeness.agreeing) >= MIN_AGREEING;
    let photos_agree = are_photos && (share(likeness.alike) >= MIN_ALIKE || share(likeness.equal) >= MIN_EQUAL);
    let colors_agree = likeness.is_one_grey || likeness.chroma_difference <= MAX_CHROMA_DIFFERENCE;
    colors_agree && (agree || photos_agree)
}

/// Whether two near copies of one picture differ in colour, so that they are not near copies of each other. A grey
/// version is near both.
pub(super) fn differ_in_color(a: [f32; 2], b: [f32; 2]) -> bool {
    const MIN_CHROMA: f32 = 3.0;
    const MAX_DIFFERENCE: f32 = 10.0;
    let is_colored = |[a, b]: [f32; 2]| a.hypot(b) > MIN_CHROMA;
    is_colored(a) && is_colored(b) && (a[0] - b[0]).hypot(a[1] - b[1]) > MAX_DIFFERENCE
}

/// Default minimum similarity of similar pictures.
pub const SIMILAR_THRESHOLD: f32 = 0.85;
/// Number of bits in which the hashes of similar pictures may differ without a deduction.
const FREE_SIMILAR_BITS: u32 = 32;
/// Deduction from the cosine for each further bit.
const SIMILAR_SLOPE: f32 = 0.0015;

/// Whether two contents are similar by their vectors and hashes: `threshold` is the minimum cosine, and 0.0015 more is
/// needed for each differing bit of their hashes beyond 32.
pub(super) fn are_similar(cosine: f32, bits: u32, threshold: f32) -> bool {
    cosine - SIMILAR_SLOPE * bits.saturating_sub(FREE_SIMILAR_BITS) as f32 >= threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A likeness with shares of 50 blocks.
    fn likeness(agreeing: f32, alike: f32, equal: f32, chroma_difference: f32) -> Likeness {
        let blocks = |share: f32| (50.0 * share).round() as u32;
        Likeness {
            structured: 50,
            agreeing: blocks(agreeing),
            alike: blocks(alike),
            equal: blocks(equal),
            correlation: agreeing,
            luma_difference: 40.0,
            chroma_difference,
            is_one_grey: false,
        }
    }

    #[test]
    fn slides_of_one_layout_and_colour_variants_are_not_near() {
        assert!(are_near(&likeness(1.0, 1.0, 0.9, 4.0), false));
        assert!(!are_near(&likeness(0.9, 0.86, 0.8, 4.0), false), "slides");
        assert!(!are_near(&likeness(1.0, 1.0, 1.0, 25.0), false), "colours");
    }

    #[test]
    fn a_photograph_that_is_written_on_is_near_and_one_of_the_same_floor_is_not() {
        assert!(are_near(&likeness(0.85, 0.84, 0.83, 3.0), true));
        assert!(!are_near(&likeness(0.73, 0.42, 0.1, 10.0), true));
    }

    #[test]
    fn flat_pictures_are_near_only_if_their_pixels_agree() {
        let flat = |luma: f32, chroma: f32| Likeness {
            structured: 0,
            agreeing: 0,
            luma_difference: luma,
            ..likeness(0.0, 0.0, 0.0, chroma)
        };
        assert!(are_near(&flat(2.0, 1.0), false) && !are_near(&flat(30.0, 1.0), false));
        assert!(!are_near(&flat(2.0, 40.0), true));
        let green_and_grey = Likeness { is_one_grey: true, ..flat(2.0, 40.0) };
        assert!(!are_near(&green_and_grey, false), "without structure, a colour is all that there is");
        let grey_version = Likeness { is_one_grey: true, ..likeness(1.0, 1.0, 1.0, 60.0) };
        assert!(are_near(&grey_version, false));
    }

    #[test]
    fn a_grey_version_does_not_join_a_red_and_a_blue_one() {
        assert!(differ_in_color([30.0, 20.0], [10.0, -35.0]));
        assert!(!differ_in_color([30.0, 20.0], [0.5, 0.5]) && !differ_in_color([30.0, 20.0], [26.0, 18.0]));
    }

    #[test]
    fn hashes_that_differ_much_need_a_higher_cosine() {
        assert!(are_similar(0.86, 32, SIMILAR_THRESHOLD) && !are_similar(0.86, 66, SIMILAR_THRESHOLD));
    }
}
