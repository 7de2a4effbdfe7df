//! Files that commands write, and what they must not replace.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use imgidx::media::{Format, Kind, SNIFF_BYTES, sniff};
use imgidx::{Error, Result};

/// Refuses to overwrite a picture. An SVG may be overwritten with another one.
///
/// # Errors
/// [`Error::IsPicture`] if the file is a picture by its content.
pub(super) fn refuse_picture(file: &Path, with_svg: bool) -> Result<()> {
    // A device or a pipe is not read.
    if file.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Ok(());
    }
    match sniff(&beginning(file, SNIFF_BYTES as u64)?, file.extension()) {
        Kind::Other => Ok(()),
        Kind::Picture(Format::Svg) if with_svg => Ok(()),
        Kind::Picture(_) | Kind::Unsupported(_) => Err(Error::IsPicture { path: file.to_owned() }),
    }
}

/// Refuses to overwrite a picture, and, unless `overwrite` is set, a page whose beginning does not contain `mark`.
///
/// # Errors
/// [`Error::IsPicture`] or [`Error::Exists`].
pub(super) fn refuse_other_page(file: &Path, mark: &str, overwrite: bool) -> Result<()> {
    // With a picture, --overwrite does not help, so it must not be the hint.
    refuse_picture(file, false)?;
    if overwrite || !file.is_file() {
        return Ok(());
    }
    let start = beginning(file, 1024)?;
    let is_ours = start.windows(mark.len()).any(|part| part == mark.as_bytes());
    if start.is_empty() || is_ours { Ok(()) } else { Err(Error::Exists { path: file.to_owned() }) }
}

/// The first `length` bytes of a file, or none if there is no file.
pub(super) fn beginning(file: &Path, length: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match File::open(file) {
        Ok(opened) => opened.take(length).read_to_end(&mut bytes).map_err(Error::io("read", file))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(Error::io("read", file)(error)),
    };
    Ok(bytes)
}
