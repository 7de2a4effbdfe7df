//! Finds the best parameters for tracing a drawing within a time limit, and learns from earlier traces.

mod batch;
mod candidates;
mod effort;
mod facts;
mod limits;
mod linear;
mod options;
mod pictures;
mod prior;
mod record;
mod score_predictor;

pub(crate) use batch::{Batch, Outcome, Ready, SkipReason};
pub use candidates::{CANDIDATES, first_for};
pub use effort::{CandidateScores, Found, Tier, bytes_for, find};
pub use facts::TraceFacts;
pub use limits::{Limits, NoLimits};
pub use options::TraceOptions;
pub(crate) use pictures::{TraceInput, trace_inputs};
pub use record::{Compared, Traced, VERSION};
pub use score_predictor::Estimate;
pub(crate) use score_predictor::{MAX_SAMPLES, Sample, ScorePredictor};

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::types::{ContentHash, ImageType};
    use crate::vector::{Parameters, Quality, SourceFacts};

    /// Properties of a picture with edges of this length.
    pub(super) fn facts(edges: f32) -> TraceFacts {
        let source = SourceFacts {
            megapixels: 0.065,
            colors: 4,
            flat: 0.9 - edges / 2.0,
            mixed: edges / 4.0,
            fine: edges / 4.0,
            off_palette: 3.0,
            edges,
            transparent: false,
        };
        TraceFacts {
            kind: Some(ImageType::Simple),
            source,
            entropy: 1.5,
            gradient_fraction: 0.0,
            corner_density: 10.0,
            shades: 4,
        }
    }

    pub(super) fn traced() -> Traced {
        Traced {
            hash: ContentHash::of(b"a picture"),
            facts: facts(0.125),
            tier: Tier::Balanced,
            svg: "<svg/>".into(),
            parameters: Parameters::DEFAULT,
            quality: Quality { ssimulacra2: 75.5, ssim: 0.9875 },
            score: 70.25,
            shapes: 7,
            tried: 6,
            complete: true,
            time: Duration::from_millis(321),
            stored: false,
            compared: None,
        }
    }
}
