//! What is changed while a run goes on: the size of batches by how fast they went, and everything by the memory that is left.

use std::time::{Duration, Instant};

/// What workers go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// Workers that take pictures.
    pub workers: usize,
    /// Pictures that go through the model at once.
    pub batch: usize,
}

/// How long one size of batches is looked at before it is compared.
const WINDOW: Duration = Duration::from_secs(3);

/// Pictures that a comparison needs at least.
const LEAST_PICTURES: u64 = 64;

/// How much faster another size has to be: machines are not steadier than that.
const GAIN: f64 = 1.05;

/// A rate that has fallen so far means that the pictures, or the machine, are not what they were: then it is tried again.
const CHANGE: f64 = 0.6;

/// How long there has to be room before something that was taken back for want of it is given again.
const PATIENCE: Duration = Duration::from_secs(2);

/// Watches one run. Takes the time as an argument, and does nothing by itself.
#[derive(Debug)]
pub(super) struct Governor {
    limit: u64,
    most: Pace,
    pace: Pace,
    /// Whether larger batches are tried.
    may_grow: bool,
    /// What was measured with smaller batches, in pictures a second, if this size is a trial.
    before: Option<f64>,
    /// The rate of the size that was settled on.
    settled: Option<f64>,
    window: Option<(Instant, u64)>,
    room_since: Option<Instant>,
}

impl Governor {
    /// Begins with `pace`, and keeps batches as they are while there is memory: on the processor no size is faster than a small one.
    pub fn new(limit: u64, pace: Pace) -> Self {
        let (before, settled, window, room_since) = (None, None, None, None);
        Self { limit, most: pace, pace, may_grow: false, before, settled, window, room_since }
    }

    /// Begins anew with batches of this size, which grow to `most`: the device has turned out to be an accelerator.
    pub fn suit_accelerator(&mut self, batch: usize, most: usize) {
        (self.pace.batch, self.most.batch, self.may_grow) = (batch, most.max(batch), true);
        (self.before, self.settled, self.window) = (None, None, None);
    }

    /// Whether the allocator should give back what it can, before [`Governor::tick`] decides.
    pub fn is_tight(&self, memory: u64) -> bool {
        memory > self.limit / 10 * 9
    }

    /// Looks at a run that has embedded so many pictures and has so much memory; `is_busy` if pictures were waiting for workers.
    pub fn tick(&mut self, now: Instant, embedded: u64, memory: Option<u64>, is_busy: bool) -> Pace {
        if let Some(memory) = memory
            && self.yield_memory(now, memory)
        {
            self.window = None;
        } else if is_busy {
            self.compare(now, embedded);
        } else {
            // Waiting for the disk tells nothing of batches.
            self.window = None;
        }
        self.pace
    }

    /// Takes back batches and then workers while memory is short, and gives them again when it is not. Tells whether it did.
    fn yield_memory(&mut self, now: Instant, memory: u64) -> bool {
        if memory > self.limit / 20 * 19 {
            self.room_since = None;
            self.before = None;
            self.may_grow = false;
            if self.pace.batch > 1 {
                self.pace.batch /= 2;
            } else if self.pace.workers > 1 {
                self.pace.workers -= 1;
            } else {
                return false;
            }
            return true;
        }
        if memory > self.limit / 4 * 3 || self.pace.workers == self.most.workers {
            self.room_since = None;
            return false;
        }
        let since = *self.room_since.get_or_insert(now);
        if now.duration_since(since) < PATIENCE {
            return false;
        }
        self.room_since = Some(now);
        self.pace.workers += 1;
        true
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
        match (self.before, self.settled) {
            (Some(before), _) if rate < before * GAIN => {
                self.pace.batch /= 2;
                self.before = None;
                self.settled = Some(before);
            }
            (None, Some(settled)) if rate >= settled * CHANGE => {}
            _ if self.may_grow && self.pace.batch * 2 <= self.most.batch => {
                self.before = Some(rate);
                self.settled = None;
                self.pace.batch *= 2;
            }
            _ => {
                self.before = None;
                self.settled = Some(rate);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1000;

    /// A governor for some seconds on a machine that does so many pictures a second with a batch.
    fn run(governor: &mut Governor, seconds: u64, rates: &[&dyn Fn(usize) -> f64]) {
        let (mut now, mut embedded) = (Instant::now(), 0.0);
        for rate in rates {
            for _ in 0..seconds * 10 {
                now += Duration::from_millis(100);
                embedded += rate(governor.pace.batch) / 10.0;
                governor.tick(now, embedded as u64, Some(LIMIT / 2), true);
            }
        }
    }

    fn governor(batch: usize, most: usize) -> Governor {
        let mut governor = Governor::new(LIMIT, Pace { workers: 4, batch: 1 });
        governor.suit_accelerator(batch, most);
        governor
    }

    #[test]
    fn batches_grow_as_long_as_that_pays() {
        let mut accelerator = governor(16, 128);
        run(&mut accelerator, 60, &[&|batch| 1000.0 * (batch.min(64) as f64 / 64.0).sqrt()]);
        assert_eq!(accelerator.pace.batch, 64);
        let mut steady = governor(2, 16);
        run(&mut steady, 60, &[&|_| 300.0]);
        assert_eq!(steady.pace.batch, 2);
    }

    #[test]
    fn when_everything_has_become_much_slower_it_is_tried_again() {
        let mut governor = governor(2, 16);
        run(&mut governor, 30, &[&|_| 300.0, &|batch| 20.0 * batch as f64]);
        assert_eq!(governor.pace.batch, 16);
    }

    #[test]
    fn without_an_accelerator_a_size_is_kept() {
        let mut governor = Governor::new(LIMIT, Pace { workers: 2, batch: 4 });
        run(&mut governor, 60, &[&|batch| 100.0 * batch as f64]);
        assert_eq!(governor.pace.batch, 4);
    }

    #[test]
    fn short_of_memory_batches_go_before_workers_and_workers_come_back() {
        let mut governor = governor(4, 4);
        let mut now = Instant::now();
        let mut tick = |governor: &mut Governor, memory: u64, ticks: u32| {
            for _ in 0..ticks {
                now += Duration::from_millis(100);
                governor.tick(now, 0, Some(memory), true);
            }
            governor.pace
        };
        assert_eq!(tick(&mut governor, 960, 1), Pace { workers: 4, batch: 2 });
        assert_eq!(tick(&mut governor, 960, 2), Pace { workers: 3, batch: 1 });
        assert_eq!(tick(&mut governor, 960, 20), Pace { workers: 1, batch: 1 });
        // Neither short nor with room to spare.
        assert_eq!(tick(&mut governor, 900, 100), Pace { workers: 1, batch: 1 });
        assert_eq!(tick(&mut governor, 500, 10), Pace { workers: 1, batch: 1 });
        assert_eq!(tick(&mut governor, 500, 100), Pace { workers: 4, batch: 1 });
    }

    #[test]
    fn waiting_for_the_disk_is_not_taken_for_a_slow_batch() {
        let mut governor = governor(2, 64);
        let mut now = Instant::now();
        for i in 0..600 {
            now += Duration::from_millis(100);
            governor.tick(now, i * 100, Some(0), false);
        }
        assert_eq!(governor.pace.batch, 2);
    }
}
