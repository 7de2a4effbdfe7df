//! The shape of a picture, and the stages of indexing.

use std::fmt;

/// The shape of an upright picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Wider than tall.
    Landscape,
    /// Taller than wide.
    Portrait,
    /// As wide as tall.
    Square,
}

impl Shape {
    /// All shapes.
    pub const ALL: [Self; 3] = [Self::Landscape, Self::Portrait, Self::Square];

    /// The name used in options and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Landscape => "landscape",
            Self::Portrait => "portrait",
            Self::Square => "square",
        }
    }
}

/// The stage of indexing at which a file failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Listing a folder or reading a file's metadata failed.
    Scan,
    /// Reading the file's bytes failed.
    Read,
    /// The bytes are not a picture, or decoding them failed.
    Decode,
    /// The model could not compute a vector.
    Embed,
}

impl Stage {
    /// The name used in the database and in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Read => "read",
            Self::Decode => "decode",
            Self::Embed => "embed",
        }
    }

    /// The stage with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Scan, Self::Read, Self::Decode, Self::Embed].into_iter().find(|stage| stage.as_str() == name)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
