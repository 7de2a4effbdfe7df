//! Writing: transactions, settings, models, images and their classes.

use std::ops::Deref;
use std::time::Duration;

use rusqlite::{Row, Transaction, TransactionBehavior, params};

use super::lock::FileLock;
use super::sqlite_error::At;
use super::{BUSY_TIMEOUT, Store};
use crate::error::{Error, Result};
use crate::types::{Classification, ContentHash, DecodedFrom, ImageId, ImageInfo, ModelId, now_ns};

/// The row id of a model in one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModelRow(pub(super) i64);

impl ModelRow {
    /// A model that was never used with the database: no rows refer to it.
    pub const NONE: Self = Self(0);
}

/// A model that was used with a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredModel {
    /// Row id.
    pub row: ModelRow,
    /// Number of components of its vectors.
    pub dimension: usize,
    /// Number of images without a vector of this model when they were last counted.
    pub pending: u64,
    /// Seal of the file of quantized vectors that was derived from its vectors.
    pub codes: Option<String>,
    /// Seal of an older file of quantized vectors, which the graph was built over.
    pub graph_codes: Option<String>,
}

/// The only writer of the database. Derefs to a [`Store`] for reading.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    _lock: FileLock,
}

impl Deref for Writer {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Writer {
    pub(super) fn new(store: Store, lock: FileLock) -> Self {
        Self { store, _lock: lock }
    }

    /// Starts a transaction. [`Batch::commit`] applies all of its changes or none.
    pub fn batch(&mut self) -> Result<Batch<'_>> {
        let store = &self.store;
        let transaction = Transaction::new_unchecked(&store.connection, TransactionBehavior::Immediate);
        Ok(Batch { transaction: transaction.at(&store.path)?, store, now: now_ns() / 1_000_000 })
    }

    /// Copies everything that was committed from the write-ahead log to the database file. Also truncates the log,
    /// unless another connection is using it.
    pub fn checkpoint(&self) -> Result<()> {
        let checkpoint = |sql: &str| self.connection.query_row(sql, [], |_| Ok(())).at(&self.path);
        checkpoint("PRAGMA wal_checkpoint(FULL)")?;
        // Truncating the log only saves disk space: do not wait for readers.
        self.connection.busy_timeout(Duration::ZERO).at(&self.path)?;
        let emptied = checkpoint("PRAGMA wal_checkpoint(TRUNCATE)");
        self.connection.busy_timeout(BUSY_TIMEOUT).at(&self.path)?;
        match emptied {
            Err(Error::Locked { .. }) => Ok(()),
            result => result,
        }
    }
}

/// One write transaction. Dropping it without [`commit`](Batch::commit) rolls it back. Derefs to a [`Store`] that also
/// sees what was written in this batch.
#[derive(Debug)]
pub struct Batch<'a> {
    transaction: Transaction<'a>,
    store: &'a Store,
    now: i64,
}

impl Deref for Batch<'_> {
    type Target = Store;

    fn deref(&self) -> &Store {
        self.store
    }
}

