//! A pool of read connections, shared by many threads.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::error::Result;
use crate::store::Store;

/// Maximum number of idle connections; further ones are closed.
const MAX_IDLE: usize = 16;

/// A pool of idle connections to one database.
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

    /// Takes a connection from the pool, or opens one. It returns to the pool when it is dropped.
    pub(crate) fn get(&self) -> Result<Reader<'_>> {
        let idle = self.idle.lock().pop();
        let store = idle.map_or_else(|| Store::open(&self.database), Ok)?;
        Ok(Reader { readers: self, store: Some(store) })
    }

    /// Closes the idle connections after the database file was replaced.
    pub(crate) fn reset(&self) {
        self.idle.lock().clear();
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
        self.store.as_ref().expect("the connection is taken out only in `drop`")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut idle = self.readers.idle.lock();
        if idle.len() < MAX_IDLE {
            idle.extend(self.store.take());
        }
    }
}
