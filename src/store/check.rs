//! Checks the integrity of the database, and repairs it.

use std::collections::BTreeSet;

use rusqlite::{Connection, OpenFlags, Row};

use super::Store;
use super::batch::{Batch, ModelRow, Writer};
use super::pages::{VFS, damaged_pages};
use super::select::Selection;
use super::sqlite_error::At;
use super::vectors::{VectorBytes, checksum};
use crate::error::{Error, Result};
use crate::types::{Embedding, ImageId};

/// A problem that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// The table, row, page or file that it concerns.
    pub place: String,
    /// How to repair it.
    pub(crate) repair: Repair,
}

/// How to repair a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Repair {
    /// Rebuild a derived file.
    Derived,
    /// Delete a vector, so that the next `add` computes it again.
    Vector(ImageId, ModelRow),
    /// Correct a model's dimension to the length of its vectors.
    Dimension(ModelRow, usize),
    /// Rebuild the word index.
    Words,
    /// Delete rows that refer to rows that do not exist.
    Orphans,
    /// Delete an unreadable row; of a root, reset the columns that cannot be read.
    Row(&'static str, i64),
    /// Make a new database of everything that can be read.
    Salvage,
}

impl Problem {
    /// Creates a problem with a derived file.
    pub(crate) fn of_derived(what: impl Into<String>, place: impl Into<String>) -> Self {
        Self::new(what, place, Repair::Derived)
    }

    /// Whether repairing it requires a new database.
    pub(crate) fn needs_salvage(&self) -> bool {
        self.repair == Repair::Salvage
    }

    fn new(what: impl Into<String>, place: impl Into<String>, repair: Repair) -> Self {
        Self { what: what.into(), place: place.into(), repair }
    }
}

/// The tables whose rows are read one by one, as the program reads them, and the columns of their ids.
const VALUES: [(&str, &str); 7] = [
    ("root", "id"),
    ("image", "id"),
    ("feature", "image"),
    ("metadata", "image"),
    ("failure", "id"),
    ("run", "id"),
    ("trace", "id"),
];

impl Store {
    /// Checks every page, reference, value and vector.
    pub fn check(&self) -> Result<Vec<Problem>> {
        let pages = damaged_pages(&self.connection, &self.path).map_err(Error::io("read", &self.path))?;
        let of_page =
            |page: &u64| Problem::new("it does not match its checksum", format!("page {page}"), Repair::Salvage);
        let mut problems: Vec<Problem> = pages.iter().map(of_page).collect();
        // Every other check would fail on the same pages.
        if problems.is_empty() {
            problems.extend(self.run_check("database", Self::check_structure)?);
        }
        if problems.is_empty() {
            problems.extend(self.run_check("references", Self::check_references)?);
            problems.extend(self.run_check("values", Self::check_values)?);
            problems.extend(self.run_check("vectors", Self::check_vectors)?);
            problems.extend(self.run_check("word index", Self::check_words)?);
        }
        Ok(problems)
    }

    /// Runs a check. If the check itself fails on damaged data, that is a problem too.
    fn run_check(&self, place: &str, check: impl FnOnce(&Self) -> Result<Vec<Problem>>) -> Result<Vec<Problem>> {
        match check(self) {
            Err(Error::Damaged { reason, .. }) => Ok(vec![Problem::new(reason, place, Repair::Salvage)]),
            result => result,
        }
    }

