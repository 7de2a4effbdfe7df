//! An excerpt stands for the raw file that it was made from.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use exif::{Exif, In, Reader, Tag};
use proptest::prelude::*;

use super::super::drawn_photograph;
use super::tests::{Sample, Writer, jpeg, samples};
use super::*;
use crate::{Format, Packets, read_named_picture};

/// A file that must not be read beyond its end.
struct Bounded<'a>(&'a [u8]);

impl ReadAt for Bounded<'_> {
    fn fill(&self, offset: u64, buffer: &mut [u8]) -> Option<()> {
        assert!(offset + buffer.len() as u64 <= self.length(), "{offset} + {}", buffer.len());
        self.0.fill(offset, buffer)
    }

    fn length(&self) -> u64 {
        self.0.length()
    }
}

fn excerpt(file: &[u8]) -> Option<Vec<u8>> {
    let found = Excerpt::find(&Bounded(file))?;
    let length = found.length();
    let bytes = found.read(&Bounded(file))?;
    assert_eq!(bytes.len() as u64, length);
    Some(bytes)
}

/// What is found in a file.
#[derive(Debug, PartialEq)]
struct Facts<'a> {
    jpeg: &'a [u8],
    orientation: Option<u8>,
}

fn facts(file: &[u8]) -> Option<Facts<'_>> {
    let (place, Found { orientation, .. }) = find(&file).ok()?;
    Some(Facts { jpeg: &file[place.start as usize..place.end as usize], orientation })
}

/// Values of all lengths in a TIFF file: entries are collected, and values are put at its end.
struct Rich {
    writer: Writer,
    file: Vec<u8>,
}

impl Rich {
    fn new(is_big_endian: bool) -> Self {
        let writer = Writer { is_big_endian };
        let head = if is_big_endian { b"MM" } else { b"II" };
        let mut file = [&head[..], &writer.u16(42), &writer.u32(0)].concat();
        file.resize(1000, 0);
        Self { writer, file }
    }

    fn put(&mut self, values: &[u8]) -> u32 {
        self.file.extend(values);
        self.file.len() as u32 - values.len() as u32
    }

    fn text(&mut self, tag: u16, text: &str) -> (u16, u16, u32, u32) {
        (tag, 2, text.len() as u32 + 1, self.put(&[text.as_bytes(), b"\0"].concat()))
    }

    fn numbers(&mut self, tag: u16, kind: u16, count: u32, numbers: &[u32]) -> (u16, u16, u32, u32) {
        let writer = self.writer;
        let bytes = numbers.iter().flat_map(|number| match kind {
            3 => writer.u16(*number as u16).to_vec(),
            _ => writer.u32(*number).to_vec(),
        });
        let bytes: Vec<u8> = bytes.collect();
        (tag, kind, count, self.put(&bytes))
    }

    fn directory(&mut self, entries: &[(u16, u16, u32, u32)]) -> u32 {
        self.put(&self.writer.directory(entries, 0))
    }
}

const XMP: &str = "<x:xmpmeta xmlns:x='adobe:ns:meta/'>";
const IPTC: &[u8] = b"\x1C\x02\x19\0\x05apple\0\0";

/// A raw file with all that a camera and programs may write into it.
fn rich(is_big_endian: bool) -> Vec<u8> {
    let mut rich = Rich::new(is_big_endian);
    let jpeg = jpeg(64, 48);
    let preview = [(0x0201, 4, 1, rich.put(&jpeg)), (0x0202, 4, 1, jpeg.len() as u32)];
    let preview = rich.directory(&preview);
    let large = rich.put(&[5; 70_000]);
    let exif = [
        rich.numbers(0x829A, 5, 1, &[1, 250]),
        (0x8827, 3, 1, 400),
        rich.text(0x9003, "2024:05:12 23:59:01"),
        (0x9101, 7, 4, u32::from_ne_bytes(if is_big_endian { [0, 3, 2, 1] } else { [1, 2, 3, 0] })),
        rich.numbers(0x9214, 3, 4, &[1000, 2000, 300, 400]),
        (0x927C, 7, 70_000, large),
        (0x9286, 7, 70_000, large),
        rich.text(0xA434, "EF50mm f/1.8 STM"),
    ];
    let exif = rich.directory(&exif);
    let gps = [(0x0001, 2, 2, 0), rich.numbers(0x0002, 5, 3, &[52, 1, 31, 1, 123, 10]), (0x0005, 1, 1, 0)];
    let gps = rich.directory(&gps);
    let main = [
        rich.text(0x010F, "Canon"),
        rich.text(0x0110, "Canon EOS 6D"),
        (0x0112, 3, 1, 6),
        rich.text(0x0131, "a program"),
        rich.text(0x013B, "A. Painter"),
        (0x014A, 4, 1, preview),
        (700, 1, XMP.len() as u32, rich.put(XMP.as_bytes())),
        (0x4746, 3, 1, 4),
        (0x83BB, 4, IPTC.len() as u32 / 4, rich.put(IPTC)),
        (0x8769, 4, 1, exif),
        (0x8825, 4, 1, gps),
    ];
    let first = rich.directory(&main);
    rich.file[4..8].copy_from_slice(&rich.writer.u32(first));
    rich.file
}

