//! What pictures say of themselves: metadata of contents, of XMP files beside pictures, and of both together.
//!
//! The name of an XMP file shows what it belongs to: `a.jpg.xmp` to `a.jpg`, and `a.xmp` to all pictures `a.*` of its
//! folder that have no file of the first kind.

use rusqlite::params;

use super::batch::{Batch, ModelRow};
use super::words::match_expression;
use super::{FoundFile, KnownContent, Store};
use crate::error::Result;
use crate::types::{FileId, ImageId, Metadata, RootId};

/// The reason with which XMP files are listed among the files that are no pictures.
const SIDECAR: &str = "metadata of a picture beside it";

/// The endings of XMP files, as they occur on systems that distinguish them.
const ENDINGS: [&[u8]; 2] = [b".xmp", b".XMP"];

impl Store {
    /// What an image says of itself, and what the XMP file beside the first of its present files that has one says
    /// instead. `None` if its metadata has not been read.
    pub fn metadata_of(&self, image: ImageId) -> Result<Option<Metadata>> {
        let Some(said) =
            self.find("SELECT said FROM metadata WHERE image = ?1", [image.0], |row| row.get::<_, Option<String>>(0))?
        else {
            return Ok(None);
        };
        let beside: Option<String> = self.find(
            "SELECT s.said FROM file f JOIN description d ON d.file = f.id JOIN sidecar s ON s.file = d.sidecar
             WHERE f.image = ?1 AND f.missing_since IS NULL ORDER BY f.root, f.path LIMIT 1",
            [image.0],
            |row| row.get(0),
        )?;
        Ok(Some(from_json(beside).or(from_json(said))))
    }

    /// The images of present files of which it is said, in titles, descriptions, keywords or names, what one of these
    /// phrases says. Plurals and accents do not matter.
    pub fn images_said_to_be(&self, phrases: &[String]) -> Result<Vec<ImageId>> {
        self.rows(
            "SELECT DISTINCT file.image FROM said_word JOIN file ON file.id = said_word.rowid
             WHERE said_word MATCH ?1 AND file.image IS NOT NULL AND file.missing_since IS NULL",
            [match_expression(phrases)],
            |row| row.get(0).map(ImageId),
        )
    }

    /// The image in the row of a path, and its progress with a model.
    pub fn content_at(&self, root: RootId, path: &[u8], model: ModelRow) -> Result<Option<KnownContent>> {
        let hash: Option<[u8; 32]> = self.find(
            "SELECT hash FROM file JOIN image ON image.id = file.image WHERE root = ?1 AND path = ?2",
            params![root.0, path],
            |row| row.get(0),
        )?;
        hash.map_or(Ok(None), |hash| self.content(&hash.into(), model))
    }
}

