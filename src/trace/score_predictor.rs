//! What earlier traces teach: which candidate to try first, and what a trace will be worth.
//!
//! Both begin with what was found on logos that come with nothing (`benches/trace` tells how), and from fifty traces on with all candidates that the
//! index has of its own, those count: the nearest ones, by numbers that are known before.

use std::sync::OnceLock;

use super::candidates::first_for;
use super::effort::CandidateScores;
use super::facts::NUMBERS;
use super::linear::{dot, leverages, ridge};
use super::prior::{CENTER, DEVIATION, ERROR, FAST_LESS, QUALITY_MORE, WEIGHTS};
use super::{CANDIDATES, Tier, TraceFacts};

/// Traces that are learned from at most, the latest ones.
pub(crate) const LESSONS: usize = 4096;

/// Traces that are needed to learn from.
const ENOUGH: usize = 50;

/// Traces that tell which candidate is best.
const NEAREST: usize = 24;

/// How much the others count beside the nearest ones, together.
const OTHERS: f64 = 4.0;

/// Penalty on weights that differ from those that were there before.
const PENALTY: f64 = 20.0;

/// A trace with all candidates.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    point: Point,
    scores: [f64; CANDIDATES.len()],
    /// What was gained beyond the best candidate, where that was tried to the end.
    gain: Option<f64>,
}

/// A picture's numbers, each with a mean of about 0 and a deviation of about 1, after a 1.
type Point = [f64; NUMBERS + 1];

fn point(facts: &TraceFacts) -> Point {
    let mut point = [1.0; NUMBERS + 1];
    for (i, number) in facts.numbers().into_iter().enumerate() {
        // What is far from all that was seen tells nothing more for being farther.
        point[i + 1] = ((number - CENTER[i]) / DEVIATION[i]).clamp(-4.0, 4.0);
    }
    point
}

fn squared_distance(a: &Point, b: &Point) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

/// The nearest count more.
fn weight(squared_distance: f64) -> f64 {
    1.0 / (0.3 + squared_distance.sqrt())
}

impl Sample {
    /// What a trace teaches; `None` if not all candidates were tried.
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

    /// What a candidate is worth beside the others.
    fn relative(&self, candidate: usize) -> f64 {
        self.scores[candidate] - self.scores.iter().sum::<f64>() / self.scores.len() as f64
    }
}

/// What a trace is expected to be worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The expected score.
    pub score: f64,
    /// How far such estimates are off, in the mean.
    pub error: f64,
    /// How many of the index's own traces it was learned from; 0 if only from what comes with the program.
    pub lessons: usize,
}

/// What was learned.
#[derive(Debug)]
pub(crate) struct ScorePredictor {
    lessons: Vec<Sample>,
    weights: Point,
    /// How far the weights are off for each sample, found without it.
    residuals: Vec<f64>,
    /// Found when it is asked for: it takes a while.
    error: OnceLock<f64>,
    fast_less: f64,
    quality_more: f64,
}

impl ScorePredictor {
    pub(crate) fn new(lessons: Vec<Sample>) -> Self {
        let (residuals, weights) = (Vec::new(), WEIGHTS);
        let prior = Self {
            lessons,
            weights,
            residuals,
            error: OnceLock::new(),
            fast_less: FAST_LESS,
            quality_more: QUALITY_MORE,
        };
        if prior.lessons.len() < ENOUGH { Self { lessons: Vec::new(), ..prior } } else { prior.learn() }
    }

    /// Corrects what was there before by what the lessons tell.
    fn learn(mut self) -> Self {
        let points: Vec<Point> = self.lessons.iter().map(|sample| sample.point).collect();
        let off: Vec<f64> = self.lessons.iter().map(|sample| sample.best() - dot(&sample.point, &WEIGHTS)).collect();
        let change = ridge(&points, &off, PENALTY);
        self.weights.iter_mut().zip(change).for_each(|(weight, change)| *weight += change);
        let leverages = leverages(&points, PENALTY);
        let residual = |i: usize| (off[i] - dot(&points[i], &change)) / (1.0 - leverages[i]).max(0.1);
        self.residuals = (0..off.len()).map(residual).collect();
        let count = self.lessons.len() as f64;
        let usual = self.lessons.iter().map(|sample| sample.best() - sample.scores[first_for(None)]);
        self.fast_less = usual.sum::<f64>() / count;
        let gains: Vec<f64> = self.lessons.iter().filter_map(|sample| sample.gain).collect();
        if gains.len() >= ENOUGH {
            self.quality_more = gains.iter().sum::<f64>() / gains.len() as f64;
        }
        self
    }

