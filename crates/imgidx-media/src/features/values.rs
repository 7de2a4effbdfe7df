//! The types for measured features.

use serde::{Deserialize, Serialize};

use super::ColorShares;
use crate::Lab;

/// Classical features of a picture, measured on upright pixels on white, with a longer side of at most 256 pixels.
///
/// There are three stages of increasing cost. A stage for which there was no time is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Features {
    /// Colours and hashes.
    #[serde(flatten)]
    pub quick: QuickFeatures,
    /// Tones and shapes.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub tones: Option<ToneFeatures>,
    /// Edges and corners.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub detail: Option<DetailFeatures>,
    /// Type of the picture, if there was time for the tones.
    #[serde(skip)]
    pub kind: Option<TypeGuess>,
}

impl Features {
    /// Version of the features. It is increased whenever the same picture would get different values. The next `add`
    /// computes features of older versions again.
    pub const VERSION: u32 = 4;

    /// The last stage that was measured.
    pub fn stage(&self) -> FeatureStage {
        match (&self.tones, &self.detail) {
            (Some(_), Some(_)) => FeatureStage::Full,
            (Some(_), None) => FeatureStage::Medium,
            (None, _) => FeatureStage::Quick,
        }
    }
}

/// Stages of the features, for which there may not be enough time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureStage {
    /// Colours and hashes.
    Quick,
    /// Also tones and shapes.
    Medium,
    /// Also edges and corners.
    Full,
}

impl FeatureStage {
    /// Name that is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Medium => "medium",
            Self::Full => "full",
        }
    }
}

/// Colours and hashes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct QuickFeatures {
    /// Width divided by height.
    pub aspect_ratio: f32,
    /// Number of distinct colours at 4 bits per channel, 1 to 4096.
    pub unique_colors: u32,
    /// Number of colours in flat areas, with similar ones counted as one: about the number of inks of a drawing.
    pub palette_size: u32,
    /// Number of exact colours in flat areas. It is high where one colour slowly changes into another.
    pub shades: u32,
    /// Fraction of flat pixels, 0 to 1: in the 3 × 3 pixels around them, no channel changes by more than 1 of 255.
    pub flat_fraction: f32,
    /// Fraction of pixels around which a channel changes by 2 to 24 and none by more: gradients and soft shadows.
    pub smooth_fraction: f32,
    /// Fraction of pixels around which a channel changes by more than 24: edges and texture.
    pub edge_fraction: f32,
    /// Fraction of pixels around which a channel changes by 2 to 24, with nothing sharper within two pixels: the inside
    /// of gradients.
    pub gradient_fraction: f32,
    /// The most frequent colours, at most five, by descending share.
    pub dominant_colors: Vec<DominantColor>,
    /// Share of the pixels that have each colour name, 0 to 1. Names overlap: navy is also blue.
    #[schemars(with = "std::collections::BTreeMap<String, f32>")]
    pub color_shares: ColorShares,
    /// Difference hash of 8 × 8 bits (Krawetz, "Kind of Like That", 2013).
    #[serde(with = "hex")]
    #[schemars(with = "String")]
    pub dhash: u64,
    /// Perceptual hash of 8 × 8 bits: low frequencies compared with their median (Krawetz, "Looks Like It", 2011).
    #[serde(with = "hex")]
    #[schemars(with = "String")]
    pub phash: u64,
}

/// A colour and its share of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DominantColor {
    /// The colour.
    pub lab: Lab,
    /// Fraction of the pixels, 0 to 1.
    pub share: f32,
}

/// Tones and shapes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ToneFeatures {
    /// Shannon entropy of the 256 luma values in bits, 0 to 8.
    pub entropy: f32,
    /// Mean luma, 0 to 1.
    pub brightness: f32,
    /// Standard deviation of the luma, 0 to 0.5.
    pub contrast: f32,
    /// Fraction of the pixels that differ from the background, 0 to 1. The background is the most frequent colour along
    /// the border.
    pub fill_ratio: f32,
    /// Flat fraction of those foreground pixels, 0 to 1; 0 if there are none.
    pub foreground_flat: f32,
    /// Number of connected shapes in the foreground.
    pub shapes: u32,
    /// Maximum number of these shapes on one line with the proportions of letters.
    pub glyphs: u32,
}

/// Edges and corners.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DetailFeatures {
    /// Fraction of the pixels that are edges, 0 to 1 (Canny, IEEE PAMI 1986; σ 1, thresholds 0.1 and 0.2).
    pub edge_density: f32,
    /// Number of corners per 1,000 pixels (FAST-9: Rosten and Drummond, ECCV 2006; threshold 20 of 255).
    pub corner_density: f32,
    /// Mean magnitude of the Sobel gradient of the luma, 0 to 1.
    pub gradient_strength: f32,
    /// Variance of the Laplacian of the luma, for a luma of 0 to 255 (Pech-Pacheco et al., ICPR 2000).
    pub sharpness: f32,
    /// Visual complexity, 0 to 1: a weighted sum of edges, entropy, corners, gradients and colours.
    pub complexity_score: f32,
}

/// Type of a picture, by its appearance and not by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImageType {
    /// A photograph, or a picture with as much detail.
    Photo,
    /// A drawing with colour gradients.
    Gradient,
    /// Mostly text: a page, a slide, a screenshot or a drawn word.
    Text,
    /// A drawing with few colours and few shapes.
    Simple,
    /// A drawing with many colours or shapes.
    Complex,
    /// No type is likely enough.
    Uncertain,
}

impl ImageType {
    /// All types.
    pub const ALL: [Self; 6] = [Self::Photo, Self::Gradient, Self::Text, Self::Simple, Self::Complex, Self::Uncertain];

    /// Name that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Photo => "photo",
            Self::Gradient => "gradient",
            Self::Text => "text",
            Self::Simple => "simple",
            Self::Complex => "complex",
            Self::Uncertain => "uncertain",
        }
    }

    /// Finds a type by its stored name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The type of a picture and the confidence in it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TypeGuess {
    /// The most likely type; [`ImageType::Uncertain`] if none is likely enough.
    pub label: ImageType,
    /// Probability that the type is right, 0 to 1. For [`ImageType::Uncertain`], that of the most likely type.
    pub confidence: f32,
}

/// Serialises hashes as 16 hexadecimal digits, as they are written everywhere.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    pub(super) fn serialize<S: Serializer>(hash: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{hash:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let digits = String::deserialize(deserializer)?;
        u64::from_str_radix(&digits, 16).map_err(D::Error::custom)
    }
}
