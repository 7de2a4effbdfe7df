//! AVIF (AOMedia, AV1 Image File Format): single pictures, grids of tiles, alpha, and the first frame of sequences.

use std::borrow::Cow;

use heifer_isobmff::boxes::{ColorInfo, Property};
use heifer_isobmff::{HeifFile, ItemId};
use image::{GrayImage, ImageBuffer, Luma, Pixel, Rgb, imageops};

use super::av1::{Av1Frame, Coding};
use super::code_points::CodePoints;
use super::color::Profile;
use super::decode::{Picture, Prepared};
use super::error::{DecodeError, damaged};
use super::heif::{Layers, MAX_DEPTH, container_error, size_of};
use super::sequence::Track;

/// Memory for a picture while it is decoded, in bytes: the decoder's planes and those of film grain, three bytes per
/// pixel of 8 bits or six of more; the planes in 8 bits; and RGB.
fn frame_bytes(pixels: u64, is_deep: bool) -> u64 {
    pixels.saturating_mul(if is_deep { 2 * 6 + 3 + 3 } else { 2 * 3 + 3 + 3 })
}

/// Peak memory for the pixels of an item in bytes, by the sizes and depths that the container states.
///
/// # Errors
/// If the container is damaged or incomplete.
pub(super) fn decoding_bytes(file: &HeifFile<'_>, item: ItemId, depth: u32) -> Result<u64, DecodeError> {
    let (width, height) = size_of(file, item)?;
    let pixels = u64::from(width) * u64::from(height);
    let alpha =
        if alpha_item(file, item).is_some() { frame_bytes(pixels, is_deep(file, item)) / 3 + pixels } else { 0 };
    let own = match file.referenced_items(item, b"dimg").first() {
        Some(part) if depth < MAX_DEPTH => decoding_bytes(file, *part, depth + 1)?.saturating_add(3 * pixels),
        _ => frame_bytes(pixels, is_deep(file, item)),
    };
    Ok(own.saturating_add(alpha))
}

/// Whether samples have more than 8 bits, by the codec's configuration (AV1 Codec ISO Media File Format Binding, 2.3.3).
fn is_deep(file: &HeifFile<'_>, item: ItemId) -> bool {
    property(file, item, |found| match found {
        Property::Unknown(kind, content) if &kind.0 == b"av1C" => content.get(2).map(|flags| flags & 0x40 != 0),
        _ => None,
    })
    .unwrap_or(false)
}

fn property<T>(file: &HeifFile<'_>, item: ItemId, find: impl FnMut(&Property) -> Option<T>) -> Option<T> {
    file.item_properties(item).ok()?.find_map(find)
}

/// The item with the opacity of another.
fn alpha_item(file: &HeifFile<'_>, item: ItemId) -> Option<ItemId> {
    let is_alpha = |candidate: &ItemId| {
        property(file, *candidate, |found| match found {
            Property::AuxiliaryType(kind) => Some(kind == "urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"),
            _ => None,
        }) == Some(true)
    };
    file.referencing_items(item, b"auxl").into_iter().find(is_alpha)
}

/// The data of an item that is stored in one piece.
///
/// # Errors
/// If the container is damaged, or if the data is scattered.
pub(super) fn borrowed_data<'a>(file: &HeifFile<'a>, item: ItemId) -> Result<&'a [u8], DecodeError> {
    match file.item_data(item).map_err(container_error)? {
        Cow::Borrowed(data) => Ok(data),
        Cow::Owned(_) => Err(DecodeError::new("not supported: pictures in several pieces")),
    }
}

/// Decodes an item and its alpha channel. Also returns the code points in the bitstream.
///
/// # Errors
/// If the data is damaged.
pub(super) fn decode_item(
    file: &HeifFile<'_>,
    item: ItemId,
    depth: u32,
) -> Result<(Layers, Option<(u16, u16)>), DecodeError> {
    let mut points = None;
    let color = assembled(file, item, depth, &mut |tile| {
        let frame = frame(file, tile)?;
        points.get_or_insert(frame.code_points());
        frame.to_rgb()
    })?;
    let alpha_item = alpha_item(file, item);
    let alpha = alpha_item.map(|item| assembled(file, item, depth, &mut |tile| frame(file, tile)?.to_alpha()));
    let alpha = alpha.transpose()?.map(|alpha| with_size(alpha, color.dimensions()));
    let is_premultiplied = alpha_item.is_some_and(|alpha| file.referenced_items(item, b"prem").contains(&alpha));
    Ok((Layers { color, alpha, is_premultiplied }, points))
}

/// Scales an alpha channel that has another size than its picture.
fn with_size(alpha: GrayImage, (width, height): (u32, u32)) -> GrayImage {
    match alpha.dimensions() == (width, height) {
        true => alpha,
        false => imageops::resize(&alpha, width, height, imageops::FilterType::Triangle),
    }
}

