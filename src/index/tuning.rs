//! Finding the fastest way to work on this machine by trying.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Index;
use super::tuning_file::{FILE, Measurement, Tuned, find_tuned, remember};
use crate::error::{Error, Result};
use crate::indexer::{self, AddOptions, CancelToken, Setting};
use crate::media::{drawn_photograph, has_picture_extension};
use crate::model::{CatalogEntry, Device, Runtime};
use crate::scan::{ScanOptions, Start, Walker};
use crate::search::Filter;
use crate::store::Writer;
use crate::types::path_from_bytes;

/// Options of [`Index::tune`]. The defaults suit most uses.
#[derive(Debug, Clone)]
pub struct TuneOptions {
    /// Where the model may run; [`Device::Auto`] measures all devices that ONNX Runtime offers, except TensorRT.
    pub device: Device,
    /// Number of pictures to measure with.
    pub pictures: usize,
    /// Cancels the measurement.
    pub cancel: CancelToken,
}

impl Default for TuneOptions {
    fn default() -> Self {
        Self { device: Device::Auto, pictures: (128 * cores()).min(2048), cancel: CancelToken::default() }
    }
}

/// The result of [`Index::tune`].
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct TuneReport {
    /// All settings that were measured.
    #[serde(rename = "trials")]
    pub measurements: Vec<Measurement>,
    /// The fastest of them, measured again; the best is one of these.
    pub finalists: Vec<Measurement>,
    /// The setting that is used from now on.
    pub best: Measurement,
    /// Number of pictures used for measuring.
    pub pictures: usize,
    /// Whether these pictures were generated, because none were indexed.
    pub drawn: bool,
    /// Devices that the runtime offers but that cannot be used, with the reasons.
    pub unusable: Vec<UnusableDevice>,
    /// Duration in seconds.
    pub seconds: f64,
}

/// A device that ONNX Runtime offers but that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct UnusableDevice {
    /// The device.
    pub device: Device,
    /// Why it cannot be used.
    pub reason: String,
}

/// Number of rounds. Each round measures every setting once, so that a slow moment of the machine does not fall on one
/// setting only.
const ROUNDS: usize = 3;

/// Number of settings that are compared once more at the end, and the number of rounds of that comparison.
const FINALISTS: usize = 3;
const FINAL_ROUNDS: usize = 5;

/// Settings that reach at least this share of the best speed count as equally good. Of these, the one that needs the
/// least memory is chosen.
const AS_GOOD: f64 = 0.98;

/// Batch sizes that are measured on the CPU.
const CPU_BATCHES: [usize; 4] = [1, 2, 4, 8];

/// Batch sizes that are measured on accelerators.
const ACCELERATOR_BATCHES: [usize; 5] = [16, 32, 64, 128, 256];

/// No further setting is measured after this time.
const TIME: Duration = Duration::from_secs(120);

