//! Searches for the best drawing of a picture. The tier sets the effort.

use std::thread;

use super::candidates::CANDIDATES;
use super::limits::Limits;
use super::{Tier, TraceFacts, Traced};
use crate::types::ContentHash;
use crate::vector::{Drawn, NotDrawn, Parameters, Quality, Reference, Source, score};
use image::RgbImage;
use imgidx_types::catching_panics;

/// Finds the best drawing of a picture with this hash and these facts.
///
/// Tries `first` before anything else. A tier that starts with the result of a lower one therefore never finds a worse
/// drawing.
///
/// # Errors
/// When no drawing can be made or compared, or none before the deadline.
pub(crate) fn find(
    source: &Source,
    (hash, facts): (ContentHash, TraceFacts),
    tier: Tier,
    first: Parameters,
    limits: &Limits<'_>,
) -> Result<Traced, NotDrawn> {
    limits.deadline().check()?;
    let reference = Reference::new(source)?;
    let mut attempt = Attempt { source, reference: &reference, limits, best: None, tried: Vec::new(), complete: true };
    let candidates = if tier >= Tier::Balanced { &CANDIDATES[..] } else { &[] };
    attempt.consider(&[&[first], candidates].concat(), false)?;
    if tier == Tier::Quality {
        attempt.descend()?;
    }
    let Attempt { best, tried, complete, .. } = attempt;
    let best = best.ok_or(NotDrawn::Late)?;
    let score_of = |candidate: &Parameters| {
        tried.iter().find(|(tried, score)| tried == candidate && score.is_finite()).map(|(_, score)| *score)
    };
    Ok(Traced {
        hash,
        facts,
        tier,
        quality: Quality { ssimulacra2: best.ssimulacra2, ssim: reference.ssim(&best.rendered) },
        svg: best.drawn.svg,
        parameters: best.parameters,
        score: best.score,
        shapes: best.drawn.shapes,
        tried: tried.len() as u32,
        complete,
        coarse: false,
        candidates: CANDIDATES.each_ref().map(score_of),
        time: limits.time(),
        stored: false,
        compared: None,
    })
}

/// Approximate memory of a search for each drawing that it makes at the same time, in bytes.
pub(crate) fn bytes_for(source: &Source, tier: Tier) -> u64 {
    let largest = if tier == Tier::Quality { Parameters::LARGEST_SCALE } else { CANDIDATES[0].scale };
    let scale = CANDIDATES.iter().map(|candidate| candidate.scale).fold(largest, f32::max);
    source.traced_bytes(scale) + source.compared_bytes()
}

/// A drawing with its score.
struct Candidate {
    drawn: Drawn,
    rendered: RgbImage,
    parameters: Parameters,
    ssimulacra2: f64,
    score: f64,
}

/// The search for the best drawing of one picture.
struct Attempt<'a> {
    source: &'a Source,
    reference: &'a Reference,
    limits: &'a Limits<'a>,
    best: Option<Candidate>,
    /// The parameter sets tried, with their scores.
    tried: Vec<(Parameters, f64)>,
    complete: bool,
}

