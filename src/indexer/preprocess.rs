//! What a worker has done ahead of it: from a picture's bytes to the pixels for the model.

use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender};
use image::RgbImage;
use tracing::trace_span;

use super::context::PipelineContext;
use super::record::{DecodedImage, ObservedFile, Outcome};
use super::throttle::OpenAtEnd;
use crate::media::{Content, DecodeError, DecodeRequest, Decoded, Limit};
use crate::types::MemoryPermit;

/// A picture that was read and is to be decoded and embedded.
pub(super) struct Job<'a> {
    pub observed: ObservedFile,
    pub content: Content,
    /// The share of the memory that its bytes take.
    pub held: MemoryPermit<'a>,
    /// Whether its vector is there already, so that only its features are wanted.
    pub has_vector: bool,
}

/// A picture that is decoded and waits for its batch.
pub(super) struct Prepared {
    pub observed: ObservedFile,
    pub decoded: DecodedImage,
    pub pixels: RgbImage,
}

/// Has pictures decoded at until there are no more jobs. Most of the time it waits for the process that does it, while workers run the
/// model: with one thread for both, a core would be idle whenever the system has put the two that wake each other on the same one.
pub(super) fn preprocess_all(
    context: &PipelineContext<'_>,
    preprocessor: usize,
    jobs: &Receiver<Job<'_>>,
    pictures: &Sender<Prepared>,
    results: &Sender<Outcome>,
) {
    let _open = OpenAtEnd(&context.throttle);
    loop {
        if context.throttle.is_closed_for(preprocessor) {
            trace_span!("paused").in_scope(|| context.throttle.wait(preprocessor));
        }
        let Ok(job) = trace_span!("wait for files").in_scope(|| jobs.recv()) else { break };
        context.waiting_pictures.fetch_sub(1, Ordering::Relaxed);
        if context.cancel.is_cancelled() {
            continue;
        }
        let is_taken = match prepare(context, preprocessor, job) {
            Ok(prepared) => trace_span!("wait for a worker").in_scope(|| pictures.send(prepared).is_ok()),
            Err(outcome) => results.send(*outcome).is_ok(),
        };
        if !is_taken {
            break;
        }
    }
    // Nobody may be left waiting for memory that a job in the queue holds.
    jobs.iter().for_each(drop);
}

/// Decodes a picture, measures it, and scales it for the model; the bytes and the full pixels are given back here. What
/// is not for the model is an outcome at once.
fn prepare(context: &PipelineContext<'_>, preprocessor: usize, job: Job<'_>) -> Result<Prepared, Box<Outcome>> {
    let Job { observed, content, held, has_vector } = job;
    let flight = context.crash_journal.enter(preprocessor, &content.hash);
    let decoded = decode_and_measure(context, &content, has_vector);
    drop(flight);
    let bytes = content.bytes.len() as u64;
    drop(held);
    let hash = content.hash;
    match decoded {
        Ok(Decoded { info, features, pixels, .. }) => {
            let decoded = DecodedImage { hash, bytes, info, features };
            match pixels {
                Some(pixels) => Ok(Prepared { observed, decoded, pixels }),
                None => Err(Box::new(Outcome::Measured { observed, decoded })),
            }
        }
        Err(error) => {
            let advice = match error.limit() {
                Some(Limit::Memory) => " (--retry-failed with more --memory tries again)",
                Some(Limit::Time) => " (--retry-failed with more --picture-time tries again)",
                None => "",
            };
            let reason = format!("{error}{advice}");
            Err(Box::new(Outcome::Undecodable { observed, hash, bytes, reason }))
        }
    }
}

/// Decodes and measures a picture, and scales it for the model unless its vector is there.
fn decode_and_measure(
    context: &PipelineContext<'_>,
    content: &Content,
    has_vector: bool,
) -> Result<Decoded, DecodeError> {
    let hold = |bytes| trace_span!("wait for memory_plan").in_scope(|| context.pixels.hold(bytes));
    let mut wanted =
        DecodeRequest { feature_time: context.options.feature_time, ..context.engine.spec().decode_request() };
    if has_vector {
        wanted.frame = None;
    }
    context.engine.sandbox().decode_and_measure(&content.bytes, content.format, context.limits, &wanted, hold)
}
