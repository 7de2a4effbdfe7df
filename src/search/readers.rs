//! Connections for reading, for many threads at once.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::store::Store;

/// Idle connections that are kept; more are closed.
const MAX_IDLE: usize = 16;

/// The connections of one database that nobody uses at the moment.
#[derive(Debug)]
pub(crate) struct Readers {
    database: PathBuf,
    idle: Mutex<Vec<Store>>,
}

impl Readers {
    pub(crate) fn new(store: Store) -> Self {
        Self { database: store.path().to_owned(), idle: Mutex::new(vec![store]) }
    }

    pub(crate) fn database(&self) -> &Path {
        &self.database
    }

    /// A connection, which goes back to the others when it is dropped.
    pub(crate) fn get(&self) -> Result<Reader<'_>> {
        let idle = locked(&self.idle).pop();
        let store = idle.map_or_else(|| Store::open(&self.database), Ok)?;
        Ok(Reader { readers: self, store: Some(store) })
    }

    /// Closes idle connections, because another file is in the database's place now.
    pub(crate) fn reset(&self) {
        locked(&self.idle).clear();
    }
}

/// A connection in use.
pub(crate) struct Reader<'a> {
    readers: &'a Readers,
    store: Option<Store>,
}

impl Deref for Reader<'_> {
    type Target = Store;

    fn deref(&self) -> &Store {
        self.store.as_ref().expect("it is taken out only when this is dropped")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut idle = locked(&self.readers.idle);
        if idle.len() < MAX_IDLE {
            idle.extend(self.store.take());
        }
    }
}

/// No state behind these locks is ever half changed, so that a panic elsewhere does not matter.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
