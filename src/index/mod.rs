//! The library's front door: one database, and all that can be done with it.

mod eye;
mod models;
mod open;
mod read;
mod status;
mod trace;
mod tuning;
mod updater;
mod write;

use std::cell::OnceCell;
use std::path::Path;

use eye::ModelEye;
pub use models::ActiveModel;
pub use open::{OpenOptions, default_data_dir};
pub use status::{NeighborStatus, RootStatus, Status};
pub use trace::{TraceEstimate, TraceReport, TraceStep};
pub use tuning::{Trialed, TuneOptions, TuneReport, Tuned};
pub use updater::Updater;
pub use write::CheckProblem;

use crate::error::Result;
use crate::model::Catalog;
use crate::store::Store;

/// An index of pictures: one SQLite file.
///
/// Reading needs no lock and sees the last committed state, also while another process is adding. Methods that write
/// take the writer's lock for as long as they run.
#[derive(Debug)]
pub struct Index {
    store: Store,
    options: OpenOptions,
    catalog: Catalog,
    /// Made for the first picture that is not indexed, and kept for the next one.
    eye: OnceCell<ModelEye>,
}

impl Index {
    /// Opens the index at a path, and makes it if it is not there.
    ///
    /// # Errors
    /// When the file is no index, or of a newer version, or cannot be made.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        OpenOptions::default().open(path)
    }

    fn new(store: Store, options: OpenOptions) -> Result<Self> {
        let catalog = Catalog::new(&options.resolve_data_dir()?);
        Ok(Self { store, options, catalog, eye: OnceCell::new() })
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        self.store.path()
    }
}
