//! Sequences of pictures in ISO base media files (ISO/IEC 14496-12): finds the first frame of a track.

use heifer_isobmff::BoxIter;

/// The first frame of the first track of pictures.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Track {
    /// How frames are coded, for example `av01`.
    pub coding: [u8; 4],
    pub width: u16,
    pub height: u16,
    /// Offset in the file and length of the first frame, in bytes.
    pub first_sample: (u64, u64),
    /// Number of frames.
    pub samples: u32,
}

/// The content of the first box of a type, among consecutive boxes.
fn child(boxes: &[u8], kind: [u8; 4]) -> Option<&[u8]> {
    BoxIter::new(boxes).map_while(Result::ok).find(|found| found.header.box_type.0 == kind).map(|found| found.content)
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    number(bytes, at).map(u32::from_be_bytes)
}

/// Finds the first track of pictures in a file.
pub(super) fn find(bytes: &[u8]) -> Option<Track> {
    first_track(child(bytes, *b"moov")?)
}

/// Finds the first track of a movie whose handler says that its frames are pictures or video.
pub(super) fn first_track(movie: &[u8]) -> Option<Track> {
    let tracks = BoxIter::new(movie).map_while(Result::ok).filter(|found| &found.header.box_type.0 == b"trak");
    tracks.take(16).find_map(|track| Track::read(child(track.content, *b"mdia")?))
}

impl Track {
    fn read(media: &[u8]) -> Option<Self> {
        // Version and flags, a reserved number, and the type (8.4.3.2).
        let handler: [u8; 4] = number(child(media, *b"hdlr")?, 8)?;
        if !matches!(&handler, b"pict" | b"vide") {
            return None;
        }
        let table = child(child(media, *b"minf")?, *b"stbl")?;
        // Version and flags, a count, and the length of the first entry before its type (8.5.2.2, 12.1.3.2).
        let description = child(table, *b"stsd")?;
        let (coding, width, height) = (number(description, 12)?, number(description, 40)?, number(description, 42)?);
        let sizes = child(table, *b"stsz")?;
        let samples = u32_at(sizes, 8)?;
        let size = match u32_at(sizes, 4)? {
            0 => u32_at(sizes, 12)?,
            same => same,
        };
        let offset = match child(table, *b"stco") {
            Some(offsets) => u32_at(offsets, 8)?.into(),
            None => u64::from_be_bytes(number(child(table, *b"co64")?, 8)?),
        };
        let (width, height) = (u16::from_be_bytes(width), u16::from_be_bytes(height));
        Some(Self { coding, width, height, first_sample: (offset, size.into()), samples })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A box with a type and contents.
    fn boxed(kind: [u8; 4], contents: &[&[u8]]) -> Vec<u8> {
        let content = contents.concat();
        [&(8 + content.len() as u32).to_be_bytes()[..], &kind, &content].concat()
    }

    /// A file with one track; its only frame is `frame`.
    fn sequence(handler: [u8; 4], frame: &[u8]) -> Vec<u8> {
        let data = boxed(*b"mdat", &[frame]);
        let mut entry = vec![0; 86];
        entry[4..8].copy_from_slice(b"av01");
        entry[32..36].copy_from_slice(&[0x01, 0x40, 0, 0xF0]);
        let table = boxed(
            *b"stbl",
            &[
                &boxed(*b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1], &entry]),
                &boxed(*b"stsz", &[&[0; 8], &1_u32.to_be_bytes(), &(frame.len() as u32).to_be_bytes()]),
                &boxed(*b"stco", &[&[0, 0, 0, 0, 0, 0, 0, 1], &8_u32.to_be_bytes()]),
            ],
        );
        let handler = boxed(*b"hdlr", &[&[0; 8], &handler]);
        let media = boxed(*b"mdia", &[&handler, &boxed(*b"minf", &[&table])]);
        [data, boxed(*b"moov", &[&boxed(*b"trak", &[&media])])].concat()
    }

    #[test]
    fn the_first_frame_is_found_by_the_tables_of_the_track() {
        let file = sequence(*b"pict", b"frame");
        let expected = Track { coding: *b"av01", width: 320, height: 240, first_sample: (8, 5), samples: 1 };
        assert_eq!(find(&file), Some(expected));
        assert_eq!(find(&sequence(*b"soun", b"frame")), None);
    }

    #[test]
    fn a_track_that_is_cut_off_anywhere_is_no_track_and_no_panic() {
        let file = sequence(*b"pict", b"frame");
        for length in 0..file.len() {
            assert_eq!(find(&file[..length]), None, "{length}");
        }
    }
}
