//! Looking at single pictures that are not in the index, and embedding them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use image::RgbImage;

use super::OpenOptions;
use crate::error::{Error, Result};
use crate::media::{DecodeError, DecodeLimits, Decoded, Format};
use crate::model::{self, Catalog, CatalogEntry, Device, Embedded, Embedder, Runtime};
use crate::search::{Eye, SharedEye};

/// A model that looks at single pictures, on all cores. It is loaded for the first one and kept for the next.
#[derive(Debug)]
pub(super) struct ModelEye {
    open: OpenOptions,
    catalog: Catalog,
    /// The model, or why it cannot be used.
    entry: Result<CatalogEntry, String>,
    slot: Mutex<Option<Embedder>>,
}

impl ModelEye {
    pub(super) fn new(open: OpenOptions, catalog: Catalog, entry: Result<CatalogEntry>) -> Self {
        Self { open, catalog, entry: entry.map_err(|error| error.to_string()), slot: Mutex::default() }
    }

    fn entry(&self) -> Result<&CatalogEntry> {
        self.entry.as_ref().map_err(|reason| Error::Invalid(reason.clone()))
    }

    fn slot(&self) -> MutexGuard<'_, Option<Embedder>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_embedder(&self) -> Result<Embedder> {
        let model = self.catalog.load(self.entry()?)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = Runtime::load(&self.open.runtime_options()?)?;
        Ok(Embedder::new(&model, &runtime, Device::Cpu, threads)?)
    }
}

impl Eye for ModelEye {
    fn decode_and_measure(&self, bytes: &[u8], format: Format) -> Result<Result<Decoded, DecodeError>> {
        let wanted = self.entry()?.spec.decode_request();
        Ok(self.open.sandbox().decode_and_measure(bytes, format, DecodeLimits::default(), &wanted, |_| ()))
    }

    fn embed(&self, pixels: RgbImage) -> Result<Embedded> {
        let mut slot = self.slot();
        let embedder = match &mut *slot {
            Some(embedder) => embedder,
            none => none.insert(self.new_embedder()?),
        };
        let result = embedder.embed(&[pixels])?.pop().expect("one result for one picture");
        let name = &embedder.model().spec().name;
        Ok(result.map_err(|error| model::Error::Model { model: name.clone(), reason: error.to_string() })?)
    }
}

impl SharedEye for ModelEye {
    fn is_loaded(&self) -> bool {
        // Where somebody is at work with it, it is, or will be in a moment.
        self.slot.try_lock().map_or(true, |slot| slot.is_some())
    }

    fn unload(&self) {
        if let Ok(mut slot) = self.slot.try_lock() {
            *slot = None;
        }
    }
}
