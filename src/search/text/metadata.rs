//! Evidence from what pictures say of themselves: titles, descriptions, keywords and names of people.

use super::METADATA_MATCH_SCORE;
use super::evidence::{Evidence, Found, Source};
use super::query::MatchKind;
use crate::error::Result;
use crate::model::Term;
use crate::store::Store;

/// The metadata of present files.
pub(super) struct Said<'a> {
    store: &'a Store,
}

impl<'a> Said<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store }
    }
}

impl Source for Said<'_> {
    fn kind(&self) -> MatchKind {
        MatchKind::Metadata
    }

    fn find(&self, terms: &[Term], _least: f32) -> Result<Vec<Found>> {
        let find = |term: &Term| -> Result<Found> {
            // Somebody has written the words about the picture.
            let evidence = Evidence { certainty: 1.0, score: METADATA_MATCH_SCORE, labels: Vec::new() };
            let images = self.store.images_said_to_be(term.spellings())?;
            let pictures = images.into_iter().map(|image| (image, evidence.clone()));
            Ok(Found { is_known: false, pictures: pictures.collect() })
        };
        terms.iter().map(find).collect()
    }
}
