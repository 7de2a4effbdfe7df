//! What a picture looks like, in numbers.

use serde::{Deserialize, Serialize};

/// Classical features of a picture, measured on it upright, on white, and scaled to at most 256 pixels a side.
///
/// They come in three stages of rising cost. Where there was no time for a stage it is `None`: nothing is made up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Features {
    /// Colours and hashes.
    #[serde(flatten)]
    pub quick: QuickFeatures,
    /// Tones.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub tones: Option<ToneFeatures>,
    /// Edges and corners.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub detail: Option<DetailFeatures>,
}

impl Features {
    /// Rises whenever the same picture would get other numbers. Older ones are computed again by the next `add`.
    pub const VERSION: u32 = 1;

    /// How far it came.
    pub fn stage(&self) -> FeatureStage {
        match (&self.tones, &self.detail) {
            (Some(_), Some(_)) => FeatureStage::Full,
            (Some(_), None) => FeatureStage::Medium,
            (None, _) => FeatureStage::Quick,
        }
    }
}

/// How much of the features there was time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureStage {
    /// Colours and hashes.
    Quick,
    /// Tones too.
    Medium,
    /// Everything.
    Full,
}

impl FeatureStage {
    /// All stages, in their order.
    pub const ALL: [Self; 3] = [Self::Quick, Self::Medium, Self::Full];

    /// The name under which it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Medium => "medium",
            Self::Full => "full",
        }
    }

    /// The stage of a stored name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == name)
    }
}

/// Colours and hashes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuickFeatures {
    /// Width divided by height.
    pub aspect_ratio: f32,
    /// Distinct colours at 4 bits a channel, 1 to 4096.
    pub unique_colors: u32,
    /// Colours of flat areas, similar ones counted as one: about the number of inks of a drawing.
    pub palette_size: u32,
    /// Part of the pixels around which nothing changes (by at most 1 of 255 in any channel, 3 × 3 pixels), 0 to 1.
    pub flat_fraction: f32,
    /// Part of the pixels around which it changes by 2 to 24: gradients, soft shadows.
    pub smooth_fraction: f32,
    /// Part of the pixels around which it changes by more: edges, texture.
    pub edge_fraction: f32,
    /// The most frequent colours, at most five, the largest share first.
    pub dominant_colors: Vec<DominantColor>,
    /// Difference hash of 8 × 8 bits (Krawetz, "Kind of Like That", 2013).
    #[serde(serialize_with = "as_hex")]
    pub dhash: u64,
    /// Perceptual hash of 8 × 8 bits: low frequencies against their median (Krawetz, "Looks Like It", 2011).
    #[serde(serialize_with = "as_hex")]
    pub phash: u64,
}

/// A colour and how much of the picture has it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DominantColor {
    /// CIE L\*a\*b\* under D65: L\* 0 to 100, a\* and b\* about -128 to 127.
    pub lab: [f32; 3],
    /// Part of the pixels, 0 to 1.
    pub share: f32,
}

/// Tones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ToneFeatures {
    /// Shannon entropy of the luma's 256 values, in bits, 0 to 8.
    pub entropy: f32,
    /// Mean luma, 0 to 1.
    pub brightness: f32,
    /// Standard deviation of the luma, 0 to 0.5.
    pub contrast: f32,
    /// Part of the pixels that are not of the background's colour, the most frequent one along the border; 0 to 1.
    pub fill_ratio: f32,
}

/// Edges and corners.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DetailFeatures {
    /// Part of the pixels that are edges (Canny, IEEE PAMI 1986; σ 1, thresholds 0.1 and 0.2), 0 to 1.
    pub edge_density: f32,
    /// Corners among 1,000 pixels (FAST-9: Rosten and Drummond, ECCV 2006; threshold 20 of 255).
    pub corner_density: f32,
    /// Mean magnitude of Sobel's gradient of the luma, 0 to 1.
    pub gradient_strength: f32,
    /// Variance of the luma's Laplacian, for a luma of 0 to 255 (Pech-Pacheco et al., ICPR 2000).
    pub sharpness: f32,
    /// How much there is to see, 0 to 1: edges, entropy, corners, gradients and colours, weighed.
    pub complexity_score: f32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn as_hex<S: serde::Serializer>(hash: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{hash:016x}"))
}
