//! Repeated runs of `add` in one process, with the model kept loaded between them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::tuning_file::find_tuned;
use super::{ActiveModel, Index};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::indexer::{self, AddOptions, Change, IndexReport, Progress, Target};
use crate::model::Device;
use crate::scan::ScanOptions;
use crate::search::refresh_codes;
use crate::store::{ModelRow, Root, RunRow, Writer};
use crate::types::{ModelId, give_back_memory};

/// Updates an index repeatedly. The model is loaded for the first picture that needs it, and stays loaded.
///
/// Each run takes the writer's lock and releases it.
#[derive(Debug)]
pub struct Updater {
    database: PathBuf,
    model: ActiveModel,
    dimension: usize,
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
        let dimension = entry.spec.outputs.dimension;
        let tuned = self.tuned(device)?.map(|tuned| tuned.best.setting);
        let (preferred, threads) = tuned.map_or((None, 1), |tuned| (Some(tuned.device), tuned.model_threads));
        let options = self.searcher.options();
        let encoder = options.encoders().get_on(entry.id, device, || {
            let (model, runtime) = (self.searcher.catalog().load(&entry)?, options.runtime_options()?);
            Ok(Encoder::new(model, runtime, options.sandbox().clone(), device, preferred, threads))
        })?;
        let model = ActiveModel { name: entry.spec.name, id: entry.id };
        Ok(Updater {
            database: self.path().to_owned(),
            model,
            dimension,
            encoder,
            device,
            tuning: self.tuning_file().ok(),
        })
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
        let targets = indexer::resolve(&paths, &writer.roots()?)?;
        let report = self.run(&mut writer, &targets, options, &mut progress)?;
        let batch = writer.batch()?;
        batch.put_run(&run_row(&report, batch.now()))?;
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
        for (scan, targets) in by_scan_options(targets, &roots) {
            let options = AddOptions { scan: ScanOptions::from_json(&scan), ..options.clone() };
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
        for target in &targets {
            let known = roots.iter().find(|root| root.path == target.root_path);
            let options = scan.cloned().or_else(|| known.map(|root| ScanOptions::from_json(&root.scan)));
            indexer::prepare(&mut writer, target, &options.unwrap_or_default())?;
        }
        Ok(targets.into_iter().map(|target| Change { root: target.root_path, scope: target.scope }).collect())
    }

    fn run(
        &self,
        writer: &mut Writer,
        targets: &[Target],
        options: &AddOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<IndexReport> {
        let batch = writer.batch()?;
        let row = batch.put_model(&self.model.id, &self.model.name, self.dimension)?;
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
        Ok(refreshed.err().map(not_refreshed).into_iter().collect())
    }

    /// Whether the model is in memory.
    pub fn is_loaded(&self) -> bool {
        self.encoder.is_loaded()
    }

    /// Unloads the model if neither indexing nor a query has used it for this long. Otherwise returns how long to wait
    /// before the next call. Returns `None` if the model is not loaded.
    pub fn unload_after(&self, idle: Duration) -> Option<Duration> {
        let was_loaded = self.is_loaded();
        let rest = self.encoder.unload_after(idle);
        if was_loaded && rest.is_none() {
            give_back_memory();
        }
        rest
    }
}

/// The row to store for a run that has just ended.
fn run_row(report: &IndexReport, now: i64) -> RunRow {
    RunRow {
        started_at: now - (report.seconds * 1e3) as i64,
        seconds: report.seconds,
        embedded: report.embedded,
        images_per_second: report.images_per_second,
        peak_memory: report.peak_memory_bytes,
        report: serde_json::to_string(report).expect("a report is plain data"),
    }
}

fn not_refreshed(error: Error) -> String {
    format!("cannot update the quantized vectors: {error}")
}

/// Groups targets by the scan options of their roots.
fn by_scan_options(targets: Vec<Target>, roots: &[Root]) -> Vec<(String, Vec<Target>)> {
    let mut groups: Vec<(String, Vec<Target>)> = Vec::new();
    for target in targets {
        let root = roots.iter().find(|root| root.path == target.root_path);
        let scan = root.map_or_else(String::new, |root| root.scan.clone());
        match groups.iter_mut().find(|(options, _)| *options == scan) {
            Some((_, targets)) => targets.push(target),
            None => groups.push((scan, vec![target])),
        }
    }
    groups
}

/// Confirms mass deletions: marks files of these roots as missing if they still do not exist.
pub(super) fn confirm_missing(writer: &mut Writer, model: &ModelId) -> Result<()> {
    let row = writer.model(model)?.map_or(ModelRow::NONE, |model| model.row);
    for root in writer.roots()?.into_iter().filter(|root| root.vanished > 0) {
        if indexer::health(writer, &root)?.is_none() {
            continue;
        }
        let missing = indexer::missing_in(writer, &root, row)?;
        // If the drive was disconnected during the scan, files that were not found are not missing.
        if indexer::health(writer, &root)?.is_none() {
            continue;
        }
        let batch = writer.batch()?;
        batch.mark_missing(&missing, batch.now())?;
        batch.set_vanished(root.id, 0)?;
        batch.commit()?;
    }
    Ok(())
}
