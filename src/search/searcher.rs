//! The one reader of an index.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use image::RgbImage;

use super::derived_files;
use super::dupes::{DupeAnswer, DupeQuery, Redundant, find_dupes, find_redundant};
use super::examine::{Examined, content_of, examine};
use super::export::export_npy;
use super::filter::Filter;
use super::lookup::Lookup;
use super::model::{ActiveModel, active_model};
use super::query::{Answer, Derived, Query, QueryImage};
use super::readers::{Reader, Readers, locked};
use super::resident::{Resident, SearcherOptions, SearcherStatus};
use super::text::{TextAnswer, TextQuery, search_text};
use crate::ann::VectorIndex;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::model::{self, Catalog, CatalogEntry, Device};
use crate::options::OpenOptions;
use crate::store::{FailureRow, ModelRow, PictureRow, RunRow, Store, StoredModel};
use crate::types::{Classification, ContentHash, Embedding, Features};

/// Reads an index: neighbours, words, duplicates, single pictures and lists.
///
/// It is cheap to clone, and many threads can use it at once. Each query sees one snapshot of the database: what any process has
/// committed is in the answer of the next one. Nothing is locked, and nothing is written but derived files.
///
/// By default every query opens what it needs, which suits a process that asks once. [`Searcher::resident`] keeps the vector index in
/// memory.
#[derive(Debug, Clone)]
pub struct Searcher {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    readers: Arc<Readers>,
    pub(super) options: OpenOptions,
    pub(super) catalog: Catalog,
    /// The model at work, once a picture that is not indexed has needed it.
    encoder: Mutex<Option<Arc<Encoder>>>,
    /// For a process that stays.
    residence: Option<Residence>,
}

/// The vector index in memory, of the model in use.
#[derive(Debug)]
struct Residence {
    options: SearcherOptions,
    resident: Mutex<Option<Arc<Resident>>>,
}

impl Searcher {
    pub(crate) fn new(store: Store, options: OpenOptions) -> Result<Self> {
        let catalog = Catalog::new(&options.resolve_data_dir()?);
        let (readers, encoder) = (Arc::new(Readers::new(store)), Mutex::default());
        Ok(Self { shared: Arc::new(Shared { readers, options, catalog, encoder, residence: None }) })
    }

