//! Reads a file once, so that the bytes that are hashed are also the bytes that are decoded.

use std::io::{ErrorKind, Read};
use std::path::Path;

use tracing::trace_span;

use super::format::{Format, Kind, SNIFF_BYTES, is_extension, sniff};
use imgidx_types::{ContentHash, FileStat, io_reason, is_exhausted, now_ns, open_regular};

/// The bytes of a picture file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// Digest of the bytes.
    pub hash: ContentHash,
    /// Format, recognised from the first bytes.
    pub format: Format,
}

/// Result of reading a file, with the file's status and the time of reading in nanoseconds.
#[derive(Debug)]
pub enum Reading {
    /// A picture.
    Content(Content, FileStat, i64),
    /// An XMP file, which holds the metadata of a picture beside it: its bytes.
    Sidecar(Vec<u8>, FileStat, i64),
    /// Not a picture that can be decoded, with the reason.
    Skipped(String, FileStat, i64),
    /// The file changed or disappeared while it was read. The next run reads it again.
    InFlux,
    /// The system lacks the resources to open this or any other file.
    Exhausted(std::io::Error),
    /// The file could not be read, with the reason. The status is present if another attempt is pointless until the
    /// file changes.
    Failed(String, Option<FileStat>, i64),
}

impl Reading {
    /// The content of a file that the user named by its path.
    ///
    /// # Errors
    /// The reason, if the file cannot be read or is not a picture.
    pub fn picture(self, path: &Path) -> Result<Content, String> {
        match self {
            Self::Content(content, ..) => Ok(content),
            Self::Sidecar(..) => Err("not a picture".into()),
            Self::Skipped(reason, ..) | Self::Failed(reason, ..) => Err(reason),
            Self::Exhausted(error) => Err(io_reason(&error)),
            Self::InFlux => match path.symlink_metadata() {
                Ok(metadata) if metadata.is_symlink() && !path.exists() => Err(broken_link(path)),
                Ok(_) => Err("the file is being written".into()),
                Err(error) => Err(io_reason(&error)),
            },
        }
    }
}

/// Why a link that leads nowhere cannot be read.
fn broken_link(path: &Path) -> String {
    match path.read_link() {
        Ok(target) => format!("it is a link to `{}`, which does not exist", target.display()),
        Err(_) => "it is a link to a file that does not exist".into(),
    }
}

/// Reads a file if it is a picture of at most `max_bytes`. Of other files, only the beginning is read.
///
/// `hold` is called with the length before that much memory is allocated; its result is returned with the content.
pub fn read_content<H>(path: &Path, max_bytes: u64, hold: impl FnOnce(u64) -> H) -> (Reading, Option<H>) {
    let read_at = now_ns();
    // Without a status, the next run tries again and keeps what is stored about the file.
    let failed = |error: &std::io::Error| match error.kind() {
        ErrorKind::NotFound => Reading::InFlux,
        _ => Reading::Failed(io_reason(error), None, read_at),
    };
    let reading = trace_span!("read").entered();
    let mut file = match open_regular(path) {
        Ok(file) => file,
        // Not the file's fault: every other file would fail as well.
        Err(error) if is_exhausted(&error) => return (Reading::Exhausted(error), None),
        Err(error) => return (failed(&error), None),
    };
    let stat = match file.metadata() {
        Ok(metadata) => FileStat::new(&metadata),
        Err(error) => return (failed(&error), None),
    };
    let mut bytes = Vec::with_capacity(SNIFF_BYTES.min(stat.size as usize + 1));
    if let Err(error) = (&mut file).take(SNIFF_BYTES as u64).read_to_end(&mut bytes) {
        return (failed(&error), None);
    }
    let format = match sniff(&bytes, path.extension()) {
        Kind::Picture(format) => format,
        Kind::Unsupported(name) => return (Reading::Skipped(format!("{name} is not supported"), stat, read_at), None),
        Kind::Other if bytes.is_empty() && has_picture_extension(path) => {
            return (Reading::Failed("the file is empty".into(), Some(stat), read_at), None);
        }
        Kind::Other if is_sidecar(path) && stat.size <= MAX_SIDECAR_BYTES => {
            if let Err(error) = (&mut file).take(MAX_SIDECAR_BYTES).read_to_end(&mut bytes) {
                return (failed(&error), None);
            }
            let unchanged = file.metadata().is_ok_and(|metadata| FileStat::new(&metadata) == stat);
            let is_whole = unchanged && bytes.len() as u64 == stat.size;
            return (if is_whole { Reading::Sidecar(bytes, stat, read_at) } else { Reading::InFlux }, None);
        }
        Kind::Other => return (Reading::Skipped("not a picture".into(), stat, read_at), None),
    };
    if stat.size > max_bytes {
        let (size, limit) = (stat.size.div_ceil(1 << 20), max_bytes >> 20);
        let reason = format!("the file is {size} MiB; the limit is {limit} MiB");
        return (Reading::Failed(reason, None, read_at), None);
    }
    let held = hold(stat.size);
    bytes.reserve_exact((stat.size as usize).saturating_sub(bytes.len()) + 1);
    // One byte more than expected shows that the file has grown.
    let rest = (stat.size + 1).saturating_sub(bytes.len() as u64);
    if let Err(error) = (&mut file).take(rest).read_to_end(&mut bytes) {
        return (failed(&error), None);
    }
    let unchanged = file.metadata().is_ok_and(|metadata| FileStat::new(&metadata) == stat);
    if !unchanged || bytes.len() as u64 != stat.size {
        return (Reading::InFlux, None);
    }
    drop(reading);
    let hash = trace_span!("hash").in_scope(|| ContentHash::of(&bytes));
    (Reading::Content(Content { bytes, hash, format }, stat, read_at), Some(held))
}

