//! Why a picture cannot be decoded, in words for a person.

use serde::{Deserialize, Serialize};

/// Why a file cannot be decoded, in words for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DecodeError {
    reason: String,
    limit: Option<Limit>,
}

/// A limit that stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// [`DecodeLimits::memory`](super::DecodeLimits::memory).
    Memory,
    /// [`DecodeLimits::time`](super::DecodeLimits::time).
    Time,
}

impl DecodeError {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), limit: None }
    }

    pub(super) fn too_large(reason: impl Into<String>) -> Self {
        Self::of(reason, Some(Limit::Memory))
    }

    /// An error that was found in another process.
    pub fn of(reason: impl Into<String>, limit: Option<Limit>) -> Self {
        Self { reason: reason.into(), limit }
    }

    /// The limit that stands in the way, if it is only that.
    pub fn limit(&self) -> Option<Limit> {
        self.limit
    }
}

/// What an error of `image` means, without its preamble about encoders and formats.
pub(super) fn plain(error: image::ImageError) -> DecodeError {
    use image::ImageError;
    use image::error::UnsupportedErrorKind::{Color, Format, GenericFeature};
    use std::error::Error;
    match &error {
        ImageError::Limits(_) => DecodeError::too_large("decoding needs more memory than is allowed"),
        ImageError::IoError(io) => match io.kind() {
            std::io::ErrorKind::UnexpectedEof => DecodeError::new(CUT_OFF),
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput | std::io::ErrorKind::Other => {
                damaged(io)
            }
            _ => DecodeError::new(imgidx_types::io_reason(io)),
        },
        ImageError::Unsupported(unsupported) => match unsupported.kind() {
            Color(image::ExtendedColorType::Unknown(bits)) => {
                DecodeError::new(format!("not supported: pixels of {bits} bits in an unusual arrangement"))
            }
            Color(color) => DecodeError::new(format!("not supported: pixels of type {color:?}")),
            GenericFeature(what) => DecodeError::new(format!("not supported: {}", in_words(&what))),
            Format(_) => DecodeError::new("not supported: this variant of the format"),
            _ => DecodeError::new(in_words(&unsupported.to_string())),
        },
        ImageError::Decoding(damage) => match damage.source() {
            Some(source) => damaged(source),
            None => DecodeError::new("damaged"),
        },
        _ => DecodeError::new(in_words(&error.to_string())),
    }
}

/// What is said of a file that is cut off.
const CUT_OFF: &str = "the file ends before its picture does";

/// That a file is damaged, as a decoder tells it.
pub(super) fn damaged(error: impl std::fmt::Display) -> DecodeError {
    let told = error.to_string();
    let told = told.trim_matches('"');
    match told {
        "" | "Decode Error" => DecodeError::new("damaged"),
        _ if told.contains("failed to fill whole buffer") => DecodeError::new(CUT_OFF),
        _ => DecodeError::new(match in_words(told) {
            words if words.starts_with("not supported") => words,
            words => format!("damaged: {words}"),
        }),
    }
}

/// What decoders say as they print it for their own developers.
fn in_words(told: &str) -> String {
    let mut words = told.trim_start_matches("format error: ").to_owned();
    // "ChunkType { type: IHDR, critical: true, … safecopy: false } chunk"; a damaged name may have a brace in it.
    while let Some((before, name, after)) = between(&words, "ChunkType { type: ", ", critical:") {
        let after = after.split_once(" }").map_or("", |(_, after)| after);
        let is_name = name.len() == 4 && name.bytes().all(|byte| byte.is_ascii_alphabetic());
        let name = if is_name { format!("`{name}`") } else { "unknown".to_owned() };
        words = format!("{before}{name}{after}");
    }
    // "DDS FourCC [65, 84, 73, 49]"
    if let Some((before, code, after)) = between(&words, "FourCC [", "]") {
        let letters: Option<Vec<u8>> = code.split(", ").map(|number| number.parse().ok()).collect();
        if let Some(name) = letters.and_then(|letters| String::from_utf8(letters).ok()) {
            words = format!("{before}compression `{}`{after}", name.escape_default());
        }
    }
    words
}

/// What lies before, between and behind two marks.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let (before, rest) = text.split_once(start)?;
    let (inside, after) = rest.split_once(end)?;
    Some((before, inside, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decoders_say_is_told_in_words() {
        for (told, request) in [
            ("Decode Error", "damaged"),
            ("i/o error: failed to fill whole buffer", CUT_OFF),
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
            assert_eq!(damaged(told).to_string(), request);
        }
    }
}
