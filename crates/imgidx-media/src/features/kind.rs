//! What kind of picture the features speak of: rules tried one after the other, each of them a logistic regression.

use crate::{ImageType, QuickFeatures, ToneFeatures, TypeGuess};

/// How likely a kind has to be, or the picture is of an uncertain one.
const LEAST_CONFIDENCE: f32 = 0.5;

/// A kind, and how the odds for it come from what was measured: their logarithm is a weighted sum.
struct Rule {
    kind: ImageType,
    bias: f32,
    terms: &'static [(Term, f32)],
}

/// What a rule looks at. Counts go in as logarithms: from 2 inks to 4 is as far as from 8 to 16.
#[derive(Clone, Copy)]
enum Term {
    /// Part of the picture that is flat.
    Flat,
    /// Part of the foreground that is flat: little in a photograph, also in one taken before a white wall.
    FlatForeground,
    /// Colours beyond the 16 that grey pictures can have.
    Colors,
    /// Whether there are no more colours than that.
    NoColors,
    /// Inks of flat areas.
    Inks,
    /// Colours of flat areas: far more than inks where a slow gradient is.
    Shades,
    /// Part of the picture that is inside of gradients.
    Gradient,
    /// Bits of the luma's entropy.
    Entropy,
    /// Shapes on a line.
    Glyphs,
    /// How far from square, up to four times as long, if there is any shape at all: written words are long.
    Elongation,
}

/// The rules in their order: each holds among pictures that none before it applies to.
///
/// Weights and biases are what `benches/image_types.py` fits to photographs and logos measured by the bench of the same
/// name; a change to a feature asks for running both again.
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

/// Inks that a simple drawing has at most, and shapes: a drawing is what remains, and no set says which ones are simple.
const SIMPLE: [f32; 2] = [5.5, 12.5];
/// How sharp these two bounds are: the odds change by this power of how far a count is from them.
const SHARPNESS: f32 = 4.0;

/// The most likely kind.
///
/// Its confidence is the probability that the rules give it, with three photographs to a drawing beforehand.
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
    let simple: f32 = SIMPLE.into_iter().zip(counts).map(within).product();
    consider(ImageType::Simple, remaining * simple);
    consider(ImageType::Complex, remaining * (1.0 - simple));
    if best.confidence < LEAST_CONFIDENCE {
        best.label = ImageType::Uncertain;
    }
    best
}

impl Term {
    /// Its value for a picture; `image_types.py` has the same formulas.
    fn of(self, quick: &QuickFeatures, tones: &ToneFeatures) -> f32 {
        /// The colours of a grey picture at 4 bits a channel.
        const GREYS: f32 = 16.0;
        let colors = quick.unique_colors as f32;
        match self {
            Self::Flat => quick.flat_fraction,
            Self::FlatForeground => (tones.foreground_flat + 0.01).ln(),
            Self::Colors => (colors / GREYS).ln().max(0.0),
            Self::NoColors => f32::from(u8::from(colors <= GREYS)),
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
