//! The entry point of the library: one index, with everything that opens, changes and tunes it.

mod duplicates;
mod open;
mod removal;
mod trace;
mod tuning;
mod tuning_file;
mod updater;
mod write;

use std::path::Path;

pub use duplicates::{DupeAction, DupeActionError, DupeActionReport};
pub use removal::{OfflineRoot, PruneOptions, Pruned};
pub use trace::{TraceEstimate, TraceReport, TraceStep};
pub use tuning::{TuneOptions, TuneReport, UnusableDevice};
pub use tuning_file::{Measurement, Tuned};
pub use updater::Updater;
pub use write::CheckProblem;

pub use crate::options::{OpenOptions, default_data_dir};
pub use crate::search::{ActiveModel, NeighborStatus, RootStatus, Status};

use crate::error::Result;
use crate::search::Searcher;
use crate::store::Store;

/// An index of pictures: one SQLite file.
///
/// This type changes the index. [`Index::searcher`] returns the type that reads it. Reading needs no lock and sees the
/// last committed state, even while another process is adding. Methods that write hold the writer's lock while they
/// run.
#[derive(Debug)]
pub struct Index {
    store: Store,
    searcher: Searcher,
}

impl Index {
    /// Opens the index at a path, and creates it if it does not exist.
    ///
    /// # Errors
    /// If the file is not an index, has a newer version, or cannot be created.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        OpenOptions::default().open(path)
    }

    fn new(store: Store, options: OpenOptions) -> Result<Self> {
        Ok(Self { searcher: Searcher::new(Store::open(store.path())?, options)?, store })
    }

    /// The reader of this index. It is cheap to clone, and many threads can use it at once.
    pub fn searcher(&self) -> &Searcher {
        &self.searcher
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        self.store.path()
    }
}
