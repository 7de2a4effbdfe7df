//! Nearest neighbours of a query's vector, with the files that hold them.

use super::derived_files::{Age, derived_folder, open_codes};
use super::examine::Examined;
use super::query::{Answer, Derived, Hit, QueriedImage, Query};
use crate::ann::{Found, NeighborQuery, VectorIndex, VectorSource};
use crate::error::{Error, Result};
use crate::store::{ModelRow, Store, StoredModel};
use crate::types::{Embedding, ImageId, ModelId, VectorId};

/// Access to a model's vectors and their files.
pub(crate) struct Lookup<'a> {
    pub store: &'a Store,
    pub model_id: ModelId,
    pub model_name: &'a str,
    /// `None` if the model has never been used with this database.
    pub model: Option<StoredModel>,
}

/// The stored vectors of one model.
struct ModelVectors<'a> {
    store: &'a Store,
    model: ModelRow,
}

impl VectorSource for ModelVectors<'_> {
    type Error = Error;

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
    /// A vector index for a single query.
    pub(crate) fn one_shot(&self) -> VectorIndex {
        let codes = self.model.as_ref().and_then(|model| open_codes(self.store, &self.model_id, model));
        VectorIndex::new(codes.map(Into::into))
    }

    /// The `count` pictures most similar to the examined ones, which are not among the results.
    ///
    /// # Errors
    /// If the pictures cancel each other out, or the database fails.
    pub(crate) fn similar(
        &self,
        index: &VectorIndex,
        query: &Query,
        plus: &[Examined],
        minus: &[Examined],
        count: usize,
    ) -> Result<Answer> {
        let direction = combine(plus, minus)?;
        let excluded: Vec<_> = plus.iter().chain(minus).filter_map(|examined| examined.row).collect();
        let queried = |examined: &Examined| QueriedImage {
            path: examined.path.clone(),
            image: examined.hash,
            indexed: examined.indexed,
        };
        let answer = self.similar_to(index, query, &direction, &excluded, count)?;
        Ok(Answer { query: plus.iter().chain(minus).map(queried).collect(), ..answer })
    }

    /// The `count` pictures with the nearest vectors, without the excluded ones.
    ///
    /// # Errors
    /// If the vector has the wrong dimension, or the database fails.
    pub(crate) fn similar_to(
        &self,
        index: &VectorIndex,
        query: &Query,
        direction: &Embedding,
        excluded: &[ImageId],
        count: usize,
    ) -> Result<Answer> {
        let mut answer = Answer {
            query: Vec::new(),
            model: self.model_name.to_owned(),
            method: index.method(),
            hits: Vec::new(),
            pending: self.pending()?,
            derived: Derived::Current,
        };
        let Some(model) = &self.model else { return Ok(answer) };
        if direction.dimension() != model.dimension {
            let (given, expected) = (direction.dimension(), model.dimension);
            return Err(Error::Invalid(format!(
                "the vector has {given} components, but those of the model have {expected}"
            )));
        }
        let found = self.nearest(index, model, query, direction, excluded, count)?;
        answer.method = found.method;
        answer.derived = self.derived(index, model, &found);
        for neighbor in found.neighbors {
            if query.threshold.is_some_and(|threshold| neighbor.score < threshold) {
                break;
            }
            answer.hits.extend(self.hit(neighbor.id, neighbor.score)?);
        }
        Ok(answer)
    }

    fn nearest(
        &self,
        index: &VectorIndex,
        model: &StoredModel,
        query: &Query,
        direction: &Embedding,
        excluded: &[ImageId],
        count: usize,
    ) -> Result<Found> {
        let source = ModelVectors { store: self.store, model: model.row };
        let accept = |id| Ok(self.store.present_image_of(id)?.is_some_and(|image| !excluded.contains(&image)));
        let among = query.filter.vectors(self.store, model.row)?;
        let wanted = NeighborQuery { query: direction, count, among: among.as_deref(), exact: query.exact };
        index.nearest(wanted, &source, accept)
    }

    /// The state in which the query found the derived files. Damaged ones are set aside.
    fn derived(&self, index: &VectorIndex, model: &StoredModel, found: &Found) -> Derived {
        if let (true, Some(codes)) = (found.damaged, index.codes()) {
            derived_folder(self.store).set_aside(codes.path());
        }
        let covered = index.codes().map_or(0, |codes| codes.status().count);
        let age = Age { covered, newer: found.uncoded, dead: 0 };
        if found.damaged || (model.codes.is_some() && index.codes().is_none()) {
            Derived::Lost
        } else if age.is_due_for_codes() {
            Derived::Old
        } else {
            Derived::Current
        }
    }

    /// Number of pictures without a vector of the model.
    pub(crate) fn pending(&self) -> Result<u64> {
        match &self.model {
            Some(model) => Ok(model.pending),
            None => Ok(self.store.counts(self.store.held()?)?.images),
        }
    }

    fn hit(&self, id: VectorId, score: f32) -> Result<Option<Hit>> {
        let Some(image) = self.store.present_image_of(id)? else { return Ok(None) };
        let Some(picture) = self.store.picture(image)? else { return Ok(None) };
        let paths = self.store.paths_of(image)?;
        Ok(Some(Hit { score, image: picture.hash, path: picture.path, paths }))
    }
}

/// The direction of the sum of all `plus` vectors minus all `minus` vectors.
fn combine(plus: &[Examined], minus: &[Examined]) -> Result<Embedding> {
    let dimension = plus.first().map_or(0, |examined| examined.embedding.dimension());
    let mut sum = vec![0.0_f32; dimension];
    for (sign, examined) in plus.iter().map(|e| (1.0, e)).chain(minus.iter().map(|e| (-1.0, e))) {
        for (sum, x) in sum.iter_mut().zip(examined.embedding.as_slice()) {
            *sum += sign * x;
        }
    }
    // A picture minus itself leaves only rounding errors.
    if sum.iter().all(|x| x.abs() < 1e-6) {
        return Err(Error::Invalid("the pictures of the query cancel each other out".into()));
    }
    Embedding::normalized(sum).map_err(|error| Error::Invalid(format!("the query has no direction: {error}")))
}
