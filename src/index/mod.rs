//! The library's front door: one database, and all that can be done with it.

mod benchmark;
mod open;
mod trace;
mod tuning;
mod tuning_file;
mod updater;
mod write;

use std::path::Path;

pub use trace::{TraceEstimate, TraceReport, TraceStep};
pub use tuning::{Measurement, TuneOptions, TuneReport};
pub use tuning_file::Tuned;
pub use updater::Updater;
pub use write::CheckProblem;

pub use crate::options::{OpenOptions, default_data_dir};
pub use crate::search::{ActiveModel, NeighborStatus, RootStatus, Status};

use crate::error::Result;
use crate::search::Searcher;
use crate::store::Store;

/// An index of pictures: one SQLite file.
///
/// Reading needs no lock and sees the last committed state, also while another process is adding. Methods that write
/// take the writer's lock for as long as they run.
#[derive(Debug)]
pub struct Index {
    store: Store,
    searcher: Searcher,
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
        let for_reading = Store::open(store.path())?;
        Ok(Self { store, searcher: Searcher::new(for_reading, options)? })
    }

    /// What reads this index: cheap to clone, and for many threads.
    pub fn searcher(&self) -> &Searcher {
        &self.searcher
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        self.store.path()
    }
}
