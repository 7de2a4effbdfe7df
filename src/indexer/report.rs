//! What was done, while it is being done and afterwards.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// The counts of one `add`. Each file that was found is in exactly one of `new`, `changed`, `moved`, `unchanged`,
/// `failed` and `skipped`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct IndexReport {
    /// Files at paths that were not known, copies of known contents among them.
    pub new: u64,
    /// Files with another content than before.
    pub changed: u64,
    /// Files whose content was known at a path that is no longer there.
    pub moved: u64,
    /// Files that hold what they held before; files whose failure was known before among them.
    pub unchanged: u64,
    /// Known files that are no longer there. Their rows stay until `prune`.
    pub missing: u64,
    /// Files that could not be indexed, this time.
    pub failed: u64,
    /// Files that are no pictures, or none that can be decoded, and files that were just being written.
    pub skipped: u64,
    /// Files among the skipped ones that changed or vanished while they were read: the next run sees to them.
    pub changing: u64,
    /// Pictures for which the model ran.
    pub embedded: u64,
    /// Pictures whose features were measured.
    pub measured: u64,
    /// Files among the unchanged ones that failed before and were not tried again.
    pub known_failures: u64,
    /// Roots that could not be read, or were not themselves. Their rows stay.
    #[serde(skip)]
    pub offline_roots: Vec<PathBuf>,
    /// What went wrong without keeping the index from being complete: something derived could not be written.
    pub warnings: Vec<String>,
    /// Wall time.
    pub seconds: f64,
    /// Pictures embedded in a second of wall time.
    pub images_per_second: f64,
    /// The most memory that the process had at a time; `None` where the system does not tell.
    pub peak_memory_bytes: Option<u64>,
    /// Whether the work was cancelled before its end.
    pub interrupted: bool,
}

impl IndexReport {
    pub(super) fn finish(&mut self, elapsed: Duration) {
        self.seconds = elapsed.as_secs_f64();
        self.images_per_second = if self.seconds > 0.0 { self.embedded as f64 / self.seconds } else { 0.0 };
        self.peak_memory_bytes = peak_memory();
    }
}

/// How far an `add` has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files that were found so far.
    pub found: u64,
    /// Whether more may be found.
    pub scanning: bool,
    /// Files that are done, one way or another.
    pub done: u64,
    /// Pictures for which the model ran.
    pub embedded: u64,
    /// Files that failed.
    pub failed: u64,
}

/// The most memory that this process had at a time, in bytes.
fn peak_memory() -> Option<u64> {
    #[cfg(unix)]
    {
        // SAFETY: `rusage` is plain data for which zero is a valid value, and the call only writes to it.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            (libc::getrusage(libc::RUSAGE_SELF, &mut usage) == 0).then_some(usage)?
        };
        // In kilobytes, but on Apple's systems in bytes.
        let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
        u64::try_from(usage.ru_maxrss).ok().map(|peak| peak * unit)
    }
    #[cfg(not(unix))]
    {
        None
    }
}
