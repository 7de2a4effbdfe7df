//! A checksum comment that identifies unchanged traces, so that edited or foreign SVGs are not overwritten.

/// The comment near the start of every traced document: the text before and after its checksum.
const COMMENT: (&str, &str) = ("<!-- traced by imgidx ", " -->");

/// Hexadecimal digits of a checksum.
const CHECKSUM_DIGITS: usize = 8;

/// The comment lies within this many bytes of the start.
const MAX_COMMENT_END: usize = 1024;

/// Joins head and body with a comment between them that contains the checksum (CRC-32) of everything else.
pub(super) fn with_provenance(head: &str, body: &str) -> String {
    let (before, after) = (format!("{head}\n{}", COMMENT.0), format!("{}\n{body}", COMMENT.1));
    let checksum = checksum([before.as_bytes(), after.as_bytes()]);
    format!("{before}{checksum}{after}")
}

/// Whether a document was made by [`Source::trace`](super::Source::trace) and has not been changed since.
pub fn is_unchanged_trace(svg: &[u8]) -> bool {
    let head = &svg[..svg.len().min(MAX_COMMENT_END)];
    let Some(start) = head.windows(COMMENT.0.len()).position(|part| part == COMMENT.0.as_bytes()) else { return false };
    let (before, rest) = svg.split_at(start + COMMENT.0.len());
    rest.split_at_checked(CHECKSUM_DIGITS).is_some_and(|(found, after)| found == checksum([before, after]).as_bytes())
}

/// CRC-32 of the concatenated pieces, as eight hexadecimal digits.
pub(super) fn checksum<const N: usize>(pieces: [&[u8]; N]) -> String {
    let mut hasher = crc32fast::Hasher::new();
    pieces.into_iter().for_each(|piece| hasher.update(piece));
    format!("{:08x}", hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_document_is_not_an_unchanged_trace() {
        let own = with_provenance("<svg>", "<path/></svg>\n");
        assert!(own.starts_with("<svg>\n<!-- traced by imgidx ") && own.ends_with(" -->\n<path/></svg>\n"), "{own}");
        assert!(is_unchanged_trace(own.as_bytes()));
        for (from, to) in
            [("<path/>", "<path id='a'/>"), ("<svg>", "<svg >"), (" -->", "0 -->"), ("</svg>\n", "</svg>")]
        {
            assert!(!is_unchanged_trace(own.replace(from, to).as_bytes()), "{to}");
        }
        for other in ["", "<svg/>", "<!-- traced by imgidx ", "<!-- traced by imgidx -->", "<!-- traced by imgidx 123"]
        {
            assert!(!is_unchanged_trace(other.as_bytes()), "{other}");
        }
    }
}
