//! Changes to an index: adding, removing and repairing.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Index;
use crate::error::{Error, Result};
use crate::indexer::{self, AddOptions, IndexReport, PlanStep, Planner, Progress};
use crate::search::{MODEL_ID_SETTING, MODEL_SETTING, damaged_graph, derived_folder, open_codes, refresh_codes};
use crate::store::{ModelRow, Problem, Store, Writer};
use crate::types::{ContentHash, ModelId};

/// A problem that [`Index::check`] found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct CheckProblem {
    /// The problem.
    pub what: String,
    /// The place of the problem.
    #[serde(rename = "where")]
    pub place: String,
    /// Whether it was repaired.
    pub repaired: bool,
}

impl CheckProblem {
    fn new(problem: Problem, repaired: bool) -> Self {
        Self { what: problem.what, place: problem.place, repaired }
    }
}

impl Index {
    /// Indexes files and directories. A file that is known and unchanged costs one `stat`.
    ///
    /// # Errors
    /// If a path does not exist, another process is writing, or the database, the model or ONNX Runtime fails. Files
    /// that cannot be indexed are not errors. They are counted, and [`Searcher::failures`](crate::Searcher::failures)
    /// lists them.
    pub fn add<P: AsRef<Path>>(
        &mut self,
        paths: impl IntoIterator<Item = P>,
        options: &AddOptions,
    ) -> Result<IndexReport> {
        self.add_with_progress(paths, options, |_| {})
    }

    /// Like [`Index::add`], but calls `progress` about ten times a second.
    ///
    /// # Errors
    /// Those of [`Index::add`].
    pub fn add_with_progress<P: AsRef<Path>>(
        &mut self,
        paths: impl IntoIterator<Item = P>,
        options: &AddOptions,
        mut progress: impl FnMut(Progress),
    ) -> Result<IndexReport> {
        let updater = self.updater(options.device)?;
        let mut report = updater.add(paths, options, &mut progress)?;
        let tidied = match report.interrupted {
            true => Writer::open(self.path()).and_then(|mut writer| indexer::tidy(&mut writer)).map(|()| Vec::new()),
            false => updater.tidy(),
        };
        match tidied {
            // The process that is writing now will tidy up too.
            Err(Error::Locked { .. }) => {}
            tidied => report.warnings.extend(tidied?),
        }
        Ok(report)
    }

    /// Reports what [`Index::add`] would do, without reading any file or writing anything.
    ///
    /// `each` is called with the root and the step for each file, `missing` with the path of each file that no longer
    /// exists, and `offline` with each root that is not available.
    ///
    /// # Errors
    /// If a path does not exist, or the database fails.
    pub fn plan<P: AsRef<Path>>(
        &self,
        paths: impl IntoIterator<Item = P>,
        options: &AddOptions,
        mut each: impl FnMut(&Path, PlanStep),
        mut missing: impl FnMut(&Path),
        mut offline: impl FnMut(&Path),
    ) -> Result<()> {
        let paths: Vec<PathBuf> = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        options.scan.check()?;
        let model = self.store.model(&self.searcher.active_model()?.id)?;
        let roots = self.store.roots()?;
        for target in indexer::resolve(&paths, &roots)? {
            let root = roots.iter().find(|root| root.path == target.part.root);
            if let Some(root) = root
                && indexer::health(&self.store, root)?.is_none()
            {
                offline(&root.path);
                continue;
            }
            let mut planner = Planner::new(
                &self.store,
                &target,
                root,
                model.as_ref().map_or(ModelRow::NONE, |model| model.row),
                &options.scan,
                options.again(),
            )?;
            while let Some(step) = planner.next()? {
                if options.cancel.is_cancelled() {
                    return Err(Error::Interrupted);
                }
                each(&target.part.root, step);
            }
            for file in planner.unseen()?.missing {
                if let Some(path) = self.store.present_path(file)? {
                    missing(&target.part.root.join(path));
                }
            }
        }
        Ok(())
    }

    /// Dismisses pictures as duplicates of each other, so that [`Searcher::dupes`](crate::Searcher::dupes) does not
    /// group them any more. If a content is given twice, its exact copies are dismissed. The pictures need not be in
    /// the index.
    ///
    /// Returns the number of pairs that were not dismissed before.
    ///
    /// # Errors
    /// If another process is writing, or the database fails.
    pub fn dismiss(&mut self, images: &[ContentHash]) -> Result<u64> {
        self.change_pairs(images, true)
    }

    /// Reverts [`Index::dismiss`], and returns the number of pairs that were dismissed before.
    ///
    /// # Errors
    /// If another process is writing, or the database fails.
    pub fn undismiss(&mut self, images: &[ContentHash]) -> Result<u64> {
        self.change_pairs(images, false)
    }

