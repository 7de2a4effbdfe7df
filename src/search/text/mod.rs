//! Search by words: in the labels that models assign, the kinds of things these labels name, colours and paths; and by
//! what a text means.
//!
//! A text is split into terms: the longest names that the [`Vocabulary`] knows, and single words for the rest. Words
//! that say nothing about a picture are left out. How well a picture matches a term is a number from 0 to 1, which
//! combines evidence from several sources:
//!
//! - **labels**: the sum of the scores of all its labels that the term names, directly or as a kind. Each step up to the
//!   kind costs a hundredth. A sum below [`MIN_LABEL_SCORE`] does not count, unless the query sets another threshold.
//! - **colours**: 0.5 and the share of the picture, at most 1, if the colour covers at least 5 % of it. A name that is
//!   also a label, such as orange, is a colour only beside other words.
//! - **paths**: [`PATH_MATCH_SCORE`] if the words occur in the path of one of its files, or in the name of the folder
//!   that was added.
//! - **metadata**: [`METADATA_MATCH_SCORE`] if the words occur in the title, the description, the keywords or the names of
//!   people that the picture or an XMP file beside it holds.
//!
//! The combined score is the probability that at least one match is right, if they were independent. The score of
//! several terms is the geometric mean. An unknown term counts 0.5, and a known one that the picture does not
//! match 0.25. Pictures that match all known terms are found; if there are none, those that match the most. With a
//! threshold, all pictures with this score are found.
//!
//! If a word is no name, or no picture shows what several words name, the **meaning** of the text counts too: the sum of
//! a picture's label scores, each weighted by how near the label is to the text. A sum below [`MIN_MEANING_SCORE`] does
//! not count. The score is then nine parts of that and one part of what the terms give.
//!
//! Pictures with equal scores come in the order in which they were indexed.

mod colors;
mod evidence;
mod labels;
mod meaning;
mod query;
mod ranking;
mod written;

use std::cmp::Reverse;
use std::collections::HashSet;
use std::path::PathBuf;

use colors::{Colors, is_color};
use evidence::{Source, TermEvidence};
use labels::Labels;
pub use query::{MatchKind, Suggestion, TextAnswer, TextHit, TextQuery, Understood, Why};
use ranking::{Ranked, Ranking};
use written::Written;

use super::companions::Shots;
use crate::error::Result;
use crate::model::{Term, Vocabulary, WordTable};
use crate::store::{ModelRow, SelectedImage, Store};
use crate::types::{Classification, ImageId};

/// Minimum sum of label scores for a label match. Measured on 305 photographs of ImageNet with the built-in model,
/// where it finds dogs, vehicles and birds with a precision of 1 and a recall of at least 0.95.
pub const MIN_LABEL_SCORE: f32 = 0.4;
/// The score of a path match.
pub const PATH_MATCH_SCORE: f32 = 0.5;
/// The score of a match in the metadata of a picture.
pub const METADATA_MATCH_SCORE: f32 = 0.8;
/// Minimum sum of label scores, weighted by nearness, for a match by meaning.
pub const MIN_MEANING_SCORE: f32 = meaning::MIN_SCORE;
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
    let excluded = excluded(store, model, query)?;
    let terms = Vocabulary::get().terms_in(&query.text, query.language.as_deref());
    if !terms.is_empty() {
        return search_terms(store, model, &terms, query, &excluded, count);
    }
    // Punctuation alone names nothing. It must not match everything, as an empty text does.
    let hits = if query.text.trim().is_empty() { selected(store, query, &excluded, count)? } else { Vec::new() };
    Ok(Searched { hits, ..Searched::default() })
}

/// The pictures that the texts to leave out find.
fn excluded(store: &Store, model: ModelRow, query: &TextQuery) -> Result<HashSet<ImageId>> {
    let mut excluded = HashSet::new();
    for text in &query.minus {
        let terms = Vocabulary::get().terms_in(text, query.language.as_deref());
        let matches = Matches::find(store, model, &terms, &TextQuery { threshold: None, ..query.clone() })?;
        let (ranked, is_complete) = matches.best(None);
        // A picture that shows only some of what was named is not what was meant.
        let is_meant = |ranked: &&Ranked<'_>| is_complete || ranked.evidence.iter().any(|one| one.term.is_none());
        excluded.extend(ranked.iter().filter(is_meant).map(|ranked| ranked.image));
    }
    Ok(excluded)
}

/// The pictures that pass the filter of a query without words. Those with the most of the selected colours come first.
fn selected(store: &Store, query: &TextQuery, excluded: &HashSet<ImageId>, count: usize) -> Result<Vec<TextHit>> {
    let mut selected = store.select_images(&query.filter.selection(store)?)?;
    selected.retain(|selected| !excluded.contains(&selected.image));
    selected.retain(|selected| query.threshold.is_none_or(|threshold| selected.color_share >= threshold));
    selected.sort_by(|a, b| b.color_share.total_cmp(&a.color_share).then(a.image.cmp(&b.image)));
    let score = |selected: &SelectedImage| query.filter.has_colors().then_some(selected.color_share);
    let mut shots = Shots::default();
    let hits = selected
        .iter()
        .filter_map(|selected| hit(store, selected.image, score(selected), &[], &[], &mut shots).transpose());
    hits.take(count).collect()
}

