//! Combines evidence to scores, and decides which pictures are found.

use std::collections::{HashMap, HashSet};

use super::evidence::{Evidence, Found, TermEvidence};
use super::query::MatchKind;
use crate::error::Result;
use crate::types::ImageId;

/// What counts for a term that no source knows, instead of a score. Nothing speaks against the picture.
const UNKNOWN_SCORE: f32 = 0.5;
/// What counts for a term that is known, but that the picture does not match.
const MISSING_SCORE: f32 = 0.25;

/// The share of the terms in the score of a picture, where the meaning of the text as a whole counts too.
const TERMS_SHARE: f32 = 0.1;

/// All evidence for the terms of a text.
pub(super) struct Ranking {
    /// Whether any source knows each term.
    known: Vec<bool>,
    /// Whether each term is a colour.
    colors: Vec<bool>,
    /// The evidence for each picture, in the order of the terms.
    pictures: HashMap<ImageId, Vec<TermEvidence>>,
    /// The evidence for the text as a whole.
    whole: HashMap<ImageId, TermEvidence>,
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
        let (mut known, mut colors) = (vec![false; terms], vec![false; terms]);
        let mut pictures: HashMap<ImageId, Vec<TermEvidence>> = HashMap::new();
        for (kind, found) in sources {
            for (term, found) in found.into_iter().enumerate() {
                known[term] |= found.is_known;
                colors[term] |= found.is_known && kind == MatchKind::Colour;
                for (image, evidence) in found.pictures.into_iter().filter(|(image, _)| allowed.contains(image)) {
                    known[term] = true;
                    pictures.entry(image).or_default().push(TermEvidence { term: Some(term), kind, evidence });
                }
            }
        }
        for evidence in pictures.values_mut() {
            evidence.sort_by_key(|one| (one.term, one.kind));
        }
        Ok(Self { known, colors, pictures, whole: HashMap::new() })
    }

    /// Adds evidence for the text as a whole. It counts beside that for all terms together.
    pub(super) fn add_whole(&mut self, kind: MatchKind, pictures: impl Iterator<Item = (ImageId, Evidence)>) {
        self.whole.extend(pictures.map(|(image, evidence)| (image, TermEvidence { term: None, kind, evidence })));
    }

    /// Forgets all evidence but that of paths and metadata, because the text is about nothing that can be seen.
    pub(super) fn keep_written(&mut self) {
        let is_written = |one: &TermEvidence| matches!(one.kind, MatchKind::Path | MatchKind::Metadata);
        self.pictures.values_mut().for_each(|all| all.retain(is_written));
        self.pictures.retain(|_, all| !all.is_empty());
    }

    /// The number of pictures with at least this score for the text as a whole.
    pub(super) fn whole_matches(&self, bar: f32) -> u64 {
        self.whole.values().filter(|one| (1.0 - TERMS_SHARE) * one.evidence.score >= bar).count() as u64
    }

    /// Whether no picture matches any term.
    pub(super) fn is_empty(&self) -> bool {
        self.pictures.is_empty() && self.whole.is_empty()
    }

    /// Whether any picture matches a term with this certainty, other than by a colour.
    pub(super) fn finds_any(&self, bar: f32) -> bool {
        let is_match = |one: &TermEvidence| one.evidence.certainty >= bar && one.kind != MatchKind::Colour;
        self.pictures.values().flatten().any(is_match)
    }

    /// Whether any source knows a term.
    pub(super) fn is_known(&self, term: usize) -> bool {
        self.known[term]
    }

    /// The number of pictures that match a term in this way with enough certainty.
    pub(super) fn matches(&self, term: usize, kind: MatchKind, bar: f32) -> u64 {
        let is_match = |one: &TermEvidence| one.term == Some(term) && one.kind == kind && one.evidence.certainty >= bar;
        self.pictures.values().filter(|all| all.iter().any(is_match)).count() as u64
    }

    /// The pictures that match as many terms as any picture does, best score first, and whether these are all terms
    /// that are known. Only evidence with the certainty `bar` counts. Pictures that match the text as a whole with the
    /// score `whole_bar` are found too.
    pub(super) fn best(&self, bar: f32, whole_bar: f32) -> (Vec<Ranked<'_>>, bool) {
        let mut ranked = self.by_terms(bar);
        let most = ranked.iter().map(|ranked| ranked.matched).max().unwrap_or(0);
        ranked.retain(|ranked| ranked.matched == most);
        let is_complete = most == self.known.iter().filter(|known| **known).count();
        (self.with_whole(ranked, whole_bar), most == 0 || is_complete)
    }

    /// All pictures with at least this score, best score first. Only evidence with at least this certainty counts.
    pub(super) fn above(&self, threshold: f32) -> Vec<Ranked<'_>> {
        let mut ranked = self.with_whole(self.by_terms(threshold), threshold);
        ranked.retain(|ranked| ranked.score >= threshold);
        ranked
    }

    /// The pictures that match any term. A colour alone finds a picture only if the text names nothing else.
    fn by_terms(&self, bar: f32) -> Vec<Ranked<'_>> {
        let ranked = self.pictures.iter().filter_map(|(image, all)| self.rank(*image, all, bar));
        let has_others = |ranked: &Ranked<'_>| ranked.evidence.iter().any(|one| one.kind != MatchKind::Colour);
        let are_colors = self.colors.iter().all(|is_color| *is_color);
        ranked.filter(|ranked| are_colors || has_others(ranked)).collect()
    }

    /// The evidence for the colours of a text in a picture, and the factor that they give: a picture without a colour
    /// counts for as much as one that shows something else.
    fn colors_of(&self, image: ImageId) -> (Vec<&TermEvidence>, f32) {
        let all = self.pictures.get(&image).map_or(&[][..], Vec::as_slice);
        let found: Vec<&TermEvidence> = all.iter().filter(|one| one.kind == MatchKind::Colour).collect();
        let missing = self.colors.iter().filter(|is_color| **is_color).count() - found.len();
        let factor = found.iter().map(|one| one.evidence.score).product::<f32>() * UNKNOWN_SCORE.powi(missing as i32);
        (found, factor)
    }

    /// These pictures and those that match the text as a whole, best score first.
    fn with_whole<'a>(&'a self, mut ranked: Vec<Ranked<'a>>, bar: f32) -> Vec<Ranked<'a>> {
        if !self.whole.is_empty() {
            ranked.iter_mut().for_each(|ranked| ranked.score *= TERMS_SHARE);
        }
        let at: HashMap<ImageId, usize> = ranked.iter().enumerate().map(|(at, ranked)| (ranked.image, at)).collect();
        for (image, one) in &self.whole {
            let (colors, factor) = self.colors_of(*image);
            let score = (1.0 - TERMS_SHARE) * one.evidence.score.min(1.0) * factor;
            match at.get(image) {
                Some(at) => {
                    let ranked = &mut ranked[*at];
                    ranked.score += score;
                    ranked.evidence.push(one);
                }
                None if score >= bar => {
                    let evidence = colors.into_iter().chain([one]).collect();
                    ranked.push(Ranked { image: *image, score, evidence, matched: 0 });
                }
                None => {}
            }
        }
        ranked.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.image.cmp(&b.image)));
        ranked
    }

    /// A picture with the score that its evidence gives; `None` if it matches no term.
    fn rank<'a>(&self, image: ImageId, all: &'a [TermEvidence], bar: f32) -> Option<Ranked<'a>> {
        let evidence: Vec<&TermEvidence> = all.iter().filter(|one| one.evidence.certainty >= bar).collect();
        let (mut product, mut matched) = (1.0_f32, 0);
        for (term, is_known) in self.known.iter().enumerate() {
            let scores = evidence.iter().filter(|one| one.term == Some(term)).map(|one| one.evidence.score);
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
        let (best, is_complete) = ranking.best(0.4, 0.2);
        assert_eq!((images(&best), is_complete), (vec![2], true));
        assert_eq!(images(&ranking.above(0.2)), [2, 1, 3]);
    }

    #[test]
    fn without_a_picture_that_has_all_terms_those_with_the_most_are_found() {
        let ranking =
            ranking(vec![found(true, &[(1, 0.9), (2, 0.8)]), found(true, &[(2, 0.7), (3, 0.9)]), found(true, &[])]);
        let (best, is_complete) = ranking.best(0.4, 0.2);
        assert_eq!((images(&best), is_complete), (vec![2], false));
    }

    #[test]
    fn evidence_for_the_whole_text_adds_pictures_and_raises_scores() {
        let mut ranking = ranking(vec![found(true, &[(1, 0.9), (2, 0.8)]), found(false, &[])]);
        let evidence = |score: f32| Evidence { certainty: score, score, labels: Vec::new() };
        let whole = [(2, 0.7), (3, 0.3), (4, 0.1)].map(|(image, score)| (ImageId(image), evidence(score)));
        ranking.add_whole(MatchKind::Meaning, whole.into_iter());
        let best = ranking.best(0.4, 0.2).0;
        assert_eq!(images(&best), [2, 3, 1]);
        assert!(best[0].score > 0.6 && best[1].score > 0.2 && best[2].score < 0.1 && ranking.whole_matches(0.2) == 2);
    }

    #[test]
    fn an_unknown_term_lowers_the_score_and_a_missing_one_lowers_it_more() {
        let score = |known: bool| ranking(vec![found(true, &[(1, 0.9)]), found(known, &[])]).best(0.4, 0.2).0[0].score;
        assert!(score(true) < score(false) && score(false) < 0.9);
        let ranking = ranking(vec![found(false, &[]), found(false, &[])]);
        let (best, is_complete) = ranking.best(0.4, 0.2);
        assert!(best.is_empty() && is_complete);
    }
}
