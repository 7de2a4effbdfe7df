//! Whether the database is whole, and mending it.

use rusqlite::{Connection, OpenFlags, Row};

use super::Store;
use super::batch::{Batch, ModelRow, Writer};
use super::pages::{VFS, damaged_pages};
use super::select::Selection;
use super::sqlite_error::At;
use super::vectors::checksum;
use crate::error::{Error, Result};
use crate::types::{Embedding, ImageId};

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// In which table, row or file.
    pub place: String,
    /// What mends it.
    pub(crate) mend: Mend,
}

/// What mends a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mend {
    /// Making a derived file again.
    Derived,
    /// Making a vector again.
    Vector(ImageId, ModelRow),
    /// Noting the length that a model's vectors have.
    Dimension(ModelRow, usize),
    /// Writing the index of words again.
    Words,
    /// Removing rows that refer to nothing.
    Orphans,
    /// Removing a row that cannot be read, or of a root what cannot be read in it.
    Row(&'static str, i64),
    /// A new database of all that can be read.
    Salvage,
}

impl Problem {
    /// A problem with a derived file.
    pub(crate) fn of_derived(what: impl Into<String>, place: impl Into<String>) -> Self {
        Self::new(what, place, Mend::Derived)
    }

    /// Whether only a new database mends it.
    pub(crate) fn needs_salvage(&self) -> bool {
        self.mend == Mend::Salvage
    }

    fn new(what: impl Into<String>, place: impl Into<String>, mend: Mend) -> Self {
        Self { what: what.into(), place: place.into(), mend }
    }
}

/// Rows that are read one by one, each as the program reads them, by their numbers.
const VALUES: [(&str, &str); 6] = [
    ("root", "SELECT id FROM root ORDER BY id"),
    ("image", "SELECT id FROM image ORDER BY id"),
    ("feature", "SELECT image FROM feature ORDER BY image"),
    ("failure", "SELECT id FROM failure ORDER BY id"),
    ("run", "SELECT id FROM run ORDER BY id"),
    ("trace", "SELECT id FROM trace ORDER BY id"),
];

impl Store {
    /// Looks at every page, reference, value and vector.
    pub fn check(&self) -> Result<Vec<Problem>> {
        let pages = damaged_pages(&self.connection, &self.path).map_err(Error::io("read", &self.path))?;
        let of_page =
            |page: &u64| Problem::new("it does not match its checksum", format!("page {page}"), Mend::Salvage);
        let mut problems: Vec<Problem> = pages.iter().map(of_page).collect();
        // Everything else would come to the same pages.
        if problems.is_empty() {
            problems.extend(self.found("database", Self::check_structure)?);
        }
        if problems.is_empty() {
            problems.extend(self.found("references", Self::check_references)?);
            problems.extend(self.found("values", Self::check_values)?);
            problems.extend(self.found("vectors", Self::check_vectors)?);
            problems.extend(self.found("index of words", |store| Ok(store.check_words()?.into_iter().collect()))?);
        }
        Ok(problems)
    }

    /// What a check has found; that it comes to something damaged is a problem too.
    fn found(&self, place: &str, check: impl FnOnce(&Self) -> Result<Vec<Problem>>) -> Result<Vec<Problem>> {
        match check(self) {
            Err(Error::Damaged { reason, .. }) => Ok(vec![Problem::new(reason, place, Mend::Salvage)]),
            result => result,
        }
    }

    /// The index of words has a row for each file, and no others. Whether it is whole by itself, SQLite has told with its pages.
    fn check_words(&self) -> Result<Option<Problem>> {
        let missing_or_more = "SELECT (SELECT count(*) FROM file WHERE id NOT IN (SELECT id FROM path_word_docsize)),
                                      (SELECT count(*) FROM path_word_docsize WHERE id NOT IN (SELECT id FROM file))";
        let read = |row: &Row<'_>| Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?));
        let (missing, more) = self.connection.query_row(missing_or_more, [], read).at(&self.path)?;
        let what = format!("the words of {missing} files are missing, and those of {more} are there that are no files");
        Ok((missing + more > 0).then(|| Problem::new(what, "index of words", Mend::Words)))
    }

    fn check_structure(&self) -> Result<Vec<Problem>> {
        // For one who may only read, SQLite does not look at the rules for values.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let writable = Connection::open_with_flags_and_vfs(&self.path, flags, VFS);
        let writable = writable.ok().filter(|connection| !connection.is_readonly("main").unwrap_or(true));
        let lines: Vec<String> = writable
            .as_ref()
            .unwrap_or(&self.connection)
            .prepare("PRAGMA integrity_check")
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
            .at(&self.path)?;
        let is_wrong = |line: &String| line != "ok";
        Ok(lines.into_iter().filter(is_wrong).map(|line| Problem::new(line, "database", Mend::Salvage)).collect())
    }

