//! Search by words: in the labels that models assign, the kinds of things these labels name, and paths.
//!
//! A text is split into terms: the longest names that the [`Vocabulary`] knows, and single words for the rest. Words
//! that say nothing about a picture are left out. How well a picture matches a term is a number from 0 to 1, which
//! combines evidence from several sources:
//!
//! - **labels**: the sum of the scores of all its labels that the term names, directly or as a kind. Each step up to the
//!   kind costs a hundredth. A sum below [`MIN_LABEL_SCORE`] does not count, unless the query sets another threshold.
//! - **paths**: [`PATH_MATCH_SCORE`] if the words occur in the path of one of its files, or in the name of the folder
//!   that was added.
//!
//! The combined score is the probability that at least one match is right, if they were independent. The score of
//! several terms is the geometric mean. An unknown term counts 0.5, and a known one that the picture does not
//! match 0.25. Pictures that match all known terms are found; if there are none, those that match the most. With a
//! threshold, all pictures with this score are found. Pictures with equal scores come in the order in which they were
//! indexed.

mod evidence;
mod labels;
mod paths;
mod query;
mod ranking;

use std::cmp::Reverse;
use std::collections::HashSet;
use std::path::PathBuf;

use evidence::{Source, TermEvidence};
use labels::Labels;
use paths::Paths;
pub use query::{MatchKind, Suggestion, TextAnswer, TextHit, TextQuery, Understood, Why};
use ranking::Ranking;

use crate::error::Result;
use crate::model::{Term, Vocabulary};
use crate::store::{ModelRow, SelectedImage, Store};
use crate::types::{Classification, ColorName, ImageId};

/// Minimum sum of label scores for a label match. Measured on 305 photographs of ImageNet with the built-in model,
/// where it finds dogs, vehicles and birds with a precision of 1 and a recall of at least 0.95.
pub const MIN_LABEL_SCORE: f32 = 0.4;
/// The score of a path match.
pub const PATH_MATCH_SCORE: f32 = 0.5;
/// The threshold that shows less certain pictures, which an answer counts.
pub const LOW_THRESHOLD: f32 = 0.2;

/// What was found for a text, without what the model says about itself.
#[derive(Debug, Default)]
pub(crate) struct Searched {
    pub(crate) terms: Vec<String>,
    pub(crate) understood: Vec<Understood>,
    pub(crate) suggestions: Vec<Suggestion>,
    pub(crate) is_partial: bool,
    pub(crate) less_certain: u64,
    pub(crate) hits: Vec<TextHit>,
}

/// Finds the `count` best pictures for a text.
///
/// # Errors
/// If the database fails.
pub(crate) fn search_text(store: &Store, model: ModelRow, query: &TextQuery, count: usize) -> Result<Searched> {
    let terms = Vocabulary::get().terms(&query.text);
    if !terms.is_empty() {
        return search_terms(store, &sources(store, model)?, &terms, query, count);
    }
    // Punctuation alone names nothing. It must not match everything, as an empty text does.
    let hits = if query.text.trim().is_empty() { selected(store, query, count)? } else { Vec::new() };
    Ok(Searched { hits, ..Searched::default() })
}

/// All sources of evidence.
fn sources<'a>(store: &'a Store, model: ModelRow) -> Result<Vec<Box<dyn Source + 'a>>> {
    Ok(vec![Box::new(Labels::new(store, model)?), Box::new(Paths::new(store))])
}

/// The pictures that pass the filter of a query without words. Those with the most of the selected colours come first.
fn selected(store: &Store, query: &TextQuery, count: usize) -> Result<Vec<TextHit>> {
    let mut selected = store.select_images(&query.filter.selection(store)?)?;
    selected.retain(|selected| query.threshold.is_none_or(|threshold| selected.color_share >= threshold));
    selected.sort_by(|a, b| b.color_share.total_cmp(&a.color_share).then(a.image.cmp(&b.image)));
    let score = |selected: &SelectedImage| query.filter.has_colors().then_some(selected.color_share);
    let hits = selected.iter().filter_map(|selected| hit(store, selected.image, score(selected), &[], &[]).transpose());
    hits.take(count).collect()
}

