//! What a search for a drawing may take.

/// What a search for a drawing may take: time, memory and processors, as long as it goes on.
pub trait Limits: Sync {
    /// A processor, and memory, until this is dropped.
    type Spare: Send;

    /// Whether nothing more is to be tried.
    fn is_late(&self) -> bool;

    /// Whether to give up although there is no drawing yet.
    fn is_too_late(&self) -> bool;

    /// A processor and so many bytes of memory for one more drawing at the same time, if there are any to spare.
    fn spare(&self, bytes: u64) -> Option<Self::Spare>;
}

/// All the time that there is, and one processor.
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
