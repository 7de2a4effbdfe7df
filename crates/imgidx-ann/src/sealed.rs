//! Memory-mapped files of arrays. Every byte is verified before it is used.
//!
//! A file is written front to back: magic number, sections of numbers, each aligned to 64 bytes, a JSON header that
//! lists the sections and holds metadata, a CRC-32 of each 64 KiB chunk of everything before the header, and a footer
//! with the seal. The seal is the BLAKE3 digest of header and checksums, so it identifies the content of the whole
//! file, and opening a file reads only its end. A chunk is verified when it is first read, while it is in the
//! processor's cache, and only once.
//!
//! Numbers are in native byte order: the files are derived, and are not meant to be moved to another machine.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bytemuck::AnyBitPattern;
use memmap2::Mmap;
use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::mapping::Mapping;
use imgidx_types::open_regular;

/// The magic number at both ends of the file. It is stored in native byte order, so it also detects a file of a machine
/// with the other byte order.
const MAGIC: u64 = u64::from_le_bytes(*b"imgxann3");
const ALIGNMENT: usize = 64;
const CHUNK: usize = 64 << 10;
/// Length of the footer: header length, number of chunks, seal, magic number.
const FOOTER: usize = 8 + 8 + 32 + 8;

/// The content is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged;

#[derive(Debug, Serialize, Deserialize)]
struct Header<M> {
    sections: Vec<SectionEntry>,
    about: M,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SectionEntry {
    name: String,
    start: usize,
    bytes: usize,
}

/// An open sealed file.
#[derive(Debug)]
pub(super) struct SealedFile {
    map: Mapping,
    sections: Vec<SectionEntry>,
    checksums: Range<usize>,
    /// The end of the part that the checksums cover.
    end: usize,
    seal: blake3::Hash,
    checked: Box<[AtomicBool]>,
    all_checked: AtomicBool,
}

/// The byte range of an array in a file.
#[derive(Debug, Clone)]
pub(super) struct Section(Range<usize>);

impl SealedFile {
    /// Opens a file and reads its metadata. `None` if there is no file, or its header, checksums or footer are damaged.
    pub(crate) fn open<M: DeserializeOwned>(path: &Path) -> Option<(Self, M)> {
        let file = open_regular(path).ok()?;
        let map = Mapping::new(&file).ok()?;
        let footer = map.len().checked_sub(FOOTER)?;
        let number = |at: usize| u64::from_ne_bytes(map[at..at + 8].try_into().expect("eight bytes"));
        if number(footer + 48) != MAGIC || number(0) != MAGIC {
            return None;
        }
        let seal = blake3::Hash::from_bytes(map[footer + 16..footer + 48].try_into().expect("32 bytes"));
        let (header_length, chunks) =
            (usize::try_from(number(footer)).ok()?, usize::try_from(number(footer + 8)).ok()?);
        let table = footer.checked_sub(chunks.checked_mul(4)?)?;
        let end = table.checked_sub(header_length)?;
        let fits = end.div_ceil(CHUNK) == chunks && blake3::hash(&map[end..footer + 16]) == seal;
        let Header { sections, about } = fits.then(|| serde_json::from_slice::<Header<M>>(&map[end..table]).ok())??;
        let is_sound = |s: &SectionEntry| {
            s.start.is_multiple_of(ALIGNMENT) && s.start.checked_add(s.bytes).is_some_and(|to| to <= end)
        };
        sections.iter().all(is_sound).then_some(())?;
        let checked = (0..chunks).map(|_| AtomicBool::new(false)).collect();
        let file = Self { map, sections, checksums: table..footer, end, seal, checked, all_checked: false.into() };
        Some((file, about))
    }

    pub(crate) fn seal(&self) -> blake3::Hash {
        self.seal
    }

    /// Whether a part of the file was missing when it was read. If so, nothing computed from it may be used.
    pub(crate) fn is_broken(&self) -> bool {
        self.map.is_broken()
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.map.len() as u64
    }

    /// The section with a name, if it exists and has exactly `bytes` bytes.
    pub(crate) fn section(&self, name: &str, bytes: usize) -> Option<Section> {
        let found = self.sections.iter().find(|section| section.name == name && section.bytes == bytes)?;
        Some(Section(found.start..found.start + found.bytes))
    }

