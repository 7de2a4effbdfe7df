//! The document of `search`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::search::{Suggestion, TextAnswer, TextHit, Understood, Why};
use crate::types::{Classification, PathField, escape_path};

/// The pictures that match words.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Search {
    /// The words, as they were given.
    pub query: String,
    /// The same as `query`.
    pub text: String,
    /// The terms that they consist of, without words that say nothing about a picture.
    pub terms: Vec<String>,
    /// How the terms were understood, in their order.
    pub understood: Vec<Understood>,
    /// Known words that may have been meant by terms that are not known.
    pub suggestions: Vec<Suggestion>,
    /// Name of the model whose labels were searched.
    pub model: String,
    /// Whether that model assigns labels at all.
    pub has_labels: bool,
    /// Number of indexed pictures that this model has not processed yet.
    pub pending: u64,
    /// Whether no picture matches all terms that are known, so that the hits match some of them only.
    pub partial: bool,
    /// Number of pictures that are not among the hits, but that `--threshold 0.2` would list.
    pub less_certain: u64,
    /// The pictures, best score first.
    pub hits: Vec<FoundPicture>,
}

/// A picture that matches words.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FoundPicture {
    /// How well it matches; 1 is the best. Without words, the share of the picture that has the selected colour; null
    /// without words and colours.
    pub score: Option<f32>,
    /// A file that holds it.
    #[serde(flatten)]
    pub path: PathField,
    /// BLAKE3 digest of its content.
    pub image: String,
    /// All files that hold it, `path` first.
    pub paths: Vec<String>,
    /// Other files of the same shot, such as its raw file, which are no hits of their own.
    pub companions: Vec<String>,
    /// Its labels that match the terms, in the order of the terms, best score first.
    pub labels: Vec<Classification>,
    /// The terms that it matches, and how.
    pub why: Vec<Why>,
}

impl Search {
    /// The document of an answer to a text.
    pub fn new(text: &str, answer: &TextAnswer) -> Self {
        Self {
            query: text.to_owned(),
            text: text.to_owned(),
            terms: answer.terms.clone(),
            understood: answer.understood.clone(),
            suggestions: answer.suggestions.clone(),
            model: answer.model.clone(),
            has_labels: answer.has_labels,
            pending: answer.pending,
            partial: answer.is_partial,
            less_certain: answer.less_certain,
            hits: answer.hits.iter().map(FoundPicture::from).collect(),
        }
    }
}

impl From<&TextHit> for FoundPicture {
    fn from(hit: &TextHit) -> Self {
        let paths = hit.paths.iter().map(|path| escape_path(path)).collect();
        let companions = hit.companions.iter().map(|path| escape_path(path)).collect();
        let (path, image) = ((&hit.path).into(), hit.image.to_string());
        Self { score: hit.score, path, image, paths, companions, labels: hit.labels.clone(), why: hit.why.clone() }
    }
}
