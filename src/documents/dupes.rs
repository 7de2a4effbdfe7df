//! The documents of `dupes`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::search::{DupeAnswer, DupeGroup, DupePicture, DupeTier, Redundant, RedundantFile, Withheld, WithheldFile};
use crate::types::{KeptField, PathField};

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
    /// The files, best first.
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

/// What `dupes --redundant` found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RedundantFiles {
    /// The files that may be removed, by group.
    pub redundant: Vec<Redundancy>,
    /// The files that are not offered, although another file of their group may be kept.
    pub withheld: Vec<WithheldReason>,
    /// Bytes that removing all of these files frees. A file frees nothing as long as it has another hard link.
    pub freed_bytes: u64,
}

/// A file that may be removed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Redundancy {
    /// Its path.
    #[serde(flatten)]
    pub path: PathField,
    /// Its length in bytes.
    pub bytes: u64,
    /// The file that is kept instead.
    #[serde(flatten)]
    pub kept: KeptField,
    /// Exact if both hold the same content; otherwise the tier of their group.
    pub tier: DupeTier,
}

/// A file that is not offered for removal.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct WithheldReason {
    /// Its path.
    #[serde(flatten)]
    pub path: PathField,
    /// The reason, as a predicate for people.
    pub reason: &'static str,
    /// The reason for programs.
    pub kind: Withheld,
}

/// What `dupes trash` or `dupes link` did.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ActedOn {
    /// `trash`, `link` or `reflink`.
    pub action: &'static str,
    /// Whether this was a dry run, which changes nothing.
    pub dry_run: bool,
    /// The files that were moved or replaced, or would be.
    pub done: Vec<Redundancy>,
    /// The files that were left as they are.
    pub failed: Vec<LeftAsItIs>,
    /// The files that were not chosen, although another file of their group may be kept.
    pub withheld: Vec<WithheldReason>,
    /// Whether the run was interrupted before all files were processed.
    pub interrupted: bool,
}

/// A file that was left as it is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LeftAsItIs {
    /// Its path.
    #[serde(flatten)]
    pub path: PathField,
    /// The file to keep.
    #[serde(flatten)]
    pub kept: KeptField,
    /// The reason.
    pub reason: String,
}

/// What `dupes dismiss` did.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Dismissed {
    /// Number of pairs that were dismissed, or whose dismissal was undone.
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

impl From<&Redundant> for RedundantFiles {
    fn from(redundant: &Redundant) -> Self {
        Self {
            redundant: redundant.files.iter().map(Redundancy::from).collect(),
            withheld: redundant.withheld.iter().map(WithheldReason::from).collect(),
            freed_bytes: redundant.freed_bytes,
        }
    }
}

impl From<&RedundantFile> for Redundancy {
    fn from(file: &RedundantFile) -> Self {
        let RedundantFile { path, bytes, kept, tier, .. } = file;
        Self { path: path.into(), bytes: *bytes, kept: kept.into(), tier: *tier }
    }
}

impl From<&WithheldFile> for WithheldReason {
    fn from(WithheldFile { path, reason }: &WithheldFile) -> Self {
        Self { path: path.into(), reason: reason.as_str(), kind: *reason }
    }
}
