//! Opening an index: an existing one, a new one, or a damaged one.

use std::path::{Path, PathBuf};

use super::Index;
use crate::error::{Error, Result};
use crate::indexer;
use crate::options::OpenOptions;
use crate::search::Searcher;
use crate::store::{Store, Writer, salvage};

impl OpenOptions {
    /// Opens the index, and creates it if it does not exist.
    ///
    /// # Errors
    /// If the file is not an index, has a newer version, or cannot be created.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Index> {
        self.open_or_create(path.as_ref(), || Ok(()))
    }

    /// Opens the index for work on these files and directories. If it does not exist, it is created only if all of them
    /// do.
    ///
    /// # Errors
    /// If there is no index and a path does not exist, and those of [`OpenOptions::open`].
    pub fn open_for(self, path: impl AsRef<Path>, files: &[PathBuf]) -> Result<Index> {
        self.open_or_create(path.as_ref(), || indexer::resolve(files, &[]).map(drop))
    }

    fn open_or_create(self, path: &Path, may_create: impl FnOnce() -> Result<()>) -> Result<Index> {
        let store = match Store::open(path) {
            Err(Error::NoIndex { .. }) => {
                may_create()?;
                Writer::open(path)?;
                Store::open(path)?
            }
            store => store?,
        };
        Index::new(store, self)
    }

    /// Opens an existing index.
    ///
    /// # Errors
    /// [`Error::NoIndex`] if it does not exist, and the errors of [`OpenOptions::open`].
    pub fn open_existing(self, path: impl AsRef<Path>) -> Result<Index> {
        Index::new(Store::open(path.as_ref())?, self)
    }

    /// Opens an index that is too damaged for [`OpenOptions::open_existing`]. A new database is made of everything that
    /// can be read. The old one is kept beside it, under a name that is reported as a notice.
    ///
    /// # Errors
    /// If nothing can be read, another process is writing, or there is not enough space.
    pub fn open_damaged(self, path: impl AsRef<Path>) -> Result<Index> {
        self.salvage(path.as_ref())?;
        self.open_existing(path)
    }

    /// Opens an existing index for reading only.
    ///
    /// # Errors
    /// Those of [`OpenOptions::open_existing`].
    pub fn open_searcher(self, path: impl AsRef<Path>) -> Result<Searcher> {
        Searcher::new(Store::open(path.as_ref())?, self)
    }

    pub(super) fn salvage(&self, path: &Path) -> Result<()> {
        let aside = salvage(path)?;
        self.tell(&format!("the damaged database is kept as `{}`", aside.display()));
        Ok(())
    }
}
