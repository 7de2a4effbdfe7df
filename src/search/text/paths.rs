//! Evidence from the words in paths: those below a root, and those in the name of the root.

use super::PATH_MATCH_SCORE;
use super::evidence::{Evidence, Found, Source};
use super::query::MatchKind;
use crate::error::Result;
use crate::model::Term;
use crate::store::Store;

/// The paths of present files.
pub(super) struct Paths<'a> {
    store: &'a Store,
}

impl<'a> Paths<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store }
    }
}

impl Source for Paths<'_> {
    fn kind(&self) -> MatchKind {
        MatchKind::Path
    }

    fn find(&self, terms: &[Term], _least: f32) -> Result<Vec<Found>> {
        let find = |term: &Term| -> Result<Found> {
            // A path that has the words has them for certain, whatever the picture shows.
            let evidence = Evidence { certainty: 1.0, score: PATH_MATCH_SCORE, labels: Vec::new() };
            let images = self.store.images_with_words(term.spellings())?;
            let pictures = images.into_iter().map(|image| (image, evidence.clone()));
            Ok(Found { is_known: false, pictures: pictures.collect() })
        };
        terms.iter().map(find).collect()
    }
}
