//! Single HEVC pictures in HEIF containers: the tiles of a grid, and thumbnails.

use heifer::color::{ColorParams, frame_to_rgba_sized};
use heifer::heifer_hevc_dec::decoder::{DecodeOptions, decode_picture};
use heifer::heifer_hevc_dec::recon::Frame;
use heifer_isobmff::boxes::{ColorInfo, Property};
use heifer_isobmff::{HeifFile, ItemId};

use super::error::{DecodeError, damaged};
use super::heif::{container_error, hevc_error};

/// Maximum number of pixels with which a picture of this size is coded. Coded sides are multiples of up to 64.
pub(super) fn coded_pixels((width, height): (u32, u32)) -> u64 {
    let padded = |side: u32| u64::from(side).next_multiple_of(64) + 64;
    padded(width).saturating_mul(padded(height))
}

/// Peak memory for decoding an item of this size, in bytes: the planes before and after filters, what filters need to
/// know, and RGBA.
pub(super) fn decoding_bytes(file: &HeifFile<'_>, item: ItemId, size: (u32, u32)) -> u64 {
    let planes = match file.hevc_config(item) {
        Ok(Some(config)) => [2, 3, 4, 6].get(usize::from(config.chroma_format)).copied().unwrap_or(6),
        _ => 6,
    };
    coded_pixels(size).saturating_mul(2 * planes + 2 + 4)
}

/// The upper left part of an item as RGBA, as it is stored. `size` is the size that the container states for the item.
///
/// # Errors
/// If the item is damaged, or smaller than the container states.
pub(super) fn decode_rgba(
    file: &HeifFile<'_>,
    item: ItemId,
    size: (u32, u32),
    (width, height): (u32, u32),
) -> Result<Vec<u8>, DecodeError> {
    let stream = file.hevc_bitstream(item).map_err(container_error)?;
    let options = DecodeOptions { max_pixels: coded_pixels(size), ..DecodeOptions::default() };
    let frame = decode_picture(&stream, options).map_err(|error| hevc_error(error.into()))?;
    if frame.widths[0] < size.0 || frame.heights[0] < size.1 {
        return Err(damaged("a coded picture is smaller than the container states"));
    }
    Ok(frame_to_rgba_sized::<u8>(&frame, color_params(file, item, &frame), width, height).data)
}

/// How the samples of an item are coded: as the container states, or else as the stream does.
fn color_params(file: &HeifFile<'_>, item: ItemId, frame: &Frame) -> ColorParams {
    let stated = file.item_properties(item).ok().and_then(|mut properties| {
        properties.find_map(|property| match property {
            Property::Color(ColorInfo::Nclx { matrix, full_range, .. }) => {
                Some(ColorParams { matrix: *matrix, full_range: *full_range })
            }
            _ => None,
        })
    });
    stated.unwrap_or_else(|| ColorParams::from_frame(frame))
}
