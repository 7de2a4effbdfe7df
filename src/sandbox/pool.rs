//! The processes that there are, and what their deaths mean.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tracing::trace_span;

use super::Helper;
use super::process::{Death, Process};
use super::wire::Request;
use crate::error::io_reason;
use crate::media::{DecodeError, DecodeLimits, Format, Looked, Wanted};

/// Bytes of pixels that a process may take without asking: enough for most pictures.
const GRANTED: u64 = 4 << 20;

/// Processes of one program: as many as there are pictures being looked at.
#[derive(Debug)]
pub(super) struct Pool {
    helper: Helper,
    idle: Mutex<Vec<Process>>,
    /// All processes, and the most memory that each had.
    peaks: Mutex<HashMap<u32, u64>>,
    /// The most of the sum of those.
    peak: AtomicU64,
    /// Why no process could be started: then it is not tried again.
    broken: OnceLock<String>,
}

impl Pool {
    pub fn new(helper: Helper) -> Self {
        let (idle, peaks) = (Mutex::default(), Mutex::default());
        Self { helper, idle, peaks, peak: AtomicU64::new(0), broken: OnceLock::new() }
    }

    /// Whether there are processes, as far as is known.
    pub fn works(&self) -> bool {
        self.broken.get().is_none()
    }

    pub fn why_broken(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }

    /// Has a picture looked at; `None` if there are no processes for it.
    pub fn look<H>(
        &self,
        bytes: &[u8],
        format: Format,
        limits: DecodeLimits,
        wanted: &Wanted,
        hold: impl Fn(u64) -> H,
    ) -> Option<Result<Looked, DecodeError>> {
        let request = Request {
            format: format.name().to_owned(),
            length: bytes.len() as u64,
            memory: limits.memory,
            granted: GRANTED.min(limits.memory),
            time: limits.time,
            wanted: *wanted,
        };
        let mut tries = 0;
        loop {
            let mut process = self.process()?;
            let looked = trace_span!("look").in_scope(|| process.look(&request, bytes, &hold));
            self.count(&process);
            tries += 1;
            match looked {
                Ok(looked) => {
                    locked(&self.idle).push(process);
                    return Some(looked);
                }
                Err(death) => {
                    self.remove(process);
                    // It may have been ended by somebody else, for instance when the system had no memory left.
                    if tries == 2 || death == Death::Late {
                        return Some(Err(blame(&death, limits.time)));
                    }
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
        if idle.is_some() {
            return idle;
        }
        let started = Process::start(&self.helper);
        match &started {
            Ok(process) => self.count(process),
            Err(error) => _ = self.broken.set(io_reason(error)),
        }
        started.ok()
    }

    fn count(&self, process: &Process) {
        let mut peaks = locked(&self.peaks);
        peaks.insert(process.id(), process.peak);
        self.peak.fetch_max(peaks.values().sum(), Ordering::Relaxed);
    }

    fn remove(&self, process: Process) {
        locked(&self.peaks).remove(&process.id());
        drop(process);
    }

    pub fn unload(&self) {
        let idle = std::mem::take(&mut *locked(&self.idle));
        idle.into_iter().for_each(|process| self.remove(process));
    }

    pub fn memory(&self) -> u64 {
        let processes: Vec<u32> = locked(&self.peaks).keys().copied().collect();
        processes.into_iter().map(Process::memory).sum()
    }

    pub fn peak_memory(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

/// The failure of a picture that a process has died of.
fn blame(death: &Death, time: Duration) -> DecodeError {
    match death {
        Death::Late => DecodeError::of(format!("decoding takes longer than {} s", time.as_secs_f32()), false),
        Death::Memory => DecodeError::of("decoding needs more memory than is allowed", true),
        Death::Stack => DecodeError::of("it is nested too deeply", false),
        Death::Other(how) => DecodeError::of(format!("the decoder crashed ({how})"), false),
    }
}

/// Nothing behind these locks is ever half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
