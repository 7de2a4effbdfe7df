//! Predicts the score of a trace, from statistics of 128 logos that `benches/trace/fit.py` computed.

use super::facts::NUMBERS;
use super::{Tier, TraceFacts};

/// Means of the values of `TraceFacts::numbers`.
const CENTER: [f64; NUMBERS] = [1.4589, 0.8461, 0.0477, 0.1061, 1.3951, 1.9189, 1.9031, 0.0236, 2.0357, 1.7604];

/// Their standard deviations.
const DEVIATION: [f64; NUMBERS] = [0.5468, 0.1016, 0.0336, 0.0696, 0.5474, 0.6341, 1.2125, 0.0823, 1.3069, 1.1527];

/// Weights that predict the score of the best candidate. The first one is the intercept.
const WEIGHTS: [f64; NUMBERS + 1] =
    [73.1604, -9.7385, -3.9800, -8.4717, 9.9082, -5.3777, -4.1848, 1.3692, 0.0675, 0.0702, 3.0119];

/// Mean absolute error of predictions for logos that the weights were not fitted to.
const ERROR: f64 = 8.24;

/// Mean difference between the score of the best candidate and that of the first.
const FAST_LESS: f64 = 0.96;

/// Mean improvement of the score by coordinate descent from the best candidate.
const QUALITY_MORE: f64 = 1.19;

/// The predicted score of a trace.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Estimate {
    /// Predicted score, at most 100: see [`score`](crate::vector::score).
    pub score: f64,
    /// Mean absolute error of such estimates.
    pub error: f64,
}

impl Estimate {
    /// Predicts the score of a trace of a tier.
    pub(crate) fn of(facts: &TraceFacts, tier: Tier) -> Self {
        let [mut score, weights @ ..] = WEIGHTS;
        for (i, number) in facts.numbers().into_iter().enumerate() {
            // Clamped, because the prior knows nothing beyond the range of its logos.
            score += weights[i] * ((number - CENTER[i]) / DEVIATION[i]).clamp(-4.0, 4.0);
        }
        score += match tier {
            Tier::Fast => -FAST_LESS,
            Tier::Balanced => 0.0,
            Tier::Quality => QUALITY_MORE,
        };
        // An empty drawing identical to the picture would have the maximum score, 100.
        Self { score: score.min(100.0), error: ERROR }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::tests::traced;

    #[test]
    fn an_estimate_depends_on_the_tier_and_is_at_most_100() {
        let mut facts = traced().facts;
        let [fast, balanced, quality] = Tier::ALL.map(|tier| Estimate::of(&facts, tier).score);
        assert!(0.0 < fast && fast < balanced && balanced < quality && quality < 100.0, "{fast} {balanced} {quality}");
        // Few colours and much texture: such values do not occur together.
        (facts.source.colors, facts.source.fine) = (0, 1.0);
        assert_eq!(Estimate::of(&facts, Tier::Quality).score, 100.0);
    }
}
