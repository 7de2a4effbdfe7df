//! What was found on 128 logos, by `benches/trace/fit.py`.

use super::facts::NUMBERS;

/// Means of the numbers.
pub(super) const CENTER: [f64; NUMBERS] =
    [1.5847, 0.8408, 0.0484, 0.1108, 1.4088, 1.9758, 1.9031, 0.0236, 2.0357, 1.7604];

/// Their standard deviations.
pub(super) const DEVIATION: [f64; NUMBERS] =
    [0.6823, 0.1013, 0.0341, 0.0687, 0.5411, 0.6510, 1.2125, 0.0823, 1.3069, 1.1527];

/// Weights that predict the best candidate's score, the first of which is added to all.
pub(super) const WEIGHTS: [f64; NUMBERS + 1] =
    [70.9715, -7.9387, -3.9020, -8.0527, 9.7434, -4.7361, -5.5970, 0.7273, -0.8914, -0.3096, -0.0181];

/// How far predictions for logos that they were not made from are off, in the mean.
pub(super) const ERROR: f64 = 8.91;

/// How much less the first candidate is worth than the best one, in the mean.
pub(super) const FAST_LESS: f64 = 1.47;

/// How much is gained from there by the descent, in the mean.
pub(super) const QUALITY_MORE: f64 = 1.19;
