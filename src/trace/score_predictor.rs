//! Learns from earlier traces which candidate to try first, and predicts the score of a trace.
//!
//! Both start from a prior that was fitted to a set of logos (see `benches/trace`). Once an index holds at least fifty
//! traces for which all candidates were tried, those correct the prior. The nearest of them, by properties known before
//! tracing, count most.

use std::sync::OnceLock;

use super::candidates::first_for;
use super::effort::CandidateScores;
use super::facts::NUMBERS;
use super::linear::{dot, leverages, ridge};
use super::prior::{CENTER, DEVIATION, ERROR, FAST_LESS, QUALITY_MORE, WEIGHTS};
use super::{CANDIDATES, Tier, TraceFacts};

/// Maximum number of traces to learn from. The latest ones are used.
pub(crate) const MAX_SAMPLES: usize = 4096;

/// Minimum number of traces to learn from.
const MIN_SAMPLES: usize = 50;

/// Number of nearest traces that determine the best candidate and correct an estimate.
const MAX_NEIGHBORS: usize = 24;

/// Total weight of the mean over all traces, next to the nearest ones.
const MEAN_WEIGHT: f64 = 4.0;

/// Ridge penalty on the difference between the weights and their prior.
const RIDGE_PENALTY: f64 = 20.0;

/// A trace for which all candidates were tried.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    point: Point,
    scores: [f64; CANDIDATES.len()],
    /// Improvement over the best candidate, for traces of the `quality` tier.
    gain: Option<f64>,
}

/// The standardised properties of a picture, each with mean 0 and deviation 1 over the prior's logos. A constant 1 for
/// the intercept comes first.
type Point = [f64; NUMBERS + 1];

fn point(facts: &TraceFacts) -> Point {
    let mut point = [1.0; NUMBERS + 1];
    for (i, number) in facts.numbers().into_iter().enumerate() {
        // Clamped, because beyond the range of the prior the distance carries no more information.
        point[i + 1] = ((number - CENTER[i]) / DEVIATION[i]).clamp(-4.0, 4.0);
    }
    point
}

fn squared_distance(a: &Point, b: &Point) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

/// The weight of a neighbour at a distance: nearer ones count more.
fn weight(squared_distance: f64) -> f64 {
    1.0 / (0.3 + squared_distance.sqrt())
}

impl Sample {
    /// A sample from a trace; `None` if not all candidates were tried.
    pub(crate) fn new(facts: &TraceFacts, scores: &CandidateScores, score: f64, tier: Tier) -> Option<Self> {
        let mut all = [0.0; CANDIDATES.len()];
        for (to, from) in all.iter_mut().zip(scores) {
            *to = from.filter(|score| score.is_finite())?;
        }
        let sample = Self { point: point(facts), scores: all, gain: None };
        let gain = (tier == Tier::Quality).then(|| (score - sample.best()).max(0.0));
        Some(Self { gain, ..sample })
    }

    fn best(&self) -> f64 {
        self.scores.into_iter().fold(f64::NEG_INFINITY, f64::max)
    }

    /// The score of a candidate relative to the mean of all candidates.
    fn relative(&self, candidate: usize) -> f64 {
        self.scores[candidate] - self.scores.iter().sum::<f64>() / self.scores.len() as f64
    }
}

/// The predicted score of a trace.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Estimate {
    /// Predicted score, at most 100: see [`score`](crate::vector::score).
    pub score: f64,
    /// Mean absolute error of such estimates.
    pub error: f64,
    /// Number of the index's own traces behind the estimate; 0 if only the built-in prior was used.
    pub lessons: usize,
}

/// Predicts scores from the prior and the traces of an index.
#[derive(Debug)]
pub(crate) struct ScorePredictor {
    samples: Vec<Sample>,
    weights: Point,
    /// Leave-one-out residual of the weights for each sample.
    residuals: Vec<f64>,
    /// Computed on first use, because it is slow.
    error: OnceLock<f64>,
    fast_less: f64,
    quality_more: f64,
}

impl ScorePredictor {
    pub(crate) fn new(samples: Vec<Sample>) -> Self {
        let (residuals, weights) = (Vec::new(), WEIGHTS);
        let prior = Self {
            samples,
            weights,
            residuals,
            error: OnceLock::new(),
            fast_less: FAST_LESS,
            quality_more: QUALITY_MORE,
        };
        if prior.samples.len() < MIN_SAMPLES { Self { samples: Vec::new(), ..prior } } else { prior.learn() }
    }

    /// Corrects the prior with the samples.
    fn learn(mut self) -> Self {
        let points: Vec<Point> = self.samples.iter().map(|sample| sample.point).collect();
        let off: Vec<f64> = self.samples.iter().map(|sample| sample.best() - dot(&sample.point, &WEIGHTS)).collect();
        let change = ridge(&points, &off, RIDGE_PENALTY);
        self.weights.iter_mut().zip(change).for_each(|(weight, change)| *weight += change);
        let leverages = leverages(&points, RIDGE_PENALTY);
        let residual = |i: usize| (off[i] - dot(&points[i], &change)) / (1.0 - leverages[i]).max(0.1);
        self.residuals = (0..off.len()).map(residual).collect();
        let count = self.samples.len() as f64;
        let losses = self.samples.iter().map(|sample| sample.best() - sample.scores[first_for(None)]);
        self.fast_less = losses.sum::<f64>() / count;
        let gains: Vec<f64> = self.samples.iter().filter_map(|sample| sample.gain).collect();
        if gains.len() >= MIN_SAMPLES {
            self.quality_more = gains.iter().sum::<f64>() / gains.len() as f64;
        }
        self
    }

