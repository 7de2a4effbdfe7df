//! EXIF metadata that a camera wrote into the file.

use exif::{DateTime, Exif, In, Reader, Tag, Value};

/// Capture time by the camera's clock, or else the time of digitisation, as `YYYY-MM-DD HH:MM:SS`.
///
/// The time of the last change by a program (DateTime, tag 0x0132) is ignored.
pub(super) fn taken(chunk: &[u8]) -> Option<String> {
    // Other tags may be damaged as long as this one can be read.
    let exif = Reader::new().continue_on_error(true).read_raw(chunk.to_vec());
    let exif = exif.or_else(|error| error.distill_partial_result(|_| ())).ok()?;
    [Tag::DateTimeOriginal, Tag::DateTimeDigitized].into_iter().find_map(|tag| date(&exif, tag))
}

fn date(exif: &Exif, tag: Tag) -> Option<String> {
    let Value::Ascii(lines) = &exif.get_field(tag, In::PRIMARY)?.value else { return None };
    taken_text(lines.first()?)
}

/// A date and time as EXIF writes them, as `YYYY-MM-DD HH:MM:SS`. `None` if it is not valid.
pub(super) fn taken_text(text: &[u8]) -> Option<String> {
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    let DateTime { year, month, day, hour, minute, second, .. } = DateTime::from_ascii(text).ok()?;
    // Cameras whose clock was never set write zeros.
    let is_date = (1800..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    let is_time = hour < 24 && minute < 60 && second <= 60;
    (is_date && is_time).then(|| format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use exif::Field;
    use exif::experimental::Writer;

    /// An EXIF chunk with one date.
    fn chunk(tag: Tag, text: &str) -> Vec<u8> {
        let field = Field { tag, ifd_num: In::PRIMARY, value: Value::Ascii(vec![text.as_bytes().to_vec()]) };
        let mut writer = Writer::new();
        writer.push_field(&field);
        let mut bytes = std::io::Cursor::new(Vec::new());
        writer.write(&mut bytes, false).expect("writing to memory does not fail");
        bytes.into_inner()
    }

    #[test]
    fn the_capture_date_is_read_and_the_change_date_is_not() {
        let original = chunk(Tag::DateTimeOriginal, "2024:05:12 23:59:01");
        assert_eq!(taken(&original).as_deref(), Some("2024-05-12 23:59:01"));
        assert_eq!(taken(&chunk(Tag::DateTime, "2024:05:12 23:59:01")), None);
    }

    #[test]
    fn an_invalid_date_is_ignored() {
        for text in ["0000:00:00 00:00:00", "    :  :     :  :  ", "2024:13:01 00:00:00", "yesterday", ""] {
            assert_eq!(taken(&chunk(Tag::DateTimeOriginal, text)), None, "{text:?}");
        }
        assert_eq!(taken(b"no EXIF at all"), None);
        assert_eq!(taken(b""), None);
    }
}
