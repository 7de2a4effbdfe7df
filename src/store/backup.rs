//! A copy of the database, made while it may be in use.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::Store;
use super::open::new_database;
use super::pages::{damaged_pages, has_checksums};
use super::sqlite_error::At;
use crate::error::{Error, Result};
use crate::types::open_nofollow;

/// Pages that are copied before others get a turn.
const STEP: i32 = 1000;

/// How long to wait for one who keeps the new file from being written.
const PAUSE: Duration = Duration::from_millis(50);

impl Store {
    /// Writes a copy of the last committed state to a file, which is there when all of it is. `each` is told how many pages are copied,
    /// and of how many.
    ///
    /// # Errors
    /// When the file is the database itself or no database, cannot be written, or the copy is not whole: then what was there before
    /// stays.
    pub fn backup(&self, to: &Path, mut each: impl FnMut(u64, u64)) -> Result<()> {
        let to = &std::path::absolute(to).map_err(Error::io("find", to))?;
        if Self::identity(to).is_some_and(|there| Some(there) == Self::identity(&self.path)) || self.owns(to) {
            return Err(Error::Invalid(format!("`{}` is part of the database itself", to.display())));
        }
        if to.symlink_metadata().is_ok() {
            // Nothing but an older backup is replaced.
            Self::open(to)?;
            // Another process that has it open would go on with a log that is not this one's.
            if Self::beside(to, "-wal").metadata().is_ok_and(|log| log.len() > 0) {
                return Err(Error::Invalid(format!("`{}` is in use", to.display())));
            }
        }
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))?;
        // In a folder of its own, so that what SQLite puts beside it goes with it, whatever happens.
        let work = tempfile::Builder::new().prefix(".imgidx-backup-").tempdir_in(folder);
        let work = work.map_err(Error::io("make a folder in", folder))?;
        let copy = work.path().join("copy.db");
        self.copy_to(&copy, &mut each)?;
        let file = std::fs::File::open(&copy).map_err(Error::io("open", &copy))?;
        file.sync_all().map_err(Error::io("write", &copy))?;
        std::fs::rename(&copy, to).map_err(Error::io("replace", to))?;
        let _ = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
        Ok(())
    }

    fn copy_to(&self, path: &Path, each: &mut impl FnMut(u64, u64)) -> Result<()> {
        // Pages without room for checksums must not get any: the copy of an older database is made without the layer that puts them there.
        let mut copy = match has_checksums(&self.connection) {
            true => new_database(path)?,
            false => {
                open_nofollow(path).map_err(Error::io("make", path))?;
                Connection::open(path).at(path)?
            }
        };
        let no_log =
            |copy: &rusqlite::Connection| copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).at(path);
        no_log(&copy)?;
        {
            // One state for all steps: a writer in another process would have it begin anew each time.
            let _snapshot = self.snapshot()?;
            let backup = Backup::new(&self.connection, &mut copy).at(&self.path)?;
            loop {
                let step = backup.step(STEP).at(path)?;
                let progress = backup.progress();
                let total = progress.pagecount.max(0) as u64;
                each(total - progress.remaining.clamp(0, progress.pagecount) as u64, total);
                match step {
                    StepResult::Done => break,
                    StepResult::More => {}
                    _ => std::thread::sleep(PAUSE),
                }
            }
        }
        no_log(&copy)?;
        if let Some(page) = damaged_pages(&copy, path).map_err(Error::io("read", path))?.first() {
            let reason = format!("page {page} of the copy does not match its checksum");
            return Err(Error::Damaged { path: path.to_owned(), reason });
        }
        copy.close().map_err(|(_, error)| error).at(path)
    }
}
