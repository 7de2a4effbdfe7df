//! The file of codes: a header, then ids, factors and codes, each kind contiguous.
//!
//! Little-endian throughout: magic (8 bytes), model id (32), dimension (u64), count (u64), last id (i64), BLAKE3 of
//! all that follows the header (32); then `count` ids (i64), `count` factors (f32) and `count × dimension` codes (i8).
//! A file is written under another name and renamed when it is complete, so that a reader sees a whole one or none.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::quantize;
use crate::error::{Error, Result};
use crate::types::{ModelId, VectorId};

const MAGIC: &[u8; 8] = b"imgxcod1";
/// How the names of unfinished files begin.
const TEMPORARY: &str = ".codes-";

const HEADER: usize = 8 + 32 + 8 + 8 + 8 + 32;

/// The codes of a model's vectors up to a certain id.
#[derive(Debug)]
pub struct Codes {
    map: Mmap,
    dimension: usize,
    count: usize,
    last: VectorId,
    checksum: blake3::Hash,
}

/// What a file of codes covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodesStatus {
    /// How many vectors.
    pub count: u64,
    /// The id of the last one.
    pub last: VectorId,
    /// The file's own checksum.
    pub checksum: blake3::Hash,
}

impl Codes {
    /// The file of a model in a folder of derived files.
    pub fn file(folder: &Path, model: &ModelId) -> PathBuf {
        folder.join(format!("{model}.codes"))
    }

    /// Opens a model's codes; `None` if there is no file, or none that can be used.
    ///
    /// `checksum` is the one that [`Codes::write`] returned, as it was kept in the database. It ties the file to this
    /// state of the database: beside a copy that was restored from a backup, whose ids go on from an earlier one, the
    /// file would be wrong.
    ///
    /// Sizes are checked here. The checksum is not, because that would read everything: a damaged code can only
    /// choose a wrong candidate, whose score is then computed from the stored vector. [`Codes::verify`] checks it.
    pub fn open(folder: &Path, model: &ModelId, dimension: usize, checksum: &str) -> Option<Self> {
        let file = File::open(Self::file(folder, model)).ok()?;
        // SAFETY: the file is never written in place, only replaced by a rename. Another program that truncated it
        // while it is mapped could end this process, but could do so to any program that maps files.
        let map = unsafe { Mmap::map(&file) }.ok()?;
        let header = Header::read(&map)?;
        let length = HEADER.checked_add(header.count.checked_mul(8 + 4 + dimension)?)?;
        let is_known = header.checksum.to_hex().as_str() == checksum && header.model == *model.as_bytes();
        let fits = is_known && header.dimension == dimension && map.len() == length;
        let Header { count, last, checksum, .. } = header;
        fits.then_some(Self { map, dimension, count, last: VectorId(last), checksum })
    }

    /// What the file covers.
    pub fn status(&self) -> CodesStatus {
        CodesStatus { count: self.count as u64, last: self.last, checksum: self.checksum }
    }

    /// Whether the content is what was written.
    pub fn verify(&self) -> bool {
        blake3::hash(&self.map[HEADER..]) == self.checksum
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn id(&self, row: usize) -> VectorId {
        let at = HEADER + 8 * row;
        VectorId(i64::from_le_bytes(self.map[at..at + 8].try_into().expect("eight bytes")))
    }

    pub(super) fn factor(&self, row: usize) -> f32 {
        let at = HEADER + 8 * self.count + 4 * row;
        f32::from_le_bytes(self.map[at..at + 4].try_into().expect("four bytes"))
    }

    pub(super) fn code(&self, row: usize) -> &[i8] {
        let at = HEADER + 12 * self.count + self.dimension * row;
        bytemuck::cast_slice(&self.map[at..at + self.dimension])
    }

    /// Writes the codes of all vectors that `each` hands out in the order of their ids, replacing the file.
    pub fn write(
        folder: &Path,
        model: &ModelId,
        dimension: usize,
        each: impl FnOnce(&mut dyn FnMut(VectorId, &[f32]) -> Result<()>) -> Result<()>,
    ) -> Result<CodesStatus> {
        std::fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))?;
        let target = Self::file(folder, model);
        let failed = |error: io::Error| Error::io("write", &target)(error);
        remove_leftovers(folder);
        let temporary = || tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder).map_err(failed);
        // Codes come last in the file but are the largest part, so they are collected in a file of their own and
        // only ids and factors, twelve bytes a vector, in memory.
        let mut codes = BufWriter::new(temporary()?);
        let (mut ids, mut factors, mut code) = (Vec::new(), Vec::new(), Vec::new());
        each(&mut |id, vector| {
            code.clear();
            factors.push(quantize::encode(vector, &mut code));
            ids.push(id.0);
            codes.write_all(bytemuck::cast_slice(&code)).map_err(failed)
        })?;
        let mut codes = codes.into_inner().map_err(|error| failed(error.into_error()))?;
        codes.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut file = temporary()?;
        let checksum = write_file(file.as_file_mut(), model, dimension, &ids, &factors, codes.as_file_mut());
        let checksum = checksum.map_err(failed)?;
        let status =
            CodesStatus { count: ids.len() as u64, last: VectorId(ids.last().copied().unwrap_or(0)), checksum };
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&target).map_err(|error| failed(error.error))?;
        // The rename itself: without this it may be lost in a power cut, which costs only this file.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
        Ok(status)
    }
}

