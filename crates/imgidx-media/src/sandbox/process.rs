//! One decoder process, as seen by its parent.

use std::io::{self, IoSlice, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::Helper;
use super::wire::{Answer, GREETING, PROCEED, Received, Reply, Request, Task, receive, send};
use crate::DecodeError;

/// How long a new process may take to send its greeting.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Wall time allowed for a picture, as a multiple of its CPU time limit. Other processes need the CPU too.
const WALL_TIME_FACTOR: u32 = 6;

/// How long a process may take to exit after closing its pipes.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Size of a pipe in bytes: the default maximum for unprivileged programs on Linux.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1 << 20;

/// How much of a dead process's standard error is read, in bytes.
const MAX_STDERR_BYTES: u64 = 4096;

/// A process and the pipes to it. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pipes: Pipes,
    /// Peak private memory of the process, in bytes.
    pub peak: u64,
    /// Whether it has decoded a picture before. That picture may have used up memory or time.
    pub has_served: bool,
}

/// Why a process gave no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The time limit was exceeded.
    Timeout,
    /// The memory limit was exceeded.
    Memory,
    /// The stack was exhausted.
    Stack,
    /// Any other end of the process, with a description.
    Crash(String),
}

impl Process {
    /// Starts a process and waits for its greeting.
    pub(super) fn start(helper: &Helper) -> io::Result<Self> {
        let mut command = Command::new(&helper.program);
        command.args(&helper.arguments).arg0("imgidx");
        // A process group of its own, so that Ctrl-C in the terminal does not end it in the middle of a picture.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the process has no pipes"));
        };
        widen(&input);
        widen(&output);
        // A blocking write to a full pipe would have no time limit, so `Pipes` polls before it writes.
        fcntl_setfl(&input, fcntl_getfl(&input)? | OFlags::NONBLOCK)?;
        let pipes = Pipes { input, output, deadline: Instant::now() + START_TIMEOUT };
        let mut process = Self { child, pipes, peak: 0, has_served: false };
        let mut greeting = [0; GREETING.len()];
        process.pipes.read_exact(&mut greeting)?;
        if &greeting != GREETING {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the program is not an imgidx decoder"));
        }
        Ok(process)
    }

    /// Has this process do what a request asks for. After a failure the process can no longer be used.
    ///
    /// `hold` is called with the number of bytes before they are allocated: first for the initial grant and the file's
    /// content, then again if the picture needs more.
    pub(super) fn ask<H>(
        &mut self,
        request: &Request,
        bytes: &[u8],
        hold: impl Fn(u64) -> H,
    ) -> Result<Result<Received, DecodeError>, Failure> {
        let received = self.exchange(request, bytes, hold).map_err(|error| self.diagnose(&error));
        self.has_served = true;
        received
    }

    fn exchange<H>(
        &mut self,
        request: &Request,
        bytes: &[u8],
        hold: impl Fn(u64) -> H,
    ) -> io::Result<Result<Received, DecodeError>> {
        let mut held = Some(hold(request.granted + request.length));
        // The time starts here because `hold` may have waited long for memory.
        self.pipes.deadline = Instant::now() + WALL_TIME_FACTOR * request.limits.time;
        send(&mut self.pipes, request, bytes)?;
        loop {
            let Answer { reply, peak } = receive(&mut self.pipes)?;
            self.peak = peak.max(self.peak);
            match reply {
                Reply::Needs(needed) => {
                    // Release the grant first: waiting for more memory while holding some could deadlock.
                    drop(held.take());
                    let before = Instant::now();
                    held = Some(hold(needed.saturating_add(request.length)));
                    self.pipes.deadline += before.elapsed();
                    self.pipes.write_all(&PROCEED)?;
                }
                Reply::Decoded(header) => match &request.task {
                    Task::Decode { request, .. } => {
                        let decoded = header.receive(request, &mut self.pipes)?;
                        return Ok(Ok(Received::Picture(Box::new(decoded))));
                    }
                    Task::Describe => return Err(io::Error::new(io::ErrorKind::InvalidData, "an unexpected picture")),
                },
                Reply::Described(metadata) => return Ok(Ok(Received::Metadata(metadata))),
                Reply::Failed { reason, limit } => return Ok(Err(DecodeError::from_parts(reason, limit))),
            }
        }
    }

    /// Determines why there was no answer, by the exit status and the messages on standard error.
    fn diagnose(&mut self, error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::TimedOut => return Failure::Timeout,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {}
            _ => return Failure::Crash(format!("invalid answer: {error}")),
        }
        let Some(status) = self.wait_for_exit() else { return Failure::Crash("it closed its pipes".into()) };
        let mut messages = Vec::new();
        if let Some(errors) = self.child.stderr.take() {
            let _ = errors.take(MAX_STDERR_BYTES).read_to_end(&mut messages);
        }
        let messages = String::from_utf8_lossy(&messages);
        match status.signal() {
            Some(libc::SIGXCPU) => Failure::Timeout,
            _ if messages.contains("overflowed its stack") => Failure::Stack,
            _ if messages.contains("memory allocation of") => Failure::Memory,
            Some(signal) => Failure::Crash(format!("signal {signal}")),
            None => Failure::Crash(status.to_string()),
        }
    }

    /// Waits for the process to exit. Pipes usually close only then; if it does not exit in time, it is killed, and the
    /// result is `None`.
    fn wait_for_exit(&mut self) -> Option<ExitStatus> {
        let deadline = Instant::now() + EXIT_TIMEOUT;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        None
    }

    /// Current private memory of a process, in bytes; 0 where the system does not report it.
    pub(super) fn memory(process: u32) -> u64 {
        let Ok(text) = std::fs::read_to_string(format!("/proc/{process}/statm")) else { return 0 };
        let mut pages = text.split_ascii_whitespace().skip(1).map_while(|number| number.parse::<u64>().ok());
        let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
        resident.saturating_sub(shared) * rustix::param::page_size() as u64
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a pipe large enough for most pictures. With the usual 64 KiB, both sides would have to wake each other several
/// times for each picture. Where a larger size is not allowed, the pipe keeps its size.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "pipes have a fixed size elsewhere"))]
fn widen(pipe: &impl std::os::fd::AsFd) {
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES);
}

