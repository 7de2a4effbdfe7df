//! Evidence from the labels that a model assigned, and the kinds of things that these labels name.

use std::collections::HashMap;

use super::evidence::{Evidence, Found, Source};
use super::query::MatchKind;
use crate::error::Result;
use crate::model::{Term, Vocabulary};
use crate::store::{LabelRow, ModelRow, SeenLabel, Store};
use crate::types::{Classification, ImageId};

/// The factor on a label's score for each step up to the kind that the term names.
const STEP_FACTOR: f32 = 0.99;

/// The labels of one model.
pub(super) struct Labels<'a> {
    store: &'a Store,
    model: ModelRow,
    labels: Vec<SeenLabel>,
}

impl<'a> Labels<'a> {
    pub(super) fn new(store: &'a Store, model: ModelRow) -> Result<Self> {
        Ok(Self { store, model, labels: store.labels()? })
    }

    /// The sum of the scores of all labels that the term names, directly or as a kind. A model that is unsure about the
    /// breed may still be sure that it is a dog.
    fn find_one(&self, term: &Term, least: f32) -> Result<Found> {
        let vocabulary = Vocabulary::get();
        let weight = |steps: u32| STEP_FACTOR.powi(steps.try_into().unwrap_or(i32::MAX));
        let steps = |label: &SeenLabel| vocabulary.steps(term, &label.name);
        let named = self.labels.iter().enumerate().filter_map(|(at, label)| Some((at, weight(steps(label)?))));
        let named: Vec<(usize, f32)> = named.collect();
        let is_known = term.is_known() || !named.is_empty();
        let mut pictures = self.pictures(named)?;
        pictures.retain(|_, evidence| evidence.certainty >= least);
        Ok(Found { is_known, pictures })
    }

    /// All labels that were ever assigned.
    pub(super) fn seen(&self) -> &[SeenLabel] {
        &self.labels
    }

    /// The pictures with some of these labels, given as positions in [`seen`](Self::seen) with weights. The certainty of
    /// a picture is the sum of their scores, and its score the weighted sum.
    pub(super) fn pictures(&self, weights: Vec<(usize, f32)>) -> Result<HashMap<ImageId, Evidence>> {
        let weights: HashMap<LabelRow, (&String, f32)> =
            weights.into_iter().map(|(at, weight)| (self.labels[at].row, (&self.labels[at].name, weight))).collect();
        let mut pictures: HashMap<ImageId, Evidence> = HashMap::new();
        self.store.for_each_seen(self.model, weights.keys().copied(), |image, row, score| {
            let (label, weight) = weights[&row];
            let evidence = pictures.entry(image).or_default();
            evidence.certainty += score;
            evidence.score += score * weight;
            evidence.labels.push(Classification { label: label.clone(), score });
        })?;
        Ok(pictures)
    }
}

impl Source for Labels<'_> {
    fn kind(&self) -> MatchKind {
        MatchKind::Label
    }

    fn find(&self, terms: &[Term], least: f32) -> Result<Vec<Found>> {
        terms.iter().map(|term| self.find_one(term, least)).collect()
    }
}
