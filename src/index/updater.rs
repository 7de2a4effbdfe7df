//! Runs of `add` that follow one another in one process, with the model kept loaded between them.

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

/// Brings an index up to date again and again. The model is loaded for the first picture that needs it, and kept.
///
/// Each run takes the writer's lock and gives it back.
#[derive(Debug)]
pub struct Updater {
    database: PathBuf,
    model: ActiveModel,
    dimension: usize,
    encoder: Arc<Encoder>,
    /// The device that is asked for.
    device: Device,
    /// Where it is remembered what is the fastest on this machine.
    tuning: Option<PathBuf>,
}

impl Index {
    /// Makes an updater for the model in use.
    ///
    /// # Errors
    /// When the model is not in the catalog or cannot be read.
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
    /// The model whose vectors it makes.
    pub fn model(&self) -> &ActiveModel {
        &self.model
    }

    /// As [`Index::add_with_progress`], but what only many runs together need is left to [`Updater::tidy`].
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

    /// Brings parts of known roots up to date, which may have changed or be gone. Which files are looked at is what each root
    /// was last added with, and not what `options` say.
    ///
    /// # Errors
    /// When another process is writing, or the database, the model or ONNX Runtime fails.
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

    /// Makes paths roots, or parts of them, without scanning anything. A root that is new, or that options are given for, is
    /// looked at with those from now on. Returns the parts.
    ///
    /// # Errors
    /// When a path is not there, another process is writing, or the database fails.
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
        // Read anew each time: it may have been found while a daemon runs.
        let tuned = self.tuning.as_ref().and_then(|file| find_tuned(file, &self.model.id, self.device));
        let tuned = tuned.map(|tuned| tuned.best.setting);
        indexer::add(writer, targets, row, &self.encoder, options, tuned, progress)
    }

    /// Does what only many runs together need: counts, what is derived from vectors, and bringing the log into the database file.
    /// Returns what went wrong without keeping the index from being complete.
    ///
    /// # Errors
    /// When another process is writing, or the database fails.
    pub fn tidy(&self) -> Result<Vec<String>> {
        let mut writer = Writer::open(&self.database)?;
        indexer::tidy(&mut writer)?;
        // Without the file of codes queries are slower and still right: no reason for all this to have failed.
        let refreshed = refresh_codes(&mut writer, &self.model.id, false);
        Ok(refreshed.err().map(not_refreshed).into_iter().collect())
    }

    /// Whether the model is in memory.
    pub fn is_loaded(&self) -> bool {
        self.encoder.is_loaded()
    }

    /// Frees the memory of the model if nothing, be it indexing or a query, has used it for this long. Otherwise returns how long to wait
    /// before asking again; `None` if it is not loaded.
    pub fn unload_after(&self, idle: Duration) -> Option<Duration> {
        let was_loaded = self.is_loaded();
        let rest = self.encoder.unload_after(idle);
        if was_loaded && rest.is_none() {
            give_back_memory();
        }
        rest
    }
}

/// What is written down of a run that has just ended.
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
    format!("the file of codes was not brought up to date: {error}")
}

/// Targets whose roots are looked at with the same options, together.
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

/// Marks as missing what has vanished from roots where that was not believed, now that somebody has said that it is gone.
pub(super) fn believe_vanished(writer: &mut Writer, model: &ModelId) -> Result<()> {
    let row = writer.model(model)?.map_or(ModelRow::NONE, |model| model.row);
    for root in writer.roots()?.into_iter().filter(|root| root.vanished > 0) {
        if indexer::health(writer, &root)?.is_none() {
            continue;
        }
        let gone = indexer::missing_in(writer, &root, row)?;
        // A drive may have been pulled out while it was walked; then what was not found is not gone.
        if indexer::health(writer, &root)?.is_none() {
            continue;
        }
        let batch = writer.batch()?;
        batch.mark_missing(&gone, batch.now())?;
        batch.set_vanished(root.id, 0)?;
        batch.commit()?;
    }
    Ok(())
}
