//! What a picture looks like, in numbers.

use serde::{Deserialize, Serialize};

use crate::Lab;

/// Classical features of a picture, measured on it upright, on white, and scaled to at most 256 pixels a side.
///
/// They come in three stages of rising cost. Where there was no time for a stage it is `None`: nothing is made up.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    /// What kind of picture they speak of, if there was time for the tones.
    #[serde(skip)]
    pub kind: Option<TypeGuess>,
}

impl Features {
    /// Rises whenever the same picture would get other numbers. Older ones are computed again by the next `add`.
    pub const VERSION: u32 = 2;

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
    /// Tones and shapes too.
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuickFeatures {
    /// Width divided by height.
    pub aspect_ratio: f32,
    /// Distinct colours at 4 bits a channel, 1 to 4096.
    pub unique_colors: u32,
    /// Colours of flat areas, similar ones counted as one: about the number of inks of a drawing.
    pub palette_size: u32,
    /// Colours of flat areas, each counted by itself: many where a colour slowly becomes another.
    pub shades: u32,
    /// Part of the pixels around which nothing changes (by at most 1 of 255 in any channel, 3 × 3 pixels), 0 to 1.
    pub flat_fraction: f32,
    /// Part of the pixels around which it changes by 2 to 24: gradients, soft shadows.
    pub smooth_fraction: f32,
    /// Part of the pixels around which it changes by more: edges, texture.
    pub edge_fraction: f32,
    /// Part of the pixels around which it changes by 2 to 24 with nothing sharper within two pixels: inside of gradients.
    pub gradient_fraction: f32,
    /// The most frequent colours, at most five, the largest share first.
    pub dominant_colors: Vec<DominantColor>,
    /// Difference hash of 8 × 8 bits (Krawetz, "Kind of Like That", 2013).
    #[serde(with = "hex")]
    pub dhash: u64,
    /// Perceptual hash of 8 × 8 bits: low frequencies against their median (Krawetz, "Looks Like It", 2011).
    #[serde(with = "hex")]
    pub phash: u64,
}

/// A colour and how much of the picture has it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DominantColor {
    /// The colour.
    pub lab: Lab,
    /// Part of the pixels, 0 to 1.
    pub share: f32,
}

/// Tones and shapes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ToneFeatures {
    /// Shannon entropy of the luma's 256 values, in bits, 0 to 8.
    pub entropy: f32,
    /// Mean luma, 0 to 1.
    pub brightness: f32,
    /// Standard deviation of the luma, 0 to 0.5.
    pub contrast: f32,
    /// Part of the pixels that are not of the background's colour, the most frequent one along the border; 0 to 1.
    pub fill_ratio: f32,
    /// Part of those pixels around which nothing changes, 0 to 1; 0 if there are none.
    pub foreground_flat: f32,
    /// Connected shapes before that background.
    pub shapes: u32,
    /// The most of these shapes that stand on one line, as letters do.
    pub glyphs: u32,
}

/// Edges and corners.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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

/// Kinds of pictures, told apart by how they look and not by what they show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageType {
    /// Taken by a camera, or as rich as if it were.
    Photo,
    /// Drawn, with colours that flow into each other.
    Gradient,
    /// Drawn, and mostly letters.
    Text,
    /// Drawn in few colours and few shapes.
    Simple,
    /// Drawn, in many colours or shapes.
    Complex,
    /// On the border between two kinds.
    Uncertain,
}

impl ImageType {
    /// All types.
    pub const ALL: [Self; 6] = [Self::Photo, Self::Gradient, Self::Text, Self::Simple, Self::Complex, Self::Uncertain];

    /// The name under which it is stored and shown.
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

    /// The type of a stored name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The kind of a picture, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TypeGuess {
    /// The most likely kind; [`ImageType::Uncertain`] if none is likely enough.
    pub label: ImageType,
    /// How often a guess like this is right, 0 to 1; of an uncertain one, how likely the most likely kind is.
    pub confidence: f32,
}

/// Hashes as 16 hexadecimal digits, as they are written everywhere.
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
