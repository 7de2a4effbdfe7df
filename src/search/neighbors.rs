//! Neighbours of a query's vector, joined to the files that hold them; and the upkeep of what makes that fast.

use std::path::PathBuf;

use super::examine::Examined;
use super::query::{Answer, Hit, QueriedImage, Query};
use crate::ann::{Codes, VectorIndex, VectorSource};
use crate::error::{Error, Result};
use crate::store::{ModelRow, Store, StoredModel, Writer};
use crate::types::{Embedding, ModelId, VectorId};

/// Where a model's vectors are looked up.
pub(crate) struct Lookup<'a> {
    pub store: &'a Store,
    pub model_id: ModelId,
    pub model_name: &'a str,
    /// `None` if the model was never used with this database.
    pub model: Option<StoredModel>,
}

/// One model's vectors in the database.
struct ModelVectors<'a> {
    store: &'a Store,
    model: ModelRow,
}

impl VectorSource for ModelVectors<'_> {
    fn vector(&self, id: VectorId) -> Result<Option<Embedding>> {
        Ok(self.store.vector(id, self.model)?.map(|vector| vector.embedding))
    }

    fn for_each_after(&self, after: VectorId, each: &mut dyn FnMut(VectorId, &Embedding)) -> Result<()> {
        self.store.for_each_vector(self.model, after, |vector| {
            each(vector.id, &vector.embedding);
            Ok(())
        })
    }
}

impl Lookup<'_> {
    /// The `count` pictures most like the examined ones, none of them among the answers.
    ///
    /// # Errors
    /// When the pictures cancel each other out, or the database fails.
    pub fn similar(&self, query: &Query, plus: &[Examined], minus: &[Examined], count: usize) -> Result<Answer> {
        let direction = combine(plus, minus)?;
        let index = VectorIndex::new(self.codes());
        let mut hits = Vec::new();
        if let Some(model) = &self.model {
            let source = ModelVectors { store: self.store, model: model.row };
            let rows: Vec<_> = plus.iter().chain(minus).filter_map(|examined| examined.row).collect();
            let mut accept = |id| Ok(self.store.present_image_of(id)?.is_some_and(|image| !rows.contains(&image)));
            for neighbor in index.nearest(&direction, count, &source, &mut accept)? {
                if query.threshold.is_some_and(|threshold| neighbor.score < threshold) {
                    break;
                }
                hits.extend(self.hit(neighbor.id, neighbor.score)?);
            }
        }
        let queried = |examined: &Examined| QueriedImage {
            path: examined.path.clone(),
            image: examined.hash,
            indexed: examined.indexed,
        };
        Ok(Answer {
            query: plus.iter().chain(minus).map(queried).collect(),
            model: self.model_name.to_owned(),
            method: index.method(),
            hits,
            pending: self.pending()?,
        })
    }

    /// How many pictures the model has no vector of.
    pub fn pending(&self) -> Result<u64> {
        match &self.model {
            Some(model) => Ok(model.pending),
            None => Ok(self.store.counts()?.images),
        }
    }

    /// The file of codes, if there is one that belongs to this state of the database.
    pub fn codes(&self) -> Option<Codes> {
        let model = self.model.as_ref()?;
        Codes::open(&folder(self.store), &self.model_id, model.dimension, model.codes.as_deref()?)
    }

    fn hit(&self, id: VectorId, score: f32) -> Result<Option<Hit>> {
        let Some(image) = self.store.present_image_of(id)? else { return Ok(None) };
        let Some(picture) = self.store.picture(image)? else { return Ok(None) };
        let paths = self.store.paths_of(image)?;
        Ok(Some(Hit { score, image: picture.hash, path: picture.path, paths }))
    }
}

/// The direction of all that is wanted, less all that is not.
fn combine(plus: &[Examined], minus: &[Examined]) -> Result<Embedding> {
    let dimension = plus.first().map_or(0, |examined| examined.embedding.dimension());
    let mut sum = vec![0.0_f32; dimension];
    for (sign, examined) in plus.iter().map(|e| (1.0, e)).chain(minus.iter().map(|e| (-1.0, e))) {
        for (sum, x) in sum.iter_mut().zip(examined.embedding.as_slice()) {
            *sum += sign * x;
        }
    }
    // Of a picture minus itself only rounding errors are left.
    if sum.iter().all(|x| x.abs() < 1e-6) {
        return Err(Error::Invalid("the pictures of the query cancel each other out".into()));
    }
    Embedding::normalized(sum).map_err(|error| Error::Invalid(format!("the query has no direction: {error}")))
}

/// The folder of derived files.
fn folder(store: &Store) -> PathBuf {
    Store::beside(store.path(), "-ann")
}

/// Vectors that may be newer than the file of codes before it is written again, at least.
const SMALL_DELTA: u64 = 512;

/// Writes the file of codes again when too many vectors are newer than it, or are gone. `force` always does.
///
/// # Errors
/// When it cannot be written, which leaves queries slower but right.
pub(crate) fn refresh_codes(writer: &mut Writer, model_id: &ModelId, force: bool) -> Result<()> {
    let Some(model) = writer.model(model_id)? else { return Ok(()) };
    let (count, _) = writer.vector_count(model.row)?;
    let lookup = Lookup { store: writer, model_id: *model_id, model_name: "", model: Some(model.clone()) };
    let (covered, alive) = match lookup.codes() {
        Some(codes) => (codes.status().count, writer.vectors_up_to(model.row, codes.status().last)?),
        None => (0, 0),
    };
    let (newer, dead) = (count - alive, covered - alive.min(covered));
    if !force && newer <= SMALL_DELTA.max(count / 10) && dead <= SMALL_DELTA.max(covered / 5) {
        return Ok(());
    }
    let status = Codes::write(&folder(writer), model_id, model.dimension, |each| {
        writer.for_each_vector(model.row, VectorId(0), |vector| each(vector.id, vector.embedding.as_slice()))
    })?;
    let batch = writer.batch()?;
    batch.set_codes(model.row, &status.checksum.to_hex())?;
    batch.commit()
}
