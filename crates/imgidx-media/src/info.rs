//! Facts about a picture that are stored, so that its pixels need not be decoded again.

use serde::{Deserialize, Serialize};

/// What of a file was decoded.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum DecodedFrom {
    /// The whole picture.
    #[default]
    Whole,
    /// A picture that the camera embedded in a raw file.
    Preview,
    /// A small version that the file holds besides the whole picture.
    Thumbnail,
}

impl DecodedFrom {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Whole, Self::Preview, Self::Thumbnail];

    /// The name: `whole`, `preview` or `thumbnail`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Preview => "preview",
            Self::Thumbnail => "thumbnail",
        }
    }
}

/// Facts about a decoded picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ImageInfo {
    /// Lower-case name of the format, for example `jpeg`.
    pub format: String,
    /// Width of the upright picture in pixels.
    pub width: u32,
    /// Height of the upright picture in pixels.
    pub height: u32,
    /// EXIF orientation of the file, 1 to 8 (JEITA CP-3451, tag 0x0112).
    pub orientation: u8,
    /// Whether the file has an alpha channel. Transparent pixels are composited on white.
    pub has_alpha: bool,
    /// Whether the file ends before the picture is complete.
    pub truncated: bool,
    /// Capture time by the camera's clock, as `YYYY-MM-DD HH:MM:SS`, with a `T` for the space in JSON documents (EXIF
    /// DateTimeOriginal, tag 0x9003).
    pub taken: Option<String>,
    /// What was decoded: the whole picture, the preview in a raw file, or a thumbnail. Width and height are those of the
    /// whole picture, or of the preview.
    pub decoded_from: DecodedFrom,
}
