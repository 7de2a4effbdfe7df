//! Failures: what could not be indexed, and why.

use std::path::PathBuf;

use rusqlite::{Row, params};

use super::Store;
use super::batch::{Batch, ModelRow};
use super::files::full_path;
use crate::error::Result;
use crate::types::{ImageId, PathField, RootId, Stage};

/// A failure of one file. A failure of an image is listed once for each file that holds it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct FailureRow {
    /// The file, or the folder that could not be listed.
    #[serde(flatten, serialize_with = "PathField::serialize")]
    #[schemars(with = "PathField")]
    pub path: PathBuf,
    /// The stage that failed.
    pub stage: Stage,
    /// Why it failed.
    pub reason: String,
    /// Number of attempts.
    pub attempts: u32,
    /// Time of the last attempt, in UTC, as specified by RFC 3339.
    pub at: String,
}

fn read(row: &Row<'_>) -> rusqlite::Result<FailureRow> {
    let stage: String = row.get(2)?;
    Ok(FailureRow {
        path: full_path(row, 0, 1)?,
        stage: Stage::from_name(&stage).unwrap_or(Stage::Read),
        reason: row.get(3)?,
        attempts: row.get(4)?,
        at: row.get(5)?,
    })
}

impl Store {
    /// All failures with a model, sorted by path. A failed image is listed once for each present file that holds it.
    pub fn failures(&self, model: ModelRow) -> Result<Vec<FailureRow>> {
        self.rows(
            "SELECT root.path, file.path, stage, reason, attempts,
                    strftime('%Y-%m-%dT%H:%M:%fZ', at / 1000.0, 'unixepoch')
             FROM failure JOIN file ON file.image = failure.image JOIN root ON root.id = file.root
             WHERE file.missing_since IS NULL AND (failure.model IS NULL OR failure.model = ?1)
               AND NOT EXISTS (SELECT 1 FROM embedding e WHERE e.image = failure.image AND e.model = ?1)
             UNION ALL
             SELECT root.path, failure.path, stage, reason, attempts,
                    strftime('%Y-%m-%dT%H:%M:%fZ', at / 1000.0, 'unixepoch')
             FROM failure JOIN root ON root.id = failure.root
             ORDER BY 1, 2",
            [model.0],
            read,
        )
    }

    /// The present files that are not pictures that can be indexed, sorted by path, as failures to read them.
    pub fn skipped(&self) -> Result<Vec<FailureRow>> {
        self.rows(
            "SELECT root.path, file.path, 'read', skipped, 1,
                    strftime('%Y-%m-%dT%H:%M:%fZ', read_at_ns / 1e9, 'unixepoch')
             FROM file JOIN root ON root.id = file.root
             WHERE skipped IS NOT NULL AND missing_since IS NULL ORDER BY 1, 2",
            [],
            read,
        )
    }

    /// Number of failures: the present files of failed images, and the paths that could not be read.
    pub fn count_failures(&self, model: ModelRow) -> Result<u64> {
        self.row(
            "SELECT (SELECT count(*) FROM failure JOIN file ON file.image = failure.image
                     WHERE file.missing_since IS NULL AND (model IS NULL OR model = ?1)
                       AND NOT EXISTS (SELECT 1 FROM embedding e WHERE e.image = failure.image AND e.model = ?1))
                  + (SELECT count(*) FROM failure WHERE path IS NOT NULL)",
            [model.0],
            |row| row.get(0),
        )
    }
}

impl Batch<'_> {
    /// Records that an image cannot be indexed, with one model or (`None`) with any.
    pub fn put_content_failure(
        &self,
        image: ImageId,
        model: Option<ModelRow>,
        stage: Stage,
        reason: &str,
    ) -> Result<()> {
        if model.is_none() {
            self.run("DELETE FROM failure WHERE image = ?1 AND model IS NOT NULL", [image.0])?;
        }
        self.run(
            "INSERT INTO failure (image, model, stage, reason, attempts, at) VALUES (?1, ?2, ?3, ?4, 1, ?5)
             ON CONFLICT (image, ifnull(model, 0)) WHERE image IS NOT NULL DO UPDATE
             SET stage = excluded.stage, reason = excluded.reason, attempts = attempts + 1, at = excluded.at",
            params![image.0, model.map(|model| model.0), stage.as_str(), reason, self.now()],
        )
    }

    /// Deletes the failures of an image that was indexed with a model after all.
    pub fn clear_content_failure(&self, image: ImageId, model: ModelRow) -> Result<()> {
        self.run("DELETE FROM failure WHERE image = ?1 AND (model IS NULL OR model = ?2)", [image.0, model.0])
    }

    /// Records that a path could not be read.
    pub fn put_path_failure(&self, root: RootId, path: &[u8], stage: Stage, reason: &str) -> Result<()> {
        self.run(
            "INSERT INTO failure (root, path, stage, reason, attempts, at) VALUES (?1, ?2, ?3, ?4, 1, ?5)
             ON CONFLICT (root, path) WHERE path IS NOT NULL DO UPDATE
             SET stage = excluded.stage, reason = excluded.reason, attempts = attempts + 1, at = excluded.at",
            params![root.0, path, stage.as_str(), reason, self.now()],
        )
    }

    /// Deletes the failures of paths without a file row that a scan of the whole root did not see again.
    ///
    /// `since` is the start of the scan, in milliseconds since 1970.
    pub fn clear_scan_failures(&self, root: RootId, since: i64) -> Result<()> {
        self.run(
            "DELETE FROM failure WHERE root = ?1 AND at < ?2
             AND NOT EXISTS (SELECT 1 FROM file WHERE file.root = failure.root AND file.path = failure.path)",
            [root.0, since],
        )
    }
}
