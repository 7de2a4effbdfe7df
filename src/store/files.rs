//! File rows: which image each file holds, and whether the file has changed since it was read.

use std::path::{Path, PathBuf};

use rusqlite::{Row, params};

use super::batch::{Batch, ModelRow};
use super::select::{SelectedFiles, Selection};
use super::{Store, path_in};
use crate::error::Result;
use crate::types::{ContentHash, Features, FileId, FileStat, ImageId, Metadata, RootId, path_to_bytes};

/// The progress of an image with one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentState {
    /// Its vector and features are stored.
    Done,
    /// Its vector is stored, but its features are not, or were measured by another version.
    Unmeasured,
    /// Only its metadata is not stored, or was read by another version.
    Undescribed,
    /// It was indexed by a thumbnail, until the whole picture is decoded.
    Provisional,
    /// An attempt to index it failed.
    Failed,
    /// It has no vector of this model yet.
    Pending,
}

/// The result of reading a file in an earlier run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// It holds a picture.
    Picture(ContentState),
    /// It is not a picture that can be indexed.
    Skipped,
    /// It could not be read.
    Unreadable,
}

/// A file row, as the planner compares it with a file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFile {
    /// Row id.
    pub id: FileId,
    /// Path relative to the root.
    pub path: Vec<u8>,
    /// Signature when it was read. The device is not stored and is always 0.
    pub stat: FileStat,
    /// Time at which reading began, in nanoseconds since 1970.
    pub read_at_ns: i64,
    /// Whether it is marked missing.
    pub missing: bool,
    /// The result of reading it.
    pub state: FileState,
    /// Whether the last attempt to read it failed, although an earlier one succeeded.
    pub unreadable: bool,
}

/// A present file that holds an image, as it was indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCopy {
    /// Absolute path.
    pub path: PathBuf,
    /// Its root.
    pub root: RootId,
    /// Absolute path of its root.
    pub root_path: PathBuf,
    /// Device and file system of the root when it was last seen.
    pub place: (u64, u64),
    /// Signature when it was read. The device is not stored and is always 0.
    pub stat: FileStat,
    /// Time at which reading began, in nanoseconds since 1970.
    pub read_at_ns: i64,
}

/// An image that has a row in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownContent {
    /// Row id.
    pub image: ImageId,
    /// Its progress with one model.
    pub state: ContentState,
}

/// A present file beside another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbor {
    /// Absolute path of its root.
    pub root: PathBuf,
    /// Path relative to the root.
    pub path: Vec<u8>,
    /// The image that it holds, if it is a picture.
    pub image: Option<ImageId>,
    /// The name of the image's format, if it could be decoded.
    pub format: Option<String>,
    /// When the camera took it: `YYYY-MM-DD HH:MM:SS` by the camera's clock.
    pub taken: Option<String>,
}

/// A file that was found and read, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// The root that contains the file.
    pub root: RootId,
    /// Path relative to the root.
    pub path: Vec<u8>,
    /// Signature, taken before the file was read.
    pub stat: FileStat,
    /// Time at which reading began, in nanoseconds since 1970.
    pub read_at_ns: i64,
}

/// An SQL expression for the progress of image `f.image` with model `?1`, as a number for [`content_state`].
fn content_state_sql() -> String {
    // The index holds nothing but such images, so that looking there is faster than looking at the image.
    let provisional = "EXISTS (SELECT 1 FROM image i INDEXED BY image_provisional
                               WHERE i.id = f.image AND i.decoded_from = 'thumbnail')";
    format!(
        "CASE
         WHEN EXISTS (SELECT 1 FROM embedding e WHERE e.image = f.image AND e.model = ?1) THEN
             CASE WHEN {provisional} THEN 5
                  WHEN NOT EXISTS (SELECT 1 FROM feature m WHERE m.image = f.image AND m.version = {}) THEN 2
                  WHEN NOT EXISTS (SELECT 1 FROM metadata d WHERE d.image = f.image AND d.version = {}) THEN 4
                  ELSE 3 END
         WHEN EXISTS (SELECT 1 FROM failure x WHERE x.image = f.image AND (x.model IS NULL OR x.model = ?1)) THEN
             CASE WHEN {provisional} THEN 5 ELSE 1 END
         ELSE 0 END",
        Features::VERSION,
        Metadata::VERSION
    )
}

