//! The only reader of an index.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use image::RgbImage;
use parking_lot::Mutex;

use super::derived_files;
use super::dupes::{DupeAnswer, DupeQuery, KeepRules, Redundant, find_dupes, find_redundant};
use super::examine::{Examined, examine, read};
use super::export::export_npy;
use super::filter::Filter;
use super::lookup::{Lookup, combine};
use super::model::{ActiveModel, MODEL_ID_SETTING, MODEL_SETTING};
use super::query::{Answer, Derived, QueriedImage, Query, QueryImage};
use super::readers::{Reader, Readers};
use super::resident::{Resident, SearcherOptions, SearcherStatus};
use super::text::{Searched, TextAnswer, TextQuery, search_text};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::model::{self, BUILTIN_NAME, Catalog, CatalogEntry, Device};
use crate::options::OpenOptions;
use crate::store::{FailureRow, ModelRow, PictureRow, RunRow, Store};
use crate::types::{Classification, ContentHash, Embedding, Features, ImageId, Metadata};

/// Reads an index: similar pictures, search by words, duplicates, single pictures and lists.
///
/// A searcher is cheap to clone, and many threads can use it at once. Each query sees one snapshot of the database,
/// with everything that any process has committed before. Queries take no lock and write nothing but derived files.
///
/// By default every query opens the files that it needs, which suits a process that runs a single query.
/// [`Searcher::resident`] keeps the vector index in memory.
#[derive(Debug, Clone)]
pub struct Searcher {
    shared: Arc<Shared>,
    /// Set for a long-running process.
    resident: Option<Arc<ResidentSlot>>,
}

#[derive(Debug)]
struct Shared {
    readers: Arc<Readers>,
    options: OpenOptions,
    catalog: Catalog,
    /// The encoder, once a picture that is not indexed has needed it.
    encoder: Mutex<Option<Arc<Encoder>>>,
}

/// The place of the vector index in memory, for the model in use.
#[derive(Debug)]
struct ResidentSlot {
    options: SearcherOptions,
    index: Mutex<Option<Arc<Resident>>>,
}

impl Searcher {
    pub(crate) fn new(store: Store, options: OpenOptions) -> Result<Self> {
        let catalog = Catalog::new(&options.resolve_data_dir()?);
        let (readers, encoder) = (Arc::new(Readers::new(store)), Mutex::default());
        Ok(Self { shared: Arc::new(Shared { readers, options, catalog, encoder }), resident: None })
    }

