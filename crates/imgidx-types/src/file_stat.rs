//! The file signature, by which an unchanged file is recognised without reading it.

use std::fs::Metadata;
use std::time::{SystemTime, UNIX_EPOCH};

/// The signature of a file: the metadata by which changes are detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    /// The length in bytes.
    pub size: u64,
    /// The time of the last modification, in nanoseconds since 1970. Programs can set it.
    pub mtime_ns: i64,
    /// The time of the last change of content or attributes, in nanoseconds since 1970. Programs cannot set it. Equal
    /// to `mtime_ns` on systems without such a time.
    pub ctime_ns: i64,
    /// The inode number, or 0 on systems without inodes.
    pub inode: u64,
    /// The number of the device that holds the file system. It may change after a restart, so [`FileStat::matches`]
    /// ignores it.
    pub device: u64,
}

/// The maximum time between two ticks of a file system's clock, with a margin: Linux stamps files with the time of the
/// last timer tick, which is at most 10 ms old.
const FINE_CLOCK_NS: i64 = 20_000_000;

/// The same for file systems that store whole seconds. FAT stores only even seconds.
const COARSE_CLOCK_NS: i64 = 2_000_000_000;

impl FileStat {
    /// Extracts the signature from a file's metadata.
    pub fn new(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
            Self {
                size: metadata.len(),
                mtime_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
                ctime_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
                inode: metadata.ino(),
                device: metadata.dev(),
            }
        }
        #[cfg(not(unix))]
        {
            let mtime_ns = metadata.modified().map_or(0, nanoseconds_since_1970);
            Self { size: metadata.len(), mtime_ns, ctime_ns: mtime_ns, inode: 0, device: 0 }
        }
    }

    /// Whether two signatures belong to the same unchanged file.
    pub fn matches(&self, other: &Self) -> bool {
        (self.size, self.mtime_ns, self.ctime_ns, self.inode)
            == (other.size, other.mtime_ns, other.ctime_ns, other.inode)
    }

    /// Whether the file may have changed after it was read at `read_at_ns`, without a change of this signature.
    ///
    /// Two changes within one tick of the file system's clock get the same time. So a file that was read within a tick
    /// of its last change must be read again. Git calls such entries "racily clean".
    pub fn is_racy(&self, read_at_ns: i64) -> bool {
        const SECOND: i64 = 1_000_000_000;
        let coarse = self.mtime_ns % SECOND == 0 && self.ctime_ns % SECOND == 0;
        let clock = if coarse { COARSE_CLOCK_NS } else { FINE_CLOCK_NS };
        self.ctime_ns.saturating_add(clock) >= read_at_ns
    }
}

/// The current time in nanoseconds since 1970, as in [`FileStat`].
pub fn now_ns() -> i64 {
    nanoseconds_since_1970(SystemTime::now())
}

/// A time in nanoseconds since 1970, as in [`FileStat`]. Negative before 1970, and clamped to the range of `i64`.
pub fn nanoseconds_since_1970(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ_AT: i64 = 1_700_000_000_500_000_000;

    fn changed_at(ctime_ns: i64) -> FileStat {
        FileStat { size: 1, mtime_ns: 1_600_000_000_000_000_000, ctime_ns, inode: 7, device: 1 }
    }

    #[test]
    fn a_file_read_in_the_tick_of_its_change_is_racy() {
        assert!(changed_at(READ_AT - 1).is_racy(READ_AT));
        assert!(changed_at(READ_AT + 1).is_racy(READ_AT));
        assert!(!changed_at(READ_AT - 30_000_001).is_racy(READ_AT));
    }

    #[test]
    fn whole_seconds_imply_a_coarse_clock() {
        assert!(changed_at(1_700_000_000_000_000_000).is_racy(READ_AT));
        assert!(!changed_at(1_699_999_998_000_000_000).is_racy(READ_AT));
    }

    #[test]
    fn a_modification_time_in_the_future_does_not_make_a_file_racy_for_ever() {
        let stat = FileStat { mtime_ns: READ_AT * 2, ..changed_at(READ_AT - 3_000_000_000) };
        assert!(!stat.is_racy(READ_AT));
    }

    #[test]
    fn a_different_device_number_is_not_a_change() {
        let stat = changed_at(5);
        assert!(stat.matches(&FileStat { device: 99, ..stat }));
        assert!(!stat.matches(&FileStat { ctime_ns: 6, ..stat }));
    }
}