fn search_terms(
    store: &Store,
    model: ModelRow,
    terms: &[Term],
    query: &TextQuery,
    excluded: &HashSet<ImageId>,
    count: usize,
) -> Result<Searched> {
    let matches = Matches::find(store, model, terms, query)?;
    let (mut ranked, is_complete) = matches.best(query.threshold);
    ranked.retain(|ranked| !excluded.contains(&ranked.image));
    let all = matches.ranking.above(LOW_THRESHOLD);
    let all = all.iter().filter(|ranked| !excluded.contains(&ranked.image)).count();
    let mut shots = Shots::default();
    let hits = ranked.iter().filter_map(|ranked| {
        hit(store, ranked.image, Some(ranked.score), terms, &ranked.evidence, &mut shots).transpose()
    });
    let hits = hits.take(count).collect::<Result<Vec<_>>>()?;
    Ok(Searched {
        terms: terms.iter().map(|term| term.text().to_owned()).collect(),
        understood: matches.understood(query.threshold.unwrap_or(MIN_LABEL_SCORE)),
        suggestions: matches.suggestions(),
        is_partial: !is_complete && !ranked.is_empty(),
        less_certain: all.saturating_sub(ranked.len()) as u64,
        hits,
    })
}

/// What was found for the terms of a text.
struct Matches<'a> {
    terms: &'a [Term],
    /// The kinds of evidence for single terms.
    kinds: Vec<MatchKind>,
    ranking: Ranking,
    /// The text as a whole, if its meaning was looked up.
    near: Option<NearText>,
}

/// A text whose meaning was looked up.
struct NearText {
    /// The labels nearest to it.
    labels: Vec<Classification>,
    /// The terms that counted.
    meant: Vec<Term>,
}

impl<'a> Matches<'a> {
    /// Collects the evidence of all sources for pictures that the query selects.
    fn find(store: &Store, model: ModelRow, terms: &'a [Term], query: &TextQuery) -> Result<Self> {
        let bar = query.threshold.unwrap_or(MIN_LABEL_SCORE);
        let least = bar.min(LOW_THRESHOLD);
        let labels = Labels::new(store, model)?;
        let sources: [&dyn Source; 4] =
            [&labels, &Colors::new(store), &Written::in_paths(store), &Written::in_metadata(store)];
        let found =
            sources.iter().map(|source| Ok((source.kind(), source.find(terms, least)?))).collect::<Result<_>>()?;
        let mut ranking = Ranking::new(terms.len(), found, |images| allowed(store, query, images))?;
        let mut near = None;
        let meant: Vec<Term> = terms.iter().filter(|term| may_mean_something(term, terms)).cloned().collect();
        let is_named = |term: &Term| {
            terms.iter().position(|other| other.text() == term.text()).is_some_and(|at| ranking.is_known(at))
        };
        // Who looks for a zebra does not want the nearest animal instead.
        let is_one_name = terms.len() == 1 && terms[0].is_known();
        let is_clear = is_one_name || (meant.iter().all(is_named) && ranking.finds_any(bar));
        if !query.exact_words && !is_clear && !meant.is_empty() {
            let named = meant.iter().filter(|term| is_named(term)).count();
            let is_certain = 2 * named > meant.len();
            let mut found = meaning::find(&labels, &meant, is_certain)?;
            if found.labels.is_empty() {
                // `machine` in `machine learning algorithm` is no machine.
                ranking.keep_written();
            }
            let allowed = allowed(store, query, &found.pictures.keys().copied().collect())?;
            let pictures = std::mem::take(&mut found.pictures);
            let pictures = pictures.into_iter().filter(|(image, _)| allowed.contains(image));
            ranking.add_whole(MatchKind::Meaning, pictures);
            near = Some(NearText { labels: found.labels, meant });
        }
        Ok(Self { terms, kinds: sources.iter().map(|source| source.kind()).collect(), ranking, near })
    }

    /// The minimum score for a match by meaning. What is named but not found has to be nearer.
    fn meaning_bar(&self) -> f32 {
        let is_named = (0..self.terms.len()).all(|at| self.ranking.is_known(at));
        if is_named { LOW_THRESHOLD } else { MIN_MEANING_SCORE }
    }

    /// The pictures that are found, best score first, and whether they match all terms that are known.
    fn best(&self, threshold: Option<f32>) -> (Vec<Ranked<'_>>, bool) {
        match threshold {
            Some(threshold) => (self.ranking.above(threshold), true),
            None => self.ranking.best(MIN_LABEL_SCORE, self.meaning_bar()),
        }
    }

