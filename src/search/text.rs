//! Search by words: what models see in pictures, what kinds of things that is, and what paths say.
//!
//! A text is taken apart into terms, each the longest name that the [`Vocabulary`] knows, or a single word. A picture has
//! to have all of them. How well it has one is a number from 0 to 1:
//!
//! - **seen**: the sum of the scores of all its labels that are what the term names or of a kind that it names, since a model that
//!   is not sure of the breed may be sure of the dog; each step up to the kind costs a hundredth. Below [`MIN_LABEL_SCORE`] it does
//!   not count, unless another threshold is asked for;
//! - **said**: [`PATH_MATCH_SCORE`] if the words are in the path of one of its files, or in the name of the folder that was added;
//! - of both, how likely it is that one of them is right, were they independent: 1 - (1 - seen)(1 - said).
//!
//! The score of several terms is their geometric mean. Of equal scores the earlier indexed picture comes first.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::filter::Filter;
use crate::error::Result;
use crate::model::{Term, Vocabulary};
use crate::store::{ModelRow, SeenLabel, SelectedImage, Store};
use crate::types::{ContentHash, ImageId, path_text, paths_text};

/// From this sum of scores on a thing counts as seen. Measured on 305 photographs of ImageNet with the built-in model, where it
/// finds dogs, vehicles and birds with a precision of 1 and a recall of 0.95 and more.
pub const MIN_LABEL_SCORE: f32 = 0.4;
/// What a word in a path is worth.
pub const PATH_MATCH_SCORE: f32 = 0.5;
/// What is left of a label's score for each step up to the kind that was asked for.
const STEP: f32 = 0.99;

/// Words to find pictures by.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TextQuery {
    text: String,
    #[serde(default)]
    filter: Filter,
    #[serde(default)]
    threshold: Option<f32>,
}

impl TextQuery {
    /// The same for another process, which may be in another folder.
    #[must_use]
    pub fn absolute(mut self) -> Self {
        self.filter = self.filter.absolute();
        self
    }

    /// Pictures that have all that a text names; of an empty one, all that pass the filter.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Only pictures that pass this filter.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Only pictures of at least this score, 0 to 1.
    #[must_use]
    pub fn threshold(mut self, threshold: f32) -> Self {
        self.threshold = Some(threshold);
        self
    }
}

/// A picture that was found by words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextHit {
    /// How well it has what was asked for, 0 to 1; without any words, the part of it that has the wanted colour.
    pub score: f32,
    /// Its content.
    pub image: ContentHash,
    /// A file that holds it; of copies, the one whose path says most of what was asked for.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// All files that hold it, `path` first.
    #[serde(with = "paths_text")]
    pub paths: Vec<PathBuf>,
    /// Labels of it that are what was asked for, the surest first.
    pub labels: Vec<String>,
}

/// The answer to a [`TextQuery`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextAnswer {
    /// What the text was taken apart into.
    pub terms: Vec<String>,
    /// Name of the model whose labels were searched.
    pub model: String,
    /// Whether that model has labels at all.
    pub has_labels: bool,
    /// Indexed pictures that this model has not seen yet.
    pub pending: u64,
    /// The pictures, the best first.
    pub hits: Vec<TextHit>,
}

/// How well a picture has what is asked for.
#[derive(Debug, Default, Clone)]
struct Evidence {
    label_match: f32,
    path_match: f32,
    labels: Vec<usize>,
}

impl Evidence {
    fn score(&self) -> f32 {
        1.0 - (1.0 - self.label_match.min(1.0)) * (1.0 - self.path_match)
    }
}

/// Finds the `count` best pictures for a text, and tells what it was taken apart into.
///
/// # Errors
/// When the database fails.
pub(crate) fn search_text(
    store: &Store,
    model: ModelRow,
    query: &TextQuery,
    count: usize,
) -> Result<(Vec<String>, Vec<TextHit>)> {
    let terms = Vocabulary::get().terms(&query.text);
    if terms.is_empty() && !query.text.trim().is_empty() {
        // Signs without a word name nothing; that is not the same as asking for everything.
        return Ok((Vec::new(), Vec::new()));
    }
    let allowed = if query.filter.is_empty() && !terms.is_empty() {
        None
    } else {
        Some(store.select_images(&query.filter.selection(store)?)?)
    };
    let labels = store.labels()?;
    let mut ranked: Vec<(ImageId, f32, Vec<usize>)> = if terms.is_empty() {
        let passed = allowed.unwrap_or_default().into_iter();
        passed.map(|SelectedImage { image, color_share }| (image, color_share, Vec::new())).collect()
    } else {
        let allowed: Option<HashSet<ImageId>> =
            allowed.map(|images| images.into_iter().map(|selected| selected.image).collect());
        let least = query.threshold.unwrap_or(MIN_LABEL_SCORE);
        let each = terms.iter().map(|term| evidence(store, model, term, &labels, least)).collect::<Result<Vec<_>>>()?;
        let all = in_all(each, terms.len());
        all.filter(|(image, ..)| allowed.as_ref().is_none_or(|allowed| allowed.contains(image))).collect()
    };
    ranked.retain(|(_, score, _)| query.threshold.is_none_or(|threshold| *score >= threshold));
    ranked.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut hits = Vec::new();
    for (image, score, seen) in ranked {
        if hits.len() == count {
            break;
        }
        // A content that no present file holds is no answer.
        let Some(picture) = store.picture(image)? else { continue };
        let labels = seen.into_iter().map(|at| labels[at].name.clone()).collect();
        let paths = by_words(store.paths_of(image)?, &terms);
        let path = paths.first().cloned().unwrap_or(picture.path);
        hits.push(TextHit { score, image: picture.hash, path, paths, labels });
    }
    Ok((terms.iter().map(|term| term.text().to_owned()).collect(), hits))
}

/// Of copies, the one first whose path says most of what was asked for.
fn by_words(mut paths: Vec<PathBuf>, terms: &[Term]) -> Vec<PathBuf> {
    let said = |path: &PathBuf| terms.iter().filter(|term| term.is_in(&path.to_string_lossy())).count();
    paths.sort_by_cached_key(|path| Reverse(said(path)));
    paths
}

/// Which pictures have one term, and how well.
fn evidence(
    store: &Store,
    model: ModelRow,
    term: &Term,
    labels: &[SeenLabel],
    least: f32,
) -> Result<HashMap<ImageId, Evidence>> {
    let vocabulary = Vocabulary::get();
    let steps = |at: usize| vocabulary.steps(term, &labels[at].name).map(|steps| (labels[at].row, (at, steps)));
    let meant: HashMap<_, _> = (0..labels.len()).filter_map(steps).collect();
    let mut found: HashMap<ImageId, Evidence> = HashMap::new();
    let mut sums: HashMap<ImageId, f32> = HashMap::new();
    store.for_each_seen(model, meant.keys().copied(), |image, row, score| {
        let (at, steps) = meant[&row];
        *sums.entry(image).or_default() += score;
        let evidence = found.entry(image).or_default();
        evidence.label_match += score * STEP.powi(steps.try_into().unwrap_or(i32::MAX));
        evidence.labels.push(at);
    })?;
    found.retain(|image, _| sums[image] >= least);
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

/// The pictures that have every term, with the geometric mean of their scores.
fn in_all(each: Vec<HashMap<ImageId, Evidence>>, terms: usize) -> impl Iterator<Item = (ImageId, f32, Vec<usize>)> {
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