fn content_state(code: i64) -> ContentState {
    match code {
        5 => ContentState::Provisional,
        4 => ContentState::Undescribed,
        3 => ContentState::Done,
        2 => ContentState::Unmeasured,
        1 => ContentState::Failed,
        _ => ContentState::Pending,
    }
}

/// Reads a signature from the columns 2 to 5: size, mtime, ctime and inode.
fn read_stat(row: &Row<'_>) -> rusqlite::Result<FileStat> {
    Ok(FileStat {
        size: row.get::<_, i64>(2)? as u64,
        mtime_ns: row.get(3)?,
        ctime_ns: row.get(4)?,
        inode: row.get::<_, i64>(5)? as u64,
        device: 0,
    })
}

fn read_known(row: &Row<'_>) -> rusqlite::Result<KnownFile> {
    let (has_image, skipped): (bool, bool) = (row.get(8)?, row.get(9)?);
    Ok(KnownFile {
        id: FileId(row.get(0)?),
        path: row.get(1)?,
        stat: read_stat(row)?,
        read_at_ns: row.get(6)?,
        missing: row.get(7)?,
        state: match (has_image, skipped) {
            (true, _) => FileState::Picture(content_state(row.get(10)?)),
            (false, true) => FileState::Skipped,
            (false, false) => FileState::Unreadable,
        },
        unreadable: row.get(11)?,
    })
}

/// A query for the columns that [`read_known`] reads of file `f` with model `?1`, and for `others`, which start with a
/// comma.
fn known_columns(others: &str) -> String {
    format!(
        "SELECT f.id, f.path, f.size, f.mtime_ns, f.ctime_ns, f.inode, f.read_at_ns, f.missing_since IS NOT NULL,
                f.image IS NOT NULL, f.skipped IS NOT NULL, {},
                EXISTS (SELECT 1 FROM failure x WHERE x.root = f.root AND x.path = f.path){others}
         FROM file f",
        content_state_sql()
    )
}

