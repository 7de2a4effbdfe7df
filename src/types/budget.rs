//! A memory budget that several threads share.

use parking_lot::{Condvar, Mutex};

/// A number of bytes that threads may hold together. A thread that needs more than is free waits.
#[derive(Debug)]
pub(crate) struct ByteBudget {
    total: u64,
    free: Mutex<u64>,
    freed: Condvar,
}

/// Bytes taken from a [`ByteBudget`]; dropping the permit frees them.
#[derive(Debug)]
pub(crate) struct MemoryPermit<'a> {
    budget: &'a ByteBudget,
    bytes: u64,
}

impl ByteBudget {
    pub(crate) fn new(total: u64) -> Self {
        Self { total, free: Mutex::new(total), freed: Condvar::new() }
    }

    /// Waits until the bytes are free and takes them. A request above the total counts as the total, so that it runs
    /// alone rather than never.
    pub(crate) fn hold(&self, bytes: u64) -> MemoryPermit<'_> {
        let bytes = bytes.min(self.total);
        let mut free = self.free.lock();
        self.freed.wait_while(&mut free, |free| *free < bytes);
        *free -= bytes;
        MemoryPermit { budget: self, bytes }
    }

    /// Takes the bytes if they are free; does not wait.
    pub(crate) fn try_hold(&self, bytes: u64) -> Option<MemoryPermit<'_>> {
        let mut free = self.free.lock();
        *free = free.checked_sub(bytes)?;
        Some(MemoryPermit { budget: self, bytes })
    }
}

impl Drop for MemoryPermit<'_> {
    fn drop(&mut self) {
        *self.budget.free.lock() += self.bytes;
        self.budget.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn permits_together_never_exceed_the_total() {
        let budget = ByteBudget::new(100);
        let (held, peak) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (budget, held, peak) = (&budget, &held, &peak);
                scope.spawn(move || {
                    for turn in 0..200 {
                        let bytes = (thread * 37 + turn * 13) % 70;
                        let _guard = budget.hold(bytes);
                        peak.fetch_max(held.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
                        held.fetch_sub(bytes, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(peak.into_inner() <= 100);
    }

    #[test]
    fn a_request_above_the_total_gets_the_total() {
        let budget = ByteBudget::new(10);
        drop(budget.hold(1000));
        drop(budget.hold(10));
    }

    #[test]
    fn a_request_that_does_not_wait_gets_only_free_bytes() {
        let budget = ByteBudget::new(10);
        let seven = budget.try_hold(7).expect("all are free");
        assert!(budget.try_hold(4).is_none());
        drop(budget.try_hold(3).expect("three are free"));
        drop(seven);
        assert!(budget.try_hold(10).is_some() && budget.try_hold(11).is_none());
    }
}
