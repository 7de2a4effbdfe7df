//! Rows of files in a root, or in a part of one.

use std::path::PathBuf;

use rusqlite::params;

use super::batch::Batch;
use super::select::{SelectedFiles, Selection, Subtree};
use super::sqlite_error::At;
use super::{Store, path_in};
use crate::error::Result;
use crate::types::{FileId, RootId};

impl Subtree {
    fn selection(&self) -> Selection {
        Selection { under: Some(vec![self.clone()]), ..Selection::default() }
    }
}

impl Store {
    /// Whether there is a row of a file in a subtree, present or missing, picture or not.
    pub fn has_files_in(&self, subtree: &Subtree) -> Result<bool> {
        let selection = subtree.selection();
        let mut query = SelectedFiles::new(&selection);
        let sql = format!("SELECT EXISTS (SELECT 1 FROM file WHERE {})", query.condition("file", "image"));
        self.row(&sql, query.parameters(), |row| row.get(0))
    }

    /// Number of present files in a subtree that hold a decoded image.
    pub fn pictures_in(&self, subtree: &Subtree) -> Result<u64> {
        let selection = subtree.selection();
        let mut query = SelectedFiles::new(&selection);
        let sql = format!(
            "SELECT count(*) FROM file JOIN image ON image.id = file.image
             WHERE missing_since IS NULL AND format IS NOT NULL AND {}",
            query.condition("file", "image")
        );
        self.row(&sql, query.parameters(), |row| row.get(0))
    }

    /// Calls `each` with every present file of a root: its row id, and its path relative to the root.
    pub fn for_each_present_file(
        &self,
        root: RootId,
        mut each: impl FnMut(FileId, PathBuf) -> Result<()>,
    ) -> Result<()> {
        let sql = "SELECT id, path FROM file WHERE root = ?1 AND missing_since IS NULL";
        self.for_each(sql, [root.0], |row| {
            each(row.get(0).map(FileId).at(&self.path)?, path_in(row, 1).at(&self.path)?)
        })
    }

    /// Number of images that no present file holds, if the files in `gone` were missing too.
    pub fn unused_images(&self, gone: &[FileId]) -> Result<u64> {
        let gone: Vec<i64> = gone.iter().map(|file| file.0).collect();
        let gone = serde_json::to_string(&gone).expect("numbers are plain data");
        self.row(
            "SELECT count(*) FROM image
             WHERE NOT EXISTS (SELECT 1 FROM file WHERE file.image = image.id AND missing_since IS NULL
                               AND file.id NOT IN (SELECT value FROM json_each(?1)))",
            [gone],
            |row| row.get(0),
        )
    }
}

impl Batch<'_> {
    /// Deletes the rows of all files in a subtree, and of failures there.
    pub fn delete_subtree(&self, subtree: &Subtree) -> Result<()> {
        let selection = subtree.selection();
        for table in ["file", "failure"] {
            let mut query = SelectedFiles::new(&selection);
            let sql = format!("DELETE FROM {table} WHERE {}", query.condition(table, "image"));
            self.run(&sql, query.parameters())?;
        }
        Ok(())
    }

    /// Deletes the row of a file, and of a failure at its path.
    pub fn delete_file_and_failure(&self, file: FileId) -> Result<()> {
        self.run(
            "DELETE FROM failure WHERE (root, path) = (SELECT root, path FROM file WHERE id = ?1)",
            params![file.0],
        )?;
        self.delete_file(file)
    }
}
