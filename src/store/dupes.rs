//! What duplicates are found by, and pairs that are none.

use rusqlite::{Row, params};

use super::Store;
use super::batch::Batch;
use super::select::{SelectedFiles, Selection};
use super::sqlite_error::At;
use crate::error::Result;
use crate::types::{ContentHash, Features, ImageId};

/// A content of present files, with what it is told from others by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// Its row.
    pub image: ImageId,
    /// Its digest.
    pub hash: ContentHash,
    /// Width in pixels, upright.
    pub width: u32,
    /// Height in pixels, upright.
    pub height: u32,
    /// Length in bytes.
    pub bytes: u64,
    /// Present files that hold it.
    pub files: u64,
    /// Difference hash and perceptual hash, if they were measured by this version's rules.
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
    /// The fingerprints of all selected contents that were decoded and that some selected present file holds, by their rows.
    pub fn fingerprints(&self, selection: &Selection) -> Result<Vec<Fingerprint>> {
        let mut query = SelectedFiles::new(selection);
        let wanted = query.condition("file", "image");
        let version = Features::VERSION;
        let sql = format!(
            "SELECT image.id, hash, image.width, image.height, bytes, files, dhash, phash
             FROM (SELECT file.image AS id, count(*) AS files FROM file JOIN image ON image.id = file.image
                   WHERE missing_since IS NULL AND image.format IS NOT NULL AND {wanted} GROUP BY file.image) held
             JOIN image ON image.id = held.id LEFT JOIN feature ON feature.image = image.id AND version = {version}
             ORDER BY image.id"
        );
        self.connection
            .prepare_cached(&sql)
            .and_then(|mut statement| statement.query_map(query.parameters(), read)?.collect())
            .at(&self.path)
    }

    /// Pairs of contents that are no duplicates; of one content with itself if its copies are none.
    pub fn dismissals(&self) -> Result<Vec<(ContentHash, ContentHash)>> {
        let read = |row: &Row<'_>| Ok((row.get::<_, [u8; 32]>(0)?.into(), row.get::<_, [u8; 32]>(1)?.into()));
        self.connection
            .prepare_cached("SELECT a, b FROM dismissal")
            .and_then(|mut statement| statement.query_map([], read)?.collect())
            .at(&self.path)
    }
}

impl Batch<'_> {
    /// Notes that two contents are no duplicates of each other, or that the copies of one content are none. Tells whether that was
    /// not known.
    pub fn dismiss(&self, a: &ContentHash, b: &ContentHash) -> Result<bool> {
        let (a, b) = (a.as_bytes().min(b.as_bytes()), a.as_bytes().max(b.as_bytes()));
        let insert = "INSERT INTO dismissal (a, b, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        Ok(self.run(insert, params![a, b, self.now()])? > 0)
    }

    /// Takes a dismissal back. Tells whether there was one.
    pub fn undismiss(&self, a: &ContentHash, b: &ContentHash) -> Result<bool> {
        let (a, b) = (a.as_bytes().min(b.as_bytes()), a.as_bytes().max(b.as_bytes()));
        Ok(self.run("DELETE FROM dismissal WHERE a = ?1 AND b = ?2", params![a, b])? > 0)
    }
}