/// Removes what a process left behind that was killed while writing. There is one writer at a time.
fn remove_leftovers(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn write_file(
    file: &mut File,
    model: &ModelId,
    dimension: usize,
    ids: &[i64],
    factors: &[f32],
    codes: &mut File,
) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut writer = BufWriter::with_capacity(1 << 20, &mut *file);
    writer.write_all(&[0; HEADER])?;
    for bytes in ids.iter().map(|id| id.to_le_bytes()) {
        hasher.update(&bytes);
        writer.write_all(&bytes)?;
    }
    for bytes in factors.iter().map(|factor| factor.to_le_bytes()) {
        hasher.update(&bytes);
        writer.write_all(&bytes)?;
    }
    let mut tee = Tee { hasher: &mut hasher, writer: &mut writer };
    io::copy(codes, &mut tee)?;
    writer.flush()?;
    drop(writer);
    let header = Header {
        model: *model.as_bytes(),
        dimension,
        count: ids.len(),
        last: ids.last().copied().unwrap_or(0),
        checksum: hasher.finalize(),
    };
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&header.to_bytes())?;
    Ok(header.checksum)
}

/// Passes bytes on and digests them.
struct Tee<'a, W> {
    hasher: &'a mut blake3::Hasher,
    writer: &'a mut W,
}

impl<W: Write> Write for Tee<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

struct Header {
    model: [u8; 32],
    dimension: usize,
    count: usize,
    last: i64,
    checksum: blake3::Hash,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.get(..HEADER)?.strip_prefix(MAGIC)?;
        let (model, rest) = rest.split_first_chunk::<32>()?;
        let (dimension, rest) = rest.split_first_chunk::<8>()?;
        let (count, rest) = rest.split_first_chunk::<8>()?;
        let (last, rest) = rest.split_first_chunk::<8>()?;
        let (checksum, _) = rest.split_first_chunk::<32>()?;
        Some(Self {
            model: *model,
            dimension: usize::try_from(u64::from_le_bytes(*dimension)).ok()?,
            count: usize::try_from(u64::from_le_bytes(*count)).ok()?,
            last: i64::from_le_bytes(*last),
            checksum: blake3::Hash::from_bytes(*checksum),
        })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.model);
        bytes.extend((self.dimension as u64).to_le_bytes());
        bytes.extend((self.count as u64).to_le_bytes());
        bytes.extend(self.last.to_le_bytes());
        bytes.extend(self.checksum.as_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, model: &ModelId, vectors: &[[f32; 3]]) -> CodesStatus {
        Codes::write(folder, model, 3, |each| {
            vectors.iter().enumerate().try_for_each(|(i, vector)| each(VectorId(10 + i as i64), vector))
        })
        .expect("it can be written")
    }

    #[test]
    fn what_was_written_is_read_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let model = ModelId::from([7; 32]);
        let status = write(dir.path(), &model, &[[1.0, 0.0, 0.0], [0.0, -0.5, 0.25]]);
        assert_eq!((status.count, status.last), (2, VectorId(11)));
        let codes = Codes::open(dir.path(), &model, 3, &status.checksum.to_hex()).expect("it is there");
        assert_eq!(codes.status(), status);
        assert!(codes.verify());
        assert_eq!((codes.id(1), codes.code(1)), (VectorId(11), [0, -127, 64].as_slice()));
        assert!((codes.factor(1) * 127.0 - 0.5).abs() < 1e-6);
        let names: Vec<_> = std::fs::read_dir(dir.path()).expect("a folder").flatten().collect();
        assert_eq!(names.len(), 1, "temporary files were left behind");
    }

    #[test]
    fn another_model_or_a_cut_file_is_not_used() {
        let dir = tempfile::tempdir().expect("a folder");
        let model = ModelId::from([7; 32]);
        let checksum = write(dir.path(), &model, &[[1.0, 0.0, 0.0]]).checksum.to_hex();
        assert!(Codes::open(dir.path(), &ModelId::from([8; 32]), 3, &checksum).is_none());
        assert!(Codes::open(dir.path(), &model, 4, &checksum).is_none());
        assert!(Codes::open(dir.path(), &model, 3, "of another state of the database").is_none());
        let path = Codes::file(dir.path(), &model);
        let bytes = std::fs::read(&path).expect("the file");
        for length in [0, 5, HEADER, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).expect("the file");
            assert!(Codes::open(dir.path(), &model, 3, &checksum).is_none(), "{length} bytes");
        }
        let mut flipped = bytes.clone();
        *flipped.last_mut().expect("bytes") ^= 1;
        std::fs::write(&path, flipped).expect("the file");
        assert!(!Codes::open(dir.path(), &model, 3, &checksum).expect("sizes fit").verify());
    }
}
