//! A file in memory, of which parts may be gone from the disk without ending the process.
//!
//! Where a mapped file has become shorter, or the disk fails, the system sends a signal (SIGBUS) to whoever reads what is not there, and
//! ends the process if nobody cares. Here somebody does: what is not there reads as zeros from then on, and the mapping is
//! known to be broken, so that nothing that was read of it is used.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use memmap2::Mmap;

/// Files that are looked after at a time. Of more than that, the later ones could end the process.
const MAPPINGS: usize = 64;

/// Where a mapping lies, and whether something of it was not there. A place is free if `start` is 0, and being taken if it is 1.
struct MappedRegion {
    start: AtomicUsize,
    end: AtomicUsize,
    broken: AtomicBool,
}

static PLACES: [MappedRegion; MAPPINGS] =
    [const { MappedRegion { start: AtomicUsize::new(0), end: AtomicUsize::new(0), broken: AtomicBool::new(false) } };
        MAPPINGS];

/// A file in memory.
#[derive(Debug)]
pub(super) struct Mapping {
    map: Mmap,
    place: Option<usize>,
}

impl Mapping {
    /// Maps a file that nobody changes in place.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the file is never written in place, only replaced by a rename; that it becomes shorter is seen to below.
        let map = unsafe { Mmap::map(file) }?;
        let place = if map.is_empty() { None } else { take_place(map.as_ptr() as usize, map.len()) };
        Ok(Self { map, place })
    }

    /// Whether something was read that was not there any more. What was read before this was asked may be wrong then.
    pub(crate) fn is_broken(&self) -> bool {
        self.place.is_some_and(|place| PLACES[place].broken.load(Ordering::Acquire))
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
        if let Some(place) = self.place {
            PLACES[place].end.store(0, Ordering::Release);
            PLACES[place].start.store(0, Ordering::Release);
        }
    }
}

fn take_place(start: usize, length: usize) -> Option<usize> {
    #[cfg(unix)]
    signal::handle();
    let is_taken =
        |place: &MappedRegion| place.start.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    let taken = PLACES.iter().position(is_taken)?;
    let place = &PLACES[taken];
    place.broken.store(false, Ordering::Release);
    place.end.store(start + length, Ordering::Release);
    place.start.store(start, Ordering::Release);
    Some(taken)
}

#[cfg(unix)]
mod signal {
    use std::mem::MaybeUninit;
    use std::sync::OnceLock;

    use super::{Ordering, PLACES};

    /// What was done about the signal before.
    static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

    /// Sees to the signal from now on.
    pub(super) fn handle() {
        BEFORE.get_or_init(|| {
            // The size of a page is asked for here, since it cannot be where the signal comes.
            super::PAGE.store(rustix::param::page_size(), Ordering::Release);
            // SAFETY: the handler does only what is allowed in one, and passes on what is not for it.
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

    /// Puts zeros in the place of what is not there. Only system calls and atomics: it may come at any moment.
    extern "C" fn on_bus_error(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the system gives the address with this signal.
        let address = unsafe { (*info).si_addr() } as usize;
        let page = super::PAGE.load(Ordering::Acquire);
        for place in &PLACES {
            let (start, end) = (place.start.load(Ordering::Acquire), place.end.load(Ordering::Acquire));
            if start > 1 && (start..end).contains(&address) {
                place.broken.store(true, Ordering::Release);
                let from = address - address % page;
                let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED);
                // SAFETY: these pages are part of the mapping, which nobody writes to.
                let zeros = unsafe {
                    let at = from as *mut libc::c_void;
                    libc::mmap(at, end - from, protection, flags, -1, 0)
                };
                if zeros != libc::MAP_FAILED {
                    return;
                }
            }
        }
        pass_on(signal, info, context);
    }

    /// Does what was done before; what ends the process comes again at once, and does.
    fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: it is what the system had before this handler.
        unsafe {
            match BEFORE.get() {
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

/// The size of a page of memory.
#[cfg_attr(not(unix), expect(dead_code, reason = "there are no such signals"))]
static PAGE: AtomicUsize = AtomicUsize::new(0);

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_becomes_shorter_reads_as_zeros_and_is_known_to_be_broken() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        std::fs::write(&path, vec![7; 1 << 20]).expect("a file");
        let other = Mapping::new(&File::open(&path).expect("it is there")).expect("it can be mapped");
        let mapping = Mapping::new(&File::open(&path).expect("it is there")).expect("it can be mapped");
        assert!(mapping.iter().all(|byte| *byte == 7) && !mapping.is_broken());
        File::options().write(true).open(&path).and_then(|file| file.set_len(100_000)).expect("it can be cut");
        assert_eq!(mapping[50_000], 7);
        assert!(!mapping.is_broken());
        assert_eq!((mapping[900_000], mapping[50_000], mapping[(1 << 20) - 1]), (0, 7, 0));
        assert!(mapping.is_broken() && !other.is_broken());
        assert_eq!(other[500_000], 0);
        assert!(other.is_broken());
        drop((mapping, other));
        // Places are given back.
        for _ in 0..3 * MAPPINGS {
            let again = Mapping::new(&File::open(&path).expect("it is there")).expect("it can be mapped");
            assert!(again.place.is_some() && !again.is_broken());
        }
    }
}
