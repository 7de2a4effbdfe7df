//! Facts about a picture that are stored, so that its pixels need not be decoded again.

/// Facts about a decoded picture.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
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
}
