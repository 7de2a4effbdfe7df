//! The library's front door: one database, and all that can be done with it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::ann::{GraphStatus, Method};
use crate::error::{Error, Result};
use crate::indexer::{self, AddOptions, Engine, IndexReport, PlanStep, Planner, Progress};
use crate::media::Picture;
use crate::model::{BUILTIN_NAME, Catalog, CatalogEntry, Device, Embedded, Embedder, Notice, Runtime, RuntimeOptions};
use crate::search::{
    Age, Answer, Examined, Lookup, Query, QueryImage, Searcher, SearcherOptions, collect, damaged_graph,
    derived_folder, examine, export_npy, open_codes, peek_graph, refresh_codes, renew_codes,
};
use crate::store::{Counts, FailureRow, ModelRow, PictureRow, Problem, Root, RootState, Store, StoredModel, Writer};
use crate::types::{Classification, ContentHash, Embedding, ModelId};

/// The settings that hold the name and the id of the model in use.
const MODEL_SETTING: &str = "model";
const MODEL_ID_SETTING: &str = "model_id";

/// How an index is opened.
#[derive(Clone)]
pub struct OpenOptions {
    data_dir: Option<PathBuf>,
    runtime: Option<PathBuf>,
    offline: bool,
    model: Option<String>,
    notice: Notice,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { data_dir: None, runtime: None, offline: false, model: None, notice: Arc::new(|_| {}) }
    }
}

impl std::fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenOptions")
            .field("data_dir", &self.data_dir)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl OpenOptions {
    /// Keeps models and a fetched ONNX Runtime in this directory instead of the user's data directory.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Uses this library of ONNX Runtime and no other.
    #[must_use]
    pub fn runtime(mut self, library: impl Into<PathBuf>) -> Self {
        self.runtime = Some(library.into());
        self
    }

    /// Never fetches anything.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Uses this model of the catalog instead of the one that the database is set to.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.model = Some(name.into());
        self
    }

    /// Is told of what takes long and was not asked for: ONNX Runtime being fetched.
    #[must_use]
    pub fn notice(mut self, notice: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.notice = Arc::new(notice);
        self
    }

    /// Opens the index, and makes it if it is not there.
    ///
    /// # Errors
    /// When the file is no index, or of a newer version, or cannot be made.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Index> {
        let path = path.as_ref();
        match Store::open(path) {
            Ok(store) => Ok(Index::new(store, self)?),
            Err(Error::NoIndex { .. }) => {
                Writer::open(path)?;
                Index::new(Store::open(path)?, self)
            }
            Err(error) => Err(error),
        }
    }

    /// Opens the index if it is there.
    ///
    /// # Errors
    /// [`Error::NoIndex`] if it is not, and the errors of [`OpenOptions::open`].
    pub fn open_existing(self, path: impl AsRef<Path>) -> Result<Index> {
        Index::new(Store::open(path.as_ref())?, self)
    }

    /// Where models and a fetched ONNX Runtime are kept.
    ///
    /// # Errors
    /// When none was given and the user has no home directory.
    pub fn resolve_data_dir(&self) -> Result<PathBuf> {
        match &self.data_dir {
            Some(path) => Ok(path.clone()),
            None => default_data_dir(),
        }
    }

    /// Where ONNX Runtime is looked for.
    ///
    /// # Errors
    /// Those of [`OpenOptions::resolve_data_dir`].
    pub fn runtime_options(&self) -> Result<RuntimeOptions> {
        Ok(RuntimeOptions {
            library: self.runtime.clone(),
            offline: self.offline,
            data_dir: self.resolve_data_dir()?,
            notice: self.notice.clone(),
        })
    }
}

/// The directory of imgidx in the user's data directory, such as `~/.local/share/imgidx`.
///
/// # Errors
/// When the user has no home directory.
pub fn default_data_dir() -> Result<PathBuf> {
    directories::ProjectDirs::from("", "", "imgidx")
        .map(|dirs| dirs.data_dir().to_owned())
        .ok_or_else(|| Error::Invalid("there is no home directory to keep data in: name a database with --db".into()))
}

