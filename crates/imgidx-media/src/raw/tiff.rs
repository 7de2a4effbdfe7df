//! Walks the directories of TIFF files (TIFF 6.0, section 2), which most raw formats are based on.

use super::{Found, ReadAt};

/// Maximum number of directories of a file, and of entries of a directory.
const MAX_DIRECTORIES: usize = 64;
const MAX_ENTRIES: u16 = 1000;

/// A TIFF structure inside a file.
#[derive(Clone, Copy)]
pub(super) struct Tiff<'a, F> {
    file: &'a F,
    /// Where offsets count from.
    base: u64,
    is_big_endian: bool,
}

/// An entry of a directory.
#[derive(Clone, Copy)]
struct Entry {
    tag: u16,
    kind: u16,
    count: u32,
    /// The value itself, if it fits, or the offset of the values.
    value: [u8; 4],
}

impl Entry {
    /// Length of the values in bytes.
    fn bytes(&self) -> u64 {
        let size = match self.kind {
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 => 8,
            _ => 1,
        };
        size * u64::from(self.count)
    }
}

/// Searches a TIFF file that starts at `base`, whatever number its header has in place of 42.
pub(super) fn search(file: &impl ReadAt, base: u64, found: &mut Found) -> Option<()> {
    let header = file.read_at(base, 8)?;
    let tiff = Tiff { file, base, is_big_endian: header[0] == b'M' };
    tiff.search_from(tiff.u32(&header, 4), found);
    Some(())
}

impl<F: ReadAt> Tiff<'_, F> {
    fn u16(&self, bytes: &[u8], at: usize) -> u16 {
        let pair = [bytes[at], bytes[at + 1]];
        if self.is_big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
    }

    fn u32(&self, bytes: &[u8], at: usize) -> u32 {
        let four = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        if self.is_big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    }

    /// Searches a chain of directories and those that they refer to.
    fn search_from(&self, first: u32, found: &mut Found) {
        let mut waiting = vec![first];
        let mut visited = Vec::new();
        while let Some(offset) = waiting.pop() {
            if offset == 0 || visited.contains(&offset) || visited.len() >= MAX_DIRECTORIES {
                continue;
            }
            visited.push(offset);
            let Some((entries, next)) = self.directory(offset) else { continue };
            waiting.push(next);
            self.search_directory(&entries, offset == first, found, &mut waiting);
        }
    }

    /// The entries of a directory, and the offset of the next one.
    fn directory(&self, offset: u32) -> Option<(Vec<Entry>, u32)> {
        let start = self.base + u64::from(offset);
        let count = self.u16(&self.file.read_at(start, 2)?, 0);
        if count > MAX_ENTRIES {
            return None;
        }
        let bytes = self.file.read_at(start + 2, 12 * usize::from(count))?;
        let entries = bytes.as_chunks::<12>().0.iter().map(|entry| Entry {
            tag: self.u16(entry, 0),
            kind: self.u16(entry, 2),
            count: self.u32(entry, 4),
            value: [entry[8], entry[9], entry[10], entry[11]],
        });
        let next = self.file.read_at(start + 2 + bytes.len() as u64, 4).map_or(0, |next| self.u32(&next, 0));
        Some((entries.collect(), next))
    }

    /// The numbers of an entry, up to a limit.
    fn numbers(&self, entry: &Entry, limit: u32) -> Vec<u32> {
        let short = matches!(entry.kind, 3 | 8);
        let size = if short { 2 } else { 4 };
        let count = entry.count.min(limit) as usize;
        let bytes = match entry.bytes() <= 4 {
            true => Some(entry.value.to_vec()),
            false => self.file.read_at(self.base + u64::from(self.u32(&entry.value, 0)), size * count),
        };
        let bytes = bytes.unwrap_or_default();
        let number = |bytes: &[u8]| if short { self.u16(bytes, 0).into() } else { self.u32(bytes, 0) };
        bytes.chunks_exact(size).take(count).map(number).collect()
    }

    fn search_directory(&self, entries: &[Entry], is_first: bool, found: &mut Found, waiting: &mut Vec<u32>) {
        let entry = |tag: u16| entries.iter().find(|entry| entry.tag == tag);
        let number = |tag: u16| entry(tag).and_then(|entry| self.numbers(entry, 1).first().copied());
        let mut add = |offset: u32, length: u32| found.places.push((self.base + u64::from(offset), length.into()));
        // JPEGInterchangeFormat and its length.
        if let (Some(offset), Some(length)) = (number(0x0201), number(0x0202)) {
            add(offset, length);
        }
        // A picture in one strip: StripOffsets and StripByteCounts.
        if let (Some(1), Some(offset), Some(length)) =
            (entry(0x0111).map(|it| it.count), number(0x0111), number(0x0117))
        {
            add(offset, length);
        }
        // JpgFromRaw of Panasonic.
        if let Some(entry) = entry(0x002E).filter(|entry| entry.bytes() > 4) {
            add(self.u32(&entry.value, 0), entry.count);
        }
        if is_first && let Some(orientation) = number(0x0112) {
            found.orientation = found.orientation.or(u8::try_from(orientation).ok());
        }
        // SubIFDs and the EXIF directory.
        for entry in [0x014A, 0x8769].into_iter().filter_map(entry) {
            waiting.extend(self.numbers(entry, 16));
        }
        if let Some(entry) = entry(0x927C).filter(|entry| entry.bytes() > 4) {
            self.search_maker_note(self.base + u64::from(self.u32(&entry.value, 0)), found);
        }
    }

    /// Searches the notes of makers that keep previews there.
    fn search_maker_note(&self, start: u64, found: &mut Found) -> Option<()> {
        let head = self.file.read_at(start, 16)?;
        let (base, first) = match head.as_slice() {
            [b'O', b'L', b'Y', b'M', b'P', b'U', b'S', 0, ..] => (start, 12),
            [b'O', b'M', b' ', b'S', b'Y', b'S', b'T', b'E', b'M', 0, ..] => (start, 16),
            [b'N', b'i', b'k', b'o', b'n', 0, 2, ..] => return self.search_nikon(start + 10, found),
            _ => return None,
        };
        let note = Self { base, ..*self };
        let (entries, _) = note.directory(first)?;
        // CameraSettings, with PreviewImageStart and PreviewImageLength.
        let settings = entries.iter().find(|entry| entry.tag == 0x2020)?;
        let (settings, _) = note.directory(note.u32(&settings.value, 0))?;
        let number = |tag: u16| settings.iter().find(|entry| entry.tag == tag).map(|entry| note.u32(&entry.value, 0));
        found.places.push((base + u64::from(number(0x0101)?), number(0x0102)?.into()));
        Some(())
    }

    /// Searches a note of Nikon: a TIFF structure of its own, with a directory for the preview (tag 0x0011).
    fn search_nikon(&self, base: u64, found: &mut Found) -> Option<()> {
        let header = self.file.read_at(base, 8)?;
        let note = Self { base, is_big_endian: header[0] == b'M', ..*self };
        let (entries, _) = note.directory(note.u32(&header, 4))?;
        let preview = entries.iter().find(|entry| entry.tag == 0x0011)?;
        let (entries, _) = note.directory(note.u32(&preview.value, 0))?;
        note.search_directory(&entries, false, found, &mut Vec::new());
        Some(())
    }
}
