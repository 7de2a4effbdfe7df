//! What a worker has done ahead of it: from a picture's bytes to the pixels for the model.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use image::RgbImage;
use tracing::trace_span;

use super::engine::Engine;
use super::gate::{Gate, OpenAtEnd};
use super::inflight::InFlight;
use super::record::{Decoded, Outcome, Seen};
use crate::media::{Content, DecodeError, DecodeLimits, Limit, Looked, Wanted};
use crate::types::{ByteBudget, CancelToken, Held};

/// A picture that was read and is to be decoded and embedded.
pub(super) struct Job<'a> {
    pub seen: Seen,
    pub content: Content,
    /// The share of the memory that its bytes take.
    pub held: Held<'a>,
    /// Whether its vector is there already, so that only its features are wanted.
    pub has_vector: bool,
}

/// What workers share.
pub(super) struct Workshop<'a> {
    pub engine: &'a Engine,
    pub inflight: &'a InFlight,
    pub pixels: &'a ByteBudget,
    pub limits: DecodeLimits,
    pub gate: &'a Gate,
    pub waiting: &'a AtomicUsize,
    pub feature_time: Option<Duration>,
    pub cancel: &'a CancelToken,
}

/// A picture that is decoded and waits for its batch.
pub(super) struct Prepared {
    pub seen: Seen,
    pub decoded: Decoded,
    pub pixels: RgbImage,
}

/// Has pictures looked at until there are no more jobs. Most of the time it waits for the process that does it, while workers run the
/// model: with one thread for both, a core would be idle whenever the system has put the two that wake each other on the same one.
pub(super) fn look_ahead(
    shop: &Workshop<'_>,
    looker: usize,
    jobs: &Receiver<Job<'_>>,
    pictures: &Sender<Prepared>,
    results: &Sender<Outcome>,
) {
    let _open = OpenAtEnd(shop.gate);
    loop {
        if shop.gate.is_closed_for(looker) {
            trace_span!("paused").in_scope(|| shop.gate.wait(looker));
        }
        let Ok(job) = trace_span!("wait for files").in_scope(|| jobs.recv()) else { break };
        shop.waiting.fetch_sub(1, Ordering::Relaxed);
        if shop.cancel.is_cancelled() {
            continue;
        }
        let is_taken = match prepare(shop, looker, job) {
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
fn prepare(shop: &Workshop<'_>, looker: usize, job: Job<'_>) -> Result<Prepared, Box<Outcome>> {
    let Job { seen, content, held, has_vector } = job;
    let flight = shop.inflight.enter(looker, &content.hash);
    let looked_at = look_at(shop, &content, has_vector);
    drop(flight);
    let bytes = content.bytes.len() as u64;
    drop(held);
    let hash = content.hash;
    match looked_at {
        Ok(Looked { info, features, pixels, .. }) => {
            let decoded = Decoded { hash, bytes, info, features };
            match pixels {
                Some(pixels) => Ok(Prepared { seen, decoded, pixels }),
                None => Err(Box::new(Outcome::Measured { seen, decoded })),
            }
        }
        Err(error) => {
            let advice = match error.limit() {
                Some(Limit::Memory) => " (--retry-failed with more --memory tries again)",
                Some(Limit::Time) => " (--retry-failed with more --picture-time tries again)",
                None => "",
            };
            let reason = format!("{error}{advice}");
            Err(Box::new(Outcome::Undecodable { seen, hash, bytes, reason }))
        }
    }
}

/// Decodes and measures a picture, and scales it for the model unless its vector is there.
fn look_at(shop: &Workshop<'_>, content: &Content, has_vector: bool) -> Result<Looked, DecodeError> {
    let hold = |bytes| trace_span!("wait for room").in_scope(|| shop.pixels.hold(bytes));
    let mut wanted = Wanted { feature_time: shop.feature_time, ..shop.engine.spec().wanted() };
    if has_vector {
        wanted.frame = None;
    }
    shop.engine.sandbox().look(&content.bytes, content.format, shop.limits, &wanted, hold)
}
