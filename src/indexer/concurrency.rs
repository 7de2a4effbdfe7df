//! What is changed while a run goes on: the size of batches by how fast they went, and everything by the memory that is left.

use std::time::{Duration, Instant};

/// What workers go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Concurrency {
    /// Workers that take pictures.
    pub workers: usize,
    /// Pictures that go through the model at once.
    pub batch: usize,
}

/// How long one size of batches is decoded at before it is compared.
const WINDOW: Duration = Duration::from_secs(3);

/// Pictures that a comparison needs at least.
const LEAST_PICTURES: u64 = 64;

/// How much faster another size has to be: machines are not steadier than that.
const GAIN: f64 = 1.05;

/// A rate that has fallen so far means that the pictures, or the machine, are not what they were: then it is tried again.
const CHANGE: f64 = 0.6;

/// How long what was taken back for want of memory needs to show.
const REACTION: Duration = Duration::from_secs(1);

/// How long there has to be memory_plan before something is given again.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often the allocator is asked to give back what it keeps, at most.
const TRIM: Duration = Duration::from_secs(3);

/// Watches one run. Takes the time as an argument, and does nothing by itself.
#[derive(Debug)]
pub(super) struct ConcurrencyController {
    /// Bytes that the process may have.
    limit: u64,
    /// What would be right if there were memory enough.
    wanted: Concurrency,
    concurrency: Concurrency,
    /// The largest batches that are tried; those that there are, where nothing is tried.
    most_batch: usize,
    /// What was measured with smaller batches, in pictures a second, if this size is a trial.
    before: Option<f64>,
    /// The rate of the size that was settled on.
    settled: Option<f64>,
    window: Option<(Instant, u64)>,
    yielded: Option<Instant>,
    room_since: Option<Instant>,
    trimmed: Option<Instant>,
}

impl ConcurrencyController {
    /// Begins with `concurrency`, and keeps batches as they are while there is memory: on the processor no size is faster than a small one.
    pub(super) fn new(limit: u64, concurrency: Concurrency) -> Self {
        Self {
            limit,
            wanted: concurrency,
            concurrency,
            most_batch: concurrency.batch,
            before: None,
            settled: None,
            window: None,
            yielded: None,
            room_since: None,
            trimmed: None,
        }
    }

    /// Begins anew with batches of this size, which grow to `most`: the device has turned out to be an accelerator.
    pub(super) fn suit_accelerator(&mut self, batch: usize, most: usize) {
        (self.wanted.batch, self.concurrency.batch, self.most_batch) = (batch, batch, most.max(batch));
        (self.before, self.settled, self.window) = (None, None, None);
    }

    /// Whether the allocator should give back what it can, before [`ConcurrencyController::tick`] decides.
    pub(super) fn wants_trim(&mut self, now: Instant, memory: u64) -> bool {
        let is_due = self.trimmed.is_none_or(|last| now.duration_since(last) >= TRIM);
        let wants = memory > self.limit / 10 * 9 && is_due;
        if wants {
            self.trimmed = Some(now);
        }
        wants
    }

    /// Looks at a run that has embedded so many pictures and has so much memory; `is_busy` if pictures were waiting for workers.
    pub(super) fn tick(&mut self, now: Instant, embedded: u64, memory: Option<u64>, is_busy: bool) -> Concurrency {
        if let Some(memory) = memory {
            self.heed_memory(now, memory);
        }
        if is_busy && self.concurrency == self.wanted {
            self.compare(now, embedded);
        } else {
            // Waiting for the disk, or for memory, tells nothing of batches.
            self.window = None;
        }
        self.concurrency
    }

    /// Takes back batches and then workers while memory is short, a step at a time, and gives them again when it is not.
    fn heed_memory(&mut self, now: Instant, memory: u64) {
        if memory > self.limit / 20 * 19 {
            self.room_since = None;
            if self.yielded.is_some_and(|last| now.duration_since(last) < REACTION) {
                return;
            }
            if self.concurrency.batch > 1 {
                self.concurrency.batch /= 2;
            } else if self.concurrency.workers > 1 {
                self.concurrency.workers -= 1;
            }
            self.yielded = Some(now);
        } else if memory > self.limit / 20 * 17 || self.concurrency == self.wanted {
            self.room_since = None;
        } else {
            let since = *self.room_since.get_or_insert(now);
            if now.duration_since(since) >= PATIENCE {
                self.room_since = Some(now);
                if self.concurrency.workers < self.wanted.workers {
                    self.concurrency.workers += 1;
                } else {
                    self.concurrency.batch = (2 * self.concurrency.batch).min(self.wanted.batch);
                }
            }
        }
    }

