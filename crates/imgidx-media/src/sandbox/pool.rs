//! The processes that there are, and what their deaths mean.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tracing::trace_span;

use super::Helper;
use super::process::{Death, Process};
use super::wire::Request;
use crate::{DecodeError, DecodeLimits, DecodeRequest, Decoded, Format, Limit};
use imgidx_types::io_reason;
use imgidx_types::is_exhausted;

/// Bytes of pixels that a process may take without asking: enough for most pictures.
const GRANTED: u64 = 4 << 20;

/// How often it is tried to start a process while the system has no room for one, and how long it is waited in between.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// Processes of one program: as many as there are pictures being decoded at.
#[derive(Debug)]
pub(super) struct Pool {
    helper: Helper,
    idle: Mutex<Vec<Process>>,
    /// All processes.
    alive: Mutex<HashSet<u32>>,
    /// The most memory that one of them had, or all of them when somebody asked.
    peak: AtomicU64,
    /// Why no process could be started: then it is not tried again.
    broken: OnceLock<String>,
}

impl Pool {
    pub(super) fn new(helper: Helper) -> Self {
        let (idle, alive) = (Mutex::default(), Mutex::default());
        Self { helper, idle, alive, peak: AtomicU64::new(0), broken: OnceLock::new() }
    }

    /// Whether there are processes, as far as is known.
    pub(super) fn works(&self) -> bool {
        self.broken.get().is_none()
    }

    pub(super) fn why_broken(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }

    /// Has a picture decoded at; `None` if there are no processes for it.
    pub(super) fn decode_and_measure<H>(
        &self,
        bytes: &[u8],
        format: Format,
        limits: DecodeLimits,
        request: &DecodeRequest,
        hold: impl Fn(u64) -> H,
    ) -> Option<Result<Decoded, DecodeError>> {
        let request = Request {
            format: format.name().to_owned(),
            length: bytes.len() as u64,
            memory: limits.memory,
            granted: GRANTED.min(limits.memory),
            time: limits.time,
            request: *request,
        };
        let mut is_last = false;
        loop {
            let mut process = if is_last { self.start()? } else { self.process()? };
            let had_served = process.has_served;
            let decoded = trace_span!("look").in_scope(|| process.decode_and_measure(&request, bytes, &hold));
            self.peak.fetch_max(process.peak, Ordering::Relaxed);
            match decoded {
                Ok(decoded) => {
                    locked(&self.idle).push(process);
                    return Some(decoded);
                }
                Err(death) => {
                    self.remove(process);
                    // It may have been ended by somebody else, for instance when the system had no memory left; or an earlier picture has
                    // left too little memory or time to this one. A new process tells.
                    if is_last || !(had_served || matches!(death, Death::Other(_))) {
                        return Some(Err(blame(&death, limits.time)));
                    }
                    is_last = true;
                }
            }
        }
    }

    fn process(&self) -> Option<Process> {
        if !self.works() {
            return None;
        }
        // The lock is not held while one starts.
        let idle = locked(&self.idle).pop();
        idle.or_else(|| self.start())
    }

    /// Starts a process. Where the system has no room for one just now, that of another picture will do, or a later moment.
    fn start(&self) -> Option<Process> {
        for _ in 0..TRIES {
            match Process::start(&self.helper) {
                Ok(process) => {
                    locked(&self.alive).insert(process.id());
                    return Some(process);
                }
                // Those that are there come to an end of their pictures; where there are none, waiting is in vain.
                Err(error) if is_passing(&error) && !locked(&self.alive).is_empty() => {
                    std::thread::sleep(PAUSE);
                    let idle = locked(&self.idle).pop();
                    if idle.is_some() {
                        return idle;
                    }
                }
                Err(error) => {
                    let _ = self.broken.set(io_reason(&error));
                    return None;
                }
            }
        }
        None
    }

    fn remove(&self, process: Process) {
        locked(&self.alive).remove(&process.id());
        drop(process);
    }

    pub(super) fn unload(&self) {
        let idle = std::mem::take(&mut *locked(&self.idle));
        idle.into_iter().for_each(|process| self.remove(process));
    }

    pub(super) fn memory(&self) -> u64 {
        let processes: Vec<u32> = locked(&self.alive).iter().copied().collect();
        let memory = processes.into_iter().map(Process::memory).sum();
        self.peak.fetch_max(memory, Ordering::Relaxed);
        memory
    }

    pub(super) fn peak_memory(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

/// Whether it is the system that has no room just now, and not the program that cannot be started.
fn is_passing(error: &std::io::Error) -> bool {
    is_exhausted(error) || error.kind() == ErrorKind::WouldBlock
}

/// The failure of a picture that a process has died of.
fn blame(death: &Death, time: Duration) -> DecodeError {
    match death {
        Death::Late => DecodeError::of(format!("decoding takes longer than {} s", time.as_secs()), Some(Limit::Time)),
        Death::Memory => DecodeError::of("decoding needs more memory than is allowed", Some(Limit::Memory)),
        Death::Stack => DecodeError::of("it is nested too deeply", None),
        Death::Other(how) => DecodeError::of(format!("the decoder crashed ({how})"), None),
    }
}

/// Nothing behind these locks is ever half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
