//! Files of arrays, mapped into memory, no byte of which is used before it was checked.
//!
//! A file is written front to back: magic, sections of numbers, each at a multiple of 64 bytes, then a header (JSON)
//! that tells the sections and what the file is about, a CRC-32 of each 64 KiB chunk of all before the header, and a
//! footer with the seal: the BLAKE3 of header and checksums. So the seal stands for the whole file, and opening one
//! reads only its end. A chunk is checked when it is first looked at, while it is still in the processor's cache, and
//! only once.
//!
//! Numbers are in the byte order of the machine; the files are derived and are not carried to another.

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

/// At both ends of the file; as a number, so that it reads as another one where the byte order is another.
const MAGIC: u64 = u64::from_le_bytes(*b"imgxann3");
const ALIGNMENT: usize = 64;
const CHUNK: usize = 64 << 10;
/// Length of the header, number of chunks, seal, magic.
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

/// An open file.
#[derive(Debug)]
pub(super) struct SealedFile {
    map: Mapping,
    sections: Vec<SectionEntry>,
    checksums: Range<usize>,
    /// The end of what the checksums cover.
    end: usize,
    seal: blake3::Hash,
    checked: Box<[AtomicBool]>,
    all_checked: AtomicBool,
}

/// An array in a file.
#[derive(Debug, Clone)]
pub(super) struct Section(Range<usize>);

impl SealedFile {
    /// Opens a file and reads what it is about; `None` if there is none, or none whose end is as it was written.
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

    /// Whether something that was read of it was not there: what became of it may not be used.
    pub(crate) fn is_broken(&self) -> bool {
        self.map.is_broken()
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.map.len() as u64
    }

    /// The section of a name, if it has as many bytes as expected.
    pub(crate) fn section(&self, name: &str, bytes: usize) -> Option<Section> {
        let found = self.sections.iter().find(|section| section.name == name && section.bytes == bytes)?;
        Some(Section(found.start..found.start + found.bytes))
    }

    /// Part of a section, in elements, checked.
    pub(crate) fn get<T: AnyBitPattern>(&self, section: &Section, range: Range<usize>) -> Result<&[T], Damaged> {
        let size = size_of::<T>();
        let bytes = section.0.start + range.start * size..section.0.start + range.end * size;
        assert!(bytes.end <= section.0.end, "only what is in a section is asked for");
        if !bytes.is_empty() && !self.all_checked.load(Ordering::Relaxed) {
            (bytes.start / CHUNK..=(bytes.end - 1) / CHUNK).try_for_each(|chunk| self.check(chunk))?;
        }
        Ok(bytemuck::cast_slice(&self.map[bytes]))
    }

    /// Checks everything that has not been checked yet, on all cores.
    pub(crate) fn check_all(&self) -> Result<(), Damaged> {
        if !self.all_checked.load(Ordering::Relaxed) {
            (0..self.checked.len()).into_par_iter().try_for_each(|chunk| self.check(chunk))?;
            self.all_checked.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether the file is as it was written, looking at all of it again.
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

/// A file that is being written, under another name until it is complete.
#[derive(Debug)]
pub(super) struct SealedWriter {
    file: BufWriter<NamedTempFile>,
    sections: Vec<SectionEntry>,
    position: usize,
    chunk: crc32fast::Hasher,
    checksums: Vec<u8>,
}

/// A complete file that has not got its name yet.
#[derive(Debug)]
pub(super) struct Unpublished {
    file: NamedTempFile,
    pub seal: blake3::Hash,
}

impl SealedWriter {
    /// Starts a file in a folder; `prefix` begins its name while it is not complete.
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

    /// Goes on with the section.
    pub(crate) fn write<T: bytemuck::NoUninit>(&mut self, elements: &[T]) -> io::Result<()> {
        let bytes = bytemuck::cast_slice(elements);
        self.sections.last_mut().expect("a section was started").bytes += bytes.len();
        self.put(bytes)
    }

    /// Writes a whole section.
    pub(crate) fn whole<T: bytemuck::NoUninit>(&mut self, name: &str, elements: &[T]) -> io::Result<()> {
        self.section(name)?;
        self.write(elements)
    }

    /// The section that was written last, to be read.
    pub(crate) fn reread(&mut self) -> io::Result<(Mmap, Range<usize>)> {
        self.file.flush()?;
        // SAFETY: this writer alone knows the file, and what it writes comes behind what is read here.
        let map = unsafe { Mmap::map(self.file.get_ref().as_file()) }?;
        let section = self.sections.last().expect("a section was written");
        Ok((map, section.start..section.start + section.bytes))
    }

    /// Writes the end of the file and brings all of it to the disk.
    pub(crate) fn finish<M: Serialize>(mut self, about: &M) -> io::Result<Unpublished> {
        if !self.position.is_multiple_of(CHUNK) {
            self.end_chunk();
        }
        let header = serde_json::to_vec(&Header { sections: std::mem::take(&mut self.sections), about })?;
        let mut end = header.clone();
        end.extend(&self.checksums);
        end.extend((header.len() as u64).to_ne_bytes());
        end.extend((self.checksums.len() as u64 / 4).to_ne_bytes());
        let seal = blake3::hash(&end);
        end.extend(seal.as_bytes());
        end.extend(MAGIC.to_ne_bytes());
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

impl Unpublished {
    /// Where it is while it has no name.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Gives the file its name; whoever opens that sees the old file, none, or the whole new one.
    pub(crate) fn publish(self, path: &Path) -> io::Result<()> {
        self.file.persist(path).map_err(|error| error.error)?;
        // The rename itself: without this it may be lost in a power cut, which costs only this file.
        if let Some(folder) = path.parent() {
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }
}

/// A file with the right seal, whose content and header are the given bytes: its first 4 tell how long the header is.
pub(super) fn seal_anything(data: &[u8]) -> (Vec<u8>, String) {
    let (length, rest) = data.split_at_checked(4).unwrap_or((&[0; 4], &[]));
    let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize % (rest.len() + 1);
    let (header, content) = rest.split_at(length);
    let mut file = MAGIC.to_ne_bytes().to_vec();
    file.extend(content);
    let checksums: Vec<u8> = file.chunks(CHUNK).flat_map(|chunk| crc32fast::hash(chunk).to_ne_bytes()).collect();
    let start = file.len();
    file.extend(header);
    file.extend(&checksums);
    file.extend((header.len() as u64).to_ne_bytes());
    file.extend((checksums.len() as u64 / 4).to_ne_bytes());
    let seal = blake3::hash(&file[start..]);
    file.extend(seal.as_bytes());
    file.extend(MAGIC.to_ne_bytes());
    (file, seal.to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path) -> blake3::Hash {
        let mut writer = SealedWriter::create(path.parent().expect("a folder"), ".unfinished-").expect("a file");
        writer.section("numbers").expect("it can be written");
        (0..50_000_u32).for_each(|i| writer.write(&[i, i * 2]).expect("it can be written"));
        writer.whole("bytes", b"some").expect("it can be written");
        let unpublished = writer.finish(&"a test").expect("it can be written");
        let seal = unpublished.seal;
        unpublished.publish(path).expect("it can be renamed");
        seal
    }

    #[test]
    fn what_was_written_is_read_back() {
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
    fn no_cut_file_opens_and_no_flipped_bit_is_used() {
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
