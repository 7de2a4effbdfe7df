//! The model at work: one [`Encoder`] for each model of a process, which indexing, watching and queries share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use image::RgbImage;

use crate::error::{Error, Result};
use crate::media::{DecodeError, DecodeLimits, Decoded, Format};
use crate::model::{self, Device, Embedded, Embedder, Model, ModelSpec, Runtime, RuntimeOptions};
use crate::sandbox::Sandbox;
use crate::types::{InvalidEmbedding, ModelId};

/// Turns pictures into vectors with one model.
///
/// Sessions are made when the first picture needs them, so that a run without new pictures does not touch ONNX Runtime. Indexing has
/// one single-threaded session for each worker on the processor, and one session for all workers on an accelerator. A query uses one of
/// them where one is idle. Otherwise it makes a session on all cores, which is dropped when workers hand theirs back.
#[derive(Debug)]
pub(crate) struct Encoder {
    model: Model,
    runtime: RuntimeOptions,
    sandbox: Arc<Sandbox>,
    /// The device that was asked for.
    device: Device,
    /// Threads of a worker's session: 1 where each worker has its own.
    threads: usize,
    /// The fastest device that was found, tried first where none is asked for.
    preferred: Option<Device>,
    /// The device in use, once it is known. Never locked for long: progress reports read it.
    used: Mutex<Option<Device>>,
    /// Held while the device in use is being found.
    starting: Mutex<()>,
    shared: Mutex<Option<Embedder>>,
    /// Sessions that workers have handed back.
    idle: Mutex<Vec<Embedder>>,
    /// The session of queries while no worker's session is idle.
    for_queries: Mutex<Option<Embedder>>,
    /// Whether making a session failed in this run: then not every worker tries again.
    failed: Mutex<bool>,
    last_used: Mutex<Instant>,
}

impl Encoder {
    /// Prepares an encoder; nothing is loaded yet. `threads` is for one session of indexing.
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
            idle: Mutex::default(),
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

    /// Where pictures are decoded.
    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The device that the model runs on; `None` as long as it did not run.
    pub(crate) fn device(&self) -> Option<Device> {
        *locked(&self.used)
    }

    /// Whether workers will have sessions of their own, as far as is known before the runtime is loaded.
    pub(crate) fn may_have_own_sessions(&self) -> bool {
        !self.device().unwrap_or(self.device).is_accelerator()
    }

    /// Pictures that go through the model at once on the device that is used, where nothing else is known.
    pub(crate) fn usual_batch(&self) -> usize {
        let device = self.device().unwrap_or_default();
        let memory = if device.is_accelerator() { self.device_memory(device) } else { None };
        device.usual_batch(memory)
    }

    fn device_memory(&self, device: Device) -> Option<u64> {
        Runtime::load(&self.runtime).ok()?.device_memory(device)
    }

    /// Whether the model is in memory for somebody who may come, as far as is known without waiting.
    pub(crate) fn is_loaded(&self) -> bool {
        // Where somebody holds the lock, the session is there, or is about to be.
        let is_there = |slot: &Mutex<Option<Embedder>>| slot.try_lock().map_or(true, |slot| slot.is_some());
        !locked(&self.idle).is_empty() || is_there(&self.shared) || is_there(&self.for_queries)
    }

    /// Takes back a worker's session for the next run, or for queries.
    pub(crate) fn keep(&self, embedder: Option<Embedder>) {
        let Some(embedder) = embedder else { return };
        locked(&self.idle).push(embedder);
        *locked(&self.last_used) = Instant::now();
        // Queries use the worker's session from now on: the model is in memory once.
        if let Ok(mut slot) = self.for_queries.try_lock() {
            *slot = None;
        }
    }

    /// Frees the memory of sessions that are not at work. The next picture makes new ones.
    pub(crate) fn unload(&self) {
        locked(&self.idle).clear();
        for slot in [&self.shared, &self.for_queries] {
            if let Ok(mut slot) = slot.try_lock() {
                *slot = None;
            }
        }
        self.sandbox.unload();
    }

    /// Unloads the model if nothing has used it for this long; otherwise returns how long to wait before asking again.
    pub(crate) fn unload_after(&self, idle: Duration) -> Option<Duration> {
        if !self.is_loaded() {
            return None;
        }
        let rest = idle.saturating_sub(locked(&self.last_used).elapsed());
        if rest.is_zero() {
            self.unload();
            return None;
        }
        Some(rest)
    }

    /// Decodes a picture for a query, with the pixels that the model wants.
    pub(crate) fn decode(&self, bytes: &[u8], format: Format) -> Result<Decoded, DecodeError> {
        let request = self.spec().decode_request();
        self.sandbox.decode_and_measure(bytes, format, DecodeLimits::default(), &request, |_| ())
    }