/// The pipes to a process's standard input and from its standard output. Reads and writes fail after the deadline.
#[derive(Debug)]
struct Pipes {
    input: ChildStdin,
    output: ChildStdout,
    deadline: Instant,
}

/// Waits until a pipe is ready; fails with `TimedOut` at the deadline.
fn wait_for(pipe: PollFd<'_>, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
    match poll(&mut [pipe], Some(&left))? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

impl Write for Pipes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            match self.input.write_vectored(pieces) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait_for(PollFd::new(&self.input, PollFlags::OUT), self.deadline)?;
                }
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Pipes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        wait_for(PollFd::new(&self.output, PollFlags::IN), self.deadline)?;
        self.output.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DecodeLimits, DecodeRequest};

    #[test]
    fn another_program_is_not_taken_for_a_decoder() {
        for (program, arguments) in
            [("echo", vec!["hello, this is echo"]), ("true", vec![]), ("/no/such/program", vec![])]
        {
            let helper = Helper { program: program.into(), arguments: arguments.into_iter().map(Into::into).collect() };
            assert!(Process::start(&helper).is_err(), "{program}");
        }
    }

    #[test]
    fn a_process_that_does_not_read_its_input_times_out() {
        let script = format!("printf '{}'; exec sleep 600", String::from_utf8_lossy(GREETING));
        let helper = Helper { program: "sh".into(), arguments: vec!["-c".into(), script.into()] };
        let mut process = Process::start(&helper).unwrap();
        let bytes = vec![0; 1 << 20];
        let request = Request {
            task: Task::Decode { format: "png".into(), request: DecodeRequest::default() },
            length: bytes.len() as u64,
            limits: DecodeLimits { memory: 1 << 20, time: Duration::from_millis(20) },
            granted: 1 << 20,
        };
        assert_eq!(process.ask(&request, &bytes, |_| ()).unwrap_err(), Failure::Timeout);
    }
}
