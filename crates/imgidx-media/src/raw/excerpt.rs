//! A small TIFF file that stands for a raw file: its largest JPEG, and what it says of the picture.
//!
//! The excerpt is what is sent to a decoder process. A raw file of 60 MB has an excerpt of about 3 MB, and no more of
//! it is ever in memory.

use std::collections::BTreeMap;
use std::ops::Range;

use super::tiff::{Entry, Field, MAX_ENTRIES, Tiff};
use super::{Directory, Found, ReadAt, containers, find};

/// Maximum length of an XMP packet or of IPTC data, in bytes.
const MAX_PACKET: u64 = 4 << 20;

/// Maximum length of any other value, and of all that are longer than [`SMALL`], in bytes.
const MAX_VALUE: u64 = 64 << 10;
const MAX_VALUES: u64 = 4 << 20;

/// Values up to this length in bytes are always copied; their number is bounded.
const SMALL: u64 = 64;

/// Types of values: one byte, two bytes, four bytes, and bytes of any meaning (TIFF 6.0, section 2).
const BYTE: u16 = 1;
const SHORT: u16 = 3;
const LONG: u16 = 4;
const UNDEFINED: u16 = 7;

const ORIENTATION: u16 = 0x0112;
const JPEG_OFFSET: u16 = 0x0201;
const JPEG_LENGTH: u16 = 0x0202;
const XMP: u16 = 700;
const IPTC: u16 = 33_723;
const EXIF_DIRECTORY: u16 = 0x8769;
const GPS_DIRECTORY: u16 = 0x8825;

/// What is copied from the main directory: ImageDescription, Make, Model, DateTime, Artist, Rating, RatingPercent,
/// Copyright, and the title and the keywords of Windows.
const MAIN_TAGS: [u16; 10] = [0x010E, 0x010F, 0x0110, 0x0132, 0x013B, 0x4746, 0x4749, 0x8298, 0x9C9B, 0x9C9E];

/// Capture and digitisation time, which some raw files have in the main directory.
const DATES: [u16; 2] = [0x9003, 0x9004];

/// Tags that point to other parts of the file, which are not copied, and MakerNote.
const POINTERS: [u16; 12] = [
    0x002E,
    0x0111,
    0x0117,
    0x0144,
    0x0145,
    0x014A,
    JPEG_OFFSET,
    JPEG_LENGTH,
    EXIF_DIRECTORY,
    GPS_DIRECTORY,
    0x927C,
    0xA005,
];

type Fields = BTreeMap<u16, Field>;

/// What an excerpt will consist of.
pub(in super::super) struct Excerpt {
    /// The excerpt up to the JPEG.
    metadata: Vec<u8>,
    /// Where the JPEG is in the raw file.
    jpeg: Range<u64>,
}

impl Excerpt {
    /// Finds the parts of a raw file, and reads the metadata. `None` if there is no JPEG in it.
    pub(in super::super) fn find(file: &impl ReadAt) -> Option<Self> {
        let (jpeg, found) = find(file).ok()?;
        let metadata = Metadata::read(file, &found).write(Some((jpeg.end - jpeg.start) as u32));
        Some(Self { metadata, jpeg })
    }

    /// Length of the excerpt in bytes.
    pub(in super::super) fn length(&self) -> u64 {
        self.metadata.len() as u64 + self.jpeg.end - self.jpeg.start
    }

    /// Reads the JPEG, and returns the excerpt. `None` if it cannot be read.
    pub(in super::super) fn read(self, file: &impl ReadAt) -> Option<Vec<u8>> {
        let (start, length) = (self.metadata.len(), self.length() as usize);
        let mut bytes = self.metadata;
        bytes.reserve_exact(length - start);
        bytes.resize(length, 0);
        file.fill(self.jpeg.start, &mut bytes[start..])?;
        Some(bytes)
    }
}

/// The metadata of a raw or TIFF file, as a TIFF structure of their own. `None` if there is none.
pub(in super::super) fn metadata_of(file: &impl ReadAt) -> Option<Vec<u8>> {
    let mut found = Found::default();
    containers::search(file, &mut found);
    let metadata = Metadata::read(file, &found);
    (!metadata.is_empty()).then(|| metadata.write(None))
}

/// The fields of the three directories.
#[derive(Default)]
struct Metadata {
    main: Fields,
    exif: Fields,
    gps: Fields,
    /// Length of the values above [`SMALL`].
    length: u64,
}

impl Metadata {
    fn read(file: &impl ReadAt, found: &Found) -> Self {
        let mut metadata = Self::default();
        for (directory, base) in &found.directories {
            if let Some((tiff, first)) = Tiff::open(file, *base) {
                metadata.copy(&tiff, first, *directory);
            }
        }
        if let Some((start, length)) = found.packet.filter(|(_, length)| *length <= MAX_PACKET)
            && let Some(packet) = file.read_at(start, length as usize)
        {
            metadata.main.entry(XMP).or_insert(bytes(BYTE, packet));
        }
        if let Some(orientation) = found.orientation {
            metadata.main.insert(ORIENTATION, number(SHORT, orientation.into()));
        }
        metadata
    }