    /// Checks that the word index has one row for each file and no others. `integrity_check` has already verified the
    /// index itself.
    fn check_words(&self) -> Result<Vec<Problem>> {
        let counts = "SELECT (SELECT count(*) FROM file WHERE id NOT IN (SELECT id FROM path_word_docsize)),
                             (SELECT count(*) FROM path_word_docsize WHERE id NOT IN (SELECT id FROM file))";
        let (missing, stale): (u64, u64) = self.row(counts, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if (missing, stale) == (0, 0) {
            return Ok(Vec::new());
        }
        let what = format!("{missing} files have no entry, and {stale} entries belong to no file");
        Ok(vec![Problem::new(what, "word index", Repair::Words)])
    }

    fn check_structure(&self) -> Result<Vec<Problem>> {
        // On a read-only connection, SQLite does not verify CHECK constraints.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let writable = Connection::open_with_flags_and_vfs(&self.path, flags, VFS);
        let writable = writable.ok().filter(|connection| !connection.is_readonly("main").unwrap_or(true));
        let lines: Vec<String> = writable
            .as_ref()
            .unwrap_or(&self.connection)
            .prepare("PRAGMA integrity_check")
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
            .at(&self.path)?;
        let is_problem = |line: &String| line != "ok";
        Ok(lines.into_iter().filter(is_problem).map(|line| Problem::new(line, "database", Repair::Salvage)).collect())
    }

    fn check_references(&self) -> Result<Vec<Problem>> {
        let read = |row: &Row<'_>| {
            let (table, id, parent): (String, Option<i64>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let place = id.map_or_else(|| table.clone(), |id| format!("{table} {id}"));
            Ok(Problem::new(format!("it refers to a row of `{parent}` that does not exist"), place, Repair::Orphans))
        };
        self.rows("PRAGMA foreign_key_check", [], read)
    }

    /// Reads every row as the commands do, because a value of the right type may still be invalid.
    fn check_values(&self) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        for (table, key) in VALUES {
            self.for_each(&format!("SELECT {key} FROM {table} ORDER BY {key}"), [], |row| {
                let id: i64 = row.get(0).at(&self.path)?;
                match self.read_values(table, id) {
                    Err(Error::Damaged { reason, .. }) => {
                        problems.push(Problem::new(reason, format!("{table} {id}"), Repair::Row(table, id)));
                        Ok(())
                    }
                    result => result,
                }
            })?;
        }
        self.labels()?;
        if problems.is_empty() {
            self.for_each_picture(&Selection::default(), |_| Ok(()))?;
        }
        Ok(problems)
    }

    /// Reads a row as the program does.
    fn read_values(&self, table: &str, id: i64) -> Result<()> {
        match table {
            "feature" => return self.features(ImageId(id)).map(|_| ()),
            "metadata" => return self.metadata_of(ImageId(id)).map(|_| ()),
            "trace" => return self.trace_at(id).map(|_| ()),
            "image" => _ = self.info_of(ImageId(id))?,
            _ => {}
        }
        let (columns, read): (_, fn(&Row<'_>) -> rusqlite::Result<()>) = match table {
            "root" => ("vanished, scan", |row| <(u64, String)>::try_from(row).map(|_| ())),
            "image" => ("hash, bytes", |row| <([u8; 32], u64)>::try_from(row).map(|_| ())),
            "failure" => ("attempts, reason", |row| <(u32, String)>::try_from(row).map(|_| ())),
            _ => ("embedded, peak_memory, report", |row| <(u64, Option<u64>, String)>::try_from(row).map(|_| ())),
        };
        self.row(&format!("SELECT {columns} FROM {table} WHERE id = ?1"), [id], read)
    }

    fn check_vectors(&self) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        for (model, dimension) in
            self.rows("SELECT id, dimension FROM model", [], |row| Ok((row.get(0)?, row.get(1)?)))?
        {
            problems.extend(self.check_vectors_of(ModelRow(model), dimension)?);
        }
        Ok(problems)
    }

    fn check_vectors_of(&self, model: ModelRow, dimension: i64) -> Result<Vec<Problem>> {
        let sql = "SELECT id, image, vector, checksum FROM embedding WHERE model = ?1 ORDER BY id";
        // The lengths of all vectors; `None` for those that are damaged in another way.
        let (mut problems, mut lengths) = (Vec::new(), BTreeSet::new());
        self.for_each(sql, [model.0], |row| {
            let vector = VectorBytes::read(row).at(&self.path)?;
            let length = vector.bytes.len() / 2;
            let (what, length) = if checksum(vector.bytes) != vector.checksum {
                (Some("the vector does not match its checksum".into()), None)
            } else if let Err(error) = Embedding::from_f16_bytes(vector.bytes) {
                (Some(error.to_string()), None)
            } else {
                let what = || format!("the vector has {length} components, but its model produces {dimension}");
                ((length as i64 != dimension).then(what), Some(length))
            };
            lengths.insert(length);
            problems.extend(what.map(|what: String| {
                Problem::new(what, format!("embedding {}", vector.id), Repair::Vector(vector.image, model))
            }));
            Ok(())
        })?;
        // If all vectors are intact and have the same wrong length, the model's row is wrong, not the vectors.
        if !problems.is_empty()
            && lengths.len() == 1
            && let Some(&Some(length)) = lengths.first()
        {
            let what = format!("its dimension is {dimension}, but all of its vectors have {length} components");
            return Ok(vec![Problem::new(what, format!("model {}", model.0), Repair::Dimension(model, length))]);
        }
        Ok(problems)
    }
}