    fn check_references(&self) -> Result<Vec<Problem>> {
        let read = |row: &Row<'_>| {
            let (table, id, parent): (String, Option<i64>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let place = id.map_or_else(|| table.clone(), |id| format!("{table} {id}"));
            Ok(Problem::new(format!("it refers to a row of {parent} that is not there"), place, Mend::Orphans))
        };
        self.connection
            .prepare("PRAGMA foreign_key_check")
            .and_then(|mut statement| statement.query_map([], read)?.collect())
            .at(&self.path)
    }

    /// Reads every row as the commands do: a value may be of the right type and still be none that can be there.
    fn check_values(&self) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        for (table, sql) in VALUES {
            let mut statement = self.connection.prepare(sql).at(&self.path)?;
            let mut rows = statement.query([]).at(&self.path)?;
            while let Some(row) = rows.next().at(&self.path)? {
                let id: i64 = row.get(0).at(&self.path)?;
                match self.read_values(table, id) {
                    Err(Error::Damaged { reason, .. }) => {
                        problems.push(Problem::new(reason, format!("{table} {id}"), Mend::Row(table, id)));
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
            let wrong = self.check_vectors_of(ModelRow(model), dimension)?;
            problems.extend(wrong);
        }
        Ok(problems)
    }

    fn check_vectors_of(&self, model: ModelRow, dimension: i64) -> Result<Vec<Problem>> {
        let sql = "SELECT id, image, vector, checksum FROM embedding WHERE model = ?1 ORDER BY id";
        let mut statement = self.connection.prepare(sql).at(&self.path)?;
        let mut rows = statement.query([model.0]).at(&self.path)?;
        let (mut problems, mut fits, mut lengths) = (Vec::new(), 0_u64, Lengths::None);
        while let Some(row) = rows.next().at(&self.path)? {
            let vector = VectorBytes::read(row).at(&self.path)?;
            match vector.fault(dimension) {
                None => fits += 1,
                Some((what, length)) => {
                    lengths = lengths.and(length);
                    problems.push(Problem::new(
                        what,
                        format!("embedding {}", vector.id),
                        Mend::Vector(vector.image, model),
                    ));
                }
            }
        }
        // All of one length, and whole: it is not they who are wrong.
        if let (0, Lengths::One(length)) = (fits, lengths) {
            let what = format!("it is said to give {dimension} components, and all of its vectors have {length}");
            return Ok(vec![Problem::new(what, format!("model {}", model.0), Mend::Dimension(model, length))]);
        }
        Ok(problems)
    }
}

/// The lengths of vectors that are whole but for their length.
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

    /// What is wrong; and its length, if it is only that.
    fn fault(&self, dimension: i64) -> Option<(String, Option<usize>)> {
        let length = self.bytes.len() / 2;
        if checksum(self.bytes) != self.checksum {
            return Some(("the vector does not match its checksum".into(), None));
        }
        if let Err(error) = Embedding::from_f16_bytes(self.bytes) {
            return Some((error.to_string(), None));
        }
        let what = || format!("the vector has {length} components, and its model gives {dimension}");
        (i64::try_from(length) != Ok(dimension)).then(|| (what(), Some(length)))
    }
}

impl Writer {
    /// Mends what can be mended within this database: damaged vectors, rows that refer to nothing or cannot be read, and the index of
    /// words. What is removed, the next `add` makes again.
    ///
    /// Returns the problems that are left, among them new ones.
    pub fn repair(&mut self, problems: &[Problem]) -> Result<Vec<Problem>> {
        let batch = self.batch()?;
        for problem in problems {
            match problem.mend {
                Mend::Vector(image, model) => batch.delete_embedding(image, model)?,
                Mend::Dimension(model, length) => batch.set_dimension(model, length)?,
                Mend::Row(table, id) => batch.delete_row(table, id)?,
                Mend::Orphans => batch.delete_orphans()?,
                Mend::Words => {
                    batch.run("INSERT INTO path_word (path_word) VALUES ('delete-all')", [])?;
                    batch.run("INSERT INTO path_word (rowid, words) SELECT id, CAST(path AS TEXT) FROM file", [])?;
                }
                Mend::Derived | Mend::Salvage => {}
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
                // Its files are new to the next `add`, which reads them again.
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

    /// Removes rows whose counterparts are gone. A vector without its classes is made again, so it goes with them.
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
