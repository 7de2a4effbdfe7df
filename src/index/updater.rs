//! Repeated runs of `add` in one process, with the model kept loaded between them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::tuning_file::find_tuned;
use super::{ActiveModel, Index};
use crate::encoder::Encoder;
use crate::error::Result;
use crate::indexer::{self, AddOptions, Change, IndexReport, Progress, Target};
use crate::model::Device;
use crate::scan::ScanOptions;
use crate::search::refresh_codes;
use crate::store::{RunRow, Writer};
use crate::types::resolved;

/// Updates an index repeatedly. The model is loaded for the first picture that needs it, and stays loaded.
///
/// Each run takes the writer's lock and releases it.
#[derive(Debug)]
pub struct Updater {
    database: PathBuf,
    model: ActiveModel,
    encoder: Arc<Encoder>,
    /// The requested device.
    device: Device,
    /// The file with the fastest settings for this machine; `None` if there is no data directory.
    tuning: Option<PathBuf>,
}

impl Index {
    /// Creates an updater for the model in use.
    ///
    /// # Errors
    /// If the model is not in the catalog or cannot be read.
    pub fn updater(&self, device: Device) -> Result<Updater> {
        let entry = self.searcher.catalog_entry()?;
        let tuned = self.tuned(device)?.map(|tuned| tuned.best.setting);
        let (preferred, threads) = tuned.map_or((None, 1), |tuned| (Some(tuned.device), tuned.model_threads));
        let encoders = self.searcher.options().encoders();
        let encoder =
            encoders.get_on(entry.id, device, || self.searcher.new_encoder(&entry, device, preferred, threads))?;
        let model = ActiveModel { name: entry.spec.name, id: entry.id };
        let (database, tuning) = (self.path().to_owned(), self.tuning_file().ok());
        Ok(Updater { database, model, encoder, device, tuning })
    }
}

impl Updater {
    /// The model whose vectors the updater computes.
    pub fn model(&self) -> &ActiveModel {
        &self.model
    }

    /// Like [`Index::add_with_progress`], but without the maintenance in [`Updater::tidy`], which is worthwhile only
    /// after many runs.
    ///
    /// # Errors
    /// Those of [`Index::add`].
    pub fn add<P: AsRef<Path>>(
        &self,
        paths: impl IntoIterator<Item = P>,
        options: &AddOptions,
        mut progress: impl FnMut(Progress),
    ) -> Result<IndexReport> {
        let paths: Vec<PathBuf> = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        options.scan.check()?;
        let mut writer = Writer::open(&self.database)?;
        writer.notice_new_formats()?;
        let targets = indexer::resolve(&paths, &writer.roots()?)?;
        readmit(&mut writer, &paths)?;
        let report = self.run(&mut writer, &targets, options, &mut progress)?;
        let batch = writer.batch()?;
        batch.put_run(&RunRow {
            started_at: batch.now() - (report.seconds * 1e3) as i64,
            seconds: report.seconds,
            embedded: report.embedded,
            images_per_second: report.images_per_second,
            peak_memory: report.peak_memory_bytes,
            report: serde_json::to_string(&report).expect("a report is plain data"),
        })?;
        batch.commit()?;
        Ok(report)
    }

    /// Updates parts of known roots that may have changed or been deleted. Each root is scanned with the scan options
    /// of its last `add`, not with those in `options`.
    ///
    /// # Errors
    /// If another process is writing, or the database, the model or ONNX Runtime fails.
    pub fn update(
        &self,
        changes: &[Change],
        options: &AddOptions,
        mut progress: impl FnMut(Progress),
    ) -> Result<IndexReport> {
        let mut writer = Writer::open(&self.database)?;
        let roots = writer.roots()?;
        let targets = indexer::of_changes(&writer, changes, &roots)?;
        let mut all = IndexReport::default();
        let mut by_scan_options: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for target in targets {
            let root = roots.iter().find(|root| root.path == target.part.root);
            by_scan_options.entry(root.map_or("", |root| &root.scan)).or_default().push(target);
        }
        for (scan, targets) in by_scan_options {
            let options = AddOptions { scan: ScanOptions::from_json(scan), ..options.clone() };
            all.merge(self.run(&mut writer, &targets, &options, &mut progress)?);
        }
        Ok(all)
    }

    /// Registers paths as roots, or as parts of known roots, without scanning anything. The given scan options are
    /// stored for these roots; without them, a known root keeps its own, and a new root gets the defaults. Returns the
    /// parts.
    ///
    /// # Errors
    /// If a path does not exist, another process is writing, or the database fails.
    pub fn register(&self, paths: &[PathBuf], scan: Option<&ScanOptions>) -> Result<Vec<Change>> {
        let mut writer = Writer::open(&self.database)?;
        let roots = writer.roots()?;
        let targets = indexer::resolve(paths, &roots)?;
        readmit(&mut writer, paths)?;
        for target in &targets {
            let known = roots.iter().find(|root| root.path == target.part.root);
            let options = scan.cloned().or_else(|| known.map(|root| ScanOptions::from_json(&root.scan)));
            indexer::prepare(&mut writer, target, &options.unwrap_or_default())?;
        }
        Ok(targets.into_iter().map(|target| target.part).collect())
    }

    fn run(
        &self,
        writer: &mut Writer,
        targets: &[Target],
        options: &AddOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<IndexReport> {
        let batch = writer.batch()?;
        let row = batch.put_model(&self.model.id, &self.model.name, self.encoder.spec().outputs.dimension)?;
        batch.commit()?;
        // Read again for each run, because `tune` may have run while a daemon is running.
        let tuned = self.tuning.as_ref().and_then(|file| find_tuned(file, &self.model.id, self.device));
        let tuned = tuned.map(|tuned| tuned.best.setting);
        indexer::add(writer, targets, row, &self.encoder, options, tuned, progress)
    }

    /// Does the maintenance that is worthwhile only after many runs: updates the stored counts and the quantized
    /// vectors, and checkpoints the database. Returns warnings about problems that do not make the index incomplete.
    ///
    /// # Errors
    /// If another process is writing, or the database fails.
    pub fn tidy(&self) -> Result<Vec<String>> {
        let mut writer = Writer::open(&self.database)?;
        indexer::tidy(&mut writer)?;
        // Without quantized vectors, queries are slower but still correct, so this is only a warning.
        let refreshed = refresh_codes(&mut writer, &self.model.id, false);
        Ok(refreshed.err().map(|error| format!("cannot update the quantized vectors: {error}")).into_iter().collect())
    }

    /// Whether the model is in memory.
    pub fn is_loaded(&self) -> bool {
        self.encoder.is_loaded()
    }

    /// Unloads the model if neither indexing nor a query has used it for this long. Otherwise returns how long to wait
    /// before the next call. Returns `None` if the model is not loaded.
    pub fn unload_after(&self, idle: Duration) -> Option<Duration> {
        self.encoder.unload_after(idle)
    }
}

/// Lets scans find paths again that were forgotten, because the user has named them.
fn readmit(writer: &mut Writer, paths: &[PathBuf]) -> Result<()> {
    let named: Vec<PathBuf> = paths.iter().map(|path| resolved(path)).collect();
    let (again, left_out): (Vec<_>, Vec<_>) = writer.forgotten()?.into_iter().partition(|path| named.contains(path));
    if !again.is_empty() {
        let batch = writer.batch()?;
        batch.set_forgotten(left_out)?;
        batch.commit()?;
    }
    Ok(())
}
