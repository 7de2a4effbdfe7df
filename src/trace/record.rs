//! A picture that was traced, and how it is remembered.

use std::cmp::Ordering;
use std::time::Duration;

use image::RgbImage;
use serde::Serialize;

use super::{CANDIDATES, CandidateScores, Found, Tier, TraceFacts, TraceOptions};
use crate::media::{Filter, scale_rgb};
use crate::store::TraceRow;
use crate::types::ContentHash;
use crate::vector::{Parameters, Quality, Source};

/// Rises whenever the same picture would get another drawing. What others have found is made again, and nothing is learned from it.
pub const VERSION: u32 = 2;

/// A picture as paths, and how that came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Traced {
    /// Digest of the picture's content.
    pub hash: ContentHash,
    /// What was known of the picture before.
    pub facts: TraceFacts,
    /// How much was tried: what was asked for, or more.
    pub tier: Tier,
    /// The SVG document, of the picture's size.
    pub svg: String,
    /// How it was made.
    pub parameters: Parameters,
    /// How much it looks like the picture.
    pub quality: Quality,
    /// What it is worth: [`score`](crate::vector::score).
    pub score: f64,
    /// Areas that it has.
    pub shapes: u32,
    /// Drawings that were compared.
    pub tried: u32,
    /// Whether there was time for all that the tier tries.
    pub complete: bool,
    /// How long it took to find it, at the time.
    pub time: Duration,
    /// Whether it was found by an earlier trace.
    pub stored: bool,
    /// What it was compared with, where that was asked for.
    pub compared: Option<Compared>,
}

/// The pixels that a drawing is compared with, 512 a side at most.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// The picture, with what is transparent in it filled.
    pub pixels: RgbImage,
    /// The colour that it is filled with.
    pub ground: [u8; 3],
}

impl Compared {
    pub(crate) fn of(source: &Source) -> Self {
        let (width, height) = source.pixels().dimensions();
        let scale = (512.0 / f64::from(width.max(height))).min(1.0);
        let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
        let pixels = match scale < 1.0 {
            true => scale_rgb(source.pixels(), side(width), side(height), Filter::Lanczos),
            false => source.pixels().clone(),
        };
        Self { pixels, ground: source.ground() }
    }
}

impl Traced {
    /// What was found just now.
    pub(crate) fn new(hash: ContentHash, facts: TraceFacts, tier: Tier, found: Found, time: Duration) -> Self {
        let Found { svg, parameters, quality, score, shapes, tried, complete, .. } = found;
        let (stored, compared) = (false, None);
        Self { hash, facts, tier, svg, parameters, quality, score, shapes, tried, complete, time, stored, compared }
    }

    /// What is remembered; `None` if another version has found it, or it makes no sense to this one.
    pub(crate) fn from_row(row: TraceRow) -> Option<Self> {
        (row.version == VERSION).then_some(())?;
        Some(Self {
            hash: row.hash,
            facts: serde_json::from_str(&row.facts).ok()?,
            tier: Tier::from_rank(row.tier)?,
            svg: row.svg,
            parameters: serde_json::from_str(&row.parameters).ok().filter(Parameters::are_valid)?,
            quality: Quality { ssimulacra2: row.ssimulacra2, ssim: row.ssim },
            score: row.score,
            shapes: row.shapes,
            tried: row.tried,
            complete: row.complete,
            time: Duration::from_millis(row.milliseconds),
            stored: true,
            compared: None,
        })
    }

    /// What is to be remembered.
    pub(crate) fn to_row(&self, candidates: &CandidateScores) -> TraceRow {
        TraceRow {
            hash: self.hash,
            version: VERSION,
            tier: self.tier.rank(),
            complete: self.complete,
            milliseconds: self.time.as_millis() as u64,
            tried: self.tried,
            kind: self.facts.kind,
            facts: json(&self.facts),
            parameters: json(&self.parameters),
            candidates: json(candidates),
            score: self.score,
            ssimulacra2: self.quality.ssimulacra2,
            ssim: self.quality.ssim,
            shapes: self.shapes,
            svg: self.svg.clone(),
        }
    }

    /// Whether it is as good as what is asked for would be: of a higher tier, or the best of this one that there is time for.
    pub(crate) fn suffices(&self, options: &TraceOptions) -> bool {
        let has_all = self.complete || self.tried >= CANDIDATES.len() as u32;
        match self.tier.cmp(&options.tier) {
            Ordering::Less => false,
            Ordering::Equal => self.complete || self.time >= options.time,
            Ordering::Greater => has_all || options.tier == Tier::Fast,
        }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it is plain data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_was_no_time_for_is_looked_for_again_with_more_time() {
        let traced = |tier, complete, seconds| Traced {
            tier,
            complete,
            time: Duration::from_secs(seconds),
            ..crate::trace::tests::traced()
        };
        let options = |tier, seconds| TraceOptions { time: Duration::from_secs(seconds), ..TraceOptions::of(tier) };
        assert!(traced(Tier::Quality, true, 3).suffices(&options(Tier::Quality, 10)));
        assert!(traced(Tier::Quality, false, 10).suffices(&options(Tier::Quality, 10)));
        assert!(!traced(Tier::Quality, false, 10).suffices(&options(Tier::Quality, 20)));
        assert!(traced(Tier::Quality, false, 1).suffices(&options(Tier::Balanced, 20)), "all six were tried");
        let interrupted = Traced { tried: 2, ..traced(Tier::Quality, false, 1) };
        assert!(!interrupted.suffices(&options(Tier::Balanced, 20)) && interrupted.suffices(&options(Tier::Fast, 20)));
        assert!(!traced(Tier::Fast, true, 1).suffices(&options(Tier::Balanced, 1)));
    }

    #[test]
    fn what_is_remembered_is_what_was_found() {
        let traced = crate::trace::tests::traced();
        let row = traced.to_row(&[Some(1.0), None, None, None, None, None]);
        assert_eq!(Traced::from_row(row.clone()), Some(Traced { stored: true, ..traced }));
        let strange = |row: TraceRow| assert_eq!(Traced::from_row(row), None);
        strange(TraceRow { parameters: row.parameters.replace("\"scale\":5.0", "\"scale\":500.0"), ..row.clone() });
        strange(TraceRow { facts: "{".into(), ..row.clone() });
        strange(TraceRow { version: VERSION + 1, ..row.clone() });
        strange(TraceRow { tier: 9, ..row });
    }
}
