//! Memory-mapped files whose truncation does not end the process.
//!
//! If a mapped file is truncated or the disk fails, the system sends SIGBUS to a thread that reads the missing part,
//! and ends the process unless the signal is handled. The handler in this module makes the missing part read as zeros
//! and marks the mapping as broken, so that nothing that was read from it is used.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use memmap2::Mmap;

/// Maximum number of mappings that are protected at a time. Further mappings can still end the process.
const MAX_MAPPINGS: usize = 64;

/// The addresses of a mapping, and whether a part of it was missing. A slot is free if `start` is 0, and is being
/// claimed if `start` is 1.
struct MappedRegion {
    start: AtomicUsize,
    end: AtomicUsize,
    broken: AtomicBool,
}

static SLOTS: [MappedRegion; MAX_MAPPINGS] =
    [const { MappedRegion { start: AtomicUsize::new(0), end: AtomicUsize::new(0), broken: AtomicBool::new(false) } };
        MAX_MAPPINGS];

/// A memory-mapped file.
#[derive(Debug)]
pub(super) struct Mapping {
    map: Mmap,
    slot: Option<usize>,
}

impl Mapping {
    /// Maps a file that is never modified in place.
    ///
    /// # Errors
    /// The error of the operating system.
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the file is never written in place, only replaced by a rename. The signal handler covers truncation.
        let map = unsafe { Mmap::map(file) }?;
        let slot = if map.is_empty() { None } else { claim_slot(map.as_ptr() as usize, map.len()) };
        Ok(Self { map, slot })
    }

    /// Whether a missing part has been read. If so, everything that was read before this call may be wrong.
    pub(crate) fn is_broken(&self) -> bool {
        self.slot.is_some_and(|slot| SLOTS[slot].broken.load(Ordering::Acquire))
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            SLOTS[slot].end.store(0, Ordering::Release);
            SLOTS[slot].start.store(0, Ordering::Release);
        }
    }
}

fn claim_slot(start: usize, length: usize) -> Option<usize> {
    #[cfg(unix)]
    signal::install_handler();
    let is_taken = |slot: &MappedRegion| slot.start.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    let taken = SLOTS.iter().position(is_taken)?;
    let slot = &SLOTS[taken];
    slot.broken.store(false, Ordering::Release);
    slot.end.store(start + length, Ordering::Release);
    slot.start.store(start, Ordering::Release);
    Some(taken)
}

#[cfg(unix)]
mod signal {
    use std::mem::MaybeUninit;
    use std::sync::OnceLock;

    use super::{AtomicUsize, Ordering, SLOTS};

    /// The signal action that was installed before.
    static PREVIOUS_ACTION: OnceLock<libc::sigaction> = OnceLock::new();

    /// The size of a memory page in bytes.
    static PAGE_SIZE: AtomicUsize = AtomicUsize::new(0);

    /// Installs the handler, once per process.
    pub(super) fn install_handler() {
        PREVIOUS_ACTION.get_or_init(|| {
            // The page size is read here, because a signal handler must not call this function.
            PAGE_SIZE.store(rustix::param::page_size(), Ordering::Release);
            // SAFETY: the handler is async-signal-safe, and forwards signals that are not about our mappings.
            unsafe {
                let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
                action.sa_sigaction = on_bus_error as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                libc::sigemptyset(&raw mut action.sa_mask);
                let mut before: libc::sigaction = MaybeUninit::zeroed().assume_init();
                libc::sigaction(libc::SIGBUS, &raw const action, &raw mut before);
                before
            }
        });
    }

    /// Maps zeros over the missing part. Uses only system calls and atomics, because a signal may arrive at any moment.
    extern "C" fn on_bus_error(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the system passes a valid `siginfo_t`, which holds the address for this signal.
        let address = unsafe { (*info).si_addr() } as usize;
        let page = PAGE_SIZE.load(Ordering::Acquire);
        for slot in &SLOTS {
            let (start, end) = (slot.start.load(Ordering::Acquire), slot.end.load(Ordering::Acquire));
            if start > 1 && (start..end).contains(&address) {
                slot.broken.store(true, Ordering::Release);
                let from = address - address % page;
                let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED);
                // SAFETY: these pages belong to our mapping, which is read-only.
                let zeros = unsafe {
                    let at = from as *mut libc::c_void;
                    libc::mmap(at, end - from, protection, flags, -1, 0)
                };
                if zeros != libc::MAP_FAILED {
                    return;
                }
            }
        }
        forward(signal, info, context);
    }

    /// Runs the previous action. If that is the default action, restores it: the faulting read repeats and ends the
    /// process.
    fn forward(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the system returned this action as the previous one, and its flags say what kind of handler it is.
        unsafe {
            match PREVIOUS_ACTION.get() {
                Some(before) if before.sa_sigaction > libc::SIG_IGN && before.sa_flags & libc::SA_SIGINFO != 0 => {
                    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                        std::mem::transmute(before.sa_sigaction);
                    handler(signal, info, context);
                }
                _ => {
                    libc::signal(signal, libc::SIG_DFL);
                }
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_file_reads_as_zeros_and_is_marked_as_broken() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        std::fs::write(&path, vec![7; 1 << 20]).expect("a file");
        let other = Mapping::new(&File::open(&path).expect("it is there")).expect("it can be mapped");
        let mapping = Mapping::new(&File::open(&path).expect("it is there")).expect("it can be mapped");
        assert!(mapping.iter().all(|byte| *byte == 7) && !mapping.is_broken());
        File::options().write(true).open(&path).and_then(|file| file.set_len(100_000)).expect("it can be truncated");
        assert_eq!(mapping[50_000], 7);
        assert!(!mapping.is_broken());
        assert_eq!((mapping[900_000], mapping[50_000], mapping[(1 << 20) - 1]), (0, 7, 0));
        assert!(mapping.is_broken() && !other.is_broken());
        assert_eq!(other[500_000], 0);
        assert!(other.is_broken());
        drop((mapping, other));
        // Slots are released.
        for _ in 0..3 * MAX_MAPPINGS {
            let again = Mapping::new(&File::open(&path).expect("it is there")).expect("it can be mapped");
            assert!(again.slot.is_some() && !again.is_broken());
        }
    }
}
