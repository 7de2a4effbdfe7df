//! Embedding vectors. They are never changed in place; ids increase and are never reused.

use rusqlite::{Row, params};

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

/// A vector as it is stored; it may be damaged.
pub(super) struct VectorBytes<'a> {
    pub id: i64,
    pub image: ImageId,
    pub bytes: &'a [u8],
    pub checksum: i64,
}

impl<'a> VectorBytes<'a> {
    /// Reads the first four of the columns [`COLUMNS`].
    pub(super) fn read(row: &'a Row<'_>) -> rusqlite::Result<Self> {
        let (id, image, checksum) = (row.get(0)?, ImageId(row.get(1)?), row.get(3)?);
        Ok(Self { id, image, bytes: row.get_ref(2)?.as_blob()?, checksum })
    }
}

/// The columns that [`Store::stored_vector`] reads.
const COLUMNS: &str = "id, image, vector, checksum, (SELECT dimension FROM model WHERE model.id = embedding.model)";

impl Store {
    /// Reads a vector from the columns [`COLUMNS`], and verifies it.
    fn stored_vector(&self, row: &Row<'_>) -> Result<StoredVector> {
        let vector = VectorBytes::read(row).at(&self.path)?;
        let dimension: i64 = row.get(4).at(&self.path)?;
        let (id, length) = (vector.id, vector.bytes.len() / 2);
        let reason = if checksum(vector.bytes) != vector.checksum {
            format!("vector {id} does not match its checksum")
        } else if length as i64 != dimension {
            format!("vector {id} has {length} components, but its model produces {dimension}")
        } else {
            match Embedding::from_f16_bytes(vector.bytes) {
                Ok(embedding) => return Ok(StoredVector { id: VectorId(id), image: vector.image, embedding }),
                Err(error) => format!("vector {id}: {error}"),
            }
        };
        Err(Error::Damaged { path: self.path.clone(), reason })
    }

    /// A model's vector of an image.
    pub fn vector_of(&self, image: ImageId, model: ModelRow) -> Result<Option<StoredVector>> {
        let sql = format!("SELECT {COLUMNS} FROM embedding WHERE image = ?1 AND model = ?2");
        self.find(&sql, [image.0, model.0], |row| Ok(self.stored_vector(row)))?.transpose()
    }

    /// The vector with an id, if it exists and belongs to the model.
    pub fn vector(&self, id: VectorId, model: ModelRow) -> Result<Option<StoredVector>> {
        let sql = format!("SELECT {COLUMNS} FROM embedding WHERE id = ?1 AND model = ?2");
        self.find(&sql, [id.0, model.0], |row| Ok(self.stored_vector(row)))?.transpose()
    }

    /// Calls `each` with all vectors of a model whose ids are greater than `after`, in ascending order.
    pub fn for_each_vector(
        &self,
        model: ModelRow,
        after: VectorId,
        mut each: impl FnMut(StoredVector) -> Result<()>,
    ) -> Result<()> {
        let sql = format!("SELECT {COLUMNS} FROM embedding NOT INDEXED WHERE id > ?1 AND model = ?2 ORDER BY id");
        self.for_each(&sql, [after.0, model.0], |row| each(self.stored_vector(row)?))
    }

    /// The number of a model's vectors, and the id of the last one (0 if there are none).
    pub fn vector_count(&self, model: ModelRow) -> Result<(u64, VectorId)> {
        let sql = "SELECT count(*), ifnull(max(id), 0) FROM embedding WHERE model = ?1";
        self.row(sql, [model.0], |row| Ok((row.get(0)?, VectorId(row.get(1)?))))
    }

    /// The id of a model's last vector; 0 if it has none.
    pub fn last_vector(&self, model: ModelRow) -> Result<VectorId> {
        let sql = "SELECT ifnull(max(id), 0) FROM embedding INDEXED BY embedding_model WHERE model = ?1";
        self.row(sql, [model.0], |row| row.get(0).map(VectorId))
    }

    /// The number of a model's vectors with ids up to and including `last`.
    pub fn vectors_up_to(&self, model: ModelRow, last: VectorId) -> Result<u64> {
        let sql = "SELECT count(*) FROM embedding INDEXED BY embedding_model WHERE model = ?1 AND id <= ?2";
        self.row(sql, [model.0, last.0], |row| row.get(0))
    }

    /// The image that a vector belongs to, if some present file holds it.
    pub fn present_image_of(&self, id: VectorId) -> Result<Option<ImageId>> {
        let sql = "SELECT image FROM embedding e WHERE id = ?1
                   AND EXISTS (SELECT 1 FROM file WHERE file.image = e.image AND file.missing_since IS NULL)";
        self.find(sql, [id.0], |row| row.get(0).map(ImageId))
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
        )
    }

    /// Deletes a model's vector of an image, so that the next `add` computes it again.
    pub fn delete_embedding(&self, image: ImageId, model: ModelRow) -> Result<()> {
        self.run("DELETE FROM embedding WHERE image = ?1 AND model = ?2", [image.0, model.0])
    }
}
