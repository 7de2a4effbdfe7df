//! HEIF containers (ISO/IEC 23008-12): HEIC, AVIF, and JPEG or JPEG 2000 pictures in the same kind of file.
//!
//! The container states size, crop, turn, colours and alpha; what decodes the pixels depends on how they are coded.
//! Its turn and mirror replace the EXIF orientation, which is never applied to these files (6.5.10 and 6.5.12).

use heifer::heifer_hevc_dec::nal::NalUnit;
use heifer::heifer_hevc_dec::params::ParameterSets;
use heifer_isobmff::boxes::{ColorInfo, Property};
use heifer_isobmff::{HeifFile, ItemId};
use image::{GrayImage, RgbImage};

use super::avif;
use super::code_points::CodePoints;
use super::color::Profile;
use super::decode::{Picture, Prepared};
use super::error::{DecodeError, damaged};
use super::geometry::Geometry;
use super::heif_grid::ReducedGrid;
use super::hevc_item::coded_pixels;
use super::{jpeg, jpeg2000, sequence};

/// Maximum depth of pictures that are made from other pictures.
pub(super) const MAX_DEPTH: u32 = 4;

/// Pixels and opacity as they are stored, before they are cropped and turned.
pub(super) struct Layers {
    pub color: RgbImage,
    pub alpha: Option<GrayImage>,
    pub is_premultiplied: bool,
}

/// A HEIF file whose main picture can be decoded.
pub(super) struct Heif<'a> {
    file: HeifFile<'a>,
    coder: Coder<'a>,
    memory: u64,
}

/// What decodes the main picture.
enum Coder<'a> {
    /// The bytes of the file, and the largest number of pixels of a part.
    Hevc(&'a [u8], u64),
    HevcGrid(ReducedGrid),
    Av1,
    /// Another file in the container.
    Inner(Box<dyn Prepared + 'a>),
}

/// Reads the header of a HEIF or AVIF file, for a picture that will be scaled down to a shorter side of `side` pixels.
///
/// # Errors
/// If the container is damaged, or if its main picture is coded in a way that is not supported.
pub(super) fn open<'a>(bytes: &'a [u8], side: u32) -> Result<Box<dyn Prepared + 'a>, DecodeError> {
    let file = match HeifFile::parse(bytes) {
        Ok(file) => file,
        // A sequence may consist of a track only.
        Err(error) => match sequence::find(bytes) {
            Some(track) => return Ok(Box::new(avif::FirstFrame::open(bytes, track)?)),
            None => return Err(container_error(error)),
        },
    };
    let primary = file.primary_id;
    let coding = coding(&file, primary)?;
    let heif = match &coding {
        b"hvc1" if let Some(grid) = ReducedGrid::new(&file, primary, side) => {
            Heif { memory: grid.decoding_bytes(), coder: Coder::HevcGrid(grid), file }
        }
        b"hvc1" => {
            let pixels = largest_part(&file, primary, 0)?;
            let bytes_per_pixel = hevc_bytes(&file, primary);
            let memory = pixels.saturating_mul(bytes_per_pixel).saturating_mul(parts_at_once(&file, primary));
            Heif { coder: Coder::Hevc(bytes, pixels), memory, file }
        }
        b"av01" => Heif { memory: avif::decoding_bytes(&file, primary, 0)?, coder: Coder::Av1, file },
        b"jpeg" | b"j2k1" if file.item(primary).is_ok_and(|item| item.item_type.0 == coding) => {
            let data = avif::borrowed_data(&file, primary)?;
            let inner: Box<dyn Prepared + 'a> = match &coding {
                b"jpeg" => Box::new(jpeg::Inner::open(data, u32::MAX)?),
                _ => Box::new(jpeg2000::Jpeg2000::open(data)?),
            };
            Heif { memory: inner.decoding_bytes(), coder: Coder::Inner(inner), file }
        }
        b"unci" => return Err(DecodeError::new("not supported: HEIF with uncompressed pixels")),
        other => {
            let name = String::from_utf8_lossy(other);
            return Err(DecodeError::new(format!(
                "not supported: HEIF with pictures of type `{}`",
                name.escape_default()
            )));
        }
    };
    Ok(Box::new(heif))
}

/// The type of the coded pictures that an item is made of (6.6).
///
/// # Errors
/// If the container is damaged.
pub(super) fn coding(file: &HeifFile<'_>, item: ItemId) -> Result<[u8; 4], DecodeError> {
    let mut item = item;
    for _ in 0..=MAX_DEPTH {
        let kind = file.item(item).map_err(container_error)?.item_type.0;
        if !matches!(&kind, b"grid" | b"iovl" | b"iden") {
            return Ok(kind);
        }
        item = *file.referenced_items(item, b"dimg").first().ok_or_else(|| damaged("a grid without tiles"))?;
    }
    Err(damaged("pictures are nested too deeply"))
}

/// The size that the container states.
pub(super) fn size_of(file: &HeifFile<'_>, item: ItemId) -> Result<(u32, u32), DecodeError> {
    let size = match file.item(item).map_err(container_error)?.item_type.0 {
        kind if &kind == b"grid" => file.grid(item).map(|grid| Some((grid.output_width, grid.output_height))),
        _ => file.image_size(item),
    };
    match size.map_err(container_error)? {
        Some((0, _) | (_, 0)) => Err(DecodeError::new("the picture has no pixels")),
        Some(size) => Ok(size),
        None => Err(damaged("the container does not state the size")),
    }
}

/// The number of pixels of the largest of the item and its parts, as they are coded.
fn largest_part(file: &HeifFile<'_>, item: ItemId, depth: u32) -> Result<u64, DecodeError> {
    let mut largest = coded_pixels(size_of(file, item)?);
    if depth < MAX_DEPTH {
        // Tiles of a grid have one size.
        for part in file.referenced_items(item, b"dimg").iter().take(1) {
            largest = largest.max(largest_part(file, *part, depth + 1)?);
        }
    }
    Ok(largest)
}

