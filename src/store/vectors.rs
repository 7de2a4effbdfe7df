//! Embedding vectors. They are never changed in place; ids increase and are never reused.

use rusqlite::{OptionalExtension, Row, params};

use super::Store;
use super::batch::{Batch, ModelRow};
use super::sqlite_error::At;
use crate::error::{Error, Result};
use crate::types::{Embedding, ImageId, VectorId};

/// A stored vector whose checksum was verified.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredVector {
    /// Row id.
    pub id: VectorId,
    /// The image that it belongs to.
    pub image: ImageId,
    /// The vector.
    pub embedding: Embedding,
}

/// The checksum of a stored vector: the first eight bytes of its BLAKE3 hash, little-endian.
pub(super) fn checksum(vector: &[u8]) -> i64 {
    let hash = blake3::hash(vector);
    let (first, _) = hash.as_bytes().split_at(8);
    i64::from_le_bytes(first.try_into().expect("eight bytes were split off"))
}

/// The columns that [`read`] reads.
const COLUMNS: &str = "id, image, vector, checksum, (SELECT dimension FROM model WHERE model.id = embedding.model)";

/// A row as it was read: a vector, or what is wrong with it.
enum Read {
    Vector(StoredVector),
    Damaged(String),
}

/// Reads a vector from the columns [`COLUMNS`], and verifies it.
fn read(row: &Row<'_>) -> rusqlite::Result<Read> {
    let id = VectorId(row.get(0)?);
    let bytes = row.get_ref(2)?.as_blob()?;
    if checksum(bytes) != row.get::<_, i64>(3)? {
        return Ok(Read::Damaged(format!("vector {} does not match its checksum", id.0)));
    }
    let dimension: i64 = row.get(4)?;
    if i64::try_from(bytes.len() / 2) != Ok(dimension) {
        let length = bytes.len() / 2;
        let reason = format!("vector {} has {length} components, but its model produces {dimension}", id.0);
        return Ok(Read::Damaged(reason));
    }
    Ok(match Embedding::from_f16_bytes(bytes) {
        Ok(embedding) => Read::Vector(StoredVector { id, image: ImageId(row.get(1)?), embedding }),
        Err(error) => Read::Damaged(format!("vector {}: {error}", id.0)),
    })
}

impl Store {
    fn checked(&self, read: Read) -> Result<StoredVector> {
        match read {
            Read::Vector(vector) => Ok(vector),
            Read::Damaged(reason) => Err(Error::Damaged { path: self.path.clone(), reason }),
        }
    }

    /// A model's vector of an image.
    pub fn vector_of(&self, image: ImageId, model: ModelRow) -> Result<Option<StoredVector>> {
        let found = self
            .connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM embedding WHERE image = ?1 AND model = ?2"))
            .and_then(|mut statement| statement.query_row([image.0, model.0], read).optional())
            .at(&self.path)?;
        found.map(|vector| self.checked(vector)).transpose()
    }

    /// The vector with an id, if it exists and belongs to the model.
    pub fn vector(&self, id: VectorId, model: ModelRow) -> Result<Option<StoredVector>> {
        let found = self
            .connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM embedding WHERE id = ?1 AND model = ?2"))
            .and_then(|mut statement| statement.query_row([id.0, model.0], read).optional())
            .at(&self.path)?;
        found.map(|vector| self.checked(vector)).transpose()
    }

    /// Calls `each` with all vectors of a model whose ids are greater than `after`, in ascending order.
    pub fn for_each_vector(
        &self,
        model: ModelRow,
        after: VectorId,
        mut each: impl FnMut(StoredVector) -> Result<()>,
    ) -> Result<()> {
        let mut statement = self
            .connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM embedding NOT INDEXED WHERE id > ?1 AND model = ?2 ORDER BY id"
            ))
            .at(&self.path)?;
        let mut rows = statement.query(params![after.0, model.0]).at(&self.path)?;
        while let Some(row) = rows.next().at(&self.path)? {
            let vector = read(row).at(&self.path)?;
            each(self.checked(vector)?)?;
        }
        Ok(())
    }

    /// The number of a model's vectors, and the id of the last one (0 if there are none).
    pub fn vector_count(&self, model: ModelRow) -> Result<(u64, VectorId)> {
        self.connection
            .prepare_cached("SELECT count(*), ifnull(max(id), 0) FROM embedding WHERE model = ?1")
            .and_then(|mut statement| statement.query_row([model.0], |row| Ok((row.get(0)?, VectorId(row.get(1)?)))))
            .at(&self.path)
    }

    /// The id of a model's last vector; 0 if it has none.
    pub fn last_vector(&self, model: ModelRow) -> Result<VectorId> {
        self.connection
            .prepare_cached("SELECT ifnull(max(id), 0) FROM embedding INDEXED BY embedding_model WHERE model = ?1")
            .and_then(|mut statement| statement.query_row([model.0], |row| row.get(0).map(VectorId)))
            .at(&self.path)
    }

    /// The number of a model's vectors with ids up to and including `last`.
    pub fn vectors_up_to(&self, model: ModelRow, last: VectorId) -> Result<u64> {
        self.connection
            .prepare_cached("SELECT count(*) FROM embedding INDEXED BY embedding_model WHERE model = ?1 AND id <= ?2")
            .and_then(|mut statement| statement.query_row([model.0, last.0], |row| row.get(0)))
            .at(&self.path)
    }

    /// The image that a vector belongs to, if some present file holds it.
    pub fn present_image_of(&self, id: VectorId) -> Result<Option<ImageId>> {
        self.connection
            .prepare_cached(
                "SELECT image FROM embedding e WHERE id = ?1
                 AND EXISTS (SELECT 1 FROM file WHERE file.image = e.image AND file.missing_since IS NULL)",
            )
            .and_then(|mut statement| statement.query_row([id.0], |row| row.get(0).map(ImageId)).optional())
            .at(&self.path)
    }
}

impl Batch<'_> {
    /// Stores a model's vector of an image under a new id, and deletes the previous one.
    pub fn put_embedding(&self, image: ImageId, model: ModelRow, embedding: &Embedding) -> Result<()> {
        self.delete_embedding(image, model)?;
        let vector = embedding.to_f16_bytes();
        self.run(
            "INSERT INTO embedding (image, model, vector, checksum) VALUES (?1, ?2, ?3, ?4)",
            params![image.0, model.0, vector, checksum(&vector)],
        )?;
        Ok(())
    }

    /// Deletes a model's vector of an image, so that the next `add` computes it again.
    pub fn delete_embedding(&self, image: ImageId, model: ModelRow) -> Result<()> {
        self.run("DELETE FROM embedding WHERE image = ?1 AND model = ?2", [image.0, model.0])?;
        Ok(())
    }
}