impl Index {
    /// Finds the fastest device, number of workers, threads of a session and batch size, by running [`Index::add`] into
    /// temporary databases. Remembers the result for this machine and the model in use: [`Index::add`] uses it for
    /// options that are not set.
    ///
    /// The pictures are those at the paths; without paths, those of the index; if the index is empty, generated ones.
    /// `each` is called with each setting once it is measured.
    ///
    /// # Errors
    /// If a path does not exist, no picture can be decoded, or the model or ONNX Runtime fails; [`Error::Interrupted`]
    /// if it was cancelled.
    pub fn tune<P: AsRef<Path>>(
        &self,
        paths: impl IntoIterator<Item = P>,
        options: &TuneOptions,
        mut each: impl FnMut(&Measurement),
    ) -> Result<TuneReport> {
        let start = Instant::now();
        let entry = self.searcher.catalog_entry()?;
        let id = entry.id;
        let paths: Vec<PathBuf> = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        let folder = tempfile::tempdir().map_err(Error::io("create a directory in", std::env::temp_dir()))?;
        let (pictures, drawn) = self.sample(&paths, options, folder.path())?;
        // Not earlier, because it may have to be downloaded.
        let runtime = Runtime::load(&self.searcher.options().runtime_options()?)?;
        let devices = match options.device {
            Device::Auto => runtime.devices().into_iter().filter(|device| *device != Device::TensorRt).collect(),
            named => vec![named],
        };
        let (cancel, folder) = (&options.cancel, folder.path());
        let (measurements, until) = (Vec::new(), start + TIME);
        let mut benchmark =
            Benchmark { index: self, entry, pictures, folder, cancel, until, each: &mut each, measurements };
        let (mut usable, mut unusable) = (Vec::new(), Vec::new());
        for device in devices {
            let batch_size = device.usual_batch(runtime.device_memory(device));
            let setting = Setting { device, workers: cores(), model_threads: 1, batch_size };
            match benchmark.images_per_second(setting) {
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                // An error if the device was named.
                Err(error) if options.device == Device::Auto && device.is_accelerator() => {
                    unusable.push(UnusableDevice { device, reason: error.to_string() });
                }
                rate => {
                    rate?;
                    usable.push(setting);
                }
            }
        }
        let first = benchmark.best_of(&usable)?.setting;
        let by_workers = benchmark.best_of(&with_workers(first, cores()))?.setting;
        let batches: &[usize] = if first.device.is_accelerator() { &ACCELERATOR_BATCHES } else { &CPU_BATCHES };
        let with_batch = |batch_size: &usize| Setting { batch_size: *batch_size, ..by_workers };
        benchmark.best_of(&batches.iter().map(with_batch).collect::<Vec<_>>())?;
        let (best, finalists) = benchmark.play_off()?;
        let Benchmark { measurements, pictures, .. } = benchmark;
        let file = self.tuning_file()?;
        remember(&file, &id, options.device, best).map_err(Error::io("write", file))?;
        let seconds = start.elapsed().as_secs_f64();
        Ok(TuneReport { measurements, finalists, best, pictures: pictures.len(), drawn, unusable, seconds })
    }

    /// The setting that [`Index::tune`] found on this machine for the model in use and a device.
    ///
    /// # Errors
    /// If the model is not in the catalog, or the user has no data directory.
    pub fn tuned(&self, device: Device) -> Result<Option<Tuned>> {
        Ok(find_tuned(&self.tuning_file()?, &self.searcher.active_model()?.id, device))
    }

    pub(super) fn tuning_file(&self) -> Result<PathBuf> {
        Ok(self.searcher.options().resolve_data_dir()?.join(FILE))
    }

    /// Picture files, spread evenly over those that exist, or generated ones in `folder`.
    fn sample(&self, paths: &[PathBuf], options: &TuneOptions, folder: &Path) -> Result<(Vec<PathBuf>, bool)> {
        let mut found = if paths.is_empty() { self.indexed_paths()? } else { walked_paths(paths, &options.cancel)? };
        // A sample of all files might contain hardly any pictures.
        if found.iter().any(|path| has_picture_extension(path)) {
            found.retain(|path| has_picture_extension(path));
        }
        // Files of an offline root, and deleted files, cannot be read.
        found.retain(|path| path.is_file());
        let step = found.len().div_ceil(options.pictures.max(1)).max(1);
        // Start in the middle of the first step, so that the sample does not depend on the first file.
        found = found.into_iter().skip((step - 1) / 2).step_by(step).collect();
        match (found.is_empty(), paths.is_empty()) {
            (true, false) => Err(Error::Invalid("there are no pictures below these paths".into())),
            (true, true) => Ok((drawn_pictures(options.pictures, folder)?, true)),
            (false, _) => Ok((found, false)),
        }
    }

    fn indexed_paths(&self) -> Result<Vec<PathBuf>> {
        // Take every n-th file: enough for any sample, and at most about 10,000 paths in memory.
        let files = self.store.counts(self.store.held()?)?.files;
        let step = files.div_ceil(10_000).max(1);
        let (mut paths, mut at) = (Vec::new(), 0);
        self.searcher.for_each_picture(&Filter::default(), |picture| {
            if at % step == 0 {
                paths.push(picture.path);
            }
            at += 1;
            Ok(())
        })?;
        Ok(paths)
    }
}

/// Writes generated pictures, for an index without any.
fn drawn_pictures(count: usize, folder: &Path) -> Result<Vec<PathBuf>> {
    let write = |seed: u32| {
        let path = folder.join(format!("{seed}.jpg"));
        fs::write(&path, drawn_photograph(seed).bytes).map_err(Error::io("write", &path))?;
        Ok(path)
    };
    (0..u32::try_from(count).unwrap_or(u32::MAX)).map(write).collect()
}

