//! What is asked for, and what comes back.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::filter::Filter;
use crate::ann::Method;
use crate::types::{ContentHash, path_text, paths_text};

/// A picture that is part of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryImage {
    /// A file, indexed or not.
    Path(PathBuf),
    /// The bytes of a picture file, with a name for messages.
    Bytes {
        /// What to call it.
        name: PathBuf,
        /// The file's content.
        bytes: Vec<u8>,
    },
}

impl QueryImage {
    /// The path, or the name of what has none.
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
            Self::Bytes { .. } => Err(serde::ser::Error::custom("a picture that is no file cannot be sent")),
        }
    }
}

impl<'de> Deserialize<'de> for QueryImage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        path_text::deserialize(deserializer).map(Self::Path)
    }
}

/// Pictures to find neighbours of.
///
/// Of several, the neighbours of the sum of their vectors are found: pictures that are like all of them. Vectors of
/// pictures to avoid are subtracted.
///
/// As JSON, pictures are paths. Those that are given by their bytes cannot be sent.
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
    /// The neighbours of one picture.
    pub fn image(image: impl Into<QueryImage>) -> Self {
        Self { plus: vec![image.into()], ..Self::default() }
    }

    /// Also like this picture.
    #[must_use]
    pub fn and(mut self, image: impl Into<QueryImage>) -> Self {
        self.plus.push(image.into());
        self
    }

    /// But unlike this picture.
    #[must_use]
    pub fn minus(mut self, image: impl Into<QueryImage>) -> Self {
        self.minus.push(image.into());
        self
    }

    /// The same for another process, which may be in another folder. `None` if a picture is no file, or there is no current folder.
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

    /// The paths of its pictures, or the names of those that have none: first those to be like, then those to avoid.
    pub fn names(&self) -> impl Iterator<Item = &Path> {
        self.plus.iter().chain(&self.minus).map(QueryImage::name)
    }

    /// Only neighbours of at least this cosine.
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

    /// Compare with every stored vector itself, and not with codes or a graph first. Takes some 5 µs a vector.
    #[must_use]
    pub fn exact(mut self, exact: bool) -> Self {
        self.exact = exact;
        self
    }
}

/// A picture of the query, as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueriedImage {
    /// Its path, or the name of what has none.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// Its content.
    pub image: ContentHash,
    /// Whether its vector was taken from the index.
    pub indexed: bool,
}

/// A neighbour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Cosine similarity, at most 1. Scores of different models cannot be compared.
    pub score: f32,
    /// Its content.
    pub image: ContentHash,
    /// A file that holds it.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// All files that hold it, `path` first.
    #[serde(with = "paths_text")]
    pub paths: Vec<PathBuf>,
}

/// The answer to a [`Query`]: hits with falling scores, and how they were found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The pictures asked about.
    pub query: Vec<QueriedImage>,
    /// Name of the model whose vectors were compared.
    pub model: String,
    /// How the neighbours were found.
    pub method: Method,
    /// The neighbours, the nearest first.
    pub hits: Vec<Hit>,
    /// Indexed pictures that could not be compared, because this model has no vector of them yet.
    pub pending: u64,
    /// In what state the query found what is derived from the database. The answer is right in any.
    pub derived: Derived,
}

/// The state of what is derived from the database to make queries fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Derived {
    /// It covers about everything.
    Current,
    /// Much is newer: [`Index::maintain`](crate::Index::maintain) makes the next query faster.
    Old,
    /// It is damaged or gone, and the stored vectors were compared: [`Index::maintain`](crate::Index::maintain) makes it
    /// again.
    Lost,
}

impl IntoIterator for Answer {
    type Item = Hit;
    type IntoIter = std::vec::IntoIter<Hit>;

    fn into_iter(self) -> Self::IntoIter {
        self.hits.into_iter()
    }
}