/// An index of pictures: one SQLite file.
///
/// Reading needs no lock and sees the last committed state, also while another process is adding. Methods that write
/// take the writer's lock for as long as they run.
#[derive(Debug)]
pub struct Index {
    store: Store,
    options: OpenOptions,
    catalog: Catalog,
    /// Made for the first picture that is not indexed, and kept for the next one.
    embedder: RefCell<Option<Embedder>>,
}

/// The model whose vectors an index compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveModel {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: ModelId,
}

/// The state of an index, as `status` tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The database file.
    pub database: PathBuf,
    /// How much is indexed.
    pub counts: Counts,
    /// The roots.
    pub roots: Vec<RootStatus>,
    /// Name of the model in use.
    pub model: String,
    /// The nearest-neighbour index of that model.
    pub index: NeighborStatus,
    /// Files that could not be indexed.
    pub failures: u64,
}

/// A root, as `status` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootStatus {
    /// Its path.
    pub path: PathBuf,
    /// Whether it was there when it was last looked at.
    pub state: RootState,
    /// Present files in it.
    pub files: u64,
}

/// The nearest-neighbour index, as `status` tells it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NeighborStatus {
    /// Vectors of the model.
    pub rows: u64,
    /// Vectors that the file of codes covers.
    pub snapshot: u64,
    /// Vectors that are newer than it.
    pub delta: u64,
    /// Vectors that it covers and that are gone.
    pub dead: u64,
    /// Length of the file of codes in bytes.
    pub bytes: u64,
    /// How a query by a process that asks once is answered.
    pub method: Method,
    /// The graph for processes that stay, if one was built.
    pub graph: Option<GraphStatus>,
    /// Pictures that the model has no vector of.
    pub pending: u64,
}

/// A problem that [`Index::check`] found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckProblem {
    /// What is wrong.
    pub what: String,
    /// Where.
    #[serde(rename = "where")]
    pub place: String,
    /// Whether it was mended.
    pub repaired: bool,
}