impl Attempt<'_> {
    /// Tries the parameter sets that were not tried yet, as many at a time as the limits allow. Stops at the deadline,
    /// and with `until_better`, once a better drawing is found.
    ///
    /// Returns whether this call has found a better drawing.
    fn consider(&mut self, all: &[Parameters], until_better: bool) -> Result<bool, NotDrawn> {
        let mut new: Vec<Parameters> = Vec::new();
        for parameters in all {
            if !new.contains(parameters) && !self.tried.iter().any(|(tried, _)| tried == parameters) {
                new.push(*parameters);
            }
        }
        let mut left = new.as_slice();
        let mut is_better = false;
        while !(left.is_empty() || until_better && is_better) {
            if self.limits.deadline().is_late() {
                self.complete = false;
                break;
            }
            let spare: Vec<_> = (1..left.len()).map_while(|_| self.limits.spare()).collect();
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
        let [rest @ .., last] = all else { return Vec::new() };
        thread::scope(|scope| {
            let others: Vec<_> = rest.iter().map(|parameters| scope.spawn(move || self.draw(parameters))).collect();
            let last = self.draw(last);
            others.into_iter().map(|thread| thread.join().expect("`draw` catches panics")).chain([last]).collect()
        })
    }

    fn draw(&self, parameters: &Parameters) -> Result<Candidate, NotDrawn> {
        let deadline = self.limits.deadline();
        let draw = || {
            let drawn = self.source.trace(parameters, deadline)?;
            let rendered = self.reference.render(&drawn.svg, deadline)?;
            let ssimulacra2 = self.reference.ssimulacra2(&rendered)?;
            let score = score(ssimulacra2, drawn.svg.len());
            Ok(Candidate { drawn, rendered, parameters: *parameters, ssimulacra2, score })
        };
        catching_panics(draw).unwrap_or_else(|panic| Err(NotDrawn::Failed(format!("it panicked: {panic}"))))
    }

    /// Records a drawing, and returns whether it is the best so far.
    fn record(&mut self, candidate: Candidate) -> bool {
        self.tried.push((candidate.parameters, candidate.score));
        let is_best = self.best.as_ref().is_none_or(|best| candidate.score > best.score);
        if is_best {
            self.best = Some(candidate);
        }
        is_best
    }

    /// Coordinate descent: starts again from each better drawing.
    fn descend(&mut self) -> Result<(), NotDrawn> {
        while let Some(best) = &self.best {
            let neighbors = best.parameters.neighbors();
            if !self.consider(&neighbors, true)? || !self.complete {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::limits::Resources;
    use super::*;
    use crate::types::CancelToken;
    use image::{Rgb, RgbImage, imageops};

    /// The best drawing of a disc in front of a rectangle, with anti-aliased edges, that a search on some CPUs finds.
    fn found(tier: Tier, first: Parameters, cpus: usize) -> Traced {
        let sharp = RgbImage::from_fn(384, 384, |x, y| {
            let (dx, dy) = (x as f32 - 200.0, y as f32 - 180.0);
            Rgb(match () {
                () if dx * dx + dy * dy < 90.0 * 90.0 => [20, 90, 200],
                () if (60..300).contains(&x) && (100..340).contains(&y) => [250, 180, 30],
                () => [255; 3],
            })
        });
        let pixels = imageops::resize(&sharp, 96, 96, imageops::FilterType::Triangle);
        let source = Source::new(pixels, None, (96, 96));
        let (resources, cancel) = (Resources::new(cpus - 1, u64::MAX), CancelToken::default());
        let limits = resources.limits(0, Duration::MAX, &cancel);
        let Traced { hash, facts, .. } = crate::trace::tests::traced();
        let found = find(&source, (hash, facts), tier, first, &limits).expect("a drawing");
        Traced { time: Duration::ZERO, ..found }
    }

    #[test]
    fn a_tier_never_finds_a_worse_drawing_than_a_lower_one() {
        let fast = found(Tier::Fast, CANDIDATES[0], 1);
        let balanced = found(Tier::Balanced, fast.parameters, 1);
        let quality = found(Tier::Quality, balanced.parameters, 1);
        let scores = [fast.score, balanced.score, quality.score];
        assert!(scores.is_sorted(), "{scores:?}");
        assert_eq!((fast.tried, balanced.tried), (1, 6));
        assert!(quality.tried > 10, "all neighbours of the best were tried");
        assert!(fast.quality.ssim > 0.95, "{fast:?}");
    }

    #[test]
    fn the_result_does_not_depend_on_the_number_of_threads() {
        let one = found(Tier::Balanced, CANDIDATES[2], 1);
        for cpus in [2, 4, 9] {
            assert_eq!(found(Tier::Balanced, CANDIDATES[2], cpus), one, "{cpus}");
        }
        assert!(one.candidates.iter().all(|score| score.is_some_and(|score| score <= one.score)));
    }
}
