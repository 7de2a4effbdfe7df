//! Lines over a stream, with limits on length and time.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde::Serialize;

/// A stream that is read and written line by line.
#[derive(Debug)]
pub(super) struct Lines {
    reader: BufReader<UnixStream>,
}

impl Lines {
    /// `write_timeout` limits how long a written line may wait for the other side to read.
    pub(super) fn new(stream: UnixStream, write_timeout: Duration) -> io::Result<Self> {
        stream.set_write_timeout(Some(write_timeout))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// Reads a line of at most `max_bytes` bytes within a timeout. Returns `None` at the end of the stream.
    pub(super) fn read(&mut self, max_bytes: usize, timeout: Duration) -> io::Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + timeout;
        let mut line = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.reader.get_ref().set_read_timeout(Some(left))?;
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if chunk.is_empty() {
                return if line.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(chunk.len(), |end| end + 1);
            line.extend_from_slice(&chunk[..end.unwrap_or(chunk.len())]);
            self.reader.consume(taken);
            if line.len() > max_bytes {
                let message = format!("the line is longer than {max_bytes} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            if end.is_some() {
                return Ok(Some(line));
            }
        }
    }

    /// Writes a JSON document as a line.
    pub(super) fn write(&mut self, document: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(document)?;
        line.push(b'\n');
        self.reader.get_mut().write_all(&line)
    }

    /// Waits until the other side has closed the stream.
    pub(super) fn wait_for_end(&mut self) -> io::Result<()> {
        self.reader.get_ref().set_read_timeout(None)?;
        io::copy(&mut self.reader, &mut io::sink()).map(drop)
    }

    /// The underlying stream.
    pub(super) fn stream(&self) -> &UnixStream {
        self.reader.get_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    fn pair() -> (Lines, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        (Lines::new(ours, LONG).expect("a stream"), theirs)
    }

    #[test]
    fn lines_come_one_by_one_however_they_are_cut() {
        let (mut lines, mut theirs) = pair();
        theirs.write_all(b"one\ntwo\nthr").expect("room");
        assert_eq!(lines.read(10, LONG).expect("a line"), Some(b"one".to_vec()));
        assert_eq!(lines.read(10, LONG).expect("a line"), Some(b"two".to_vec()));
        theirs.write_all(b"ee\n").expect("room");
        assert_eq!(lines.read(10, LONG).expect("a line"), Some(b"three".to_vec()));
        theirs.write_all(b"cut off").expect("room");
        drop(theirs);
        assert!(lines.read(10, LONG).is_err());
    }

    #[test]
    fn a_line_without_end_is_not_read_to_its_end() {
        let (mut lines, theirs) = pair();
        let writer = std::thread::spawn(move || {
            let mut theirs = theirs;
            while theirs.write_all(&[b'x'; 4096]).is_ok() {}
        });
        let error = lines.read(100_000, LONG).expect_err("it is too long");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        drop(lines);
        writer.join().expect("it ends when nobody reads");
    }

    #[test]
    fn a_client_that_writes_a_byte_now_and_then_is_not_waited_for() {
        let (mut lines, mut theirs) = pair();
        theirs.write_all(b"{").expect("room");
        let error = lines.read(100, Duration::from_millis(20)).expect_err("the rest does not come");
        assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{error}");
    }
}