fn search_terms(
    store: &Store,
    sources: &[Box<dyn Source + '_>],
    terms: &[Term],
    query: &TextQuery,
    count: usize,
) -> Result<Searched> {
    let bar = query.threshold.unwrap_or(MIN_LABEL_SCORE);
    let least = bar.min(LOW_THRESHOLD);
    let found = sources.iter().map(|source| Ok((source.kind(), source.find(terms, least)?))).collect::<Result<_>>()?;
    let ranking = Ranking::new(terms.len(), found, |images| allowed(store, query, images))?;
    let (ranked, is_complete) = match query.threshold {
        Some(threshold) => (ranking.above(threshold), true),
        None => ranking.best(bar),
    };
    let less_certain = ranking.above(LOW_THRESHOLD).len().saturating_sub(ranked.len()) as u64;
    let hits = ranked.iter().take(count);
    let hits =
        hits.filter_map(|ranked| hit(store, ranked.image, Some(ranked.score), terms, &ranked.evidence).transpose());
    let hits = hits.collect::<Result<Vec<_>>>()?;
    Ok(Searched {
        terms: terms.iter().map(|term| term.text().to_owned()).collect(),
        understood: understood(sources, terms, &ranking, bar),
        suggestions: suggestions(terms, &ranking),
        is_partial: !is_complete && !ranked.is_empty(),
        less_certain,
        hits,
    })
}

/// Of these images, those that pass the filter of the query, could be decoded, and are held by present files.
fn allowed(store: &Store, query: &TextQuery, images: &HashSet<ImageId>) -> Result<HashSet<ImageId>> {
    let mut allowed = images.clone();
    if !query.filter.is_empty() {
        let selected = store.select_images(&query.filter.selection(store)?)?;
        let selected: HashSet<ImageId> = selected.into_iter().map(|selected| selected.image).collect();
        allowed.retain(|image| selected.contains(image));
    }
    store.retain_pictures(&mut allowed)?;
    Ok(allowed)
}

/// How each term was understood.
fn understood(sources: &[Box<dyn Source + '_>], terms: &[Term], ranking: &Ranking, bar: f32) -> Vec<Understood> {
    let mut all = Vec::new();
    for (at, term) in terms.iter().enumerate() {
        let one = |kind: MatchKind, matches: u64| Understood { term: term.text().to_owned(), kind, matches };
        let matches = sources.iter().map(|source| one(source.kind(), ranking.matches(at, source.kind(), bar)));
        let before = all.len();
        all.extend(matches.filter(|understood| understood.matches > 0));
        if all.len() == before {
            let kind = match term {
                _ if ranking.is_known(at) => MatchKind::Label,
                term if is_color(term) => MatchKind::Colour,
                _ => MatchKind::Unknown,
            };
            all.push(one(kind, 0));
        }
    }
    all
}

/// Whether a term names a colour. A picture is not found by it: a filter selects by colour.
fn is_color(term: &Term) -> bool {
    ColorName::from_name(term.text()).is_some()
}

/// What may have been meant by terms that are not known.
fn suggestions(terms: &[Term], ranking: &Ranking) -> Vec<Suggestion> {
    let unknown = terms.iter().enumerate().filter(|(at, term)| !ranking.is_known(*at) && !is_color(term));
    let suggest = |term: &Term| {
        let mut words = Vocabulary::get().spelt_like(term);
        // Nobody who looks for a dog on grass means a grass snake.
        if words.is_empty() && ranking.is_empty() {
            words = Vocabulary::get().beginning_with(term);
        }
        Suggestion { term: term.text().to_owned(), words: words.into_iter().map(str::to_owned).collect() }
    };
    unknown.map(|(_, term)| suggest(term)).filter(|suggestion| !suggestion.words.is_empty()).collect()
}

/// A hit with its paths, labels and reasons. `None` if no present file holds the content.
fn hit(
    store: &Store,
    image: ImageId,
    score: Option<f32>,
    terms: &[Term],
    evidence: &[&TermEvidence],
) -> Result<Option<TextHit>> {
    let Some(picture) = store.picture(image)? else { return Ok(None) };
    let mut labels: Vec<Classification> = Vec::new();
    for label in evidence.iter().flat_map(|one| &one.evidence.labels) {
        if !labels.contains(label) {
            labels.push(label.clone());
        }
    }
    let why = |one: &&TermEvidence| Why {
        term: terms[one.term].text().to_owned(),
        kind: one.kind,
        score: one.evidence.score.min(1.0),
    };
    let paths = sort_by_matches(store.paths_of(image)?, terms);
    let path = paths.first().cloned().unwrap_or(picture.path);
    Ok(Some(TextHit { score, image: picture.hash, path, paths, labels, why: evidence.iter().map(why).collect() }))
}

/// Sorts paths by the number of terms that they contain, most terms first.
fn sort_by_matches(mut paths: Vec<PathBuf>, terms: &[Term]) -> Vec<PathBuf> {
    let matches = |path: &PathBuf| terms.iter().filter(|term| term.is_in(&path.to_string_lossy())).count();
    paths.sort_by_cached_key(|path| Reverse(matches(path)));
    paths
}
