//! The model of an index: which one it is, and changing over to another.

use super::Index;
use crate::error::{Error, Result};
use crate::model::{self, BUILTIN_NAME, Catalog, CatalogEntry};
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
            return Err(model::Error::Model { model: active.name, reason: reason.into() }.into());
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
        // It was made for the model that was used until now.
        self.eye.take();
        Ok(writer.model(&entry.id)?.map_or(0, |model| model.pending))
    }
}
