//! One worker: from a picture's bytes to its vector, a batch at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use image::RgbImage;

use super::budget::{ByteBudget, Held};
use super::cancel::CancelToken;
use super::inflight::InFlight;
use super::record::{Decoded, Outcome, Seen};
use crate::error::{Error, Result};
use crate::media::{Content, DecodeError, DecodeLimits, decode_within, measure};
use crate::model::{Device, Embedded, Embedder, Model, ModelSpec, Runtime, RuntimeOptions};
use crate::types::{Features, ImageInfo, InvalidEmbedding};

/// A picture that was read and is to be decoded and embedded.
pub(super) struct Job<'a> {
    pub seen: Seen,
    pub content: Content,
    /// The share of the memory that its bytes take.
    pub held: Held<'a>,
    /// Whether its vector is there already, so that only its features are wanted.
    pub has_vector: bool,
}

/// Makes embedders: one for each worker on the processor, one for all on an accelerator. It can be used for many runs.
///
/// Nothing is loaded before the first picture needs it, so that a run without new pictures does not touch ONNX
/// Runtime.
#[derive(Debug)]
pub(crate) struct Engine {
    model: Model,
    runtime: RuntimeOptions,
    device: Device,
    threads: usize,
    shared: Mutex<Option<Embedder>>,
    /// Embedders of workers of earlier runs.
    idle: Mutex<Vec<Embedder>>,
    /// Whether making an embedder failed in this run: then it is not tried again by every worker.
    failed: Mutex<bool>,
}

impl Engine {
    /// `threads` is for one session: 1 where each worker has its own.
    pub fn new(model: Model, runtime: RuntimeOptions, device: Device, threads: usize) -> Self {
        let (shared, idle, failed) = (Mutex::new(None), Mutex::default(), Mutex::new(false));
        Self { model, runtime, device, threads, shared, idle, failed }
    }

    pub fn spec(&self) -> &ModelSpec {
        self.model.spec()
    }

    /// Whether any embedder is kept.
    pub fn is_loaded(&self) -> bool {
        !locked(&self.idle).is_empty() || locked(&self.shared).is_some()
    }

    /// Gives back the memory of embedders that are not at work. The next picture makes new ones.
    pub fn unload(&self) {
        locked(&self.idle).clear();
        *locked(&self.shared) = None;
    }

    /// Forgets that an embedder could not be made: what was wrong then may have been mended.
    pub(super) fn begin(&self) {
        *locked(&self.failed) = false;
    }

    /// An embedder of an earlier run, or a new one. The first worker whose attempt fails tells why, and the others are
    /// only stopped.
    fn embedder(&self) -> Result<Embedder> {
        if let Some(embedder) = locked(&self.idle).pop() {
            return Ok(embedder);
        }
        let mut failed = locked(&self.failed);
        if *failed {
            return Err(Error::Interrupted);
        }
        let embedder = Runtime::load(&self.runtime)
            .and_then(|runtime| Embedder::new(&self.model, &runtime, self.device, self.threads));
        *failed = embedder.is_err();
        embedder
    }

    /// Embeds pictures with the shared session, or with the worker's own one.
    fn embed(
        &self,
        own: &mut Option<Embedder>,
        pictures: &[RgbImage],
    ) -> Result<Vec<Result<Embedded, InvalidEmbedding>>> {
        if self.device.is_accelerator() {
            return self.embed_with(&mut locked(&self.shared), pictures);
        }
        self.embed_with(own, pictures)
    }

    fn embed_with(
        &self,
        slot: &mut Option<Embedder>,
        pictures: &[RgbImage],
    ) -> Result<Vec<Result<Embedded, InvalidEmbedding>>> {
        let embedder = match slot {
            Some(embedder) => embedder,
            None => slot.insert(self.embedder()?),
        };
        embedder.embed(pictures)
    }
}

/// No state behind these locks is ever half changed, so that a panic elsewhere does not matter.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What workers share.
pub(super) struct Workshop<'a> {
    pub engine: &'a Engine,
    pub inflight: &'a InFlight,
    pub pixels: &'a ByteBudget,
    pub limits: DecodeLimits,
    pub batch_size: usize,
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
    let mut embedder = None;
    work_until_broken(shop, worker, &mut embedder, jobs, results);
    locked(&shop.engine.idle).extend(embedder);
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
        let job = match jobs.try_recv() {
            Ok(job) => job,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                if !flush(shop, embedder, &mut batch, results) {
                    return;
                }
                let Ok(job) = jobs.recv() else { break };
                job
            }
        };
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
        if batch.len() >= shop.batch_size && !flush(shop, embedder, &mut batch, results) {
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
        Ok((info, features, pixels)) => {
            let decoded = Decoded { hash, bytes, info, features };
            match pixels {
                Some(pixels) => Ok(Prepared { seen, decoded, pixels }),
                None => Err(Box::new(Outcome::Measured { seen, decoded })),
            }
        }
        Err(error) => {
            let advice = if error.is_too_large() { " (--retry-failed with more --memory tries again)" } else { "" };
            let reason = format!("{error}{advice}");
            Err(Box::new(Outcome::Undecodable { seen, hash, bytes, reason }))
        }
    }
}

type LookedAt = (ImageInfo, Features, Option<RgbImage>);

/// Decodes and measures a picture, and scales it for the model unless its vector is there.
fn look_at(shop: &Workshop<'_>, content: &Content, has_vector: bool) -> Result<LookedAt, DecodeError> {
    let side = shop.engine.spec().shorter_side();
    let hold = |bytes| shop.pixels.hold(bytes);
    let (picture, _held) = decode_within(&content.bytes, content.format, shop.limits, side, hold)?;
    let features = measure(&picture, shop.feature_time.map(|time| Instant::now() + time));
    let pixels = (!has_vector).then(|| Embedder::prepare(shop.engine.spec(), &picture));
    Ok((picture.info(content.format), features, pixels))
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
    let embedded = match shop.engine.embed(embedder, &pixels) {
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
