//! Walks the directories of TIFF files (TIFF 6.0, section 2), which most raw formats are based on.

use super::{Found, ReadAt};

/// Maximum number of directories of a file.
const MAX_DIRECTORIES: usize = 64;

/// Maximum number of entries of a directory.
pub(super) const MAX_ENTRIES: u16 = 1000;

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
pub(super) struct Entry {
    pub tag: u16,
    kind: u16,
    count: u32,
    /// The value itself, if it fits, or the offset of the values.
    value: [u8; 4],
}

impl Entry {
    /// Length of the values in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let size = match self.kind {
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 => 8,
            _ => 1,
        };
        size * u64::from(self.count)
    }

    /// Length of the numbers that values of this type consist of; `None` if the type is unknown (TIFF 6.0, section 2).
    fn unit(&self) -> Option<usize> {
        Some(match self.kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 5 | 9 | 10 | 11 | 13 => 4,
            12 => 8,
            _ => return None,
        })
    }
}

/// A tag with its values, in little-endian byte order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// Type of the values.
    pub kind: u16,
    /// Number of values.
    pub count: u32,
    pub values: Vec<u8>,
}

/// Searches a TIFF file that starts at `base`, whatever number its header has in place of 42.
pub(super) fn search(file: &impl ReadAt, base: u64, found: &mut Found) -> Option<()> {
    let (tiff, first) = Tiff::open(file, base)?;
    tiff.search_from(first, found);
    Some(())
}

impl<'a, F: ReadAt> Tiff<'a, F> {
    /// Reads the header. Returns the offset of the first directory as well.
    pub(super) fn open(file: &'a F, base: u64) -> Option<(Self, u32)> {
        let header = file.read_at(base, 8)?;
        let tiff = Self { file, base, is_big_endian: header[0] == b'M' };
        let first = tiff.u32(&header, 4);
        Some((tiff, first))
    }

    /// The values of an entry. `None` if the type is unknown, or if they are longer than `limit` bytes or missing.
    pub(super) fn field(&self, entry: &Entry, limit: u64) -> Option<Field> {
        let (unit, length) = (entry.unit()?, entry.bytes());
        let mut values = match length {
            0 => return None,
            1..=4 => entry.value[..length as usize].to_vec(),
            _ if length > limit => return None,
            _ => self.file.read_at(self.base + u64::from(self.u32(&entry.value, 0)), length as usize)?,
        };
        if self.is_big_endian {
            values.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
        }
        Some(Field { kind: entry.kind, count: entry.count, values })
    }

    /// The bytes that an entry refers to, in the order of the file whatever their type is.
    pub(super) fn bytes_of(&self, entry: &Entry, limit: u64) -> Option<Vec<u8>> {
        let as_stored = Self { is_big_endian: false, ..*self };
        let place = Entry { value: self.u32(&entry.value, 0).to_le_bytes(), ..*entry };
        as_stored.field(if entry.bytes() > 4 { &place } else { entry }, limit).map(|field| field.values)
    }

    /// The first number of an entry, such as the offset of another directory.
    pub(super) fn number(&self, entry: &Entry) -> Option<u32> {
        self.numbers(entry, 1).first().copied()
    }

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
    pub(super) fn directory(&self, offset: u32) -> Option<(Vec<Entry>, u32)> {
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

    /// Finds out where a directory says that pictures are.
    fn search_pictures(&self, entries: &[Entry], found: &mut Found) {
        let entry = |tag: u16| entries.iter().find(|entry| entry.tag == tag);
        let number = |tag: u16| entry(tag).and_then(|entry| self.number(entry));
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
    }

    fn search_directory(&self, entries: &[Entry], is_first: bool, found: &mut Found, waiting: &mut Vec<u32>) {
        let entry = |tag: u16| entries.iter().find(|entry| entry.tag == tag);
        let number = |tag: u16| entry(tag).and_then(|entry| self.number(entry));
        self.search_pictures(entries, found);
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
        note.search_pictures(&entries, found);
        Some(())
    }
}
