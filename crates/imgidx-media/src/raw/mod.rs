//! Pictures that cameras embed in their raw files, as JPEG. The sensor's data is not developed.
//!
//! The largest JPEG is taken that the tags and tables of the file point to. Only those are read: a raw file of 60 MB
//! costs no more than its preview.

mod blocks;
mod containers;
mod excerpt;
#[cfg(test)]
mod excerpt_tests;
#[cfg(test)]
mod tests;
mod tiff;

use std::ops::Range;

use image::metadata::Orientation;

use super::decode::{Picture, Prepared};
use super::error::DecodeError;
use super::jpeg;

pub(super) use blocks::Blocks;
pub(super) use excerpt::{Excerpt, metadata_of};

/// Maximum length of an embedded JPEG in bytes.
const MAX_JPEG_BYTES: u64 = 128 << 20;

/// Maximum number of places that are looked at. Cameras write up to four pictures.
const MAX_PLACES: usize = 256;

/// Something that is read by pieces.
pub(super) trait ReadAt {
    /// Fills a buffer with the bytes from an offset on. `None` if there are fewer, or if they cannot be read.
    fn fill(&self, offset: u64, buffer: &mut [u8]) -> Option<()>;

    /// Length in bytes.
    fn length(&self) -> u64;

    /// The bytes from an offset on. `None` if there are fewer, or if they cannot be read.
    fn read_at(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        offset.checked_add(length as u64).filter(|end| *end <= self.length())?;
        let mut bytes = vec![0; length];
        self.fill(offset, &mut bytes)?;
        Some(bytes)
    }
}

impl ReadAt for &[u8] {
    fn fill(&self, offset: u64, buffer: &mut [u8]) -> Option<()> {
        let start = usize::try_from(offset).ok()?;
        buffer.copy_from_slice(self.get(start..start.checked_add(buffer.len())?)?);
        Some(())
    }

    fn length(&self) -> u64 {
        self.len() as u64
    }
}

/// What a raw file says of itself, and where its pictures may be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// Offsets and lengths of what may be a JPEG.
    places: Vec<(u64, u64)>,
    /// EXIF orientation, 1 to 8.
    orientation: Option<u8>,
    /// Offsets of the TIFF structures that hold metadata, and what their first directories describe.
    directories: Vec<(Directory, u64)>,
    /// Offset and length of an XMP packet outside of any directory.
    packet: Option<(u64, u64)>,
}

/// What a directory of a TIFF structure describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directory {
    /// The picture (TIFF 6.0, section 8).
    Main,
    /// How it was taken (Exif 2.3, 4.6.5).
    Exif,
    /// Where it was taken (Exif 2.3, 4.6.6).
    Gps,
}

/// Finds out where the largest embedded JPEG is.
fn find(file: &impl ReadAt) -> Result<(Range<u64>, Found), DecodeError> {
    let mut found = Found::default();
    containers::search(file, &mut found);
    let sized = found.places.iter().take(MAX_PLACES).filter_map(|(offset, length)| {
        let end = offset.checked_add(*length).filter(|end| *end <= file.length() && *length <= MAX_JPEG_BYTES)?;
        Some((pixels_of(file, *offset..end)?, *offset..end))
    });
    let largest = sized.max_by_key(|(pixels, place)| (*pixels, place.end - place.start));
    let (_, place) = largest.ok_or_else(|| DecodeError::new("the raw file has no JPEG preview"))?;
    Ok((place, found))
}

/// Where the largest embedded JPEG is.
pub(super) fn preview_of(file: &impl ReadAt) -> Option<Range<u64>> {
    find(file).ok().map(|(place, _)| place)
}

/// Number of pixels of a JPEG; `None` if there is none, or if it is lossless, as the sensor's data may be.
fn pixels_of(file: &impl ReadAt, place: Range<u64>) -> Option<u64> {
    if file.read_at(place.start, 3)? != [0xFF, 0xD8, 0xFF] {
        return None;
    }
    let mut at = place.start + 2;
    for _ in 0..200 {
        let segment = file.read_at(at, 10).filter(|_| at + 10 <= place.end)?;
        let (marker, length) = (segment[1], u16::from_be_bytes([segment[2], segment[3]]));
        match (segment[0], marker) {
            (0xFF, 0xFF) => at += 1,
            (0xFF, 0xC0..=0xC2) => {
                let side = |at: usize| u64::from(u16::from_be_bytes([segment[at], segment[at + 1]]));
                return Some(side(5) * side(7)).filter(|pixels| *pixels > 0);
            }
            (0xFF, 0xC4 | 0xDB..=0xFE) if length >= 2 && marker != 0xDA => at += 2 + u64::from(length),
            _ => return None,
        }
    }
    None
}

/// The preview in a raw file.
pub(super) struct Preview<'a> {
    jpeg: jpeg::Inner<'a>,
    orientation: Option<Orientation>,
}

impl<'a> Preview<'a> {
    /// Finds the preview, for a picture that will be scaled down to a shorter side of `side` pixels.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn open(bytes: &'a [u8], side: u32) -> Result<Self, DecodeError> {
        let (place, found) = find(&bytes)?;
        let jpeg = jpeg::Inner::open(&bytes[place.start as usize..place.end as usize], side)?;
        Ok(Self { jpeg, orientation: found.orientation.and_then(Orientation::from_exif) })
    }
}

impl Prepared for Preview<'_> {
    fn decoding_bytes(&self) -> u64 {
        self.jpeg.decoding_bytes()
    }

    fn is_reduced(&self) -> bool {
        self.jpeg.is_reduced()
    }

    fn decode(&self, keeps_alpha: bool) -> Result<Picture, DecodeError> {
        let picture = self.jpeg.decode(keeps_alpha)?;
        Ok(Picture { orientation: self.orientation.or(picture.orientation), ..picture })
    }
}
