//! Evidence from the meaning of a whole text, as its nearness to the labels of pictures.
//!
//! A text is compared with what each label names, and a picture is as near as its labels are, weighted by their scores:
//! ConSE (Norouzi et al., 2014, arXiv:1312.5650). Only texts near something that can be seen count. The constants were
//! chosen on half of 104 texts about photographs and 120 texts about nothing that can be seen (`docs/accuracy.md`).

use std::collections::HashMap;

use super::evidence::Evidence;
use super::labels::Labels;
use crate::error::Result;
use crate::model::{Meaning, Term};
use crate::types::{Classification, ImageId};

/// Minimum cosine of a text with the nearest class. Texts below it are mostly about nothing that can be seen.
const MIN_COSINE: f32 = 0.51;
/// Labels count from this far below the nearest one, more the nearer they are.
const MARGIN: f32 = 0.35;
/// Maximum number of labels that count.
const MAX_LABELS: usize = 100;
/// Number of labels that an answer names.
const NAMED_LABELS: usize = 3;
/// Minimum sum of weighted label scores for a match.
pub(super) const MIN_SCORE: f32 = 0.1;

/// The pictures near a text.
#[derive(Debug, Default)]
pub(super) struct Near {
    /// The labels nearest to the text, with their cosines.
    pub labels: Vec<Classification>,
    /// The pictures with these labels. They need not be held by present files.
    pub pictures: HashMap<ImageId, Evidence>,
}

/// Finds the pictures near the terms of a text; nothing if the text is near nothing that can be seen. With
/// `is_certain`, it is known to be about such things.
pub(super) fn find(labels: &Labels<'_>, terms: &[Term], is_certain: bool) -> Result<Near> {
    let names = Meaning::of_names(terms);
    let is_named = names.is_some();
    let Some(meaning) = names.or_else(|| Meaning::of(terms)) else { return Ok(Near::default()) };
    let cosines = labels.seen().iter().enumerate();
    let mut cosines: Vec<(usize, f32)> =
        cosines.filter_map(|(at, label)| Some((at, meaning.cosine(&label.name)?))).collect();
    cosines.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    // No picture shows what is named, so the pictures nearest to it are the best answer.
    let nearest = match is_named {
        true => cosines.first().map_or(-1.0, |(_, cosine)| *cosine),
        false => meaning.nearest(),
    };
    if nearest < MIN_COSINE && (is_named || !is_certain) {
        return Ok(Near::default());
    }
    cosines.retain(|(_, cosine)| *cosine > nearest - MARGIN);
    cosines.truncate(MAX_LABELS);
    let named = cosines.iter().take(NAMED_LABELS);
    let named = named.map(|(at, cosine)| Classification { label: labels.seen()[*at].name.clone(), score: *cosine });
    let weights = cosines.iter().map(|(at, cosine)| (*at, ((cosine - nearest) / MARGIN + 1.0).clamp(0.0, 1.0)));
    Ok(Near { labels: named.collect(), pictures: labels.pictures(weights.collect())? })
}