    /// Opens the index at a path for reading, with default options.
    ///
    /// # Errors
    /// [`Error::NoIndex`] if there is none, and when the file is no index or of a newer version.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::new(Store::open(path.as_ref())?, OpenOptions::default())
    }

    /// A searcher of the same index that keeps quantized vectors, and from some size on a graph, in memory, for a process that stays.
    /// Its clones share them.
    ///
    /// # Errors
    /// When the database fails, or no thread can be started.
    pub fn resident(&self, options: SearcherOptions) -> Result<Self> {
        let searcher = self.resident_later(options);
        searcher.warm_up()?;
        Ok(searcher)
    }

    /// As [`Searcher::resident`], but nothing is in memory before [`Searcher::warm_up`] or the first query.
    pub(crate) fn resident_later(&self, options: SearcherOptions) -> Self {
        let Shared { readers, options: open, catalog, encoder, .. } = &*self.shared;
        let (readers, open, catalog) = (readers.clone(), open.clone(), catalog.clone());
        let (encoder, residence) =
            (Mutex::new(locked(encoder).clone()), Residence { options, resident: Mutex::default() });
        let shared = Shared { readers, options: open, catalog, encoder, residence: Some(residence) };
        Self { shared: Arc::new(shared) }
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        self.shared.readers.database()
    }

    /// The options that it was opened with.
    pub(crate) fn options(&self) -> &OpenOptions {
        &self.shared.options
    }

    pub(crate) fn reader(&self) -> Result<Reader<'_>> {
        self.shared.readers.get()
    }

    /// Has further queries open the database anew, because another file is in its place.
    pub(crate) fn reset(&self) {
        self.shared.readers.reset();
    }

    /// Finds the `count` pictures that are most like those of the query.
    ///
    /// A picture that is in the index is not embedded again, and then ONNX Runtime is not even loaded.
    ///
    /// # Errors
    /// When a picture cannot be used, or the database, the model or ONNX Runtime fails.
    pub fn similar(&self, query: &Query, count: usize) -> Result<Answer> {
        let store = self.reader()?;
        let active = self.active(&store)?;
        let model = store.model(&active.id)?;
        let row = model.as_ref().map_or(ModelRow::NONE, |model| model.row);
        let examine_all = |images: &[QueryImage]| -> Result<Vec<Examined>> {
            images.iter().map(|image| examine(image, &store, row, || self.encoder())).collect()
        };
        let (plus, minus) = (examine_all(&query.plus)?, examine_all(&query.minus)?);
        self.answer(&store, &active, model, |lookup, index| lookup.similar(index, query, &plus, &minus, count))
    }

    /// The pictures whose vectors are nearest to a vector of the same model; of the query, its threshold, filter and
    /// exactness are used.
    ///
    /// # Errors
    /// When the vector has another dimension than the model's, or the database fails.
    pub fn similar_to(&self, vector: &Embedding, query: &Query, count: usize) -> Result<Answer> {
        let store = self.reader()?;
        let active = self.active(&store)?;
        let model = store.model(&active.id)?;
        self.answer(&store, &active, model, |lookup, index| lookup.similar_to(index, query, vector, &[], count))
    }

    fn answer(
        &self,
        store: &Store,
        active: &ActiveModel,
        model: Option<StoredModel>,
        ask: impl FnOnce(&Lookup<'_>, &VectorIndex) -> Result<Answer>,
    ) -> Result<Answer> {
        let resident = self.resident_index(active)?;
        let _snapshot = store.snapshot()?;
        let lookup = Lookup { store, model_id: active.id, model_name: &active.name, model };
        let Some(resident) = resident else { return ask(&lookup, &lookup.one_shot()) };
        let index = resident.index().current(store, lookup.model.as_ref())?;
        let answer = ask(&lookup, &index)?;
        if answer.derived == Derived::Lost {
            resident.index().lose(&index);
        }
        Ok(answer)
    }

    /// The vector index in memory for the model in use, if this is a process that stays.
    fn resident_index(&self, active: &ActiveModel) -> Result<Option<Arc<Resident>>> {
        let Some(residence) = &self.shared.residence else { return Ok(None) };
        let mut slot = locked(&residence.resident);
        if let Some(resident) = slot.as_ref().filter(|resident| resident.index().model_id == active.id) {
            return Ok(Some(resident.clone()));
        }
        let resident = Resident::start(self.shared.readers.clone(), active.id, residence.options.clone())?;
        Ok(Some(slot.insert(Arc::new(resident)).clone()))
    }

    /// Loads what queries need, so that the first one does not wait for it.
    ///
    /// # Errors
    /// When the database fails, or no thread can be started.
    pub fn warm_up(&self) -> Result<()> {
        self.resident_index(&self.active_model()?).map(drop)
    }

    /// Finds the `count` best pictures for a text, by labels, kinds of things, and words in paths.
    ///
    /// # Errors
    /// When the database fails.
    pub fn search(&self, query: &TextQuery, count: usize) -> Result<TextAnswer> {
        let store = self.reader()?;
        let active = self.active(&store)?;
        let _snapshot = store.snapshot()?;
        let model = store.model(&active.id)?;
        let row = model.as_ref().map_or(ModelRow::NONE, |model| model.row);
        let (terms, hits) = search_text(&store, row, query, count)?;
        let lookup = Lookup { store: &store, model_id: active.id, model_name: &active.name, model };
        let pending = lookup.pending()?;
        Ok(TextAnswer { terms, has_labels: self.has_classes()?, pending, hits, model: active.name })
    }

    /// Finds pictures that are copies of each other. Nothing is removed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn dupes(&self, query: &DupeQuery) -> Result<DupeAnswer> {
        let store = self.reader()?;
        let _snapshot = store.snapshot()?;
        let model = store.model(&self.active(&store)?.id)?;
        find_dupes(&store, model.as_ref(), query)
    }

    /// Checks on the disk which files of duplicates may be removed: those of which another file, seen just now, is kept. Nothing is
    /// removed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn redundant(&self, answer: &DupeAnswer) -> Result<Redundant> {
        find_redundant(&*self.reader()?, &answer.groups)
    }

    /// Everything that is known of a picture, indexed or not.
    ///
    /// # Errors
    /// When it cannot be read or decoded, or the model or ONNX Runtime fails.
    pub fn examine(&self, image: &QueryImage) -> Result<Examined> {
        let store = self.reader()?;
        let row = self.model_row(&store)?;
        examine(image, &store, row, || self.encoder())
    }

    /// A picture, upright and scaled down to at most this many pixels a side.
    ///
    /// # Errors
    /// [`Error::Picture`] when it cannot be read or decoded.
    pub fn thumbnail(&self, path: &Path, side: u32) -> Result<RgbImage> {
        self.shared.options.thumbnail(path, side)
    }

    /// Writes a copy of the last committed state of the database to a file, which appears when it is complete. The database may be in
    /// use and be written to meanwhile. `each` is called with the number of pages copied, and of all pages.
    ///
    /// The copy is an index like any other: opened under its own name, or put in the place of a lost one.
    ///
    /// # Errors
    /// When there is something else than an older backup at the path, it cannot be written to, or the database is damaged.
    pub fn backup(&self, to: impl AsRef<Path>, each: impl FnMut(u64, u64)) -> Result<()> {
        self.reader()?.backup(to.as_ref(), each)
    }

    /// The digest of a picture's content, indexed or not.
    ///
    /// # Errors
    /// When it cannot be read, or is no picture.
    pub fn content_of(&self, image: &QueryImage) -> Result<ContentHash> {
        content_of(image)
    }

    /// Files that hold a content.
    ///
    /// # Errors
    /// When the database fails.
    pub fn paths_of(&self, hash: &ContentHash) -> Result<Vec<PathBuf>> {
        let store = self.reader()?;
        store.image(hash)?.map_or_else(|| Ok(Vec::new()), |image| store.paths_of(image))
    }

    /// Calls `each` with every indexed file that passes the filter, by root and path.
    ///
    /// # Errors
    /// When the database fails, or `each` does.
    pub fn for_each_picture(&self, filter: &Filter, each: impl FnMut(PictureRow) -> Result<()>) -> Result<()> {
        let store = self.reader()?;
        store.for_each_picture(&filter.selection(&store)?, each)
    }

    /// The vector and the classes that the model in use has of an indexed picture.
    ///
    /// # Errors
    /// When the database fails.
    pub fn stored_embedding(&self, picture: &PictureRow) -> Result<Option<(Embedding, Vec<Classification>)>> {
        let store = self.reader()?;
        let Some(model) = store.model(&self.active(&store)?.id)? else { return Ok(None) };
        let Some(vector) = store.vector_of(picture.image, model.row)? else { return Ok(None) };
        Ok(Some((vector.embedding, store.classes(picture.image, model.row)?)))
    }

    /// What an indexed picture looks like; `None` if the rules of this version have not measured it yet.
    ///
    /// # Errors
    /// When the database fails.
    pub fn stored_features(&self, picture: &PictureRow) -> Result<Option<Features>> {
        self.reader()?.features(picture.image)
    }

    /// Writes the vectors of the model in use for NumPy, and returns how many there were.
    ///
    /// # Errors
    /// When the model was never used with this index, or the files cannot be written.
    pub fn export_npy(&self, folder: &Path) -> Result<u64> {
        let store = self.reader()?;
        let active = self.active(&store)?;
        let never_used = || Error::Invalid(format!("the model `{}` was not used with this index yet", active.name));
        let model = store.model(&active.id)?.ok_or_else(never_used)?;
        export_npy(&store, model.row, model.dimension, folder)
    }

    /// How many indexed pictures the rules of this version have not measured yet: their types and colours are unknown.
    ///
    /// # Errors
    /// When the database fails.
    pub fn unmeasured(&self) -> Result<u64> {
        let store = self.reader()?;
        store.unmeasured(store.held()?)
    }

    /// What could not be indexed, and why.
    ///
    /// # Errors
    /// When the database fails.
    pub fn failures(&self) -> Result<Vec<FailureRow>> {
        let store = self.reader()?;
        store.failures(self.model_row(&store)?)
    }

    /// Why files were skipped, and how many for each reason.
    ///
    /// # Errors
    /// When the database fails.
    pub fn skipped_reasons(&self) -> Result<Vec<(String, u64)>> {
        self.reader()?.skipped_reasons()
    }

    /// How the last runs of [`Index::add`](crate::Index::add) went, the latest one first; a hundred are kept.
    ///
    /// # Errors
    /// When the database fails.
    pub fn runs(&self, count: usize) -> Result<Vec<RunRow>> {
        self.reader()?.runs(count)
    }

    /// Brings the quantized vectors up to date, if they are behind, damaged or gone. Returns how many vectors they cover then, or
    /// `None` if nothing was done: there was no need, or another process is writing.
    ///
    /// # Errors
    /// When the database fails, or the file cannot be written.
    pub fn maintain(&self) -> Result<Option<u64>> {
        let store = self.reader()?;
        derived_files::renew_codes(&store, &self.active(&store)?.id)
    }

    /// What a resident searcher keeps in memory at present; `None` if it keeps nothing.
    pub fn resident_status(&self) -> Option<SearcherStatus> {
        self.held_index().map(|resident| resident.status())
    }

    /// Waits until what a resident searcher keeps in memory is as current as it is going to be.
    pub fn wait_until_settled(&self) {
        if let Some(resident) = self.held_index() {
            resident.wait_until_settled();
        }
    }

    fn held_index(&self) -> Option<Arc<Resident>> {
        locked(&self.shared.residence.as_ref()?.resident).clone()
    }

    /// The models that can be used.
    pub fn catalog(&self) -> &Catalog {
        &self.shared.catalog
    }

    /// The model in use: the one that was asked for when the index was opened, or the database's own.
    ///
    /// The database's own need not be in this machine's catalog: what is stored can be used without it.
    ///
    /// # Errors
    /// When one was asked for that is not in the catalog, or the database fails.
    pub fn active_model(&self) -> Result<ActiveModel> {
        active_model(&*self.reader()?, &self.shared.options, &self.shared.catalog)
    }

    /// The model in use, with all that is needed to run it.
    pub(crate) fn catalog_entry(&self) -> Result<CatalogEntry> {
        let active = self.active_model()?;
        let entry = self.shared.catalog.entry(&active.name)?;
        if entry.id != active.id {
            let reason = "the catalog has another model of this name than the index was made with; \
                          `imgidx model use` changes over to it";
            return Err(model::Error::Model { model: active.name, reason: reason.into() }.into());
        }
        Ok(entry)
    }

    /// Whether the model in use gives labels beside vectors.
    ///
    /// # Errors
    /// When the database fails.
    pub fn has_classes(&self) -> Result<bool> {
        match self.catalog_entry() {
            Ok(entry) => Ok(entry.spec.outputs.logits.is_some()),
            // This machine does not have the model; the stored labels answer.
            Err(_) => {
                let store = self.reader()?;
                let model = store.model(&self.active_model()?.id)?;
                store.has_classes(model.map_or(ModelRow::NONE, |model| model.row))
            }
        }
    }

    pub(super) fn active(&self, store: &Store) -> Result<ActiveModel> {
        active_model(store, &self.shared.options, &self.shared.catalog)
    }

    pub(super) fn model_row(&self, store: &Store) -> Result<ModelRow> {
        Ok(store.model(&self.active(store)?.id)?.map_or(ModelRow::NONE, |model| model.row))
    }

    /// The encoder of the model in use: the one that indexing uses, if any, or one of its own.
    pub(crate) fn encoder(&self) -> Result<Arc<Encoder>> {
        let active = self.active_model()?;
        let used = match self.shared.options.encoders().get(active.id) {
            Some(encoder) => encoder,
            None => {
                let entry = self.catalog_entry()?;
                self.shared.options.encoders().get_on(entry.id, Device::Cpu, || {
                    let (model, runtime) = (self.shared.catalog.load(&entry)?, self.shared.options.runtime_options()?);
                    Ok(Encoder::new(model, runtime, self.shared.options.sandbox().clone(), Device::Cpu, None, 1))
                })?
            }
        };
        *locked(&self.shared.encoder) = Some(used.clone());
        Ok(used)
    }

    /// Whether the model is in memory.
    pub fn is_model_loaded(&self) -> bool {
        locked(&self.shared.encoder).as_ref().is_some_and(|encoder| encoder.is_loaded())
    }

    /// Frees the memory of the model if nothing, be it a query or indexing, has used it for this long. Otherwise returns how long to
    /// wait before asking again; `None` if it is not loaded.
    pub fn unload_model_after(&self, idle: Duration) -> Option<Duration> {
        let encoder = locked(&self.shared.encoder).clone();
        encoder?.unload_after(idle)
    }
}