impl Store {
    /// The next rows of a root, sorted by the bytes of their paths: after `after` and, if given, before `until`.
    ///
    /// Each call is its own transaction, so that a long walk does not prevent checkpoints of the log.
    pub fn files_page(
        &self,
        root: RootId,
        model: ModelRow,
        after: &[u8],
        until: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<KnownFile>> {
        let columns = known_columns("");
        let sql = format!("{columns} WHERE f.root = ?2 AND f.path > ?3 AND f.path < ?4 ORDER BY f.path LIMIT ?5");
        // Sorts after every path, because no system allows a name that begins with these bytes.
        let last = [0xFF_u8; 64];
        self.rows(&sql, params![model.0, root.0, after, until.unwrap_or(&last), limit], read_known)
    }

    /// The row of the file at `path`, relative to the root.
    pub fn file(&self, root: RootId, path: &[u8], model: ModelRow) -> Result<Option<KnownFile>> {
        self.find(
            &format!("{} WHERE f.root = ?2 AND f.path = ?3", known_columns("")),
            params![model.0, root.0, path],
            read_known,
        )
    }

    /// Rows that may describe the same file under another name: at most four with the same inode, size and modification
    /// time, in roots on the same device and file system (`place`). Each with the absolute path of its root.
    pub fn files_like(&self, stat: &FileStat, place: (u64, u64), model: ModelRow) -> Result<Vec<(KnownFile, PathBuf)>> {
        let columns = known_columns(", root.path");
        let sql = format!(
            "{columns} JOIN root ON root.id = f.root
             WHERE f.inode = ?2 AND f.inode <> 0 AND f.size = ?3 AND f.mtime_ns = ?4
               AND root.device = ?5 AND root.file_system = ?6 LIMIT 4"
        );
        let like = params![model.0, stat.inode as i64, stat.size as i64, stat.mtime_ns, place.0 as i64, place.1 as i64];
        self.rows(&sql, like, |row| Ok((read_known(row)?, path_in(row, 12)?)))
    }

    /// The inode in the row of a path, which may be marked missing.
    pub fn inode_at(&self, root: RootId, path: &[u8]) -> Result<Option<u64>> {
        let sql = "SELECT inode FROM file WHERE root = ?1 AND path = ?2";
        self.find(sql, params![root.0, path], |row| Ok(row.get::<_, i64>(0)? as u64))
    }

    /// Present files that may be hard links to the same file: those with the same inode, in roots on the same device
    /// and file system (`place`). Returns the path of the root and the path relative to it.
    pub fn other_names(&self, inode: u64, place: (u64, u64)) -> Result<Vec<(PathBuf, PathBuf)>> {
        self.rows(
            "SELECT root.path, file.path FROM file JOIN root ON root.id = file.root
             WHERE file.inode = ?1 AND file.inode <> 0 AND root.device = ?2 AND root.file_system = ?3
               AND file.missing_since IS NULL",
            [inode as i64, place.0 as i64, place.1 as i64],
            |row| Ok((path_in(row, 0)?, path_in(row, 1)?)),
        )
    }

    /// Paths of the first and the last `count` present files of a root, relative to it.
    pub fn sample_paths(&self, root: RootId, count: usize) -> Result<Vec<PathBuf>> {
        self.rows(
            "SELECT path FROM (SELECT path FROM file WHERE root = ?1 AND missing_since IS NULL
                               ORDER BY path LIMIT ?2)
             UNION
             SELECT path FROM (SELECT path FROM file WHERE root = ?1 AND missing_since IS NULL
                               ORDER BY path DESC LIMIT ?2)",
            params![root.0, count],
            |row| path_in(row, 0),
        )
    }

    /// Looks up an image by its hash, with its progress with a model.
    pub fn content(&self, hash: &ContentHash, model: ModelRow) -> Result<Option<KnownContent>> {
        let state = content_state_sql();
        self.find(
            &format!("SELECT f.image, {state} FROM (SELECT id AS image FROM image WHERE hash = ?2) f"),
            params![model.0, hash.as_bytes()],
            |row| Ok(KnownContent { image: ImageId(row.get(0)?), state: content_state(row.get(1)?) }),
        )
    }

    /// The row id of the image with a hash.
    pub fn image(&self, hash: &ContentHash) -> Result<Option<ImageId>> {
        self.find("SELECT id FROM image WHERE hash = ?1", [hash.as_bytes()], |row| row.get(0).map(ImageId))
    }

    /// Absolute paths of the present files that hold an image, sorted.
    pub fn paths_of(&self, image: ImageId) -> Result<Vec<PathBuf>> {
        self.rows(
            "SELECT root.path, file.path FROM file JOIN root ON root.id = file.root
             WHERE file.image = ?1 AND file.missing_since IS NULL ORDER BY root.path, file.path",
            [image.0],
            |row| full_path(row, 0, 1),
        )
    }

    /// Selected present files that hold an image, sorted by path, with the signatures that were stored for them.
    pub fn copies_of(&self, image: ImageId, selection: &Selection) -> Result<Vec<StoredCopy>> {
        let mut query = SelectedFiles::new(selection);
        let selected = query.condition("file", "image");
        let id = query.bind(image.0);
        let sql = format!(
            "SELECT root.path, file.path, size, mtime_ns, ctime_ns, inode, read_at_ns, root.id, device, file_system
             FROM file JOIN root ON root.id = file.root JOIN image ON image.id = file.image
             WHERE file.image = {id} AND missing_since IS NULL AND {selected} ORDER BY root.path, file.path"
        );
        self.rows(&sql, query.parameters(), |row| {
            Ok(StoredCopy {
                path: full_path(row, 0, 1)?,
                root: RootId(row.get(7)?),
                root_path: path_in(row, 0)?,
                place: (row.get::<_, i64>(8)? as u64, row.get::<_, i64>(9)? as u64),
                stat: read_stat(row)?,
                read_at_ns: row.get(6)?,
            })
        })
    }

