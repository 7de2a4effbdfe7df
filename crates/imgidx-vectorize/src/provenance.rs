//! By what our own documents are told from those of others, and from those that somebody has changed.

/// The comment that is in the beginning of every document, up to its checksum, and the rest of it.
const MARK: (&str, &str) = ("<!-- traced by imgidx ", " -->");

/// Digits of a checksum.
const DIGITS: usize = 8;

/// How far from the beginning the comment is at most.
const NEAR: usize = 1024;

/// A document of a head and a body, with a comment between them that has the checksum (CRC-32) of all the rest.
pub(super) fn marked(head: &str, body: &str) -> String {
    let (before, after) = (format!("{head}\n{}", MARK.0), format!("{}\n{body}", MARK.1));
    let checksum = checksum([before.as_bytes(), after.as_bytes()]);
    format!("{before}{checksum}{after}")
}

/// Whether a document was made by [`Source::trace`](super::Source::trace) and not changed since.
pub fn is_unchanged_trace(svg: &[u8]) -> bool {
    let near = &svg[..svg.len().min(NEAR)];
    let Some(start) = near.windows(MARK.0.len()).position(|part| part == MARK.0.as_bytes()) else { return false };
    let (before, rest) = svg.split_at(start + MARK.0.len());
    rest.split_at_checked(DIGITS).is_some_and(|(found, after)| found == checksum([before, after]).as_bytes())
}

/// CRC-32 of some pieces one after the other, as text.
pub(super) fn checksum<const N: usize>(pieces: [&[u8]; N]) -> String {
    let mut hasher = crc32fast::Hasher::new();
    pieces.into_iter().for_each(|piece| hasher.update(piece));
    format!("{:08x}", hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_has_changed_is_no_longer_ours() {
        let own = marked("<svg>", "<path/></svg>\n");
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
