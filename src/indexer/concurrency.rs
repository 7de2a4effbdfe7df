//! Adapts a run while it is active: the batch size to the measured speed, and the number of workers and the batch size
//! to the available memory.

use std::time::{Duration, Instant};

/// How many workers there are, and how many pictures they process at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Concurrency {
    /// Number of workers that take pictures.
    pub workers: usize,
    /// Number of pictures that go through the model at once.
    pub batch: usize,
}

impl Concurrency {
    /// Halves the batch size or, if it is 1, removes a worker. One worker with a batch of 1 stays.
    pub(super) fn reduce(&mut self) {
        if self.batch > 1 {
            self.batch /= 2;
        } else if self.workers > 1 {
            self.workers -= 1;
        }
    }
}

/// Minimum time for which one batch size is measured.
const WINDOW: Duration = Duration::from_secs(3);

/// Minimum number of pictures with which one batch size is measured.
const MIN_PICTURES: u64 = 64;

/// Minimum speedup for which a larger batch size is kept. Smaller differences are within the noise of a machine.
const SPEEDUP_THRESHOLD: f64 = 1.05;

/// A rate below this fraction of the settled rate means that the pictures or the load of the machine have changed, so
/// larger batches are tried again.
const SLOWDOWN_THRESHOLD: f64 = 0.6;

/// Minimum time between two reductions, so that each can take effect.
const REDUCTION_INTERVAL: Duration = Duration::from_secs(1);

/// How long memory must be available before the next increase.
const INCREASE_DELAY: Duration = Duration::from_secs(2);

/// Minimum time between two requests to the allocator to return unused memory.
const TRIM_INTERVAL: Duration = Duration::from_secs(3);

/// Decides the concurrency of one run. Takes the time as an argument, and changes nothing but its own state.
#[derive(Debug)]
pub(super) struct ConcurrencyController {
    /// Memory limit of the process, in bytes.
    limit: u64,
    /// The concurrency to use if there is enough memory.
    wanted: Concurrency,
    concurrency: Concurrency,
    /// The largest batch size to try; the initial one if none is to be tried.
    max_batch: usize,
    /// The rate of the previous, smaller size in pictures per second, while a larger one is being tried.
    previous_rate: Option<f64>,
    /// The rate of the size that was settled on.
    settled_rate: Option<f64>,
    window: Option<(Instant, u64)>,
    last_reduction: Option<Instant>,
    available_since: Option<Instant>,
    last_trim: Option<Instant>,
}

impl ConcurrencyController {
    /// Starts with `concurrency`, and keeps that batch size while there is enough memory: on the processor, no batch
    /// size is faster than a small one.
    pub(super) fn new(limit: u64, concurrency: Concurrency) -> Self {
        Self {
            limit,
            wanted: concurrency,
            concurrency,
            max_batch: concurrency.batch,
            previous_rate: None,
            settled_rate: None,
            window: None,
            last_reduction: None,
            available_since: None,
            last_trim: None,
        }
    }

    /// Restarts with this batch size and lets it grow to `max`, once the device has turned out to be an accelerator.
    pub(super) fn suit_accelerator(&mut self, batch: usize, max: usize) {
        (self.wanted.batch, self.concurrency.batch, self.max_batch) = (batch, batch, max.max(batch));
        (self.previous_rate, self.settled_rate, self.window) = (None, None, None);
    }

    /// Whether the allocator should return unused memory before [`ConcurrencyController::tick`] decides.
    pub(super) fn wants_trim(&mut self, now: Instant, memory: u64) -> bool {
        let is_due = self.last_trim.is_none_or(|last| now.duration_since(last) >= TRIM_INTERVAL);
        let wants = memory > self.limit / 10 * 9 && is_due;
        if wants {
            self.last_trim = Some(now);
        }
        wants
    }

    /// Returns the concurrency to use from now on. `embedded` is the number of pictures embedded so far, `memory` the
    /// memory in use in bytes, and `is_busy` whether pictures are waiting for workers.
    pub(super) fn tick(&mut self, now: Instant, embedded: u64, memory: Option<u64>, is_busy: bool) -> Concurrency {
        if let Some(memory) = memory {
            self.adapt_to_memory(now, memory);
        }
        if is_busy && self.concurrency == self.wanted {
            self.adapt_batch_size(now, embedded);
        } else {
            // A rate that includes waiting for the disk or for memory says nothing about the batch size.
            self.window = None;
        }
        self.concurrency
    }

    /// Reduces the batch size and then the number of workers step by step while memory is short, and increases them
    /// again when it is not.
    fn adapt_to_memory(&mut self, now: Instant, memory: u64) {
        if memory > self.limit / 20 * 19 {
            self.available_since = None;
            if self.last_reduction.is_some_and(|last| now.duration_since(last) < REDUCTION_INTERVAL) {
                return;
            }
            self.concurrency.reduce();
            self.last_reduction = Some(now);
        } else if memory > self.limit / 20 * 17 || self.concurrency == self.wanted {
            self.available_since = None;
        } else {
            let since = *self.available_since.get_or_insert(now);
            if now.duration_since(since) >= INCREASE_DELAY {
                self.available_since = Some(now);
                if self.concurrency.workers < self.wanted.workers {
                    self.concurrency.workers += 1;
                } else {
                    self.concurrency.batch = (2 * self.concurrency.batch).min(self.wanted.batch);
                }
            }
        }
    }

