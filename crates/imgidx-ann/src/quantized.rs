//! The quantized-vector file: for each vector of a model its id, its 8-bit code and, in large sets, its 1-bit code.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::bits;
use super::folder::{BuildLock, DerivedFolder, DerivedKind};
use super::scalar;
use super::sealed::{Damaged, SealedFile, SealedWriter, Section, Unpublished};
use crate::error::{Error, Result};
use imgidx_types::{ModelId, VectorId};

/// Minimum number of vectors for scanning 1-bit codes before 8-bit codes. With fewer vectors they cost more than they
/// save.
pub(super) const MIN_VECTORS_FOR_BITS: usize = 20_000;
/// Minimum number of components for which 1-bit codes are accurate enough to select candidates.
const MIN_DIMENSION_FOR_BITS: usize = 128;

/// The quantized vectors of a model, up to a certain id.
#[derive(Debug)]
pub struct QuantizedVectors {
    path: PathBuf,
    file: SealedFile,
    about: About,
    ids: Section,
    factors: Section,
    codes: Section,
    bits: Option<Bits>,
}

/// The metadata in the header of a quantized-vector file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    model: String,
    dimension: usize,
    count: usize,
    last: i64,
}

#[derive(Debug)]
struct Bits {
    mean: Vec<f32>,
    rows: Section,
}

/// What a quantized-vector file covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuantizedStatus {
    /// The number of vectors.
    pub count: u64,
    /// The id of the last vector.
    pub last: VectorId,
    /// The seal: a digest that identifies the content of the whole file.
    pub seal: blake3::Hash,
    /// The length of the file in bytes.
    pub bytes: u64,
}

/// The codes of consecutive rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    pub codes: &'a [i8],
    pub factors: &'a [f32],
}

impl QuantizedVectors {
    /// Opens the quantized vectors with this seal. `None` if there is no usable file.
    ///
    /// The seal is the one that [`UnpublishedVectors::publish`] returned, as stored in the database. It ties the file
    /// to this state of the database. A database that was restored from a backup continues from an earlier id and may
    /// give the same ids to other vectors, so the file would be wrong for it.
    pub fn open(folder: &DerivedFolder, model: &ModelId, dimension: usize, seal: &str) -> Option<Self> {
        let path = folder.codes(model, seal)?;
        let (file, about) = SealedFile::open::<About>(&path)?;
        let is_known = file.seal().to_hex().as_str() == seal;
        if !is_known || about.model != model.to_string() || about.dimension != dimension {
            return None;
        }
        let count = about.count;
        let bits = file.section("mean", 4 * dimension).and_then(|mean| {
            Some(Bits {
                mean: file.whole(&mean).ok()?.to_vec(),
                rows: file.section("bits", 8 * bits::words(dimension) * count)?,
            })
        });
        Some(Self {
            ids: file.section("ids", 8 * count)?,
            factors: file.section("factors", 4 * count)?,
            codes: file.section("codes", dimension * count)?,
            path,
            file,
            about,
            bits,
        })
    }

    /// What the file covers.
    pub fn status(&self) -> QuantizedStatus {
        let last = VectorId(self.about.last);
        QuantizedStatus { count: self.about.count as u64, last, seal: self.file.seal(), bytes: self.file.len() }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the content is what was written. Reads the whole file.
    pub fn verify(&self) -> bool {
        self.file.verify()
    }

    /// Whether a part of the file was missing when it was read.
    pub(super) fn is_broken(&self) -> bool {
        self.file.is_broken()
    }

    /// Verifies everything that has not been verified yet.
    pub(super) fn check_all(&self) -> Result<(), Damaged> {
        self.file.check_all()
    }

    pub(super) fn len(&self) -> usize {
        self.about.count
    }

    pub(super) fn dimension(&self) -> usize {
        self.about.dimension
    }

    pub(super) fn ids(&self, rows: Range<usize>) -> Result<&[i64], Damaged> {
        self.file.get(&self.ids, rows)
    }

    pub(super) fn block(&self, rows: Range<usize>) -> Result<Block<'_>, Damaged> {
        let dimension = self.about.dimension;
        Ok(Block {
            codes: self.file.get(&self.codes, rows.start * dimension..rows.end * dimension)?,
            factors: self.file.get(&self.factors, rows)?,
        })
    }

    /// The mean of all vectors, if there are 1-bit codes.
    pub(super) fn mean(&self) -> Option<&[f32]> {
        self.bits.as_ref().map(|bits| bits.mean.as_slice())
    }

