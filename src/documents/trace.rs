//! The documents of `trace`.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use crate::index::{TraceEstimate, TraceReport};
use crate::trace::{Estimate, Tier, TraceFacts, Traced};
use crate::types::{ContentHash, ImageType, PathField, SvgField};
use crate::vector::{Parameters, Quality};

/// The traces of pictures.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Traces {
    /// The traces.
    pub traces: Vec<Trace>,
    /// The pictures that could not be traced, or whose traces could not be written.
    pub failed: Vec<NotTraced>,
    /// Number of photographs found in directories and left out.
    pub photos: u64,
    /// Number of traces that were known already.
    pub stored: u64,
    /// Whether the run was cancelled before all pictures were done.
    pub interrupted: bool,
    /// Duration of the run.
    pub seconds: f64,
}

/// The expected scores of traces.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Estimates {
    /// The estimates.
    pub estimates: Vec<EstimatedTrace>,
    /// The pictures that could not be decoded.
    pub failed: Vec<NotTraced>,
}

/// A picture that was traced.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TracedPicture {
    /// Its path.
    #[serde(flatten)]
    pub path: PathField,
    /// BLAKE3 digest of its content.
    pub image: String,
    /// Its type, if it was classified.
    #[serde(rename = "type")]
    pub kind: Option<ImageType>,
}

/// The trace of a picture.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Trace {
    /// The picture.
    #[serde(flatten)]
    pub picture: TracedPicture,
    /// The file with the SVG.
    #[serde(flatten)]
    pub svg: Option<SvgField>,
    /// The SVG itself, if it is written to standard output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// The tier of the search: the requested one or a higher one.
    pub tier: Tier,
    /// Its score: the likeness, less four points for each doubling of the size.
    pub score: f64,
    /// Its likeness to the picture.
    #[serde(flatten)]
    pub quality: Quality,
    /// Length of the SVG in bytes.
    pub bytes: usize,
    /// Number of filled areas.
    pub shapes: u32,
    /// Number of parameter sets tried.
    pub tried: u32,
    /// Whether there was time to try everything that the tier includes.
    pub complete: bool,
    /// Whether it was made from a smaller copy of the picture, because there was no time for a better one.
    pub coarse: bool,
    /// Whether it was found by an earlier run.
    pub stored: bool,
    /// How long the search took when it ran.
    pub milliseconds: u64,
    /// The parameters that produced it.
    pub parameters: Parameters,
    /// Properties of the picture, known before the trace.
    pub facts: TraceFacts,
}

/// The expected score of a trace.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct EstimatedTrace {
    /// The picture.
    #[serde(flatten)]
    pub picture: TracedPicture,
    /// The estimate.
    pub estimate: Estimate,
    /// The stored trace, if there is one.
    pub traced: Option<KnownTrace>,
    /// Properties of the picture that the estimate is based on.
    pub facts: TraceFacts,
}

/// A stored trace.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct KnownTrace {
    /// Its score.
    pub score: f64,
    /// The tier of its search.
    pub tier: Tier,
}

/// A picture that could not be traced.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct NotTraced {
    /// Its path.
    #[serde(flatten)]
    pub path: PathField,
    /// Why it could not be traced.
    pub reason: String,
}

impl Traces {
    /// The document of a run.
    pub fn new(traces: Vec<Trace>, failed: Vec<NotTraced>, report: &TraceReport) -> Self {
        let TraceReport { photos, stored, interrupted, seconds, .. } = *report;
        Self { traces, failed, photos, stored, interrupted, seconds }
    }
}

impl TracedPicture {
    fn new(path: &Path, hash: ContentHash, facts: &TraceFacts) -> Self {
        Self { path: path.into(), image: hash.to_string(), kind: facts.kind }
    }
}

impl Trace {
    /// The trace of a picture and the file that it was written to; without one, the SVG is part of the document.
    pub fn new(path: &Path, file: Option<&Path>, traced: &Traced) -> Self {
        Self {
            picture: TracedPicture::new(path, traced.hash, &traced.facts),
            svg: file.map(SvgField::from),
            document: file.is_none().then(|| traced.svg.clone()),
            tier: traced.tier,
            score: traced.score,
            quality: traced.quality,
            bytes: traced.svg.len(),
            shapes: traced.shapes,
            tried: traced.tried,
            complete: traced.complete,
            coarse: traced.coarse,
            stored: traced.stored,
            milliseconds: traced.time.as_millis() as u64,
            parameters: traced.parameters,
            facts: traced.facts,
        }
    }
}

impl EstimatedTrace {
    /// The estimate of a picture.
    pub fn new(path: &Path, estimated: &TraceEstimate) -> Self {
        let TraceEstimate { hash, facts, estimate, known } = *estimated;
        let traced = known.map(|(score, tier)| KnownTrace { score, tier });
        Self { picture: TracedPicture::new(path, hash, &facts), estimate, traced, facts }
    }
}

impl NotTraced {
    /// A picture, and the reason why it could not be traced.
    pub fn new(path: &Path, reason: impl ToString) -> Self {
        Self { path: path.into(), reason: reason.to_string() }
    }
}
