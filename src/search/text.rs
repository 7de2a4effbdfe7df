//! Search by words: in the labels that models assign, the kinds of things these labels name, and paths.
//!
//! A text is split into terms: the longest names that the [`Vocabulary`] knows, and single words for the rest. A
//! picture must match all terms. How well it matches a term is a number from 0 to 1, which combines two matches:
//!
//! - **label match**: the sum of the scores of all its labels that the term names, directly or as a kind. A model that
//!   is unsure about the breed may still be sure that it is a dog. Each step up to the kind costs a hundredth. A sum
//!   below [`MIN_LABEL_SCORE`] does not count, unless the query sets another threshold.
//! - **path match**: [`PATH_MATCH_SCORE`] if the words occur in the path of one of its files, or in the name of the
//!   folder that was added.
//!
//! The combined score is the probability that at least one match is right, if they were independent:
//! 1 - (1 - label match)(1 - path match). The score of several terms is the geometric mean. Pictures with equal scores
//! come in the order in which they were indexed.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::filter::Filter;
use crate::error::Result;
use crate::model::{Term, Vocabulary};
use crate::store::{ModelRow, SeenLabel, SelectedImage, Store};
use crate::types::{ContentHash, ImageId, path_text, paths_text};

/// Minimum sum of label scores for a label match. Measured on 305 photographs of ImageNet with the built-in model,
/// where it finds dogs, vehicles and birds with a precision of 1 and a recall of at least 0.95.
pub const MIN_LABEL_SCORE: f32 = 0.4;
/// The score of a path match.
pub const PATH_MATCH_SCORE: f32 = 0.5;
/// The factor on a label's score for each step up to the kind that the term names.
const STEP_FACTOR: f32 = 0.99;

/// A query for pictures by words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TextQuery {
    text: String,
    #[serde(default)]
    filter: Filter,
    #[serde(default)]
    threshold: Option<f32>,
}

impl TextQuery {
    /// The same query with absolute paths, for a process with another current folder.
    #[must_use]
    pub fn absolute(mut self) -> Self {
        self.filter = self.filter.absolute();
        self
    }

    /// A query for pictures that match all terms of a text. An empty text matches all pictures that pass the filter.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Only pictures that pass this filter.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Minimum score, 0 to 1.
    #[must_use]
    pub fn threshold(mut self, threshold: f32) -> Self {
        self.threshold = Some(threshold);
        self
    }
}

/// A picture that matches a [`TextQuery`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextHit {
    /// How well it matches, 0 to 1. Without words, the share of the picture that has the selected colour.
    pub score: f32,
    /// Digest of its content.
    pub image: ContentHash,
    /// A file that holds it. Of several copies, the one whose path matches the most terms.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// All files that hold it, `path` first.
    #[serde(with = "paths_text")]
    pub paths: Vec<PathBuf>,
    /// Its labels that match the terms, in the order of the terms, best score first.
    pub labels: Vec<String>,
}

/// The answer to a [`TextQuery`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextAnswer {
    /// The terms of the text.
    pub terms: Vec<String>,
    /// Name of the model whose labels were searched.
    pub model: String,
    /// Whether that model assigns labels at all.
    pub has_labels: bool,
    /// Number of indexed pictures that this model has not processed yet.
    pub pending: u64,
    /// The pictures, best score first.
    pub hits: Vec<TextHit>,
}

/// How well a picture matches a term.
#[derive(Debug, Default, Clone)]
struct Evidence {
    /// The sum of the scores of its matching labels.
    label_sum: f32,
    /// That sum, with less for each step up to the kind that the term names.
    label_match: f32,
    path_match: f32,
    /// Positions of its matching labels in the list of all labels.
    labels: Vec<usize>,
}

impl Evidence {
    fn score(&self) -> f32 {
        1.0 - (1.0 - self.label_match.min(1.0)) * (1.0 - self.path_match)
    }
}

