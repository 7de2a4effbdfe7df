//! Raw files of each kind, made byte for byte around JPEG files. Real ones of full size cannot be kept here.

use std::cell::Cell;

use super::*;
use image::codecs::jpeg::JpegEncoder;

/// A JPEG of one grey.
pub(super) fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let pixels = image::RgbImage::from_pixel(width, height, image::Rgb([90; 3]));
    JpegEncoder::new(&mut bytes).encode_image(&pixels).expect("it encodes");
    bytes
}

/// Writes TIFF structures in one byte order.
#[derive(Clone, Copy)]
pub(super) struct Writer {
    pub is_big_endian: bool,
}

impl Writer {
    pub(super) fn u16(self, number: u16) -> [u8; 2] {
        if self.is_big_endian { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    pub(super) fn u32(self, number: u32) -> [u8; 4] {
        if self.is_big_endian { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    /// A directory: entries of tag, type, count and value, and the offset of the next one.
    pub(super) fn directory(self, entries: &[(u16, u16, u32, u32)], next: u32) -> Vec<u8> {
        let mut bytes = self.u16(entries.len() as u16).to_vec();
        for (tag, kind, count, value) in entries {
            bytes.extend([&self.u16(*tag)[..], &self.u16(*kind), &self.u32(*count)].concat());
            match (kind, count) {
                (3, 1) => bytes.extend([&self.u16(*value as u16)[..], &[0, 0]].concat()),
                _ => bytes.extend(self.u32(*value)),
            }
        }
        bytes.extend(self.u32(next));
        bytes
    }
}

/// A TIFF file: the bytes after the first directory are at offset 1000, and the JPEG is at offset 3000.
fn tiff(is_big_endian: bool, magic: u16, entries: &[(u16, u16, u32, u32)], at_1000: &[u8], jpeg: &[u8]) -> Vec<u8> {
    let writer = Writer { is_big_endian };
    let mut file = if is_big_endian { b"MM".to_vec() } else { b"II".to_vec() };
    file.extend(writer.u16(magic));
    file.extend(writer.u32(8));
    file.extend(writer.directory(entries, 0));
    file.resize(1000, 0);
    file.extend(at_1000);
    file.resize(3000, 0);
    file.extend(jpeg);
    file
}

/// Number, offset and length of the preview that is found, and the orientation.
fn preview(file: &[u8]) -> Option<(Range<u64>, Option<u8>)> {
    find(&file).ok().map(|(place, found)| (place, found.orientation))
}

/// A raw file of one maker, made around a JPEG.
pub(super) struct Sample {
    pub name: &'static str,
    pub file: Vec<u8>,
    /// Where the JPEG is.
    pub place: Range<u64>,
    pub orientation: Option<u8>,
}

/// Raw files that are TIFF files.
fn tiff_samples(jpeg: &[u8]) -> Vec<Sample> {
    let length = jpeg.len() as u32;
    let little = Writer { is_big_endian: false };
    let strip = [(0x0111, 4, 1, 3000), (0x0112, 3, 1, 6), (0x0117, 4, 1, length)];
    let interchange = little.directory(&[(0x0201, 4, 1, 3000), (0x0202, 4, 1, length)], 0);
    let big = Writer { is_big_endian: true }.directory(&[(0x0201, 4, 1, 3000), (0x0202, 4, 1, length)], 0);
    let olympus = [
        &b"OLYMPUS\0II\x03\0"[..],
        // A note counts offsets from its start, 1100; the settings are 100 bytes after it.
        &[1, 0, 0x20, 0x20, 13, 0, 1, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0],
        &[0; 70],
        &little.directory(&[(0x0101, 4, 1, 3000 - 1100), (0x0102, 4, 1, length)], 0),
    ];
    let olympus = [&little.directory(&[(0x927C, 7, 900, 1100)], 0)[..], &[0; 82], &olympus.concat()].concat();
    let arw = [(0x0112, 3, 1, 3), (0x0201, 4, 1, 3000), (0x0202, 4, 1, length)];
    // PEF: the preview is in the second directory of the chain.
    let mut pef = tiff(true, 42, &[(0x0112, 3, 1, 6)], &big, jpeg);
    pef[8 + 2 + 12..][..4].copy_from_slice(&1000_u32.to_be_bytes());
    let files = [
        ("CR2", tiff(false, 42, &strip, b"", jpeg), Some(6)),
        ("NEF", tiff(true, 42, &[(0x0112, 3, 1, 8), (0x014A, 4, 1, 1000)], &big, jpeg), Some(8)),
        ("ARW", tiff(false, 42, &arw, b"", jpeg), Some(3)),
        ("DNG", tiff(false, 42, &[(0x0112, 3, 1, 1), (0x014A, 4, 1, 1000)], &interchange, jpeg), Some(1)),
        ("RW2", tiff(false, 0x55, &[(0x002E, 7, length, 3000)], b"", jpeg), None),
        ("ORF", tiff(false, 0x4F52, &[(0x0112, 3, 1, 1), (0x8769, 4, 1, 1000)], &olympus, jpeg), Some(1)),
        ("PEF", pef, Some(6)),
    ];
    let place = 3000..3000 + u64::from(length);
    files.map(|(name, file, orientation)| Sample { name, file, place: place.clone(), orientation }).into()
}

/// Raw files that are not TIFF files.
fn other_samples(jpeg: &[u8]) -> Vec<Sample> {
    let length = jpeg.len() as u32;
    let mut raf = b"FUJIFILMCCD-RAW ".to_vec();
    raf.resize(84, 0);
    raf.extend([&148_u32.to_be_bytes()[..], &length.to_be_bytes(), &[0; 56], jpeg].concat());

    let section = [&b"SECi"[..], &[0; 24], jpeg].concat();
    let directory = 16 + section.len() as u32;
    let entry = [&16_u32.to_le_bytes()[..], &(section.len() as u32).to_le_bytes(), b"IMA2"].concat();
    let tail = [&b"SECd\0\0\x02\0\x01\0\0\0"[..], &entry, &directory.to_le_bytes()].concat();
    let x3f = [&b"FOVb"[..], &[0; 12], &section, &tail].concat();

    let entry = [&0x2007_u16.to_le_bytes()[..], &length.to_le_bytes(), &0_u32.to_le_bytes()].concat();
    let crw = [&b"II\x1A\0\0\0HEAPCCDR"[..], &[0; 12], jpeg, &[1, 0], &entry, &length.to_le_bytes()].concat();

    let boxed =
        |kind: &[u8; 4], content: &[u8]| [&(8 + content.len() as u32).to_be_bytes()[..], kind, content].concat();
    let little = Writer { is_big_endian: false };
    let structure =
        |entries: &[_], values: &[u8]| [b"II*\0\x08\0\0\0", &little.directory(entries, 0)[..], values].concat();
    let note = [
        &[7; 16][..],
        &boxed(b"CMT1", &structure(&[(0x010F, 2, 6, 38), (0x0112, 3, 1, 8)], b"Canon\0")),
        &boxed(b"CMT2", &structure(&[(0x8827, 3, 1, 400), (0x9003, 2, 20, 38)], b"2024:05:12 23:59:01\0")),
        &boxed(b"CMT4", &structure(&[(0x0001, 2, 2, u32::from(b'N')), (0x0002, 5, 3, 38)], &[1; 24])),
    ];
    let preview_box = boxed(b"PRVW", &[&[0; 12], &length.to_be_bytes()[..], jpeg].concat());
    let xmp = [&containers::XMP[..], b"<x:xmpmeta/>"].concat();
    let cr3 = [
        boxed(b"ftyp", b"crx \0\0\0\x01crx isom"),
        boxed(b"moov", &boxed(b"uuid", &note.concat())),
        boxed(b"uuid", &xmp),
        boxed(b"uuid", &[&[9; 24][..], &preview_box].concat()),
    ];
    let cr3 = cr3.concat();
    let start = cr3.len() as u64 - u64::from(length);
    let files = [("RAF", raf, 148, None), ("X3F", x3f, 44, None), ("CRW", crw, 26, None), ("CR3", cr3, start, Some(8))];
    let sample =
        |(name, file, start, orientation)| Sample { name, file, place: start..start + u64::from(length), orientation };
    files.map(sample).into()
}

/// A raw file of each kind.
pub(super) fn samples(jpeg: &[u8]) -> Vec<Sample> {
    tiff_samples(jpeg).into_iter().chain(other_samples(jpeg)).collect()
}

#[test]
fn previews_are_found_by_the_tags_of_each_maker() {
    for Sample { name, file, place, orientation } in samples(&jpeg(64, 48)) {
        assert_eq!(preview(&file), Some((place, orientation)), "{name}");
    }
}

#[test]
fn the_largest_picture_wins_and_lossless_data_of_the_sensor_is_none() {
    let (small, large) = (jpeg(16, 16), jpeg(64, 64));
    let mut sensor = jpeg(128, 128);
    let frame = sensor.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a frame header");
    sensor[frame + 1] = 0xC3;
    let offsets = [3000, 3000 + small.len() as u32, 3000 + (small.len() + large.len()) as u32];
    let little = Writer { is_big_endian: false };
    let sub = little.directory(&[(0x0111, 4, 1, offsets[2]), (0x0117, 4, 1, sensor.len() as u32)], 0);
    let entries = [
        (0x0111, 4, 1, offsets[0]),
        (0x0117, 4, 1, small.len() as u32),
        (0x014A, 4, 1, 1000),
        (0x0201, 4, 1, offsets[1]),
        (0x0202, 4, 1, large.len() as u32),
    ];
    let file = tiff(false, 42, &entries, &sub, &[&small[..], &large, &sensor].concat());
    assert_eq!(preview(&file), Some((offsets[1].into()..offsets[2].into(), None)));
    let picture = Preview::open(&file, u32::MAX).expect("a preview").decode(false).expect("a picture");
    assert_eq!(picture.pixels.dimensions(), (64, 64));
}

#[test]
fn the_orientation_is_that_of_the_raw_file() {
    let jpeg = jpeg(64, 48);
    let strip = [(0x0111, 4, 1, 3000), (0x0112, 3, 1, 6), (0x0117, 4, 1, jpeg.len() as u32)];
    let file = tiff(false, 42, &strip, b"", &jpeg);
    let picture = Preview::open(&file, u32::MAX).expect("a preview").decode(false).expect("a picture");
    assert_eq!(picture.upright_size(), (48, 64));
}

/// A file that counts the bytes that are read from it.
struct Counted<'a>(&'a [u8], Cell<usize>);

impl ReadAt for Counted<'_> {
    fn fill(&self, offset: u64, buffer: &mut [u8]) -> Option<()> {
        self.1.set(self.1.get() + buffer.len());
        self.0.fill(offset, buffer)
    }

    fn length(&self) -> u64 {
        self.0.length()
    }
}

#[test]
fn only_tags_are_read_to_find_the_preview_in_a_large_file() {
    let jpeg = jpeg(64, 48);
    let strip = [(0x0111, 4, 1, 3000), (0x0117, 4, 1, jpeg.len() as u32)];
    let mut file = tiff(false, 42, &strip, b"", &jpeg);
    file.resize(20 << 20, 0);
    let counted = Counted(&file, Cell::new(0));
    find(&counted).expect("a preview");
    assert!(counted.1.get() < 2000, "{} bytes", counted.1.get());
}

#[test]
fn damaged_files_have_a_reason_and_directories_in_a_circle_end() {
    let jpeg = jpeg(16, 16);
    let circle = tiff(false, 42, &[(0x014A, 4, 1, 8), (0x8769, 4, 1, 8)], b"", b"");
    assert_eq!(preview(&circle), None);
    let huge = tiff(false, 42, &[(0x0201, 4, 1, u32::MAX), (0x0202, 4, 1, u32::MAX)], b"", &jpeg);
    assert_eq!(preview(&huge), None);
    let strip = [(0x0111, 4, 1, 3000), (0x0117, 4, 1, jpeg.len() as u32)];
    let whole = tiff(false, 42, &strip, b"", &jpeg);
    for length in 0..whole.len() {
        assert_eq!(preview(&whole[..length]), None, "{length}");
    }
    for start in [&b"FUJIFILMCCD-RAW "[..], b"FOVb", b"\0\0\0\x10ftypcrx ", b"II\x1A\0\0\0HEAPCCDR"] {
        let file = [start, &[0xFF; 200]].concat();
        assert_eq!(preview(&file), None, "{start:?}");
    }
}
