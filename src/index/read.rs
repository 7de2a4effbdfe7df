//! What an index tells: neighbours, single pictures, and lists of all.

use std::path::{Path, PathBuf};

use image::RgbImage;

use super::eye::ModelEye;
use super::{ActiveModel, Index};
use crate::error::{Error, Result};
use crate::media::{DecodeError, Decoded, Format};
use crate::model::{CatalogEntry, Embedded};
use crate::search::{
    Answer, DupeAnswer, DupeQuery, Examined, Eye, Filter, Lookup, Query, QueryImage, Redundant, Searcher,
    SearcherOptions, TextAnswer, TextQuery, content_of, examine, export_npy, find_dupes, find_redundant, search_text,
};
use crate::store::{ModelRow, PictureRow, StoredModel};
use crate::types::{Classification, ContentHash, Embedding, Features};

impl Index {
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

    /// Finds the `count` best pictures for a text, by labels, kinds of things, and words in paths.
    ///
    /// # Errors
    /// When the database fails.
    pub fn search(&self, query: &TextQuery, count: usize) -> Result<TextAnswer> {
        let active = self.active_model()?;
        let _snapshot = self.store.snapshot()?;
        let model = self.store.model(&active.id)?;
        let row = model.as_ref().map_or(ModelRow::NONE, |model| model.row);
        let (terms, hits) = search_text(&self.store, row, query, count)?;
        let pending = self.lookup(&active, model).pending()?;
        Ok(TextAnswer { terms, has_labels: self.has_classes()?, pending, hits, model: active.name })
    }

    /// Finds pictures that are copies of each other. Nothing is removed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn dupes(&self, query: &DupeQuery) -> Result<DupeAnswer> {
        let _snapshot = self.store.snapshot()?;
        let model = self.store.model(&self.active_model()?.id)?;
        find_dupes(&self.store, model.as_ref(), query)
    }

    /// Checks on the disk which files of duplicates may be removed: those of which another file was seen just now that is kept.
    /// Nothing is removed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn redundant(&self, answer: &DupeAnswer) -> Result<Redundant> {
        find_redundant(&self.store, &answer.groups)
    }

    /// Starts a searcher, which answers queries from memory and can be used by many threads at once.
    ///
    /// # Errors
    /// When the database fails, or no thread can be started.
    pub fn searcher(&self, options: SearcherOptions) -> Result<Searcher> {
        let active = self.active_model()?;
        Searcher::start(
            self.path().to_owned(),
            active.id,
            active.name,
            options,
            Box::new(self.new_eye(self.catalog_entry())),
        )
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
        examine(image, &self.store, row, self)
    }

    fn new_eye(&self, entry: Result<CatalogEntry>) -> ModelEye {
        ModelEye::new(self.options.clone(), self.catalog.clone(), entry)
    }

    fn eye(&self) -> Result<&ModelEye> {
        match self.eye.get() {
            Some(eye) => Ok(eye),
            None => {
                let entry = self.catalog_entry()?;
                Ok(self.eye.get_or_init(|| self.new_eye(Ok(entry))))
            }
        }
    }

    pub(super) fn lookup<'a>(&'a self, active: &'a ActiveModel, model: Option<StoredModel>) -> Lookup<'a> {
        Lookup { store: &self.store, model_id: active.id, model_name: &active.name, model }
    }

    /// Writes a copy of the last committed state of the database to a file, which is there when it is complete. It may be in use meanwhile,
    /// and be written to. `each` is told how many pages are copied, and of how many.
    ///
    /// The copy is an index like any other: opened under its own name, or put in the place of a lost one.
    ///
    /// # Errors
    /// When there is something else than an older backup at the path, it cannot be written to, or the database is damaged.
    pub fn backup(&self, to: impl AsRef<Path>, each: impl FnMut(u64, u64)) -> Result<()> {
        self.store.backup(to.as_ref(), each)
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
        self.store.image(hash)?.map_or_else(|| Ok(Vec::new()), |image| self.store.paths_of(image))
    }

    /// Calls `each` with every indexed file that passes, by root and path.
    ///
    /// # Errors
    /// When the database fails, or `each` does.
    pub fn for_each_picture(&self, filter: &Filter, each: impl FnMut(PictureRow) -> Result<()>) -> Result<()> {
        self.store.for_each_picture(&filter.selection(&self.store)?, each)
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

    /// What an indexed picture looks like; `None` if that was not measured yet by the rules of this version.
    ///
    /// # Errors
    /// When the database fails.
    pub fn stored_features(&self, picture: &PictureRow) -> Result<Option<Features>> {
        self.store.features(picture.image)
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

    pub(super) fn model_row(&self) -> Result<ModelRow> {
        Ok(self.store.model(&self.active_model()?.id)?.map_or(ModelRow::NONE, |model| model.row))
    }
}

/// Its own eye is opened for the first picture that is not indexed.
impl Eye for Index {
    fn decode_and_measure(&self, bytes: &[u8], format: Format) -> Result<std::result::Result<Decoded, DecodeError>> {
        self.eye()?.decode_and_measure(bytes, format)
    }

    fn embed(&self, pixels: RgbImage) -> Result<Embedded> {
        self.eye()?.embed(pixels)
    }
}