/// Maximum size of an XMP file, in bytes. Those of real pictures have some kilobytes.
const MAX_SIDECAR_BYTES: u64 = 8 << 20;

/// Whether a file has the extension of XMP files.
fn is_sidecar(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("xmp"))
}

/// Maximum size of a file that the user named, in bytes.
const MAX_NAMED_BYTES: u64 = 512 << 20;

/// Reads a picture that the user named by its path, up to 512 MiB.
///
/// # Errors
/// The reason, if the file cannot be read or is not a picture.
pub fn read_named_picture(path: &Path) -> Result<Content, String> {
    if path.is_dir() {
        return Err("it is a directory".into());
    }
    read_content(path, MAX_NAMED_BYTES, |_| ()).0.picture(path)
}

/// Whether a file has the extension of a picture format. An empty file with one is a failure and not just another file.
pub fn has_picture_extension(path: &Path) -> bool {
    path.extension().and_then(image::ImageFormat::from_extension).is_some()
        || path.extension().and_then(|it| it.to_str()).is_some_and(|it| is_extension(&it.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, bytes: &[u8], max_bytes: u64) -> Reading {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        read_content(&path, max_bytes, |_| ()).0
    }

    #[test]
    fn a_picture_is_read_whole_and_hashed() {
        let bytes = [b"\x89PNG\r\n\x1A\n".as_slice(), &[7; 10_000]].concat();
        let Reading::Content(content, stat, _) = read("a.jpg", &bytes, 20_000) else { panic!("it is a picture") };
        assert_eq!((content.hash, content.format.name()), (ContentHash::of(&bytes), "png"));
        assert_eq!((content.bytes, stat.size), (bytes, 10_008));
    }

    #[test]
    fn other_files_are_skipped_and_large_ones_refused() {
        assert!(matches!(read("a.txt", b"hello", 100), Reading::Skipped(why, ..) if why == "not a picture"));
        assert!(matches!(read("a.xcf", b"gimp xcf v011", 100), Reading::Skipped(why, ..) if why.contains("GIMP")));
        assert!(matches!(read("empty.jpg", b"", 100), Reading::Failed(why, ..) if why.contains("empty")));
        assert!(matches!(read("empty.txt", b"", 100), Reading::Skipped(..)));
        let large = [b"GIF89a".as_slice(), &[0; 200]].concat();
        assert!(matches!(read("a.gif", &large, 100), Reading::Failed(why, None, _) if why.contains("the limit is")));
    }

    #[test]
    fn a_missing_file_is_left_for_the_next_run() {
        assert!(matches!(read_content(Path::new("/no/such/file.jpg"), 1, |_| ()).0, Reading::InFlux));
    }
}
