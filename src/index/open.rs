//! Opening an index: where it lies, and which model and ONNX Runtime it uses.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Index;
use crate::error::{Error, Result};
use crate::model::{Notice, RuntimeOptions};
use crate::store::{Store, Writer};

#[derive(Clone)]
pub struct OpenOptions {
    data_dir: Option<PathBuf>,
    runtime: Option<PathBuf>,
    offline: bool,
    pub(super) model: Option<String>,
    notice: Notice,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { data_dir: None, runtime: None, offline: false, model: None, notice: Arc::new(|_| {}) }
    }
}

impl std::fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenOptions")
            .field("data_dir", &self.data_dir)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl OpenOptions {
    /// Keeps models and a fetched ONNX Runtime in this directory instead of the user's data directory.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Uses this library of ONNX Runtime and no other.
    #[must_use]
    pub fn runtime(mut self, library: impl Into<PathBuf>) -> Self {
        self.runtime = Some(library.into());
        self
    }

    /// Never fetches anything.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Uses this model of the catalog instead of the one that the database is set to.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.model = Some(name.into());
        self
    }

    /// Is told of what takes long and was not asked for: ONNX Runtime being fetched.
    #[must_use]
    pub fn notice(mut self, notice: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.notice = Arc::new(notice);
        self
    }

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

    /// Where models and a fetched ONNX Runtime are kept.
    ///
    /// # Errors
    /// When none was given and the user has no home directory.
    pub fn resolve_data_dir(&self) -> Result<PathBuf> {
        match &self.data_dir {
            Some(path) => Ok(path.clone()),
            None => default_data_dir(),
        }
    }

    /// Where ONNX Runtime is looked for.
    ///
    /// # Errors
    /// Those of [`OpenOptions::resolve_data_dir`].
    pub fn runtime_options(&self) -> Result<RuntimeOptions> {
        Ok(RuntimeOptions {
            library: self.runtime.clone(),
            offline: self.offline,
            data_dir: self.resolve_data_dir()?,
            notice: self.notice.clone(),
        })
    }
}

/// The directory of imgidx in the user's data directory, such as `~/.local/share/imgidx`.
///
/// # Errors
/// When the user has no home directory.
pub fn default_data_dir() -> Result<PathBuf> {
    directories::ProjectDirs::from("", "", "imgidx")
        .map(|dirs| dirs.data_dir().to_owned())
        .ok_or_else(|| Error::Invalid("there is no home directory to keep data in: name a database with --db".into()))
}
