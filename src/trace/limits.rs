//! Limits of a search for a drawing.

/// The time, memory and CPUs that a search for a drawing may use.
pub trait Limits: Sync {
    /// A CPU and memory for one more drawing; dropping it gives them back.
    type Spare: Send;

    /// Whether the deadline has passed, so that nothing more is tried.
    fn is_late(&self) -> bool;

    /// Whether to give up even though there is no drawing yet.
    fn is_too_late(&self) -> bool;

    /// Takes a CPU and `bytes` of memory for one more drawing at the same time, if both are free.
    fn spare(&self, bytes: u64) -> Option<Self::Spare>;
}

/// One CPU and no deadline.
#[derive(Debug, Clone, Copy)]
pub struct NoLimits;

impl Limits for NoLimits {
    type Spare = ();

    fn is_late(&self) -> bool {
        false
    }

    fn is_too_late(&self) -> bool {
        false
    }

    fn spare(&self, _bytes: u64) -> Option<()> {
        None
    }
}
