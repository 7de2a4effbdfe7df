//! Words for pictures: shapes, and stages on the way into the index.

use std::fmt;

/// The shape of a picture, upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Wider than high.
    Landscape,
    /// Higher than wide.
    Portrait,
    /// As wide as high.
    Square,
}

impl Shape {
    /// All shapes.
    pub const ALL: [Self; 3] = [Self::Landscape, Self::Portrait, Self::Square];

    /// The name by which it is asked for.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Landscape => "landscape",
            Self::Portrait => "portrait",
            Self::Square => "square",
        }
    }

    /// The shape of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shape| shape.as_str() == name)
    }
}

/// Where on its way into the index a file failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// A folder could not be listed, or a file's properties not be had.
    Scan,
    /// The bytes could not be read.
    Read,
    /// The bytes are not a picture that can be decoded.
    Decode,
    /// The model could not make a vector of it.
    Embed,
}

impl Stage {
    /// All stages, in their order.
    pub const ALL: [Self; 4] = [Self::Scan, Self::Read, Self::Decode, Self::Embed];

    /// The name under which it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Read => "read",
            Self::Decode => "decode",
            Self::Embed => "embed",
        }
    }

    /// The stage of a stored name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == name)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