/// Memory for a pixel while it is decoded, in bytes: RGBA, twice where it is turned or cropped, and the planes of 16 bits
/// and what filters need. The planes of a grid are those of one tile.
fn hevc_bytes(file: &HeifFile<'_>, item: ItemId) -> u64 {
    let is_moved = file.item_properties(item).is_ok_and(|mut properties| {
        properties.any(|found| match found {
            Property::Rotation(quarters) => *quarters > 0,
            found => matches!(found, Property::Mirror(_) | Property::CleanAperture { .. }),
        })
    });
    let planes = match file.hevc_config(item) {
        Ok(Some(config)) => 2 + [2, 3, 4, 6].get(usize::from(config.chroma_format)).copied().unwrap_or(6),
        _ => 2,
    };
    let has_alpha = !file.referencing_items(item, b"auxl").is_empty();
    4 + if is_moved { 4 } else { 0 } + planes + if has_alpha { 8 } else { 0 }
}

/// How many pictures of that size are in memory at once: all inputs of an overlay, and the result.
fn parts_at_once(file: &HeifFile<'_>, item: ItemId) -> u64 {
    match file.item(item) {
        Ok(found) if &found.item_type.0 == b"iovl" => 1 + file.referenced_items(item, b"dimg").len() as u64,
        _ => 1,
    }
}

/// The colour space that the container states for an item, or for the first of its parts.
pub(super) fn profile_of(file: &HeifFile<'_>, item: ItemId, in_stream: Option<(u16, u16)>) -> Option<Profile> {
    if let Ok(Some(icc)) = file.icc_profile(item) {
        return Some(Profile::Icc(icc.to_vec()));
    }
    let stated = |item: ItemId| {
        file.item_properties(item).ok()?.find_map(|property| match property {
            Property::Color(ColorInfo::Nclx { primaries, transfer, .. }) => Some((*primaries, *transfer)),
            _ => None,
        })
    };
    let part = file.referenced_items(item, b"dimg").first().copied();
    let (primaries, transfer) = stated(item)
        .or_else(|| part.and_then(stated))
        .or(in_stream)
        .or_else(|| [Some(item), part].into_iter().flatten().find_map(|item| code_points_of_hevc(file, item)))?;
    CodePoints::new(primaries, transfer).map(Profile::CodePoints)
}

/// Code points in the parameter sets of an HEVC picture (ITU-T H.265, E.2.1).
fn code_points_of_hevc(file: &HeifFile<'_>, item: ItemId) -> Option<(u16, u16)> {
    let mut sets = ParameterSets::default();
    for unit in &file.hevc_config(item).ok()??.nal_units {
        sets.add(&NalUnit::parse(unit).ok()?).ok()?;
    }
    let vui = sets.sps.iter().flatten().find_map(|sps| sps.vui.as_ref())?;
    Some((vui.colour_primaries.into(), vui.transfer_characteristics.into()))
}

impl Prepared for Heif<'_> {
    fn decoding_bytes(&self) -> u64 {
        self.memory
    }

    fn is_reduced(&self) -> bool {
        matches!(self.coder, Coder::HevcGrid(_))
    }

    fn decode(&self, keeps_alpha: bool) -> Result<Picture, DecodeError> {
        let (file, primary) = (&self.file, self.file.primary_id);
        Ok(match &self.coder {
            Coder::Hevc(bytes, max_pixels) => {
                let options = heifer::Options { max_threads: 1, max_pixels: *max_pixels };
                let image = heifer::decode_rgba8(bytes, &options).map_err(hevc_error)?;
                let (width, height) = (image.width, image.height);
                let picture = match image.has_alpha {
                    true => Picture::from_rgba(image.data, width, height, keeps_alpha),
                    false => RgbImage::from_raw(width, height, image.into_rgb8()).map(Picture::from_rgb),
                };
                let picture = picture.ok_or_else(|| DecodeError::new("the decoder returned too few pixels"))?;
                Picture { profile: profile_of(file, primary, None), ..picture }
            }
            Coder::HevcGrid(grid) => Picture { profile: profile_of(file, primary, None), ..grid.decode(file)? },
            Coder::Av1 => {
                let (layers, points) = avif::decode_item(file, primary, 0)?;
                let geometry = geometry_of(file, primary);
                let picture = geometry.apply(Picture::from_layers(layers, keeps_alpha));
                Picture { profile: profile_of(file, primary, points), ..picture }
            }
            Coder::Inner(inner) => {
                let picture = geometry_of(file, primary).apply(inner.decode(keeps_alpha)?);
                Picture { profile: profile_of(file, primary, None).or(picture.profile), ..picture }
            }
        })
    }
}

/// Crop, turn and mirror of an item.
pub(super) fn geometry_of(file: &HeifFile<'_>, item: ItemId) -> Geometry {
    file.item_properties(item).map(Geometry::new).unwrap_or_default()
}

/// Converts an error of the container's parser.
pub(super) fn container_error(error: heifer_isobmff::Error) -> DecodeError {
    match error {
        heifer_isobmff::Error::UnexpectedEof => DecodeError::new("the file ends before the picture is complete"),
        heifer_isobmff::Error::Unimplemented(what) => DecodeError::new(format!("not supported: {what}")),
        other => damaged(other),
    }
}

pub(super) fn hevc_error(error: heifer::Error) -> DecodeError {
    match error {
        heifer::Error::Container(error) => container_error(error),
        heifer::Error::Unsupported(what) => DecodeError::new(format!("not supported: {what}")),
        other => damaged(other),
    }
}
