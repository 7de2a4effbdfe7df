//! Running models: one [`Encoder`] per model and process, shared by indexing, watching and queries.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use image::RgbImage;
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::media::{DecodeError, DecodeLimits, Decoded, Format};
use crate::model::{self, Device, Embedded, Embedder, Model, ModelSpec, Runtime, RuntimeOptions};
use crate::sandbox::Sandbox;
use crate::types::{InvalidEmbedding, ModelId, give_back_memory};

/// One result for each picture of a batch.
type Embeddings = Vec<Result<Embedded, InvalidEmbedding>>;

/// Computes the vectors of pictures with one model.
///
/// Sessions are created when the first picture needs them, so a run without new pictures does not load ONNX Runtime.
/// Indexing uses one session per worker on the CPU, single-threaded by default, and one session for all workers on an
/// accelerator. A query uses one of these if it is idle. Otherwise it creates a session on all cores, which is dropped
/// when workers return theirs.
#[derive(Debug)]
pub(crate) struct Encoder {
    model: Model,
    runtime: RuntimeOptions,
    sandbox: Arc<Sandbox>,
    /// The requested device.
    device: Device,
    /// Number of threads of a worker's session.
    threads: usize,
    /// The fastest device that `tune` has found, tried first if no device is requested.
    preferred: Option<Device>,
    /// The device in use, once it is known. Never locked for long, because progress reports read it.
    used: Mutex<Option<Device>>,
    /// Locked while the device to use is determined.
    starting: Mutex<()>,
    /// The session of all workers on an accelerator.
    shared: Mutex<Option<Embedder>>,
    /// Sessions of workers that are not embedding.
    idle: Mutex<IdleSessions<Embedder>>,
    /// The session for queries while no worker's session is idle.
    for_queries: Mutex<Option<Embedder>>,
    /// Whether creating a session has failed in this run, so that not every worker tries it.
    failed: Mutex<bool>,
    last_used: Mutex<Instant>,
}

/// Sessions that workers have returned, for the next run. A query takes one for the time of one picture.
#[derive(Debug)]
struct IdleSessions<S> {
    here: Vec<S>,
    /// Number of sessions that queries have taken.
    lent: usize,
    /// How many of these end with their query, because a worker found none and creates a session of its own. Otherwise
    /// there would be more sessions than workers after the run.
    replaced: usize,
}

impl<S> IdleSessions<S> {
    /// Whether a session is here, or will be once its query is done.
    fn is_any(&self) -> bool {
        !self.here.is_empty() || self.lent > self.replaced
    }

    /// Takes a session for a worker, which creates one if there is none.
    fn take(&mut self) -> Option<S> {
        let session = self.here.pop();
        if session.is_none() && self.lent > self.replaced {
            self.replaced += 1;
        }
        session
    }

    fn lend(&mut self) -> Option<S> {
        let session = self.here.pop()?;
        self.lent += 1;
        Some(session)
    }

    fn give_back(&mut self, session: S) {
        self.lent -= 1;
        if self.replaced > 0 {
            self.replaced -= 1;
        } else {
            self.here.push(session);
        }
    }
}

