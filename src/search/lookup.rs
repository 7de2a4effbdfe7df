//! Nearest neighbours of a query's vector, with the files that hold them.

use super::companions::Shots;
use super::derived_files::{Age, derived_folder, open_codes};
use super::examine::Examined;
use super::model::ActiveModel;
use super::query::{Answer, Derived, Hit, Query};
use crate::ann::{Found, NeighborQuery, VectorIndex, VectorSource};
use crate::error::{Error, Result};
use crate::store::{ModelRow, Store, StoredModel};
use crate::types::{Embedding, ImageId, VectorId};

/// Access to a model's vectors and their files.
pub(super) struct Lookup<'a> {
    pub store: &'a Store,
    pub active: &'a ActiveModel,
    /// `None` if the model has never been used with this database.
    pub model: Option<StoredModel>,
}

impl VectorSource for Lookup<'_> {
    type Error = Error;

    fn vector(&self, id: VectorId) -> Result<Option<Embedding>> {
        Ok(self.store.vector(id, self.row())?.map(|vector| vector.embedding))
    }

    fn for_each_after(&self, after: VectorId, each: &mut dyn FnMut(VectorId, &Embedding)) -> Result<()> {
        self.store.for_each_vector(self.row(), after, |vector| {
            each(vector.id, &vector.embedding);
            Ok(())
        })
    }
}

impl<'a> Lookup<'a> {
    pub(super) fn new(store: &'a Store, active: &'a ActiveModel) -> Result<Self> {
        Ok(Self { model: store.model(&active.id)?, store, active })
    }

    pub(super) fn row(&self) -> ModelRow {
        self.model.as_ref().map_or(ModelRow::NONE, |model| model.row)
    }

    /// A vector index for a single query.
    pub(super) fn one_shot(&self) -> VectorIndex {
        let codes = self.model.as_ref().and_then(|model| open_codes(self.store, &self.active.id, model));
        VectorIndex::new(codes.map(Into::into))
    }

    /// The `count` pictures with the nearest vectors, without the excluded ones.
    ///
    /// # Errors
    /// If the vector has the wrong dimension, or the database fails.
    pub(super) fn similar(
        &self,
        index: &VectorIndex,
        query: &Query,
        direction: &Embedding,
        excluded: &[ImageId],
        count: usize,
    ) -> Result<Answer> {
        let mut answer = Answer {
            query: Vec::new(),
            model: self.active.name.clone(),
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
        let accept = |id| Ok(self.store.present_image_of(id)?.is_some_and(|image| !excluded.contains(&image)));
        let among = query.filter.vectors(self.store, model.row)?;
        // A hit and its companions count as one.
        let wanted = NeighborQuery {
            query: direction,
            count: count.saturating_mul(2),
            among: among.as_deref(),
            exact: query.exact,
        };
        let found = index.nearest(wanted, self, accept)?;
        answer.method = found.method;
        answer.derived = self.derived(index, model, &found);
        let mut shots = Shots::default();
        for neighbor in found.neighbors {
            let is_below = query.threshold.is_some_and(|threshold| neighbor.score < threshold);
            if is_below || answer.hits.len() == count {
                break;
            }
            answer.hits.extend(self.hit(neighbor.id, neighbor.score, &mut shots)?);
        }
        Ok(answer)
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
    pub(super) fn pending(&self) -> Result<u64> {
        match &self.model {
            Some(model) => Ok(model.pending),
            None => Ok(self.store.counts(self.store.held()?)?.images),
        }
    }

    /// A picture that was found, unless it is of a shot that was found before.
    fn hit(&self, id: VectorId, score: f32, shots: &mut Shots) -> Result<Option<Hit>> {
        let image = self.store.present_image_of(id)?.filter(|image| !shots.has(*image));
        let Some(image) = image else { return Ok(None) };
        let Some(picture) = self.store.picture(image)? else { return Ok(None) };
        let paths = self.store.paths_of(image)?;
        let companions = shots.add(self.store, image, &paths)?;
        Ok(Some(Hit { score, image: picture.hash, path: picture.path, paths, companions }))
    }
}

/// The direction of the sum of all `plus` vectors minus all `minus` vectors.
///
/// # Errors
/// If the pictures cancel each other out.
pub(super) fn combine(plus: &[Examined], minus: &[Examined]) -> Result<Embedding> {
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