    /// A verified part of a section. `range` is in elements.
    pub(crate) fn get<T: AnyBitPattern>(&self, section: &Section, range: Range<usize>) -> Result<&[T], Damaged> {
        let size = size_of::<T>();
        let bytes = section.0.start + range.start * size..section.0.start + range.end * size;
        assert!(bytes.end <= section.0.end, "the range lies within the section");
        if !bytes.is_empty() && !self.all_checked.load(Ordering::Relaxed) {
            (bytes.start / CHUNK..=(bytes.end - 1) / CHUNK).try_for_each(|chunk| self.check(chunk))?;
        }
        Ok(bytemuck::cast_slice(&self.map[bytes]))
    }

    /// A whole section, verified.
    pub(crate) fn whole<T: AnyBitPattern>(&self, section: &Section) -> Result<&[T], Damaged> {
        self.get(section, 0..section.0.len() / size_of::<T>())
    }

    /// Verifies everything that has not been verified yet, on all cores.
    pub(crate) fn check_all(&self) -> Result<(), Damaged> {
        if !self.all_checked.load(Ordering::Relaxed) {
            (0..self.checked.len()).into_par_iter().try_for_each(|chunk| self.check(chunk))?;
            self.all_checked.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Verifies the whole file again, and returns whether it is as it was written.
    pub(crate) fn verify(&self) -> bool {
        self.checked.iter().for_each(|checked| checked.store(false, Ordering::Relaxed));
        self.all_checked.store(false, Ordering::Relaxed);
        self.check_all().is_ok()
    }

    fn check(&self, chunk: usize) -> Result<(), Damaged> {
        if self.checked[chunk].load(Ordering::Relaxed) {
            return Ok(());
        }
        let bytes = &self.map[chunk * CHUNK..((chunk + 1) * CHUNK).min(self.end)];
        let at = self.checksums.start + 4 * chunk;
        if crc32fast::hash(bytes).to_ne_bytes() != self.map[at..at + 4] {
            return Err(Damaged);
        }
        self.checked[chunk].store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// A file that is being written, under a temporary name until it is complete.
#[derive(Debug)]
pub(super) struct SealedWriter {
    file: BufWriter<NamedTempFile>,
    sections: Vec<SectionEntry>,
    position: usize,
    chunk: crc32fast::Hasher,
    checksums: Vec<u8>,
}

/// A complete file that still has its temporary name.
#[derive(Debug)]
pub(super) struct Unpublished {
    file: NamedTempFile,
    pub seal: blake3::Hash,
}

impl SealedWriter {
    /// Creates a file in a folder. Its temporary name starts with `prefix`.
    pub(crate) fn create(folder: &Path, prefix: &str) -> io::Result<Self> {
        let file = tempfile::Builder::new().prefix(prefix).tempfile_in(folder)?;
        let mut writer = Self {
            file: BufWriter::with_capacity(1 << 20, file),
            sections: Vec::new(),
            position: 0,
            chunk: crc32fast::Hasher::new(),
            checksums: Vec::new(),
        };
        writer.put(&MAGIC.to_ne_bytes())?;
        Ok(writer)
    }

    /// Starts the next section.
    pub(crate) fn section(&mut self, name: &str) -> io::Result<()> {
        self.put(&[0; ALIGNMENT][..self.position.next_multiple_of(ALIGNMENT) - self.position])?;
        self.sections.push(SectionEntry { name: name.to_owned(), start: self.position, bytes: 0 });
        Ok(())
    }

    /// Appends elements to the current section.
    pub(crate) fn write<T: bytemuck::NoUninit>(&mut self, elements: &[T]) -> io::Result<()> {
        let bytes = bytemuck::cast_slice(elements);
        self.sections.last_mut().expect("a section was started").bytes += bytes.len();
        self.put(bytes)
    }

    /// Writes a whole section.
    pub(crate) fn write_section<T: bytemuck::NoUninit>(&mut self, name: &str, elements: &[T]) -> io::Result<()> {
        self.section(name)?;
        self.write(elements)
    }

    /// Maps the current section, as far as it has been written, for reading.
    pub(crate) fn reread(&mut self) -> io::Result<(Mmap, Range<usize>)> {
        self.file.flush()?;
        // SAFETY: only this writer knows the file, and it writes only behind the part that is read here.
        let map = unsafe { Mmap::map(self.file.get_ref().as_file()) }?;
        let section = self.sections.last().expect("a section was written");
        Ok((map, section.start..section.start + section.bytes))
    }

    /// Writes the end of the file and syncs the file to disk.
    pub(crate) fn finish<M: Serialize>(mut self, about: &M) -> io::Result<Unpublished> {
        if !self.position.is_multiple_of(CHUNK) {
            self.end_chunk();
        }
        let header = serde_json::to_vec(&Header { sections: std::mem::take(&mut self.sections), about })?;
        let (end, seal) = ending(&header, &self.checksums);
        self.file.write_all(&end)?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        Ok(Unpublished { file, seal })
    }

    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        while !bytes.is_empty() {
            let room = CHUNK - self.position % CHUNK;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.chunk.update(now);
            self.position += now.len();
            if now.len() == room {
                self.end_chunk();
            }
            bytes = later;
        }
        Ok(())
    }

    fn end_chunk(&mut self) {
        let chunk = std::mem::take(&mut self.chunk);
        self.checksums.extend(chunk.finalize().to_ne_bytes());
    }
}

/// The end of a file, which is the header, the checksums and the footer, and the seal.
fn ending(header: &[u8], checksums: &[u8]) -> (Vec<u8>, blake3::Hash) {
    let mut end = [header, checksums].concat();
    end.extend((header.len() as u64).to_ne_bytes());
    end.extend((checksums.len() as u64 / 4).to_ne_bytes());
    let seal = blake3::hash(&end);
    end.extend(seal.as_bytes());
    end.extend(MAGIC.to_ne_bytes());
    (end, seal)
}

impl Unpublished {
    /// The temporary path.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Renames the file to its final path atomically: a reader sees the old file, no file, or the complete new one.
    pub(crate) fn publish(self, path: &Path) -> io::Result<()> {
        self.file.persist(path).map_err(|error| error.error)?;
        // Without this sync a power cut may lose the rename. Errors are ignored: only this derived file would be lost.
        if let Some(folder) = path.parent() {
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }
}

/// For fuzzing: the bytes of a file with a valid seal around arbitrary header and content, and the seal. The first 4
/// bytes of `data` give the length of the header, which comes next; the rest is the content.
pub(super) fn seal_anything(data: &[u8]) -> (Vec<u8>, String) {
    let (length, rest) = data.split_at_checked(4).unwrap_or((&[0; 4], &[]));
    let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize % (rest.len() + 1);
    let (header, content) = rest.split_at(length);
    let mut file = MAGIC.to_ne_bytes().to_vec();
    file.extend(content);
    let checksums: Vec<u8> = file.chunks(CHUNK).flat_map(|chunk| crc32fast::hash(chunk).to_ne_bytes()).collect();
    let (end, seal) = ending(header, &checksums);
    file.extend(end);
    (file, seal.to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path) -> blake3::Hash {
        let mut writer = SealedWriter::create(path.parent().expect("a folder"), ".unfinished-").expect("a file");
        writer.section("numbers").expect("it can be written");
        (0..50_000_u32).for_each(|i| writer.write(&[i, i * 2]).expect("it can be written"));
        writer.write_section("bytes", b"some").expect("it can be written");
        let unpublished = writer.finish(&"a test").expect("it can be written");
        let seal = unpublished.seal;
        unpublished.publish(path).expect("it can be renamed");
        seal
    }

    #[test]
    fn a_file_reads_back_what_was_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        let seal = write(&path);
        let (file, about) = SealedFile::open::<String>(&path).expect("it is whole");
        assert_eq!((about.as_str(), file.seal()), ("a test", seal));
        let numbers = file.section("numbers", 400_000).expect("it is there");
        assert_eq!(file.get::<u32>(&numbers, 99_998..100_000), Ok([49_999, 99_998].as_slice()));
        assert_eq!(file.get::<u32>(&numbers, 7..7), Ok([].as_slice()));
        let bytes = file.section("bytes", 4).expect("it is there");
        assert_eq!(file.get::<u8>(&bytes, 0..4), Ok(b"some".as_slice()));
        assert!(file.section("bytes", 5).is_none() && file.section("others", 4).is_none());
        assert!(file.verify());
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn no_truncated_file_opens_and_no_flipped_bit_is_used() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        write(&path);
        let bytes = std::fs::read(&path).expect("the file");
        let mut random = 1_u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % below
        };
        for _ in 0..200 {
            let length = next(bytes.len());
            std::fs::write(&path, &bytes[..length]).expect("the file");
            assert!(SealedFile::open::<String>(&path).is_none(), "{length} bytes of {}", bytes.len());
            let (at, bit) = (next(bytes.len()), next(8));
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            std::fs::write(&path, flipped).expect("the file");
            let Some((file, _)) = SealedFile::open::<String>(&path) else { continue };
            assert!(!file.verify(), "bit {bit} of byte {at}");
            let numbers = file.section("numbers", 400_000).expect("it is there");
            if let Ok(numbers) = file.get::<u32>(&numbers, 0..100_000) {
                assert!(numbers.chunks(2).enumerate().all(|(i, pair)| *pair == [i as u32, 2 * i as u32]));
            }
        }
    }
}