impl Index {
    /// Opens the index at a path, and makes it if it is not there.
    ///
    /// # Errors
    /// When the file is no index, or of a newer version, or cannot be made.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        OpenOptions::default().open(path)
    }

    fn new(store: Store, options: OpenOptions) -> Result<Self> {
        let catalog = Catalog::new(&options.resolve_data_dir()?);
        Ok(Self { store, options, catalog, embedder: RefCell::new(None) })
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    // --- Writing ---------------------------------------------------------------------------------------------------

    /// Indexes files and directories; what is known and unchanged costs one `stat` for each file.
    ///
    /// # Errors
    /// When a path is not there, another process is writing, or the database, the model or ONNX Runtime fails. Files
    /// that cannot be indexed are no error: they are counted, and [`Index::failures`] lists them.
    pub fn add<P: AsRef<Path>>(
        &mut self,
        paths: impl IntoIterator<Item = P>,
        options: &AddOptions,
    ) -> Result<IndexReport> {
        self.add_with_progress(paths, options, |_| {})
    }

    /// As [`Index::add`], telling of its progress about ten times a second.
    ///
    /// # Errors
    /// Those of [`Index::add`].
    pub fn add_with_progress<P: AsRef<Path>>(
        &mut self,
        paths: impl IntoIterator<Item = P>,
        options: &AddOptions,
        mut progress: impl FnMut(Progress),
    ) -> Result<IndexReport> {
        let paths: Vec<PathBuf> = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        options.scan.check()?;
        let entry = self.catalog_entry()?;
        let mut writer = Writer::open(self.path())?;
        let targets = indexer::resolve(&paths, &writer.roots()?)?;
        let model = self.catalog.load(&entry)?;
        let batch = writer.batch()?;
        let row = batch.put_model(&entry.id, &entry.spec.name, entry.spec.outputs.dimension)?;
        batch.commit()?;
        let engine = Engine::new(model, self.options.runtime_options()?, options.device, 1);
        let mut report = indexer::add(&mut writer, &targets, row, &engine, options, &mut progress)?;
        let batch = writer.batch()?;
        batch.count_pending()?;
        batch.commit()?;
        // Without the file of codes queries are slower and still right: no reason for all this to have failed.
        if !report.interrupted
            && let Err(error) = refresh_codes(&mut writer, &entry.id, false)
        {
            report.warnings.push(format!("the file of codes was not brought up to date: {error}"));
        }
        Ok(report)
    }

    /// Tells what [`Index::add`] would do, without reading any file or writing anything.
    ///
    /// `each` is called with the root and the step for each file, `missing` with the paths of the files that are
    /// gone, and `offline` with the roots that are not there.
    ///
    /// # Errors
    /// When a path is not there, or the database fails.
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
        let model = self.store.model(&self.active_model()?.id)?;
        let roots = self.store.roots()?;
        for target in indexer::resolve(&paths, &roots)? {
            let root = roots.iter().find(|root| root.path == target.root_path);
            if let Some(root) = root
                && indexer::health(&self.store, root)?.is_none()
            {
                offline(&root.path);
                continue;
            }
            let mut planner = Planner::new(
                &self.store,
                &target,
                root.map(|root| root.id),
                model.as_ref().map_or(ModelRow::NONE, |model| model.row),
                &options.scan,
                options.retry_failed,
            )?;
            while let Some(step) = planner.next()? {
                if options.cancel.is_cancelled() {
                    return Err(Error::Interrupted);
                }
                each(&target.root_path, step);
            }
            for file in planner.missing()? {
                if let Some(path) = self.store.present_path(file)? {
                    missing(&target.root_path.join(path));
                }
            }
        }
        Ok(())
    }

    /// How many rows of missing files, and how many contents that no file holds, [`Index::prune`] would remove.
    ///
    /// # Errors
    /// When the database fails.
    pub fn prunable(&self) -> Result<(u64, u64)> {
        Ok((self.store.missing_files()?, self.store.unused_images()?))
    }

    /// Removes the rows of missing files, and the contents that no file holds any more. No picture is touched.
    ///
    /// Returns how many rows and contents there were.
    ///
    /// # Errors
    /// When another process is writing, or the database fails.
    pub fn prune(&mut self) -> Result<(u64, u64)> {
        let mut writer = Writer::open(self.path())?;
        let batch = writer.batch()?;
        let files = batch.delete_missing()?;
        let images = batch.delete_unused_images()?;
        batch.commit()?;
        self.tidy(&mut writer)?;
        Ok((files, images))
    }

    /// The root of a path that was given to [`Index::add`].
    ///
    /// # Errors
    /// When there is no such root, or the database fails.
    pub fn root(&self, path: &Path) -> Result<Root> {
        let absolute = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or(path.to_owned());
        let roots = self.store.roots()?;
        roots.into_iter().find(|root| root.path == absolute || root.path == path).ok_or_else(|| {
            Error::Invalid(format!("`{}` is no root of the index; `imgidx status` lists them", path.display()))
        })
    }

    /// How many present picture files a root has.
    ///
    /// # Errors
    /// When the database fails.
    pub fn files_in_root(&self, root: &Root) -> Result<u64> {
        self.store.files_in_root(root.id)
    }

    /// Removes a root with its file rows, and the contents that no other file holds. No picture is touched.
    ///
    /// # Errors
    /// When another process is writing, or the database fails.
    pub fn forget(&mut self, root: &Root) -> Result<()> {
        let mut writer = Writer::open(self.path())?;
        let batch = writer.batch()?;
        batch.delete_root(root.id)?;
        batch.delete_unused_images()?;
        batch.commit()?;
        self.tidy(&mut writer)
    }

    /// Brings derived files up to date after rows were removed.
    fn tidy(&self, writer: &mut Writer) -> Result<()> {
        let batch = writer.batch()?;
        batch.count_pending()?;
        batch.commit()?;
        for model in writer.models()? {
            refresh_codes(writer, &model, false)?;
        }
        collect(writer)?;
        writer.checkpoint()
    }

    /// Brings the file of codes up to date, if it is behind, damaged or gone. Tells how many vectors it covers then,
    /// or `None` if nothing was done: there was no need, or another process is writing.
    ///
    /// # Errors
    /// When the database fails, or the file cannot be written.
    pub fn upkeep(&self) -> Result<Option<u64>> {
        let active = self.active_model()?;
        renew_codes(&self.store, &active.id)
    }

    /// Looks for damage: in every page, reference and vector of the database, and in the file of codes.
    ///
    /// With `repair`, damaged vectors are removed so that the next [`Index::add`] makes them again, and the file of
    /// codes is written again.
    ///
    /// # Errors
    /// When the database cannot be read at all, or another process is writing.
    pub fn check(&mut self, repair: bool) -> Result<Vec<CheckProblem>> {
        let active = self.active_model()?;
        let mut problems = self.store.check()?;
        let in_database = problems.len();
        problems.extend(self.check_codes(&active)?);
        let graph = self.store.model(&active.id)?.and_then(|model| damaged_graph(&self.store, &active.id, &model));
        problems.extend(graph.iter().map(|_| Problem::new("it does not match its checksums", "graph")));
        let mut repaired = vec![false; problems.len()];
        if repair && !problems.is_empty() {
            let mut writer = Writer::open(self.path())?;
            let mended = writer.repair(&problems[..in_database])?;
            repaired[..in_database].copy_from_slice(&mended);
            refresh_codes(&mut writer, &active.id, true)?;
            graph.iter().for_each(|path| derived_folder(&self.store).set_aside(path));
            repaired[in_database..].fill(true);
            let batch = writer.batch()?;
            batch.count_pending()?;
            batch.commit()?;
        }
        let told =
            |(problem, repaired): (Problem, bool)| CheckProblem { what: problem.what, place: problem.place, repaired };
        Ok(problems.into_iter().zip(repaired).map(told).collect())
    }

    fn check_codes(&self, active: &ActiveModel) -> Result<Option<Problem>> {
        let model = self.store.model(&active.id)?;
        let Some(model) = model.filter(|model| model.codes.is_some()) else { return Ok(None) };
        let row = model.row;
        let place = "file of codes";
        let Some(codes) = open_codes(&self.store, &active.id, &model) else {
            return Ok(Some(Problem::new("it is missing, cut off, or of another state of the database", place)));
        };
        if !codes.verify() {
            return Ok(Some(Problem::new("it does not match its checksum", place)));
        }
        let (covered, stored) = (codes.status().count, self.store.vectors_up_to(row, codes.status().last)?);
        let fits = stored <= covered;
        Ok((!fits).then(|| Problem::new(format!("it covers {covered} vectors, and there are {stored}"), place)))
    }

    // --- Models ----------------------------------------------------------------------------------------------------

    /// The models that can be used.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The model in use: the one that was asked for when the index was opened, or the database's own.
    ///
    /// The database's own need not be in this machine's catalog: what is stored can be used without it.
    ///
    /// # Errors
    /// When one was asked for that is not in the catalog, or the database fails.
    pub fn active_model(&self) -> Result<ActiveModel> {
        if self.options.model.is_none()
            && let (Some(name), Some(id)) = (self.store.setting(MODEL_SETTING)?, self.store.setting(MODEL_ID_SETTING)?)
        {
            let damaged = |_| Error::Damaged { path: self.path().to_owned(), reason: format!("the model id `{id}`") };
            return Ok(ActiveModel { name, id: id.parse().map_err(damaged)? });
        }
        let entry = self.catalog.entry(self.options.model.as_deref().unwrap_or(BUILTIN_NAME))?;
        Ok(ActiveModel { name: entry.spec.name, id: entry.id })
    }

    /// The model in use, with all that is needed to run it.
    fn catalog_entry(&self) -> Result<CatalogEntry> {
        let active = self.active_model()?;
        let entry = self.catalog.entry(&active.name)?;
        if entry.id != active.id {
            let reason = "the one of this name in the catalog is another one than the index was made with; \
                          `imgidx model use` it to change over";
            return Err(Error::Model { model: active.name, reason: reason.into() });
        }
        Ok(entry)
    }

    /// Sets the database to another model. Vectors of the old one stay. Returns how many pictures the new one has no
    /// vector of; the next [`Index::add`] of their directories makes them.
    ///
    /// # Errors
    /// When it is not in the catalog, or another process is writing.
    pub fn use_model(&mut self, name: &str) -> Result<u64> {
        let entry = self.catalog.entry(name)?;
        let mut writer = Writer::open(self.path())?;
        let batch = writer.batch()?;
        batch.put_model(&entry.id, &entry.spec.name, entry.spec.outputs.dimension)?;
        batch.set_setting(MODEL_SETTING, name)?;
        batch.set_setting(MODEL_ID_SETTING, &entry.id.to_string())?;
        batch.count_pending()?;
        batch.commit()?;
        Ok(writer.model(&entry.id)?.map_or(0, |model| model.pending))
    }

    // --- Reading ---------------------------------------------------------------------------------------------------

    /// Finds the `count` pictures that are most like those of the query.
    ///
    /// A picture that is in the index is not embedded again, and then ONNX Runtime is not even loaded.
    ///
    /// # Errors
    /// When a picture cannot be used, or the database, the model or ONNX Runtime fails.
    pub fn similar(&self, query: &Query, count: usize) -> Result<Answer> {
        let active = self.active_model()?;
        let model = self.store.model(&active.id)?;
        let examine_all = |images: &[QueryImage]| -> Result<Vec<Examined>> {
            images.iter().map(|image| self.examine_with(image, model.as_ref())).collect()
        };
        let (plus, minus) = (examine_all(&query.plus)?, examine_all(&query.minus)?);
        let lookup = self.lookup(&active, model);
        let _snapshot = self.store.snapshot()?;
        lookup.similar(&lookup.one_shot(), query, &plus, &minus, count)
    }

    /// The pictures whose vectors are nearest to a vector of the same model; of the query, its threshold, filter and
    /// exactness are used.
    ///
    /// # Errors
    /// When the vector has another dimension than the model's, or the database fails.
    pub fn similar_to(&self, vector: &Embedding, query: &Query, count: usize) -> Result<Answer> {
        let active = self.active_model()?;
        let _snapshot = self.store.snapshot()?;
        let lookup = self.lookup(&active, self.store.model(&active.id)?);
        lookup.similar_to(&lookup.one_shot(), query, vector, &[], count)
    }

    /// Starts a searcher, which answers queries from memory and can be used by many threads at once.
    ///
    /// # Errors
    /// When the database fails, or no thread can be started.
    pub fn searcher(&self, options: SearcherOptions) -> Result<Searcher> {
        let active = self.active_model()?;
        let (open, catalog) = (self.options.clone(), self.catalog.clone());
        let entry = self.catalog_entry().map_err(|error| error.to_string());
        let embedder: Mutex<Option<Embedder>> = Mutex::default();
        let embed = move |picture: &Picture| {
            let mut slot = embedder.lock().unwrap_or_else(PoisonError::into_inner);
            let make = || match &entry {
                Ok(entry) => new_embedder(&open, &catalog, entry),
                Err(reason) => Err(Error::Invalid(reason.clone())),
            };
            embed_one(&mut slot, make, picture)
        };
        Searcher::start(self.path().to_owned(), active.id, active.name, options, Box::new(embed))
    }

    /// Everything that is known of a picture, indexed or not.
    ///
    /// # Errors
    /// When it cannot be read or decoded, or the model or ONNX Runtime fails.
    pub fn examine(&self, image: &QueryImage) -> Result<Examined> {
        let model = self.store.model(&self.active_model()?.id)?;
        self.examine_with(image, model.as_ref())
    }

    fn examine_with(&self, image: &QueryImage, model: Option<&StoredModel>) -> Result<Examined> {
        let row = model.map_or(ModelRow::NONE, |model| model.row);
        examine(image, &self.store, row, |picture| {
            let make = || new_embedder(&self.options, &self.catalog, &self.catalog_entry()?);
            embed_one(&mut self.embedder.borrow_mut(), make, picture)
        })
    }

    fn lookup<'a>(&'a self, active: &'a ActiveModel, model: Option<StoredModel>) -> Lookup<'a> {
        Lookup { store: &self.store, model_id: active.id, model_name: &active.name, model }
    }

    /// Files that hold a content.
    ///
    /// # Errors
    /// When the database fails.
    pub fn paths_of(&self, hash: &ContentHash) -> Result<Vec<PathBuf>> {
        self.store.image(hash)?.map_or_else(|| Ok(Vec::new()), |image| self.store.paths_of(image))
    }

    /// Calls `each` with every indexed file, by root and path.
    ///
    /// # Errors
    /// When the database fails, or `each` does.
    pub fn for_each_picture(&self, each: impl FnMut(PictureRow) -> Result<()>) -> Result<()> {
        self.store.for_each_picture(each)
    }

    /// The vector and the classes that the model in use has of an indexed picture.
    ///
    /// # Errors
    /// When the database fails.
    pub fn stored_embedding(&self, picture: &PictureRow) -> Result<Option<(Embedding, Vec<Classification>)>> {
        let Some(model) = self.store.model(&self.active_model()?.id)? else { return Ok(None) };
        let Some(vector) = self.store.vector_of(picture.image, model.row)? else { return Ok(None) };
        Ok(Some((vector.embedding, self.store.classes(picture.image, model.row)?)))
    }

    /// Writes the vectors of the model in use for NumPy, and returns how many there were.
    ///
    /// # Errors
    /// When the model was never used with this index, or the files cannot be written.
    pub fn export_npy(&self, folder: &Path) -> Result<u64> {
        let active = self.active_model()?;
        let model = self
            .store
            .model(&active.id)?
            .ok_or_else(|| Error::Invalid(format!("the model `{}` was not used with this index yet", active.name)))?;
        export_npy(&self.store, model.row, model.dimension, folder)
    }

    /// What could not be indexed, and why.
    ///
    /// # Errors
    /// When the database fails.
    pub fn failures(&self) -> Result<Vec<FailureRow>> {
        self.store.failures(self.model_row()?)
    }

    /// Why files were skipped, and how many for each reason.
    ///
    /// # Errors
    /// When the database fails.
    pub fn skipped_reasons(&self) -> Result<Vec<(String, u64)>> {
        self.store.skipped_reasons()
    }

    /// The state of the index.
    ///
    /// # Errors
    /// When the database fails.
    pub fn status(&self) -> Result<Status> {
        let active = self.active_model()?;
        let model = self.store.model(&active.id)?;
        let root_status = |root: Root| {
            let files = self.store.files_in_root(root.id)?;
            Ok(RootStatus { path: root.path, state: root.state, files })
        };
        let index = self.neighbor_status(&active, model)?;
        Ok(Status {
            database: self.path().to_owned(),
            counts: self.store.counts()?,
            roots: self.store.roots()?.into_iter().map(root_status).collect::<Result<_>>()?,
            model: active.name,
            index,
            failures: self.store.count_failures(self.model_row()?)?,
        })
    }

    fn model_row(&self) -> Result<ModelRow> {
        Ok(self.store.model(&self.active_model()?.id)?.map_or(ModelRow::NONE, |model| model.row))
    }

    fn neighbor_status(&self, active: &ActiveModel, model: Option<StoredModel>) -> Result<NeighborStatus> {
        let pending = self.lookup(active, model.clone()).pending()?;
        let empty = NeighborStatus {
            rows: 0,
            snapshot: 0,
            delta: 0,
            dead: 0,
            bytes: 0,
            method: Method::Scan,
            graph: None,
            pending,
        };
        let Some(model) = model else { return Ok(empty) };
        let (rows, _) = self.store.vector_count(model.row)?;
        let codes = open_codes(&self.store, &active.id, &model).map(|codes| codes.status());
        let age = Age::of(&self.store, &model, codes.map(|codes| (codes.count, codes.last)))?;
        let graph = peek_graph(&self.store, &active.id, &model);
        let bytes = codes.map_or(0, |codes| codes.bytes);
        Ok(NeighborStatus { rows, snapshot: age.covered, delta: age.newer, dead: age.dead, bytes, graph, ..empty })
    }
}

/// An embedder for single pictures, on all cores.
fn new_embedder(options: &OpenOptions, catalog: &Catalog, entry: &CatalogEntry) -> Result<Embedder> {
    let model = catalog.load(entry)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = Runtime::load(&options.runtime_options()?)?;
    Embedder::new(&model, &runtime, Device::Cpu, threads)
}

/// Embeds one picture; the embedder is made for the first one and kept for the next.
fn embed_one(
    slot: &mut Option<Embedder>,
    make: impl FnOnce() -> Result<Embedder>,
    picture: &Picture,
) -> Result<Embedded> {
    let embedder = match slot {
        Some(embedder) => embedder,
        none => none.insert(make()?),
    };
    let pixels = Embedder::prepare(embedder.model().spec(), picture);
    let result = embedder.embed(&[pixels])?.pop().expect("one result for one picture");
    let name = &embedder.model().spec().name;
    result.map_err(|error| Error::Model { model: name.clone(), reason: error.to_string() })
}