    /// Present files whose absolute paths begin with the bytes of a path, in the same folder.
    pub fn files_beginning_with(&self, beginning: &Path) -> Result<Vec<Neighbor>> {
        let mut found = Vec::new();
        for root in self.roots()?.into_iter().filter(|root| beginning.starts_with(&root.path)) {
            let Ok(inside) = beginning.strip_prefix(&root.path) else { continue };
            let first = path_to_bytes(inside).into_owned();
            let Some((end, start)) = first.split_last() else { continue };
            let last = [start, &[end.saturating_add(1)]].concat();
            let rows = self.rows(
                "SELECT path, file.image, format, taken FROM file LEFT JOIN image ON image.id = file.image
                 WHERE root = ?1 AND path >= ?2 AND path < ?3 AND missing_since IS NULL",
                params![root.id.0, first, last],
                |row| {
                    let (path, image) = (row.get(0)?, row.get::<_, Option<_>>(1)?.map(ImageId));
                    Ok(Neighbor { root: root.path.clone(), path, image, format: row.get(2)?, taken: row.get(3)? })
                },
            )?;
            let is_in_folder = |file: &Neighbor| !file.path[first.len()..].contains(&b'/');
            found.extend(rows.into_iter().filter(is_in_folder));
        }
        Ok(found)
    }

    /// The path of a file relative to its root, if its row exists and is not marked missing.
    pub fn present_path(&self, file: FileId) -> Result<Option<PathBuf>> {
        let sql = "SELECT path FROM file WHERE id = ?1 AND missing_since IS NULL";
        self.find(sql, [file.0], |row| path_in(row, 0))
    }

    /// Number of files that were marked missing at exactly `moment`, in milliseconds since 1970.
    pub fn missing_since(&self, moment: i64) -> Result<u64> {
        self.row("SELECT count(*) FROM file WHERE missing_since = ?1", [moment], |row| row.get(0))
    }

    /// Number of files that are marked missing.
    pub fn missing_files(&self) -> Result<u64> {
        self.row("SELECT count(*) FROM file WHERE missing_since IS NOT NULL", [], |row| row.get(0))
    }
}

/// Joins the path of a root and a path relative to it, from two columns of a row.
pub(super) fn full_path(row: &Row<'_>, root: usize, path: usize) -> rusqlite::Result<PathBuf> {
    Ok(path_in(row, root)?.join(path_in(row, path)?))
}

/// A file row that holds a given image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileOfImage {
    pub id: FileId,
    pub root: RootId,
    pub root_path: PathBuf,
    pub path: PathBuf,
    pub inode: u64,
    pub missing: bool,
    /// Device and file system of the root when it was last seen.
    pub place: (u64, u64),
}