    /// Whether the meaning of a term was looked up, so that it is not unknown.
    fn is_meant(&self, term: &Term) -> bool {
        self.near.as_ref().is_some_and(|near| near.meant.iter().any(|meant| meant.text() == term.text()))
    }

    /// How each term was understood, and the text as a whole.
    fn understood(&self, bar: f32) -> Vec<Understood> {
        let mut all = Vec::new();
        for (at, term) in self.terms.iter().enumerate() {
            let one = |kind: MatchKind, matches: u64| {
                let english = term.english().map(str::to_owned);
                Understood { term: term.text().to_owned(), kind, matches, english, nearest: Vec::new() }
            };
            let matches = self.kinds.iter().map(|kind| one(*kind, self.ranking.matches(at, *kind, bar)));
            let before = all.len();
            all.extend(matches.filter(|understood| understood.matches > 0));
            if all.len() > before {
                continue;
            }
            match self.ranking.is_known(at) {
                true if is_color(term, self.terms) => all.push(one(MatchKind::Colour, 0)),
                true => all.push(one(MatchKind::Label, 0)),
                false if self.is_meant(term) => {}
                false => all.push(one(MatchKind::Unknown, 0)),
            }
        }
        if let Some(NearText { labels, meant }) = &self.near {
            let joined = |text: fn(&Term) -> &str| meant.iter().map(text).collect::<Vec<_>>().join(" ");
            let (term, english) = (joined(Term::text), joined(|term| term.english().unwrap_or(term.text())));
            let english = (english != term).then_some(english);
            let bar = if bar == MIN_LABEL_SCORE { self.meaning_bar() } else { bar };
            let matches = self.ranking.whole_matches(bar);
            all.push(Understood { term, kind: MatchKind::Meaning, matches, english, nearest: labels.clone() });
        }
        all
    }

    /// What may have been meant by terms that are not known.
    fn suggestions(&self) -> Vec<Suggestion> {
        let unknown = self.terms.iter().enumerate().filter(|(at, _)| !self.ranking.is_known(*at));
        let unknown = unknown.map(|(_, term)| term).filter(|term| !self.is_meant(term));
        let suggest = |term: &Term| {
            let mut words = Vocabulary::get().spelt_like(term);
            // Nobody who looks for a dog on grass means a grass snake.
            if words.is_empty() && self.ranking.is_empty() {
                words = Vocabulary::get().beginning_with(term);
            }
            Suggestion { term: term.text().to_owned(), words: words.into_iter().map(str::to_owned).collect() }
        };
        unknown.map(suggest).filter(|suggestion| !suggestion.words.is_empty()).collect()
    }
}

/// Whether a term counts for the meaning of a text: a name, or words that are in the table of words. A single word of
/// which the table has only pieces may be misspelt.
fn may_mean_something(term: &Term, terms: &[Term]) -> bool {
    let table = WordTable::get();
    let is_misspelt = || terms.len() == 1 && !table.has_words(term) && !Vocabulary::get().spelt_like(term).is_empty();
    !is_color(term, terms) && (term.is_known() || (table.knows(term) && !is_misspelt()))
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

/// A hit with its paths, labels and reasons. `None` if no present file holds the content, or if it is of a shot that was
/// found before.
fn hit(
    store: &Store,
    image: ImageId,
    score: Option<f32>,
    terms: &[Term],
    evidence: &[&TermEvidence],
    shots: &mut Shots,
) -> Result<Option<TextHit>> {
    if shots.has(image) {
        return Ok(None);
    }
    let Some(picture) = store.picture(image)? else { return Ok(None) };
    let mut labels: Vec<Classification> = Vec::new();
    for label in evidence.iter().flat_map(|one| &one.evidence.labels) {
        if !labels.contains(label) {
            labels.push(label.clone());
        }
    }
    let whole = || terms.iter().map(Term::text).collect::<Vec<_>>().join(" ");
    let why = |one: &&TermEvidence| Why {
        term: one.term.map_or_else(whole, |term| terms[term].text().to_owned()),
        kind: one.kind,
        score: one.evidence.score.min(1.0),
    };
    let paths = sort_by_matches(store.paths_of(image)?, terms);
    let path = paths.first().cloned().unwrap_or(picture.path);
    let companions = shots.add(store, image, &paths)?;
    Ok(Some(TextHit {
        score,
        image: picture.hash,
        path,
        paths,
        companions,
        labels,
        why: evidence.iter().map(why).collect(),
    }))
}

/// Sorts paths by the number of terms that they contain, most terms first.
fn sort_by_matches(mut paths: Vec<PathBuf>, terms: &[Term]) -> Vec<PathBuf> {
    let matches = |path: &PathBuf| terms.iter().filter(|term| term.is_in(&path.to_string_lossy())).count();
    paths.sort_by_cached_key(|path| Reverse(matches(path)));
    paths
}
