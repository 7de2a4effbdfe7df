//! Passes the concurrency of a run to its workers, and pauses workers for which there is not enough memory.

use parking_lot::{Condvar, Mutex};

use super::concurrency::Concurrency;

/// The current concurrency of a run.
#[derive(Debug)]
pub(super) struct Throttle {
    /// The number of workers is `usize::MAX` once the throttle is open for good.
    concurrency: Mutex<Concurrency>,
    changed: Condvar,
}

impl Throttle {
    pub(super) fn new(concurrency: Concurrency) -> Self {
        Self { concurrency: Mutex::new(concurrency), changed: Condvar::new() }
    }

    /// Number of pictures that go through the model at once.
    pub(super) fn batch(&self) -> usize {
        self.concurrency.lock().batch
    }

    /// Whether a worker has to wait.
    pub(super) fn is_closed_for(&self, worker: usize) -> bool {
        worker >= self.concurrency.lock().workers
    }

    /// Waits until a worker may take pictures.
    pub(super) fn wait(&self, worker: usize) {
        self.changed.wait_while(&mut self.concurrency.lock(), |concurrency| worker >= concurrency.workers);
    }

    /// Changes the concurrency.
    pub(super) fn set(&self, concurrency: Concurrency) {
        let mut current = self.concurrency.lock();
        // Once open for good, it stays open.
        let workers = if current.workers == usize::MAX { usize::MAX } else { concurrency.workers };
        *current = Concurrency { workers, ..concurrency };
        self.changed.notify_all();
    }

    /// Lets all workers through for good, so that they notice the end of the run.
    pub(super) fn open_for_good(&self) {
        self.concurrency.lock().workers = usize::MAX;
        self.changed.notify_all();
    }
}

/// Opens the throttle for good when dropped, even if a worker ends with a panic.
#[derive(Debug)]
pub(super) struct OpenOnDrop<'a>(pub &'a Throttle);

impl Drop for OpenOnDrop<'_> {
    fn drop(&mut self) {
        self.0.open_for_good();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_waits_until_it_is_let_in_and_never_after_the_end() {
        let throttle = Throttle::new(Concurrency { workers: 1, batch: 8 });
        assert!(!throttle.is_closed_for(0) && throttle.is_closed_for(1));
        std::thread::scope(|scope| {
            let second = scope.spawn(|| throttle.wait(1));
            let third = scope.spawn(|| throttle.wait(2));
            throttle.set(Concurrency { workers: 2, batch: 4 });
            second.join().expect("the worker does not panic");
            assert!(throttle.is_closed_for(2) && throttle.batch() == 4);
            throttle.open_for_good();
            third.join().expect("the worker does not panic");
        });
        throttle.set(Concurrency { workers: 1, batch: 4 });
        assert!(!throttle.is_closed_for(7));
    }
}
