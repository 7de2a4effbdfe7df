//! Parameters that are tried first.

use crate::types::ImageType;
use crate::vector::{Compositing, Parameters};

const D: Parameters = Parameters::DEFAULT;

/// Six that are good for different drawings; `benches/trace` tells how they were found.
pub const CANDIDATES: [Parameters; 6] = [
    Parameters { scale: 5.0, ..D },
    Parameters { scale: 5.0, radius: 6.0, colors: 256, layers: 8, ..D },
    Parameters { simplify: 0.75, compositing: Compositing::Cutout, ..D },
    Parameters { scale: 5.0, simplify: 1.5, radius: 24.0, colors: 32, ..D },
    Parameters { scale: 5.0, simplify: 0.75, ..D },
    Parameters { scale: 3.0, radius: 24.0, colors: 32, ..D },
];

/// Which of [`CANDIDATES`] to try first on a kind of picture, where nothing like it was traced before.
pub fn first_for(kind: Option<ImageType>) -> usize {
    match kind {
        Some(ImageType::Gradient | ImageType::Photo | ImageType::Complex) => 1,
        _ => 0,
    }
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