impl Encoder {
    /// Creates an encoder without loading anything. `threads` is the number of threads of a worker's session.
    pub(crate) fn new(
        model: Model,
        runtime: RuntimeOptions,
        sandbox: Arc<Sandbox>,
        device: Device,
        preferred: Option<Device>,
        threads: usize,
    ) -> Self {
        Self {
            model,
            runtime,
            sandbox,
            device,
            threads,
            preferred,
            used: Mutex::default(),
            starting: Mutex::default(),
            shared: Mutex::default(),
            idle: Mutex::new(IdleSessions { here: Vec::new(), lent: 0, replaced: 0 }),
            for_queries: Mutex::default(),
            failed: Mutex::default(),
            last_used: Mutex::new(Instant::now()),
        }
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    pub(crate) fn spec(&self) -> &ModelSpec {
        self.model.spec()
    }

    /// The sandbox that decodes pictures.
    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The device that the model runs on; `None` before its first run.
    pub(crate) fn device(&self) -> Option<Device> {
        *self.used.lock()
    }

    /// Whether each worker may get its own session, as far as is known before ONNX Runtime is loaded.
    pub(crate) fn may_have_own_sessions(&self) -> bool {
        !self.device().unwrap_or(self.device).is_accelerator()
    }

    /// The default batch size for the device in use.
    pub(crate) fn usual_batch(&self) -> usize {
        let device = self.device().unwrap_or_default();
        let runtime = if device.is_accelerator() { Runtime::load(&self.runtime).ok() } else { None };
        device.usual_batch(runtime.and_then(|runtime| runtime.device_memory(device)))
    }

    /// Whether an idle or shared session is in memory, as far as is known without waiting.
    pub(crate) fn is_loaded(&self) -> bool {
        // If the lock is taken, the session exists or is being created.
        let is_present = |slot: &Mutex<Option<Embedder>>| slot.try_lock().is_none_or(|slot| slot.is_some());
        self.idle.lock().is_any() || is_present(&self.shared) || is_present(&self.for_queries)
    }

    /// Takes back a worker's session, for the next run or for queries.
    pub(crate) fn keep(&self, embedder: Option<Embedder>) {
        let Some(embedder) = embedder else { return };
        self.idle.lock().here.push(embedder);
        *self.last_used.lock() = Instant::now();
        // Queries use the worker's session from now on, so that the model is in memory only once. This waits for a
        // query that is using the other one.
        *self.for_queries.lock() = None;
    }

    /// Unloads the model if nothing has used it for this long. Otherwise returns how long to wait before the next call.
    /// Returns `None` if the model is not loaded.
    pub(crate) fn unload_after(&self, idle: Duration) -> Option<Duration> {
        if !self.is_loaded() {
            return None;
        }
        let rest = idle.saturating_sub(self.last_used.lock().elapsed());
        if !rest.is_zero() {
            return Some(rest);
        }
        self.idle.lock().here.clear();
        for slot in [&self.shared, &self.for_queries] {
            if let Some(mut slot) = slot.try_lock() {
                *slot = None;
            }
        }
        self.sandbox.unload();
        give_back_memory();
        None
    }

    /// Decodes a picture for a query, with the pixels that the model needs.
    pub(crate) fn decode(&self, bytes: &[u8], format: Format) -> Result<Decoded, DecodeError> {
        let request = self.spec().decode_request();
        self.sandbox.decode_and_measure(bytes, format, DecodeLimits::default(), &request, |_| ())
    }

    /// The vector and the classes of one picture, for a query.
    pub(crate) fn encode(&self, pixels: RgbImage) -> Result<Embedded> {
        *self.last_used.lock() = Instant::now();
        let mut lent = self.idle.lock().lend();
        let embedded = match &mut lent {
            Some(embedder) => embedder.embed(&[pixels]).map_err(Error::from),
            None => self.encode_without_worker(&[pixels]),
        };
        if let Some(embedder) = lent {
            self.idle.lock().give_back(embedder);
        }
        *self.last_used.lock() = Instant::now();
        let embedded = embedded?.pop().expect("one result for one picture");
        let model = || self.spec().name.clone();
        Ok(embedded.map_err(|error| model::Error::Model { model: model(), reason: error.to_string() })?)
    }

    fn encode_without_worker(&self, pictures: &[RgbImage]) -> Result<Embeddings> {
        if let Some(embedder) = &mut *self.shared.lock() {
            return Ok(embedder.embed(pictures)?);
        }
        let all_cores = || std::thread::available_parallelism().map_or(1, usize::from);
        embed_with(&mut self.for_queries.lock(), pictures, || self.make_embedder(all_cores()))
    }

    /// Starts a run: sessions may be created again, even if that failed in an earlier run.
    pub(crate) fn begin(&self) {
        *self.failed.lock() = false;
    }

    /// Returns an idle session, or a new one. Only the first worker whose attempt fails returns the cause; the others
    /// return [`Error::Interrupted`].
    fn embedder(&self) -> Result<Embedder> {
        if let Some(embedder) = self.idle.lock().take() {
            return Ok(embedder);
        }
        let mut failed = self.failed.lock();
        if *failed {
            return Err(Error::Interrupted);
        }
        let embedder = self.make_embedder(self.threads);
        *failed = embedder.is_err();
        embedder
    }

    /// Creates a session on the device in use. If that is not known yet, it becomes the first candidate that works.
    fn make_embedder(&self, threads: usize) -> Result<Embedder> {
        let runtime = Runtime::load(&self.runtime)?;
        let candidates = match (self.device(), self.device) {
            (Some(device), _) => vec![device],
            (None, Device::Auto) => self.candidates(&runtime),
            (None, named) => vec![named],
        };
        let (last, others) = candidates.split_last().expect("there is at least one candidate");
        for device in others {
            match Embedder::new(&self.model, &runtime, *device, threads) {
                Ok(embedder) => {
                    *self.used.lock() = Some(*device);
                    return Ok(embedder);
                }
                Err(error) => (self.runtime.notice)(&format!("{error}; trying another device")),
            }
        }
        let embedder = Embedder::new(&self.model, &runtime, *last, threads)?;
        *self.used.lock() = Some(*last);
        Ok(embedder)
    }

    /// The devices to try in this order if none is requested.
    fn candidates(&self, runtime: &Runtime) -> Vec<Device> {
        let offered = runtime.devices();
        match self.preferred {
            Some(device) if device.is_accelerator() && offered.contains(&device) => vec![device, Device::Cpu],
            Some(Device::Cpu) => vec![Device::Cpu],
            _ => Device::candidates(&offered, self.model.is_builtin()),
        }
    }

    /// Whether all workers share one session. Creates the first session if that is not known yet.
    fn is_shared(&self) -> Result<bool> {
        if self.device != Device::Auto {
            return Ok(self.device.is_accelerator());
        }
        // The first worker determines the device, and the others wait for it.
        let _starting = self.starting.lock();
        if let Some(device) = self.device() {
            return Ok(device.is_accelerator());
        }
        let embedder = self.embedder()?;
        let is_shared = self.device().is_some_and(Device::is_accelerator);
        if is_shared {
            *self.shared.lock() = Some(embedder);
        } else {
            self.idle.lock().here.push(embedder);
        }
        Ok(is_shared)
    }

    /// Like [`Encoder::embed`], but splits a batch that fails in half, because an accelerator may have too little
    /// memory for all of it.
    pub(crate) fn embed_in_parts(&self, own: &mut Option<Embedder>, pictures: &[RgbImage]) -> Result<Embeddings> {
        match self.embed(own, pictures) {
            Err(Error::Model(model::Error::Model { .. })) if pictures.len() > 1 => {
                let (first, second) = pictures.split_at(pictures.len() / 2);
                let mut embedded = self.embed_in_parts(own, first)?;
                embedded.extend(self.embed_in_parts(own, second)?);
                Ok(embedded)
            }
            result => result,
        }
    }

    /// Embeds pictures with the shared session, or with the worker's own session.
    fn embed(&self, own: &mut Option<Embedder>, pictures: &[RgbImage]) -> Result<Embeddings> {
        let make = || self.embedder();
        if self.is_shared()? {
            return embed_with(&mut self.shared.lock(), pictures, make);
        }
        embed_with(own, pictures, make)
    }
}

/// Embeds pictures with the session in a slot, which `make` fills if it is empty.
fn embed_with(
    slot: &mut Option<Embedder>,
    pictures: &[RgbImage],
    make: impl FnOnce() -> Result<Embedder>,
) -> Result<Embeddings> {
    let embedder = match slot {
        Some(embedder) => embedder,
        none => none.insert(make()?),
    };
    Ok(embedder.embed(pictures)?)
}

/// The encoders in use in a process, one per model.
#[derive(Debug, Default)]
pub(crate) struct Encoders(Mutex<Vec<Weak<Encoder>>>);

impl Encoders {
    /// The encoder of a model, if it is in use.
    pub(crate) fn get(&self, model: ModelId) -> Option<Arc<Encoder>> {
        self.0.lock().iter().filter_map(Weak::upgrade).find(|encoder| encoder.model.id() == model)
    }

