//! Photoshop documents (Adobe Photoshop File Formats Specification): the merged picture of PSD and PSB files.
//!
//! Layers are not read. Where the merged picture is transparent, Photoshop has composited it on white already. Other
//! programs, such as GIMP, leave that to the reader.

use std::ops::Range;

use image::{GrayImage, RgbImage};

use super::color::{Profile, on_white, srgb_from_linear};
use super::decode::{Picture, Prepared};
use super::error::{DecodeError, damaged};
use super::jpeg::paper_to_rgb;
use super::lab::Lab;

/// A file whose headers have been read.
#[derive(Debug)]
pub(super) struct Psd<'a> {
    bytes: &'a [u8],
    width: usize,
    height: usize,
    /// Bits of a sample: 1, 8, 16, or 32 for linear light.
    depth: u16,
    colors: Colors<'a>,
    /// Number of channels in the file.
    channels: usize,
    has_alpha: bool,
    is_packed: bool,
    /// Where the image data starts, after its compression.
    data: usize,
    /// Size of a row's length in bytes: 2, or 4 in large documents.
    count_bytes: usize,
    profile: Option<&'a [u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colors<'a> {
    Bitmap,
    Gray,
    /// 256 reds, then greens, then blues.
    Indexed(&'a [u8]),
    Rgb,
    Cmyk,
    Lab,
}

impl Colors<'_> {
    fn channels(self) -> usize {
        match self {
            Self::Bitmap | Self::Gray | Self::Indexed(_) => 1,
            Self::Rgb | Self::Lab => 3,
            Self::Cmyk => 4,
        }
    }
}

/// Reads numbers and sections one after the other.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], DecodeError> {
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| DecodeError::new("the file ends before the picture is complete"))?;
        self.at += taken.len();
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.take(4).map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

impl<'a> Psd<'a> {
    /// Reads the headers.
    ///
    /// # Errors
    /// If they are damaged, if the document was saved without its merged picture, or if its colours are not supported.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader { bytes, at: 4 };
        let is_large = match reader.u16()? {
            1 => false,
            2 => true,
            version => return Err(damaged(format!("unknown version {version}"))),
        };
        reader.take(6)?;
        let channels = usize::from(reader.u16()?);
        let (height, width) = (reader.u32()?, reader.u32()?);
        let (depth, mode) = (reader.u16()?, reader.u16()?);
        let section = reader.u32()?;
        let palette = reader.take(section.into())?;
        let section = reader.u32()?;
        let resources = Resources::read(reader.take(section.into())?);
        let section = match is_large {
            true => u64::from(reader.u32()?) << 32 | u64::from(reader.u32()?),
            false => reader.u32()?.into(),
        };
        let layers = reader.take(section)?;
        let compression = reader.u16()?;

        // A negative number of layers means that the first channel after the colours is their opacity.
        let count = layers.get(if is_large { 8..10 } else { 4..6 }).map(|count| count[0] & 0x80 != 0);
        let colors = match (mode, depth) {
            (0, 1) => Colors::Bitmap,
            (1 | 8, 8 | 16 | 32) => Colors::Gray,
            (2, 8) if palette.len() >= 768 => Colors::Indexed(palette),
            (3, 8 | 16 | 32) => Colors::Rgb,
            (4, 8 | 16) => Colors::Cmyk,
            (7, _) => return Err(DecodeError::new("not supported: multichannel colours")),
            (9, 8 | 16) => Colors::Lab,
            _ => return Err(damaged(format!("colours of type {mode} with {depth} bits"))),
        };
        if width == 0 || height == 0 {
            return Err(DecodeError::new("the picture has no pixels"));
        }
        if width.max(height) > 300_000 || channels > 56 || channels < colors.channels() {
            return Err(damaged("impossible dimensions"));
        }
        if resources.has_merged_picture == Some(false) {
            return Err(DecodeError::new("the document was saved without its merged picture (Maximize Compatibility)"));
        }
        Ok(Self {
            bytes,
            width: width as usize,
            height: height as usize,
            depth,
            has_alpha: count == Some(true) && channels > colors.channels(),
            colors,
            channels,
            is_packed: match compression {
                0 => false,
                1 => true,
                _ => return Err(DecodeError::new("not supported: a merged picture that is compressed with ZIP")),
            },
            data: reader.at,
            count_bytes: if is_large { 4 } else { 2 },
            profile: resources.profile.filter(|_| colors == Colors::Rgb && depth != 32),
        })
    }

    /// Length of an uncompressed row in bytes.
    fn row_bytes(&self) -> usize {
        (self.width * usize::from(self.depth)).div_ceil(8)
    }

    /// Where each row of the first `channels` channels is in the file.
    fn rows(&self, channels: usize) -> impl Iterator<Item = Range<usize>> {
        let counts = self.channels * self.height * self.count_bytes;
        let mut start = if self.is_packed { self.data + counts } else { self.data };
        (0..channels * self.height).map(move |row| {
            let length = match self.is_packed {
                false => self.row_bytes(),
                true => {
                    let at = self.data + row * self.count_bytes;
                    let count = self.bytes.get(at..at + self.count_bytes).unwrap_or_default();
                    count.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
                }
            };
            let range = start..start.saturating_add(length);
            start = range.end;
            range
        })
    }

    /// Converts a row to 8 bits per sample.
    fn to_bytes(&self, row: &[u8], to: &mut [u8]) {
        match self.depth {
            1 => to
                .iter_mut()
                .enumerate()
                .for_each(|(x, to)| *to = if row[x / 8] >> (7 - x % 8) & 1 == 1 { 0 } else { 255 }),
            8 => to.copy_from_slice(row),
            16 => to.iter_mut().zip(row.as_chunks::<2>().0).for_each(|(to, sample)| {
                *to = ((u32::from(u16::from_be_bytes(*sample)) + 128) / 257) as u8;
            }),
            _ => to.iter_mut().zip(row.as_chunks::<4>().0).for_each(|(to, sample)| {
                *to = srgb_from_linear(f32::from_be_bytes(*sample));
            }),
        }
    }
}

