//! Reading a file once: what is hashed is what is decoded.

use std::io::{ErrorKind, Read};
use std::path::Path;

use tracing::trace_span;

use super::format::{Format, Kind, SNIFF_BYTES, sniff};
use imgidx_types::io_reason;
use imgidx_types::{ContentHash, FileStat, is_exhausted, now_ns, open_regular};

/// The bytes of a picture file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// All of them.
    pub bytes: Vec<u8>,
    /// Their digest.
    pub hash: ContentHash,
    /// What they are, by their beginning.
    pub format: Format,
}

/// What reading a file gave, and the signature and time to store with it.
#[derive(Debug)]
pub enum Reading {
    /// A picture.
    Content(Content, FileStat, i64),
    /// No picture that can be decoded: why.
    Skipped(String, FileStat, i64),
    /// It changed or vanished while it was read: the next run will see to it.
    InFlux,
    /// The system has no room to open it, nor any other file.
    Exhausted(std::io::Error),
    /// It could not be read: why, and its signature if it is not worth another try until it changes.
    Failed(String, Option<FileStat>, i64),
}

impl Reading {
    /// The picture, or why there is none, for somebody who has named its path.
    ///
    /// # Errors
    /// With the reason, if there is none.
    pub fn picture(self, path: &Path) -> Result<Content, String> {
        match self {
            Self::Content(content, ..) => Ok(content),
            Self::Skipped(reason, ..) | Self::Failed(reason, ..) => Err(reason),
            Self::Exhausted(error) => Err(io_reason(&error)),
            Self::InFlux => match path.symlink_metadata() {
                Ok(_) => Err("it is being written".into()),
                Err(error) => Err(io_reason(&error)),
            },
        }
    }
}

/// Reads a file if it is a picture of at most `max_bytes`; of other files only the beginning is read.
///
/// `hold` is called with the length before that many bytes are taken from memory.
pub fn read_content<H>(path: &Path, max_bytes: u64, hold: impl FnOnce(u64) -> H) -> (Reading, Option<H>) {
    let read_at = now_ns();
    // Without a signature: the next run tries again, and what is known of the file until now stays.
    let failed = |error: &std::io::Error| match error.kind() {
        ErrorKind::NotFound => Reading::InFlux,
        _ => Reading::Failed(io_reason(error), None, read_at),
    };
    let reading = trace_span!("read").entered();
    let mut file = match open_regular(path) {
        Ok(file) => file,
        // Not the file's fault: it would be one failure after another.
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
        Kind::Other => return (Reading::Skipped("not a picture".into(), stat, read_at), None),
    };
    if stat.size > max_bytes {
        let (size, most) = (stat.size.div_ceil(1 << 20), max_bytes >> 20);
        let reason = format!("the file has {size} MiB, and {most} MiB are allowed");
        return (Reading::Failed(reason, None, read_at), None);
    }
    let held = hold(stat.size);
    bytes.reserve_exact((stat.size as usize).saturating_sub(bytes.len()) + 1);
    // One byte more than the file had shows that it has grown.
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

/// Whether a file's name promises a picture, so that an empty file is a failure and not just something else.
pub fn has_picture_extension(path: &Path) -> bool {
    path.extension().and_then(image::ImageFormat::from_extension).is_some()
        || path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg"))
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
        assert!(matches!(read("a.psd", b"8BPS\0\x01", 100), Reading::Skipped(why, ..) if why.contains("Photoshop")));
        assert!(matches!(read("empty.jpg", b"", 100), Reading::Failed(why, ..) if why.contains("empty")));
        assert!(matches!(read("empty.txt", b"", 100), Reading::Skipped(..)));
        let large = [b"GIF89a".as_slice(), &[0; 200]].concat();
        assert!(matches!(read("a.gif", &large, 100), Reading::Failed(why, None, _) if why.contains("allowed")));
    }

    #[test]
    fn a_file_that_is_gone_is_left_for_the_next_run() {
        assert!(matches!(read_content(Path::new("/no/such/file.jpg"), 1, |_| ()).0, Reading::InFlux));
    }
}
