//! The protocol between a decoder process and its parent.
//!
//! A message is a frame: its length as four bytes, little-endian, and a value in postcard's format. File contents and
//! pixels follow their message unencoded. Both ends are the same program, but a decoder process is not trusted: lengths
//! are bounded, and pixels must have the requested size.

use std::io::{self, IoSlice, Read, Write};

use image::{GrayImage, RgbImage};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{DecodeError, DecodeLimits, DecodeRequest, Decoded, DecodedFrom, Fit, Format, Frame, Limit};
use crate::{DetailFeatures, Features, ImageInfo, Metadata, Miniature, QuickFeatures, ToneFeatures, TypeGuess};

/// First bytes that a decoder process sends, so that any other program is detected.
pub(super) const GREETING: &[u8; 16] = b"imgidx decoder 6";

/// Maximum length of a message in bytes. A thousandth of it is usual.
const MAX_MESSAGE: u32 = 1 << 20;

/// A request. The bytes that it is about follow it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub task: Task,
    /// Number of the bytes that follow.
    pub length: u64,
    pub limits: DecodeLimits,
    /// Memory for pixels that may be allocated without asking, in bytes.
    pub granted: u64,
}

/// What to do with the bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Task {
    /// Decode a picture. The format is its name, as [`Format::name`] returns it.
    Decode { format: String, request: DecodeRequest },
    /// Interpret [`Packets`], in postcard's format.
    Describe,
}

/// A received result.
#[derive(Debug)]
pub(super) enum Received {
    Picture(Box<Decoded>),
    Metadata(Box<Metadata>),
}

/// A message from the decoder process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub reply: Reply,
    /// Peak private memory of the process in bytes; 0 if it is unknown.
    pub peak: u64,
}

/// The result for a picture, or a request for more memory.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// Decoding needs this much memory for pixels, in bytes. The process waits for [`PROCEED`].
    Needs(u64),
    /// The picture is decoded. The pixels follow, if they were requested.
    Decoded(Box<ReplyHeader>),
    /// The metadata is interpreted.
    Described(Box<Metadata>),
    /// The picture cannot be decoded.
    Failed { reason: String, limit: Option<Limit> },
}

/// The parent's answer to [`Reply::Needs`].
pub(super) const PROCEED: [u8; 1] = [1];

/// [`Decoded`] without its pixels. Features are listed one by one, because postcard does not support flattened structs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReplyHeader {
    info: ImageInfo,
    metadata: Metadata,
    quick: QuickFeatures,
    tones: Option<ToneFeatures>,
    detail: Option<DetailFeatures>,
    kind: Option<TypeGuess>,
    /// Bytes of the miniature.
    miniature: Vec<u8>,
    /// Width and height of the pixels that follow.
    size: Option<(u32, u32)>,
    /// Whether an alpha channel follows the pixels.
    has_alpha: bool,
}

impl Reply {
    /// Splits a result into a message and the pixels that follow it.
    pub(super) fn new(result: Result<Decoded, DecodeError>) -> (Self, Vec<u8>) {
        match result {
            Ok(Decoded { info, metadata, features, miniature, pixels, alpha }) => {
                let Features { quick, tones, detail, kind } = features;
                let miniature = miniature.to_bytes();
                let size = pixels.as_ref().map(RgbImage::dimensions);
                let has_alpha = alpha.is_some();
                let header = ReplyHeader { info, metadata, quick, tones, detail, kind, miniature, size, has_alpha };
                let mut bytes = pixels.map(RgbImage::into_raw).unwrap_or_default();
                bytes.extend(alpha.map(GrayImage::into_raw).unwrap_or_default());
                (Self::Decoded(Box::new(header)), bytes)
            }
            Err(error) => (Self::Failed { reason: error.to_string(), limit: error.limit() }, Vec::new()),
        }
    }
}

impl ReplyHeader {
    /// Reads the pixels that follow; they must match the request.
    pub(super) fn receive(self, request: &DecodeRequest, from: &mut impl Read) -> io::Result<Decoded> {
        let Self { info, metadata, quick, tones, detail, kind, miniature, size, has_alpha } = self;
        let miniature = Miniature::from_bytes(&miniature).ok_or_else(|| invalid("a miniature of the wrong length"))?;
        let miniature = Box::new(miniature);
        if info.decoded_from == DecodedFrom::Thumbnail && !request.quick {
            return Err(invalid("a thumbnail that was not requested"));
        }
        let pixels = match (size, request.frame) {
            (None, None) => None,
            (Some((width, height)), Some(frame)) if fits(frame, width, height) => {
                let mut bytes = vec![0; 3 * width as usize * height as usize];
                from.read_exact(&mut bytes)?;
                RgbImage::from_raw(width, height, bytes)
            }
            _ => return Err(invalid("pixels that do not match the request")),
        };
        let alpha = match size {
            Some((width, height)) if has_alpha && request.alpha => {
                let mut bytes = vec![0; width as usize * height as usize];
                from.read_exact(&mut bytes)?;
                GrayImage::from_raw(width, height, bytes)
            }
            _ if has_alpha => return Err(invalid("an alpha channel that was not requested")),
            _ => None,
        };
        Ok(Decoded { info, metadata, features: Features { quick, tones, detail, kind }, miniature, pixels, alpha })
    }
}

fn fits(frame: Frame, width: u32, height: u32) -> bool {
    match frame.fit {
        Fit::Inside => (1..=frame.width).contains(&width) && (1..=frame.height).contains(&height),
        _ => (width, height) == (frame.width, frame.height),
    }
}

/// Finds a format by its name.
pub(super) fn format_of(name: &str) -> io::Result<Format> {
    Format::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| invalid("unknown format"))
}

/// A value as bytes. `None` if it is too large.
pub(super) fn encode(value: &impl Serialize) -> Option<Vec<u8>> {
    postcard::to_allocvec(value).ok()
}

/// A value that [`encode`] made.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    postcard::from_bytes(bytes).map_err(io::Error::other)
}

/// Sends a message and the bytes that follow it.
pub(super) fn send(to: &mut impl Write, message: &impl Serialize, rest: &[u8]) -> io::Result<()> {
    let mut frame = postcard::to_extend(message, vec![0; 4]).map_err(io::Error::other)?;
    let length = u32::try_from(frame.len() - 4).map_err(io::Error::other)?;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    // One vectored write wakes the other side only once.
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
        return Err(invalid("message too long"));
    }
    let mut bytes = vec![0; length as usize];
    from.read_exact(&mut bytes)?;
    postcard::from_bytes(&bytes).map_err(io::Error::other)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::{detailed, png};
    use crate::decode_and_measure;

    #[test]
    fn a_thumbnail_that_was_not_requested_is_refused() {
        let bytes = png(&detailed(40, 30));
        let Some(format) = Format::ALL.into_iter().find(|format| format.name() == "png") else { panic!("no PNG") };
        let receive = |quick: bool| {
            let request = DecodeRequest { side: 10, quick, ..DecodeRequest::default() };
            let mut decoded =
                decode_and_measure(&bytes, format, DecodeLimits::default(), &request, |_| ()).expect("a picture");
            decoded.info.decoded_from = DecodedFrom::Thumbnail;
            let (Reply::Decoded(header), rest) = Reply::new(Ok(decoded)) else { panic!("it was decoded") };
            header.receive(&request, &mut rest.as_slice())
        };
        assert_eq!(receive(true).expect("an answer").info.decoded_from, DecodedFrom::Thumbnail);
        assert!(receive(false).is_err());
    }
}