impl Prepared for Psd<'_> {
    /// One plane for each channel, and RGB.
    fn decoding_bytes(&self) -> u64 {
        let channels = self.colors.channels() + usize::from(self.has_alpha);
        (self.width as u64 * self.height as u64).saturating_mul(channels as u64 + 3)
    }

    fn decode(&self, keeps_alpha: bool) -> Result<Picture, DecodeError> {
        let Self { width, height, .. } = *self;
        let channels = self.colors.channels() + usize::from(self.has_alpha);
        let mut planes = vec![255; channels * width * height];
        let mut row = vec![0; self.row_bytes()];
        let mut missing = 0;
        for (range, to) in self.rows(channels).zip(planes.chunks_exact_mut(width)) {
            let Some(data) = self.bytes.get(range) else {
                missing += 1;
                continue;
            };
            match self.is_packed {
                true => unpack(data, &mut row)?,
                false => row.copy_from_slice(data),
            }
            self.to_bytes(&row, to);
        }
        // Channels follow one another: without all of them there are no colours.
        if missing >= height {
            return Err(DecodeError::new("the file ends before the picture is complete"));
        }
        let mut planes = planes.chunks_exact(width * height);
        let mut plane = || planes.next().unwrap_or_default();
        let mut pixels: Vec<u8> = match self.colors {
            Colors::Bitmap | Colors::Gray => plane().iter().flat_map(|gray| [*gray; 3]).collect(),
            Colors::Indexed(palette) => {
                let color = |index: &u8| [0, 256, 512].map(|channel| palette[channel + usize::from(*index)]);
                plane().iter().flat_map(color).collect()
            }
            Colors::Rgb => {
                let channels = plane().iter().zip(plane()).zip(plane());
                channels.flat_map(|((red, green), blue)| [*red, *green, *blue]).collect()
            }
            // The ranges of the components are 0 to 100, and -128 to 127.
            Colors::Lab => {
                let channels = plane().iter().zip(plane()).zip(plane());
                let to_srgb = |l: u8, a: u8, b: u8| {
                    Lab::d50_to_srgb([f32::from(l) / 2.55, f32::from(a) - 128.0, f32::from(b) - 128.0])
                };
                channels.flat_map(|((l, a), b)| to_srgb(*l, *a, *b)).collect()
            }
            // Zero is full ink.
            Colors::Cmyk => {
                let channels = plane().iter().zip(plane()).zip(plane()).zip(plane());
                channels.flat_map(|(((c, m), y), k)| paper_to_rgb([*c, *m, *y, *k])).collect()
            }
        };
        let opacity = self.has_alpha.then(&mut plane);
        // Inks and Lab are mixed with white in other ways than RGB.
        let can_tell = matches!(self.colors, Colors::Gray | Colors::Rgb);
        if let Some(opacity) = opacity.filter(|opacity| can_tell && !is_on_white(&pixels, opacity)) {
            for (color, alpha) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(opacity) {
                *color = color.map(|value| on_white(value, *alpha));
            }
        }
        let opacity = opacity.filter(|_| keeps_alpha);
        let (width, height) = (width as u32, height as u32);
        let alpha = opacity.filter(|opacity| opacity.iter().any(|alpha| *alpha < 255));
        let alpha = alpha.and_then(|opacity| GrayImage::from_raw(width, height, opacity.to_vec()));
        let pixels = RgbImage::from_raw(width, height, pixels).ok_or_else(|| DecodeError::new("too few pixels"))?;
        Ok(Picture {
            profile: self.profile.map(|profile| Profile::Icc(profile.to_vec())),
            has_alpha: self.has_alpha,
            truncated: missing > 0,
            alpha,
            ..Picture::from_rgb(pixels)
        })
    }
}

