//! Fingerprints by which duplicates are found, and dismissed pairs.

use rusqlite::{Row, params};

use super::Store;
use super::batch::Batch;
use super::select::{SelectedFiles, Selection};
use crate::error::Result;
use crate::types::{ContentHash, Features, ImageId};

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
            "SELECT image.id, hash, image.width, image.height, bytes, files, dhash, phash
             FROM (SELECT file.image AS id, count(*) AS files FROM file JOIN image ON image.id = file.image
                   WHERE missing_since IS NULL AND image.format IS NOT NULL AND {selected} GROUP BY file.image) held
             JOIN image ON image.id = held.id LEFT JOIN feature ON feature.image = image.id AND version = {version}
             ORDER BY image.id"
        );
        self.rows(&sql, query.parameters(), read)
    }

    /// Pairs of images that were dismissed as duplicates. A pair of equal hashes dismisses the copies of one image.
    pub fn dismissals(&self) -> Result<Vec<(ContentHash, ContentHash)>> {
        let read = |row: &Row<'_>| Ok((row.get::<_, [u8; 32]>(0)?.into(), row.get::<_, [u8; 32]>(1)?.into()));
        self.rows("SELECT a, b FROM dismissal", [], read)
    }
}

impl Batch<'_> {
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