/// Decodes a coded item.
fn frame(file: &HeifFile<'_>, item: ItemId) -> Result<Av1Frame, DecodeError> {
    let (width, height) = size_of(file, item)?;
    let coding = property(file, item, |found| match found {
        Property::Color(ColorInfo::Nclx { matrix, full_range, .. }) => {
            Some(Coding { matrix: *matrix, is_full_range: *full_range })
        }
        _ => None,
    });
    let operating_point = property(file, item, |found| match found {
        Property::Unknown(kind, content) if &kind.0 == b"a1op" => content.first().copied(),
        _ => None,
    });
    let data = file.item_data(item).map_err(container_error)?;
    Av1Frame::decode(&data, width.saturating_mul(height), operating_point.unwrap_or(0), coding)
}

/// An image of one kind of pixel with 8 bits per channel.
type Plane<P> = ImageBuffer<P, Vec<u8>>;

/// Decodes an item with `decode`, or the tiles that it consists of (ISO/IEC 23008-12, 6.6.2.3).
fn assembled<P: Pixel<Subpixel = u8> + Canvas>(
    file: &HeifFile<'_>,
    item: ItemId,
    depth: u32,
    decode: &mut impl FnMut(ItemId) -> Result<Plane<P>, DecodeError>,
) -> Result<Plane<P>, DecodeError> {
    if depth > MAX_DEPTH {
        return Err(damaged("pictures are nested too deeply"));
    }
    let parts = file.referenced_items(item, b"dimg");
    match &file.item(item).map_err(container_error)?.item_type.0 {
        b"av01" => decode(item),
        b"iden" if let [part] = parts => assembled(file, *part, depth + 1, decode),
        b"grid" => {
            let grid = file.grid(item).map_err(container_error)?;
            let (columns, rows) = (u32::from(grid.columns), u32::from(grid.rows));
            if parts.len() as u64 != u64::from(columns) * u64::from(rows) {
                return Err(damaged("the number of tiles is wrong"));
            }
            let mut canvas: Plane<P> = ImageBuffer::from_pixel(grid.output_width, grid.output_height, P::EMPTY);
            let mut size = None;
            for (at, part) in (0..).zip(parts) {
                let tile = assembled(file, *part, depth + 1, decode)?;
                if *size.get_or_insert(tile.dimensions()) != tile.dimensions() {
                    return Err(damaged("tiles have different sizes"));
                }
                let (column, row) = (i64::from(at % columns), i64::from(at / columns));
                let (x, y) = (column * i64::from(tile.width()), row * i64::from(tile.height()));
                imageops::replace(&mut canvas, &tile, x, y);
            }
            Ok(canvas)
        }
        _ => Err(DecodeError::new("not supported: AVIF with overlaid pictures")),
    }
}

/// What a canvas is filled with before its tiles are drawn.
trait Canvas {
    const EMPTY: Self;
}

impl Canvas for Rgb<u8> {
    const EMPTY: Self = Self([255; 3]);
}

impl Canvas for Luma<u8> {
    const EMPTY: Self = Self([0]);
}

/// The first frame of a sequence that has no picture of its own.
pub(super) struct FirstFrame<'a> {
    track: Track,
    data: &'a [u8],
}

impl<'a> FirstFrame<'a> {
    /// Checks that the frames of a track can be decoded.
    ///
    /// # Errors
    /// If they are coded in a way that is not supported.
    pub(super) fn open(bytes: &'a [u8], track: Track) -> Result<Self, DecodeError> {
        if &track.coding != b"av01" {
            let name = String::from_utf8_lossy(&track.coding).escape_default().to_string();
            return Err(DecodeError::new(format!("not supported: a sequence of pictures of type `{name}`")));
        }
        if track.width == 0 || track.height == 0 {
            return Err(DecodeError::new("the picture has no pixels"));
        }
        let (offset, length) = track.first_sample;
        let range = usize::try_from(offset).ok().zip(usize::try_from(length).ok());
        let data = range.and_then(|(start, length)| bytes.get(start..start.checked_add(length)?));
        let data = data.ok_or_else(|| DecodeError::new("the file ends before the picture is complete"))?;
        Ok(Self { track, data })
    }
}

impl Prepared for FirstFrame<'_> {
    fn decoding_bytes(&self) -> u64 {
        frame_bytes(u64::from(self.track.width) * u64::from(self.track.height), true)
    }

    fn decode(&self, _keeps_alpha: bool) -> Result<Picture, DecodeError> {
        let max_pixels = u32::from(self.track.width) * u32::from(self.track.height);
        let frame = Av1Frame::decode(self.data, max_pixels, 0, None)?;
        let (primaries, transfer) = frame.code_points();
        let profile = CodePoints::new(primaries, transfer).map(Profile::CodePoints);
        Ok(Picture { profile, ..Picture::from_rgb(frame.to_rgb()?) })
    }
}
