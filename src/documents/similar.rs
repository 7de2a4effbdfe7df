//! The document of `similar`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::ann::Method;
use crate::search::{Answer, Hit, QueriedImage};
use crate::types::{PathField, escape_path};

/// The pictures most like a given one.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Similar {
    /// The first picture of the query.
    pub query: Option<QueriedPicture>,
    /// All pictures of the query: first the ones to resemble, then the ones to avoid.
    pub queries: Vec<QueryPart>,
    /// Name of the model whose vectors were compared.
    pub model: String,
    /// How the pictures were found.
    pub method: Method,
    /// Number of indexed pictures that were not compared, because this model has no vector of them yet.
    pub pending: u64,
    /// The similar pictures, best score first.
    pub hits: Vec<SimilarPicture>,
}

/// A picture that was given.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct QueriedPicture {
    /// Its path, or its name if it is not a file.
    #[serde(flatten)]
    pub path: PathField,
    /// BLAKE3 digest of its content.
    pub image: String,
    /// Whether its vector was taken from the index.
    pub indexed: bool,
    /// All indexed files that hold its content.
    pub paths: Vec<String>,
}

/// A picture of a query.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct QueryPart {
    /// The picture.
    #[serde(flatten)]
    pub image: QueriedPicture,
    /// Whether the results must not resemble it.
    pub minus: bool,
}

/// A picture that was found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SimilarPicture {
    /// How well it matches; 1 is the best.
    pub score: f32,
    /// A file that holds it.
    #[serde(flatten)]
    pub path: PathField,
    /// BLAKE3 digest of its content.
    pub image: String,
    /// All files that hold it, `path` first.
    pub paths: Vec<String>,
    /// Other files of the same shot, such as its raw file, which are no hits of their own.
    pub companions: Vec<String>,
}

impl Similar {
    /// The document of an answer to a query whose last `minus` pictures are to be avoided.
    pub fn new(answer: &Answer, minus: usize) -> Self {
        let plus = answer.query.len() - minus;
        let part = |(i, image): (usize, &QueriedImage)| QueryPart { image: image.into(), minus: i >= plus };
        Self {
            query: answer.query.first().map(QueriedPicture::from),
            queries: answer.query.iter().enumerate().map(part).collect(),
            model: answer.model.clone(),
            method: answer.method,
            pending: answer.pending,
            hits: answer.hits.iter().map(SimilarPicture::from).collect(),
        }
    }
}

impl From<&QueriedImage> for QueriedPicture {
    fn from(image: &QueriedImage) -> Self {
        let paths = image.paths.iter().map(|path| escape_path(path)).collect();
        Self { path: (&image.path).into(), image: image.image.to_string(), indexed: image.indexed, paths }
    }
}

impl From<&Hit> for SimilarPicture {
    fn from(hit: &Hit) -> Self {
        let paths = hit.paths.iter().map(|path| escape_path(path)).collect();
        let companions = hit.companions.iter().map(|path| escape_path(path)).collect();
        Self { score: hit.score, path: (&hit.path).into(), image: hit.image.to_string(), paths, companions }
    }
}
