//! The model of an index: which one it is, changing over to another, and running it on single pictures.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Index, OpenOptions};
use crate::error::{Error, Result};
use crate::media::{FEATURE_SIDE, Picture};
use crate::model::{BUILTIN_NAME, Catalog, CatalogEntry, Device, Embedded, Embedder, Runtime};
use crate::search::PictureEmbedder;
use crate::store::Writer;
use crate::types::ModelId;

const MODEL_SETTING: &str = "model";
const MODEL_ID_SETTING: &str = "model_id";

/// The model whose vectors an index compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveModel {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: ModelId,
}

impl Index {
    /// The models that can be used.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The model in use: the one that was asked for when the index was opened, or the database's own.
    ///
    /// The database's own need not be in this machine's catalog: what is stored can be used without it.
    ///
    /// # Errors
    /// When one was asked for that is not in the catalog, or the database fails.
    pub fn active_model(&self) -> Result<ActiveModel> {
        if self.options.model.is_none()
            && let (Some(name), Some(id)) = (self.store.setting(MODEL_SETTING)?, self.store.setting(MODEL_ID_SETTING)?)
        {
            let damaged = |_| Error::Damaged { path: self.path().to_owned(), reason: format!("the model id `{id}`") };
            return Ok(ActiveModel { name, id: id.parse().map_err(damaged)? });
        }
        let entry = self.catalog.entry(self.options.model.as_deref().unwrap_or(BUILTIN_NAME))?;
        Ok(ActiveModel { name: entry.spec.name, id: entry.id })
    }

    /// The model in use, with all that is needed to run it.
    pub(super) fn catalog_entry(&self) -> Result<CatalogEntry> {
        let active = self.active_model()?;
        let entry = self.catalog.entry(&active.name)?;
        if entry.id != active.id {
            let reason = "the one of this name in the catalog is another one than the index was made with; \
                          `imgidx model use` it to change over";
            return Err(Error::Model { model: active.name, reason: reason.into() });
        }
        Ok(entry)
    }

    /// Whether the model in use tells what it sees, beside giving vectors.
    ///
    /// # Errors
    /// When the database fails.
    pub fn has_classes(&self) -> Result<bool> {
        match self.catalog_entry() {
            Ok(entry) => Ok(entry.spec.outputs.logits.is_some()),
            // This machine does not have the model; what is stored tells.
            Err(_) => self.store.has_classes(self.model_row()?),
        }
    }

    /// Sets the database to another model. Vectors of the old one stay. Returns how many pictures the new one has no
    /// vector of; the next [`Index::add`] of their directories makes them.
    ///
    /// # Errors
    /// When it is not in the catalog, or another process is writing.
    pub fn use_model(&mut self, name: &str) -> Result<u64> {
        let entry = self.catalog.entry(name)?;
        let mut writer = Writer::open(self.path())?;
        let batch = writer.batch()?;
        batch.put_model(&entry.id, &entry.spec.name, entry.spec.outputs.dimension)?;
        batch.set_setting(MODEL_SETTING, name)?;
        batch.set_setting(MODEL_ID_SETTING, &entry.id.to_string())?;
        batch.count_pending()?;
        batch.commit()?;
        Ok(writer.model(&entry.id)?.map_or(0, |model| model.pending))
    }
}

/// An embedder for single pictures, on all cores.
pub(super) fn new_embedder(options: &OpenOptions, catalog: &Catalog, entry: &CatalogEntry) -> Result<Embedder> {
    let model = catalog.load(entry)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = Runtime::load(&options.runtime_options()?)?;
    Embedder::new(&model, &runtime, Device::Cpu, threads)
}

/// Embeds one picture; the embedder is made for the first one and kept for the next.
pub(super) fn embed_one(
    slot: &mut Option<Embedder>,
    make: impl FnOnce() -> Result<Embedder>,
    picture: &Picture,
) -> Result<Embedded> {
    let embedder = match slot {
        Some(embedder) => embedder,
        none => none.insert(make()?),
    };
    let pixels = Embedder::prepare(embedder.model().spec(), picture);
    let result = embedder.embed(&[pixels])?.pop().expect("one result for one picture");
    let name = &embedder.model().spec().name;
    result.map_err(|error| Error::Model { model: name.clone(), reason: error.to_string() })
}

/// An embedder for single pictures that many threads share. It is made for the first picture and kept for the next.
#[derive(Debug)]
pub(super) struct KeptEmbedder {
    open: OpenOptions,
    catalog: Catalog,
    /// The model, or why it cannot be used.
    entry: Result<CatalogEntry, String>,
    slot: Mutex<Option<Embedder>>,
}

impl KeptEmbedder {
    pub fn new(open: OpenOptions, catalog: Catalog, entry: Result<CatalogEntry>) -> Self {
        Self { open, catalog, entry: entry.map_err(|error| error.to_string()), slot: Mutex::default() }
    }

    fn slot(&self) -> MutexGuard<'_, Option<Embedder>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PictureEmbedder for KeptEmbedder {
    fn embed(&self, picture: &Picture) -> Result<Embedded> {
        let make = || match &self.entry {
            Ok(entry) => new_embedder(&self.open, &self.catalog, entry),
            Err(reason) => Err(Error::Invalid(reason.clone())),
        };
        embed_one(&mut self.slot(), make, picture)
    }

    fn shorter_side(&self) -> u32 {
        self.entry.as_ref().map_or(FEATURE_SIDE, |entry| entry.spec.shorter_side())
    }

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
