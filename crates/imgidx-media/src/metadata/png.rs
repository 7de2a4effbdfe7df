//! Metadata in the chunks of PNG files (ISO/IEC 15948), which may also come after the pixels.

use std::io::Read;

use flate2::read::ZlibDecoder;

use super::packets::{MAX_PACKET, Packets};
use crate::raw::ReadAt;

/// Maximum number of chunks that are looked at.
const MAX_CHUNKS: usize = 1 << 20;

/// Searches the chunks of a PNG file.
pub(super) fn search(file: &impl ReadAt, found: &mut Packets) -> Option<()> {
    let mut at = 8;
    for _ in 0..MAX_CHUNKS {
        let head = file.read_at(at, 8)?;
        let length = u64::from(u32::from_be_bytes([head[0], head[1], head[2], head[3]]));
        let read = || file.read_at(at + 8, usize::try_from(length).ok().filter(|length| *length <= MAX_PACKET)?);
        match &head[4..] {
            b"IEND" => return None,
            b"eXIf" => found.exif = found.exif.take().or_else(read),
            b"iTXt" => international(&read().unwrap_or_default(), found).unwrap_or_default(),
            b"zTXt" => compressed(&read().unwrap_or_default(), found).unwrap_or_default(),
            b"tEXt" => text(&read().unwrap_or_default(), found).unwrap_or_default(),
            _ => {}
        }
        at += 12 + length;
    }
    None
}

/// A keyword and what follows its zero byte.
fn keyword(chunk: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = chunk.iter().position(|byte| *byte == 0)?;
    Some((&chunk[..end], &chunk[end + 1..]))
}

/// XMP: a keyword, two bytes about compression, and two texts about the language, each with a zero byte.
fn international(chunk: &[u8], found: &mut Packets) -> Option<()> {
    let (b"XML:com.adobe.xmp", [is_compressed, _, rest @ ..]) = keyword(chunk)? else { return None };
    let (_, rest) = keyword(rest)?;
    let (_, packet) = keyword(rest)?;
    found.xmp = found.xmp.take().or_else(|| if *is_compressed == 0 { Some(packet.to_vec()) } else { inflate(packet) });
    Some(())
}

/// A keyword, the method, and compressed text.
fn compressed(chunk: &[u8], found: &mut Packets) -> Option<()> {
    let (keyword, [_, packed @ ..]) = keyword(chunk)? else { return None };
    profile(keyword, &inflate(packed)?, found)
}

fn text(chunk: &[u8], found: &mut Packets) -> Option<()> {
    let (keyword, text) = keyword(chunk)?;
    profile(keyword, text, found)
}

/// What ImageMagick writes: a line with the name, one with the length, and the bytes as hexadecimal digits.
fn profile(keyword: &[u8], text: &[u8], found: &mut Packets) -> Option<()> {
    let name = keyword.strip_prefix(b"Raw profile type ")?;
    let digits = text.trim_ascii_start().splitn(3, |byte| *byte == b'\n').nth(2)?;
    let digits: Vec<u8> =
        digits.iter().filter_map(|digit| char::from(*digit).to_digit(16)).map(|it| it as u8).collect();
    let bytes: Vec<u8> = digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect();
    match name {
        b"exif" | b"APP1" => found.add_app1(&bytes),
        b"xmp" => found.xmp = found.xmp.take().or(Some(bytes)),
        b"iptc" => found.add_resources(&bytes),
        _ => {}
    }
    Some(())
}

fn inflate(packed: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(packed).take(MAX_PACKET as u64).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
