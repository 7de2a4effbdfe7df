//! Combines evidence to scores, and decides which pictures are found.

use std::collections::{HashMap, HashSet};

use super::evidence::{Found, TermEvidence};
use super::query::MatchKind;
use crate::error::Result;
use crate::types::ImageId;

/// What counts for a term that no source knows, instead of a score. Nothing speaks against the picture.
const UNKNOWN_SCORE: f32 = 0.5;
/// What counts for a term that is known, but that the picture does not match.
const MISSING_SCORE: f32 = 0.25;

/// All evidence for the terms of a text.
pub(super) struct Ranking {
    /// Whether any source knows each term.
    known: Vec<bool>,
    /// The evidence for each picture, in the order of the terms.
    pictures: HashMap<ImageId, Vec<TermEvidence>>,
}

/// A picture that was found.
pub(super) struct Ranked<'a> {
    pub image: ImageId,
    pub score: f32,
    /// The evidence that counted, in the order of the terms.
    pub evidence: Vec<&'a TermEvidence>,
    /// The number of terms that it matches.
    matched: usize,
}

impl Ranking {
    /// Collects what each source found for each of `terms` terms. Of the pictures, only those that are allowed count.
    pub(super) fn new(
        terms: usize,
        sources: Vec<(MatchKind, Vec<Found>)>,
        is_allowed: impl Fn(&HashSet<ImageId>) -> Result<HashSet<ImageId>>,
    ) -> Result<Self> {
        let all: HashSet<ImageId> =
            sources.iter().flat_map(|(_, found)| found).flat_map(|found| found.pictures.keys().copied()).collect();
        let allowed = is_allowed(&all)?;
        let mut known = vec![false; terms];
        let mut pictures: HashMap<ImageId, Vec<TermEvidence>> = HashMap::new();
        for (kind, found) in sources {
            for (term, found) in found.into_iter().enumerate() {
                known[term] |= found.is_known;
                for (image, evidence) in found.pictures.into_iter().filter(|(image, _)| allowed.contains(image)) {
                    known[term] = true;
                    pictures.entry(image).or_default().push(TermEvidence { term, kind, evidence });
                }
            }
        }
        for evidence in pictures.values_mut() {
            evidence.sort_by_key(|one| (one.term, one.kind));
        }
        Ok(Self { known, pictures })
    }

    /// Whether no picture matches any term.
    pub(super) fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    /// Whether any source knows a term.
    pub(super) fn is_known(&self, term: usize) -> bool {
        self.known[term]
    }

    /// The number of pictures that match a term in this way with enough certainty.
    pub(super) fn matches(&self, term: usize, kind: MatchKind, bar: f32) -> u64 {
        let is_match = |one: &TermEvidence| one.term == term && one.kind == kind && one.evidence.certainty >= bar;
        self.pictures.values().filter(|all| all.iter().any(is_match)).count() as u64
    }

    /// The pictures that match as many terms as any picture does, best score first, and whether these are all terms
    /// that are known. Only evidence with the certainty `bar` counts.
    pub(super) fn best(&self, bar: f32) -> (Vec<Ranked<'_>>, bool) {
        let mut ranked = self.ranked(bar);
        let most = ranked.iter().map(|ranked| ranked.matched).max().unwrap_or(0);
        ranked.retain(|ranked| ranked.matched == most);
        (ranked, most == self.known.iter().filter(|known| **known).count())
    }

    /// All pictures with at least this score, best score first. Only evidence with at least this certainty counts.
    pub(super) fn above(&self, threshold: f32) -> Vec<Ranked<'_>> {
        let mut ranked = self.ranked(threshold);
        ranked.retain(|ranked| ranked.score >= threshold);
        ranked
    }

    fn ranked(&self, bar: f32) -> Vec<Ranked<'_>> {
        let mut ranked: Vec<Ranked<'_>> =
            self.pictures.iter().filter_map(|(image, all)| self.rank(*image, all, bar)).collect();
        ranked.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.image.cmp(&b.image)));
        ranked
    }

    /// A picture with the score that its evidence gives; `None` if it matches no term.
    fn rank<'a>(&self, image: ImageId, all: &'a [TermEvidence], bar: f32) -> Option<Ranked<'a>> {
        let evidence: Vec<&TermEvidence> = all.iter().filter(|one| one.evidence.certainty >= bar).collect();
        let (mut product, mut matched) = (1.0_f32, 0);
        for (term, is_known) in self.known.iter().enumerate() {
            let scores = evidence.iter().filter(|one| one.term == term).map(|one| one.evidence.score);
            product *= match combined(scores) {
                Some(score) => {
                    matched += 1;
                    score
                }
                None if *is_known => MISSING_SCORE,
                None => UNKNOWN_SCORE,
            };
        }
        let score = product.powf(1.0 / self.known.len() as f32);
        (matched > 0).then_some(Ranked { image, score, evidence, matched })
    }
}

/// The probability that at least one match is right, if they were independent. `None` without any.
fn combined(scores: impl Iterator<Item = f32>) -> Option<f32> {
    scores.fold(None, |all, score| Some(1.0 - (1.0 - all.unwrap_or(0.0)) * (1.0 - score.min(1.0))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::text::evidence::Evidence;

    fn found(is_known: bool, pictures: &[(i64, f32)]) -> Found {
        let evidence = |score: f32| Evidence { certainty: score, score, labels: Vec::new() };
        Found {
            is_known,
            pictures: pictures.iter().map(|(image, score)| (ImageId(*image), evidence(*score))).collect(),
        }
    }

    fn ranking(labels: Vec<Found>) -> Ranking {
        let terms = labels.len();
        Ranking::new(terms, vec![(MatchKind::Label, labels)], |all| Ok(all.clone())).expect("no database is needed")
    }

    fn images(ranked: &[Ranked<'_>]) -> Vec<i64> {
        ranked.iter().map(|ranked| ranked.image.0).collect()
    }

    #[test]
    fn pictures_with_all_terms_leave_out_the_others() {
        let ranking = ranking(vec![found(true, &[(1, 0.9), (2, 0.8)]), found(true, &[(2, 0.7), (3, 0.9)])]);
        let (best, is_complete) = ranking.best(0.4);
        assert_eq!((images(&best), is_complete), (vec![2], true));
        assert_eq!(images(&ranking.above(0.2)), [2, 1, 3]);
    }

    #[test]
    fn without_a_picture_that_has_all_terms_those_with_the_most_are_found() {
        let ranking =
            ranking(vec![found(true, &[(1, 0.9), (2, 0.8)]), found(true, &[(2, 0.7), (3, 0.9)]), found(true, &[])]);
        let (best, is_complete) = ranking.best(0.4);
        assert_eq!((images(&best), is_complete), (vec![2], false));
    }

    #[test]
    fn an_unknown_term_lowers_the_score_and_a_missing_one_lowers_it_more() {
        let score = |known: bool| ranking(vec![found(true, &[(1, 0.9)]), found(known, &[])]).best(0.4).0[0].score;
        assert!(score(true) < score(false) && score(false) < 0.9);
        let ranking = ranking(vec![found(false, &[]), found(false, &[])]);
        let (best, is_complete) = ranking.best(0.4);
        assert!(best.is_empty() && is_complete);
    }
}
