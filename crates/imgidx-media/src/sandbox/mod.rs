//! Looking at pictures in processes of their own.
//!
//! A decoder may exhaust the stack or the memory, end the process, or never end itself, and nothing in the same process can help
//! then. So pictures are sent to another process: the system bounds its time and its memory and keeps it from files and network,
//! and if it dies, that is a failure of this one picture, with the reason.
//!
//! Where there are no processes for it (a program that uses the library without `OpenOptions::decoder`,
//! or another system than a Unix), pictures are decoded at in this process.

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

use crate::{DecodeError, DecodeLimits, DecodeRequest, Decoded, Format, decode_and_measure};
#[cfg(unix)]
use pool::Pool;
#[cfg(unix)]
pub use serve::serve;

/// A program that calls [`serve`] when it is started with these arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Helper {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// Where pictures are decoded at.
#[derive(Debug, Default)]
pub struct Sandbox {
    #[cfg(unix)]
    pool: Option<Pool>,
}

impl Sandbox {
    /// Processes of a program.
    #[cfg_attr(not(unix), expect(unused_variables, reason = "there are none"))]
    pub fn new(helper: Helper) -> Self {
        Self {
            #[cfg(unix)]
            pool: Some(Pool::new(helper)),
        }
    }

    /// As [`decode_and_measure`], but in another process, if there are any.
    ///
    /// # Errors
    /// Those of [`decode_and_measure`], and when the picture makes the process end, or takes longer than `limits` allow.
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

    /// Whether a picture that ends the process that looks at it ends another one.
    pub fn is_isolated(&self) -> bool {
        #[cfg(unix)]
        {
            self.pool.as_ref().is_some_and(Pool::works)
        }
        #[cfg(not(unix))]
        {
            false
        }
    }

    /// Why pictures are decoded at in this process although they should not be.
    pub fn why_not_isolated(&self) -> Option<String> {
        #[cfg(unix)]
        {
            let reason = self.pool.as_ref()?.why_broken()?;
            Some(format!("no process for decoding could be started ({reason}); pictures were decoded in this one"))
        }
        #[cfg(not(unix))]
        {
            None
        }
    }

    /// Ends the processes that have nothing to do. The next picture starts a new one.
    pub fn unload(&self) {
        #[cfg(unix)]
        self.pool.iter().for_each(Pool::unload);
    }

    /// The memory that the processes have for themselves now, in bytes.
    pub fn memory(&self) -> u64 {
        #[cfg(unix)]
        {
            self.pool.as_ref().map_or(0, Pool::memory)
        }
        #[cfg(not(unix))]
        {
            0
        }
    }

    /// The most that one of them had, or all of them whenever [`Sandbox::memory`] was asked, in bytes.
    pub fn peak_memory(&self) -> u64 {
        #[cfg(unix)]
        {
            self.pool.as_ref().map_or(0, Pool::peak_memory)
        }
        #[cfg(not(unix))]
        {
            0
        }
    }
}

/// For fuzzers: what takes bytes from elsewhere.
#[doc(hidden)]
#[cfg(unix)]
pub mod fuzzed {
    use super::wire::{Answer, Reply, receive};
    use crate::{DecodeRequest, Filter, Fit, Frame};

    pub fn answer(mut data: &[u8]) {
        let frame = Frame { fit: Fit::Inside, width: 20, height: 10, filter: Filter::Bilinear };
        let request = DecodeRequest { side: 10, feature_time: None, frame: Some(frame), alpha: true };
        while let Ok(Answer { reply, .. }) = receive(&mut data) {
            if let Reply::Decoded(header) = reply
                && let Ok(decoded) = header.receive(&request, &mut data)
            {
                let pixels = decoded.pixels.expect("they were asked for");
                assert!(pixels.width() <= 20 && pixels.height() <= 10);
            }
        }
    }
}