    /// Doubles the batch size as long as each size is faster than the one before.
    fn adapt_batch_size(&mut self, now: Instant, embedded: u64) {
        let (start, first) = *self.window.get_or_insert((now, embedded));
        let (time, pictures) = (now.duration_since(start), embedded.saturating_sub(first));
        if time < WINDOW || pictures < MIN_PICTURES {
            return;
        }
        self.window = Some((now, embedded));
        let rate = pictures as f64 / time.as_secs_f64();
        let batch = self.wanted.batch;
        match (self.previous_rate, self.settled_rate) {
            (Some(previous), _) if rate < previous * SPEEDUP_THRESHOLD => {
                self.set_batch(batch / 2);
                (self.previous_rate, self.settled_rate) = (None, Some(previous));
            }
            (None, Some(settled)) if rate >= settled * SLOWDOWN_THRESHOLD => {}
            _ if batch * 2 <= self.max_batch => {
                self.set_batch(batch * 2);
                (self.previous_rate, self.settled_rate) = (Some(rate), None);
            }
            _ => (self.previous_rate, self.settled_rate) = (None, Some(rate)),
        }
    }

    fn set_batch(&mut self, batch: usize) {
        (self.wanted.batch, self.concurrency.batch) = (batch, batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1000;

    /// Runs a controller for some seconds with each of these rates, in pictures per second by batch size.
    fn run(controller: &mut ConcurrencyController, seconds: u64, rates: &[&dyn Fn(usize) -> f64]) {
        let (mut now, mut embedded) = (Instant::now(), 0.0);
        for rate in rates {
            for _ in 0..seconds * 10 {
                now += Duration::from_millis(100);
                embedded += rate(controller.concurrency.batch) / 10.0;
                controller.tick(now, embedded as u64, Some(LIMIT / 2), true);
            }
        }
    }

    fn controller(batch: usize, max: usize) -> ConcurrencyController {
        let mut controller = ConcurrencyController::new(LIMIT, Concurrency { workers: 4, batch: 1 });
        controller.suit_accelerator(batch, max);
        controller
    }

    #[test]
    fn batches_grow_as_long_as_the_rate_does() {
        let mut accelerator = controller(16, 128);
        run(&mut accelerator, 60, &[&|batch| 1000.0 * (batch.min(64) as f64 / 64.0).sqrt()]);
        assert_eq!(accelerator.concurrency.batch, 64);
        let mut steady = controller(2, 16);
        run(&mut steady, 60, &[&|_| 300.0]);
        assert_eq!(steady.concurrency.batch, 2);
    }

    #[test]
    fn larger_batches_are_tried_again_after_a_large_slowdown() {
        let mut controller = controller(2, 16);
        run(&mut controller, 30, &[&|_| 300.0, &|batch| 20.0 * batch as f64]);
        assert_eq!(controller.concurrency.batch, 16);
    }

    #[test]
    fn without_an_accelerator_the_batch_size_is_kept() {
        let mut controller = ConcurrencyController::new(LIMIT, Concurrency { workers: 2, batch: 4 });
        run(&mut controller, 60, &[&|batch| 100.0 * batch as f64]);
        assert_eq!(controller.concurrency.batch, 4);
    }

    #[test]
    fn when_memory_is_short_batches_shrink_before_workers_stop_and_all_come_back() {
        let mut controller = controller(4, 4);
        let mut now = Instant::now();
        let mut seconds = |controller: &mut ConcurrencyController, memory: u64, seconds: u32| {
            for _ in 0..10 * seconds {
                now += Duration::from_millis(100);
                controller.tick(now, 0, Some(memory), true);
            }
            controller.concurrency
        };
        assert_eq!(seconds(&mut controller, 960, 1), Concurrency { workers: 4, batch: 2 }, "a step at a time");
        assert_eq!(seconds(&mut controller, 960, 2), Concurrency { workers: 3, batch: 1 });
        assert_eq!(seconds(&mut controller, 960, 20), Concurrency { workers: 1, batch: 1 });
        // Memory is neither short nor plentiful.
        assert_eq!(seconds(&mut controller, 900, 100), Concurrency { workers: 1, batch: 1 });
        assert_eq!(seconds(&mut controller, 840, 1), Concurrency { workers: 1, batch: 1 });
        assert_eq!(seconds(&mut controller, 840, 100), Concurrency { workers: 4, batch: 4 });
    }

    #[test]
    fn the_allocator_is_trimmed_at_intervals() {
        let (mut controller, start) = (controller(1, 1), Instant::now());
        let asked = (0..100).filter(|i| controller.wants_trim(start + *i * Duration::from_millis(100), 950)).count();
        assert_eq!(asked, 4);
        assert!(!controller.wants_trim(start + Duration::from_secs(60), 800));
    }

    #[test]
    fn waiting_for_the_disk_does_not_count_as_a_slow_batch() {
        let mut controller = controller(2, 64);
        let mut now = Instant::now();
        for i in 0..600 {
            now += Duration::from_millis(100);
            controller.tick(now, i * 100, Some(0), false);
        }
        assert_eq!(controller.concurrency.batch, 2);
    }
}
