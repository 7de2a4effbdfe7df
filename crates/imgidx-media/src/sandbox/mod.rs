//! Decodes pictures in separate processes.
//!
//! A decoder may exhaust the stack or the memory, abort, or run forever. Code in the same process cannot recover from
//! that, so pictures are sent to decoder processes. The system limits the time and memory of a decoder process and
//! denies it files and network. If the process dies, only the current picture fails, with the reason.
//!
//! Without decoder processes, pictures are decoded in this process. That is the case on systems other than Unix, and in
//! programs that use the library without `OpenOptions::decoder`.

#[cfg(unix)]
mod limits;
#[cfg(unix)]
mod misbehave;
#[cfg(unix)]
mod pool;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod serve;
#[cfg(unix)]
mod wire;

use std::ffi::OsString;
use std::path::PathBuf;

use crate::{DecodeError, DecodeLimits, DecodeRequest, Decoded, Format, Metadata, Packets, decode_and_measure};
use imgidx_types::catching_panics;
#[cfg(unix)]
use pool::Pool;
#[cfg(unix)]
pub use serve::serve;

/// Command line of a decoder process: a program that calls [`serve`] when it is started with these arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Helper {
    /// Path of the program.
    pub program: PathBuf,
    /// Arguments of the program.
    pub arguments: Vec<OsString>,
}

/// A pool of decoder processes. The default has none and decodes in this process.
#[derive(Debug, Default)]
pub struct Sandbox {
    #[cfg(unix)]
    pool: Option<Pool>,
}

impl Sandbox {
    /// Makes a pool that starts decoder processes with `helper` as needed.
    #[cfg_attr(not(unix), expect(unused_variables, reason = "decoder processes need Unix"))]
    pub fn new(helper: Helper) -> Self {
        Self {
            #[cfg(unix)]
            pool: Some(Pool::new(helper)),
        }
    }

    /// Like [`decode_and_measure`], but in a decoder process if there is one.
    ///
    /// # Errors
    /// Those of [`decode_and_measure`], and if the picture crashes the decoder process or exceeds the time limit.
    pub fn decode_and_measure<H>(
        &self,
        bytes: &[u8],
        format: Format,
        limits: DecodeLimits,
        request: &DecodeRequest,
        hold: impl Fn(u64) -> H,
    ) -> Result<Decoded, DecodeError> {
        #[cfg(unix)]
        if let Some(pool) = &self.pool
            && let Some(decoded) = pool.decode_and_measure(bytes, format, limits, request, &hold)
        {
            return decoded;
        }
        decode_and_measure(bytes, format, limits, request, hold)
    }

    /// Interprets metadata in a decoder process if there is one.
    ///
    /// # Errors
    /// If the metadata crashes the decoder process or exceeds the limits.
    pub fn metadata(&self, packets: &Packets, limits: DecodeLimits) -> Result<Metadata, DecodeError> {
        if packets.is_empty() {
            return Ok(Metadata::default());
        }
        #[cfg(unix)]
        if let Some(metadata) = self.pool.as_ref().and_then(|pool| pool.metadata(packets, limits)) {
            return metadata;
        }
        catching_panics(|| packets.metadata())
            .map_err(|panic| DecodeError::new(format!("the reader panicked: {panic}")))
    }

    /// Whether pictures are decoded in another process, so that a crash does not end this one.
    pub fn is_isolated(&self) -> bool {
        cfg_select! {
            unix => self.pool.as_ref().is_some_and(|pool| pool.start_error().is_none()),
            _ => false,
        }
    }

    /// The reason why decoder processes could not be started; `None` if they could, or if none were configured.
    pub fn why_not_isolated(&self) -> Option<String> {
        let reason: Option<&str> = cfg_select! {
            unix => self.pool.as_ref().and_then(Pool::start_error),
            _ => None,
        };
        reason.map(|reason| format!("cannot start a decoder process: {reason}; pictures were decoded in this process"))
    }

    /// Ends the idle decoder processes. The next picture starts a new one.
    pub fn unload(&self) {
        #[cfg(unix)]
        self.pool.iter().for_each(Pool::unload);
    }

    /// Current private memory of all decoder processes, in bytes.
    pub fn memory(&self) -> u64 {
        cfg_select! {
            unix => self.pool.as_ref().map_or(0, Pool::memory),
            _ => 0,
        }
    }

    /// Peak memory in bytes: the larger of the peak of any one process and the totals that [`Sandbox::memory`] has
    /// returned.
    pub fn peak_memory(&self) -> u64 {
        cfg_select! {
            unix => self.pool.as_ref().map_or(0, Pool::peak_memory),
            _ => 0,
        }
    }
}

/// Entry points for fuzzers: functions that read untrusted bytes.
#[doc(hidden)]
#[cfg(unix)]
pub mod fuzzed {
    use super::wire::{Answer, Reply, receive};
    use crate::{DecodeRequest, Filter, Fit, Frame};

    pub fn answer(mut data: &[u8]) {
        let frame = Frame { fit: Fit::Inside, width: 20, height: 10, filter: Filter::Bilinear };
        let request = DecodeRequest { side: 10, feature_time: None, frame: Some(frame), alpha: true, quick: false };
        while let Ok(Answer { reply, .. }) = receive(&mut data) {
            if let Reply::Decoded(header) = reply
                && let Ok(decoded) = header.receive(&request, &mut data)
            {
                let pixels = decoded.pixels.expect("the request has a frame, so a valid answer has pixels");
                assert!(pixels.width() <= 20 && pixels.height() <= 10);
            }
        }
    }
}
