//! Evidence that pictures match terms, and the sources that it comes from.
//!
//! A source is one file: it implements [`Source`], and [`super::Matches`] lists it. Nothing else knows where evidence
//! comes from.

use std::collections::HashMap;

use super::query::MatchKind;
use crate::error::Result;
use crate::model::Term;
use crate::types::{Classification, ImageId};

/// A source of evidence, such as labels or paths.
pub(super) trait Source {
    /// How terms match here.
    fn kind(&self) -> MatchKind;

    /// What this source knows of each term, in their order. Pictures with less certainty than `least` may be left out.
    fn find(&self, terms: &[Term], least: f32) -> Result<Vec<Found>>;
}

/// What a source knows of a term.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Whether the term means something to this source, even if no picture matches it.
    pub is_known: bool,
    /// The pictures that match the term. They need not be held by present files.
    pub pictures: HashMap<ImageId, Evidence>,
}

/// Evidence that a picture matches a term.
#[derive(Debug, Default, Clone)]
pub(super) struct Evidence {
    /// What is compared with the threshold, 0 to 1.
    pub certainty: f32,
    /// What counts for the score, 0 to 1.
    pub score: f32,
    /// The labels that match the term, best score first.
    pub labels: Vec<Classification>,
}

/// Evidence that a picture matches a text, and where it comes from.
#[derive(Debug, Clone)]
pub(super) struct TermEvidence {
    /// Position of the term; `None` for the text as a whole.
    pub term: Option<usize>,
    /// How it matches.
    pub kind: MatchKind,
    pub evidence: Evidence,
}
