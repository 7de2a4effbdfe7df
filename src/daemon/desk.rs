//! Answers queries of clients, from memory where that is possible.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::protocol::{SearchRequest, SimilarRequest};
use crate::error::Result;
use crate::index::{Index, OpenOptions};
use crate::search::{Answer, Searcher, SearcherOptions, TextAnswer};

/// See the module.
#[derive(Debug)]
pub(super) struct Desk {
    database: PathBuf,
    open: OpenOptions,
    searcher: Mutex<Option<Arc<Searcher>>>,
    /// Readers of the database that nobody uses at the moment.
    indexes: Mutex<Vec<Index>>,
    last_used: Mutex<Instant>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No state behind these locks is ever half changed, so that a panic elsewhere does not matter.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    pub(super) fn new(database: PathBuf, open: OpenOptions) -> Self {
        let (searcher, indexes, last_used) = (Mutex::default(), Mutex::default(), Mutex::new(Instant::now()));
        Self { database, open, searcher, indexes, last_used }
    }

    fn with_index<T>(&self, ask: impl FnOnce(&Index) -> Result<T>) -> Result<T> {
        let free = locked(&self.indexes).pop();
        let index = free.map_or_else(|| self.open.clone().open_existing(&self.database), Ok)?;
        let answer = ask(&index);
        locked(&self.indexes).push(index);
        answer
    }

    /// The searcher for the model that is in use now.
    pub(super) fn searcher(&self) -> Result<Arc<Searcher>> {
        let active = self.with_index(Index::active_model)?;
        let mut slot = locked(&self.searcher);
        if let Some(searcher) = slot.as_ref().filter(|searcher| searcher.model() == active.id) {
            return Ok(searcher.clone());
        }
        let made = Arc::new(self.with_index(|index| index.searcher(SearcherOptions::default()))?);
        Ok(slot.insert(made).clone())
    }

    pub(super) fn similar(&self, request: SimilarRequest) -> Result<Answer> {
        let count = request.top;
        let answer = self.searcher()?.similar(&request.query(), count);
        *locked(&self.last_used) = Instant::now();
        answer
    }

    pub(super) fn search(&self, request: &SearchRequest) -> Result<TextAnswer> {
        self.with_index(|index| index.search(&request.query, request.top.unwrap_or(usize::MAX)))
    }

    /// Gives back the memory of the model if no query has needed it for a while; otherwise tells when to look again.
    pub(super) fn unload_after(&self, idle: Duration) -> Option<Duration> {
        // Who is at work with it must not be waited for: this is asked between two clients.
        let searcher = self.searcher.try_lock().ok()?.clone()?;
        if !searcher.is_model_loaded() {
            return None;
        }
        let rest = idle.saturating_sub(locked(&self.last_used).elapsed());
        if rest.is_zero() {
            searcher.unload_model();
            return None;
        }
        Some(rest)
    }

    pub(super) fn is_model_loaded(&self) -> bool {
        match self.searcher.try_lock() {
            Ok(searcher) => searcher.as_ref().is_some_and(|searcher| searcher.is_model_loaded()),
            Err(_) => true,
        }
    }
}