impl Batch<'_> {
    /// Stores a file, replacing the row of its path.
    ///
    /// The file holds `image`, or was skipped for the reason `skipped`, or (neither) could not be read.
    pub fn put_file(&self, file: &FoundFile, image: Option<ImageId>, skipped: Option<&str>) -> Result<()> {
        if image.is_some() || skipped.is_some() {
            self.run("DELETE FROM failure WHERE root = ?1 AND path = ?2", params![file.root.0, file.path])?;
        }
        self.run(
            "INSERT INTO file (root, path, size, mtime_ns, ctime_ns, inode, read_at_ns, image, skipped)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (root, path) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns,
                ctime_ns = excluded.ctime_ns, inode = excluded.inode, read_at_ns = excluded.read_at_ns,
                missing_since = NULL, image = excluded.image, skipped = excluded.skipped",
            params![
                file.root.0,
                file.path,
                file.stat.size as i64,
                file.stat.mtime_ns,
                file.stat.ctime_ns,
                file.stat.inode as i64,
                file.read_at_ns,
                image.map(|image| image.0),
                skipped,
            ],
        )
    }

    /// The root of a file row, and the root's path.
    pub fn root_of(&self, file: FileId) -> Result<Option<(RootId, PathBuf)>> {
        self.find(
            "SELECT root.id, root.path FROM file JOIN root ON root.id = file.root WHERE file.id = ?1",
            [file.0],
            |row| Ok((RootId(row.get(0)?), path_in(row, 1)?)),
        )
    }

    /// Moves the row of a renamed file to its new path. Returns `false` if the row no longer exists.
    pub fn move_file(&self, from: FileId, to: &FoundFile) -> Result<bool> {
        let moved = self.change(
            "INSERT OR REPLACE INTO file (root, path, size, mtime_ns, ctime_ns, inode, read_at_ns, image, skipped)
             SELECT ?2, ?3, ?4, ?5, ?6, ?7, ?8, image, skipped FROM file WHERE id = ?1",
            params![
                from.0,
                to.root.0,
                to.path,
                to.stat.size as i64,
                to.stat.mtime_ns,
                to.stat.ctime_ns,
                to.stat.inode as i64,
                to.read_at_ns,
            ],
        )?;
        self.move_sidecar(from, to)?;
        self.delete_file(from)?;
        Ok(moved > 0)
    }

    /// The image in the row of a path. The outer `None` means that there is no row, the inner one that it has no image.
    pub fn image_at(&self, root: RootId, path: &[u8]) -> Result<Option<Option<ImageId>>> {
        self.find("SELECT image FROM file WHERE root = ?1 AND path = ?2", params![root.0, path], |row| {
            Ok(row.get::<_, Option<i64>>(0)?.map(ImageId))
        })
    }

    /// Whether a root has any pictures, present or missing.
    pub fn has_pictures(&self, root: RootId) -> Result<bool> {
        let any = "SELECT EXISTS (SELECT 1 FROM file WHERE root = ?1 AND image IS NOT NULL)";
        self.row(any, [root.0], |row| row.get(0))
    }

    /// Deletes a file row, for example of a file that has moved.
    pub fn delete_file(&self, file: FileId) -> Result<()> {
        self.run("DELETE FROM file WHERE id = ?1", [file.0])
    }

    /// Up to `limit` files that hold an image, missing ones first.
    pub(crate) fn files_of(&self, image: ImageId, limit: usize) -> Result<Vec<FileOfImage>> {
        let read = |row: &Row<'_>| {
            Ok(FileOfImage {
                id: FileId(row.get(0)?),
                root: RootId(row.get(1)?),
                root_path: path_in(row, 2)?,
                path: path_in(row, 3)?,
                inode: row.get::<_, i64>(4)? as u64,
                missing: row.get(5)?,
                place: (row.get::<_, i64>(6)? as u64, row.get::<_, i64>(7)? as u64),
            })
        };
        self.rows(
            "SELECT file.id, file.root, root.path, file.path, file.inode, file.missing_since IS NOT NULL,
                    root.device, root.file_system
             FROM file JOIN root ON root.id = file.root
             WHERE file.image = ?1 ORDER BY file.missing_since DESC LIMIT ?2",
            params![image.0, limit],
            read,
        )
    }

    /// Marks files as missing since `moment`, in milliseconds since 1970. Files that are already missing keep their
    /// earlier time.
    pub fn mark_missing(&self, files: &[FileId], moment: i64) -> Result<()> {
        for file in files {
            self.run("DELETE FROM failure WHERE (root, path) = (SELECT root, path FROM file WHERE id = ?1)", [file.0])?;
            self.run("UPDATE file SET missing_since = ?2 WHERE id = ?1 AND missing_since IS NULL", [file.0, moment])?;
        }
        Ok(())
    }

    /// Marks a missing file as present again.
    pub fn mark_present(&self, file: FileId) -> Result<()> {
        self.run("UPDATE file SET missing_since = NULL WHERE id = ?1", [file.0])
    }

    /// Deletes the rows of all missing files, and returns their number.
    pub fn delete_missing(&self) -> Result<u64> {
        self.change("DELETE FROM file WHERE missing_since IS NOT NULL", [])
    }
}
