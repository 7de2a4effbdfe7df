//! Export of vectors to other programs.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::store::{ModelRow, Store};
use crate::types::{PathField, path_to_bytes};

const VECTORS: &str = "vectors.npy";
const PATHS: &str = "paths.txt";
const PATHS_AS_JSON: &str = "paths.jsonl";

/// Writes three files to a folder, with one row for each content, in the same order, and returns the number of rows:
/// - `vectors.npy`: float32, n × dimension, rows of unit length;
/// - `paths.txt`: the path of the content's first file on a line, with `\n` for a line break and `\\` for a backslash;
/// - `paths.jsonl`: the same paths as JSON documents.
///
/// The files appear once all of them are complete. `vectors.npy` is replaced last, and an older one is removed first, so
/// a folder with it never has files of two exports.
///
/// The array has version 1.0 of the NumPy format (NEP 1).
///
/// # Errors
/// If the files cannot be written.
pub(super) fn export_npy(store: &Store, model: ModelRow, dimension: usize, folder: &Path) -> Result<u64> {
    fs::create_dir_all(folder).map_err(Error::io("create the directory", folder))?;
    // In a temporary folder, which is removed in every case.
    let work = tempfile::Builder::new().prefix(".imgidx-export-").tempdir_in(folder);
    let work = work.map_err(Error::io("create a directory in", folder))?;
    let failed = |error: io::Error| Error::io("write to", folder)(error);
    let mut export = Export::create(work.path(), dimension).map_err(failed)?;
    store.for_each_vector(model, crate::types::VectorId(0), |vector| match store.paths_of(vector.image)?.first() {
        Some(path) => export.write(path, vector.embedding.as_slice()).map_err(failed),
        None => Ok(()),
    })?;
    let rows = export.finish().map_err(failed)?;
    publish(work.path(), folder).map_err(failed)?;
    Ok(rows)
}

/// The files of an export that is in progress.
struct Export {
    vectors: BufWriter<File>,
    paths: BufWriter<File>,
    paths_as_json: BufWriter<File>,
    dimension: usize,
    rows: u64,
}

impl Export {
    fn create(folder: &Path, dimension: usize) -> io::Result<Self> {
        let create = |name: &str| File::create(folder.join(name)).map(BufWriter::new);
        let (mut vectors, paths, paths_as_json) = (create(VECTORS)?, create(PATHS)?, create(PATHS_AS_JSON)?);
        // The header has a fixed length, so the number of rows can be filled in at the end.
        vectors.write_all(&npy_header(0, dimension))?;
        Ok(Self { vectors, paths, paths_as_json, dimension, rows: 0 })
    }

    fn write(&mut self, path: &Path, vector: &[f32]) -> io::Result<()> {
        for x in vector {
            self.vectors.write_all(&x.to_le_bytes())?;
        }
        self.paths.write_all(&escaped(&path_to_bytes(path)))?;
        serde_json::to_writer(&mut self.paths_as_json, &PathField::from(path))?;
        for lines in [&mut self.paths, &mut self.paths_as_json] {
            lines.write_all(b"\n")?;
        }
        self.rows += 1;
        Ok(())
    }

    /// Completes the files, and returns the number of rows.
    fn finish(mut self) -> io::Result<u64> {
        self.vectors.rewind()?;
        self.vectors.write_all(&npy_header(self.rows, self.dimension))?;
        for file in [self.vectors, self.paths, self.paths_as_json] {
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        }
        Ok(self.rows)
    }
}

/// Moves complete files to where they belong.
fn publish(from: &Path, to: &Path) -> io::Result<()> {
    match fs::remove_file(to.join(VECTORS)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    [PATHS, PATHS_AS_JSON, VECTORS].into_iter().try_for_each(|name| fs::rename(from.join(name), to.join(name)))
}

/// A path on one line: `\n` for a line break, and `\\` for a backslash. All other bytes are as they are.
fn escaped(path: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(path.len());
    for byte in path {
        match byte {
            b'\n' => line.extend(b"\\n"),
            b'\\' => line.extend(b"\\\\"),
            byte => line.push(*byte),
        }
    }
    line
}

fn npy_header(rows: u64, dimension: usize) -> Vec<u8> {
    const LENGTH: usize = 128;
    let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dimension}), }}");
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((LENGTH as u16 - 10).to_le_bytes());
    header.extend(text.as_bytes());
    header.resize(LENGTH - 1, b' ');
    header.push(b'\n');
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_keeps_its_length_for_any_number_of_rows() {
        assert_eq!(npy_header(0, 1).len(), 128);
        assert_eq!(npy_header(u64::MAX, 65_536).len(), 128);
    }

    #[test]
    fn a_path_stays_on_its_line_and_can_be_restored() {
        assert_eq!(escaped(b"a\nb\\n\xFF"), b"a\\nb\\\\n\xFF");
    }
}
