//! The document of `search`.

use schemars::JsonSchema;
use serde::Serialize;

use super::similar::SimilarPicture;
use crate::search::{TextAnswer, TextHit};
use crate::types::escape_path;

/// The pictures that match words.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Search {
    /// The words, as they were given.
    pub text: String,
    /// The terms that they consist of.
    pub terms: Vec<String>,
    /// Name of the model whose labels were searched.
    pub model: String,
    /// Whether that model assigns labels at all.
    pub has_labels: bool,
    /// Number of indexed pictures that this model has not processed yet.
    pub pending: u64,
    /// The pictures, best score first.
    pub hits: Vec<FoundPicture>,
}

/// A picture that matches words.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FoundPicture {
    /// The picture.
    #[serde(flatten)]
    pub picture: SimilarPicture,
    /// Its labels that match the terms, in the order of the terms, best score first.
    pub labels: Vec<String>,
}

impl Search {
    /// The document of an answer to a text.
    pub fn new(text: &str, answer: &TextAnswer) -> Self {
        Self {
            text: text.to_owned(),
            terms: answer.terms.clone(),
            model: answer.model.clone(),
            has_labels: answer.has_labels,
            pending: answer.pending,
            hits: answer.hits.iter().map(FoundPicture::from).collect(),
        }
    }
}

impl From<&TextHit> for FoundPicture {
    fn from(hit: &TextHit) -> Self {
        let paths = hit.paths.iter().map(|path| escape_path(path)).collect();
        let (path, image) = ((&hit.path).into(), hit.image.to_string());
        Self { picture: SimilarPicture { score: hit.score, path, image, paths }, labels: hit.labels.clone() }
    }
}
