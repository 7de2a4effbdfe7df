//! The lines of `list` and `export`.

use schemars::JsonSchema;
use serde::Serialize;

use super::show::{EmbeddingOf, Info, Label, Measured};
use crate::store::PictureRow;
use crate::types::{Classification, Embedding, Features, PathField};

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
    pub info: Option<Info>,
}

/// A file of the index, with its features, labels and vector.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Exported {
    /// The file.
    #[serde(flatten)]
    pub file: Listed,
    /// Its features and type, if they are measured.
    #[serde(flatten)]
    pub measured: Option<Measured>,
    /// Its best labels, if the model has processed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<Label>>,
    /// Its vector, if the model has processed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding: Option<EmbeddingOf>,
}

impl From<&PictureRow> for Listed {
    fn from(row: &PictureRow) -> Self {
        let info = row.info.as_ref().map(Info::from);
        Self { path: (&row.path).into(), image: row.hash.to_string(), bytes: row.bytes, info }
    }
}

impl Exported {
    /// A file without features, labels and vector.
    pub fn new(row: &PictureRow) -> Self {
        Self { file: row.into(), measured: None, labels: None, embedding: None }
    }

    /// Adds its features.
    pub fn measured(&mut self, features: Features) {
        self.measured = Some(Some(features).into());
    }

    /// Adds its vector and labels of this model.
    pub fn embedded(&mut self, model: &str, embedding: &Embedding, classes: &[Classification], with_vector: bool) {
        self.labels = Some(classes.iter().map(Label::from).collect());
        self.embedding = Some(EmbeddingOf::new(embedding, model, with_vector));
    }
}
