//! The document of `show`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use crate::search::Examined;
use crate::types::{Classification, Embedding, Features, ImageInfo, Metadata, PathField, TypeGuess, escape_path};

/// Everything known about a picture.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Shown {
    /// Its path, or its name if it is not a file.
    #[serde(flatten)]
    pub path: PathField,
    /// BLAKE3 digest of its content.
    pub image: String,
    /// Whether its content is in the index.
    pub indexed: bool,
    /// Length in bytes.
    pub bytes: u64,
    /// What decoding reveals.
    #[serde(flatten)]
    pub info: ImageInfo,
    /// What it says of itself, and what an XMP file beside it says.
    pub metadata: SaidOf,
    /// Its features and type.
    #[serde(flatten)]
    pub measured: Measured,
    /// Its best labels.
    pub labels: Vec<Classification>,
    /// Its vector.
    pub embedding: EmbeddingOf,
    /// All indexed files that hold it.
    pub paths: Vec<String>,
    /// Other indexed files of the same shot, such as its raw file or its video.
    pub companions: Vec<String>,
}

/// What a picture says of itself; null or empty where it says nothing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SaidOf {
    /// Maker and model of the camera in one text.
    pub camera: Option<String>,
    /// All else.
    #[serde(flatten)]
    pub metadata: Metadata,
}

impl From<&Metadata> for SaidOf {
    fn from(metadata: &Metadata) -> Self {
        Self {
            camera: metadata.camera(),
            metadata: Metadata { taken: metadata.taken.as_deref().map(iso_time), ..metadata.clone() },
        }
    }
}

/// The features of a picture.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Measured {
    /// The features; null if they are not measured yet.
    pub features: Option<Features>,
    /// The type of the picture; null if it is not known.
    #[serde(rename = "type")]
    pub kind: Option<TypeGuess>,
}

/// The vector of a picture.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct EmbeddingOf {
    /// Name of the model.
    pub model: String,
    /// Number of its components.
    pub dim: usize,
    /// Its components, if `--vector` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<Vec<f32>>,
}

impl Shown {
    /// The document of a picture, its vector of this model, and the files that hold it.
    pub fn new(picture: &Examined, model: &str, paths: &[PathBuf], with_vector: bool) -> Self {
        Self {
            path: (&picture.path).into(),
            image: picture.hash.to_string(),
            indexed: picture.row.is_some(),
            bytes: picture.bytes,
            info: with_iso_time(&picture.info),
            metadata: (&picture.metadata).into(),
            measured: picture.features.clone().into(),
            labels: picture.classes.clone(),
            embedding: EmbeddingOf::new(&picture.embedding, model, with_vector),
            paths: paths.iter().map(|path| escape_path(path)).collect(),
            companions: picture.companions.iter().map(|path| escape_path(path)).collect(),
        }
    }
}

/// The same facts, with the capture time as ISO 8601 writes it.
pub(super) fn with_iso_time(info: &ImageInfo) -> ImageInfo {
    ImageInfo { taken: info.taken.as_deref().map(iso_time), ..info.clone() }
}

/// A capture time as ISO 8601 writes it.
fn iso_time(taken: &str) -> String {
    taken.replacen(' ', "T", 1)
}

impl From<Option<Features>> for Measured {
    fn from(features: Option<Features>) -> Self {
        Self { kind: features.as_ref().and_then(|features| features.kind), features }
    }
}

impl EmbeddingOf {
    pub(super) fn new(embedding: &Embedding, model: &str, with_vector: bool) -> Self {
        let vector = with_vector.then(|| embedding.as_slice().to_vec());
        Self { model: model.to_owned(), dim: embedding.dimension(), vector }
    }
}
