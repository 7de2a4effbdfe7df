//! The predictor's prior: statistics of 128 logos, computed by `benches/trace/fit.py`.

use super::facts::NUMBERS;

/// Means of the values of `TraceFacts::numbers`.
pub(super) const CENTER: [f64; NUMBERS] =
    [1.4589, 0.8461, 0.0477, 0.1061, 1.3951, 1.9189, 1.9031, 0.0236, 2.0357, 1.7604];

/// Their standard deviations.
pub(super) const DEVIATION: [f64; NUMBERS] =
    [0.5468, 0.1016, 0.0336, 0.0696, 0.5474, 0.6341, 1.2125, 0.0823, 1.3069, 1.1527];

/// Weights that predict the score of the best candidate. The first one is the intercept.
pub(super) const WEIGHTS: [f64; NUMBERS + 1] =
    [73.1604, -9.7385, -3.9800, -8.4717, 9.9082, -5.3777, -4.1848, 1.3692, 0.0675, 0.0702, 3.0119];

/// Mean absolute error of predictions for logos that the weights were not fitted to.
pub(super) const ERROR: f64 = 8.24;

/// Mean difference between the score of the best candidate and that of the first.
pub(super) const FAST_LESS: f64 = 0.96;

/// Mean improvement of the score by coordinate descent from the best candidate.
pub(super) const QUALITY_MORE: f64 = 1.19;