    /// Climbs to larger batches as long as each is faster than the one before.
    fn compare(&mut self, now: Instant, embedded: u64) {
        let (start, first) = *self.window.get_or_insert((now, embedded));
        let (time, pictures) = (now.duration_since(start), embedded.saturating_sub(first));
        if time < WINDOW || pictures < LEAST_PICTURES {
            return;
        }
        self.window = Some((now, embedded));
        let rate = pictures as f64 / time.as_secs_f64();
        let batch = self.wanted.batch;
        match (self.before, self.settled) {
            (Some(before), _) if rate < before * GAIN => {
                self.set_batch(batch / 2);
                (self.before, self.settled) = (None, Some(before));
            }
            (None, Some(settled)) if rate >= settled * CHANGE => {}
            _ if batch * 2 <= self.most_batch => {
                self.set_batch(batch * 2);
                (self.before, self.settled) = (Some(rate), None);
            }
            _ => (self.before, self.settled) = (None, Some(rate)),
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

    /// A controller for some seconds on a machine that does so many pictures a second with a batch.
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

    fn controller(batch: usize, most: usize) -> ConcurrencyController {
        let mut controller = ConcurrencyController::new(LIMIT, Concurrency { workers: 4, batch: 1 });
        controller.suit_accelerator(batch, most);
        controller
    }

    #[test]
    fn batches_grow_as_long_as_that_pays() {
        let mut accelerator = controller(16, 128);
        run(&mut accelerator, 60, &[&|batch| 1000.0 * (batch.min(64) as f64 / 64.0).sqrt()]);
        assert_eq!(accelerator.concurrency.batch, 64);
        let mut steady = controller(2, 16);
        run(&mut steady, 60, &[&|_| 300.0]);
        assert_eq!(steady.concurrency.batch, 2);
    }

    #[test]
    fn when_everything_has_become_much_slower_it_is_tried_again() {
        let mut controller = controller(2, 16);
        run(&mut controller, 30, &[&|_| 300.0, &|batch| 20.0 * batch as f64]);
        assert_eq!(controller.concurrency.batch, 16);
    }

    #[test]
    fn without_an_accelerator_a_size_is_kept() {
        let mut controller = ConcurrencyController::new(LIMIT, Concurrency { workers: 2, batch: 4 });
        run(&mut controller, 60, &[&|batch| 100.0 * batch as f64]);
        assert_eq!(controller.concurrency.batch, 4);
    }

    #[test]
    fn short_of_memory_batches_go_before_workers_and_all_come_back() {
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
        // Neither short nor with memory_plan to spare.
        assert_eq!(seconds(&mut controller, 900, 100), Concurrency { workers: 1, batch: 1 });
        assert_eq!(seconds(&mut controller, 840, 1), Concurrency { workers: 1, batch: 1 });
        assert_eq!(seconds(&mut controller, 840, 100), Concurrency { workers: 4, batch: 4 });
    }

    #[test]
    fn the_allocator_is_asked_only_now_and_then() {
        let (mut controller, start) = (controller(1, 1), Instant::now());
        let asked = (0..100).filter(|i| controller.wants_trim(start + *i * Duration::from_millis(100), 950)).count();
        assert_eq!(asked, 4);
        assert!(!controller.wants_trim(start + Duration::from_secs(60), 800));
    }

    #[test]
    fn waiting_for_the_disk_is_not_taken_for_a_slow_batch() {
        let mut controller = controller(2, 64);
        let mut now = Instant::now();
        for i in 0..600 {
            now += Duration::from_millis(100);
            controller.tick(now, i * 100, Some(0), false);
        }
        assert_eq!(controller.concurrency.batch, 2);
    }
}
