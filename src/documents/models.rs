//! The documents of `model` and `runtime`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{CatalogEntry, Device, Runtime};
use crate::types::{LibraryField, PathField, escape_path};

/// A model.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// BLAKE3 digest of its graph and of everything in its description that affects its vectors.
    pub id: String,
    /// Number of components of its vectors.
    pub dim: usize,
    /// Width of its input in pixels.
    pub width: u32,
    /// Height of its input in pixels.
    pub height: u32,
    /// Whether it assigns labels.
    pub labels: bool,
    /// Its licence, if known.
    pub licence: Option<String>,
    /// Its directory; absent for the built-in model.
    #[serde(flatten)]
    pub path: Option<PathField>,
    /// The same directory under the name that it has had from the start; null for the built-in model.
    pub folder: Option<String>,
    /// Whether it is the active model of the index; only in the list of models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}

/// The available models.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Models {
    /// The built-in model, then the others by name.
    pub models: Vec<Model>,
}

/// The ONNX Runtime in use.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RuntimeInUse {
    /// Its library.
    #[serde(flatten)]
    pub path: PathField,
    /// The same library under the name that it has had from the start.
    #[serde(flatten)]
    pub library: LibraryField,
    /// Its version.
    pub version: String,
    /// Where it was found.
    pub place: String,
    /// The devices that it offers.
    pub devices: Vec<Device>,
    /// The device that is chosen before `tune` has measured any.
    pub auto: String,
    /// The libraries that could not be used, with the reasons.
    pub attempts: Vec<String>,
}

impl Model {
    /// The document of a model.
    pub fn new(entry: &CatalogEntry, active: Option<bool>) -> Self {
        let spec = &entry.spec;
        Self {
            name: spec.name.clone(),
            id: entry.id.to_string(),
            dim: spec.outputs.dimension,
            width: spec.input.width,
            height: spec.input.height,
            labels: spec.labels.is_some(),
            licence: spec.licence.clone(),
            path: entry.folder.as_ref().map(PathField::from),
            folder: entry.folder.as_ref().map(|folder| escape_path(folder)),
            active,
        }
    }
}

impl RuntimeInUse {
    /// The document of a runtime, and of the device that is chosen.
    pub fn new(runtime: &Runtime, auto: String) -> Self {
        Self {
            path: runtime.library().into(),
            library: runtime.library().into(),
            version: runtime.version().to_owned(),
            place: runtime.place().to_string(),
            devices: runtime.devices(),
            auto,
            attempts: runtime.attempts().to_vec(),
        }
    }
}
