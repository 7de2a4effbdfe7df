//! The documents of `dupes`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::search::{DupeAnswer, DupeGroup, DupePicture, DupeTier};
use crate::types::PathField;

/// Groups of duplicates.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Dupes<'a> {
    /// The groups: exact ones first, then near and similar ones, and the largest first within each tier.
    pub groups: Vec<DupesGroup<'a>>,
    /// Number of pairs of contents that were left out because they are dismissed.
    pub dismissed: u64,
    /// Number of pictures without features or without a vector, for which only exact copies are found.
    pub incomplete: u64,
}

/// A group of duplicates.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DupesGroup<'a> {
    /// The loosest tier of its pictures.
    pub tier: DupeTier,
    /// The minimum cosine of a picture in the group to its central picture.
    pub score: f32,
    /// The files, best first: most pixels, then most bytes.
    pub files: Vec<DupeFile<'a>>,
}

/// A file of a group.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DupeFile<'a> {
    /// Its path.
    #[serde(flatten)]
    pub path: PathField,
    /// Its content.
    #[serde(flatten)]
    pub picture: &'a DupePicture,
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

impl<'a> From<&'a DupeAnswer> for Dupes<'a> {
    fn from(answer: &'a DupeAnswer) -> Self {
        let groups = answer.groups.iter().map(DupesGroup::from).collect();
        Self { groups, dismissed: answer.dismissed, incomplete: answer.incomplete }
    }
}

impl<'a> From<&'a DupeGroup> for DupesGroup<'a> {
    fn from(group: &'a DupeGroup) -> Self {
        let mut files = Vec::new();
        for picture in &group.pictures {
            for path in &picture.paths {
                files.push(DupeFile { path: path.into(), picture, keep: files.is_empty() });
            }
        }
        Self { tier: group.tier, score: group.score, files }
    }
}