    /// The samples nearest to a picture, with their weights, except for one sample to leave out.
    fn nearest(&self, point: &Point, without: Option<usize>) -> Vec<(usize, f64)> {
        let others = (0..self.samples.len()).filter(|i| Some(*i) != without);
        let mut all: Vec<(usize, f64)> = others.map(|i| (i, squared_distance(point, &self.samples[i].point))).collect();
        if all.len() > MAX_NEIGHBORS {
            all.select_nth_unstable_by(MAX_NEIGHBORS - 1, |a, b| a.1.total_cmp(&b.1));
            all.truncate(MAX_NEIGHBORS);
        }
        all.into_iter().map(|(i, distance)| (i, weight(distance))).collect()
    }

    /// Index into [`CANDIDATES`] of the candidate to try first.
    pub(crate) fn first(&self, facts: &TraceFacts) -> usize {
        if self.samples.is_empty() {
            return first_for(facts.kind);
        }
        let near = self.nearest(&point(facts), None);
        let count = self.samples.len() as f64;
        let expected = |candidate: usize| {
            let mean = self.samples.iter().map(|sample| sample.relative(candidate)).sum::<f64>() / count;
            near.iter().map(|(i, weight)| weight * self.samples[*i].relative(candidate)).sum::<f64>()
                + MEAN_WEIGHT * mean
        };
        let best = (0..CANDIDATES.len()).map(|candidate| (expected(candidate), candidate));
        best.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1))).map_or(0, |(_, candidate)| candidate)
    }

    /// Correction of an estimate by its neighbours: half of the weighted mean of their residuals.
    fn correction(&self, point: &Point, without: Option<usize>) -> f64 {
        let near = self.nearest(point, without);
        let all: f64 = near.iter().map(|(_, weight)| weight).sum();
        let off: f64 = near.iter().map(|(i, weight)| weight * self.residuals[*i]).sum();
        if all > 0.0 { off / all / 2.0 } else { 0.0 }
    }

    /// Predicts the score of a trace of a tier.
    pub(crate) fn estimate(&self, facts: &TraceFacts, tier: Tier) -> Estimate {
        let point = point(facts);
        let balanced = dot(&point, &self.weights) + self.correction(&point, None);
        let score = match tier {
            Tier::Fast => balanced - self.fast_less,
            Tier::Balanced => balanced,
            Tier::Quality => balanced + self.quality_more,
        };
        // An empty drawing identical to the picture would have the maximum score, 100.
        Estimate {
            score: score.min(100.0),
            error: *self.error.get_or_init(|| self.error()),
            lessons: self.samples.len(),
        }
    }

    /// Leave-one-out mean absolute error of the estimates for the samples.
    fn error(&self) -> f64 {
        if self.samples.is_empty() {
            return ERROR;
        }
        let off = |i: usize| (self.residuals[i] - self.correction(&self.samples[i].point, Some(i))).abs();
        (0..self.samples.len()).map(off).sum::<f64>() / self.samples.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::tests::facts;

    /// Samples of two kinds of pictures: the second candidate is best with few edges, the fourth with many.
    fn samples(count: usize) -> Vec<Sample> {
        let sample = |i: usize| {
            let is_plain = i.is_multiple_of(2);
            let edges = if is_plain { 0.02 } else { 0.9 } + 0.0001 * i as f32;
            let facts = facts(edges);
            let base = if is_plain { 80.0 } else { 30.0 };
            let mut scores = [Some(base); CANDIDATES.len()];
            scores[if is_plain { 1 } else { 3 }] = Some(base + 5.0);
            Sample::new(&facts, &scores, base + 8.0, Tier::Quality).expect("all were tried")
        };
        (0..count).map(sample).collect()
    }

    #[test]
    fn with_few_traces_the_kind_of_picture_decides_what_to_try_first() {
        let predictor = ScorePredictor::new(samples(MIN_SAMPLES - 1));
        assert_eq!(predictor.first(&facts(0.02)), first_for(None));
        let estimate = predictor.estimate(&facts(0.02), Tier::Balanced);
        assert_eq!((estimate.error, estimate.lessons), (ERROR, 0));
    }

    #[test]
    fn with_enough_traces_similar_pictures_decide_what_to_try_first() {
        let predictor = ScorePredictor::new(samples(MIN_SAMPLES));
        assert_eq!((predictor.first(&facts(0.021)), predictor.first(&facts(0.91))), (1, 3));
        let (plain, other) =
            (predictor.estimate(&facts(0.021), Tier::Balanced), predictor.estimate(&facts(0.91), Tier::Balanced));
        assert!((plain.score - 85.0).abs() < 3.0 && (other.score - 35.0).abs() < 3.0, "{plain:?} {other:?}");
        assert!(plain.error < 3.0 && plain.lessons == MIN_SAMPLES, "{plain:?}");
        let more = predictor.estimate(&facts(0.021), Tier::Quality).score - plain.score;
        assert!((more - 3.0).abs() < 1e-9, "{more}");
    }

    #[test]
    fn a_trace_without_all_candidates_is_no_sample() {
        let mut scores = [Some(1.0); CANDIDATES.len()];
        scores[2] = None;
        assert_eq!(Sample::new(&facts(0.1), &scores, 1.0, Tier::Balanced), None);
    }
}