    /// The vector and the classes of one picture, for a query.
    pub(crate) fn encode(&self, pixels: RgbImage) -> Result<Embedded> {
        *locked(&self.last_used) = Instant::now();
        let worker = locked(&self.idle).pop();
        let embedded = match worker {
            Some(mut embedder) => {
                let embedded = embedder.embed(&[pixels]);
                locked(&self.idle).push(embedder);
                embedded
            }
            None => self.encode_without_worker(pixels)?,
        };
        *locked(&self.last_used) = Instant::now();
        let embedded = embedded?.pop().expect("one result for one picture");
        let model = || self.spec().name.clone();
        Ok(embedded.map_err(|error| model::Error::Model { model: model(), reason: error.to_string() })?)
    }

    fn encode_without_worker(
        &self,
        pixels: RgbImage,
    ) -> Result<model::Result<Vec<Result<Embedded, InvalidEmbedding>>>> {
        if let Some(embedder) = &mut *locked(&self.shared) {
            return Ok(embedder.embed(&[pixels]));
        }
        let mut slot = locked(&self.for_queries);
        let embedder = match &mut *slot {
            Some(embedder) => embedder,
            none => none.insert(self.make_embedder(all_cores())?),
        };
        Ok(embedder.embed(&[pixels]))
    }

    /// Forgets that an embedder could not be made: what was wrong then may have been mended.
    pub(crate) fn begin(&self) {
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
        let embedder = self.make_embedder(self.threads);
        *failed = embedder.is_err();
        embedder
    }

    /// Makes an embedder on the device that is used, or finds out which one that is: the first that works of those worth a try.
    fn make_embedder(&self, threads: usize) -> Result<Embedder> {
        let runtime = Runtime::load(&self.runtime)?;
        let candidates = match (self.device(), self.device) {
            (Some(device), _) => vec![device],
            (None, Device::Auto) => self.candidates(&runtime),
            (None, named) => vec![named],
        };
        let (last, others) = candidates.split_last().expect("the processor is always a candidate");
        for device in others {
            match Embedder::new(&self.model, &runtime, *device, threads) {
                Ok(embedder) => {
                    *locked(&self.used) = Some(*device);
                    return Ok(embedder);
                }
                Err(error) => (self.runtime.notice)(&format!("{error}; going on without it")),
            }
        }
        let embedder = Embedder::new(&self.model, &runtime, *last, threads)?;
        *locked(&self.used) = Some(*last);
        Ok(embedder)
    }

    /// Devices to try where none is asked for.
    fn candidates(&self, runtime: &Runtime) -> Vec<Device> {
        let offered = runtime.devices();
        match self.preferred {
            Some(device) if device.is_accelerator() && offered.contains(&device) => vec![device, Device::Cpu],
            Some(Device::Cpu) => vec![Device::Cpu],
            _ => Device::candidates(&offered, self.model.is_builtin()),
        }
    }

    /// Whether all workers use one session. Makes the first one if that is not known yet.
    fn is_shared(&self) -> Result<bool> {
        if self.device != Device::Auto {
            return Ok(self.device.is_accelerator());
        }
        if let Some(device) = self.device() {
            return Ok(device.is_accelerator());
        }
        let _starting = locked(&self.starting);
        // Another worker may have found it out meanwhile.
        if let Some(device) = self.device() {
            return Ok(device.is_accelerator());
        }
        let embedder = self.embedder()?;
        let is_shared = self.device().is_some_and(Device::is_accelerator);
        if is_shared {
            *locked(&self.shared) = Some(embedder);
        } else {
            locked(&self.idle).push(embedder);
        }
        Ok(is_shared)
    }

    /// As [`Encoder::embed`], but halves a batch that fails: an accelerator may have too little memory for all of it.
    pub(crate) fn embed_in_parts(
        &self,
        own: &mut Option<Embedder>,
        pictures: &[RgbImage],
    ) -> Result<Vec<Result<Embedded, InvalidEmbedding>>> {
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

    /// Embeds pictures with the shared session, or with the worker's own one.
    fn embed(
        &self,
        own: &mut Option<Embedder>,
        pictures: &[RgbImage],
    ) -> Result<Vec<Result<Embedded, InvalidEmbedding>>> {
        if self.is_shared()? {
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
        Ok(embedder.embed(pictures)?)
    }
}

/// The encoders of a process that somebody uses, one for each model.
#[derive(Debug, Default)]
pub(crate) struct Encoders(Mutex<Vec<Weak<Encoder>>>);

impl Encoders {
    /// The encoder of a model that somebody uses already.
    pub(crate) fn get(&self, model: ModelId) -> Option<Arc<Encoder>> {
        locked(&self.0).iter().filter_map(Weak::upgrade).find(|encoder| encoder.model.id() == model)
    }

    /// The encoder of a model on a device; `make` makes it if there is none.
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
        let mut encoders = locked(&self.0);
        encoders.retain(|other| other.upgrade().is_some_and(|other| other.model.id() != model));
        encoders.push(Arc::downgrade(&made));
        Ok(made)
    }
}

fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// No state behind these locks is ever half changed, so that a panic elsewhere does not matter.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
