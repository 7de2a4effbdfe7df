//! Files that commands write, and what they must not replace.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use imgidx::media::{Format, Kind, SNIFF_BYTES, sniff};
use imgidx::{Error, Result};

/// Refuses to overwrite a picture, such as the one that is being traced, with an SVG.
///
/// # Errors
/// [`Error::IsPicture`] if the file is a picture by its content, other than an SVG.
pub(super) fn refuse_raster_picture(file: &Path) -> Result<()> {
    match sniff_file(file)? {
        Kind::Picture(Format::Svg) => Ok(()),
        kind => refuse(file, kind),
    }
}

/// Refuses to overwrite a picture with a page or a profile.
///
/// # Errors
/// [`Error::IsPicture`] if the file is a picture by its content.
pub(super) fn refuse_picture(file: &Path) -> Result<()> {
    refuse(file, sniff_file(file)?)
}

fn refuse(file: &Path, kind: Kind) -> Result<()> {
    match kind {
        Kind::Other => Ok(()),
        Kind::Picture(_) | Kind::Unsupported(_) => Err(Error::IsPicture { path: file.to_owned() }),
    }
}

/// What a file is by its content. A device or a pipe is not read.
fn sniff_file(file: &Path) -> Result<Kind> {
    if file.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Ok(Kind::Other);
    }
    Ok(sniff(&beginning(file, SNIFF_BYTES as u64)?, file.extension()))
}

/// Whether a file is missing or empty, or has a mark of this command in its first KiB.
pub(super) fn may_replace(file: &Path, mark: &str) -> Result<bool> {
    let start = beginning(file, 1024)?;
    Ok(start.is_empty() || start.windows(mark.len()).any(|part| part == mark.as_bytes()))
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
