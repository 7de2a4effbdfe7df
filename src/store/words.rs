//! What text queries match: labels that models assigned to images, and words in paths.

use std::collections::HashSet;

use rusqlite::{Connection, params};

use super::Store;
use super::batch::ModelRow;
use super::orphans::OrphanState;
use super::sqlite_error::At;
use crate::error::Result;
use crate::types::{ImageId, RootId};

/// The row id of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LabelRow(i64);

/// A label that a model has assigned to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenLabel {
    /// Row id.
    pub row: LabelRow,
    /// Name of the label.
    pub name: String,
}

impl Store {
    /// All labels that any model has ever assigned.
    pub fn labels(&self) -> Result<Vec<SeenLabel>> {
        self.rows("SELECT id, name FROM label ORDER BY id", [], |row| {
            Ok(SeenLabel { row: LabelRow(row.get(0)?), name: row.get(1)? })
        })
    }

    /// The labels that a model ranks first for images of present files, with the number of these images, the most
    /// frequent first.
    pub fn top_labels(&self, model: ModelRow, orphans: OrphanState, count: usize) -> Result<Vec<(String, u64)>> {
        let held = orphans.condition("classification.image");
        let sql = format!(
            "SELECT label.name, pictures
             FROM (SELECT label AS id, count(*) AS pictures FROM classification
                   WHERE model = ?1 AND rank = 0 AND {held} GROUP BY label)
             JOIN label USING (id) ORDER BY pictures DESC, label.name LIMIT ?2"
        );
        self.rows(&sql, params![model.0, count], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Calls `each` with every image to which a model has assigned one of these labels, the label, and its score. The
    /// labels of an image come in the order of their ranks.
    pub fn for_each_seen(
        &self,
        model: ModelRow,
        labels: impl Iterator<Item = LabelRow>,
        mut each: impl FnMut(ImageId, LabelRow, f32),
    ) -> Result<()> {
        // There may be too many row ids to bind. They are integers, so the statement needs no escaping.
        let rows: Vec<String> = labels.map(|label| label.0.to_string()).collect();
        let sql = format!(
            "SELECT image, label, score FROM classification WHERE label IN ({}) AND model = ?1 ORDER BY image, rank",
            rows.join(",")
        );
        let mut statement = self.connection.prepare(&sql).at(&self.path)?;
        let mut rows = statement.query([model.0]).at(&self.path)?;
        while let Some(row) = rows.next().at(&self.path)? {
            let (image, label, score) = <(i64, i64, f32)>::try_from(row).at(&self.path)?;
            each(ImageId(image), LabelRow(label), score);
        }
        Ok(())
    }

    /// Of these images, keeps those that could be decoded and that some present file holds.
    pub fn retain_pictures(&self, images: &mut HashSet<ImageId>) -> Result<()> {
        let sql = "SELECT EXISTS (SELECT 1 FROM image JOIN file ON file.image = image.id
                   WHERE image.id = ?1 AND image.format IS NOT NULL AND file.missing_since IS NULL)";
        let mut statement = self.connection.prepare_cached(sql).at(&self.path)?;
        let mut kept = HashSet::with_capacity(images.len());
        // In the order of their rows, so that each page is read once.
        let mut ordered: Vec<ImageId> = images.iter().copied().collect();
        ordered.sort_unstable();
        for image in ordered {
            if statement.query_row([image.0], |row| row.get(0)).at(&self.path)? {
                kept.insert(image);
            }
        }
        *images = kept;
        Ok(())
    }

    /// The images of present files that have all words of one of these phrases in their path, or in the name of their
    /// root. Plurals and accents do not matter.
    pub fn images_with_words(&self, phrases: &[String]) -> Result<Vec<ImageId>> {
        let expression = match_expression(phrases);
        let roots: Vec<String> = self.roots_with_words(&expression)?.iter().map(|root| root.0.to_string()).collect();
        let sql = format!(
            "SELECT file.image FROM path_word JOIN file ON file.id = path_word.rowid
             WHERE path_word MATCH ?1 AND file.image IS NOT NULL AND file.missing_since IS NULL
             UNION
             SELECT image FROM file WHERE root IN ({}) AND image IS NOT NULL AND missing_since IS NULL",
            roots.join(",")
        );
        self.rows(&sql, [expression], |row| row.get(0).map(ImageId))
    }

    /// The roots whose name matches. An index in memory compares them exactly as `path_word` compares paths.
    fn roots_with_words(&self, expression: &str) -> Result<Vec<RootId>> {
        let names = Connection::open_in_memory().at(&self.path)?;
        names
            .execute_batch(
                "CREATE VIRTUAL TABLE root_word USING fts5 (
                     words, content = '', tokenize = 'porter unicode61 remove_diacritics 2'
                 )",
            )
            .at(&self.path)?;
        for root in self.roots()? {
            let name = root.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let row = params![root.id.0, name];
            names.execute("INSERT INTO root_word (rowid, words) VALUES (?1, ?2)", row).at(&self.path)?;
        }
        let mut statement = names.prepare("SELECT rowid FROM root_word WHERE root_word MATCH ?1").at(&self.path)?;
        let roots = statement.query_map([expression], |row| row.get(0).map(RootId)).at(&self.path)?;
        roots.collect::<rusqlite::Result<_>>().at(&self.path)
    }
}

/// The FTS5 expression that matches texts with all words of one of these phrases. Quoted, words are not interpreted as
/// FTS5 syntax.
pub(super) fn match_expression(phrases: &[String]) -> String {
    let quoted = |word: &str| format!("\"{}\"", word.replace('"', "\"\""));
    let all = |phrase: &String| format!("({})", phrase.split(' ').map(quoted).collect::<Vec<_>>().join(" AND "));
    phrases.iter().map(all).collect::<Vec<_>>().join(" OR ")
}
