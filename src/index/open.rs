//! Opening an index: one that is there, a new one, or a damaged one.

use std::path::Path;

use super::Index;
use crate::error::{Error, Result};
use crate::options::OpenOptions;
use crate::search::Searcher;
use crate::store::{Store, Writer, salvage};

impl OpenOptions {
    /// Opens the index, and makes it if it is not there.
    ///
    /// # Errors
    /// When the file is no index, or of a newer version, or cannot be made.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Index> {
        let path = path.as_ref();
        match Store::open(path) {
            Ok(store) => Ok(Index::new(store, self)?),
            Err(Error::NoIndex { .. }) => {
                Writer::open(path)?;
                Index::new(Store::open(path)?, self)
            }
            Err(error) => Err(error),
        }
    }

    /// Opens the index if it is there.
    ///
    /// # Errors
    /// [`Error::NoIndex`] if it is not, and the errors of [`OpenOptions::open`].
    pub fn open_existing(self, path: impl AsRef<Path>) -> Result<Index> {
        Index::new(Store::open(path.as_ref())?, self)
    }

    /// Opens an index that is too damaged for [`OpenOptions::open_existing`]: a new database is made of all that can be read of it. The
    /// old one is kept beside it, under a name that the notice is told.
    ///
    /// # Errors
    /// When nothing can be read, another process is writing, or there is no room for it.
    pub fn open_damaged(self, path: impl AsRef<Path>) -> Result<Index> {
        self.salvage(path.as_ref())?;
        self.open_existing(path)
    }

    /// Opens the index for reading only, if it is there.
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
