//! The trace of a picture, and its database row.

use std::cmp::Ordering;
use std::time::Duration;

use image::RgbImage;
use serde::Serialize;

use super::{CANDIDATES, CandidateScores, Tier, TraceFacts, TraceOptions};
use crate::media::{Filter, scale_rgb};
use crate::store::TraceRow;
use crate::types::ContentHash;
use crate::vector::{Parameters, Quality, Source};

/// Version of the tracer; increases whenever the same picture would get a different drawing. Traces of other versions
/// are made again.
const VERSION: u32 = 3;

/// The trace of a picture, and how it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Traced {
    /// Digest of the file's content.
    pub hash: ContentHash,
    /// Properties of the picture, known before the trace.
    pub facts: TraceFacts,
    /// The tier of the search: the requested one or a higher one.
    pub tier: Tier,
    /// The SVG document, with the size of the picture.
    pub svg: String,
    /// The parameters that produced it.
    pub parameters: Parameters,
    /// Its likeness to the picture.
    pub quality: Quality,
    /// Its score: see [`score`](crate::vector::score).
    pub score: f64,
    /// Number of filled areas.
    pub shapes: u32,
    /// Number of parameter sets tried.
    pub tried: u32,
    /// Whether there was time to try everything that the tier includes.
    pub complete: bool,
    /// Whether it was made from a smaller copy of the picture, because there was no time for a better drawing. Such a
    /// trace is not stored, and was compared with that copy.
    pub coarse: bool,
    /// The scores of the candidates.
    pub candidates: CandidateScores,
    /// How long the search took when it ran.
    pub time: Duration,
    /// Whether it comes from the database, found by an earlier trace.
    pub stored: bool,
    /// The pixels that it was compared with, if [`TraceOptions::pixels`] requests them.
    pub compared: Option<Compared>,
}

/// The pixels that a drawing was compared with, at most 512 a side.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// The picture, composited on `ground`.
    pub pixels: RgbImage,
    /// The background colour under transparent parts.
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
    /// Reads a stored trace; `None` if another version made it, or its values are invalid.
    pub(crate) fn from_row(row: TraceRow) -> Option<Self> {
        (row.version == VERSION).then_some(())?;
        Some(Self {
            hash: row.hash,
            facts: serde_json::from_str(&row.facts).ok()?,
            tier: *Tier::ALL.get(usize::from(row.tier))?,
            svg: row.svg,
            parameters: serde_json::from_str(&row.parameters).ok().filter(Parameters::are_valid)?,
            quality: Quality { ssimulacra2: row.ssimulacra2, ssim: row.ssim },
            score: row.score,
            shapes: row.shapes,
            tried: row.tried,
            complete: row.complete,
            coarse: false,
            candidates: serde_json::from_str(&row.candidates).unwrap_or_default(),
            time: Duration::from_millis(row.milliseconds),
            stored: true,
            compared: None,
        })
    }

    /// The row to store.
    pub(crate) fn to_row(&self) -> TraceRow {
        TraceRow {
            hash: self.hash,
            version: VERSION,
            tier: self.tier as u8,
            complete: self.complete,
            milliseconds: self.time.as_millis() as u64,
            tried: self.tried,
            kind: self.facts.kind,
            facts: json(&self.facts),
            parameters: json(&self.parameters),
            candidates: json(&self.candidates),
            score: self.score,
            ssimulacra2: self.quality.ssimulacra2,
            ssim: self.quality.ssim,
            shapes: self.shapes,
            svg: self.svg.clone(),
        }
    }

    /// Whether a new trace with these options could not be better: this one comes from a higher tier that tried at
    /// least as much, or is the best of the same tier within the time limit.
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
    serde_json::to_string(value).expect("plain data serialises to JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_trace_is_repeated_when_there_is_more_time() {
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
    fn a_stored_trace_equals_the_one_that_was_found() {
        let traced = crate::trace::tests::traced();
        let row = traced.to_row();
        assert_eq!(Traced::from_row(row.clone()), Some(Traced { stored: true, ..traced }));
        let strange = |row: TraceRow| assert_eq!(Traced::from_row(row), None);
        strange(TraceRow { parameters: row.parameters.replace("\"scale\":5.0", "\"scale\":500.0"), ..row.clone() });
        strange(TraceRow { facts: "{".into(), ..row.clone() });
        strange(TraceRow { version: VERSION + 1, ..row.clone() });
        strange(TraceRow { tier: 9, ..row });
    }
}