/// All fields of a file as text, without the places of their values.
fn fields(exif: &Exif) -> Vec<(Tag, String)> {
    let text = |value| format!("{value:?}").split(", ofs=").next().unwrap_or_default().to_owned();
    exif.fields().map(|field| (field.tag, text(&field.value))).collect()
}

#[test]
fn the_excerpt_of_a_file_of_each_kind_has_the_same_picture() {
    let jpeg = drawn_photograph(3).bytes;
    for Sample { name, file, orientation, .. } in samples(&jpeg) {
        let excerpt = excerpt(&file).unwrap_or_else(|| panic!("{name} has an excerpt"));
        assert_eq!(facts(&excerpt), facts(&file), "{name}");
        assert!(facts(&excerpt).is_some_and(|it| it.jpeg == jpeg && it.orientation == orientation), "{name}");
        let [whole, part] = [&file, &excerpt].map(|file| Preview::open(file, 100).and_then(|it| it.decode(false)));
        let (whole, part) = (whole.expect("a picture"), part.expect("a picture"));
        assert!(whole.pixels == part.pixels, "{name}");
        assert_eq!(
            (part.upright_size(), part.info(crate::Format::Raw)),
            (whole.upright_size(), whole.info(crate::Format::Raw))
        );
    }
}

#[test]
fn the_metadata_is_copied_in_one_byte_order() {
    for is_big_endian in [false, true] {
        let file = rich(is_big_endian);
        let excerpt = excerpt(&file).expect("an excerpt");
        assert!(excerpt.starts_with(b"II*\0"));
        let read = |file: &[u8]| Reader::new().read_raw(file.to_vec()).expect("it can be parsed");
        let (whole, part) = (read(&file), read(&excerpt));
        let left_out = |tag: &Tag| {
            matches!(tag.number(), 0x0131 | 0x014A | 0x0201 | 0x0202 | 0x83BB | 0x8769 | 0x8825 | 0x927C | 0x9286)
        };
        let kept = |exif| fields(exif).into_iter().filter(|(tag, _)| !left_out(tag)).collect::<Vec<_>>();
        assert_eq!(kept(&part), kept(&whole), "{is_big_endian}");
        assert_eq!(kept(&part).len(), 15);
        let has = |tag: u16| part.fields().any(|field| field.tag.number() == tag);
        assert_eq!([0x0131, 0x014A, 0x927C, 0x9286].map(has), [false; 4]);
        let text = |tag| part.get_field(tag, In::PRIMARY).map(|field| field.display_value().to_string());
        assert_eq!(text(Tag::ExposureTime).as_deref(), Some("1/250"));
        assert_eq!(text(Tag::Orientation).as_deref(), Some("row 0 at right and column 0 at top"));
        // The bytes of packets are the same in any byte order.
        for packet in [XMP.as_bytes(), IPTC] {
            assert!(excerpt.windows(packet.len()).any(|part| part == packet), "{is_big_endian}");
        }
        let [whole, part] = [&file, &excerpt].map(|file| Packets::find(file, Format::Raw).metadata());
        assert_eq!((whole.taken.as_deref(), part), (Some("2024-05-12 23:59:01"), whole.clone()));
    }
}

#[test]
fn metadata_in_the_boxes_of_canon_is_copied() {
    let samples = samples(&jpeg(64, 48));
    let cr3 = samples.iter().find(|sample| sample.name == "CR3").expect("there is one");
    let excerpt = excerpt(&cr3.file).expect("an excerpt");
    let exif = Reader::new().read_raw(excerpt).expect("it can be parsed");
    let numbers: Vec<u16> =
        exif.fields().map(|field| field.tag.number()).filter(|tag| *tag > 0x0202 || *tag < 3).collect();
    assert_eq!(numbers, [700, 0x8827, 0x9003, 1, 2]);
    for file in [&cr3.file[..], exif.buf()] {
        let metadata = Packets::find(file, Format::Raw).metadata();
        assert_eq!(metadata.taken.as_deref(), Some("2024-05-12 23:59:01"));
    }
}

#[test]
fn a_capture_time_outside_of_the_exif_directory_is_kept() {
    let mut rich = Rich::new(true);
    let jpeg = jpeg(64, 48);
    let main =
        [(0x0201, 4, 1, rich.put(&jpeg)), (0x0202, 4, 1, jpeg.len() as u32), rich.text(0x9003, "2024:05:12 23:59:01")];
    let first = rich.directory(&main);
    rich.file[4..8].copy_from_slice(&rich.writer.u32(first));
    let excerpt = excerpt(&rich.file).expect("an excerpt");
    assert_eq!(facts(&excerpt), facts(&rich.file));
    for file in [&rich.file, &excerpt] {
        let metadata = Packets::find(file, Format::Raw).metadata();
        assert_eq!(metadata.taken.as_deref(), Some("2024-05-12 23:59:01"));
    }
}

