//! One worker: from a picture's bytes to its vector, a batch at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use image::RgbImage;
use tracing::trace_span;

use super::budget::{ByteBudget, Held};
use super::cancel::CancelToken;
use super::engine::Engine;
use super::gate::{Gate, OpenAtEnd};
use super::inflight::InFlight;
use super::record::{Decoded, Outcome, Seen};
use crate::error::Error;
use crate::media::{Content, DecodeError, DecodeLimits, Limit, Looked, Wanted};
use crate::model::Embedder;

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
struct Prepared {
    seen: Seen,
    decoded: Decoded,
    pixels: RgbImage,
}

/// Decodes and embeds until there are no more jobs.
pub(super) fn work(shop: &Workshop<'_>, worker: usize, jobs: &Receiver<Job<'_>>, results: &Sender<Outcome>) {
    let _open = OpenAtEnd(shop.gate);
    let mut embedder = None;
    work_until_broken(shop, worker, &mut embedder, jobs, results);
    shop.engine.keep(embedder);
    // Nobody may be left waiting for memory that a job in the queue holds.
    jobs.iter().for_each(drop);
}

/// A batch is run when it is full, or when no other picture is ready: waiting would only leave the core idle.
fn work_until_broken(
    shop: &Workshop<'_>,
    worker: usize,
    embedder: &mut Option<Embedder>,
    jobs: &Receiver<Job<'_>>,
    results: &Sender<Outcome>,
) {
    let mut batch = Vec::new();
    loop {
        if shop.gate.is_closed_for(worker) {
            if !flush(shop, embedder, &mut batch, results) {
                return;
            }
            // It waits because there is too little memory.
            *embedder = None;
            trace_span!("paused").in_scope(|| shop.gate.wait(worker));
        }
        let job = match jobs.try_recv() {
            Ok(job) => job,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                if !flush(shop, embedder, &mut batch, results) {
                    return;
                }
                let waited = trace_span!("wait for pictures").in_scope(|| jobs.recv());
                let Ok(job) = waited else { break };
                job
            }
        };
        shop.waiting.fetch_sub(1, Ordering::Relaxed);
        if shop.cancel.is_cancelled() {
            continue;
        }
        match prepare(shop, worker, job) {
            Ok(prepared) => batch.push(prepared),
            Err(outcome) => {
                if results.send(*outcome).is_err() {
                    return;
                }
            }
        }
        if batch.len() >= shop.gate.batch() && !flush(shop, embedder, &mut batch, results) {
            return;
        }
    }
    flush(shop, embedder, &mut batch, results);
}

/// Decodes a picture, measures it, and scales it for the model; the bytes and the full pixels are given back here. What
/// is not for the model is an outcome at once.
fn prepare(shop: &Workshop<'_>, worker: usize, job: Job<'_>) -> Result<Prepared, Box<Outcome>> {
    let Job { seen, content, held, has_vector } = job;
    let flight = shop.inflight.enter(worker, &content.hash);
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

/// Runs the model on a batch and passes the results on; `false` if there is nobody to take them or nothing works.
fn flush(
    shop: &Workshop<'_>,
    embedder: &mut Option<Embedder>,
    batch: &mut Vec<Prepared>,
    results: &Sender<Outcome>,
) -> bool {
    if batch.is_empty() {
        return true;
    }
    let (pixels, rest): (Vec<_>, Vec<_>) =
        batch.drain(..).map(|Prepared { seen, decoded, pixels }| (pixels, (seen, decoded))).unzip();
    let embedded = match trace_span!("embed").in_scope(|| shop.engine.embed_in_parts(embedder, &pixels)) {
        Ok(embedded) => embedded,
        // Another worker has told, or is about to tell, what is wrong.
        Err(Error::Interrupted) => return false,
        Err(error) => {
            let _ = results.send(Outcome::Broken(error));
            return false;
        }
    };
    for ((seen, decoded), embedded) in rest.into_iter().zip(embedded) {
        let outcome = match embedded {
            Ok(embedded) => Outcome::Indexed { seen, decoded, embedded },
            Err(error) => {
                let reason = error.to_string();
                Outcome::Unembeddable { seen, decoded, reason }
            }
        };
        if results.send(outcome).is_err() {
            return false;
        }
    }
    true
}
