//! The parameter sets that are tried first.

use crate::types::ImageType;
use crate::vector::{Compositing, Parameters};

const D: Parameters = Parameters::DEFAULT;

/// Six parameter sets, of which the best one suits nearly any drawing.
///
/// Of 44 sets that were tried on 128 logos (`benches/trace/fit.py`), these six together give the best score for the
/// time that they take. The first one is the best single choice.
pub const CANDIDATES: [Parameters; 6] = [
    D,
    Parameters { scale: 4.0, radius: 24.0, simplify: 0.5, ..D },
    Parameters { scale: 4.0, radius: 12.0, ..D },
    Parameters { radius: 4.0, simplify: 1.5, ..D },
    Parameters { scale: 3.0, simplify: 0.5, precision: 1, ..D },
    Parameters { scale: 4.0, simplify: 1.0, compositing: Compositing::Cutout, ..D },
];

/// The score of each of [`CANDIDATES`] on one picture; `None` if it was not tried or failed.
pub type CandidateScores = [Option<f64>; CANDIDATES.len()];

/// Index into [`CANDIDATES`] of the set to try first on a kind of picture.
///
/// The best single choice is the same for every kind of drawing. Photographs get one with fewer colours.
pub fn first_for(kind: Option<ImageType>) -> usize {
    if kind == Some(ImageType::Photo) { 2 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_candidates_are_valid_and_differ() {
        for (i, candidate) in CANDIDATES.iter().enumerate() {
            assert!(candidate.are_valid());
            assert!(!CANDIDATES[..i].contains(candidate));
        }
    }
}
