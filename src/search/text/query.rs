//! Queries by words, and their answers.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::search::filter::Filter;
use crate::types::{Classification, ContentHash, path_text, paths_text};

/// A query for pictures by words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TextQuery {
    pub(super) text: String,
    #[serde(default)]
    pub(super) filter: Filter,
    #[serde(default)]
    pub(super) threshold: Option<f32>,
    #[serde(default)]
    pub(super) minus: Vec<String>,
    #[serde(default)]
    pub(super) language: Option<String>,
    #[serde(default)]
    pub(super) exact_words: bool,
}

impl TextQuery {
    /// A query for pictures that match the terms of a text. An empty text matches all pictures that pass the filter.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// The same query with absolute paths, for a process with another current folder.
    #[must_use]
    pub fn absolute(mut self) -> Self {
        self.filter = self.filter.absolute();
        self
    }

    /// Only pictures that pass this filter.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Minimum score, 0 to 1. Pictures that match only some of the terms are found too, if their score is high enough.
    #[must_use]
    pub fn threshold(mut self, threshold: f32) -> Self {
        self.threshold = Some(threshold);
        self
    }

    /// Leaves out the pictures that a query for this text finds. May be called several times.
    #[must_use]
    pub fn minus(mut self, text: impl Into<String>) -> Self {
        self.minus.push(text.into());
        self
    }

    /// The language, as a code of ISO 639-1, in which names are looked up before English ones. Names in all languages of
    /// [`Vocabulary::languages`](crate::model::Vocabulary::languages) are known without it.
    #[must_use]
    pub fn language(mut self, code: impl Into<String>) -> Self {
        self.language = Some(code.into());
        self
    }

    /// Matches words only by names, kinds, colours and paths, not by meaning.
    #[must_use]
    pub fn exact_words(mut self) -> Self {
        self.exact_words = true;
        self
    }
}

/// How a term of a text was understood, or why a picture matches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MatchKind {
    /// By a label that a model assigned, directly or as a kind of thing.
    Label,
    /// By words in the path of a file.
    Path,
    /// By words in the title, description, keywords or names that the picture says of itself.
    Metadata,
    /// By a colour that covers at least 5 % of the picture.
    Colour,
    /// By the meaning of the text as a whole, as its nearness to the labels of a picture.
    Meaning,
    /// Not at all: no label, kind or path has it.
    Unknown,
}

/// How a term of a text was understood. A term that matches in two ways is listed twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Understood {
    /// The term: a name that is known, or a single word. By meaning, all terms that count.
    pub term: String,
    /// How it was understood.
    #[serde(rename = "as")]
    pub kind: MatchKind,
    /// Number of pictures that match it in this way and pass the filter.
    pub matches: u64,
    /// What it means in English, if it is a name in another language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub english: Option<String>,
    /// The labels that a text matches by meaning, with the cosine of their vectors, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nearest: Vec<Classification>,
}

/// Known words that may have been meant by a term that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Suggestion {
    /// The term that is not known.
    pub term: String,
    /// The words that may have been meant, the most likely first.
    pub words: Vec<String>,
}

/// Why a picture was found: a term that it matches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Why {
    /// The term.
    pub term: String,
    /// How it matches.
    #[serde(rename = "as")]
    pub kind: MatchKind,
    /// How well it matches, 0 to 1.
    pub score: f32,
}

/// A picture that matches a [`TextQuery`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextHit {
    /// How well it matches, 0 to 1. Without words, the share of the picture that has the selected colour; `None`
    /// without words and colours, because then nothing was measured.
    pub score: Option<f32>,
    /// Digest of its content.
    pub image: ContentHash,
    /// A file that holds it. Of several copies, the one whose path matches the most terms.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// All files that hold it, `path` first.
    #[serde(with = "paths_text")]
    pub paths: Vec<PathBuf>,
    /// Other files of the same shot, such as its raw file, which are no hits of their own.
    #[serde(with = "paths_text", default)]
    pub companions: Vec<PathBuf>,
    /// Its labels that match the terms, in the order of the terms, best score first.
    pub labels: Vec<Classification>,
    /// The terms that it matches.
    pub why: Vec<Why>,
}

/// The answer to a [`TextQuery`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextAnswer {
    /// The terms of the text, without words that say nothing about a picture.
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
    pub is_partial: bool,
    /// Number of pictures that are not among the hits, but that the threshold [`LOW_THRESHOLD`](super::LOW_THRESHOLD)
    /// would let through.
    pub less_certain: u64,
    /// The pictures, best score first.
    pub hits: Vec<TextHit>,
}
