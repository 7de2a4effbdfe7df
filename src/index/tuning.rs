//! The fastest way to work, found by trying, and remembered for a machine and a model.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Index;
use crate::error::{Error, Result};
use crate::indexer::{CancelToken, Setting, Trial, machine};
use crate::media::{Content, DecodeLimits, Reading, drawn_photograph, has_picture_extension, read_content};
use crate::model::{Device, Runtime};
use crate::scan::{ScanOptions, Start, Walker};
use crate::search::Filter;
use crate::types::{ModelId, path_from_bytes};

/// How [`Index::tune`] looks for the best setting. The defaults serve.
#[derive(Debug, Clone)]
pub struct TuneOptions {
    /// Where the model may run; [`Device::Auto`] tries all that the runtime offers, but TensorRT.
    pub device: Device,
    /// Pictures to try with. By default enough for full batches on every core.
    pub pictures: usize,
    /// Whether every combination is tried, and not only those that lead to the best.
    pub full: bool,
    /// Bytes that the pictures may take; half of it for their files.
    pub memory: u64,
    /// Stops it.
    pub cancel: CancelToken,
}

impl Default for TuneOptions {
    fn default() -> Self {
        Self {
            device: Device::Auto,
            pictures: (16 * cores()).max(128),
            full: false,
            memory: 256 << 20,
            cancel: CancelToken::default(),
        }
    }
}

/// A setting with its speed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Trialed {
    /// The setting.
    #[serde(flatten)]
    pub setting: Setting,
    /// Pictures in a second, the median of some rounds.
    pub images_per_second: f64,
}

/// What [`Index::tune`] has found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TuneReport {
    /// All settings that were tried.
    pub trials: Vec<Trialed>,
    /// The one that is used from now on.
    pub best: Trialed,
    /// Pictures that they were tried with.
    pub pictures: usize,
    /// Whether these were drawn, because there were none.
    pub drawn: bool,
    /// Devices that the runtime offers and that could not be used, with the reasons.
    pub unusable: Vec<(Device, String)>,
    /// How long it took.
    pub seconds: f64,
}

/// A remembered setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// The machine: its name, processor and number of cores.
    pub machine: String,
    /// The model.
    pub model: String,
    /// The device that was asked for.
    pub asked: Device,
    /// The best setting.
    #[serde(flatten)]
    pub best: Trialed,
}

/// The file in the data directory.
#[derive(Debug, Default, Serialize, Deserialize)]
struct TuningFile {
    tuned: Vec<serde_json::Value>,
}

const FILE: &str = "tuning.json";

/// Rounds in which settings are tried in turn, so that none of them gets all of a machine's bad moments.
const ROUNDS: usize = 3;

/// Settings that are compared once more in the end, and rounds of that.
const FINALISTS: usize = 5;
const FINAL_ROUNDS: usize = 5;

/// Settings that are as good as the best: of these the one that takes the least memory is chosen.
const AS_GOOD: f64 = 0.98;

/// Sizes of batches that are tried on the processor.
const BATCHES: [usize; 6] = [1, 2, 4, 8, 16, 32];

/// The same for accelerators.
const LARGE_BATCHES: [usize; 5] = [16, 32, 64, 128, 256];

/// After this time what was found so far has to do.
const TIME: Duration = Duration::from_secs(120);

fn batches(device: Device) -> &'static [usize] {
    if device.is_accelerator() { &LARGE_BATCHES } else { &BATCHES }
}

