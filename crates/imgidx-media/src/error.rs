//! The error type for decoding, and readable messages for the errors of decoder libraries.

use serde::{Deserialize, Serialize};

/// The reason why a file cannot be decoded, as a message for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DecodeError {
    reason: String,
    limit: Option<Limit>,
}

/// A limit that a picture exceeds. The same picture may decode under a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// [`DecodeLimits::memory`](super::DecodeLimits::memory)
    Memory,
    /// [`DecodeLimits::time`](super::DecodeLimits::time)
    Time,
}

impl DecodeError {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), limit: None }
    }

    pub(super) fn too_large(reason: impl Into<String>) -> Self {
        Self::from_parts(reason, Some(Limit::Memory))
    }

    /// Rebuilds an error that another process reported.
    pub fn from_parts(reason: impl Into<String>, limit: Option<Limit>) -> Self {
        Self { reason: reason.into(), limit }
    }

    /// The limit that the picture exceeds; `None` if the cause is the file itself.
    pub fn limit(&self) -> Option<Limit> {
        self.limit
    }
}

/// Converts an error of the `image` crate and drops its preamble about encoders and formats.
pub(super) fn from_image_error(error: image::ImageError) -> DecodeError {
    use image::ImageError;
    use image::error::UnsupportedErrorKind::{Color, Format, GenericFeature};
    use std::error::Error;
    match &error {
        ImageError::Limits(_) => DecodeError::too_large("decoding needs more memory than is allowed"),
        ImageError::IoError(io) => match io.kind() {
            std::io::ErrorKind::UnexpectedEof => DecodeError::new(TRUNCATED),
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput | std::io::ErrorKind::Other => {
                damaged(io)
            }
            _ => DecodeError::new(imgidx_types::io_reason(io)),
        },
        ImageError::Unsupported(unsupported) => match unsupported.kind() {
            Color(image::ExtendedColorType::Unknown(bits)) => {
                DecodeError::new(format!("not supported: unusual layout of {bits}-bit pixels"))
            }
            Color(color) => DecodeError::new(format!("not supported: pixels of type `{color:?}`")),
            GenericFeature(feature) => DecodeError::new(format!("not supported: {}", readable(&feature))),
            Format(_) => DecodeError::new("not supported: this variant of the format"),
            _ => DecodeError::new(readable(&unsupported.to_string())),
        },
        ImageError::Decoding(damage) => match damage.source() {
            Some(source) => damaged(source),
            None => DecodeError::new("damaged"),
        },
        _ => DecodeError::new(readable(&error.to_string())),
    }
}

/// Message for a truncated file.
const TRUNCATED: &str = "the file ends before the picture is complete";

/// Converts the message of a decoder library into an error for a damaged file.
pub(super) fn damaged(error: impl std::fmt::Display) -> DecodeError {
    let message = error.to_string();
    let message = message.trim_matches('"');
    match message {
        "" | "Decode Error" => DecodeError::new("damaged"),
        _ if message.contains("failed to fill whole buffer") => DecodeError::new(TRUNCATED),
        _ => DecodeError::new(match readable(message) {
            text if text.starts_with("not supported") => text,
            text => format!("damaged: {text}"),
        }),
    }
}

/// Makes a message readable that a decoder library wrote for its own developers.
fn readable(message: &str) -> String {
    let mut text = message.trim_start_matches("format error: ").to_owned();
    // "ChunkType { type: IHDR, critical: true, … safecopy: false } chunk"; a damaged name may contain a brace.
    while let Some((before, name, after)) = split_around(&text, "ChunkType { type: ", ", critical:") {
        let after = after.split_once(" }").map_or("", |(_, after)| after);
        let is_name = name.len() == 4 && name.bytes().all(|byte| byte.is_ascii_alphabetic());
        let name = if is_name { format!("`{name}`") } else { "unknown".to_owned() };
        text = format!("{before}{name}{after}");
    }
    // "DDS FourCC [65, 84, 73, 49]"
    if let Some((before, code, after)) = split_around(&text, "FourCC [", "]") {
        let letters: Option<Vec<u8>> = code.split(", ").map(|number| number.parse().ok()).collect();
        if let Some(name) = letters.and_then(|letters| String::from_utf8(letters).ok()) {
            text = format!("{before}compression `{}`{after}", name.escape_default());
        }
    }
    text
}

/// Splits a text at two delimiters: the parts before, between and after them.
fn split_around<'a>(text: &'a str, start: &str, end: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let (before, rest) = text.split_once(start)?;
    let (inside, after) = rest.split_once(end)?;
    Some((before, inside, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoder_messages_become_readable() {
        for (message, expected) in [
            ("Decode Error", "damaged"),
            ("i/o error: failed to fill whole buffer", TRUNCATED),
            ("format error: file contained a cycle", "damaged: file contained a cycle"),
            ("not supported: channel subsampling", "not supported: channel subsampling"),
            (
                "CRC error: expected 1 have 2 while decoding ChunkType { type: IDAT, critical: true } chunk.",
                "damaged: CRC error: expected 1 have 2 while decoding `IDAT` chunk.",
            ),
            ("ChunkType { type: \u{81}b}, critical: true } chunk first", "damaged: unknown chunk first"),
            ("DDS FourCC [65, 84, 73, 49]", "damaged: DDS compression `ATI1`"),
            ("DDS FourCC [255, 84, 73, 49]", "damaged: DDS FourCC [255, 84, 73, 49]"),
        ] {
            assert_eq!(damaged(message).to_string(), expected);
        }
    }
}
