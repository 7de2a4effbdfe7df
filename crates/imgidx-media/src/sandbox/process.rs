//! One process that decodes, as seen from the one that started it.

use std::io::{self, IoSlice, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::Helper;
use super::wire::{Answer, GO, GREETING, Reply, Request, receive, send};
use crate::{DecodeError, Decoded};

/// How long a new process may take until it says that it is there.
const START: Duration = Duration::from_secs(20);

/// How much longer than on a processor a picture may take by the clock: others want the processor too.
const PATIENCE: u32 = 6;

/// How long a process may take to end that has closed its pipes.
const END: Duration = Duration::from_secs(5);

/// The size of a pipe: what a program may have without privileges.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1 << 20;

/// How much is read of what a process has printed before it died.
const LAST_WORDS: u64 = 4096;

/// A process and the pipes to it. Dropped, it is ended.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    input: Input,
    output: Output,
    /// The most memory that it had for itself, in bytes.
    pub peak: u64,
    /// Whether it has decoded at a picture already, which may have left something behind.
    pub has_served: bool,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// It took longer than it may.
    Late,
    /// The picture needed more memory than it may.
    Memory,
    /// The picture is nested too deeply.
    Stack,
    /// Anything else: how it ended.
    Other(String),
}

impl Process {
    /// Starts one and waits until it says that it is there.
    pub(super) fn start(helper: &Helper) -> io::Result<Self> {
        let mut command = Command::new(&helper.program);
        command.args(&helper.arguments).arg0("imgidx");
        // A group of its own, so that an interrupt at the terminal does not end it in the middle of a picture.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (Some(input), Some(pipe)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("it has no pipes"));
        };
        widen(&input);
        widen(&pipe);
        // Whether it reads is decoded at before; a pipe that is full would keep this thread however long it stays so.
        set_nonblocking(&input)?;
        let input = Input { pipe: input, deadline: Instant::now() + START };
        let output = Output { pipe, deadline: Instant::now() + START };
        let mut process = Self { child, input, output, peak: 0, has_served: false };
        let mut greeting = [0; GREETING.len()];
        process.output.read_exact(&mut greeting)?;
        if &greeting != GREETING {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is another program"));
        }
        Ok(process)
    }

    /// Has a picture decoded at. After a death this process is of no use any more.
    ///
    /// `hold` is called with the bytes that are taken: first what is granted and the content itself, then as many as there have to be.
    pub(super) fn decode_and_measure<H>(
        &mut self,
        request: &Request,
        bytes: &[u8],
        hold: impl Fn(u64) -> H,
    ) -> Result<Result<Decoded, DecodeError>, Death> {
        let decoded = self.ask(request, bytes, hold).map_err(|error| self.cause(&error));
        self.has_served = true;
        decoded
    }

    fn ask<H>(
        &mut self,
        request: &Request,
        bytes: &[u8],
        hold: impl Fn(u64) -> H,
    ) -> io::Result<Result<Decoded, DecodeError>> {
        let mut held = Some(hold(request.granted + request.length));
        // Not before: others may have all the room for long.
        self.output.deadline = Instant::now() + PATIENCE * request.time;
        self.input.deadline = self.output.deadline;
        send(&mut self.input, request, bytes)?;
        loop {
            let Answer { reply, peak } = receive(&mut self.output)?;
            self.peak = peak.max(self.peak);
            match reply {
                Reply::Needs(needed) => {
                    // Given back first: who waits for more while holding some may wait for ever.
                    drop(held.take());
                    let before = Instant::now();
                    held = Some(hold(needed.saturating_add(request.length)));
                    self.output.deadline += before.elapsed();
                    self.input.deadline = self.output.deadline;
                    self.input.write_all(&GO)?;
                }
                Reply::Decoded(header) => return header.receive(&request.request, &mut self.output).map(Ok),
                Reply::Failed { reason, limit } => return Ok(Err(DecodeError::of(reason, limit))),
            }
        }
    }

    /// Finds out why there was no answer.
    fn cause(&mut self, error: &io::Error) -> Death {
        match error.kind() {
            io::ErrorKind::TimedOut => return Death::Late,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {}
            _ => return Death::Other(format!("its answer was not understood: {error}")),
        }
        let Some(status) = self.end() else { return Death::Other("it closed its pipes".into()) };
        let mut words = Vec::new();
        if let Some(errors) = self.child.stderr.take() {
            let _ = errors.take(LAST_WORDS).read_to_end(&mut words);
        }
        death(status, &String::from_utf8_lossy(&words))
    }

    /// How it ended. As a rule only its end closes the pipes; where it does not end, it is ended, and nothing is known.
    fn end(&mut self) -> Option<ExitStatus> {
        let until = Instant::now() + END;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        None
    }

    /// The memory that it has for itself now, in bytes; 0 where the system does not tell.
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