impl Index {
    /// Finds the fastest number of workers, size of batches, threads of a session, and device, by trying, and remembers it for this
    /// machine and the model in use: [`Index::add`] goes by it where its options say nothing else.
    ///
    /// Tried are pictures of the paths, of the index if there are no paths, or drawn ones if that is empty too. `told` is called with
    /// each setting when it was tried.
    ///
    /// # Errors
    /// When a path is not there, nothing can be decoded, or the model or ONNX Runtime fails; [`Error::Interrupted`] when it was cancelled.
    pub fn tune<P: AsRef<Path>>(
        &self,
        paths: impl IntoIterator<Item = P>,
        options: &TuneOptions,
        mut told: impl FnMut(&Trialed),
    ) -> Result<TuneReport> {
        let start = Instant::now();
        let entry = self.searcher.catalog_entry()?;
        let model = self.searcher.catalog().load(&entry)?;
        let paths: Vec<PathBuf> = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        let (contents, drawn) = self.sample(&paths, options)?;
        // Only now, because it may have to be fetched.
        let runtime = Runtime::load(&self.searcher.options().runtime_options()?)?;
        let pictures = contents.len();
        let limits = DecodeLimits { memory: options.memory / 2, ..DecodeLimits::default() };
        let devices = match options.device {
            Device::Auto => runtime.devices().into_iter().filter(|device| *device != Device::TensorRt).collect(),
            named => vec![named],
        };
        let batch_of = |device: Device| device.usual_batch(runtime.device_memory(device));
        let firsts: Vec<Setting> = devices.iter().map(|device| usual(*device, batch_of(*device))).collect();
        let trial = Trial::new(model, runtime.clone(), contents, limits);
        let until = start + if options.full { 5 * TIME } else { TIME };
        let mut search = Search { trial, cancel: options.cancel.clone(), told: &mut told, trials: Vec::new(), until };
        let unusable = search.usable(&firsts, options.device)?;
        let usable = firsts.iter().filter(|first| unusable.iter().all(|(device, _)| *device != first.device)).copied();
        let first = search.best_of(&usable.collect::<Vec<_>>())?;
        let cores = cores();
        if options.full {
            search.best_of(&grid(first.setting.device, cores))?;
        } else {
            let by_workers = search.best_of(&with_workers(first.setting, cores))?;
            let by_batch = search.best_of(
                &batches(first.setting.device)
                    .iter()
                    .map(|batch_size| Setting { batch_size: *batch_size, ..by_workers.setting })
                    .collect::<Vec<_>>(),
            )?;
            search.best_of(&with_workers(by_batch.setting, cores))?;
        }
        let best = search.play_off()?;
        let trials = search.trials;
        self.remember(&entry.id, options.device, best)?;
        let seconds = start.elapsed().as_secs_f64();
        Ok(TuneReport { trials, best, pictures, drawn, unusable, seconds })
    }

    /// The setting that [`Index::tune`] has found on this machine, for the model in use and a device.
    ///
    /// # Errors
    /// When the model is not in the catalog, or the user has no data directory.
    pub fn tuned(&self, device: Device) -> Result<Option<Tuned>> {
        Ok(find_tuned(&self.tuning_file()?, &self.searcher.active_model()?.id, device))
    }

    pub(super) fn tuning_file(&self) -> Result<PathBuf> {
        Ok(self.searcher.options().resolve_data_dir()?.join(FILE))
    }

    fn remember(&self, model: &ModelId, asked: Device, best: Trialed) -> Result<()> {
        let (machine, model) = (machine(), model.to_string());
        let path = self.tuning_file()?;
        let mut file = read(&path);
        file.tuned.retain(|entry| match Tuned::deserialize(entry) {
            Ok(tuned) => tuned.machine != machine || tuned.model != model || tuned.asked != asked,
            // Of a later version, which may know other devices.
            Err(_) => true,
        });
        file.tuned.push(serde_json::to_value(Tuned { machine, model, asked, best }).expect("it is plain data"));
        write(&path, &file).map_err(|source| Error::Io { action: "write", path, source })
    }

    /// Files of pictures, evenly spread over what there is.
    fn sample(&self, paths: &[PathBuf], options: &TuneOptions) -> Result<(Vec<Content>, bool)> {
        let mut found = if paths.is_empty() { self.indexed_paths()? } else { walked_paths(paths, &options.cancel)? };
        // Among many other files hardly one would be a picture.
        if found.iter().any(|path| has_picture_extension(path)) {
            found.retain(|path| has_picture_extension(path));
        }
        let step = found.len().div_ceil(options.pictures.max(1)).max(1);
        // Beginning in the middle of the first step, so that nothing depends on the first file.
        found = found.into_iter().skip((step - 1) / 2).step_by(step).collect();
        let (mut contents, mut bytes, mut hashes) = (Vec::new(), 0, HashSet::new());
        for path in found {
            if options.cancel.is_cancelled() {
                return Err(Error::Interrupted);
            }
            let Reading::Content(content, ..) = read_content(&path, options.memory / 2, |_| ()).0 else { continue };
            bytes += content.bytes.len() as u64;
            if bytes > options.memory / 2 {
                break;
            }
            if hashes.insert(content.hash) {
                contents.push(content);
            }
        }
        match (contents.is_empty(), paths.is_empty()) {
            (true, false) => Err(Error::Invalid("there are no pictures below these paths".into())),
            (true, true) => Ok(((0..options.pictures as u32).map(drawn_photograph).collect(), true)),
            (false, _) => Ok((contents, false)),
        }
    }