    /// Rows of 1-bit codes, which exist if there is a mean.
    pub(super) fn bit_rows(&self, rows: Range<usize>) -> Result<&[u64], Damaged> {
        let (bits, words) = (self.bits.as_ref().ok_or(Damaged)?, bits::words(self.about.dimension));
        self.file.get(&bits.rows, rows.start * words..rows.end * words)
    }

    /// Writes the codes of all vectors that `each` supplies in ascending order of ids. Returns `None` if another
    /// process is writing them.
    ///
    /// # Errors
    /// If the file cannot be written, or `each` fails.
    pub fn write<E: From<Error>>(
        folder: &DerivedFolder,
        model: &ModelId,
        dimension: usize,
        each: impl FnOnce(&mut dyn FnMut(VectorId, &[f32]) -> Result<()>) -> Result<(), E>,
    ) -> Result<Option<UnpublishedVectors>, E> {
        let Some(lock) = folder.lock_for(DerivedKind::QuantizedVectors)? else { return Ok(None) };
        let failed = |error: io::Error| Error::io("write to", folder.path())(error);
        let mut writer =
            SealedWriter::create(folder.path(), DerivedKind::QuantizedVectors.unfinished()).map_err(failed)?;
        let (mut ids, mut factors, mut code) = (Vec::new(), Vec::new(), Vec::new());
        let mut sums = vec![0.0_f64; dimension];
        writer.section("codes").map_err(failed)?;
        each(&mut |id, vector| {
            code.clear();
            factors.push(scalar::encode(vector, &mut code));
            ids.push(id.0);
            sums.iter_mut().zip(vector).for_each(|(sum, x)| *sum += f64::from(*x));
            writer.write(&code).map_err(failed)
        })?;
        let count = ids.len();
        if count >= MIN_VECTORS_FOR_BITS && dimension >= MIN_DIMENSION_FOR_BITS {
            let mean: Vec<f32> = sums.iter().map(|sum| (sum / count as f64) as f32).collect();
            write_bits(&mut writer, &mean, &factors).map_err(failed)?;
        }
        let about = About { model: model.to_string(), dimension, count, last: ids.last().copied().unwrap_or(0) };
        let finish = |mut writer: SealedWriter| {
            writer.write_section("ids", &ids)?;
            writer.write_section("factors", &factors)?;
            writer.finish(&about)
        };
        let file = finish(writer).map_err(failed)?;
        fail::fail_point!("codes-written", |_| std::process::abort());
        let path = folder.codes(model, &file.seal.to_hex()).expect("a fresh seal is valid");
        let bytes = std::fs::metadata(file.path()).map_err(failed)?.len();
        let status = QuantizedStatus { count: count as u64, last: VectorId(about.last), seal: file.seal, bytes };
        Ok(Some(UnpublishedVectors { status, file, path, _lock: lock }))
    }
}

/// A complete quantized-vector file that has not been published yet.
#[derive(Debug)]
pub struct UnpublishedVectors {
    status: QuantizedStatus,
    file: Unpublished,
    path: PathBuf,
    /// Held until the file is renamed.
    _lock: BuildLock,
}

impl UnpublishedVectors {
    /// Renames the file to its final name. It is used only once its seal is in the database. Older files stay until
    /// [`DerivedFolder::collect`] removes them. Only the writer of the database may call either function.
    ///
    /// # Errors
    /// If the file cannot be renamed.
    pub fn publish(self) -> Result<QuantizedStatus> {
        self.file.publish(&self.path).map_err(Error::io("write", &self.path))?;
        fail::fail_point!("codes-renamed", |_| std::process::abort());
        Ok(self.status)
    }
}

