//! Where workers look up how they are to work, and wait while there is no memory for them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use super::governor::Pace;

/// The pace of a run, as its workers see it.
#[derive(Debug)]
pub(super) struct Gate {
    batch: AtomicUsize,
    /// Workers that may take pictures; all of them once it is open for good.
    workers: Mutex<usize>,
    changed: Condvar,
}

impl Gate {
    pub(super) fn new(pace: Pace) -> Self {
        Self { batch: AtomicUsize::new(pace.batch), workers: Mutex::new(pace.workers), changed: Condvar::new() }
    }

    /// Pictures that go through the model at once.
    pub(super) fn batch(&self) -> usize {
        self.batch.load(Ordering::Relaxed)
    }

    /// Whether a worker has to wait.
    pub(super) fn is_closed_for(&self, worker: usize) -> bool {
        worker >= *self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when a worker may take pictures.
    pub(super) fn wait(&self, worker: usize) {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = self.changed.wait_while(workers, |workers| worker >= *workers);
        drop(opened.unwrap_or_else(PoisonError::into_inner));
    }

    /// Changes the pace.
    pub(super) fn set(&self, pace: Pace) {
        self.batch.store(pace.batch, Ordering::Relaxed);
        self.open(pace.workers);
    }

    /// Lets all workers through, so that they see that there is nothing left to do.
    pub(super) fn open_for_good(&self) {
        self.open(usize::MAX);
    }

    fn open(&self, count: usize) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        // What is open for good stays so.
        if *workers != usize::MAX && *workers != count {
            *workers = count;
            self.changed.notify_all();
        }
    }
}

/// Lets all workers through when it is dropped, whatever a worker ended by.
#[derive(Debug)]
pub(super) struct OpenAtEnd<'a>(pub &'a Gate);

impl Drop for OpenAtEnd<'_> {
    fn drop(&mut self) {
        self.0.open_for_good();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_waits_until_it_is_let_in_and_never_after_the_end() {
        let gate = Gate::new(Pace { workers: 1, batch: 8 });
        assert!(!gate.is_closed_for(0) && gate.is_closed_for(1));
        std::thread::scope(|scope| {
            let second = scope.spawn(|| gate.wait(1));
            let third = scope.spawn(|| gate.wait(2));
            gate.set(Pace { workers: 2, batch: 4 });
            second.join().expect("it is let in");
            assert!(gate.is_closed_for(2) && gate.batch() == 4);
            gate.open_for_good();
            third.join().expect("it is let in");
        });
        gate.set(Pace { workers: 1, batch: 4 });
        assert!(!gate.is_closed_for(7));
    }
}
