//! The CPUs, memory and time that searches for drawings may use.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::types::{ByteBudget, CancelToken, MemoryPermit};
use crate::vector::Deadline;

/// Stands in for a deadline too far away to be represented: a year.
const NEVER: Duration = Duration::from_secs(86_400 * 365);

/// The CPUs and the memory that the searches of a run share.
pub(super) struct Resources {
    /// Number of CPUs that are not in use.
    idle: AtomicUsize,
    /// Memory for drawings.
    drawings: ByteBudget,
}

impl Resources {
    pub(super) fn new(cpus: usize, drawing_bytes: u64) -> Self {
        Self { idle: AtomicUsize::new(cpus), drawings: ByteBudget::new(drawing_bytes) }
    }

    /// Takes a CPU, if one is idle.
    pub(super) fn try_take_cpu(&self) -> Option<CpuPermit<'_>> {
        let taken = self.idle.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |idle| idle.checked_sub(1));
        taken.is_ok().then_some(CpuPermit(&self.idle))
    }

    /// Waits until there is memory for a search, and returns the limits of that search. It needs this much memory for
    /// each drawing that it makes at the same time.
    pub(super) fn limits<'a>(&'a self, bytes: u64, time: Duration, cancel: &CancelToken) -> Limits<'a> {
        let held = self.drawings.hold(bytes);
        let start = Instant::now();
        Limits { resources: self, bytes, start, deadline: deadline(start, time, cancel), _held: held }
    }
}

/// The deadline of what started at this time: it also passes when the run is cancelled.
pub(super) fn deadline(start: Instant, time: Duration, cancel: &CancelToken) -> Deadline {
    let (end, cancel) = (start.checked_add(time).unwrap_or(start + NEVER), cancel.clone());
    Deadline::when(move |ahead| cancel.is_cancelled() || Instant::now() + ahead >= end)
}

/// A CPU in use; dropping the permit gives the CPU back.
pub(super) struct CpuPermit<'a>(&'a AtomicUsize);

impl Drop for CpuPermit<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The limits of the search for one picture, with the memory for one drawing.
pub(crate) struct Limits<'a> {
    resources: &'a Resources,
    bytes: u64,
    start: Instant,
    deadline: Deadline,
    _held: MemoryPermit<'a>,
}

impl<'a> Limits<'a> {
    /// How long the search has been running.
    pub(super) fn time(&self) -> Duration {
        self.start.elapsed()
    }

    /// When the search has to end.
    pub(super) fn deadline(&self) -> &Deadline {
        &self.deadline
    }

    /// Takes a CPU and memory for one more drawing at the same time, if both are free.
    pub(super) fn spare(&self) -> Option<(CpuPermit<'a>, MemoryPermit<'a>)> {
        Some((self.resources.try_take_cpu()?, self.resources.drawings.try_hold(self.bytes)?))
    }
}
