//! When a trace has to end.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vtracer::CancelToken;

use super::outline::NotDrawn;

/// When a trace has to end. All steps ask it every few milliseconds, and give up once it has passed.
#[derive(Clone)]
pub struct Deadline(Arc<IsLate>);

/// Whether a deadline will have passed after this time.
type IsLate = dyn Fn(Duration) -> bool + Send + Sync;

impl Deadline {
    /// A deadline that never passes.
    pub fn never() -> Self {
        Self::when(|_| false)
    }

    /// A deadline at a point in time.
    pub fn at(end: Instant) -> Self {
        Self::when(move |ahead| Instant::now() + ahead >= end)
    }

    /// A deadline that has passed once this function returns true, and from then on. It is called with zero, or with
    /// the time that a step is going to take.
    pub fn when(is_late: impl Fn(Duration) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_late))
    }

    /// Whether the deadline has passed.
    pub fn is_late(&self) -> bool {
        (self.0)(Duration::ZERO)
    }

    /// # Errors
    /// [`NotDrawn::Late`] if the deadline has passed.
    pub fn check(&self) -> Result<(), NotDrawn> {
        if self.is_late() { Err(NotDrawn::Late) } else { Ok(()) }
    }

    /// Whether the deadline will have passed after a step that takes this long.
    pub(super) fn is_late_after(&self, step: Duration) -> bool {
        (self.0)(step)
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline").field("is_late", &self.is_late()).finish()
    }
}

/// Ends the tracer at the deadline.
///
/// What the tracer calls cannot return errors. It returns something incomplete instead, and the tracer discards that,
/// because it has been cancelled.
#[derive(Clone)]
pub(super) struct Stop {
    pub deadline: Deadline,
    pub cancel: CancelToken,
}

impl Stop {
    /// Whether the deadline has passed. Cancels the tracer then.
    pub(super) fn is_late(&self) -> bool {
        let is_late = self.deadline.is_late();
        if is_late {
            self.cancel.cancel();
        }
        is_late
    }
}