/// Finds the `count` best pictures for a text. Returns the terms of the text and the hits.
///
/// # Errors
/// If the database fails.
pub(crate) fn search_text(
    store: &Store,
    model: ModelRow,
    query: &TextQuery,
    count: usize,
) -> Result<(Vec<String>, Vec<TextHit>)> {
    let terms = Vocabulary::get().terms(&query.text);
    if terms.is_empty() && !query.text.trim().is_empty() {
        // Punctuation alone names nothing. It must not match everything, as an empty text does.
        return Ok((Vec::new(), Vec::new()));
    }
    let selected = || store.select_images(&query.filter.selection(store)?);
    let labels = store.labels()?;
    let mut ranked: Vec<(ImageId, f32, Vec<usize>)> = if terms.is_empty() {
        selected()?.into_iter().map(|SelectedImage { image, color_share }| (image, color_share, Vec::new())).collect()
    } else {
        let min_score = query.threshold.unwrap_or(MIN_LABEL_SCORE);
        let each = terms.iter().map(|term| evidence(store, model, term, &labels, min_score));
        let mut all: Vec<_> = intersect(each.collect::<Result<_>>()?, terms.len()).collect();
        if !query.filter.is_empty() {
            let allowed: HashSet<ImageId> = selected()?.into_iter().map(|selected| selected.image).collect();
            all.retain(|(image, ..)| allowed.contains(image));
        }
        all
    };
    ranked.retain(|(_, score, _)| query.threshold.is_none_or(|threshold| *score >= threshold));
    ranked.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut hits = Vec::new();
    for (image, score, matched) in ranked {
        if hits.len() == count {
            break;
        }
        // A content that no present file holds is not a hit.
        let Some(picture) = store.picture(image)? else { continue };
        let labels = matched.into_iter().map(|at| labels[at].name.clone()).collect();
        let paths = sort_by_matches(store.paths_of(image)?, &terms);
        let path = paths.first().cloned().unwrap_or(picture.path);
        hits.push(TextHit { score, image: picture.hash, path, paths, labels });
    }
    Ok((terms.iter().map(|term| term.text().to_owned()).collect(), hits))
}

/// Sorts paths by the number of terms that they contain, most terms first.
fn sort_by_matches(mut paths: Vec<PathBuf>, terms: &[Term]) -> Vec<PathBuf> {
    let matches = |path: &PathBuf| terms.iter().filter(|term| term.is_in(&path.to_string_lossy())).count();
    paths.sort_by_cached_key(|path| Reverse(matches(path)));
    paths
}

/// The pictures that match a term, and how well.
fn evidence(
    store: &Store,
    model: ModelRow,
    term: &Term,
    labels: &[SeenLabel],
    min_score: f32,
) -> Result<HashMap<ImageId, Evidence>> {
    let vocabulary = Vocabulary::get();
    let steps = |at: usize| vocabulary.steps(term, &labels[at].name).map(|steps| (labels[at].row, (at, steps)));
    let matching: HashMap<_, _> = (0..labels.len()).filter_map(steps).collect();
    let mut found: HashMap<ImageId, Evidence> = HashMap::new();
    store.for_each_seen(model, matching.keys().copied(), |image, row, score| {
        let (at, steps) = matching[&row];
        let evidence = found.entry(image).or_default();
        evidence.label_sum += score;
        evidence.label_match += score * STEP_FACTOR.powi(steps.try_into().unwrap_or(i32::MAX));
        evidence.labels.push(at);
    })?;
    found.retain(|_, evidence| evidence.label_sum >= min_score);
    let roots: Vec<_> = store
        .roots()?
        .into_iter()
        .filter(|root| root.path.file_name().is_some_and(|name| term.is_in(&name.to_string_lossy())))
        .map(|root| root.id)
        .collect();
    for image in store.images_with_words(term.words(), &roots)? {
        found.entry(image).or_default().path_match = PATH_MATCH_SCORE;
    }
    Ok(found)
}

/// The pictures that match every term, with the geometric mean of their scores.
fn intersect(each: Vec<HashMap<ImageId, Evidence>>, terms: usize) -> impl Iterator<Item = (ImageId, f32, Vec<usize>)> {
    let mut each = each.into_iter();
    let first = each.next().unwrap_or_default();
    let mut all: HashMap<ImageId, (f32, Vec<usize>)> =
        first.into_iter().map(|(image, evidence)| (image, (evidence.score(), evidence.labels))).collect();
    for other in each {
        all.retain(|image, (product, labels)| {
            let Some(evidence) = other.get(image) else { return false };
            *product *= evidence.score();
            labels.extend(&evidence.labels);
            true
        });
    }
    all.into_iter().map(move |(image, (product, labels))| (image, product.powf(1.0 / terms as f32), labels))
}