/// Computes the 1-bit codes from the 8-bit codes, which were just written, and writes them.
fn write_bits(writer: &mut SealedWriter, mean: &[f32], factors: &[f32]) -> io::Result<()> {
    /// Rows that are encoded at a time.
    const ROWS: usize = 8192;
    let (map, codes) = writer.reread()?;
    let codes: &[i8] = bytemuck::cast_slice(&map[codes]);
    let dimension = mean.len();
    let encode_row = |(code, factor): (&[i8], &f32)| {
        let vector: Vec<f32> = code.iter().map(|x| f32::from(*x) * factor).collect();
        let mut row = Vec::with_capacity(bits::words(dimension));
        bits::encode(&vector, mean, &mut row);
        row
    };
    writer.section("bits")?;
    for (codes, factors) in codes.chunks(ROWS * dimension).zip(factors.chunks(ROWS)) {
        let rows: Vec<_> = codes.par_chunks_exact(dimension).zip(factors).map(encode_row).collect();
        rows.iter().try_for_each(|row| writer.write(row))?;
    }
    writer.write_section("mean", mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &DerivedFolder, model: &ModelId, vectors: &[[f32; 3]]) -> QuantizedStatus {
        QuantizedVectors::write(folder, model, 3, |each| {
            vectors.iter().enumerate().try_for_each(|(i, vector)| each(VectorId(10 + i as i64), vector))
        })
        .expect("it can be written")
        .expect("nobody else writes")
        .publish()
        .expect("it can be renamed")
    }

    #[test]
    fn a_file_reads_back_what_was_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let (folder, model) = (DerivedFolder::new(dir.path()), ModelId::from([7; 32]));
        let status = write(&folder, &model, &[[1.0, 0.0, 0.0], [0.0, -0.5, 0.25]]);
        assert_eq!((status.count, status.last), (2, VectorId(11)));
        let codes = QuantizedVectors::open(&folder, &model, 3, &status.seal.to_hex()).expect("it is there");
        assert_eq!(codes.status(), status);
        assert!(codes.verify());
        let block = codes.block(1..2).expect("it is as it was written");
        assert_eq!((codes.ids(1..2), block.codes), (Ok([11].as_slice()), [0, -127, 64].as_slice()));
        assert!((block.factors[0] * 127.0 - 0.5).abs() < 1e-6);
        assert!(codes.mean().is_none());
        let names = std::fs::read_dir(dir.path()).expect("a folder").flatten().map(|entry| entry.file_name());
        let others = names.filter(|name| name != "codes-lock" && Some(name.as_os_str()) != codes.path().file_name());
        assert_eq!(others.count(), 0, "no temporary files are left behind");
    }

    #[test]
    fn a_file_of_another_model_or_database_state_is_not_opened() {
        let dir = tempfile::tempdir().expect("a folder");
        let (folder, model) = (DerivedFolder::new(dir.path()), ModelId::from([7; 32]));
        let seal = write(&folder, &model, &[[1.0, 0.0, 0.0]]).seal.to_hex();
        assert!(QuantizedVectors::open(&folder, &model, 3, &seal).is_some());
        assert!(QuantizedVectors::open(&folder, &ModelId::from([8; 32]), 3, &seal).is_none());
        assert!(QuantizedVectors::open(&folder, &model, 4, &seal).is_none());
        assert!(QuantizedVectors::open(&folder, &model, 3, "of another state of the database").is_none());
        let other = write(&folder, &model, &[[0.0, 1.0, 0.0]]).seal.to_hex();
        let path = |seal: &str| folder.codes(&model, seal).expect("a name");
        std::fs::rename(path(&other), path(&seal)).expect("it can be renamed");
        assert!(QuantizedVectors::open(&folder, &model, 3, &seal).is_none(), "the name is right but the seal is not");
    }

    #[test]
    fn large_sets_have_one_bit_codes() {
        let dir = tempfile::tempdir().expect("a folder");
        let (folder, model) = (DerivedFolder::new(dir.path()), ModelId::from([7; 32]));
        let vector = |row: usize| {
            let wave = |i: usize| ((row * 7 + i * 13) as f32 * 0.37).sin();
            (0..128).map(wave).collect::<Vec<f32>>()
        };
        let status = QuantizedVectors::write(&folder, &model, 128, |each| {
            (0..MIN_VECTORS_FOR_BITS).try_for_each(|row| each(VectorId(row as i64 + 1), &vector(row)))
        });
        let written = status.expect("it can be written").expect("nobody else writes");
        let status = written.publish().expect("it can be renamed");
        let codes = QuantizedVectors::open(&folder, &model, 128, &status.seal.to_hex()).expect("it is there");
        let mean = codes.mean().expect("the set is large");
        for row in [0, 8191, 8192, MIN_VECTORS_FOR_BITS - 1] {
            let mut expected = Vec::new();
            bits::encode(&vector(row), mean, &mut expected);
            let found = codes.bit_rows(row..row + 1).expect("it is as it was written");
            let differing: u32 = found.iter().zip(&expected).take(2).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert!(differing <= 2, "signs are taken from 8-bit codes, whose rounding rarely changes one");
            assert!((bits::factors(found).0 / bits::factors(&expected).0 - 1.0).abs() < 0.01);
        }
    }
}