    /// Copies a directory, and those that it refers to.
    fn copy<F: ReadAt>(&mut self, tiff: &Tiff<'_, F>, offset: u32, directory: Directory) {
        let Some((entries, _)) = tiff.directory(offset) else { return };
        for entry in &entries {
            match (directory, entry.tag) {
                (Directory::Main, XMP | IPTC) => {
                    let kind = if entry.tag == XMP { BYTE } else { UNDEFINED };
                    // The bytes are a file of their own, even where their type is another one.
                    if !self.main.contains_key(&entry.tag)
                        && let Some(packet) = tiff.bytes_of(entry, MAX_PACKET)
                    {
                        self.main.insert(entry.tag, bytes(kind, packet));
                    }
                }
                (Directory::Main, EXIF_DIRECTORY | GPS_DIRECTORY) => {
                    let directory = if entry.tag == EXIF_DIRECTORY { Directory::Exif } else { Directory::Gps };
                    if let Some(offset) = tiff.number(entry) {
                        self.copy(tiff, offset, directory);
                    }
                }
                (Directory::Main, tag) if DATES.contains(&tag) => self.copy_entry(tiff, entry, Directory::Exif),
                (Directory::Main, tag) if !MAIN_TAGS.contains(&tag) => {}
                (_, tag) if POINTERS.contains(&tag) => {}
                _ => self.copy_entry(tiff, entry, directory),
            }
        }
    }

    fn copy_entry<F: ReadAt>(&mut self, tiff: &Tiff<'_, F>, entry: &Entry, directory: Directory) {
        let fields = match directory {
            Directory::Main => &mut self.main,
            Directory::Exif => &mut self.exif,
            Directory::Gps => &mut self.gps,
        };
        let counted = if entry.bytes() > SMALL { entry.bytes() } else { 0 };
        let has_room = self.length + counted <= MAX_VALUES && fields.len() < MAX_ENTRIES.into();
        if has_room
            && !fields.contains_key(&entry.tag)
            && let Some(field) = tiff.field(entry, MAX_VALUE)
        {
            fields.insert(entry.tag, field);
            self.length += counted;
        }
    }

    /// Whether nothing was found but the orientation.
    fn is_empty(&self) -> bool {
        self.exif.is_empty() && self.gps.is_empty() && self.main.keys().all(|tag| *tag == ORIENTATION)
    }

    /// Writes the beginning of a TIFF file: header, directories and values. A JPEG of `jpeg_length` bytes follows, if
    /// there is one.
    fn write(mut self, jpeg_length: Option<u32>) -> Vec<u8> {
        // Numbers that are known later take no more room.
        if let Some(length) = jpeg_length {
            self.main.insert(JPEG_OFFSET, number(LONG, 0));
            self.main.insert(JPEG_LENGTH, number(LONG, length));
        }
        for (tag, fields) in [(EXIF_DIRECTORY, &self.exif), (GPS_DIRECTORY, &self.gps)] {
            if !fields.is_empty() {
                self.main.insert(tag, number(LONG, 0));
            }
        }
        let main_offset = 8;
        let exif_offset = main_offset + length_of(&self.main);
        let gps_offset = exif_offset + length_of(&self.exif);
        let jpeg_offset = gps_offset + length_of(&self.gps);
        let places = [(JPEG_OFFSET, jpeg_offset), (EXIF_DIRECTORY, exif_offset), (GPS_DIRECTORY, gps_offset)];
        for (tag, offset) in places {
            self.main.entry(tag).and_modify(|field| *field = number(LONG, offset));
        }
        let mut file = b"II*\0\x08\0\0\0".to_vec();
        for fields in [&self.main, &self.exif, &self.gps].into_iter().filter(|fields| !fields.is_empty()) {
            write_directory(&mut file, fields);
        }
        file
    }
}

fn bytes(kind: u16, values: Vec<u8>) -> Field {
    Field { kind, count: values.len() as u32, values }
}

fn number(kind: u16, number: u32) -> Field {
    let length = if kind == SHORT { 2 } else { 4 };
    Field { kind, count: 1, values: number.to_le_bytes()[..length].to_vec() }
}

/// Length that values take after their directory: none if they fit into the entry. Offsets are even.
fn length_outside(field: &Field) -> u32 {
    if field.values.len() > 4 { (field.values.len() as u32).next_multiple_of(2) } else { 0 }
}

/// Length of a directory and its values in bytes; none if it is empty.
fn length_of(fields: &Fields) -> u32 {
    if fields.is_empty() {
        return 0;
    }
    2 + 12 * fields.len() as u32 + 4 + fields.values().map(length_outside).sum::<u32>()
}

/// Appends a directory and its values.
fn write_directory(file: &mut Vec<u8>, fields: &Fields) {
    let mut offset = file.len() as u32 + 2 + 12 * fields.len() as u32 + 4;
    file.extend((fields.len() as u16).to_le_bytes());
    for (tag, field) in fields {
        file.extend([&tag.to_le_bytes()[..], &field.kind.to_le_bytes(), &field.count.to_le_bytes()].concat());
        let mut value = [0; 4];
        match field.values.len() {
            length @ 0..=4 => value[..length].copy_from_slice(&field.values),
            _ => value = offset.to_le_bytes(),
        }
        file.extend(value);
        offset += length_outside(field);
    }
    file.extend([0; 4]);
    for field in fields.values().filter(|field| field.values.len() > 4) {
        file.extend(&field.values);
        file.resize(file.len().next_multiple_of(2), 0);
    }
}
