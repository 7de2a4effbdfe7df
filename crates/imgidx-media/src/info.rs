//! Facts about a picture that are stored, so that its pixels need not be decoded again.

/// Facts about a decoded picture.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImageInfo {
    /// Lower-case name of the format, for example `jpeg`.
    pub format: String,
    /// Width in pixels, after the orientation has been applied.
    pub width: u32,
    /// Height in pixels, after the orientation has been applied.
    pub height: u32,
    /// EXIF orientation of the file, 1 to 8 (JEITA CP-3451, tag 0x0112).
    pub orientation: u8,
    /// Whether the file has an alpha channel. Transparent pixels are composited on white.
    pub has_alpha: bool,
    /// Whether the file ends before the picture is complete.
    pub truncated: bool,
    /// Capture time by the camera's clock, as `YYYY-MM-DD HH:MM:SS` (EXIF DateTimeOriginal, tag 0x9003).
    pub taken: Option<String>,
}