    fn change_pairs(&mut self, images: &[ContentHash], dismiss: bool) -> Result<u64> {
        let mut writer = Writer::open(self.path())?;
        let batch = writer.batch()?;
        let mut changed = 0;
        for (i, a) in images.iter().enumerate() {
            for b in &images[i + 1..] {
                let is_changed = if dismiss { batch.dismiss(a, b)? } else { batch.undismiss(a, b)? };
                changed += u64::from(is_changed);
            }
        }
        batch.commit()?;
        Ok(changed)
    }

    /// Switches the database to another model. The vectors of the old one stay. Returns the number of pictures without
    /// a vector of the new model; the next [`Index::add`] of their directories computes them.
    ///
    /// # Errors
    /// If the model is not in the catalog, another process is writing, or the database fails.
    pub fn use_model(&mut self, name: &str) -> Result<u64> {
        let entry = self.searcher.catalog().entry(name)?;
        let mut writer = Writer::open(self.path())?;
        let batch = writer.batch()?;
        batch.put_model(&entry.id, &entry.spec.name, entry.spec.outputs.dimension)?;
        batch.set_setting(MODEL_SETTING, name)?;
        batch.set_setting(MODEL_ID_SETTING, &entry.id.to_string())?;
        batch.count_pending()?;
        batch.commit()?;
        Ok(writer.model(&entry.id)?.map_or(0, |model| model.pending))
    }

    /// Checks every page, reference and vector of the database, and its derived files, for damage.
    ///
    /// With `repair`, damaged rows are removed, so that the next [`Index::add`] creates them again, and damaged derived
    /// files are rebuilt. If pages of the database are damaged, a new database is made of everything that can be read.
    /// The old one is kept beside it, under a name that is reported as a notice.
    ///
    /// # Errors
    /// If the database cannot be read at all, or another process is writing.
    pub fn check(&mut self, repair: bool) -> Result<Vec<CheckProblem>> {
        let problems = self.store.check()?;
        if !repair {
            let is_readable = !problems.iter().any(Problem::needs_salvage);
            let derived = if is_readable { self.check_derived()? } else { Vec::new() };
            return Ok(problems.into_iter().chain(derived).map(|problem| CheckProblem::new(problem, false)).collect());
        }
        let left = if problems.is_empty() { Vec::new() } else { self.repair(&problems)? };
        let repaired = problems.iter().map(|problem| CheckProblem::new(problem.clone(), !left.contains(problem)));
        let new = left.iter().filter(|problem| !problems.contains(problem));
        let mut all: Vec<_> = repaired.chain(new.map(|problem| CheckProblem::new(problem.clone(), false))).collect();
        if left.is_empty() {
            let derived = self.check_derived()?;
            if !derived.is_empty() {
                self.renew_derived()?;
            }
            all.extend(derived.into_iter().map(|problem| CheckProblem::new(problem, true)));
        }
        Ok(all)
    }

    /// Repairs the database, and returns the remaining problems.
    fn repair(&mut self, problems: &[Problem]) -> Result<Vec<Problem>> {
        let path = self.path().to_owned();
        let mut problems = problems.to_vec();
        if problems.iter().any(Problem::needs_salvage) {
            self.searcher.options().salvage(&path)?;
            self.searcher.reset();
            self.store = Store::open(&path)?;
            problems = self.store.check()?;
        }
        let mut writer = Writer::open(&path)?;
        let left = writer.repair(&problems)?;
        let batch = writer.batch()?;
        batch.count_pending()?;
        batch.commit()?;
        writer.checkpoint()?;
        Ok(left)
    }

    fn check_derived(&self) -> Result<Vec<Problem>> {
        let id = self.searcher.active_model()?.id;
        let mut problems: Vec<Problem> = self.check_codes(&id)?.into_iter().collect();
        if damaged_graph(&self.store, &id)?.is_some() {
            problems.push(Problem::of_derived("the file does not match its checksums", "graph"));
        }
        Ok(problems)
    }

    fn renew_derived(&self) -> Result<()> {
        let id = self.searcher.active_model()?.id;
        if let Some(path) = damaged_graph(&self.store, &id)? {
            derived_folder(&self.store).set_aside(&path);
        }
        refresh_codes(&mut Writer::open(self.path())?, &id, true).map(drop)
    }

    fn check_codes(&self, id: &ModelId) -> Result<Option<Problem>> {
        let model = self.store.model(id)?;
        let Some(model) = model.filter(|model| model.codes.is_some()) else { return Ok(None) };
        let place = "quantized vectors";
        let Some(codes) = open_codes(&self.store, id, &model) else {
            let what = "the file is missing, truncated, or from another state of the database";
            return Ok(Some(Problem::of_derived(what, place)));
        };
        if !codes.verify() {
            return Ok(Some(Problem::of_derived("the file does not match its checksum", place)));
        }
        let (covered, stored) = (codes.status().count, self.store.vectors_up_to(model.row, codes.status().last)?);
        let what = || format!("the file covers {covered} vectors, but the database has {stored}");
        Ok((stored > covered).then(|| Problem::of_derived(what(), place)))
    }
}