/// Measures the speed of [`Index::add`] with different settings, by running it unchanged into temporary databases.
struct Benchmark<'a> {
    index: &'a Index,
    entry: CatalogEntry,
    pictures: Vec<PathBuf>,
    /// Holds the databases.
    folder: &'a Path,
    cancel: &'a CancelToken,
    until: Instant,
    each: &'a mut dyn FnMut(&Measurement),
    measurements: Vec<Measurement>,
}

impl Benchmark<'_> {
    /// Measures those settings that are not measured yet, and returns the best of the given ones.
    fn best_of(&mut self, settings: &[Setting]) -> Result<Measurement> {
        let is_new = |setting: &Setting| self.measurements.iter().all(|known| known.setting != *setting);
        let new: Vec<Setting> = settings.iter().copied().filter(is_new).collect();
        let speeds = self.speeds(&new, ROUNDS, Some(self.until))?;
        for (setting, speed) in new.into_iter().zip(speeds) {
            let Some(images_per_second) = speed else { continue };
            let measurement = Measurement { setting, images_per_second };
            (self.each)(&measurement);
            self.measurements.push(measurement);
        }
        let is_asked = |known: &&Measurement| settings.contains(&known.setting);
        let among: Vec<Measurement> = self.measurements.iter().filter(is_asked).copied().collect();
        // If there was no time for any of them, return the best so far.
        best(if among.is_empty() { &self.measurements } else { &among })
    }

    /// Measures the best settings once more, in turn, because speeds that were measured at different moments cannot be
    /// compared exactly. Returns the best of them, and all of them.
    fn play_off(&mut self) -> Result<(Measurement, Vec<Measurement>)> {
        let mut finalists = self.measurements.clone();
        finalists.sort_by(|a, b| b.images_per_second.total_cmp(&a.images_per_second));
        finalists.truncate(FINALISTS);
        let settings: Vec<Setting> = finalists.iter().map(|finalist| finalist.setting).collect();
        let speeds = self.speeds(&settings, FINAL_ROUNDS, None)?;
        for (finalist, speed) in finalists.iter_mut().zip(speeds) {
            finalist.images_per_second = speed.unwrap_or(finalist.images_per_second);
            let mut known = self.measurements.iter_mut();
            *known.find(|known| known.setting == finalist.setting).expect("finalists were measured") = *finalist;
        }
        Ok((best(&finalists)?, finalists))
    }

    /// Measures settings in turn, and returns the median speed of each. `None` if there was no time to measure a
    /// setting, if it does not fit into memory, or if it fails, as a batch does that is too large for a device.
    fn speeds(&self, settings: &[Setting], rounds: usize, until: Option<Instant>) -> Result<Vec<Option<f64>>> {
        let is_measured = !self.measurements.is_empty();
        let mut rates = vec![Vec::new(); settings.len()];
        for round in 0..rounds {
            for (setting, rates) in settings.iter().zip(&mut rates) {
                if until.is_some_and(|until| Instant::now() > until) && (round > 0 || is_measured) {
                    continue;
                }
                match self.images_per_second(*setting) {
                    Err(Error::Interrupted) => return Err(Error::Interrupted),
                    Err(_) if is_measured => {}
                    rate => rates.extend(rate?),
                }
            }
        }
        let median = |mut rates: Vec<f64>| {
            rates.sort_by(f64::total_cmp);
            rates.get(rates.len() / 2).copied()
        };
        Ok(rates.into_iter().map(median).collect())
    }

    /// Adds all pictures to a new database, and returns how many were embedded per second, including the time to load
    /// the model. `None` if the default memory limit is too low for this number of workers or this batch size, so
    /// that `add` would use less.
    ///
    /// # Errors
    /// If the device cannot be used, the model fails, or no picture can be decoded.
    fn images_per_second(&self, setting: Setting) -> Result<Option<f64>> {
        let Setting { device, workers, model_threads, batch_size } = setting;
        let encoder = self.index.searcher.new_encoder(&self.entry, device, Some(device), model_threads)?;
        let add = AddOptions {
            threads: NonZeroUsize::new(workers),
            batch_size: NonZeroUsize::new(batch_size),
            device,
            cancel: self.cancel.clone(),
            ..AddOptions::default()
        };
        // Each run gets a new database in its own directory, because it must not know any content yet.
        let folder = tempfile::tempdir_in(self.folder).map_err(Error::io("create a directory in", self.folder))?;
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
        let is_as_asked = (report.workers, report.batch_size) == (workers, batch_size);
        Ok(is_as_asked.then_some(report.images_per_second))
    }
}

