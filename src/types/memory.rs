//! The memory of this process.

/// The most memory that this process had at a time, in bytes; `None` where the system does not tell.
pub fn peak_memory() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        // `getrusage` tells the larger one of this and of what the process that started this one had then.
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
        // In kilobytes, but on Apple's systems in bytes.
        let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
        u64::try_from(usage.ru_maxrss).ok().map(|peak| peak * unit)
    }
    #[cfg(not(unix))]
    {
        None
    }
}

/// The memory that this process has now, in bytes; `None` where the system does not tell (everywhere but on Linux).
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

/// Has large pieces of memory given back to the system when they are freed, for programs that index: glibc would keep as much as the
/// largest one for each thread. Does nothing with other allocators.
pub fn give_back_large_pieces() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // Usual pictures are smaller, and their memory is used again and again.
        const LARGE: i32 = 4 << 20;
        // SAFETY: both only set numbers that the allocator goes by.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
            // Setting the first one would leave this at 128 KiB, so that memory were given back and taken again all the time.
            libc::mallopt(libc::M_TRIM_THRESHOLD, 4 * LARGE);
        }
    }
}

/// Has threads take what others have freed, for programs whose threads come and go and take much: glibc would have up to eight pools of
/// memory for each processor, and each would keep what it once had. Does nothing with other allocators.
pub fn share_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        // SAFETY: it only sets a number that the allocator goes by.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, processors.try_into().unwrap_or(i32::MAX));
        }
    }
}

/// Lets the allocator give back what it holds for later: much of it, after a run with large pictures.
pub(crate) fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it only takes locks of the allocator, and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_shows_and_the_peak_stays() {
        let (Some(before), Some(peak)) = (current_memory(), peak_memory()) else { return };
        let bytes = vec![1_u8; 64 << 20];
        let during = current_memory().expect("it was told before");
        assert!(during >= before + (48 << 20), "{before} and {during}, with {} more", bytes.len());
        drop(bytes);
        // The system adds up what each thread has taken a little later.
        let after = peak_memory().expect("it was told before");
        assert!(after >= peak.max(during - (4 << 20)), "{after}, {peak} before and {during} in between");
    }
}
