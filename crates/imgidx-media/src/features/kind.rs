//! Classifies pictures by their features. Rules are applied one after the other; each is a logistic regression.

use crate::{ImageType, QuickFeatures, ToneFeatures, TypeGuess};

/// Minimum probability of a type. Below it, the picture is [`ImageType::Uncertain`].
const MIN_CONFIDENCE: f32 = 0.5;

/// A type and its logistic regression: the logarithm of its odds is the bias plus a weighted sum of terms.
struct Rule {
    kind: ImageType,
    bias: f32,
    terms: &'static [(Term, f32)],
}

/// An input of a rule. Counts are used as logarithms: from 2 to 4 inks is as far as from 8 to 16.
#[derive(Clone, Copy)]
enum Term {
    /// Flat fraction of the picture.
    Flat,
    /// Flat fraction of the foreground. It is small in photographs, even in front of a white wall.
    FlatForeground,
    /// Number of colours relative to the 16 that a grey picture can have.
    Colors,
    /// 1 if there are at most 16 colours, else 0.
    NoColors,
    /// Number of inks in flat areas.
    Inks,
    /// Number of exact colours in flat areas. A slow gradient has far more of them than inks.
    Shades,
    /// Fraction of the picture that is inside gradients.
    Gradient,
    /// Entropy of the luma in bits.
    Entropy,
    /// Number of letter-like shapes on one line.
    Glyphs,
    /// Elongation, up to a ratio of four, or 0 without shapes. Written words are long.
    Elongation,
}

/// The rules in order. Each rule applies to pictures that no rule before it matches.
///
/// `benches/image_types.py` fits weights and biases to photographs and logos that the benchmark of the same name has
/// measured. After a change to a feature, run both again.
const RULES: [Rule; 3] = [
    Rule {
        kind: ImageType::Photo,
        bias: -15.502,
        terms: &[
            (Term::Flat, -4.57),
            (Term::FlatForeground, -1.06),
            (Term::Colors, 1.66),
            (Term::NoColors, 6.56),
            (Term::Inks, -4.32),
            (Term::Shades, 2.33),
            (Term::Entropy, 1.77),
        ],
    },
    Rule {
        kind: ImageType::Gradient,
        bias: 8.893,
        terms: &[
            (Term::Gradient, 1.26),
            (Term::Colors, 3.79),
            (Term::NoColors, -0.688),
            (Term::Inks, -8.55),
            (Term::Shades, 3.75),
        ],
    },
    Rule { kind: ImageType::Text, bias: -7.330, terms: &[(Term::Glyphs, 3.62), (Term::Elongation, 6.74)] },
];

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
    for rule in &RULES {
        let weighted = rule.terms.iter().map(|(term, weight)| weight * term.of(quick, tones));
        let probability = logistic(rule.bias + weighted.sum::<f32>());
        consider(rule.kind, remaining * probability);
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

impl Term {
    /// Value of the term for a picture. `benches/image_types.py` uses the same formulas.
    fn of(self, quick: &QuickFeatures, tones: &ToneFeatures) -> f32 {
        /// Maximum number of colours of a grey picture at 4 bits per channel.
        const MAX_GREYS: f32 = 16.0;
        let colors = quick.unique_colors as f32;
        match self {
            Self::Flat => quick.flat_fraction,
            Self::FlatForeground => (tones.foreground_flat + 0.01).ln(),
            Self::Colors => (colors / MAX_GREYS).ln().max(0.0),
            Self::NoColors => f32::from(u8::from(colors <= MAX_GREYS)),
            Self::Inks => (quick.palette_size as f32).ln_1p(),
            Self::Shades => (quick.shades as f32).ln_1p(),
            Self::Gradient => (quick.gradient_fraction + 0.001).ln(),
            Self::Entropy => tones.entropy,
            Self::Elongation if tones.shapes == 0 => 0.0,
            Self::Elongation => quick.aspect_ratio.ln().abs().min(4_f32.ln()),
            Self::Glyphs => (tones.glyphs as f32).ln_1p(),
        }
    }
}

fn logistic(log_odds: f32) -> f32 {
    1.0 / (1.0 + (-log_odds).exp())
}
