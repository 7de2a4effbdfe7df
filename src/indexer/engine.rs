//! The model at work: sessions, the device that they run on, and what is kept of them between runs.

use std::sync::{Mutex, MutexGuard, PoisonError};

use image::RgbImage;

use crate::error::{Error, Result};
use crate::model::{Device, Embedded, Embedder, Model, ModelSpec, Runtime, RuntimeOptions};
use crate::types::InvalidEmbedding;

/// Makes embedders: one for each worker on the processor, one for all on an accelerator. It can be used for many runs.
///
/// Nothing is loaded before the first picture needs it, so that a run without new pictures does not touch ONNX
/// Runtime.
#[derive(Debug)]
pub(crate) struct Engine {
    model: Model,
    runtime: RuntimeOptions,
    /// The device that is asked for.
    device: Device,
    threads: usize,
    /// The device that is used, once that is known.
    used: Mutex<Option<Device>>,
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
        Self { model, runtime, device, threads, used: Mutex::new(None), shared, idle, failed }
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    pub fn spec(&self) -> &ModelSpec {
        self.model.spec()
    }

    /// The device that the model runs on; `None` as long as it did not run.
    pub fn device(&self) -> Option<Device> {
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
    pub fn is_loaded(&self) -> bool {
        !locked(&self.idle).is_empty() || locked(&self.shared).is_some()
    }

    /// Keeps a worker's embedder for the next run.
    pub(super) fn keep(&self, embedder: Option<Embedder>) {
        locked(&self.idle).extend(embedder);
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
        let embedder = self.make_embedder();
        *failed = embedder.is_err();
        embedder
    }

    /// Makes an embedder on the device that is used, or finds out which one that is: the first that works of those worth a try.
    fn make_embedder(&self) -> Result<Embedder> {
        let runtime = Runtime::load(&self.runtime)?;
        let mut used = locked(&self.used);
        let candidates = match (*used, self.device) {
            (Some(device), _) => vec![device],
            (None, Device::Auto) => Device::candidates(&runtime.devices(), self.model.is_builtin()),
            (None, named) => vec![named],
        };
        let (last, others) = candidates.split_last().expect("the processor is always a candidate");
        for device in others {
            match Embedder::new(&self.model, &runtime, *device, self.threads) {
                Ok(embedder) => {
                    *used = Some(*device);
                    return Ok(embedder);
                }
                Err(error) => (self.runtime.notice)(&format!("{error}; going on without it")),
            }
        }
        let embedder = Embedder::new(&self.model, &runtime, *last, self.threads)?;
        *used = Some(*last);
        Ok(embedder)
    }

    /// Whether all workers use one session. Makes the first one if that is not known yet.
    fn is_shared(&self) -> Result<bool> {
        if let Some(device) = self.device() {
            return Ok(device.is_accelerator());
        }
        let embedder = self.embedder()?;
        let is_shared = self.device().is_some_and(Device::is_accelerator);
        if is_shared {
            locked(&self.shared).get_or_insert(embedder);
        } else {
            locked(&self.idle).push(embedder);
        }
        Ok(is_shared)
    }

    /// Embeds pictures with the shared session, or with the worker's own one.
    pub(super) fn embed(
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
        embedder.embed(pictures)
    }
}

/// No state behind these locks is ever half changed, so that a panic elsewhere does not matter.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