/// Whether RGB pixels can have been composited on white: each is at least as bright as the white that shows through.
fn is_on_white(pixels: &[u8], opacity: &[u8]) -> bool {
    const ROUNDING: u8 = 2;
    let is_bright_enough =
        |(color, alpha): (&[u8; 3], &u8)| color.iter().all(|value| value.saturating_add(ROUNDING) >= 255 - alpha);
    pixels.as_chunks::<3>().0.iter().zip(opacity).all(is_bright_enough)
}

/// Expands a row that is compressed with PackBits (TIFF 6.0, section 9).
fn unpack(data: &[u8], row: &mut [u8]) -> Result<(), DecodeError> {
    let (mut data, mut filled) = (data, 0);
    while filled < row.len() {
        let wrong = || damaged("a row of the wrong length");
        let (&length, rest) = data.split_first().ok_or_else(wrong)?;
        data = rest;
        match length {
            0..=127 => {
                let (literal, rest) = data.split_at_checked(usize::from(length) + 1).ok_or_else(wrong)?;
                row.get_mut(filled..filled + literal.len()).ok_or_else(wrong)?.copy_from_slice(literal);
                (data, filled) = (rest, filled + literal.len());
            }
            128 => {}
            129.. => {
                let (&value, rest) = data.split_first().ok_or_else(wrong)?;
                let count = 257 - usize::from(length);
                row.get_mut(filled..filled + count).ok_or_else(wrong)?.fill(value);
                (data, filled) = (rest, filled + count);
            }
        }
    }
    Ok(())
}

/// The image resources that matter here.
#[derive(Debug, Default)]
struct Resources<'a> {
    profile: Option<&'a [u8]>,
    has_merged_picture: Option<bool>,
}

impl<'a> Resources<'a> {
    /// Reads resources until one is damaged.
    fn read(section: &'a [u8]) -> Self {
        let mut found = Self::default();
        let mut reader = Reader { bytes: section, at: 0 };
        while let Ok((id, data)) = Self::next(&mut reader) {
            match id {
                1039 => found.profile = Some(data),
                1057 => found.has_merged_picture = data.get(4).map(|flag| *flag != 0),
                _ => {}
            }
        }
        found
    }

