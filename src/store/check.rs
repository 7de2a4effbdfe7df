//! Whether the database is whole.

use rusqlite::Row;

use super::Store;
use super::batch::{ModelRow, Writer};
use super::sqlite_error::At;
use super::vectors::checksum;
use crate::error::Result;
use crate::types::{Embedding, ImageId};

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// In which table, row or file.
    pub place: String,
    /// The vector that is to be made again, where that mends it.
    pub(crate) vector: Option<(ImageId, ModelRow)>,
}

impl Problem {
    /// A problem that repairing a single vector does not mend.
    pub(crate) fn new(what: impl Into<String>, place: impl Into<String>) -> Self {
        Self { what: what.into(), place: place.into(), vector: None }
    }
}

/// Where problems with the words of paths are.
const WORDS: &str = "index of words";

impl Store {
    /// Looks at every page, reference and vector.
    pub fn check(&self) -> Result<Vec<Problem>> {
        let mut problems = self.check_pages()?;
        problems.extend(self.check_references()?);
        problems.extend(self.check_vectors()?);
        problems.extend(self.check_words()?);
        Ok(problems)
    }

    /// The index of words has a row for each file, and no others. Whether it is whole by itself, SQLite has told with its pages.
    fn check_words(&self) -> Result<Option<Problem>> {
        let missing_or_more = "SELECT (SELECT count(*) FROM file WHERE id NOT IN (SELECT id FROM path_word_docsize)),
                                      (SELECT count(*) FROM path_word_docsize WHERE id NOT IN (SELECT id FROM file))";
        let read = |row: &Row<'_>| Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?));
        let (missing, more) = self.connection.query_row(missing_or_more, [], read).at(&self.path)?;
        let what = format!("the words of {missing} files are missing, and those of {more} are there that are no files");
        Ok((missing + more > 0).then(|| Problem::new(what, WORDS)))
    }

    fn check_pages(&self) -> Result<Vec<Problem>> {
        let lines: Vec<String> = self
            .connection
            .prepare("PRAGMA integrity_check")
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
            .at(&self.path)?;
        Ok(lines.into_iter().filter(|line| line != "ok").map(|line| Problem::new(line, "database")).collect())
    }

    fn check_references(&self) -> Result<Vec<Problem>> {
        let read = |row: &Row<'_>| {
            let (table, id, parent): (String, Option<i64>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let place = id.map_or_else(|| table.clone(), |id| format!("{table} {id}"));
            Ok(Problem::new(format!("it refers to a row of {parent} that is not there"), place))
        };
        self.connection
            .prepare("PRAGMA foreign_key_check")
            .and_then(|mut statement| statement.query_map([], read)?.collect())
            .at(&self.path)
    }

    fn check_vectors(&self) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        let mut statement = self
            .connection
            .prepare(
                "SELECT embedding.id, image, model, vector, checksum, dimension
                 FROM embedding JOIN model ON model.id = model ORDER BY embedding.id",
            )
            .at(&self.path)?;
        let mut rows = statement.query([]).at(&self.path)?;
        while let Some(row) = rows.next().at(&self.path)? {
            if let Some(problem) = check_vector(row).at(&self.path)? {
                problems.push(problem);
            }
        }
        Ok(problems)
    }
}

fn check_vector(row: &Row<'_>) -> rusqlite::Result<Option<Problem>> {
    let (id, image, model): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let bytes = row.get_ref(3)?.as_blob()?;
    let dimension: usize = row.get(5)?;
    let what = if checksum(bytes) != row.get::<_, i64>(4)? {
        "the vector does not match its checksum".to_owned()
    } else if bytes.len() != 2 * dimension {
        format!("the vector has {} components, and its model gives {dimension}", bytes.len() / 2)
    } else if let Err(error) = Embedding::from_f16_bytes(bytes) {
        error.to_string()
    } else {
        return Ok(None);
    };
    let vector = Some((ImageId(image), ModelRow(model)));
    Ok(Some(Problem { what, place: format!("embedding {id}"), vector }))
}

impl Writer {
    /// Removes the damaged vectors among the problems, so that the next `add` makes them again, and rebuilds
    /// SQLite's own indexes. Tells for each problem whether that mended it.
    pub fn repair(&mut self, problems: &[Problem]) -> Result<Vec<bool>> {
        let batch = self.batch()?;
        for (image, model) in problems.iter().filter_map(|problem| problem.vector) {
            batch.delete_embedding(image, model)?;
        }
        if problems.iter().any(|problem| problem.place == WORDS) {
            batch.run("INSERT INTO path_word (path_word) VALUES ('delete-all')", [])?;
            batch.run("INSERT INTO path_word (rowid, words) SELECT id, CAST(path AS TEXT) FROM file", [])?;
        }
        batch.run("REINDEX", [])?;
        batch.commit()?;
        let left = self.check()?;
        Ok(problems.iter().map(|problem| !left.contains(problem)).collect())
    }
}