impl Batch<'_> {
    /// Stores what a content says of itself, and what follows for its files.
    pub fn put_metadata(&self, image: ImageId, metadata: &Metadata) -> Result<()> {
        let said = (!metadata.is_empty()).then(|| to_json(metadata));
        self.run(
            "INSERT OR REPLACE INTO metadata (image, version, said) VALUES (?1, ?2, ?3)",
            params![image.0, Metadata::VERSION, said],
        )?;
        self.run("UPDATE image SET taken = ?2 WHERE id = ?1 AND taken IS NOT ?2", params![image.0, metadata.taken])?;
        let files = self.rows("SELECT id FROM file WHERE image = ?1", [image.0], |row| row.get(0).map(FileId))?;
        files.into_iter().try_for_each(|file| self.describe(file))
    }

    /// Stores an XMP file and what it says, and what follows for the pictures that it belongs to.
    pub fn put_sidecar(&self, file: &FoundFile, metadata: &Metadata) -> Result<()> {
        self.put_file(file, None, Some(SIDECAR))?;
        self.run(
            "INSERT OR REPLACE INTO sidecar (file, said)
             SELECT id, ?3 FROM file WHERE root = ?1 AND path = ?2",
            params![file.root.0, file.path, to_json(metadata)],
        )?;
        self.describe_beside(file.root, &file.path)
    }

    /// Updates what holds for the file at a path. If it is an XMP file, then for the pictures that it belongs to.
    pub fn describe_at(&self, root: RootId, path: &[u8]) -> Result<()> {
        let found = self.find(
            "SELECT id, EXISTS (SELECT 1 FROM sidecar WHERE sidecar.file = file.id) FROM file WHERE root = ?1 AND path = ?2",
            params![root.0, path],
            |row| Ok((FileId(row.get(0)?), row.get(1)?)),
        )?;
        match found {
            Some((_, true)) => self.describe_beside(root, path),
            Some((file, false)) => self.describe(file),
            None => Ok(()),
        }
    }

    /// Updates what holds for a file, as [`describe_at`](Self::describe_at) does.
    pub fn describe_again(&self, file: FileId) -> Result<()> {
        let place = self.find("SELECT root, path FROM file WHERE id = ?1", [file.0], |row| {
            Ok((RootId(row.get(0)?), row.get::<_, Vec<u8>>(1)?))
        })?;
        place.map_or(Ok(()), |(root, path)| self.describe_at(root, &path))
    }

    /// Updates what holds for pictures whose XMP file is no longer there.
    pub fn describe_orphaned(&self) -> Result<()> {
        let files = self.rows(
            "SELECT file FROM description d WHERE sidecar IS NOT NULL AND NOT EXISTS (
                 SELECT 1 FROM sidecar s JOIN file f ON f.id = s.file
                 WHERE s.file = d.sidecar AND f.missing_since IS NULL)",
            [],
            |row| row.get(0).map(FileId),
        )?;
        files.into_iter().try_for_each(|file| self.describe(file))
    }

    /// Moves what an XMP file says to the row of its new path.
    pub(super) fn move_sidecar(&self, from: FileId, to: &FoundFile) -> Result<()> {
        self.run(
            "UPDATE OR REPLACE sidecar SET file = (SELECT id FROM file WHERE root = ?2 AND path = ?3) WHERE file = ?1",
            params![from.0, to.root.0, to.path],
        )
    }

    /// Updates what holds for the pictures that an XMP file belongs to.
    fn describe_beside(&self, root: RootId, sidecar: &[u8]) -> Result<()> {
        let Some(stem) = ENDINGS.iter().find_map(|ending| sidecar.strip_suffix(*ending)) else { return Ok(()) };
        // All paths that begin with `stem.` lie between `stem.` and `stem/`, because `/` is the byte after the dot.
        let with = |last: u8| [stem, &[last]].concat();
        let files = self.rows(
            "SELECT id, path FROM file
             WHERE root = ?1 AND image IS NOT NULL AND (path = ?2 OR (path > ?3 AND path < ?4))",
            params![root.0, stem, with(b'.'), with(b'/')],
            |row| Ok((FileId(row.get(0)?), row.get::<_, Vec<u8>>(1)?)),
        )?;
        let belongs = |path: &[u8]| path == stem || stem_of(path) == Some(stem);
        files.into_iter().filter(|(_, path)| belongs(path)).try_for_each(|(file, _)| self.describe(file))
    }

    /// Updates what holds for a file.
    fn describe(&self, file: FileId) -> Result<()> {
        let row = self.find(
            "SELECT root, path, said FROM file LEFT JOIN metadata ON metadata.image = file.image
             WHERE id = ?1 AND file.image IS NOT NULL",
            [file.0],
            |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?, row.get(2)?)),
        )?;
        self.run("DELETE FROM description WHERE file = ?1", [file.0])?;
        let Some((root, path, said)) = row else { return Ok(()) };
        let (sidecar, beside) = self.sidecar_of(root, &path)?.unzip();
        let metadata = from_json(beside).or(from_json(said));
        if metadata.is_empty() && sidecar.is_none() {
            return Ok(());
        }
        let keywords: String =
            metadata.keywords.iter().map(|keyword| format!("{}\n", keyword.to_lowercase())).collect();
        let words = metadata.words();
        self.run(
            "INSERT INTO description (file, sidecar, camera, lens, latitude, longitude, rating, keywords, words)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                file.0,
                sidecar,
                metadata.camera(),
                metadata.lens,
                metadata.location.map(|location| location.latitude),
                metadata.location.map(|location| location.longitude),
                metadata.rating,
                (!keywords.is_empty()).then(|| format!("\n{keywords}")),
                (!words.is_empty()).then_some(words),
            ],
        )
    }

    /// The row id of the present XMP file that belongs to a picture, and what it says.
    fn sidecar_of(&self, root: i64, path: &[u8]) -> Result<Option<(i64, String)>> {
        let names = [Some(path), stem_of(path)].into_iter().flatten();
        let names = names.flat_map(|name| ENDINGS.map(|ending| [name, ending].concat()));
        let sql = "SELECT id, said FROM file JOIN sidecar ON sidecar.file = file.id
                   WHERE root = ?1 AND path = ?2 AND missing_since IS NULL";
        for name in names {
            let found = self.find(sql, params![root, name], |row| Ok((row.get(0)?, row.get(1)?)))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

/// A path without the extension of its file name. `None` if it has none.
fn stem_of(path: &[u8]) -> Option<&[u8]> {
    let name = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let dot = path[name..].iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0)?;
    Some(&path[..name + dot])
}

/// Metadata as JSON, without what it does not say.
fn to_json(metadata: &Metadata) -> String {
    let mut json = serde_json::to_value(metadata).expect("metadata consists of texts and numbers");
    if let Some(fields) = json.as_object_mut() {
        fields.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()));
    }
    json.to_string()
}

/// Metadata that [`to_json`] made. What another version made says only what this one understands.
fn from_json(json: Option<String>) -> Metadata {
    json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::stem_of;

    #[test]
    fn the_extension_is_that_of_the_file_name() {
        assert_eq!(stem_of(b"a.b/c.tar.gz"), Some(&b"a.b/c.tar"[..]));
        for without in [&b"a.b/c"[..], b"a/.hidden", b""] {
            assert_eq!(stem_of(without), None);
        }
    }
}