    fn indexed_paths(&self) -> Result<Vec<PathBuf>> {
        // Every so many files: enough for any sample, and no more memory than for 10,000 paths.
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

/// What is remembered for this machine.
pub(super) fn find_tuned(file: &Path, model: &ModelId, device: Device) -> Option<Tuned> {
    let (machine, model) = (machine(), model.to_string());
    let is_wanted = |tuned: &Tuned| {
        (&tuned.machine, &tuned.model, tuned.asked) == (&machine, &model, device) && tuned.best.setting.is_sane()
    };
    read(file).tuned.iter().filter_map(|entry| Tuned::deserialize(entry).ok()).find(is_wanted)
}

/// Tries settings, in rounds.
struct Search<'a> {
    trial: Trial,
    cancel: CancelToken,
    told: &'a mut dyn FnMut(&Trialed),
    trials: Vec<Trialed>,
    until: Instant,
}

impl Search<'_> {
    /// Which devices cannot be used, and why. Of one that was named that is an error.
    fn usable(&mut self, firsts: &[Setting], asked: Device) -> Result<Vec<(Device, String)>> {
        let mut unusable = Vec::new();
        for first in firsts {
            match self.trial.images_per_second(*first, &self.cancel) {
                Ok(_) => {}
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) if asked == Device::Auto && first.device.is_accelerator() => {
                    unusable.push((first.device, error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(unusable)
    }

    /// Tries what was not tried yet, and returns the best of the given settings.
    fn best_of(&mut self, settings: &[Setting]) -> Result<Trialed> {
        let is_new = |setting: &&Setting| self.trials.iter().all(|trial| trial.setting != **setting);
        let mut new: Vec<Setting> = settings.iter().filter(is_new).copied().collect();
        // The first ones are the usual ones, and one there has to be.
        if !self.trials.is_empty() {
            new.retain(|setting| self.trial.has_room_for(*setting));
        }
        let mut rates = vec![Vec::new(); new.len()];
        for round in 0..ROUNDS {
            for (setting, rates) in new.iter().zip(&mut rates) {
                let is_late = Instant::now() > self.until && (round > 0 || !self.trials.is_empty());
                if !is_late {
                    rates.push(self.rate(*setting)?);
                }
            }
        }
        for (setting, rates) in new.into_iter().zip(&mut rates) {
            rates.sort_by(f64::total_cmp);
            let Some(&images_per_second) = rates.get(rates.len() / 2) else { continue };
            let trialed = Trialed { setting, images_per_second };
            (self.told)(&trialed);
            self.trials.push(trialed);
        }
        let among: Vec<Trialed> =
            self.trials.iter().filter(|trial| settings.contains(&trial.setting)).copied().collect();
        // Where there was no time for any of these, the best of all so far.
        Ok(chosen(if among.is_empty() { &self.trials } else { &among }))
    }

    /// Tries the best ones once more, side by side: what was tried at another moment had another machine.
    fn play_off(&mut self) -> Result<Trialed> {
        let mut best = self.trials.clone();
        best.sort_by(|a, b| b.images_per_second.total_cmp(&a.images_per_second));
        best.truncate(FINALISTS);
        let mut rates = vec![Vec::new(); best.len()];
        for _ in 0..FINAL_ROUNDS {
            for (trialed, rates) in best.iter().zip(&mut rates) {
                rates.push(self.rate(trialed.setting)?);
            }
        }
        for (trialed, rates) in best.iter_mut().zip(&mut rates) {
            rates.sort_by(f64::total_cmp);
            trialed.images_per_second = rates[FINAL_ROUNDS / 2];
        }
        for trial in &mut self.trials {
            let again = best.iter().find(|trialed| trialed.setting == trial.setting);
            trial.images_per_second = again.map_or(trial.images_per_second, |again| again.images_per_second);
        }
        Ok(chosen(&best))
    }

    /// The speed of a setting; none at all if it fails, as batches do that a device has too little memory for.
    fn rate(&mut self, setting: Setting) -> Result<f64> {
        match self.trial.images_per_second(setting, &self.cancel) {
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(_) if !self.trials.is_empty() => Ok(0.0),
            rate => rate,
        }
    }
}

/// The best one; of those that are as good the one that takes the least memory.
fn chosen(trials: &[Trialed]) -> Trialed {
    let most = trials.iter().map(|trial| trial.images_per_second).fold(0.0, f64::max);
    let good = trials.iter().filter(|trial| trial.images_per_second >= most * AS_GOOD);
    let memory = |setting: &Setting| (setting.workers * (setting.batch_size + 4), setting.model_threads);
    *good.min_by_key(|trial| memory(&trial.setting)).expect("something was tried")
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What is used where nothing was tuned.
fn usual(device: Device, batch_size: usize) -> Setting {
    Setting { device, workers: cores(), model_threads: 1, batch_size }
}

/// The same setting with other numbers of workers, and of threads of a session.
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

/// Every combination.
fn grid(device: Device, cores: usize) -> Vec<Setting> {
    let with_batch = |batch| with_workers(usual(device, batch), cores);
    batches(device).iter().copied().flat_map(with_batch).collect()
}

fn walked_paths(paths: &[PathBuf], cancel: &CancelToken) -> Result<Vec<PathBuf>> {
    /// Enough to choose from: of a larger tree the first part has to do.
    const MAX_FILES: usize = 100_000;
    /// How long is looked for files at most.
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

/// What was remembered; nothing if the file is not there, or is damaged: it can be made again.
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

    fn trialed(workers: usize, batch_size: usize, images_per_second: f64) -> Trialed {
        Trialed { setting: Setting { device: Device::Cpu, workers, model_threads: 1, batch_size }, images_per_second }
    }

    #[test]
    fn of_settings_that_are_as_good_the_smallest_is_chosen() {
        let trials = [trialed(4, 32, 300.0), trialed(2, 2, 297.0), trialed(1, 1, 150.0), trialed(2, 4, 299.0)];
        assert_eq!(chosen(&trials), trials[1]);
    }

    #[test]
    fn no_combination_comes_twice_or_asks_for_far_more_threads_than_there_are_cores() {
        for cores in [1, 2, 3, 16] {
            let settings = grid(Device::Cpu, cores);
            let distinct: HashSet<Setting> = settings.iter().copied().collect();
            assert_eq!(distinct.len(), settings.len());
            assert!(settings.iter().all(|it| it.workers >= 1 && it.workers * it.model_threads <= 2 * cores));
            assert!(settings.contains(&Setting {
                device: Device::Cpu,
                workers: cores,
                model_threads: 1,
                batch_size: 2
            }));
        }
    }

    #[test]
    fn a_damaged_file_is_as_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deeper").join(FILE);
        assert!(read(&path).tuned.is_empty());
        let model = ModelId::from([7; 32]);
        let tuned =
            Tuned { machine: machine(), model: model.to_string(), asked: Device::Auto, best: trialed(2, 2, 1.5) };
        let entry = serde_json::to_value(&tuned).expect("plain data");
        let later = serde_json::json!({"machine": machine(), "asked": "abacus"});
        write(&path, &TuningFile { tuned: vec![later, entry] }).expect("it can be written");
        assert_eq!(find_tuned(&path, &model, Device::Auto), Some(tuned));
        assert_eq!(find_tuned(&path, &model, Device::Cuda), None);
        fs::write(&path, "{\"tuned\": 7}").expect("it can be written");
        assert_eq!(find_tuned(&path, &model, Device::Auto), None);
    }
}