/// The fastest measurement; of several that are equally good, the one that needs the least memory.
fn best(measurements: &[Measurement]) -> Result<Measurement> {
    let fastest = measurements.iter().map(|known| known.images_per_second).fold(0.0, f64::max);
    let good = measurements.iter().filter(|known| known.images_per_second >= fastest * AS_GOOD);
    let memory = |setting: &Setting| (setting.workers * (setting.batch_size + 4), setting.model_threads);
    let best = good.min_by_key(|known| memory(&known.setting)).copied();
    best.ok_or_else(|| Error::Invalid("there is not enough memory to measure any setting".into()))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The same setting with different numbers of workers and of threads of a session.
fn with_workers(setting: Setting, cores: usize) -> Vec<Setting> {
    let workers: Vec<usize> = [1, cores / 2, cores, cores + cores.div_ceil(2), 2 * cores].into();
    let threads = if setting.device.is_accelerator() { vec![1] } else { vec![1, cores.div_ceil(2), cores] };
    let mut settings = Vec::new();
    for &workers in workers.iter().filter(|workers| **workers > 0) {
        for &model_threads in threads.iter().filter(|threads| **threads * workers <= 2 * cores) {
            let setting = Setting { workers, model_threads, ..setting };
            if !settings.contains(&setting) {
                settings.push(setting);
            }
        }
    }
    settings
}

fn walked_paths(paths: &[PathBuf], cancel: &CancelToken) -> Result<Vec<PathBuf>> {
    /// Maximum number of files to choose from. Of a larger tree, only the first part is used.
    const MAX_FILES: usize = 100_000;
    /// Maximum time to look for files.
    const TIME: Duration = Duration::from_secs(10);
    let until = Instant::now() + TIME;
    let mut found = Vec::new();
    for path in paths {
        let metadata = fs::metadata(path).map_err(Error::io("read", path))?;
        if metadata.is_file() {
            found.push(path.clone());
            continue;
        }
        let walker = Walker::new(path, (path, Start::Asked), &[], &ScanOptions::default())?;
        for file in walker.flatten() {
            if cancel.is_cancelled() {
                return Err(Error::Interrupted);
            }
            if found.len() == MAX_FILES || Instant::now() > until {
                return Ok(found);
            }
            found.push(path.join(path_from_bytes(&file.path)));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::types::ModelId;

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
        let (model, other) = (ModelId::from([7; 32]), ModelId::from([8; 32]));
        let found = |model, device| find_tuned(&path, model, device).map(|tuned| tuned.best);
        assert_eq!(found(&model, Device::Auto), None);
        remember(&path, &other, Device::Auto, measured(1, 1, 1.0)).expect("it can be written");
        let later = r#"{"machine": "any", "asked": "abacus"}"#;
        let content = fs::read_to_string(&path).expect("it is written").replacen('[', &format!("[{later},"), 1);
        fs::write(&path, content).expect("it can be written");
        for best in [measured(1, 2, 1.0), measured(2, 2, 1.5)] {
            remember(&path, &model, Device::Auto, best).expect("it can be written");
            assert_eq!(found(&model, Device::Auto), Some(best));
        }
        assert_eq!((found(&other, Device::Auto), found(&model, Device::Cuda)), (Some(measured(1, 1, 1.0)), None));
        assert!(fs::read_to_string(&path).expect("it is written").contains("abacus"));
        fs::write(&path, "{\"tuned\": 7}").expect("it can be written");
        assert_eq!(found(&model, Device::Auto), None);
    }

    #[test]
    fn of_settings_that_are_as_good_the_smallest_is_chosen() {
        let all = [measured(4, 32, 300.0), measured(2, 2, 297.0), measured(1, 1, 150.0), measured(2, 4, 299.0)];
        assert_eq!(best(&all).expect("there are some"), all[1]);
    }

    #[test]
    fn no_setting_comes_twice_or_asks_for_far_more_threads_than_there_are_cores() {
        for cores in [1, 2, 3, 16] {
            let settings = with_workers(measured(1, 2, 1.0).setting, cores);
            let distinct: HashSet<Setting> = settings.iter().copied().collect();
            assert_eq!(distinct.len(), settings.len());
            assert!(settings.iter().all(|it| it.workers >= 1 && it.workers * it.model_threads <= 2 * cores));
            assert!(settings.iter().any(|it| it.workers == cores && it.model_threads == 1));
        }
    }
}
