//! Fingerprints and miniatures by which duplicates are found, and dismissed pairs.

use rusqlite::{Row, params};

use super::Store;
use super::batch::Batch;
use super::features::colors_from_bytes;
use super::select::{SelectedFiles, Selection};
use super::sqlite_error::At;
use crate::error::Result;
use crate::types::{ContentHash, DominantColor, Features, ImageId, Miniature};

/// What duplicates of an image are recognized by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// Row id.
    pub image: ImageId,
    /// Digest of the content.
    pub hash: ContentHash,
    /// Width of the upright image in pixels.
    pub width: u32,
    /// Height of the upright image in pixels.
    pub height: u32,
    /// Length in bytes.
    pub bytes: u64,
    /// Number of present files that hold the image.
    pub files: u64,
    /// Difference hash and perceptual hash, if they were measured with the current [`Features::VERSION`].
    pub hashes: Option<(u64, u64)>,
    /// Whether it was classified as a photograph.
    pub is_photo: bool,
}

/// What the best of several duplicates is chosen by, apart from its files.
#[derive(Debug, Clone, PartialEq)]
pub struct Provenance {
    /// The name of the format.
    pub format: String,
    /// When the camera took it: `YYYY-MM-DD HH:MM:SS` by the camera's clock.
    pub taken: Option<String>,
    /// Whether it is known by a thumbnail only.
    pub is_provisional: bool,
    /// The dominant colours; empty if they were not measured with the current [`Features::VERSION`].
    pub colors: Vec<DominantColor>,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Fingerprint> {
    let dhash: Option<i64> = row.get(6)?;
    let phash: Option<i64> = row.get(7)?;
    Ok(Fingerprint {
        image: ImageId(row.get(0)?),
        hash: row.get::<_, [u8; 32]>(1)?.into(),
        width: row.get(2)?,
        height: row.get(3)?,
        bytes: row.get::<_, i64>(4)? as u64,
        files: row.get::<_, i64>(5)? as u64,
        hashes: dhash.zip(phash).map(|(dhash, phash)| (dhash as u64, phash as u64)),
        is_photo: row.get::<_, Option<bool>>(8)?.unwrap_or(false),
    })
}

impl Store {
    /// The fingerprints of all images that were decoded and that a selected, present file holds, in the order of their
    /// rows.
    pub fn fingerprints(&self, selection: &Selection) -> Result<Vec<Fingerprint>> {
        let mut query = SelectedFiles::new(selection);
        let selected = query.condition("file", "image");
        let version = Features::VERSION;
        let sql = format!(
            "SELECT image.id, hash, image.width, image.height, bytes, files, dhash, phash, type = 'photo'
             FROM (SELECT file.image AS id, count(*) AS files FROM file JOIN image ON image.id = file.image
                   WHERE missing_since IS NULL AND image.format IS NOT NULL AND {selected} GROUP BY file.image) held
             JOIN image ON image.id = held.id LEFT JOIN feature ON feature.image = image.id AND version = {version}
             ORDER BY image.id"
        );
        self.rows(&sql, query.parameters(), read)
    }

    /// Calls `each` with the miniature of every image that was measured with the current [`Features::VERSION`].
    pub fn for_each_miniature(&self, mut each: impl FnMut(ImageId, Miniature)) -> Result<()> {
        let sql = "SELECT image, cells FROM miniature WHERE image IN (SELECT image FROM feature WHERE version = ?1)";
        self.for_each(sql, [Features::VERSION], |row| {
            let image = row.get(0).map(ImageId).at(&self.path)?;
            read_miniature(row, 1).at(&self.path)?.into_iter().for_each(|miniature| each(image, miniature));
            Ok(())
        })
    }

    /// The miniature of an image.
    pub fn miniature(&self, image: ImageId) -> Result<Option<Miniature>> {
        let found =
            self.find("SELECT cells FROM miniature WHERE image = ?1", [image.0], |row| read_miniature(row, 0))?;
        Ok(found.flatten())
    }

    /// The provenance of a decoded image.
    pub fn provenance(&self, image: ImageId) -> Result<Provenance> {
        let read = |row: &Row<'_>| {
            let colors: Option<&[u8]> = row.get_ref(2)?.as_blob_or_null()?;
            Ok(Provenance {
                format: row.get::<_, Option<String>>(0)?.unwrap_or_default(),
                taken: row.get(1)?,
                is_provisional: row.get(3)?,
                colors: colors.map(colors_from_bytes).unwrap_or_default(),
            })
        };
        self.row(
            "SELECT format, taken, dominant_colors, decoded_from IS 'thumbnail' FROM image
             LEFT JOIN feature ON feature.image = image.id AND version = ?2 WHERE image.id = ?1",
            params![image.0, Features::VERSION],
            read,
        )
    }

    /// Pairs of images that were dismissed as duplicates. A pair of equal hashes dismisses the copies of one image.
    pub fn dismissals(&self) -> Result<Vec<(ContentHash, ContentHash)>> {
        let read = |row: &Row<'_>| Ok((row.get::<_, [u8; 32]>(0)?.into(), row.get::<_, [u8; 32]>(1)?.into()));
        self.rows("SELECT a, b FROM dismissal", [], read)
    }
}

fn read_miniature(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Miniature>> {
    Ok(Miniature::from_bytes(row.get_ref(column)?.as_blob()?))
}

impl Batch<'_> {
    /// Stores the miniature of an image, replacing an older one.
    pub fn put_miniature(&self, image: ImageId, miniature: &Miniature) -> Result<()> {
        self.run("INSERT OR REPLACE INTO miniature VALUES (?1, ?2)", params![image.0, miniature.to_bytes()])
    }

    /// Records that two images are not duplicates of each other or, given the same hash twice, that the copies of one
    /// image are not. Returns `false` if that was recorded before.
    pub fn dismiss(&self, a: &ContentHash, b: &ContentHash) -> Result<bool> {
        let (a, b) = (a.as_bytes().min(b.as_bytes()), a.as_bytes().max(b.as_bytes()));
        let insert = "INSERT INTO dismissal (a, b, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        Ok(self.change(insert, params![a, b, self.now()])? > 0)
    }

    /// Removes a dismissal. Returns whether there was one.
    pub fn undismiss(&self, a: &ContentHash, b: &ContentHash) -> Result<bool> {
        let (a, b) = (a.as_bytes().min(b.as_bytes()), a.as_bytes().max(b.as_bytes()));
        Ok(self.change("DELETE FROM dismissal WHERE a = ?1 AND b = ?2", [a, b])? > 0)
    }
}
