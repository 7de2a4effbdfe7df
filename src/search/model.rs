//! The active model of an index.

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
