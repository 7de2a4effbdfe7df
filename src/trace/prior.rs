//! What was found on 128 logos, by `benches/trace/fit.py`.

use super::facts::NUMBERS;

/// Means of the numbers.
pub(super) const CENTER: [f64; NUMBERS] = [0.0; NUMBERS];

/// Their standard deviations.
pub(super) const DEVIATION: [f64; NUMBERS] = [1.0; NUMBERS];

/// Weights that predict the best candidate's score, the first of which is added to all.
pub(super) const WEIGHTS: [f64; NUMBERS + 1] = [0.0; NUMBERS + 1];

/// How far predictions for logos that they were not made from are off, in the mean.
pub(super) const ERROR: f64 = 9.0;

/// How much less the first candidate is worth than the best one, in the mean.
pub(super) const FAST_LESS: f64 = 2.3;

/// How much is gained from there by the descent, in the mean.
pub(super) const QUALITY_MORE: f64 = 2.0;