    /// The encoder of a model on a device. `make` creates it if there is none.
    pub(crate) fn get_on(
        &self,
        model: ModelId,
        device: Device,
        make: impl FnOnce() -> Result<Encoder>,
    ) -> Result<Arc<Encoder>> {
        if let Some(encoder) = self.get(model).filter(|encoder| encoder.device == device) {
            return Ok(encoder);
        }
        let made = Arc::new(make()?);
        let mut encoders = self.0.lock();
        encoders.retain(|other| other.upgrade().is_some_and(|other| other.model.id() != model));
        encoders.push(Arc::downgrade(&made));
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::IdleSessions;

    #[test]
    fn a_query_at_the_start_of_a_run_leaves_as_many_sessions_as_there_are_workers() {
        for workers in 1..4 {
            let mut idle = IdleSessions { here: vec!["of an earlier run"; 2], lent: 0, replaced: 0 };
            let lent: Vec<_> = (0..2).filter_map(|_| idle.lend()).collect();
            assert!(idle.is_any() && idle.lend().is_none());
            let mut at_work: Vec<_> = (0..workers).map(|_| idle.take().unwrap_or("new")).collect();
            lent.into_iter().for_each(|session| idle.give_back(session));
            assert_eq!(at_work.len() + idle.here.len(), workers.max(2));
            idle.here.append(&mut at_work);
            let query = idle.lend().expect("the workers are done");
            idle.give_back(query);
            assert_eq!((idle.here.len(), idle.lent, idle.replaced), (workers.max(2), 0, 0));
        }
    }
}
