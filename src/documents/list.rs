//! The lines of `list` and `export`.

use schemars::JsonSchema;
use serde::Serialize;

use super::show::{EmbeddingOf, Measured, SaidOf, with_iso_time};
use crate::store::PictureRow;
use crate::types::{Classification, Embedding, Features, ImageInfo, Metadata, PathField};

/// A file of the index.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Listed {
    /// Its path.
    #[serde(flatten)]
    pub path: PathField,
    /// BLAKE3 digest of its content.
    pub image: String,
    /// Length in bytes.
    pub bytes: u64,
    /// What decoding reveals.
    #[serde(flatten)]
    pub info: Option<ImageInfo>,
}

/// A file of the index, with its features, labels and vector.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Exported {
    /// The file.
    #[serde(flatten)]
    pub file: Listed,
    /// What it says of itself, if that was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<SaidOf>,
    /// Its features and type, if they are measured.
    #[serde(flatten)]
    pub measured: Option<Measured>,
    /// Its best labels, if the model has processed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<Classification>>,
    /// Its vector, if the model has processed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding: Option<EmbeddingOf>,
}

impl From<&PictureRow> for Listed {
    fn from(row: &PictureRow) -> Self {
        let info = row.info.as_ref().map(with_iso_time);
        Self { path: (&row.path).into(), image: row.hash.to_string(), bytes: row.bytes, info }
    }
}

impl Exported {
    /// A file with its metadata and features, and its vector and labels of this model.
    pub fn new(
        row: &PictureRow,
        metadata: Option<&Metadata>,
        features: Option<Features>,
        embedded: Option<(Embedding, Vec<Classification>)>,
        model: &str,
        with_vector: bool,
    ) -> Self {
        let (embedding, labels) = embedded.unzip();
        Self {
            file: row.into(),
            metadata: metadata.map(SaidOf::from),
            measured: features.map(|features| Some(features).into()),
            labels,
            embedding: embedding.map(|embedding| EmbeddingOf::new(&embedding, model, with_vector)),
        }
    }
}
