//! What goes between this process and one that decodes.
//!
//! Messages are frames: their length as four bytes, least significant first, and a value in postcard's format. File contents and
//! pixels follow their message as they are. Both ends are the same program, but what comes from a process that decodes is not
//! trusted: lengths are bounded, and pixels have the size that was asked for.

use std::io::{self, IoSlice, Read, Write};
use std::time::Duration;

use image::{GrayImage, RgbImage};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{DecodeError, DecodeRequest, Decoded, Fit, Format, Frame, Limit};
use crate::{DetailFeatures, Features, ImageInfo, QuickFeatures, ToneFeatures, TypeGuess};

/// What a process says first, so that any other program is noticed.
pub(super) const GREETING: &[u8; 16] = b"imgidx decoder 2";

/// The longest message: a thousandth of it is usual.
const MAX_MESSAGE: u32 = 1 << 20;

/// What is asked for; the file's content follows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// Name of the format.
    pub format: String,
    /// Length of the content.
    pub length: u64,
    /// Bytes of pixels that decoding may take.
    pub memory: u64,
    /// Bytes of pixels that it may take without asking.
    pub granted: u64,
    /// Time on a processor.
    pub time: Duration,
    pub request: DecodeRequest,
}

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub reply: Reply,
    /// The most memory that the process had for itself, in bytes, or 0.
    pub peak: u64,
}

/// What it says of the picture.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// It will need so many bytes, and waits for [`GO`].
    Needs(u64),
    /// Done; the pixels follow, if any were asked for.
    Decoded(Box<ReplyHeader>),
    /// It cannot be decoded.
    Failed { reason: String, limit: Option<Limit> },
}

/// The answer to [`Reply::Needs`].
pub(super) const GO: [u8; 1] = [1];

/// [`Decoded`] as it is sent: postcard knows no flattened structures.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReplyHeader {
    info: ImageInfo,
    quick: QuickFeatures,
    tones: Option<ToneFeatures>,
    detail: Option<DetailFeatures>,
    kind: Option<TypeGuess>,
    /// Width and height of the pixels that follow.
    size: Option<(u32, u32)>,
    /// Whether their alpha follows them.
    has_alpha: bool,
}

impl Reply {
    /// A result as it is sent, and the pixels that follow it.
    pub(super) fn new(result: Result<Decoded, DecodeError>) -> (Self, Vec<u8>) {
        match result {
            Ok(Decoded { info, features: Features { quick, tones, detail, kind }, pixels, alpha }) => {
                let size = pixels.as_ref().map(RgbImage::dimensions);
                let header = ReplyHeader { info, quick, tones, detail, kind, size, has_alpha: alpha.is_some() };
                let mut bytes = pixels.map(RgbImage::into_raw).unwrap_or_default();
                bytes.extend(alpha.map(GrayImage::into_raw).unwrap_or_default());
                (Self::Decoded(Box::new(header)), bytes)
            }
            Err(error) => (Self::Failed { reason: error.to_string(), limit: error.limit() }, Vec::new()),
        }
    }
}

impl ReplyHeader {
    /// Reads the pixels that follow, which have to be what was asked for.
    pub(super) fn receive(self, request: &DecodeRequest, from: &mut impl Read) -> io::Result<Decoded> {
        let Self { info, quick, tones, detail, kind, size, has_alpha } = self;
        let pixels = match (size, request.frame) {
            (None, None) => None,
            (Some((width, height)), Some(frame)) if fits(frame, width, height) => {
                let mut bytes = vec![0; 3 * width as usize * height as usize];
                from.read_exact(&mut bytes)?;
                RgbImage::from_raw(width, height, bytes)
            }
            _ => return Err(invalid("other pixels than were asked for")),
        };
        let alpha = match size {
            Some((width, height)) if has_alpha && request.alpha => {
                let mut bytes = vec![0; width as usize * height as usize];
                from.read_exact(&mut bytes)?;
                GrayImage::from_raw(width, height, bytes)
            }
            _ if has_alpha => return Err(invalid("alpha that was not asked for")),
            _ => None,
        };
        Ok(Decoded { info, features: Features { quick, tones, detail, kind }, pixels, alpha })
    }
}

fn fits(frame: Frame, width: u32, height: u32) -> bool {
    match frame.fit {
        Fit::Inside => (1..=frame.width).contains(&width) && (1..=frame.height).contains(&height),
        _ => (width, height) == (frame.width, frame.height),
    }
}

/// The format of a name.
pub(super) fn format_of(name: &str) -> io::Result<Format> {
    Format::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| invalid("an unknown format"))
}

/// Sends a message and what follows it.
pub(super) fn send(to: &mut impl Write, message: &impl Serialize, rest: &[u8]) -> io::Result<()> {
    let mut frame = postcard::to_extend(message, vec![0; 4]).map_err(io::Error::other)?;
    let length = u32::try_from(frame.len() - 4).map_err(io::Error::other)?;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    // In one piece, which wakes the other side once.
    let mut pieces = [IoSlice::new(&frame), IoSlice::new(rest)];
    let mut left = pieces.as_mut_slice();
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match to.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    to.flush()
}

/// Receives a message.
pub(super) fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MAX_MESSAGE {
        return Err(invalid("a message that is too long"));
    }
    let mut bytes = vec![0; length as usize];
    from.read_exact(&mut bytes)?;
    postcard::from_bytes(&bytes).map_err(io::Error::other)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
