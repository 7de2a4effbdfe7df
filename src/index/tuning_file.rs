//! What [`Index::tune`](super::Index::tune) has found, remembered for each machine, model and device.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::measurement::Measurement;
use crate::indexer::machine;
use crate::model::Device;
use crate::types::ModelId;

/// The file in the data directory.
pub(super) const FILE: &str = "tuning.json";

/// A remembered setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Tuned {
    /// The machine: its name, processor and number of cores.
    pub machine: String,
    /// The model's id.
    pub model: String,
    /// The device that was asked for.
    pub asked: Device,
    /// The best setting.
    #[serde(flatten)]
    pub best: Measurement,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct TuningFile {
    tuned: Vec<serde_json::Value>,
}

/// The setting that is remembered for this machine, a model, and the device that is asked for.
pub(super) fn find_tuned(file: &Path, model: &ModelId, device: Device) -> Option<Tuned> {
    let (machine, model) = (machine(), model.to_string());
    let is_wanted = |tuned: &Tuned| {
        (&tuned.machine, &tuned.model, tuned.asked) == (&machine, &model, device) && tuned.best.setting.is_sane()
    };
    read(file).tuned.iter().filter_map(|entry| Tuned::deserialize(entry).ok()).find(is_wanted)
}

/// Remembers a setting in place of an older one for the same machine, model and device.
pub(super) fn remember(file: &Path, model: &ModelId, asked: Device, best: Measurement) -> std::io::Result<()> {
    let (machine, model) = (machine(), model.to_string());
    let mut content = read(file);
    content.tuned.retain(|entry| match Tuned::deserialize(entry) {
        Ok(tuned) => tuned.machine != machine || tuned.model != model || tuned.asked != asked,
        // A later version may know other devices.
        Err(_) => true,
    });
    content.tuned.push(serde_json::to_value(Tuned { machine, model, asked, best }).expect("it is plain data"));
    write(file, &content)
}

/// The file's content; nothing if it is not there or damaged, because it can be measured again.
fn read(path: &Path) -> TuningFile {
    fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn write(path: &Path, file: &TuningFile) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(serde_json::to_string_pretty(file).expect("settings are plain data").as_bytes())?;
    new.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indexer::Setting;

    fn measured(workers: usize, batch_size: usize, images_per_second: f64) -> Measurement {
        Measurement {
            setting: Setting { device: Device::Cpu, workers, model_threads: 1, batch_size },
            images_per_second,
        }
    }

    #[test]
    fn a_damaged_file_is_as_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deeper").join(FILE);
        assert!(read(&path).tuned.is_empty());
        let model = ModelId::from([7; 32]);
        let tuned =
            Tuned { machine: machine(), model: model.to_string(), asked: Device::Auto, best: measured(2, 2, 1.5) };
        let entry = serde_json::to_value(&tuned).expect("plain data");
        let later = serde_json::json!({"machine": machine(), "asked": "abacus"});
        write(&path, &TuningFile { tuned: vec![later, entry] }).expect("it can be written");
        assert_eq!(find_tuned(&path, &model, Device::Auto), Some(tuned));
        assert_eq!(find_tuned(&path, &model, Device::Cuda), None);
        fs::write(&path, "{\"tuned\": 7}").expect("it can be written");
        assert_eq!(find_tuned(&path, &model, Device::Auto), None);
    }
}