    /// The lessons nearest to a picture, with their weights; but for one of them.
    fn nearest(&self, point: &Point, without: Option<usize>) -> Vec<(usize, f64)> {
        let others = (0..self.lessons.len()).filter(|i| Some(*i) != without);
        let mut all: Vec<(usize, f64)> = others.map(|i| (i, squared_distance(point, &self.lessons[i].point))).collect();
        if all.len() > NEAREST {
            all.select_nth_unstable_by(NEAREST - 1, |a, b| a.1.total_cmp(&b.1));
            all.truncate(NEAREST);
        }
        all.into_iter().map(|(i, distance)| (i, weight(distance))).collect()
    }

    /// Which candidate to try first.
    pub(crate) fn first(&self, facts: &TraceFacts) -> usize {
        if self.lessons.is_empty() {
            return first_for(facts.kind);
        }
        let near = self.nearest(&point(facts), None);
        let count = self.lessons.len() as f64;
        let worth = |candidate: usize| {
            let usual = self.lessons.iter().map(|sample| sample.relative(candidate)).sum::<f64>() / count;
            near.iter().map(|(i, weight)| weight * self.lessons[*i].relative(candidate)).sum::<f64>() + OTHERS * usual
        };
        let best = (0..CANDIDATES.len()).map(|candidate| (worth(candidate), candidate));
        best.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1))).map_or(0, |(_, candidate)| candidate)
    }

    /// What neighbours tell of an estimate: half of how far the weights are off for them.
    fn correction(&self, point: &Point, without: Option<usize>) -> f64 {
        let near = self.nearest(point, without);
        let all: f64 = near.iter().map(|(_, weight)| weight).sum();
        let off: f64 = near.iter().map(|(i, weight)| weight * self.residuals[*i]).sum();
        if all > 0.0 { off / all / 2.0 } else { 0.0 }
    }

    /// What a trace of a tier is expected to be worth.
    pub(crate) fn estimate(&self, facts: &TraceFacts, tier: Tier) -> Estimate {
        let point = point(facts);
        let balanced = dot(&point, &self.weights) + self.correction(&point, None);
        let score = match tier {
            Tier::Fast => balanced - self.fast_less,
            Tier::Balanced => balanced,
            Tier::Quality => balanced + self.quality_more,
        };
        // No drawing is worth more than one that is the same and empty.
        Estimate {
            score: score.min(100.0),
            error: *self.error.get_or_init(|| self.error()),
            lessons: self.lessons.len(),
        }
    }

    /// How far estimates for the lessons are off that are made without them.
    fn error(&self) -> f64 {
        if self.lessons.is_empty() {
            return ERROR;
        }
        let off = |i: usize| (self.residuals[i] - self.correction(&self.lessons[i].point, Some(i))).abs();
        (0..self.lessons.len()).map(off).sum::<f64>() / self.lessons.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::tests::facts;

    /// Lessons of two kinds of pictures: of those with few edges the second candidate is best, of others the fourth.
    fn lessons(count: usize) -> Vec<Sample> {
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
    fn with_few_traces_the_kind_tells_what_to_try_first() {
        let experience = ScorePredictor::new(lessons(ENOUGH - 1));
        assert_eq!(experience.first(&facts(0.02)), first_for(None));
        let estimate = experience.estimate(&facts(0.02), Tier::Balanced);
        assert_eq!((estimate.error, estimate.lessons), (ERROR, 0));
    }

    #[test]
    fn with_enough_traces_those_that_are_like_it_do() {
        let experience = ScorePredictor::new(lessons(ENOUGH));
        assert_eq!((experience.first(&facts(0.021)), experience.first(&facts(0.91))), (1, 3));
        let (plain, other) =
            (experience.estimate(&facts(0.021), Tier::Balanced), experience.estimate(&facts(0.91), Tier::Balanced));
        assert!((plain.score - 85.0).abs() < 3.0 && (other.score - 35.0).abs() < 3.0, "{plain:?} {other:?}");
        assert!(plain.error < 3.0 && plain.lessons == ENOUGH, "{plain:?}");
        let more = experience.estimate(&facts(0.021), Tier::Quality).score - plain.score;
        assert!((more - 3.0).abs() < 1e-9, "{more}");
    }

    #[test]
    fn nothing_is_learned_where_not_all_candidates_were_tried() {
        let mut scores = [Some(1.0); CANDIDATES.len()];
        scores[2] = None;
        assert_eq!(Sample::new(&facts(0.1), &scores, 1.0, Tier::Balanced), None);
    }
}
