//! Evidence from words that people have written: in paths and the names of roots, and in the metadata of pictures.

use super::evidence::{Evidence, Found, Source};
use super::query::MatchKind;
use super::{METADATA_MATCH_SCORE, PATH_MATCH_SCORE};
use crate::error::Result;
use crate::model::Term;
use crate::store::Store;
use crate::types::ImageId;

/// Words that are stored with present files.
pub(super) struct Written<'a> {
    store: &'a Store,
    kind: MatchKind,
    score: f32,
    /// The images whose words contain one of these phrases.
    find: fn(&Store, &[String]) -> Result<Vec<ImageId>>,
}

impl<'a> Written<'a> {
    /// Words in paths below a root, and in the name of the root.
    pub(super) fn in_paths(store: &'a Store) -> Self {
        Self { store, kind: MatchKind::Path, score: PATH_MATCH_SCORE, find: Store::images_with_words }
    }

    /// Words in titles, descriptions, keywords and names of people.
    pub(super) fn in_metadata(store: &'a Store) -> Self {
        Self { store, kind: MatchKind::Metadata, score: METADATA_MATCH_SCORE, find: Store::images_said_to_be }
    }
}

impl Source for Written<'_> {
    fn kind(&self) -> MatchKind {
        self.kind
    }

    fn find(&self, terms: &[Term], _least: f32) -> Result<Vec<Found>> {
        let find = |term: &Term| -> Result<Found> {
            // The words are there for certain, whatever the picture shows.
            let evidence = Evidence { certainty: 1.0, score: self.score, labels: Vec::new() };
            let images = (self.find)(self.store, term.spellings())?;
            let pictures = images.into_iter().map(|image| (image, evidence.clone()));
            Ok(Found { is_known: false, pictures: pictures.collect() })
        };
        terms.iter().map(find).collect()
    }
}
