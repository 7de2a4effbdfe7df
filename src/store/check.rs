//! Checks the integrity of the database, and repairs it.

use rusqlite::{Connection, OpenFlags, Row};

use super::Store;
use super::batch::{Batch, ModelRow, Writer};
use super::pages::{VFS, damaged_pages};
use super::select::Selection;
use super::sqlite_error::At;
use super::vectors::checksum;
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

/// The tables whose rows are read one by one, as the program reads them, with a query for the row ids.
const VALUES: [(&str, &str); 6] = [
    ("root", "SELECT id FROM root ORDER BY id"),
    ("image", "SELECT id FROM image ORDER BY id"),
    ("feature", "SELECT image FROM feature ORDER BY image"),
    ("failure", "SELECT id FROM failure ORDER BY id"),
    ("run", "SELECT id FROM run ORDER BY id"),
    ("trace", "SELECT id FROM trace ORDER BY id"),
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
            problems.extend(self.run_check("word index", |store| Ok(store.check_words()?.into_iter().collect()))?);
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
    fn check_words(&self) -> Result<Option<Problem>> {
        let counts = "SELECT (SELECT count(*) FROM file WHERE id NOT IN (SELECT id FROM path_word_docsize)),
                             (SELECT count(*) FROM path_word_docsize WHERE id NOT IN (SELECT id FROM file))";
        let read = |row: &Row<'_>| Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?));
        let (missing, stale) = self.connection.query_row(counts, [], read).at(&self.path)?;
        let what = format!("{missing} files have no entry, and {stale} entries belong to no file");
        Ok((missing + stale > 0).then(|| Problem::new(what, "word index", Repair::Words)))
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
        self.connection
            .prepare("PRAGMA foreign_key_check")
            .and_then(|mut statement| statement.query_map([], read)?.collect())
            .at(&self.path)
    }

    /// Reads every row as the commands do, because a value of the right type may still be invalid.
    fn check_values(&self) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        for (table, sql) in VALUES {
            let mut statement = self.connection.prepare(sql).at(&self.path)?;
            let mut rows = statement.query([]).at(&self.path)?;
            while let Some(row) = rows.next().at(&self.path)? {
                let id: i64 = row.get(0).at(&self.path)?;
                match self.read_values(table, id) {
                    Err(Error::Damaged { reason, .. }) => {
                        problems.push(Problem::new(reason, format!("{table} {id}"), Repair::Row(table, id)));
                    }
                    result => result?,
                }
            }
        }
        self.labels()?;
        if problems.is_empty() {
            self.for_each_picture(&Selection::default(), |_| Ok(()))?;
        }
        Ok(problems)
    }

    /// Reads a row as the program does.
    fn read_values(&self, table: &str, id: i64) -> Result<()> {
        let query = |sql: &str, read: fn(&Row<'_>) -> rusqlite::Result<()>| {
            self.connection.prepare_cached(sql).and_then(|mut statement| statement.query_row([id], read)).at(&self.path)
        };
        match table {
            "root" => query("SELECT vanished, scan FROM root WHERE id = ?1", |row| {
                row.get::<_, u64>(0).and(row.get::<_, String>(1)).map(|_| ())
            }),
            "image" => {
                self.info_of(ImageId(id))?;
                query("SELECT hash, bytes FROM image WHERE id = ?1", |row| {
                    row.get::<_, [u8; 32]>(0).and(row.get::<_, u64>(1)).map(|_| ())
                })
            }
            "feature" => self.features(ImageId(id)).map(|_| ()),
            "trace" => self.trace_at(id).map(|_| ()),
            "failure" => query("SELECT attempts, reason FROM failure WHERE id = ?1", |row| {
                row.get::<_, u32>(0).and(row.get::<_, String>(1)).map(|_| ())
            }),
            _ => query("SELECT embedded, peak_memory, report FROM run WHERE id = ?1", |row| {
                row.get::<_, u64>(0).and(row.get::<_, Option<u64>>(1)).and(row.get::<_, String>(2)).map(|_| ())
            }),
        }
    }

    fn check_vectors(&self) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        let models: Vec<(i64, i64)> = self
            .connection
            .prepare("SELECT id, dimension FROM model")
            .and_then(|mut statement| statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
            .at(&self.path)?;
        for (model, dimension) in models {
            let found = self.check_vectors_of(ModelRow(model), dimension)?;
            problems.extend(found);
        }
        Ok(problems)
    }

    fn check_vectors_of(&self, model: ModelRow, dimension: i64) -> Result<Vec<Problem>> {
        let sql = "SELECT id, image, vector, checksum FROM embedding WHERE model = ?1 ORDER BY id";
        let mut statement = self.connection.prepare(sql).at(&self.path)?;
        let mut rows = statement.query([model.0]).at(&self.path)?;
        let (mut problems, mut valid, mut lengths) = (Vec::new(), 0_u64, Lengths::None);
        while let Some(row) = rows.next().at(&self.path)? {
            let vector = VectorBytes::read(row).at(&self.path)?;
            match vector.problem(dimension) {
                None => valid += 1,
                Some((what, length)) => {
                    lengths = lengths.and(length);
                    problems.push(Problem::new(
                        what,
                        format!("embedding {}", vector.id),
                        Repair::Vector(vector.image, model),
                    ));
                }
            }
        }
        // If all vectors are intact and have the same length, the model's row is wrong, not the vectors.
        if let (0, Lengths::One(length)) = (valid, lengths) {
            let what = format!("its dimension is {dimension}, but all of its vectors have {length} components");
            return Ok(vec![Problem::new(what, format!("model {}", model.0), Repair::Dimension(model, length))]);
        }
        Ok(problems)
    }
}

