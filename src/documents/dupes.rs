//! The documents of `dupes`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::search::{DupeAnswer, DupeGroup, DupeTier};
use crate::types::PathField;

/// Groups of duplicates.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Dupes {
    /// The groups: exact ones first, then near and similar ones, and the largest first within each tier.
    pub groups: Vec<DupesGroup>,
    /// Number of pairs of contents that were left out because they are dismissed.
    pub dismissed: u64,
    /// Number of pictures without features or without a vector, for which only exact copies are found.
    pub incomplete: u64,
}

/// A group of duplicates.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DupesGroup {
    /// The loosest tier of its pictures.
    pub tier: DupeTier,
    /// The minimum cosine of a picture in the group to its central picture.
    pub score: f32,
    /// The files, best first: most pixels, then most bytes.
    pub files: Vec<DupeFile>,
}

/// A file of a group.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DupeFile {
    /// Its path.
    #[serde(flatten)]
    pub path: PathField,
    /// BLAKE3 digest of its content.
    pub image: String,
    /// Width of the upright picture in pixels.
    pub width: u32,
    /// Height of the upright picture in pixels.
    pub height: u32,
    /// Length in bytes.
    pub bytes: u64,
    /// Cosine to the central picture of the group; 1 for that picture itself.
    pub score: f32,
    /// Whether it is the best of the group.
    pub keep: bool,
}

/// What `dupes dismiss` did.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Dismissed {
    /// Number of pairs that were dismissed, or are no longer.
    pub pairs: u64,
    /// Whether earlier dismissals were undone.
    pub undo: bool,
}

impl From<&DupeAnswer> for Dupes {
    fn from(answer: &DupeAnswer) -> Self {
        let groups = answer.groups.iter().map(DupesGroup::from).collect();
        Self { groups, dismissed: answer.dismissed, incomplete: answer.incomplete }
    }
}

impl From<&DupeGroup> for DupesGroup {
    fn from(group: &DupeGroup) -> Self {
        let files = group.pictures.iter().flat_map(|picture| picture.paths.iter().map(move |path| (picture, path)));
        let file = |(i, (picture, path)): (usize, (&crate::search::DupePicture, _))| DupeFile {
            path: PathField::from(path),
            image: picture.image.to_string(),
            width: picture.width,
            height: picture.height,
            bytes: picture.bytes,
            score: picture.score,
            keep: i == 0,
        };
        Self { tier: group.tier, score: group.score, files: files.enumerate().map(file).collect() }
    }
}
