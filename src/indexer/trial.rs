//! How fast pictures are decoded, measured and embedded in one way or another, without storing anything.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::memory_plan::MemoryPlan;
use crate::error::{Error, Result};
use crate::media::{Content, DecodeLimits, decode_and_measure};
use crate::model::{Device, Embedder, Model, Runtime};
use crate::types::CancelToken;

/// A way to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Setting {
    /// Where the model runs.
    pub device: Device,
    /// Workers that decode, and on the processor embed.
    pub workers: usize,
    /// Threads of one session.
    pub model_threads: usize,
    /// Pictures that go through the model at once.
    pub batch_size: usize,
}

impl Setting {
    /// Workers, threads and pictures at most: more would only exhaust the system.
    pub const MAX_COUNT: usize = 1024;

    /// Whether anybody could have meant it: it may have been read from a file.
    pub(crate) fn is_sane(&self) -> bool {
        [self.workers, self.model_threads, self.batch_size].iter().all(|count| (1..=Self::MAX_COUNT).contains(count))
    }
}

/// Pictures in memory, and sessions to try them with.
#[derive(Debug)]
pub(crate) struct Trial {
    model: Model,
    runtime: Runtime,
    contents: Vec<Content>,
    limits: DecodeLimits,
    idle: HashMap<(Device, usize), Vec<Embedder>>,
}

impl Trial {
    pub(crate) fn new(model: Model, runtime: Runtime, contents: Vec<Content>, limits: DecodeLimits) -> Self {
        Self { model, runtime, contents, limits, idle: HashMap::new() }
    }

    /// Whether `add` would work like this with the memory that is usual.
    pub(crate) fn has_room_for(&self, setting: Setting) -> bool {
        let own_sessions = !setting.device.is_accelerator();
        let memory_plan = MemoryPlan::within(None, setting.workers, setting.batch_size, &self.model, own_sessions);
        (memory_plan.workers, memory_plan.batch) == (setting.workers, setting.batch_size)
    }

    /// Works through all pictures and tells how many were embedded in a second.
    ///
    /// # Errors
    /// When the device cannot be used, the model fails, or no picture can be decoded.
    pub(crate) fn images_per_second(&mut self, setting: Setting, cancel: &CancelToken) -> Result<f64> {
        let count = if setting.device.is_accelerator() { 1 } else { setting.workers };
        let mut embedders = self.embedders(setting, count)?;
        // The memory that this size of batches takes is there before the time counts.
        for embedder in &mut embedders {
            let input = &self.model.spec().input;
            embedder.embed(&vec![RgbImage::new(input.width, input.height); setting.batch_size])?;
        }
        let embedders: Vec<Mutex<Embedder>> = embedders.into_iter().map(Mutex::new).collect();
        let next = AtomicUsize::new(0);
        // Full batches for all workers, if there are enough pictures for one.
        let (pictures, full) = (self.contents.len(), setting.workers * setting.batch_size);
        let count = if pictures < full { pictures } else { pictures.next_multiple_of(full) };
        let start = Instant::now();
        let done = std::thread::scope(|scope| {
            let work = |worker: usize| {
                let embedder = &embedders[worker % embedders.len()];
                self.work((&next, count), embedder, setting.batch_size, cancel)
            };
            let workers: Vec<_> = (0..setting.workers).map(|worker| scope.spawn(move || work(worker))).collect();
            workers.into_iter().map(|worker| worker.join().expect("it does not panic")).sum::<Result<usize>>()
        });
        let seconds = start.elapsed().as_secs_f64();
        let embedders =
            embedders.into_iter().map(|embedder| embedder.into_inner().unwrap_or_else(PoisonError::into_inner));
        self.idle.entry((setting.device, setting.model_threads)).or_default().extend(embedders);
        match done? {
            _ if cancel.is_cancelled() => Err(Error::Interrupted),
            0 => Err(Error::Invalid("none of the pictures can be decoded".into())),
            done => Ok(done as f64 / seconds),
        }
    }

    fn embedders(&mut self, setting: Setting, count: usize) -> Result<Vec<Embedder>> {
        // Those of other settings would only take memory.
        self.idle.retain(|key, _| *key == (setting.device, setting.model_threads));
        let idle = self.idle.entry((setting.device, setting.model_threads)).or_default();
        let mut embedders = idle.split_off(idle.len().saturating_sub(count));
        while embedders.len() < count {
            embedders.push(Embedder::new(&self.model, &self.runtime, setting.device, setting.model_threads)?);
        }
        Ok(embedders)
    }

    /// What one worker does; returns how many pictures it has embedded.
    fn work(
        &self,
        (next, count): (&AtomicUsize, usize),
        embedder: &Mutex<Embedder>,
        batch_size: usize,
        cancel: &CancelToken,
    ) -> Result<usize> {
        let spec = self.model.spec();
        let embed = |batch: &mut Vec<RgbImage>| {
            let pictures = std::mem::take(batch);
            let embedded = embedder.lock().unwrap_or_else(PoisonError::into_inner).embed(&pictures)?;
            Ok::<usize, Error>(embedded.len())
        };
        let (mut batch, mut done) = (Vec::new(), 0);
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            let content = &self.contents[number % self.contents.len()];
            if cancel.is_cancelled() {
                return Ok(done);
            }
            let decoded =
                decode_and_measure(&content.bytes, content.format, self.limits, &spec.decode_request(), |_| ());
            batch.extend(decoded.ok().and_then(|decoded| decoded.pixels));
            if batch.len() >= batch_size {
                done += embed(&mut batch)?;
            }
        }
        Ok(done + embed(&mut batch)?)
    }
}
