//! The memory of this process, and settings of its allocator.

/// Peak resident memory of this process in bytes; `None` if the system does not report it.
pub fn peak_memory() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        // Not `getrusage`: it returns at least what the parent used when it started this process.
        let text = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
        Some(kilobytes * 1024)
    }
    #[cfg(all(unix, not(target_os = "linux")))]
    {
        // SAFETY: `rusage` is plain data for which zero is a valid value, and the call only writes to it.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            (libc::getrusage(libc::RUSAGE_SELF, &mut usage) == 0).then_some(usage)?
        };
        // Apple's systems report bytes, all others kilobytes.
        let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
        u64::try_from(usage.ru_maxrss).ok().map(|peak| peak * unit)
    }
    #[cfg(not(unix))]
    {
        None
    }
}

/// Current resident memory of this process in bytes; `None` on systems other than Linux.
pub fn current_memory() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        // The second number is the resident set in pages (proc(5)).
        let text = std::fs::read_to_string("/proc/self/statm").ok()?;
        let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(pages * rustix::param::page_size() as u64)
    }
    #[cfg(not(target_os = "linux"))]
    {
        None
    }
}

/// Makes the allocator return large blocks to the system as soon as they are freed. Programs that index should call
/// this, because glibc would otherwise keep up to the largest block for each thread. Does nothing with other
/// allocators.
pub fn give_back_large_pieces() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // Most pictures are smaller, and reusing their memory is faster.
        const LARGE: i32 = 4 << 20;
        // SAFETY: both calls only set parameters of the allocator.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
            // Setting only the first would leave this one at 128 KiB, and memory would go back and forth all the time.
            libc::mallopt(libc::M_TRIM_THRESHOLD, 4 * LARGE);
        }
    }
}

/// Makes threads reuse the memory that other threads have freed, for programs with short-lived threads that use much
/// memory. glibc would otherwise create up to eight arenas for each processor, and each keeps the memory that it once
/// had. Does nothing with other allocators.
pub fn share_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        // SAFETY: it only sets a parameter of the allocator.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, processors.try_into().unwrap_or(i32::MAX));
        }
    }
}

/// Returns the allocator's unused memory to the system. After a run with large pictures this is much.
pub(crate) fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it only takes the allocator's locks, and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocated_memory_is_counted_and_the_peak_remains() {
        let (Some(before), Some(peak)) = (current_memory(), peak_memory()) else { return };
        let bytes = vec![1_u8; 64 << 20];
        let during = current_memory().expect("it was reported before");
        assert!(during >= before + (48 << 20), "{before} and {during}, with {} more", bytes.len());
        drop(bytes);
        // The kernel adds up the counters of the threads with a delay.
        let after = peak_memory().expect("it was reported before");
        assert!(after >= peak.max(during - (4 << 20)), "{after}, {peak} before and {during} in between");
    }
}