    /// Opens the index at a path for reading, with default options.
    ///
    /// # Errors
    /// [`Error::NoIndex`] if there is none. Also fails if the file is not an index, or has a newer version.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::new(Store::open(path.as_ref())?, OpenOptions::default())
    }

    /// A searcher of the same index for a long-running process. It keeps quantized vectors in memory, and a graph if
    /// the index is large enough. Its clones share them.
    ///
    /// # Errors
    /// If the database fails, or the maintenance thread cannot be started.
    pub fn resident(&self, options: SearcherOptions) -> Result<Self> {
        let searcher = self.resident_later(options);
        searcher.warm_up()?;
        Ok(searcher)
    }

    /// Like [`Searcher::resident`], but loads nothing before [`Searcher::warm_up`] or the first query.
    pub(crate) fn resident_later(&self, options: SearcherOptions) -> Self {
        let slot = ResidentSlot { options, index: Mutex::default() };
        Self { shared: self.shared.clone(), resident: Some(Arc::new(slot)) }
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        self.shared.readers.database()
    }

    /// The options that the index was opened with.
    pub(crate) fn options(&self) -> &OpenOptions {
        &self.shared.options
    }

    pub(crate) fn reader(&self) -> Result<Reader<'_>> {
        self.shared.readers.get()
    }

    /// Makes further queries open the database again, after the file was replaced.
    pub(crate) fn reset(&self) {
        self.shared.readers.reset();
    }

    /// Finds the `count` pictures that are most similar to those of the query.
    ///
    /// The vectors of indexed pictures come from the index. If all pictures of the query are indexed, ONNX Runtime is
    /// not loaded.
    ///
    /// # Errors
    /// If a picture cannot be used, or the database, the model or ONNX Runtime fails.
    pub fn similar(&self, query: &Query, count: usize) -> Result<Answer> {
        let store = self.reader()?;
        let active = self.active(&store)?;
        let row = Lookup::new(&store, &active)?.row();
        let examine_all = |images: &[QueryImage]| -> Result<Vec<Examined>> {
            images.iter().map(|image| examine(image, &store, row, || self.encoder())).collect()
        };
        let (plus, minus) = (examine_all(&query.plus)?, examine_all(&query.minus)?);
        let direction = combine(&plus, &minus)?;
        let examined = || plus.iter().chain(&minus);
        let excluded: Vec<ImageId> = examined().filter_map(|examined| examined.row).collect();
        let answer = self.answer(&store, &active, query, &direction, &excluded, count)?;
        let queried = |examined: &Examined| -> Result<QueriedImage> {
            let paths = examined.row.map_or(Ok(Vec::new()), |image| store.paths_of(image))?;
            let Examined { path, hash, indexed, .. } = examined;
            Ok(QueriedImage { path: path.clone(), image: *hash, indexed: *indexed, paths })
        };
        Ok(Answer { query: examined().map(queried).collect::<Result<_>>()?, ..answer })
    }

    /// Finds the `count` pictures whose vectors are nearest to a vector of the same model. Only the threshold, the
    /// filter and the exactness of the query are used.
    ///
    /// # Errors
    /// If the vector does not have the dimension of the model, or the database fails.
    pub fn similar_to(&self, vector: &Embedding, query: &Query, count: usize) -> Result<Answer> {
        let store = self.reader()?;
        self.answer(&store, &self.active(&store)?, query, vector, &[], count)
    }

    fn answer(
        &self,
        store: &Store,
        active: &ActiveModel,
        query: &Query,
        direction: &Embedding,
        excluded: &[ImageId],
        count: usize,
    ) -> Result<Answer> {
        let resident = self.resident_index(active)?;
        let _snapshot = store.snapshot()?;
        let lookup = Lookup::new(store, active)?;
        let Some(resident) = resident else {
            return lookup.similar(&lookup.one_shot(), query, direction, excluded, count);
        };
        let index = resident.index.current(store, lookup.model.as_ref())?;
        let answer = lookup.similar(&index, query, direction, excluded, count)?;
        if answer.derived == Derived::Lost {
            resident.index.discard(&index);
        }
        Ok(answer)
    }

    /// The resident vector index of the model in use; `None` if this searcher is not resident.
    fn resident_index(&self, active: &ActiveModel) -> Result<Option<Arc<Resident>>> {
        let Some(slot) = &self.resident else { return Ok(None) };
        let mut index = slot.index.lock();
        if let Some(resident) = index.as_ref().filter(|resident| resident.index.model_id == active.id) {
            return Ok(Some(resident.clone()));
        }
        let resident = Resident::start(self.shared.readers.clone(), active.id, slot.options.clone())?;
        Ok(Some(index.insert(Arc::new(resident)).clone()))
    }

    /// Loads the resident vector index, so that the first query does not wait for it.
    ///
    /// # Errors
    /// If the database fails, or the maintenance thread cannot be started.
    pub fn warm_up(&self) -> Result<()> {
        self.resident_index(&self.active_model()?).map(drop)
    }

    /// Finds the `count` best pictures for a text, by labels, kinds of things and words in paths.
    ///
    /// # Errors
    /// If the database fails.
    pub fn search(&self, query: &TextQuery, count: usize) -> Result<TextAnswer> {
        let store = self.reader()?;
        let active = self.active(&store)?;
        let _snapshot = store.snapshot()?;
        let lookup = Lookup::new(&store, &active)?;
        let searched = search_text(&store, lookup.row(), query, count)?;
        let Searched { terms, understood, suggestions, is_partial, less_certain, hits } = searched;
        let (pending, has_labels) = (lookup.pending()?, self.has_classes()?);
        let model = active.name;
        Ok(TextAnswer { terms, understood, suggestions, model, has_labels, pending, is_partial, less_certain, hits })
    }

    /// Finds duplicates. Removes nothing.
    ///
    /// # Errors
    /// If the database fails.
    pub fn dupes(&self, query: &DupeQuery) -> Result<DupeAnswer> {
        let store = self.reader()?;
        let _snapshot = store.snapshot()?;
        let model = store.model(&self.active(&store)?.id)?;
        find_dupes(&store, model.as_ref(), query)
    }

    /// Checks on disk which duplicate files may be removed: those for which another file, which was just verified, is
    /// kept. `keep` are the rules of the query. Removes nothing; [`Index::act_on_duplicates`](crate::Index) does.
    ///
    /// # Errors
    /// If the database fails.
    pub fn redundant(&self, answer: &DupeAnswer, keep: &KeepRules) -> Result<Redundant> {
        find_redundant(&*self.reader()?, &answer.groups, keep)
    }

    /// Returns everything known about a picture, indexed or not.
    ///
    /// # Errors
    /// If it cannot be read or decoded, or the model or ONNX Runtime fails.
    pub fn examine(&self, image: &QueryImage) -> Result<Examined> {
        let store = self.reader()?;
        let row = self.model_row(&store)?;
        examine(image, &store, row, || self.encoder())
    }

    /// A picture, upright and scaled down to at most `side` pixels on each side.
    ///
    /// # Errors
    /// [`Error::Picture`] if it cannot be read or decoded.
    pub fn thumbnail(&self, path: &Path, side: u32) -> Result<RgbImage> {
        self.shared.options.thumbnail(path, side)
    }

    /// Writes a copy of the last committed state of the database to a file, which appears when it is complete. Other
    /// processes can use and change the database meanwhile. `each` is called with the number of pages copied so far and
    /// the number of all pages.
    ///
    /// The copy is a complete index. It can be opened under its own name, or replace a lost one.
    ///
    /// # Errors
    /// If the path exists and is not an older backup, the file cannot be written, or the database is damaged.
    pub fn backup(&self, to: impl AsRef<Path>, each: impl FnMut(u64, u64)) -> Result<()> {
        self.reader()?.backup(to.as_ref(), each)
    }

    /// The digest of a picture's content, indexed or not.
    ///
    /// # Errors
    /// If it cannot be read, or is not a picture.
    pub fn content_of(&self, image: &QueryImage) -> Result<ContentHash> {
        read(image).map(|content| content.hash)
    }

    /// The files that hold a content.
    ///
    /// # Errors
    /// If the database fails.
    pub fn paths_of(&self, hash: &ContentHash) -> Result<Vec<PathBuf>> {
        let store = self.reader()?;
        store.image(hash)?.map_or_else(|| Ok(Vec::new()), |image| store.paths_of(image))
    }

    /// Calls `each` with every indexed file that passes the filter, sorted by root and path.
    ///
    /// # Errors
    /// If the database or `each` fails.
    pub fn for_each_picture(&self, filter: &Filter, each: impl FnMut(PictureRow) -> Result<()>) -> Result<()> {
        let store = self.reader()?;
        store.for_each_picture(&filter.selection(&store)?, each)
    }

    /// The vector and the classes of an indexed picture from the model in use; `None` if it has no vector.
    ///
    /// # Errors
    /// If the database fails.
    pub fn stored_embedding(&self, picture: &PictureRow) -> Result<Option<(Embedding, Vec<Classification>)>> {
        let store = self.reader()?;
        let row = self.model_row(&store)?;
        let Some(vector) = store.vector_of(picture.image, row)? else { return Ok(None) };
        Ok(Some((vector.embedding, store.classes(picture.image, row)?)))
    }

    /// What an indexed picture says of itself, and what an XMP file beside one of its files says instead; `None` if that
    /// has not been read.
    ///
    /// # Errors
    /// If the database fails.
    pub fn stored_metadata(&self, picture: &PictureRow) -> Result<Option<Metadata>> {
        self.reader()?.metadata_of(picture.image)
    }

    /// The visual features of an indexed picture; `None` if they have not been measured by the rules of this version.
    ///
    /// # Errors
    /// If the database fails.
    pub fn stored_features(&self, picture: &PictureRow) -> Result<Option<Features>> {
        self.reader()?.features(picture.image)
    }

    /// Writes the vectors of the model in use as a NumPy array to a folder, with the paths of their files, and returns
    /// their number.
    ///
    /// # Errors
    /// If the model has never been used with this index, or the files cannot be written.
    pub fn export_npy(&self, folder: &Path) -> Result<u64> {
        let store = self.reader()?;
        let active = self.active(&store)?;
        let model = store.model(&active.id)?.ok_or_else(|| {
            Error::Invalid(format!("the model `{}` has not been used with this index yet", active.name))
        })?;
        export_npy(&store, model.row, model.dimension, folder)
    }

    /// Number of indexed pictures that have not been measured by the rules of this version. Their types and colours are
    /// unknown.
    ///
    /// # Errors
    /// If the database fails.
    pub fn unmeasured(&self) -> Result<u64> {
        let store = self.reader()?;
        store.unmeasured(store.held()?)
    }

    /// The files that could not be indexed, and the reasons.
    ///
    /// # Errors
    /// If the database fails.
    pub fn failures(&self) -> Result<Vec<FailureRow>> {
        let store = self.reader()?;
        store.failures(self.model_row(&store)?)
    }

    /// The files that were skipped because they are not pictures that can be indexed, and the reasons.
    ///
    /// # Errors
    /// If the database fails.
    pub fn skipped(&self) -> Result<Vec<FailureRow>> {
        self.reader()?.skipped()
    }

    /// The reasons for which files were skipped, with the number of files for each, in the folders of a filter. Its
    /// other conditions are ignored.
    ///
    /// # Errors
    /// If the database fails.
    pub fn skipped_reasons(&self, filter: &Filter) -> Result<Vec<(String, u64)>> {
        let store = self.reader()?;
        store.skipped_reasons(filter.subtrees(&store)?)
    }

    /// The folders of a filter below which no file is indexed.
    ///
    /// # Errors
    /// If the database fails.
    pub fn empty_folders(&self, filter: &Filter) -> Result<Vec<PathBuf>> {
        filter.empty_folders(&*self.reader()?)
    }

    /// The last runs of [`Index::add`](crate::Index::add), newest first. The index keeps a hundred.
    ///
    /// # Errors
    /// If the database fails.
    pub fn runs(&self, count: usize) -> Result<Vec<RunRow>> {
        self.reader()?.runs(count)
    }

    /// Rewrites the quantized vectors if they are out of date, damaged or missing. Returns how many vectors they cover
    /// then, or `None` if nothing was done, because it was not necessary or another process is writing.
    ///
    /// # Errors
    /// If the database fails, or the file cannot be written.
    pub fn maintain(&self) -> Result<Option<u64>> {
        let store = self.reader()?;
        derived_files::renew_codes(&store, &self.active(&store)?.id)
    }

    /// What a resident searcher keeps in memory; `None` if it keeps nothing.
    pub fn resident_status(&self) -> Option<SearcherStatus> {
        self.loaded_index().map(|resident| resident.index.status())
    }

    /// Waits until the maintenance thread of a resident searcher has no work left.
    pub fn wait_until_settled(&self) {
        if let Some(resident) = self.loaded_index() {
            resident.index.wait_until_settled();
        }
    }

    fn loaded_index(&self) -> Option<Arc<Resident>> {
        self.resident.as_ref()?.index.lock().clone()
    }

    /// The available models.
    pub fn catalog(&self) -> &Catalog {
        &self.shared.catalog
    }

    /// The model in use: the one named when the index was opened, otherwise the one stored in the database.
    ///
    /// The latter need not be in this machine's catalog: stored vectors can be used without it.
    ///
    /// # Errors
    /// If the named model is not in the catalog, or the database fails.
    pub fn active_model(&self) -> Result<ActiveModel> {
        self.active(&*self.reader()?)
    }

    /// The catalog entry of the model in use, which is needed to run it.
    pub(crate) fn catalog_entry(&self) -> Result<CatalogEntry> {
        let active = self.active_model()?;
        let entry = self.shared.catalog.entry(&active.name)?;
        if entry.id != active.id {
            let reason = "the catalog's model of this name is not the one that the index was made with; \
                          `imgidx model use` switches to it";
            return Err(model::Error::Model { model: active.name, reason: reason.into() }.into());
        }
        Ok(entry)
    }

    /// Whether the model in use assigns labels in addition to vectors.
    ///
    /// # Errors
    /// If the database fails.
    pub fn has_classes(&self) -> Result<bool> {
        match self.catalog_entry() {
            Ok(entry) => Ok(entry.spec.outputs.logits.is_some()),
            // The model is not in this machine's catalog, so the stored labels decide.
            Err(_) => {
                let store = self.reader()?;
                store.has_classes(self.model_row(&store)?)
            }
        }
    }

    pub(super) fn active(&self, store: &Store) -> Result<ActiveModel> {
        let named = self.shared.options.model.as_deref();
        if named.is_none()
            && let (Some(name), Some(id)) = (store.setting(MODEL_SETTING)?, store.setting(MODEL_ID_SETTING)?)
        {
            let reason = format!("invalid model id `{id}`");
            let damaged = |_| Error::Damaged { path: store.path().to_owned(), reason };
            return Ok(ActiveModel { name, id: id.parse().map_err(damaged)? });
        }
        let entry = self.shared.catalog.entry(named.unwrap_or(BUILTIN_NAME))?;
        Ok(ActiveModel { name: entry.spec.name, id: entry.id })
    }

    pub(super) fn model_row(&self, store: &Store) -> Result<ModelRow> {
        Ok(Lookup::new(store, &self.active(store)?)?.row())
    }

    /// The encoder of the model in use: the one that indexing uses, if any, otherwise a new one on the CPU.
    pub(crate) fn encoder(&self) -> Result<Arc<Encoder>> {
        let active = self.active_model()?;
        let encoders = self.shared.options.encoders();
        let encoder = match encoders.get(active.id) {
            Some(encoder) => encoder,
            None => {
                let entry = self.catalog_entry()?;
                encoders.get_on(entry.id, Device::Cpu, || self.new_encoder(&entry, Device::Cpu, None, 1))?
            }
        };
        *self.shared.encoder.lock() = Some(encoder.clone());
        Ok(encoder)
    }

    /// An encoder of a model, with nothing loaded. `preferred` and `threads` are what `tune` has found.
    pub(crate) fn new_encoder(
        &self,
        entry: &CatalogEntry,
        device: Device,
        preferred: Option<Device>,
        threads: usize,
    ) -> Result<Encoder> {
        let (model, options) = (self.shared.catalog.load(entry)?, &self.shared.options);
        let (runtime, sandbox) = (options.runtime_options()?, options.sandbox().clone());
        Ok(Encoder::new(model, runtime, sandbox, device, preferred, threads))
    }

    /// Whether the model is in memory.
    pub fn is_model_loaded(&self) -> bool {
        self.shared.encoder.lock().as_ref().is_some_and(|encoder| encoder.is_loaded())
    }

    /// Unloads the model if neither a query nor indexing has used it for this long. Otherwise returns how long to wait
    /// before the next call. Returns `None` if the model is not loaded.
    pub fn unload_model_after(&self, idle: Duration) -> Option<Duration> {
        let encoder = self.shared.encoder.lock().clone();
        encoder?.unload_after(idle)
    }
}