#[test]
fn little_of_a_large_file_is_read() {
    let (small, large) = (jpeg(64, 48), drawn_photograph(5).bytes);
    let folder = tempfile::tempdir().expect("a folder");
    for Sample { name, mut file, place, .. } in samples(&small) {
        if !matches!(name, "CR2" | "NEF" | "ARW" | "DNG") {
            continue;
        }
        // The places in the tags are changed to 50 MB, and the length to that of the large picture.
        let is_big_endian = file[0] == b'M';
        let writer = Writer { is_big_endian };
        file.truncate(place.start as usize);
        for (from, to) in [(3000, 50 << 20), (small.len() as u32, large.len() as u32)] {
            let at = file.windows(4).position(|four| four == writer.u32(from)).expect("it is in the tags");
            file[at..at + 4].copy_from_slice(&writer.u32(to));
        }
        let path = folder.path().join(name).with_extension(name);
        let mut sparse = File::create(&path).expect("a file");
        sparse.write_all(&file).expect("it is written");
        sparse.seek(SeekFrom::Start(50 << 20)).expect("it can be longer");
        sparse.write_all(&large).expect("it is written");
        sparse.set_len(60 << 20).expect("it can be longer");
        let opened = File::open(&path).expect("it opens");
        let blocks = Blocks::new(&opened, 60 << 20);
        let excerpt = Excerpt::find(&blocks).and_then(|found| found.read(&blocks)).expect("an excerpt");
        let read = blocks.bytes_read();
        assert!(read < large.len() as u64 + (100 << 10), "{name}: {read} bytes");
        assert!(facts(&excerpt).is_some_and(|it| it.jpeg == large), "{name}");
        let content = read_named_picture(&path).expect("a picture");
        assert!(content.bytes == excerpt, "{name}");
        let whole = imgidx_types::ContentHash::of(&std::fs::read(&path).expect("it can be read"));
        assert_eq!((content.hash, content.size), (whole, 60 << 20), "{name}");
    }
}

#[test]
fn real_raw_files_have_excerpts_with_the_same_picture() {
    let Some(corpus) = std::env::var_os("IMGIDX_CORPUS") else {
        eprintln!("skipped: IMGIDX_CORPUS names no folder of pictures");
        return;
    };
    let mut with_excerpt = 0;
    let mut folders = vec![Path::new(&corpus).join("formats/raw"), Path::new(&corpus).join("formats/exiftool")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let file = std::fs::read(&path).expect("it can be read");
            let part = excerpt(&file);
            assert_eq!(part.as_deref().and_then(facts), facts(&file), "{}", path.display());
            if let Some(part) = part {
                assert!(excerpt(&part).as_ref() == Some(&part), "{}", path.display());
                Reader::new().read_raw(part).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                with_excerpt += 1;
            }
        }
    }
    assert!(with_excerpt >= 5, "{with_excerpt}");
}

#[test]
fn chains_of_notes_and_heaps_in_heaps_end() {
    // Each heap lists itself as its part, many times.
    let entry = [&0x2807_u16.to_le_bytes()[..], &2566_u32.to_le_bytes(), &0_u32.to_le_bytes()].concat();
    let heap = [&[0, 1][..], &entry.repeat(256), &0_u32.to_le_bytes()].concat();
    let file = [&b"II\x1A\0\0\0HEAPCCDR"[..], &[0; 12], &heap].concat();
    assert_eq!(facts(&file), None);
    // Boxes of Canon, one in the other.
    let mut nested = Vec::new();
    for _ in 0..20_000 {
        let length = (8 + 16 + nested.len() as u32).to_be_bytes();
        nested = [&length[..], b"uuid", &[7; 16], &nested].concat();
        if nested.len() > 400_000 {
            break;
        }
    }
    let movie = [&(8 + nested.len() as u32).to_be_bytes()[..], b"moov", &nested].concat();
    assert_eq!(facts(&[b"\0\0\0\x10ftypcrx \0\0\0\0", &movie[..]].concat()), None);
}

proptest! {
    #[test]
    fn a_damaged_file_and_its_excerpt_have_the_same_picture(
        kind in 0_usize..14,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..12),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut file = match kind {
            0..3 => rich(kind > 0),
            _ => samples(&jpeg(64, 48)).swap_remove(kind - 3).file,
        };
        for (index, byte, is_early) in changes {
            let length = if is_early { file.len().min(400) } else { file.len() };
            file[index.index(length)] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        let Some(part) = excerpt(&file) else {
            prop_assert!(facts(&file).is_none());
            return Ok(());
        };
        prop_assert_eq!(facts(&part), facts(&file));
        let again = excerpt(&part);
        prop_assert!(again.as_ref() == Some(&part));
    }
}
