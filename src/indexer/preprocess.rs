//! The preprocess stage: turns the bytes of a picture into pixels for the model.

use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender};
use image::RgbImage;
use tracing::trace_span;

use super::context::PipelineContext;
use super::record::{DecodedImage, ObservedFile, Outcome};
use super::throttle::OpenOnDrop;
use crate::media::{Content, DecodeRequest, Decoded, Limit};
use crate::types::MemoryPermit;

/// A picture that was read and has to be decoded and embedded.
pub(super) struct Job<'a> {
    pub observed: ObservedFile,
    pub content: Content,
    /// The memory permit for its bytes.
    pub permit: MemoryPermit<'a>,
    /// Whether its vector is stored already, so that only its features are needed.
    pub has_vector: bool,
    /// Whether a thumbnail may stand in for the whole picture.
    pub is_quick: bool,
}

/// A picture that is decoded and waits for a batch.
pub(super) struct Prepared {
    pub observed: ObservedFile,
    pub decoded: DecodedImage,
    pub pixels: RgbImage,
}

/// Preprocesses pictures until there are no more jobs.
///
/// This thread mostly waits for the process that decodes, while workers run the model. One thread for both would
/// leave a core idle whenever the system schedules that thread and the decoding process, which wake each other, on
/// one core.
pub(super) fn preprocess_all(
    context: &PipelineContext<'_>,
    preprocessor: usize,
    jobs: &Receiver<Job<'_>>,
    pictures: &Sender<Prepared>,
    results: &Sender<Outcome>,
) {
    let _open = OpenOnDrop(&context.throttle);
    loop {
        if context.throttle.is_closed_for(preprocessor) {
            trace_span!("paused").in_scope(|| context.throttle.wait(preprocessor));
        }
        let Ok(job) = trace_span!("wait for files").in_scope(|| jobs.recv()) else { break };
        context.waiting_pictures.fetch_sub(1, Ordering::Relaxed);
        if context.cancel.is_cancelled() {
            continue;
        }
        let is_received = match prepare(context, preprocessor, job) {
            Ok(prepared) => trace_span!("wait for a worker").in_scope(|| pictures.send(prepared).is_ok()),
            Err(outcome) => results.send(*outcome).is_ok(),
        };
        if !is_received {
            break;
        }
    }
    // Queued jobs hold memory permits for which readers may be waiting.
    jobs.iter().for_each(drop);
}

/// Decodes a picture, measures it, and scales it for the model unless its vector is stored already. The memory of its
/// bytes and of its full pixels is released here. A picture that does not go through the model becomes an outcome at
/// once.
fn prepare(context: &PipelineContext<'_>, preprocessor: usize, job: Job<'_>) -> Result<Prepared, Box<Outcome>> {
    let Job { observed, content, permit, has_vector, is_quick } = job;
    let feature_time = context.options.feature_time;
    let mut request = DecodeRequest { feature_time, quick: is_quick, ..context.encoder.spec().decode_request() };
    if has_vector {
        request.frame = None;
    }
    let hold = |bytes| trace_span!("wait for memory").in_scope(|| context.pixels.hold(bytes));
    let sandbox = context.encoder.sandbox();
    let journal_entry = context.crash_journal.enter(preprocessor, &content.hash);
    let decoded = sandbox.decode_and_measure(&content.bytes, content.format, context.limits, &request, hold);
    drop(journal_entry);
    let bytes = content.size;
    drop(permit);
    let hash = content.hash;
    match decoded {
        Ok(Decoded { info, metadata, features, miniature, pixels, .. }) => {
            let decoded = DecodedImage { hash, bytes, info, metadata, features, miniature };
            match pixels {
                Some(pixels) => Ok(Prepared { observed, decoded, pixels }),
                None => Err(Box::new(Outcome::Indexed { observed, decoded, embedded: None })),
            }
        }
        Err(error) => {
            let advice = match error.limit() {
                Some(Limit::Memory) => " (to try again, use --retry-failed with a higher --memory)",
                Some(Limit::Time) => " (to try again, use --retry-failed with a higher --picture-time)",
                None => "",
            };
            let reason = format!("{error}{advice}");
            Err(Box::new(Outcome::Undecodable { observed, hash, bytes, reason }))
        }
    }
}
