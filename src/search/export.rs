//! Export of vectors to other programs.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::store::{ModelRow, Store};
use crate::types::path_to_bytes;

/// Writes `vectors.npy` (float32, n × dimension, rows of unit length) and `paths.txt` (one path per line, in the same
/// order) to a folder. There is one row for each content, with the path of its first file. Returns the number of rows.
///
/// The array has version 1.0 of the NumPy format (NEP 1).
///
/// # Errors
/// If the files cannot be written, or a path contains a line break.
pub(super) fn export_npy(store: &Store, model: ModelRow, dimension: usize, folder: &Path) -> Result<u64> {
    std::fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))?;
    let (vectors_path, paths_path) = (folder.join("vectors.npy"), folder.join("paths.txt"));
    let vectors_failed = |error: io::Error| Error::io("write", &vectors_path)(error);
    let paths_failed = |error: io::Error| Error::io("write", &paths_path)(error);
    let mut vectors = BufWriter::new(File::create(&vectors_path).map_err(vectors_failed)?);
    let mut paths = BufWriter::new(File::create(&paths_path).map_err(paths_failed)?);
    // The header has a fixed length, so the number of rows can be filled in at the end.
    vectors.write_all(&npy_header(0, dimension)).map_err(vectors_failed)?;
    let mut rows = 0;
    store.for_each_vector(model, crate::types::VectorId(0), |vector| {
        let Some(path) = store.paths_of(vector.image)?.into_iter().next() else { return Ok(()) };
        let line = path_to_bytes(&path);
        if line.contains(&b'\n') {
            return Err(Error::Invalid(format!("`{}` contains a line break; export to jsonl instead", path.display())));
        }
        paths.write_all(&line).and_then(|()| paths.write_all(b"\n")).map_err(paths_failed)?;
        for x in vector.embedding.as_slice() {
            vectors.write_all(&x.to_le_bytes()).map_err(vectors_failed)?;
        }
        rows += 1;
        Ok(())
    })?;
    paths.flush().map_err(paths_failed)?;
    let mut vectors = vectors.into_inner().map_err(|error| vectors_failed(error.into_error()))?;
    io::Seek::rewind(&mut vectors)
        .and_then(|()| vectors.write_all(&npy_header(rows, dimension)))
        .map_err(vectors_failed)?;
    Ok(rows)
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
}
