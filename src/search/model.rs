//! The active model of an index.

use crate::error::{Error, Result};
use crate::model::{BUILTIN_NAME, Catalog};
use crate::options::OpenOptions;
use crate::store::Store;
use crate::types::ModelId;

/// The setting that holds the name of the model in use.
pub(crate) const MODEL_SETTING: &str = "model";
/// The setting that holds the id of that model.
pub(crate) const MODEL_ID_SETTING: &str = "model_id";

/// The model whose vectors an index compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveModel {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: ModelId,
}

/// The model in use: the one named when the index was opened, otherwise the one stored in the database.
pub(super) fn active_model(store: &Store, options: &OpenOptions, catalog: &Catalog) -> Result<ActiveModel> {
    if options.model.is_none()
        && let (Some(name), Some(id)) = (store.setting(MODEL_SETTING)?, store.setting(MODEL_ID_SETTING)?)
    {
        let damaged = |_| Error::Damaged { path: store.path().to_owned(), reason: format!("invalid model id `{id}`") };
        return Ok(ActiveModel { name, id: id.parse().map_err(damaged)? });
    }
    let entry = catalog.entry(options.model.as_deref().unwrap_or(BUILTIN_NAME))?;
    Ok(ActiveModel { name: entry.spec.name, id: entry.id })
}
