//! Searches for the best drawing of a picture. The tier sets the effort.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use serde::{Deserialize, Serialize};

use super::candidates::CANDIDATES;
use super::limits::Limits;
use crate::vector::{NotDrawn, Parameters, Quality, Reference, Source, score};
use imgidx_types::catching_panics;

/// The effort to spend on a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Tries one candidate.
    Fast,
    /// Tries all six candidates.
    Balanced,
    /// Tries all six, then improves the best one parameter at a time, while that helps and time remains.
    Quality,
}

impl Tier {
    /// All tiers, the fastest first.
    pub const ALL: [Self; 3] = [Self::Fast, Self::Balanced, Self::Quality];

    /// The name that is shown and used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Balanced => "balanced",
            Self::Quality => "quality",
        }
    }

    /// The tier with a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == name)
    }

    /// The number that is stored: 0 is the fastest.
    pub fn rank(self) -> u8 {
        self as u8
    }

    /// The tier with a number.
    pub fn from_rank(rank: u8) -> Option<Self> {
        Self::ALL.get(usize::from(rank)).copied()
    }
}

/// The best drawing that a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The SVG document.
    pub svg: String,
    /// The parameters that produced it.
    pub parameters: Parameters,
    /// Its likeness to the picture.
    pub quality: Quality,
    /// Its score: see [`score`].
    pub score: f64,
    /// Number of filled areas.
    pub shapes: u32,
    /// Number of parameter sets tried.
    pub tried: u32,
    /// Whether there was time to try everything that the tier includes.
    pub complete: bool,
    /// The score of each of [`CANDIDATES`]; `None` if it was not tried or failed.
    pub candidates: CandidateScores,
}

/// The score of each of [`CANDIDATES`] on one picture; `None` if it was not tried or failed.
pub type CandidateScores = [Option<f64>; CANDIDATES.len()];

/// Finds the best drawing of a picture.
///
/// Tries `starts` before anything else, and the first of them even after the deadline. A tier that starts with the
/// result of a lower one therefore never finds a worse drawing.
///
/// # Errors
/// When no drawing can be made or compared.
pub fn find(source: &Source, tier: Tier, starts: &[Parameters], limits: &impl Limits) -> Result<Found, NotDrawn> {
    let reference = Reference::new(source).map_err(NotDrawn::Failed)?;
    let bytes = bytes_for(source, tier);
    let mut attempt =
        Attempt { source, reference: &reference, limits, bytes, best: None, tried: Vec::new(), complete: true };
    let starts = if starts.is_empty() { &CANDIDATES[..1] } else { starts };
    let candidates = if tier >= Tier::Balanced { &CANDIDATES[..] } else { &[] };
    attempt.consider(&[starts, candidates].concat(), |_| false)?;
    if tier == Tier::Quality {
        attempt.descend()?;
    }
    attempt.finish()
}

/// Approximate memory of a search for each CPU that it uses, in bytes.
pub fn bytes_for(source: &Source, tier: Tier) -> u64 {
    let largest = if tier == Tier::Quality { Parameters::LARGEST_SCALE } else { CANDIDATES[0].scale };
    let scale = CANDIDATES.iter().map(|candidate| candidate.scale).fold(largest, f32::max);
    source.traced_bytes(scale) + source.compared_bytes()
}

/// A drawing with its score.
struct Candidate {
    svg: String,
    parameters: Parameters,
    ssimulacra2: f64,
    score: f64,
    shapes: u32,
}

/// The search for the best drawing of one picture.
struct Attempt<'a, L> {
    source: &'a Source,
    reference: &'a Reference,
    limits: &'a L,
    /// Memory for each drawing made at the same time, in bytes.
    bytes: u64,
    best: Option<Candidate>,
    /// The parameter sets tried, with their scores.
    tried: Vec<(Parameters, f64)>,
    complete: bool,
}

