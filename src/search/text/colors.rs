//! Evidence from the colours that a text names: `red car`.

use super::evidence::{Evidence, Found, Source};
use super::query::MatchKind;
use crate::error::Result;
use crate::model::Term;
use crate::search::filter::Filter;
use crate::store::Store;
use crate::types::ColorName;

/// The score of the smallest share that counts. A picture that is half of this colour has a score of 1.
const BASE_SCORE: f32 = 0.5;

/// The shares of colours in pictures.
pub(super) struct Colors<'a> {
    store: &'a Store,
}

impl<'a> Colors<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store }
    }
}

/// Whether a term names a colour. Alone, `orange` is a fruit.
pub(super) fn is_color(term: &Term, terms: &[Term]) -> bool {
    color_of(term).is_some() && (terms.len() > 1 || !term.is_known())
}

fn color_of(term: &Term) -> Option<ColorName> {
    ColorName::from_name(term.english().unwrap_or(term.text()))
}

impl Source for Colors<'_> {
    fn kind(&self) -> MatchKind {
        MatchKind::Colour
    }

    fn find(&self, terms: &[Term], _least: f32) -> Result<Vec<Found>> {
        let find = |term: &Term| -> Result<Found> {
            let Some(color) = color_of(term).filter(|_| is_color(term, terms)) else { return Ok(Found::default()) };
            let selected = self.store.select_images(&Filter::default().color_name(color).selection(self.store)?)?;
            let pictures = selected.into_iter().map(|selected| {
                let score = (BASE_SCORE + selected.color_share).min(1.0);
                (selected.image, Evidence { certainty: 1.0, score, labels: Vec::new() })
            });
            Ok(Found { is_known: true, pictures: pictures.collect() })
        };
        terms.iter().map(find).collect()
    }
}
