//! The pool of decoder processes: starts and reuses them, and turns their failures into errors.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tracing::trace_span;

use super::Helper;
use super::process::{Failure, Process};
use super::wire::{Received, Request, Task, encode};
use crate::{DecodeError, DecodeLimits, DecodeRequest, Decoded, Format, Limit, Metadata, Packets};
use imgidx_types::{io_reason, is_exhausted};

/// Memory for pixels that a process may allocate without asking, in bytes. Enough for most pictures.
const INITIAL_GRANT: u64 = 4 << 20;

/// Attempts to start a process while the system has no resources for one, and the delay between them.
const MAX_START_ATTEMPTS: u32 = 100;
const START_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Processes of one program, as many as pictures are being decoded at the same time.
#[derive(Debug)]
pub(super) struct Pool {
    helper: Helper,
    idle: Mutex<Vec<Process>>,
    /// Process ids of all processes, idle or not.
    alive: Mutex<HashSet<u32>>,
    /// Peak memory in bytes, of one process or of all of them whenever [`Pool::memory`] was called.
    peak: AtomicU64,
    /// Why no process could be started. If it is set, no further attempt is made.
    start_error: OnceLock<String>,
}

impl Pool {
    pub(super) fn new(helper: Helper) -> Self {
        let (idle, alive) = (Mutex::default(), Mutex::default());
        Self { helper, idle, alive, peak: AtomicU64::new(0), start_error: OnceLock::new() }
    }

    pub(super) fn start_error(&self) -> Option<&str> {
        self.start_error.get().map(String::as_str)
    }

    /// Decodes a picture in a process of the pool; `None` if no process is available.
    pub(super) fn decode_and_measure<H>(
        &self,
        bytes: &[u8],
        format: Format,
        limits: DecodeLimits,
        request: &DecodeRequest,
        hold: impl Fn(u64) -> H,
    ) -> Option<Result<Decoded, DecodeError>> {
        let request = Request {
            task: Task::Decode { format: format.name().to_owned(), request: *request },
            length: bytes.len() as u64,
            limits,
            granted: INITIAL_GRANT.min(limits.memory),
        };
        let picture = |received| match received {
            Received::Picture(decoded) => Ok(*decoded),
            Received::Metadata(_) => Err(DecodeError::new("the decoder process answered another question")),
        };
        Some(self.ask(&request, bytes, hold)?.and_then(picture))
    }

    /// Interprets metadata in a process of the pool; `None` if no process is available.
    pub(super) fn metadata(&self, packets: &Packets, limits: DecodeLimits) -> Option<Result<Metadata, DecodeError>> {
        let bytes = encode(packets)?;
        let request = Request { task: Task::Describe, length: bytes.len() as u64, limits, granted: INITIAL_GRANT };
        let metadata = |received| match received {
            Received::Metadata(metadata) => Ok(*metadata),
            Received::Picture(_) => Err(DecodeError::new("the decoder process answered another question")),
        };
        Some(self.ask(&request, &bytes, |_| ())?.and_then(metadata))
    }

    /// Has a process of the pool do what a request asks for; `None` if no process is available.
    fn ask<H>(
        &self,
        request: &Request,
        bytes: &[u8],
        hold: impl Fn(u64) -> H,
    ) -> Option<Result<Received, DecodeError>> {
        if self.start_error().is_some() {
            return None;
        }
        let mut is_last = false;
        loop {
            // A separate statement, so that the lock is released before a process is started.
            let idle = if is_last { None } else { self.idle.lock().pop() };
            let mut process = idle.or_else(|| self.start())?;
            let had_served = process.has_served;
            let received = trace_span!("decoder process").in_scope(|| process.ask(request, bytes, &hold));
            self.peak.fetch_max(process.peak, Ordering::Relaxed);
            match received {
                Ok(received) => {
                    self.idle.lock().push(process);
                    return Some(received);
                }
                Err(failure) => {
                    self.remove(process);
                    // The picture may not be at fault: the process may have been killed from outside, for example when
                    // the system ran out of memory, or an earlier picture may have used up its memory or time. So the
                    // picture gets another try in a new process.
                    if is_last || !(had_served || matches!(failure, Failure::Crash(_))) {
                        return Some(Err(decode_error(&failure, request.limits.time)));
                    }
                    is_last = true;
                }
            }
        }
    }

    /// Starts a process. If the system has no resources for one, waits for an idle process or tries again later.
    fn start(&self) -> Option<Process> {
        for _ in 0..MAX_START_ATTEMPTS {
            match Process::start(&self.helper) {
                Ok(process) => {
                    self.alive.lock().insert(process.id());
                    return Some(process);
                }
                // Running processes finish their pictures; if there are none, waiting would be pointless.
                Err(error) if is_transient(&error) && !self.alive.lock().is_empty() => {
                    std::thread::sleep(START_RETRY_DELAY);
                    let idle = self.idle.lock().pop();
                    if idle.is_some() {
                        return idle;
                    }
                }
                Err(error) => {
                    let _ = self.start_error.set(io_reason(&error));
                    return None;
                }
            }
        }
        None
    }

    fn remove(&self, process: Process) {
        self.alive.lock().remove(&process.id());
    }

    pub(super) fn unload(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        idle.into_iter().for_each(|process| self.remove(process));
    }

    pub(super) fn memory(&self) -> u64 {
        let processes: Vec<u32> = self.alive.lock().iter().copied().collect();
        let memory = processes.into_iter().map(Process::memory).sum();
        self.peak.fetch_max(memory, Ordering::Relaxed);
        memory
    }

    pub(super) fn peak_memory(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

/// Whether the system is short of resources at the moment, so that a later attempt may succeed.
fn is_transient(error: &std::io::Error) -> bool {
    is_exhausted(error) || error.kind() == ErrorKind::WouldBlock
}

/// The error for a picture whose decoder process failed.
fn decode_error(failure: &Failure, time: Duration) -> DecodeError {
    match failure {
        Failure::Timeout => {
            DecodeError::from_parts(format!("decoding takes longer than {} s", time.as_secs()), Some(Limit::Time))
        }
        Failure::Memory => DecodeError::from_parts("decoding needs more memory than is allowed", Some(Limit::Memory)),
        Failure::Stack => DecodeError::from_parts("the picture is nested too deeply", None),
        Failure::Crash(how) => DecodeError::from_parts(format!("the decoder crashed ({how})"), None),
    }
}
