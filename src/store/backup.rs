//! Online backup: a copy of the database, made while it may be in use.

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

/// Pages to copy before other connections may take a lock.
const PAGES_PER_STEP: i32 = 1000;

/// Time to wait before retrying a step that found a database locked.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

impl Store {
    /// Writes a verified copy of the last committed state to `to`, which appears only once it is complete.
    ///
    /// Calls `on_progress` with the number of pages copied and the number of pages in total.
    ///
    /// # Errors
    /// When `to` is part of the database, exists and is not a database or is in use, or cannot be written, and when the
    /// copy is damaged. An existing file stays as it was.
    pub fn backup(&self, to: &Path, mut on_progress: impl FnMut(u64, u64)) -> Result<()> {
        let to = &std::path::absolute(to).map_err(Error::io("find", to))?;
        if Self::identity(to).is_some_and(|existing| Some(existing) == Self::identity(&self.path)) || self.owns(to) {
            return Err(Error::Invalid(format!(
                "`{}` is part of the database itself; name another file for the backup",
                to.display()
            )));
        }
        if to.symlink_metadata().is_ok() {
            // Replace nothing but an older backup.
            Self::open(to).map_err(|error| match error {
                Error::NotAnIndex { path, .. } => Error::Invalid(format!(
                    "`{}` exists and is not a backup of an index; name another file for the backup",
                    path.display()
                )),
                error => error,
            })?;
            // A process that has it open would continue with a log that does not belong to the new file.
            if Self::beside(to, "-wal").metadata().is_ok_and(|log| log.len() > 0) {
                return Err(Error::Invalid(format!("`{}` is in use", to.display())));
            }
        }
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(Error::io("create the directory", folder))?;
        // In a temporary folder, so that SQLite's journal files are removed with it in every case.
        let work = tempfile::Builder::new().prefix(".imgidx-backup-").tempdir_in(folder);
        let work = work.map_err(Error::io("create a directory in", folder))?;
        let copy = work.path().join("copy.db");
        self.copy_to(&copy, &mut on_progress)?;
        let file = std::fs::File::open(&copy).map_err(Error::io("open", &copy))?;
        file.sync_all().map_err(Error::io("write", &copy))?;
        std::fs::rename(&copy, to).map_err(Error::io("replace", to))?;
        let _ = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
        Ok(())
    }

    fn copy_to(&self, path: &Path, on_progress: &mut impl FnMut(u64, u64)) -> Result<()> {
        // Pages of an older database have no room for checksums, so it is copied without the layer that writes them.
        let mut copy = match has_checksums(&self.connection) {
            true => new_database(path)?,
            false => {
                open_nofollow(path).map_err(Error::io("create", path))?;
                Connection::open(path).at(path)?
            }
        };
        let disable_wal =
            |copy: &rusqlite::Connection| copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).at(path);
        disable_wal(&copy)?;
        {
            // Without a snapshot, every write by another process would make the backup start over.
            let _snapshot = self.snapshot()?;
            let backup = Backup::new(&self.connection, &mut copy).at(&self.path)?;
            loop {
                let step = backup.step(PAGES_PER_STEP).at(path)?;
                let progress = backup.progress();
                let total = progress.pagecount.max(0) as u64;
                on_progress(total - progress.remaining.clamp(0, progress.pagecount) as u64, total);
                match step {
                    StepResult::Done => break,
                    StepResult::More => {}
                    _ => std::thread::sleep(RETRY_INTERVAL),
                }
            }
        }
        disable_wal(&copy)?;
        if let Some(page) = damaged_pages(&copy, path).map_err(Error::io("read", path))?.first() {
            let reason = format!("page {page} of the copy does not match its checksum");
            return Err(Error::Damaged { path: path.to_owned(), reason });
        }
        copy.close().map_err(|(_, error)| error).at(path)
    }
}