/// The cause of death, by how it ended and what it printed last.
fn death(status: ExitStatus, words: &str) -> Death {
    match status.signal() {
        Some(libc::SIGXCPU) => Death::Late,
        _ if words.contains("overflowed its stack") => Death::Stack,
        _ if words.contains("memory allocation of") => Death::Memory,
        Some(signal) => Death::Other(format!("signal {signal}")),
        None => Death::Other(status.to_string()),
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a pipe large enough for most pictures: with the usual 64 KiB both sides would have to wake each other several times for each. Where
/// that is not allowed it stays as it is.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "pipes have a fixed size elsewhere"))]
fn widen(pipe: &impl std::os::fd::AsFd) {
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES);
}

fn set_nonblocking(pipe: &ChildStdin) -> io::Result<()> {
    let flags = fcntl_getfl(pipe)?;
    Ok(fcntl_setfl(pipe, flags | OFlags::NONBLOCK)?)
}

/// Waits until a pipe can be used, or a moment has come.
fn wait_for(pipe: PollFd<'_>, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
    match poll(&mut [pipe], Some(&left))? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

/// What a process is header, until a moment.
#[derive(Debug)]
struct Input {
    pipe: ChildStdin,
    deadline: Instant,
}

impl Write for Input {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            match self.pipe.write_vectored(pieces) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait_for(PollFd::new(&self.pipe, PollFlags::OUT), self.deadline)?;
                }
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a process says, until a moment.
#[derive(Debug)]
struct Output {
    pipe: ChildStdout,
    deadline: Instant,
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        wait_for(PollFd::new(&self.pipe, PollFlags::IN), self.deadline)?;
        self.pipe.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DecodeRequest;

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
    fn a_process_that_does_not_read_is_not_waited_for_longer_than_one_that_does_not_answer() {
        let script = format!("printf '{}'; exec sleep 600", String::from_utf8_lossy(GREETING));
        let helper = Helper { program: "sh".into(), arguments: vec!["-c".into(), script.into()] };
        let mut process = Process::start(&helper).unwrap();
        let bytes = vec![0; 1 << 20];
        let request = Request {
            format: "png".into(),
            length: bytes.len() as u64,
            memory: 1 << 20,
            granted: 1 << 20,
            time: Duration::from_millis(20),
            request: DecodeRequest { side: 1, feature_time: None, frame: None, alpha: false },
        };
        assert_eq!(process.decode_and_measure(&request, &bytes, |_| ()).unwrap_err(), Death::Late);
    }

    #[test]
    fn the_cause_of_death_is_told_from_the_last_words() {
        let aborted = ExitStatus::from_raw(libc::SIGABRT);
        assert_eq!(death(aborted, "thread 'main' has overflowed its stack"), Death::Stack);
        assert_eq!(death(aborted, "memory allocation of 99 bytes failed"), Death::Memory);
        assert_eq!(death(aborted, ""), Death::Other("signal 6".into()));
        assert_eq!(death(ExitStatus::from_raw(libc::SIGXCPU), ""), Death::Late);
    }
}
