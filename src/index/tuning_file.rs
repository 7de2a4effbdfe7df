//! The results of [`Index::tune`](super::Index::tune), remembered for each machine, model and device.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::indexer::{Setting, machine};
use crate::model::Device;
use crate::types::ModelId;

/// The file in the data directory.
pub(super) const FILE: &str = "tuning.json";

/// A setting with its measured speed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Measurement {
    /// The setting.
    #[serde(flatten)]
    pub setting: Setting,
    /// Pictures per second: the median of several rounds of `add`.
    pub images_per_second: f64,
}

/// A remembered setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Tuned {
    /// The machine: its name, processor and number of cores.
    pub machine: String,
    /// The model's id.
    pub model: String,
    /// The requested device.
    pub asked: Device,
    /// The best setting.
    #[serde(flatten)]
    pub best: Measurement,
}

impl Tuned {
    fn is_for(&self, machine: &str, model: &str, asked: Device) -> bool {
        (self.machine.as_str(), self.model.as_str(), self.asked) == (machine, model, asked)
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct TuningFile {
    /// Not of type [`Tuned`], because a later version may know other devices.
    tuned: Vec<serde_json::Value>,
}

/// The remembered setting for this machine, a model and a requested device.
pub(super) fn find_tuned(file: &Path, model: &ModelId, device: Device) -> Option<Tuned> {
    let (machine, model) = (machine(), model.to_string());
    let known = read(file).tuned;
    let mut known = known.iter().filter_map(|entry| Tuned::deserialize(entry).ok());
    known.find(|tuned| tuned.is_for(&machine, &model, device) && tuned.best.setting.is_sane())
}

/// Remembers a setting in place of an older one for the same machine, model and device.
pub(super) fn remember(file: &Path, model: &ModelId, asked: Device, best: Measurement) -> std::io::Result<()> {
    let tuned = Tuned { machine: machine(), model: model.to_string(), asked, best };
    let mut content = read(file);
    content.tuned.retain(|entry| {
        !Tuned::deserialize(entry).is_ok_and(|older| older.is_for(&tuned.machine, &tuned.model, asked))
    });
    content.tuned.push(serde_json::to_value(tuned).expect("it is plain data"));
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(serde_json::to_string_pretty(&content).expect("settings are plain data").as_bytes())?;
    new.persist(file).map_err(|error| error.error)?;
    Ok(())
}

/// The file's content; empty if the file does not exist or is damaged, because it can be measured again.
fn read(path: &Path) -> TuningFile {
    fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}
