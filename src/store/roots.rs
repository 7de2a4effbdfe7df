//! Roots: the directories that were given to `add`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::{Row, params};

use super::batch::Batch;
use super::{Store, path_in};
use crate::error::Result;
use crate::types::{RootId, path_to_bytes};

/// Whether a root can currently be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RootState {
    /// It was available when it was last checked.
    Online,
    /// It was not available or not the same directory: unmounted, renamed or emptied. Its rows are kept.
    Offline,
}

/// A directory that is indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Row id.
    pub id: RootId,
    /// Absolute path.
    pub path: PathBuf,
    /// Whether the whole directory is indexed, or only files in it that were given one by one.
    pub recursive: bool,
    /// Number of the device that it was last seen on.
    pub device: u64,
    /// Identity of the file system that it was last seen on.
    pub file_system: u64,
    /// State when it was last checked.
    pub state: RootState,
    /// Which of its files are scanned: the options of the last scan of the whole root, as JSON.
    pub scan: String,
    /// Number of files that disappeared in a mass deletion that is not confirmed yet. Their rows are kept.
    pub vanished: u64,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Root> {
    let state: String = row.get(5)?;
    Ok(Root {
        id: RootId(row.get(0)?),
        path: path_in(row, 1)?,
        recursive: row.get(2)?,
        device: row.get::<_, i64>(3)? as u64,
        file_system: row.get::<_, i64>(4)? as u64,
        state: if state == "online" { RootState::Online } else { RootState::Offline },
        scan: row.get(6)?,
        vanished: row.get(7)?,
    })
}

impl Store {
    /// All roots, sorted by path.
    pub fn roots(&self) -> Result<Vec<Root>> {
        let sql = "SELECT id, path, recursive, device, file_system, state, scan, vanished FROM root ORDER BY path";
        self.rows(sql, [], read)
    }

    /// Number of present files that hold a decoded image, for each root that has any.
    pub fn files_in_roots(&self) -> Result<HashMap<RootId, u64>> {
        let read = |row: &Row<'_>| Ok((RootId(row.get(0)?), row.get(1)?));
        // Subtract the rare images that could not be decoded, so that the others need not be looked up.
        let all = "SELECT root, count(*) FROM file WHERE missing_since IS NULL AND image IS NOT NULL GROUP BY root";
        let failed = "SELECT root, count(*) FROM image CROSS JOIN file ON file.image = image.id
                      WHERE format IS NULL AND missing_since IS NULL GROUP BY root";
        let mut files: HashMap<RootId, u64> = self.rows(all, [], read)?.into_iter().collect();
        for (root, failed) in self.rows(failed, [], read)? {
            files.entry(root).and_modify(|files| *files = files.saturating_sub(failed));
        }
        Ok(files)
    }

    /// Number of present files of a root, pictures or not.
    pub fn present_files(&self, root: RootId) -> Result<u64> {
        self.row("SELECT count(*) FROM file WHERE root = ?1 AND missing_since IS NULL", [root.0], |row| row.get(0))
    }

    /// Number of files of a root that were marked missing at `moment` or later, in milliseconds since 1970.
    pub fn newly_missing(&self, root: RootId, moment: i64) -> Result<u64> {
        self.row("SELECT count(*) FROM file WHERE missing_since >= ?2 AND +root = ?1", [root.0, moment], |row| {
            row.get(0)
        })
    }

    /// Paths of all files of a root, relative to it, including missing files.
    pub fn paths_in_root(&self, root: RootId) -> Result<Vec<PathBuf>> {
        self.rows("SELECT path FROM file WHERE root = ?1 ORDER BY path", [root.0], |row| path_in(row, 0))
    }
}

impl Batch<'_> {
    /// Adds a root. If there is one with this path, it only becomes recursive if `recursive` is set.
    pub fn put_root(&self, path: &Path, recursive: bool, device: u64, file_system: u64) -> Result<RootId> {
        self.row(
            "INSERT INTO root (path, recursive, device, file_system, state, scanned_at) VALUES (?1, ?2, ?3, ?4, 'online', ?5)
             ON CONFLICT (path) DO UPDATE SET recursive = max(recursive, excluded.recursive) RETURNING id",
            params![path_to_bytes(path), recursive, device as i64, file_system as i64, self.now()],
            |row| row.get(0).map(RootId),
        )
    }

    /// Device and file system of a root when it was last seen.
    pub fn root_place(&self, root: RootId) -> Result<(u64, u64)> {
        self.row("SELECT device, file_system FROM root WHERE id = ?1", [root.0], |row| {
            Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64))
        })
    }

    /// Stores the state of a root and the time at which it was checked.
    pub fn set_root_state(&self, root: RootId, state: RootState) -> Result<()> {
        let state = if state == RootState::Online { "online" } else { "offline" };
        self.run("UPDATE root SET state = ?2, scanned_at = ?3 WHERE id = ?1", params![root.0, state, self.now()])
    }

    /// Stores which files of a root are scanned: scan options as JSON.
    pub fn set_root_scan(&self, root: RootId, scan: &str) -> Result<()> {
        self.run("UPDATE root SET scan = ?2 WHERE id = ?1 AND scan <> ?2", params![root.0, scan])
    }

    /// Stores the number of files that disappeared in an unconfirmed mass deletion.
    pub fn set_vanished(&self, root: RootId, files: u64) -> Result<()> {
        self.run("UPDATE root SET vanished = ?2 WHERE id = ?1 AND vanished <> ?2", params![root.0, files as i64])
    }

    /// Stores the device and file system on which an available root was found.
    pub fn set_root_identity(&self, root: RootId, device: u64, file_system: u64) -> Result<()> {
        let identity = params![root.0, device as i64, file_system as i64];
        self.run("UPDATE root SET device = ?2, file_system = ?3 WHERE id = ?1", identity)
    }

    /// Moves all rows of a root into the root that contains it, below `prefix`, and deletes the inner root.
    pub fn absorb_root(&self, inner: RootId, outer: RootId, prefix: &Path) -> Result<()> {
        let mut prefix = path_to_bytes(prefix).into_owned();
        prefix.push(b'/');
        for table in ["file", "failure"] {
            // The operator `||` returns text, so cast it back to bytes.
            let sql =
                format!("UPDATE OR REPLACE {table} SET root = ?2, path = CAST(?3 || path AS BLOB) WHERE root = ?1");
            self.run(&sql, params![inner.0, outer.0, prefix])?;
        }
        self.delete_root(inner)
    }

    /// Deletes a root and its file rows.
    pub fn delete_root(&self, root: RootId) -> Result<()> {
        self.run("DELETE FROM root WHERE id = ?1", [root.0])
    }
}
