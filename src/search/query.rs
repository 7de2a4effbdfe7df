//! Similarity queries and their answers.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::filter::Filter;
use crate::ann::Method;
use crate::types::{ContentHash, PathField, path_text, paths_text};

/// A picture that is part of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryImage {
    /// A file, indexed or not.
    Path(PathBuf),
    /// The content of a picture file, with a name for messages.
    Bytes {
        /// The name that messages use.
        name: PathBuf,
        /// The file's content.
        bytes: Vec<u8>,
    },
}

impl QueryImage {
    /// The path, or the name of a picture that is not a file.
    pub fn name(&self) -> &Path {
        match self {
            Self::Path(path) => path,
            Self::Bytes { name, .. } => name,
        }
    }
}

impl<P: AsRef<Path>> From<P> for QueryImage {
    fn from(path: P) -> Self {
        Self::Path(path.as_ref().to_owned())
    }
}

impl Serialize for QueryImage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Path(path) => path_text::serialize(path, serializer),
            Self::Bytes { .. } => Err(serde::ser::Error::custom("only pictures that are files can be serialised")),
        }
    }
}

impl<'de> Deserialize<'de> for QueryImage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        path_text::deserialize(deserializer).map(Self::Path)
    }
}

/// A query for similar pictures.
///
/// With several pictures, the query vector is the sum of their vectors, which finds pictures that resemble all of them.
/// Vectors of pictures to avoid are subtracted.
///
/// In JSON, a picture is its path. A picture that is given as bytes cannot be serialised.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Query {
    #[serde(rename = "images")]
    pub(crate) plus: Vec<QueryImage>,
    #[serde(default)]
    pub(crate) minus: Vec<QueryImage>,
    #[serde(default)]
    pub(crate) threshold: Option<f32>,
    #[serde(default)]
    pub(crate) filter: Filter,
    #[serde(default)]
    pub(crate) exact: bool,
}

impl Query {
    /// A query for pictures that are similar to this one.
    pub fn image(image: impl Into<QueryImage>) -> Self {
        Self { plus: vec![image.into()], ..Self::default() }
    }

    /// Adds a picture that the results must resemble too.
    #[must_use]
    pub fn and(mut self, image: impl Into<QueryImage>) -> Self {
        self.plus.push(image.into());
        self
    }

    /// Adds a picture that the results must not resemble.
    #[must_use]
    pub fn minus(mut self, image: impl Into<QueryImage>) -> Self {
        self.minus.push(image.into());
        self
    }

    /// The same query with absolute paths, for a process with another current folder. `None` if a picture is not a
    /// file, or there is no current folder.
    pub fn absolute(&self) -> Option<Self> {
        let absolute = |image: &QueryImage| match image {
            QueryImage::Path(path) => Some(QueryImage::Path(std::path::absolute(path).ok()?)),
            QueryImage::Bytes { .. } => None,
        };
        Some(Self {
            plus: self.plus.iter().map(absolute).collect::<Option<_>>()?,
            minus: self.minus.iter().map(absolute).collect::<Option<_>>()?,
            filter: self.filter.clone().absolute(),
            ..*self
        })
    }

    /// The paths or names of its pictures: first the ones to resemble, then the ones to avoid.
    pub fn names(&self) -> impl Iterator<Item = &Path> {
        self.plus.iter().chain(&self.minus).map(QueryImage::name)
    }

    /// Minimum cosine similarity.
    #[must_use]
    pub fn threshold(mut self, threshold: f32) -> Self {
        self.threshold = Some(threshold);
        self
    }

    /// Only pictures that pass this filter.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Whether to compare the query with every stored vector, without quantized vectors or a graph. Takes about 5 µs
    /// per vector.
    #[must_use]
    pub fn exact(mut self, exact: bool) -> Self {
        self.exact = exact;
        self
    }
}

/// A picture of a query, as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueriedImage {
    /// Its path, or its name if it is not a file.
    #[serde(flatten, with = "PathField")]
    pub path: PathBuf,
    /// Digest of its content.
    pub image: ContentHash,
    /// Whether its vector was taken from the index.
    pub indexed: bool,
    /// All present files in the index that hold its content.
    #[serde(with = "paths_text", default)]
    pub paths: Vec<PathBuf>,
}

/// A similar picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Cosine similarity, at most 1. Scores of different models are not comparable.
    pub score: f32,
    /// Digest of its content.
    pub image: ContentHash,
    /// A file that holds it.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// All files that hold it, `path` first.
    #[serde(with = "paths_text")]
    pub paths: Vec<PathBuf>,
    /// Other files of the same shot, such as its raw file, which are no hits of their own.
    #[serde(with = "paths_text", default)]
    pub companions: Vec<PathBuf>,
}

/// The answer to a [`Query`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The pictures of the query.
    pub query: Vec<QueriedImage>,
    /// Name of the model whose vectors were compared.
    pub model: String,
    /// How the hits were found.
    pub method: Method,
    /// The similar pictures, best score first.
    pub hits: Vec<Hit>,
    /// Number of indexed pictures that were not compared, because this model has no vector of them yet.
    pub pending: u64,
    /// The state of the derived files. The answer is correct in every state.
    pub derived: Derived,
}

/// The state of the derived files that make queries fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Derived {
    /// They cover almost all vectors.
    Current,
    /// Many vectors are newer. [`Searcher::maintain`](crate::Searcher::maintain) makes the next query faster.
    Old,
    /// They are damaged or missing, and the stored vectors were compared instead.
    /// [`Searcher::maintain`](crate::Searcher::maintain) rebuilds them.
    Lost,
}

impl IntoIterator for Answer {
    type Item = Hit;
    type IntoIter = std::vec::IntoIter<Hit>;

    fn into_iter(self) -> Self::IntoIter {
        self.hits.into_iter()
    }
}