/// The lengths of the vectors that are intact apart from their length.
#[derive(Clone, Copy)]
enum Lengths {
    None,
    One(usize),
    Several,
}

impl Lengths {
    fn and(self, length: Option<usize>) -> Self {
        match (self, length) {
            (Self::None, Some(length)) => Self::One(length),
            (Self::One(one), Some(length)) if one == length => self,
            _ => Self::Several,
        }
    }
}

/// A stored vector that may be damaged.
struct VectorBytes<'a> {
    id: i64,
    image: ImageId,
    bytes: &'a [u8],
    checksum: i64,
}

impl<'a> VectorBytes<'a> {
    fn read(row: &'a Row<'_>) -> rusqlite::Result<Self> {
        let (id, image, checksum) = (row.get(0)?, ImageId(row.get(1)?), row.get(3)?);
        Ok(Self { id, image, bytes: row.get_ref(2)?.as_blob()?, checksum })
    }

    /// What is wrong, if anything; with the number of components if only that is wrong.
    fn problem(&self, dimension: i64) -> Option<(String, Option<usize>)> {
        let length = self.bytes.len() / 2;
        if checksum(self.bytes) != self.checksum {
            return Some(("the vector does not match its checksum".into(), None));
        }
        if let Err(error) = Embedding::from_f16_bytes(self.bytes) {
            return Some((error.to_string(), None));
        }
        let what = || format!("the vector has {length} components, but its model produces {dimension}");
        (i64::try_from(length) != Ok(dimension)).then(|| (what(), Some(length)))
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
                Repair::Dimension(model, length) => batch.set_dimension(model, length)?,
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
    fn set_dimension(&self, model: ModelRow, length: usize) -> Result<()> {
        self.run("UPDATE model SET dimension = ?2 WHERE id = ?1", [model.0, length as i64]).map(|_| ())
    }

    fn delete_row(&self, table: &str, id: i64) -> Result<()> {
        match table {
            "root" => _ = self.run("UPDATE root SET vanished = 0, scan = '{}' WHERE id = ?1", [id])?,
            "image" => {
                // Without their rows, its files are new to the next `add`, which reads them again.
                self.run("DELETE FROM file WHERE image = ?1", [id])?;
                self.run("DELETE FROM image WHERE id = ?1", [id])?;
            }
            "feature" => _ = self.run("DELETE FROM feature WHERE image = ?1", [id])?,
            "run" => _ = self.run("DELETE FROM run WHERE id = ?1", [id])?,
            "trace" => _ = self.run("DELETE FROM trace WHERE id = ?1", [id])?,
            _ => _ = self.run("DELETE FROM failure WHERE id = ?1", [id])?,
        }
        Ok(())
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
            "DELETE FROM failure WHERE image NOT IN (SELECT id FROM image) OR model NOT IN (SELECT id FROM model)
                 OR root NOT IN (SELECT id FROM root)",
        ] {
            self.run(sql, [])?;
        }
        Ok(())
    }
}
