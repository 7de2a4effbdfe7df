//! Classifies pictures by their features. Rules are applied one after the other; each is a logistic regression.

use crate::{ImageType, QuickFeatures, ToneFeatures, TypeGuess};

/// Minimum probability of a type. Below it, the picture is [`ImageType::Uncertain`].
const MIN_CONFIDENCE: f32 = 0.5;

/// The logarithms of the odds of three types, in the order of the rules. Each rule applies to pictures that no rule
/// before it matches.
///
/// `benches/image_types.py` uses the same terms. It fits weights and biases to photographs and logos that the benchmark
/// of the same name has measured. After a change to a feature, run both again.
fn log_odds(quick: &QuickFeatures, tones: &ToneFeatures) -> [(ImageType, f32); 3] {
    /// Maximum number of colours of a grey picture at 4 bits per channel.
    const MAX_GREYS: f32 = 16.0;
    let unique_colors = quick.unique_colors as f32;
    let flat = quick.flat_fraction;
    // It is small in photographs, even in front of a white wall.
    let flat_foreground = (tones.foreground_flat + 0.01).ln();
    let colors = (unique_colors / MAX_GREYS).ln().max(0.0);
    let no_colors = f32::from(u8::from(unique_colors <= MAX_GREYS));
    // Counts are used as logarithms: from 2 to 4 inks is as far as from 8 to 16.
    let inks = (quick.palette_size as f32).ln_1p();
    // A slow gradient has far more of them than inks.
    let shades = (quick.shades as f32).ln_1p();
    let gradient = (quick.gradient_fraction + 0.001).ln();
    let entropy = tones.entropy;
    let glyphs = (tones.glyphs as f32).ln_1p();
    // Written words are long.
    let elongation = if tones.shapes == 0 { 0.0 } else { quick.aspect_ratio.ln().abs().min(4_f32.ln()) };

    let photo = -4.57 * flat - 1.06 * flat_foreground + 1.66 * colors + 6.56 * no_colors - 4.32 * inks
        + 2.33 * shades
        + 1.77 * entropy;
    let gradient = 1.26 * gradient + 3.79 * colors - 0.688 * no_colors - 8.55 * inks + 3.75 * shades;
    let text = 3.62 * glyphs + 6.74 * elongation;
    [(ImageType::Photo, -15.502 + photo), (ImageType::Gradient, 8.893 + gradient), (ImageType::Text, -7.330 + text)]
}

/// Maximum number of inks and of shapes of a simple drawing. They are not fitted, because there is no labelled set of
/// simple drawings. Pictures that match no rule are drawings.
const MAX_SIMPLE_COUNTS: [f32; 2] = [5.5, 12.5];
/// Sharpness of these two bounds: the odds are the ratio of bound and count to this power.
const SHARPNESS: f32 = 4.0;

/// The most likely type.
///
/// The confidence is the probability by the rules. The prior is three photographs to one drawing.
pub(super) fn classify(quick: &QuickFeatures, tones: &ToneFeatures) -> TypeGuess {
    let mut remaining = 1.0;
    let mut best = TypeGuess { label: ImageType::Uncertain, confidence: 0.0 };
    let mut consider = |label, confidence| {
        if confidence > best.confidence {
            best = TypeGuess { label, confidence };
        }
    };
    for (kind, log_odds) in log_odds(quick, tones) {
        let probability = logistic(log_odds);
        consider(kind, remaining * probability);
        remaining *= 1.0 - probability;
    }
    let counts = [quick.palette_size, tones.shapes];
    let within = |(bound, count): (f32, u32)| logistic(SHARPNESS * (bound / count.max(1) as f32).ln());
    let simple: f32 = MAX_SIMPLE_COUNTS.into_iter().zip(counts).map(within).product();
    consider(ImageType::Simple, remaining * simple);
    consider(ImageType::Complex, remaining * (1.0 - simple));
    if best.confidence < MIN_CONFIDENCE {
        best.label = ImageType::Uncertain;
    }
    best
}

fn logistic(log_odds: f32) -> f32 {
    1.0 / (1.0 + (-log_odds).exp())
}