impl Batch<'_> {
    /// Commits everything that was written in this batch.
    pub fn commit(self) -> Result<()> {
        self.transaction.commit().at(&self.store.path)
    }

    /// The time at which this batch started, in milliseconds since 1970.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Writes a setting.
    pub fn set_setting(&self, key: &str, value: &str) -> Result<()> {
        self.run(
            "INSERT INTO setting (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [key, value],
        )
    }

    /// Returns the row of a model, which is added if necessary.
    pub fn put_model(&self, id: &ModelId, name: &str, dimension: usize) -> Result<ModelRow> {
        self.row(
            "INSERT INTO model (digest, name, dimension, added_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (digest) DO UPDATE SET name = excluded.name RETURNING id",
            params![id.as_bytes(), name, dimension as i64, self.now],
            |row| row.get(0).map(ModelRow),
        )
    }

    /// Stores the seals of a model's file of quantized vectors and of the one that its graph was built over.
    pub fn set_codes(&self, model: ModelRow, codes: &str, graph_codes: Option<&str>) -> Result<()> {
        self.run("UPDATE model SET codes = ?2, graph_codes = ?3 WHERE id = ?1", params![model.0, codes, graph_codes])
    }

    /// Counts, for every model, the images of present files that have neither a vector of this model nor a failure, and
    /// stores the counts.
    pub fn count_pending(&self) -> Result<()> {
        self.run(
            "UPDATE model SET pending = (
                 SELECT count(*) FROM image
                 WHERE NOT EXISTS (SELECT 1 FROM embedding e WHERE e.image = image.id AND e.model = model.id)
                   AND NOT EXISTS (SELECT 1 FROM failure x
                                   WHERE x.image = image.id AND (x.model IS NULL OR x.model = model.id))
                   AND EXISTS (SELECT 1 FROM file WHERE file.image = image.id AND file.missing_since IS NULL))",
            [],
        )
    }

    /// Returns the row of an image, which is added if necessary, and stores what decoding it found, if given.
    pub fn put_image(&self, hash: &ContentHash, bytes: u64, info: Option<&ImageInfo>) -> Result<ImageId> {
        let image = self.row(
            "INSERT INTO image (hash, bytes, added_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (hash) DO UPDATE SET bytes = excluded.bytes RETURNING id",
            params![hash.as_bytes(), bytes as i64, self.now],
            |row| row.get(0).map(ImageId),
        )?;
        if let Some(info) = info {
            self.run(
                "UPDATE image SET format = ?2, width = ?3, height = ?4, orientation = ?5, has_alpha = ?6, truncated = ?7,
                        taken = ?8, decoded_from = ?9
                 WHERE id = ?1",
                params![
                    image.0,
                    info.format,
                    info.width,
                    info.height,
                    info.orientation,
                    info.has_alpha,
                    info.truncated,
                    info.taken,
                    (info.decoded_from != DecodedFrom::Whole).then(|| info.decoded_from.as_str())
                ],
            )?;
        }
        Ok(image)
    }

    /// Deletes all that was derived from the thumbnail of an image, if that is what was decoded of it: vectors and classes
    /// of all models, features, miniature and the facts. What it says of itself stays.
    pub fn delete_provisional(&self, hash: &ContentHash) -> Result<()> {
        let sql = "SELECT id FROM image WHERE hash = ?1 AND decoded_from = 'thumbnail'";
        let Some(image) = self.find(sql, [hash.as_bytes()], |row| row.get::<_, i64>(0))? else { return Ok(()) };
        for table in ["embedding", "classification", "feature", "miniature"] {
            self.run(&format!("DELETE FROM {table} WHERE image = ?1"), [image])?;
        }
        self.run(
            "UPDATE image SET format = NULL, width = NULL, height = NULL, orientation = NULL, has_alpha = NULL,
                    truncated = NULL, decoded_from = NULL
             WHERE id = ?1",
            [image],
        )
    }

    /// Replaces the classes that a model assigned to an image; the best comes first.
    pub fn put_classes(&self, image: ImageId, model: ModelRow, classes: &[Classification]) -> Result<()> {
        self.run("DELETE FROM classification WHERE image = ?1 AND model = ?2", [image.0, model.0])?;
        for (rank, class) in classes.iter().enumerate() {
            self.run("INSERT INTO label (name) VALUES (?1) ON CONFLICT (name) DO NOTHING", [&class.label])?;
            self.run(
                "INSERT INTO classification (image, model, rank, label, score)
                 SELECT ?1, ?2, ?3, id, ?5 FROM label WHERE name = ?4",
                params![image.0, model.0, rank as i64, class.label, class.score],
            )?;
        }
        Ok(())
    }

    /// Deletes the images that no file holds any more, with their vectors, and returns their number.
    pub fn delete_unused_images(&self) -> Result<u64> {
        self.change("DELETE FROM image WHERE NOT EXISTS (SELECT 1 FROM file WHERE file.image = image.id)", [])
    }
}

impl Store {
    /// Returns a model's row, if the model was ever used with this database.
    pub fn model(&self, id: &ModelId) -> Result<Option<StoredModel>> {
        let read = |row: &Row<'_>| {
            Ok(StoredModel {
                row: ModelRow(row.get(0)?),
                dimension: row.get(1)?,
                pending: row.get(2)?,
                codes: row.get(3)?,
                graph_codes: row.get(4)?,
            })
        };
        self.find(
            "SELECT id, dimension, pending, codes, graph_codes FROM model WHERE digest = ?1",
            [id.as_bytes()],
            read,
        )
    }

    /// The ids of all models that were used with this database.
    pub fn models(&self) -> Result<Vec<ModelId>> {
        self.rows("SELECT digest FROM model ORDER BY id", [], |row| row.get::<_, [u8; 32]>(0).map(ModelId::from))
    }

    /// Whether any image has classes of a model.
    pub fn has_classes(&self, model: ModelRow) -> Result<bool> {
        self.row("SELECT EXISTS (SELECT 1 FROM classification WHERE model = ?1)", [model.0], |row| row.get(0))
    }

    /// The classes that a model assigned to an image, the best first.
    pub fn classes(&self, image: ImageId, model: ModelRow) -> Result<Vec<Classification>> {
        self.rows(
            "SELECT label.name, score FROM classification JOIN label ON label.id = label
             WHERE image = ?1 AND model = ?2 ORDER BY rank",
            [image.0, model.0],
            |row| Ok(Classification { label: row.get(0)?, score: row.get(1)? }),
        )
    }
}
