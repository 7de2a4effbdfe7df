//! Raw formats that are not TIFF files, and the choice among all of them by their first bytes.

use super::super::sequence;
use super::{Directory, Found, ReadAt, tiff};

/// Maximum length of metadata that is read at once, in bytes.
const MAX_METADATA: u64 = 4 << 20;

/// Maximum number of boxes of a file, and of heaps of a CRW file. Cameras write about twenty.
const MAX_PARTS: u32 = 500;

/// Maximum number of TIFF structures with metadata. Canon writes four.
const MAX_STRUCTURES: usize = 8;

/// The type of the box that holds the XMP packet (XMP Specification, part 3, 1.2.7.1).
pub(super) const XMP: [u8; 16] =
    [0xBE, 0x7A, 0xCF, 0xCB, 0x97, 0xA9, 0x42, 0xE8, 0x9C, 0x71, 0x99, 0x94, 0x91, 0xE3, 0xAF, 0xAC];

/// Searches a raw file of any kind.
pub(super) fn search(file: &impl ReadAt, found: &mut Found) -> Option<()> {
    let head = file.read_at(0, 16)?;
    match head.as_slice() {
        [b'F', b'U', b'J', b'I', b'F', b'I', b'L', b'M', ..] => fuji(file, found),
        [b'F', b'O', b'V', b'b', ..] => sigma(file, found),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => canon_boxes(file, found),
        [b'I', b'I', 26, 0, _, _, b'H', b'E', b'A', b'P', b'C', b'C', b'D', b'R', ..] => {
            let start = u64::from(u32::from_le_bytes([head[2], head[3], head[4], head[5]]));
            let mut left = MAX_PARTS;
            canon_heap(file, start..file.length(), 0, &mut left, found)
        }
        _ => {
            found.directories.push((Directory::Main, 0));
            tiff::search(file, 0, found)
        }
    }
}