impl Writer {
    /// Repairs what can be repaired in place: damaged vectors, rows that cannot be read or that refer to rows that do
    /// not exist, and the word index. The next `add` restores what is deleted here.
    ///
    /// Returns the problems that remain, including new ones.
    pub fn repair(&mut self, problems: &[Problem]) -> Result<Vec<Problem>> {
        let batch = self.batch()?;
        for problem in problems {
            match problem.repair {
                Repair::Vector(image, model) => batch.delete_embedding(image, model)?,
                Repair::Dimension(model, length) => {
                    batch.run("UPDATE model SET dimension = ?2 WHERE id = ?1", [model.0, length as i64])?;
                }
                Repair::Row(table, id) => batch.delete_row(table, id)?,
                Repair::Orphans => batch.delete_orphans()?,
                Repair::Words => {
                    batch.run("INSERT INTO path_word (path_word) VALUES ('delete-all')", [])?;
                    batch.run("INSERT INTO path_word (rowid, words) SELECT id, CAST(path AS TEXT) FROM file", [])?;
                }
                Repair::Derived | Repair::Salvage => {}
            }
        }
        batch.commit()?;
        self.check()
    }
}

impl Batch<'_> {
    fn delete_row(&self, table: &str, id: i64) -> Result<()> {
        match table {
            "root" => return self.run("UPDATE root SET vanished = 0, scan = '{}' WHERE id = ?1", [id]),
            "feature" => return self.run("DELETE FROM feature WHERE image = ?1", [id]),
            "metadata" => return self.run("DELETE FROM metadata WHERE image = ?1", [id]),
            // Without their rows, its files are new to the next `add`, which reads them again.
            "image" => self.run("DELETE FROM file WHERE image = ?1", [id])?,
            _ => {}
        }
        self.run(&format!("DELETE FROM {table} WHERE id = ?1"), [id])
    }

    /// Deletes rows that refer to rows that do not exist. A vector with a lost class is deleted too, so that `add`
    /// computes the vector and its classes again.
    fn delete_orphans(&self) -> Result<()> {
        for sql in [
            "DELETE FROM file WHERE root NOT IN (SELECT id FROM root)",
            "DELETE FROM file WHERE image IS NOT NULL AND image NOT IN (SELECT id FROM image)",
            "DELETE FROM embedding WHERE EXISTS (
                 SELECT 1 FROM classification c WHERE c.image = embedding.image AND c.model = embedding.model
                 AND c.label NOT IN (SELECT id FROM label))",
            "DELETE FROM classification WHERE label NOT IN (SELECT id FROM label)",
            "DELETE FROM embedding WHERE image NOT IN (SELECT id FROM image) OR model NOT IN (SELECT id FROM model)",
            "DELETE FROM classification WHERE image NOT IN (SELECT id FROM image) OR model NOT IN (SELECT id FROM model)",
            "DELETE FROM feature WHERE image NOT IN (SELECT id FROM image)",
            "DELETE FROM miniature WHERE image NOT IN (SELECT id FROM image)",
            "DELETE FROM metadata WHERE image NOT IN (SELECT id FROM image)",
            "DELETE FROM sidecar WHERE file NOT IN (SELECT id FROM file)",
            "DELETE FROM description WHERE file NOT IN (SELECT id FROM file)",
            "DELETE FROM failure WHERE image NOT IN (SELECT id FROM image) OR model NOT IN (SELECT id FROM model)
                 OR root NOT IN (SELECT id FROM root)",
        ] {
            self.run(sql, [])?;
        }
        Ok(())
    }
}
