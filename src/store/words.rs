//! What text queries match: labels that models assigned to images, and words in paths.

use rusqlite::params;

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

    /// The images of present files that have all of these words in their path, or that lie in one of these roots.
    pub fn images_with_words<'a>(
        &self,
        words: impl Iterator<Item = &'a str>,
        roots: &[RootId],
    ) -> Result<Vec<ImageId>> {
        // Quoted, words are not interpreted as FTS5 syntax.
        let words: Vec<String> = words.map(|word| format!("\"{}\"", word.replace('"', "\"\""))).collect();
        let roots: Vec<String> = roots.iter().map(|root| root.0.to_string()).collect();
        let sql = format!(
            "SELECT file.image FROM path_word JOIN file ON file.id = path_word.rowid
             WHERE path_word MATCH ?1 AND file.image IS NOT NULL AND file.missing_since IS NULL
             UNION
             SELECT image FROM file WHERE root IN ({}) AND image IS NOT NULL AND missing_since IS NULL",
            roots.join(",")
        );
        self.rows(&sql, [words.join(" ")], |row| row.get(0).map(ImageId))
    }
}
