//! The decoder process itself: decodes what its parent sends, and may crash.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use super::limits::{Limits, bound_time, peak_memory};
#[allow(unused_imports, reason = "only where fail points are compiled in")]
use super::misbehave;
use super::wire::{Answer, GREETING, PROCEED, Reply, Request, Task, decode, format_of, receive, send};
use crate::{Packets, decode_and_measure};

/// Decodes pictures from standard input until the input ends. The program that `OpenOptions::decoder` names must call
/// this function.
///
/// # Errors
/// If the input is not valid, or if reading or writing fails.
pub fn serve() -> io::Result<()> {
    let limits = Limits::start()?;
    // Bypasses the standard library's buffer, which scans for line ends.
    let mut output = std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut input = io::stdin().lock();
    output.write_all(GREETING)?;
    output.flush()?;
    let (mut peak, mut largest) = (peak_memory(), 0);
    loop {
        let request: Request = match receive(&mut input) {
            Ok(request) => request,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        limits.bound_memory(request.granted.saturating_add(request.length));
        bound_time(request.limits.time);
        let bytes = read(&mut input, request.length)?;
        let (reply, pixels, needed) = answer(&request, &bytes, &limits, &mut input, &mut output)?;
        if needed > largest {
            (largest, peak) = (needed, peak_memory());
        }
        send(&mut output, &Answer { reply, peak }, &pixels)?;
    }
}

fn read(input: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(length).map_err(io::Error::other)?).map_err(io::Error::other)?;
    input.take(length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// Does what a request asks for. Returns the reply, the pixels that follow it, and the peak memory for pixels in bytes.
fn answer(
    request: &Request,
    bytes: &[u8],
    limits: &Limits,
    input: &mut impl Read,
    output: &mut impl Write,
) -> io::Result<(Reply, Vec<u8>, u64)> {
    let (format, decode_request) = match &request.task {
        Task::Decode { format, request } => (format_of(format)?, request),
        Task::Describe => {
            let packets: Packets = decode(bytes)?;
            return Ok((Reply::Described(Box::new(packets.metadata())), Vec::new(), 0));
        }
    };
    // `hold` cannot stop a decoder, so an I/O error is kept until decoding is over.
    let state = RefCell::new((input, output, Ok(()), 0));
    let hold = |needed: u64| {
        fail::fail_point!("decoder", |how| misbehave::simulate(how.as_deref(), request.length));
        let (input, output, result, peak) = &mut *state.borrow_mut();
        *peak = needed.max(*peak);
        if needed > request.granted && result.is_ok() {
            limits.bound_memory(needed.saturating_add(request.length));
            let question = Answer { reply: Reply::Needs(needed), peak: 0 };
            *result = send(output, &question, &[]).and_then(|()| input.read_exact(&mut [0; PROCEED.len()]));
        }
    };
    let decoded = decode_and_measure(bytes, format, request.limits, decode_request, hold);
    let (.., result, peak) = state.into_inner();
    result?;
    let (reply, pixels) = Reply::new(decoded);
    Ok((reply, pixels, peak))
}
