//! The model at work: sessions, the device that they run on, and what is kept of them between runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use image::RgbImage;

use crate::error::{Error, Result};
use crate::model::{self, Device, Embedded, Embedder, Model, ModelSpec, Runtime, RuntimeOptions};
use crate::sandbox::Sandbox;
use crate::types::InvalidEmbedding;

/// Makes embedders: one for each worker on the processor, one for all on an accelerator. It can be used for many runs.
///
/// Nothing is loaded before the first picture needs it, so that a run without new pictures does not touch ONNX
/// Runtime.
#[derive(Debug)]
pub(crate) struct Engine {
    model: Model,
    runtime: RuntimeOptions,
    /// Where pictures are decoded at.
    sandbox: Arc<Sandbox>,
    /// The device that is asked for.
    device: Device,
    threads: usize,
    /// What was found to be the fastest, to be tried first where no device is asked for.
    preferred: Option<Device>,
    /// The device that is used, once that is known. Never held for long: progress is told by it.
    used: Mutex<Option<Device>>,
    /// MemoryPermit while it is found out which device is used.
    starting: Mutex<()>,
    shared: Mutex<Option<Embedder>>,
    /// Embedders of workers of earlier runs.
    idle: Mutex<Vec<Embedder>>,
    /// Whether making an embedder failed in this run: then it is not tried again by every worker.
    failed: Mutex<bool>,
}

impl Engine {
    /// `threads` is for one session: 1 where each worker has its own.
    pub(crate) fn new(
        model: Model,
        runtime: RuntimeOptions,
        sandbox: Arc<Sandbox>,
        device: Device,
        preferred: Option<Device>,
        threads: usize,
    ) -> Self {
        let (shared, idle, failed) = (Mutex::new(None), Mutex::default(), Mutex::new(false));
        let (used, starting) = (Mutex::new(None), Mutex::new(()));
        Self { model, runtime, sandbox, device, threads, preferred, used, starting, shared, idle, failed }
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    pub(crate) fn spec(&self) -> &ModelSpec {
        self.model.spec()
    }

    pub(super) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The device that the model runs on; `None` as long as it did not run.
    pub(crate) fn device(&self) -> Option<Device> {
        *locked(&self.used)
    }

    /// Whether workers will have sessions of their own, as far as is known before the runtime is loaded.
    pub(super) fn may_have_own_sessions(&self) -> bool {
        !self.device().unwrap_or(self.device).is_accelerator()
    }

    /// Pictures that go through the model at once on the device that is used, where nothing else is known.
    pub(super) fn usual_batch(&self) -> usize {
        let device = self.device().unwrap_or_default();
        let memory = if device.is_accelerator() { self.device_memory(device) } else { None };
        device.usual_batch(memory)
    }

    fn device_memory(&self, device: Device) -> Option<u64> {
        Runtime::load(&self.runtime).ok()?.device_memory(device)
    }

    /// Whether any embedder is kept.
    pub(crate) fn is_loaded(&self) -> bool {
        !locked(&self.idle).is_empty() || locked(&self.shared).is_some()
    }

    /// Keeps a worker's embedder for the next run.
    pub(super) fn keep(&self, embedder: Option<Embedder>) {
        locked(&self.idle).extend(embedder);
    }

    /// Gives back the memory of embedders that are not at work. The next picture makes new ones.
    pub(crate) fn unload(&self) {
        locked(&self.idle).clear();
        *locked(&self.shared) = None;
        self.sandbox.unload();
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
        let embedder = self.make_embedder();
        *failed = embedder.is_err();
        embedder
    }

    /// Makes an embedder on the device that is used, or finds out which one that is: the first that works of those worth a try.
    fn make_embedder(&self) -> Result<Embedder> {
        let runtime = Runtime::load(&self.runtime)?;
        let candidates = match (self.device(), self.device) {
            (Some(device), _) => vec![device],
            (None, Device::Auto) => self.candidates(&runtime),
            (None, named) => vec![named],
        };
        let (last, others) = candidates.split_last().expect("the processor is always a candidate");
        for device in others {
            match Embedder::new(&self.model, &runtime, *device, self.threads) {
                Ok(embedder) => {
                    *locked(&self.used) = Some(*device);
                    return Ok(embedder);
                }
                Err(error) => (self.runtime.notice)(&format!("{error}; going on without it")),
            }
        }
        let embedder = Embedder::new(&self.model, &runtime, *last, self.threads)?;
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

    /// As [`Engine::embed`], but halves a batch that fails: an accelerator may have too little memory for all of it.
    pub(super) fn embed_in_parts(
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

/// No state behind these locks is ever half changed, so that a panic elsewhere does not matter.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
