//! What is known of a picture without looking at its pixels again.

/// The facts of a decoded picture.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImageInfo {
    /// Lower-case name of the format, such as `jpeg`.
    pub format: String,
    /// Pixels across, after the orientation has been applied.
    pub width: u32,
    /// Pixels down, after the orientation has been applied.
    pub height: u32,
    /// EXIF orientation, 1 to 8, as it was found (JEITA CP-3451, tag 0x0112).
    pub orientation: u8,
    /// Whether the file has an alpha channel; it was composited on white.
    pub has_alpha: bool,
    /// Whether the file ends before its picture does.
    pub truncated: bool,
    /// When the camera took it, by its own clock, as `YYYY-MM-DD HH:MM:SS` (EXIF, DateTimeOriginal, tag 0x9003).
    pub taken: Option<String>,
}
