//! Parameters that are tried first.

use crate::types::ImageType;
use crate::vector::{Compositing, Parameters};

const D: Parameters = Parameters::DEFAULT;

/// Six of which the best is good for nearly any drawing: of 44 that were tried on 128 logos (`benches/trace/fit.py`), these are worth the most
/// together, for the time that they take. The first one is the best alone.
pub const CANDIDATES: [Parameters; 6] = [
    D,
    Parameters { scale: 4.0, radius: 24.0, simplify: 0.5, ..D },
    Parameters { scale: 4.0, radius: 12.0, ..D },
    Parameters { radius: 4.0, simplify: 1.5, ..D },
    Parameters { scale: 3.0, simplify: 0.5, precision: 1, ..D },
    Parameters { scale: 4.0, simplify: 1.0, compositing: Compositing::Cutout, ..D },
];

/// Which of [`CANDIDATES`] to try first on a kind of picture, where nothing like it was traced before: the best alone is that for each kind of drawing.
/// Photographs take fewer colours.
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
