//! A bound on bytes that several threads hold together.

use std::sync::{Condvar, Mutex, PoisonError};

/// Bytes that may be held at a time. Whoever wants more than is free waits.
#[derive(Debug)]
pub(crate) struct ByteBudget {
    total: u64,
    free: Mutex<u64>,
    freed: Condvar,
}

/// Bytes that are held until this is dropped.
#[derive(Debug)]
pub(crate) struct MemoryPermit<'a> {
    budget: &'a ByteBudget,
    bytes: u64,
}

impl ByteBudget {
    pub(crate) fn new(total: u64) -> Self {
        Self { total, free: Mutex::new(total), freed: Condvar::new() }
    }

    /// Waits until the bytes are free and takes them. More than the total counts as the total, so that one thing that
    /// is too large goes alone rather than never.
    pub(crate) fn hold(&self, bytes: u64) -> MemoryPermit<'_> {
        let bytes = bytes.min(self.total);
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.freed.wait_while(free, |free| *free < bytes).unwrap_or_else(PoisonError::into_inner);
        *free -= bytes;
        MemoryPermit { budget: self, bytes }
    }

    /// Takes the bytes if they are free.
    pub(crate) fn try_hold(&self, bytes: u64) -> Option<MemoryPermit<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = free.checked_sub(bytes)?;
        Some(MemoryPermit { budget: self, bytes })
    }
}

impl Drop for MemoryPermit<'_> {
    fn drop(&mut self) {
        *self.budget.free.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.budget.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn together_the_holders_never_exceed_the_total() {
        let budget = ByteBudget::new(100);
        let (held, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (budget, held, most) = (&budget, &held, &most);
                scope.spawn(move || {
                    for turn in 0..200 {
                        let bytes = (thread * 37 + turn * 13) % 70;
                        let _guard = budget.hold(bytes);
                        most.fetch_max(held.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
                        held.fetch_sub(bytes, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= 100);
    }

    #[test]
    fn what_is_larger_than_the_total_goes_alone() {
        let budget = ByteBudget::new(10);
        drop(budget.hold(1000));
        drop(budget.hold(10));
    }

    #[test]
    fn what_is_not_free_is_not_taken_by_those_who_do_not_wait() {
        let budget = ByteBudget::new(10);
        let seven = budget.try_hold(7).expect("all are free");
        assert!(budget.try_hold(4).is_none());
        drop(budget.try_hold(3).expect("three are free"));
        drop(seven);
        assert!(budget.try_hold(10).is_some() && budget.try_hold(11).is_none());
    }
}