fn u16_le(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u32_be(bytes: &[u8], at: usize) -> Option<u32> {
    u32_le(bytes, at).map(u32::swap_bytes)
}

/// Fujifilm RAF: the header has offset and length of a JPEG, whose EXIF data is that of the raw file.
fn fuji(file: &impl ReadAt, found: &mut Found) -> Option<()> {
    let place = file.read_at(84, 8)?;
    found.places.push((u32_be(&place, 0)?.into(), u32_be(&place, 4)?.into()));
    Some(())
}

/// Sigma X3F: the last four bytes say where the directory is; pictures are sections with a header of 28 bytes.
fn sigma(file: &impl ReadAt, found: &mut Found) -> Option<()> {
    let directory = u64::from(u32_le(&file.read_at(file.length().checked_sub(4)?, 4)?, 0)?);
    let head = file.read_at(directory, 12).filter(|head| head.starts_with(b"SECd"))?;
    let count = u32_le(&head, 8)?.min(256);
    let entries = file.read_at(directory + 12, 12 * count as usize)?;
    for entry in entries.as_chunks::<12>().0 {
        let (offset, length) = (u64::from(u32_le(entry, 0)?), u64::from(u32_le(entry, 4)?));
        if matches!(&entry[8..], b"IMAG" | b"IMA2") && length > 28 {
            found.places.push((offset + 28, length - 28));
        }
    }
    Some(())
}

/// Canon CRW: heaps with a directory at their end (CIFF 1.0). JpgFromRaw has the tag 0x2007.
/// Heaps may overlap in a damaged file, so that `left` bounds their number.
fn canon_heap(
    file: &impl ReadAt,
    heap: std::ops::Range<u64>,
    depth: u32,
    left: &mut u32,
    found: &mut Found,
) -> Option<()> {
    if depth > 4 || heap.end > file.length() {
        return None;
    }
    *left = left.checked_sub(1)?;
    let directory = heap.start + u64::from(u32_le(&file.read_at(heap.end.checked_sub(4)?, 4)?, 0)?);
    let count = u16_le(&file.read_at(directory, 2)?, 0)?.min(256);
    for entry in file.read_at(directory + 2, 10 * usize::from(count))?.as_chunks::<10>().0 {
        let (tag, length, offset) = (u16_le(entry, 0)?, u64::from(u32_le(entry, 2)?), u64::from(u32_le(entry, 6)?));
        let start = heap.start + offset;
        match tag {
            0x2007 => found.places.push((start, length)),
            _ if matches!(tag & 0x7800, 0x2800 | 0x3000) => {
                canon_heap(file, start..start + length, depth + 1, left, found);
            }
            _ => {}
        }
    }
    Some(())
}

/// A box of an ISO base media file: its type, and where its content is.
fn next_box(file: &impl ReadAt, at: u64, end: u64) -> Option<([u8; 4], u64, u64)> {
    let head = file.read_at(at, 8).filter(|_| at + 8 <= end)?;
    let kind = head[4..8].try_into().ok()?;
    let (start, size) = match u32_be(&head, 0)? {
        0 => (at + 8, end - at),
        1 => (at + 16, u64::from_be_bytes(file.read_at(at + 8, 8)?.try_into().ok()?)),
        size => (at + 8, size.into()),
    };
    let stop = at.checked_add(size).filter(|stop| *stop >= start && *stop <= end)?;
    Some((kind, start, stop))
}

/// The boxes in a part of a file.
fn boxes(file: &impl ReadAt, start: u64, end: u64) -> impl Iterator<Item = ([u8; 4], u64, u64)> {
    let mut at = start;
    std::iter::from_fn(move || {
        let found = next_box(file, at, end)?;
        at = found.2;
        Some(found)
    })
    .take(MAX_PARTS as usize)
}

/// Canon CR3: a picture of the whole size in the first track, and a smaller one in a box `PRVW`.
fn canon_boxes(file: &impl ReadAt, found: &mut Found) -> Option<()> {
    for (kind, start, stop) in boxes(file, 0, file.length()) {
        match &kind {
            b"moov" if stop - start <= MAX_METADATA => {
                let movie = file.read_at(start, (stop - start) as usize)?;
                if let Some(track) = sequence::first_track(&movie) {
                    found.places.push(track.first_sample);
                }
                let notes = boxes(file, start, stop).filter(|(kind, ..)| kind == b"uuid");
                notes.for_each(|(_, start, stop)| canon_tiff(file, start + 16, stop, found));
            }
            b"uuid" if file.read_at(start, 16).is_some_and(|kind| kind == XMP) && stop - start > 16 => {
                found.packet = Some((start + 16, stop - start - 16));
            }
            b"uuid" => preview_box(file, start, stop, found).unwrap_or_default(),
            _ => {}
        }
    }
    Some(())
}

/// The boxes `CMT1`, `CMT2` and `CMT4` in a box of Canon hold the directories of TIFF, of EXIF and of the position.
fn canon_tiff(file: &impl ReadAt, start: u64, end: u64, found: &mut Found) {
    for (kind, start, _) in boxes(file, start, end) {
        let directory = match &kind {
            b"CMT1" => Directory::Main,
            b"CMT2" => Directory::Exif,
            b"CMT4" => Directory::Gps,
            _ => continue,
        };
        if found.directories.len() >= MAX_STRUCTURES {
            break;
        }
        found.directories.push((directory, start));
        if directory != Directory::Gps {
            tiff::search(file, start, found).unwrap_or_default();
        }
    }
}

/// A box with a UUID, eight bytes, and a box `PRVW`: twelve bytes with the size, the length, and a JPEG.
fn preview_box(file: &impl ReadAt, start: u64, end: u64, found: &mut Found) -> Option<()> {
    let (kind, start, stop) = next_box(file, start + 24, end)?;
    if &kind == b"PRVW" {
        let length = u32_be(&file.read_at(start + 12, 4)?, 0)?;
        found.places.push((start + 16, u64::from(length).min(stop - start)));
    }
    Some(())
}
