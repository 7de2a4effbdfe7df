//! How much is tried.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::candidates::CANDIDATES;
use crate::vector::{NotDrawn, Parameters, Quality, Reference, Source, score};

/// How much is tried for a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// One candidate.
    Fast,
    /// All six candidates.
    Balanced,
    /// From the best candidate on, one parameter after another, as long as it helps and there is time.
    Quality,
}

impl Tier {
    /// All tiers, the fastest first.
    pub const ALL: [Self; 3] = [Self::Fast, Self::Balanced, Self::Quality];

    /// The name under which it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Balanced => "balanced",
            Self::Quality => "quality",
        }
    }

    /// The tier of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == name)
    }
}

/// The best drawing that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The SVG document.
    pub svg: String,
    /// How it was made.
    pub parameters: Parameters,
    /// How much it looks like the picture.
    pub quality: Quality,
    /// What it is worth: see [`score`].
    pub score: f64,
    /// How many areas it has.
    pub shapes: u32,
    /// How many drawings were compared.
    pub tried: u32,
    /// Whether there was no time for all that the tier would try.
    pub cut_short: bool,
}

/// Finds the best drawing of a picture. `starts` are tried before anything else, the first of them in any case, however late it is: so a tier
/// never finds less than the one below it if it starts with what that one found.
///
/// # Errors
/// When nothing can be drawn or compared.
pub fn find(source: &Source, tier: Tier, starts: &[Parameters], deadline: Option<Instant>) -> Result<Found, NotDrawn> {
    let reference = Reference::new(source).map_err(NotDrawn::Failed)?;
    let mut attempt =
        Attempt { source, reference: &reference, deadline, best: None, tried: Vec::new(), cut_short: false };
    for start in if starts.is_empty() { &CANDIDATES[..1] } else { starts } {
        attempt.consider(start)?;
    }
    if tier >= Tier::Balanced {
        for candidate in &CANDIDATES {
            attempt.consider(candidate)?;
        }
    }
    if tier == Tier::Quality {
        attempt.descend()?;
    }
    attempt.finish()
}

struct Best {
    svg: String,
    parameters: Parameters,
    ssimulacra2: f64,
    score: f64,
    shapes: u32,
}

/// The search for the best drawing of one picture.
struct Attempt<'a> {
    source: &'a Source,
    reference: &'a Reference,
    deadline: Option<Instant>,
    best: Option<Best>,
    tried: Vec<Parameters>,
    cut_short: bool,
}

impl Attempt<'_> {
    /// Tries parameters unless they were tried or it is too late; tells whether they are the best so far.
    fn consider(&mut self, parameters: &Parameters) -> Result<bool, NotDrawn> {
        if self.tried.contains(parameters) {
            return Ok(false);
        }
        // The first one is drawn in any case.
        let deadline = self.deadline.filter(|_| self.best.is_some());
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            self.cut_short = true;
            return Ok(false);
        }
        let drawn = match self.source.trace(parameters, deadline) {
            Err(NotDrawn::Late) => {
                self.cut_short = true;
                return Ok(false);
            }
            drawn => drawn?,
        };
        self.tried.push(*parameters);
        let ssimulacra2 = self.reference.ssimulacra2(&drawn.svg).map_err(NotDrawn::Failed)?;
        let score = score(ssimulacra2, drawn.svg.len());
        let is_best = self.best.as_ref().is_none_or(|best| score > best.score);
        if is_best {
            self.best =
                Some(Best { svg: drawn.svg, parameters: *parameters, ssimulacra2, score, shapes: drawn.shapes });
        }
        Ok(is_best)
    }

    /// Coordinate descent: whatever is better is the next to start from.
    fn descend(&mut self) -> Result<(), NotDrawn> {
        while let Some(from) = self.best.as_ref().map(|best| best.parameters) {
            let mut is_better = false;
            for neighbor in from.neighbors() {
                if self.cut_short {
                    return Ok(());
                }
                if self.consider(&neighbor)? {
                    is_better = true;
                    break;
                }
            }
            if !is_better {
                return Ok(());
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Found, NotDrawn> {
        let best = self.best.ok_or(NotDrawn::Late)?;
        let ssim = self.reference.ssim(&best.svg).map_err(NotDrawn::Failed)?;
        Ok(Found {
            svg: best.svg,
            parameters: best.parameters,
            quality: Quality { ssimulacra2: best.ssimulacra2, ssim },
            score: best.score,
            shapes: best.shapes,
            tried: self.tried.len() as u32,
            cut_short: self.cut_short,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage, imageops};
    use std::time::Duration;

    /// A disc before a square, with soft edges.
    fn drawing() -> Source {
        let sharp = RgbImage::from_fn(384, 384, |x, y| {
            let (dx, dy) = (x as f32 - 200.0, y as f32 - 180.0);
            Rgb(match () {
                () if dx * dx + dy * dy < 90.0 * 90.0 => [20, 90, 200],
                () if (60..300).contains(&x) && (100..340).contains(&y) => [250, 180, 30],
                () => [255; 3],
            })
        });
        let pixels = imageops::resize(&sharp, 96, 96, imageops::FilterType::Triangle);
        Source::new(pixels, None, (96, 96))
    }

    #[test]
    fn a_tier_never_finds_less_than_the_one_below() {
        let source = drawing();
        let find = |tier, starts: &[Parameters]| find(&source, tier, starts, None).expect("a drawing");
        let fast = find(Tier::Fast, &CANDIDATES[..1]);
        let balanced = find(Tier::Balanced, &[fast.parameters]);
        let quality = find(Tier::Quality, &[balanced.parameters]);
        assert!(fast.score <= balanced.score && balanced.score < quality.score);
        assert_eq!((fast.tried, balanced.tried), (1, 6));
        assert!(fast.quality.ssim > 0.95, "{fast:?}");
    }

    #[test]
    fn what_there_is_no_time_for_is_left_out_and_there_is_a_drawing_nevertheless() {
        let source = drawing();
        let late = Instant::now().checked_sub(Duration::from_secs(1));
        let found = find(&source, Tier::Quality, &CANDIDATES[..1], late).expect("a drawing");
        assert!(found.cut_short);
        assert_eq!((found.tried, found.parameters), (1, CANDIDATES[0]));
    }
}