    /// The next resource. Its name and its data are padded to even lengths.
    fn next(reader: &mut Reader<'a>) -> Result<(u16, &'a [u8]), DecodeError> {
        if reader.take(4)? != b"8BIM" {
            return Err(damaged("an unknown resource"));
        }
        let id = reader.u16()?;
        let name = reader.take(1)?[0];
        reader.take(u64::from(name | 1))?;
        let length = reader.u32()?;
        let data = reader.take(length.into())?;
        let _ = reader.take(u64::from(length % 2));
        Ok((id, data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A document of 3 × 2 pixels.
    struct Document {
        mode: u16,
        depth: u16,
        channels: u16,
        palette: Vec<u8>,
        resources: Vec<u8>,
        /// Negative if the channel after the colours is their opacity.
        layers: i16,
        compression: u16,
        data: Vec<u8>,
    }

    impl Document {
        fn of(mode: u16, depth: u16, channels: u16, data: &[u8]) -> Self {
            let (palette, resources) = (Vec::new(), Vec::new());
            Self { mode, depth, channels, palette, resources, layers: 0, compression: 0, data: data.to_vec() }
        }

        fn bytes(&self) -> Vec<u8> {
            let section = |data: &[u8]| [&(data.len() as u32).to_be_bytes()[..], data].concat();
            let layers = [&[0; 4][..], &self.layers.to_be_bytes()].concat();
            let mut file = b"8BPS\0\x01\0\0\0\0\0\0".to_vec();
            file.extend(self.channels.to_be_bytes());
            file.extend([0, 0, 0, 2, 0, 0, 0, 3]);
            file.extend([self.depth.to_be_bytes(), self.mode.to_be_bytes()].concat());
            file.extend([section(&self.palette), section(&self.resources), section(&layers)].concat());
            file.extend(self.compression.to_be_bytes());
            file.extend(&self.data);
            file
        }

        fn decode(&self) -> Result<Picture, DecodeError> {
            Psd::open(&self.bytes())?.decode(true)
        }

        fn pixels(&self) -> Vec<[u8; 3]> {
            self.decode().expect("a picture").pixels.pixels().map(|pixel| pixel.0).collect()
        }
    }

    #[test]
    fn each_kind_of_colours_is_converted() {
        let planes = |values: &[u8]| values.iter().flat_map(|value| [*value; 6]).collect::<Vec<u8>>();
        assert_eq!(Document::of(3, 8, 3, &planes(&[10, 20, 30])).pixels(), [[10, 20, 30]; 6]);
        assert_eq!(Document::of(1, 8, 1, &planes(&[77])).pixels(), [[77; 3]; 6]);
        assert_eq!(Document::of(4, 8, 4, &planes(&[255, 0, 0, 255])).pixels(), [[255, 0, 0]; 6]);
        assert_eq!(Document::of(9, 8, 3, &planes(&[255, 128, 128])).pixels(), [[255; 3]; 6]);
        assert_eq!(Document::of(9, 8, 3, &planes(&[153, 168, 148])).pixels(), [[215, 114, 112]; 6]);
        let deep: Vec<u8> =
            [0x80FF_u16, 0, 0xFFFF].iter().flat_map(|value| [value.to_be_bytes(); 6].concat()).collect();
        assert_eq!(Document::of(3, 16, 3, &deep).pixels(), [[128, 0, 255]; 6]);
        let light: Vec<u8> =
            [1.0_f32, 0.0, 0.215_861].iter().flat_map(|value| [value.to_be_bytes(); 6].concat()).collect();
        assert_eq!(Document::of(3, 32, 3, &light).pixels(), [[255, 0, 128]; 6]);
        let bits = Document::of(0, 1, 1, &[0b1010_0000, 0b0100_0000]).pixels();
        assert_eq!(bits.map_first_channel(), [0, 255, 0, 255, 0, 255]);
        let mut indexed = Document::of(2, 8, 1, &[7; 6]);
        indexed.palette = vec![0; 768];
        (indexed.palette[7], indexed.palette[256 + 7], indexed.palette[512 + 7]) = (1, 2, 3);
        assert_eq!(indexed.pixels(), [[1, 2, 3]; 6]);
    }

    trait FirstChannel {
        fn map_first_channel(&self) -> Vec<u8>;
    }

    impl FirstChannel for Vec<[u8; 3]> {
        fn map_first_channel(&self) -> Vec<u8> {
            self.iter().map(|pixel| pixel[0]).collect()
        }
    }

    #[test]
    fn packed_rows_are_found_by_their_lengths() {
        let mut document = Document::of(1, 8, 1, &[]);
        document.compression = 1;
        // Three times 5; and a literal of three after a byte that means nothing.
        document.data = vec![0, 2, 0, 5, 254, 5, 128, 2, 1, 2, 3];
        assert_eq!(document.pixels().map_first_channel(), [5, 5, 5, 1, 2, 3]);
        document.data[5] = 6;
        assert_eq!(document.pixels().map_first_channel(), [6, 6, 6, 1, 2, 3]);
        document.data[4] = 200;
        assert!(document.decode().is_err());
    }

    #[test]
    fn opacity_is_a_channel_only_if_the_layers_say_so() {
        let mut document = Document::of(1, 8, 2, &[9, 9, 9, 9, 9, 9, 0, 50, 255, 255, 255, 255]);
        assert!(!document.decode().expect("a picture").has_alpha);
        document.layers = -1;
        let picture = document.decode().expect("a picture");
        assert!(picture.has_alpha);
        assert_eq!(picture.alpha.expect("it is transparent").as_raw()[..3], [0, 50, 255]);
    }

    #[test]
    fn colours_are_composited_on_white_unless_they_already_are() {
        let opacity = [0, 128, 255, 255, 255, 255];
        let mut document = Document::of(1, 8, 2, &[[9, 9, 9, 9, 9, 9], opacity].concat());
        document.layers = -1;
        assert_eq!(document.pixels().map_first_channel(), [255, 132, 9, 9, 9, 9]);
        document.data = [[255, 132, 9, 9, 9, 9], opacity].concat();
        assert_eq!(document.pixels().map_first_channel(), [255, 132, 9, 9, 9, 9]);
    }

    #[test]
    fn a_document_without_its_merged_picture_says_so() {
        let mut document = Document::of(1, 8, 1, &[255; 6]);
        document.resources = [&b"8BIM\x04\x21\0\0\0\0\0\x05\0\0\0\x01\0"[..], b"\0"].concat();
        let error = document.decode().expect_err("no picture").to_string();
        assert!(error.contains("Maximize Compatibility"), "{error}");
        document.resources[16] = 1;
        assert!(document.decode().is_ok());
    }

    #[test]
    fn a_document_that_is_cut_off_anywhere_is_an_error_or_truncated() {
        let whole = Document::of(3, 8, 3, &[40; 18]).bytes();
        for length in 4..whole.len() {
            let result = Psd::open(&whole[..length]).and_then(|document| document.decode(false));
            assert!(result.is_err() || result.is_ok_and(|picture| picture.truncated), "{length}");
        }
    }
}
