use crate::types::{ImageType, QuickFeatures, ToneFeatures, TypeGuess};
pub(super) fn classify(_quick: &QuickFeatures, _tones: &ToneFeatures) -> TypeGuess {
    TypeGuess { label: ImageType::Uncertain, confidence: 0.0 }
}
