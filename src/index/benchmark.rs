//! How fast `add` is with a setting: it runs as it always does, into databases that are thrown away.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::Index;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::indexer::{self, AddOptions, CancelToken, Setting};
use crate::model::CatalogEntry;
use crate::store::Writer;

/// The pictures to measure with, and a place for databases.
pub(super) struct Benchmark<'a> {
    index: &'a Index,
    entry: CatalogEntry,
    pictures: Vec<PathBuf>,
    folder: tempfile::TempDir,
    cancel: CancelToken,
}

impl<'a> Benchmark<'a> {
    pub(super) fn new(
        index: &'a Index,
        entry: CatalogEntry,
        pictures: Vec<PathBuf>,
        folder: tempfile::TempDir,
        cancel: CancelToken,
    ) -> Self {
        Self { index, entry, pictures, folder, cancel }
    }

    /// Adds all pictures to a new database and returns how many were embedded in a second, loading the model included. `None` if
    /// the default memory has no room for so many workers or so large batches, so that `add` would use fewer.
    ///
    /// # Errors
    /// When the device cannot be used, the model fails, or no picture can be decoded.
    pub(super) fn images_per_second(&self, setting: Setting) -> Result<Option<f64>> {
        let options = self.index.searcher().options();
        let model = self.index.searcher().catalog().load(&self.entry)?;
        let (runtime, sandbox) = (options.runtime_options()?, options.sandbox().clone());
        let preferred = Some(setting.device);
        let encoder = Encoder::new(model, runtime, sandbox, setting.device, preferred, setting.model_threads);
        let add = AddOptions {
            threads: NonZeroUsize::new(setting.workers),
            batch_size: NonZeroUsize::new(setting.batch_size),
            device: setting.device,
            cancel: self.cancel.clone(),
            ..AddOptions::default()
        };
        // Each run has a database of its own, in a directory of its own: it must not know any content.
        let folder = tempfile::tempdir_in(self.folder.path());
        let folder = folder.map_err(Error::io("create a directory in", self.folder.path()))?;
        let mut writer = Writer::open(&folder.path().join("tune.db"))?;
        let targets = indexer::resolve(&self.pictures, &[])?;
        let batch = writer.batch()?;
        let row = batch.put_model(&self.entry.id, &self.entry.spec.name, self.entry.spec.outputs.dimension)?;
        batch.commit()?;
        let report = indexer::add(&mut writer, &targets, row, &encoder, &add, None, &mut |_| {})?;
        if report.interrupted {
            return Err(Error::Interrupted);
        }
        if report.embedded == 0 {
            return Err(Error::Invalid("none of the pictures can be decoded".into()));
        }
        let is_as_asked = (report.workers, report.batch_size) == (setting.workers, setting.batch_size);
        Ok(is_as_asked.then_some(report.images_per_second))
    }
}
