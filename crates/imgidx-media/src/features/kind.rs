//! Classifies pictures by their features, with one multinomial logistic regression.

use super::blocks::Blocks;
use crate::{ImageType, QuickFeatures, ToneFeatures, TypeGuess};

/// Minimum probability of a type. Below it, the picture is [`ImageType::Uncertain`].
const MIN_CONFIDENCE: f32 = 0.5;

/// Number of terms of the regression.
const TERMS: usize = 19;

/// The terms of the regression with their names.
///
/// Counts are used as logarithms: from 2 to 4 inks is as far as from 8 to 16.
pub(super) fn terms(quick: &QuickFeatures, tones: &ToneFeatures, blocks: &Blocks) -> [(&'static str, f32); TERMS] {
    /// Maximum number of colours of a grey picture at 4 bits per channel.
    const MAX_GREYS: f32 = 16.0;
    let unique_colors = quick.unique_colors as f32;
    let count = |count: u32| (count as f32).ln_1p();
    // Written words are long.
    let elongation = if tones.shapes == 0 { 0.0 } else { quick.aspect_ratio.ln().abs().min(4_f32.ln()) };
    [
        ("flat", quick.flat_fraction),
        // It is small in photographs, even in front of a white wall.
        ("flat_foreground", (tones.foreground_flat + 0.01).ln()),
        ("colors", (unique_colors / MAX_GREYS).ln().max(0.0)),
        ("no_colors", f32::from(u8::from(unique_colors <= MAX_GREYS))),
        ("inks", count(quick.palette_size)),
        // A slow gradient has far more of them than inks.
        ("shades", count(quick.shades)),
        ("gradient", (quick.gradient_fraction + 0.001).ln()),
        ("entropy", tones.entropy),
        ("elongation", elongation),
        ("glyphs", count(tones.glyphs)),
        ("shapes", count(tones.shapes)),
        ("edges", quick.edge_fraction),
        // These are hardly changed by compression as JPEG.
        ("slope", (blocks.slope + 0.003).ln()),
        ("calm_colors", count(blocks.colors)),
        ("paper", blocks.paper),
        ("row_rhythm", blocks.row_rhythm),
        ("column_rhythm", blocks.column_rhythm),
        ("busy", blocks.busy),
        ("midtones", blocks.midtones),
    ]
}

/// For each type, the bias and the weights of the terms. A flat drawing has the score 0.
///
/// `benches/image_types.py` fits them to what the benchmark of the same name has measured. After a change to a feature,
/// run both again.
#[rustfmt::skip]
const RULES: [(ImageType, f32, [f32; TERMS]); 3] = [
    (ImageType::Photo, -37.164, [
        -1.888, -1.298, -0.221, 1.109, -4.954, 3.003, -0.898, 2.953, 5.667, 0.083, 1.137, -11.733,
        0.349, 2.633, 10.634, 10.019, 2.837, 10.061, 15.702,
    ]),
    (ImageType::Gradient, -22.361, [
        14.004, -1.520, -0.332, -1.434, -1.891, 1.267, 0.252, 1.373, 6.142, 1.256, -0.231, -0.032,
        0.108, 2.815, -3.551, 11.915, 5.789, 8.153, -14.694,
    ]),
    (ImageType::Text, -17.464, [
        -0.038, -0.323, -1.983, -2.026, -3.062, 1.372, -0.210, 1.087, 7.363, 1.469, 1.516, -0.424,
        0.254, 1.209, 10.843, 18.883, -7.269, 11.587, -13.344,
    ]),
];

/// Maximum number of inks and of shapes of a simple drawing. They are not fitted, because there is no labelled set of
/// simple drawings: a flat drawing with more is complex by definition.
const MAX_SIMPLE_INKS: u32 = 5;
const MAX_SIMPLE_SHAPES: u32 = 12;

/// The most likely type with its probability.
pub(super) fn classify(quick: &QuickFeatures, tones: &ToneFeatures, blocks: &Blocks) -> TypeGuess {
    let terms = terms(quick, tones, blocks);
    let score = |(kind, bias, weights): &(ImageType, f32, [f32; TERMS])| {
        (*kind, bias + weights.iter().zip(&terms).map(|(weight, (_, term))| weight * term).sum::<f32>())
    };
    let is_simple = quick.palette_size <= MAX_SIMPLE_INKS && tones.shapes <= MAX_SIMPLE_SHAPES;
    let flat = if is_simple { ImageType::Simple } else { ImageType::Complex };
    let [a, b, c] = RULES.each_ref().map(score);
    let scores = [(flat, 0.0), a, b, c];
    let (label, best) = scores.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).expect("there are four");
    // The softmax of the scores, without overflow.
    let confidence = 1.0 / scores.iter().map(|(_, score)| (score - best).exp()).sum::<f32>();
    TypeGuess { label: if confidence < MIN_CONFIDENCE { ImageType::Uncertain } else { label }, confidence }
}