impl<L: Limits> Attempt<'_, L> {
    /// Tries the parameter sets that were not tried yet, as many at a time as the limits allow. Stops at the deadline,
    /// or when `is_enough` returns true; its argument is whether this call has found a better drawing.
    ///
    /// Returns whether this call has found a better drawing.
    fn consider(&mut self, all: &[Parameters], is_enough: impl Fn(bool) -> bool) -> Result<bool, NotDrawn> {
        let mut new: Vec<Parameters> = Vec::new();
        for parameters in all {
            if !new.contains(parameters) && !self.tried.iter().any(|(tried, _)| tried == parameters) {
                new.push(*parameters);
            }
        }
        let mut left = new.as_slice();
        let mut is_better = false;
        while !left.is_empty() && !is_enough(is_better) {
            // The very first drawing is made even after the deadline.
            if self.best.is_some() && self.limits.is_late() {
                self.complete = false;
                break;
            }
            let spare: Vec<L::Spare> = (1..left.len()).map_while(|_| self.limits.spare(self.bytes)).collect();
            let (now, later) = left.split_at(spare.len() + 1);
            left = later;
            let mut failed = None;
            for (parameters, drawn) in now.iter().zip(self.draw_all(now)) {
                match drawn {
                    Ok(drawn) => is_better |= self.record(drawn),
                    Err(error) => {
                        // Only a lack of time makes the search incomplete. Other failures leave nothing untried.
                        self.complete &= error != NotDrawn::Late;
                        self.tried.push((*parameters, f64::NEG_INFINITY));
                        failed.get_or_insert(error);
                    }
                }
            }
            if let Some(error) = failed.filter(|_| self.best.is_none()) {
                return Err(error);
            }
        }
        Ok(is_better)
    }

    fn draw_all(&self, all: &[Parameters]) -> Vec<Result<Candidate, NotDrawn>> {
        let must = |i: usize| self.best.is_none() && i == 0;
        let [rest @ .., last] = all else { return Vec::new() };
        thread::scope(|scope| {
            let others: Vec<_> =
                rest.iter().enumerate().map(|(i, it)| scope.spawn(move || self.draw(it, must(i)))).collect();
            let last = self.draw(last, must(rest.len()));
            let broken = |_| Err(NotDrawn::Failed("its thread panicked".into()));
            let mut drawn: Vec<_> = others.into_iter().map(|thread| thread.join().unwrap_or_else(broken)).collect();
            drawn.push(last);
            drawn
        })
    }

    fn draw(&self, parameters: &Parameters, is_needed: bool) -> Result<Candidate, NotDrawn> {
        let draw = AssertUnwindSafe(|| self.draw_unguarded(parameters, is_needed));
        catching_panics(|| catch_unwind(draw)).unwrap_or_else(|_| Err(NotDrawn::Failed("it panicked".into())))
    }

    fn draw_unguarded(&self, parameters: &Parameters, is_needed: bool) -> Result<Candidate, NotDrawn> {
        let is_late = || if is_needed { self.limits.is_too_late() } else { self.limits.is_late() };
        let drawn = self.source.trace(parameters, &is_late)?;
        let ssimulacra2 = self.reference.ssimulacra2(&drawn.svg).map_err(NotDrawn::Failed)?;
        let score = score(ssimulacra2, drawn.svg.len());
        Ok(Candidate { svg: drawn.svg, parameters: *parameters, ssimulacra2, score, shapes: drawn.shapes })
    }

    /// Records a drawing, and returns whether it is the best so far.
    fn record(&mut self, drawn: Candidate) -> bool {
        self.tried.push((drawn.parameters, drawn.score));
        let is_best = self.best.as_ref().is_none_or(|best| drawn.score > best.score);
        if is_best {
            self.best = Some(drawn);
        }
        is_best
    }

    /// Coordinate descent: starts again from each better drawing.
    fn descend(&mut self) -> Result<(), NotDrawn> {
        while let Some(from) = self.best.as_ref().map(|best| best.parameters) {
            let is_better = self.consider(&from.neighbors(), |is_better| is_better)?;
            if !is_better || !self.complete {
                return Ok(());
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Found, NotDrawn> {
        let best = self.best.ok_or(NotDrawn::Late)?;
        let ssim = self.reference.ssim(&best.svg).map_err(NotDrawn::Failed)?;
        let score_of = |parameters: &Parameters| {
            self.tried.iter().find(|(tried, score)| tried == parameters && score.is_finite()).map(|(_, score)| *score)
        };
        Ok(Found {
            candidates: CANDIDATES.each_ref().map(score_of),
            svg: best.svg,
            parameters: best.parameters,
            quality: Quality { ssimulacra2: best.ssimulacra2, ssim },
            score: best.score,
            shapes: best.shapes,
            tried: self.tried.len() as u32,
            complete: self.complete,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::NoLimits;
    use super::*;
    use image::{Rgb, RgbImage, imageops};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A disc in front of a rectangle, with anti-aliased edges.
    fn drawing() -> Source {
        let sharp = RgbImage::from_fn(384, 384, |x, y| {
            let (dx, dy) = (x as f32 - 200.0, y as f32 - 180.0);
            Rgb(match () {
                () if dx * dx + dy * dy < 90.0 * 90.0 => [20, 90, 200],
                () if (60..300).contains(&x) && (100..340).contains(&y) => [250, 180, 30],
                () => [255; 3],
            })
        });
        let pixels = imageops::resize(&sharp, 96, 96, imageops::FilterType::Triangle);
        Source::new(pixels, None, (96, 96))
    }

    #[test]
    fn a_tier_never_finds_a_worse_drawing_than_a_lower_one() {
        let source = drawing();
        let find = |tier, starts: &[Parameters]| find(&source, tier, starts, &NoLimits).expect("a drawing");
        let fast = find(Tier::Fast, &CANDIDATES[..1]);
        let balanced = find(Tier::Balanced, &[fast.parameters]);
        let quality = find(Tier::Quality, &[balanced.parameters]);
        assert!(
            fast.score <= balanced.score && balanced.score <= quality.score,
            "{} {} {}",
            fast.score,
            balanced.score,
            quality.score
        );
        assert_eq!((fast.tried, balanced.tried), (1, 6));
        assert!(quality.tried > 10, "all neighbours of the best were tried");
        assert!(fast.quality.ssim > 0.95, "{fast:?}");
    }

    #[test]
    fn a_search_without_time_still_returns_one_drawing() {
        let source = drawing();
        let limits = Hurried { late_after: 0, ..Hurried::with(1) };
        let found = find(&source, Tier::Quality, &CANDIDATES[..1], &limits).expect("a drawing");
        assert!(!found.complete);
        assert_eq!((found.tried, found.parameters), (1, CANDIDATES[0]));
    }

    #[test]
    fn the_result_does_not_depend_on_the_number_of_threads() {
        let source = drawing();
        let one = find(&source, Tier::Balanced, &CANDIDATES[2..3], &NoLimits).expect("a drawing");
        for threads in [2, 4, 9] {
            let limits = Hurried::with(threads);
            assert_eq!(find(&source, Tier::Balanced, &CANDIDATES[2..3], &limits).expect("a drawing"), one, "{threads}");
        }
        assert!(one.candidates.iter().all(|score| score.is_some_and(|score| score <= one.score)));
    }

    /// Limits with some threads, which report the deadline after `late_after` checks.
    struct Hurried {
        threads: usize,
        taken: AtomicUsize,
        late_after: usize,
        asked: AtomicUsize,
    }

    impl Hurried {
        fn with(threads: usize) -> Self {
            Self { threads, taken: AtomicUsize::new(0), late_after: usize::MAX, asked: AtomicUsize::new(0) }
        }
    }

    impl Limits for Hurried {
        type Spare = ();

        fn is_late(&self) -> bool {
            self.asked.fetch_add(1, Ordering::Relaxed) >= self.late_after
        }

        fn is_too_late(&self) -> bool {
            false
        }

        fn spare(&self, _bytes: u64) -> Option<()> {
            (self.taken.fetch_add(1, Ordering::Relaxed) % self.threads + 1 < self.threads).then_some(())
        }
    }
}
