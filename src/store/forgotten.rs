//! Paths inside roots that `forget` has removed, and that scans leave out from then on.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Store;
use super::batch::Batch;
use crate::error::{Error, Result};
use crate::types::paths_text;

/// The setting that holds the paths, as JSON.
const SETTING: &str = "forgotten";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Forgotten {
    #[serde(with = "paths_text")]
    paths: Vec<PathBuf>,
}

impl Store {
    /// Absolute paths of the files and folders inside roots that scans leave out, sorted.
    pub fn forgotten(&self) -> Result<Vec<PathBuf>> {
        let Some(json) = self.setting(SETTING)? else { return Ok(Vec::new()) };
        let damaged = |error: serde_json::Error| Error::Damaged {
            path: self.path().to_owned(),
            reason: format!("the list of forgotten paths cannot be read: {error}"),
        };
        serde_json::from_str(&json).map_err(damaged).map(|Forgotten { paths }| paths)
    }
}

impl Batch<'_> {
    /// Stores the paths inside roots that scans leave out.
    pub fn set_forgotten(&self, mut paths: Vec<PathBuf>) -> Result<()> {
        paths.sort();
        paths.dedup();
        let json = serde_json::to_string(&Forgotten { paths }).expect("paths are plain data");
        self.set_setting(SETTING, &json)
    }
}
