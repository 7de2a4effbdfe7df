//! Finds the best parameters for tracing a drawing within a time limit.

mod batch;
mod candidates;
mod coarse;
mod effort;
mod facts;
mod jpeg;
mod limits;
mod options;
mod pictures;
mod prior;
mod record;

pub(crate) use batch::{Batch, Prepared, Ready};
pub use candidates::{CANDIDATES, CandidateScores, first_for};
pub(crate) use coarse::Coarse;
pub(crate) use effort::{bytes_for, find};
pub use facts::TraceFacts;
pub use options::{Tier, TraceOptions};
pub(crate) use pictures::{TraceInput, trace_inputs};
pub use prior::Estimate;
pub use record::{Compared, Traced};

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::types::{ContentHash, ImageType};
    use crate::vector::{Parameters, Quality, SourceFacts};

    pub(super) fn traced() -> Traced {
        let source = SourceFacts {
            megapixels: 0.065,
            colors: 4,
            flat: 0.84,
            mixed: 0.03,
            fine: 0.03,
            off_palette: 3.0,
            edges: 0.125,
            transparent: false,
        };
        let facts = TraceFacts {
            kind: Some(ImageType::Simple),
            source,
            entropy: 1.5,
            gradient_fraction: 0.0,
            corner_density: 10.0,
            shades: 4,
        };
        Traced {
            hash: ContentHash::of(b"a picture"),
            facts,
            tier: Tier::Balanced,
            svg: "<svg/>".into(),
            parameters: Parameters::DEFAULT,
            quality: Quality { ssimulacra2: 75.5, ssim: 0.9875 },
            score: 70.25,
            shapes: 7,
            tried: 6,
            complete: true,
            coarse: false,
            candidates: [Some(70.25), Some(1.5), None, None, None, None],
            time: Duration::from_millis(321),
            stored: false,
            compared: None,
        }
    }
}
