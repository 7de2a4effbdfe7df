//! Lists and counts for `list`, `show`, `export` and `status`.

use std::path::PathBuf;

use rusqlite::Row;

use super::Store;
use super::files::full_path;
use super::orphans::OrphanState;
use super::select::{SelectedFiles, Selection, Subtree};
use super::sqlite_error::At;
use crate::error::Result;
use crate::types::{ContentHash, DecodedFrom, ImageId, ImageInfo};

/// A present file that holds a picture, with what is stored about the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureRow {
    /// Absolute path.
    pub path: PathBuf,
    /// Row id of the image.
    pub image: ImageId,
    /// Digest of the content.
    pub hash: ContentHash,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// What decoding found; `None` if the image could not be decoded.
    pub info: Option<ImageInfo>,
}

/// Numbers of indexed images and files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Images that could be decoded and that some present file holds.
    pub images: u64,
    /// Present files that hold these images.
    pub files: u64,
    /// Files that are marked missing.
    pub missing: u64,
    /// Present files that are not pictures that can be indexed.
    pub skipped: u64,
    /// Present files that hold a truncated picture.
    pub truncated: u64,
}

const PICTURES: &str = "SELECT root.path, file.path, image.id, hash, bytes, format, width, height, orientation,
        has_alpha, truncated, taken, decoded_from
    FROM file JOIN root ON root.id = file.root JOIN image ON image.id = file.image
    WHERE file.missing_since IS NULL";

/// What of a file an image was decoded from, by the name that is stored.
fn decoded_from(name: Option<&str>) -> DecodedFrom {
    let is_named = |from: &DecodedFrom| name == Some(from.as_str());
    DecodedFrom::ALL.into_iter().find(is_named).unwrap_or_default()
}

fn read_info(row: &Row<'_>) -> rusqlite::Result<Option<ImageInfo>> {
    let Some(format) = row.get(5)? else { return Ok(None) };
    Ok(Some(ImageInfo {
        format,
        width: row.get(6)?,
        height: row.get(7)?,
        orientation: row.get(8)?,
        has_alpha: row.get(9)?,
        truncated: row.get(10)?,
        taken: row.get(11)?,
        decoded_from: decoded_from(row.get_ref(12)?.as_str_or_null()?),
    }))
}

fn read(row: &Row<'_>) -> rusqlite::Result<PictureRow> {
    Ok(PictureRow {
        path: full_path(row, 0, 1)?,
        image: ImageId(row.get(2)?),
        hash: row.get::<_, [u8; 32]>(3)?.into(),
        bytes: row.get::<_, i64>(4)? as u64,
        info: read_info(row)?,
    })
}

impl Store {
    /// Calls `each` with every selected, present file that holds a decoded image, sorted by root and path.
    pub fn for_each_picture(
        &self,
        selection: &Selection,
        mut each: impl FnMut(PictureRow) -> Result<()>,
    ) -> Result<()> {
        let mut query = SelectedFiles::new(selection);
        let selected = query.condition("file", "image");
        let sql = format!("{PICTURES} AND image.format IS NOT NULL AND {selected} ORDER BY root.path, file.path");
        self.for_each(&sql, query.parameters(), |row| each(read(row).at(&self.path)?))
    }

    /// What is stored about an image, with the first of the present files that hold it.
    pub fn picture(&self, image: ImageId) -> Result<Option<PictureRow>> {
        self.find(&format!("{PICTURES} AND image.id = ?1 ORDER BY root.path, file.path LIMIT 1"), [image.0], read)
    }

    /// What decoding found out about an image, whether or not some present file holds it.
    pub fn info_of(&self, image: ImageId) -> Result<Option<ImageInfo>> {
        let sql = "SELECT NULL, NULL, id, hash, bytes, format, width, height, orientation, has_alpha, truncated,
                          taken, decoded_from
                   FROM image WHERE id = ?1";
        self.find(sql, [image.0], read_info).map(Option::flatten)
    }

    /// Counts what is indexed. Each number is read at a different time, unless the caller holds a snapshot.
    pub fn counts(&self, orphans: OrphanState) -> Result<Counts> {
        let number = |sql: &str| -> Result<u64> { self.row(sql, [], |row| row.get(0)) };
        // The rare images (undecodable, truncated) have indexes of their own. All others are counted without look-ups.
        let files_of = |images: &str| {
            number(&format!(
                "SELECT count(*) FROM image CROSS JOIN file ON file.image = image.id
                 WHERE image.{images} AND missing_since IS NULL"
            ))
        };
        let images_where = |sql: &str| {
            number(&format!("SELECT count(*) FROM image WHERE {sql} AND {}", orphans.condition("image.id")))
        };
        let with_content = number("SELECT count(*) FROM file WHERE image IS NOT NULL AND missing_since IS NULL")?;
        Ok(Counts {
            images: images_where("TRUE")?.saturating_sub(images_where("format IS NULL")?),
            files: with_content.saturating_sub(files_of("format IS NULL")?),
            missing: number("SELECT count(*) FROM file WHERE missing_since IS NOT NULL")?,
            skipped: number("SELECT count(*) FROM file WHERE skipped IS NOT NULL AND missing_since IS NULL")?,
            truncated: files_of("truncated = 1")?,
        })
    }

    /// Number of images of present files that were decoded from thumbnails only.
    pub fn provisional(&self, orphans: OrphanState) -> Result<u64> {
        let sql = format!(
            "SELECT count(*) FROM image INDEXED BY image_provisional WHERE decoded_from = 'thumbnail' AND {}",
            orphans.condition("image.id")
        );
        self.row(&sql, [], |row| row.get(0))
    }

    /// Determines whether every image is held by some present file.
    pub fn held(&self) -> Result<OrphanState> {
        let sql = "SELECT (SELECT count(DISTINCT image) FROM file WHERE image IS NOT NULL AND missing_since IS NULL)
                        = (SELECT count(*) FROM image)";
        let all: bool = self.row(sql, [], |row| row.get(0))?;
        Ok(if all { OrphanState::All } else { OrphanState::Some })
    }

    /// Number of skipped present files by reason, the most frequent reason first; in these subtrees only, or in all.
    pub fn skipped_reasons(&self, under: Option<Vec<Subtree>>) -> Result<Vec<(String, u64)>> {
        let selection = Selection { under, ..Selection::default() };
        let mut query = SelectedFiles::new(&selection);
        let sql = format!(
            "SELECT skipped, count(*) FROM file WHERE skipped IS NOT NULL AND missing_since IS NULL AND {}
             GROUP BY skipped ORDER BY 2 DESC, 1",
            query.condition("file", "image")
        );
        self.rows(&sql, query.parameters(), |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Number of stored traces.
    pub fn count_traces(&self) -> Result<u64> {
        self.row("SELECT count(*) FROM trace", [], |row| row.get(0))
    }
}
