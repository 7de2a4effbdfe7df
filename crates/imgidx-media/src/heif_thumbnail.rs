//! Thumbnails in HEIF containers: items that refer to the main picture with `thmb` (ISO/IEC 23008-12).
//!
//! Phones store one of 320 × 240 or 384 × 512 pixels, which is decoded in a hundredth of the time of the whole picture.
//! Only a thumbnail is used that shows the same as the whole picture: of the same shape, turned alike, and without
//! opacity.

use heifer_isobmff::boxes::Property;
use heifer_isobmff::{HeifFile, ItemId};
use image::{DynamicImage, RgbImage};

use super::avif;
use super::decode::{Picture, Prepared};
use super::error::{DecodeError, damaged};
use super::heif::{coding, geometry_of, profile_of, size_of};
use super::heif_grid::{has_alpha, shown};
use super::hevc_item::{self, decode_rgba};

/// How far the shape of a thumbnail may be from that of the whole picture, in per cent. Sides are rounded to pixels.
const MAX_SHAPE_DIFFERENCE: u64 = 3;

/// A thumbnail that can stand in for the whole picture.
pub(super) struct Thumbnail<'a> {
    file: HeifFile<'a>,
    item: ItemId,
    coding: Coding,
    /// Width and height of the stored thumbnail.
    size: (u32, u32),
    /// Width and height of the whole picture before it is turned.
    whole: (u32, u32),
    memory: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Hevc,
    Av1,
}

impl<'a> Thumbnail<'a> {
    /// The smallest thumbnail whose shorter side has at least `side` pixels. `None` if there is none.
    pub(super) fn open(bytes: &'a [u8], side: u32) -> Option<Self> {
        let file = HeifFile::parse(bytes).ok()?;
        let primary = file.primary_id;
        let kind = coding(&file, primary).ok()?;
        let coding = match &kind {
            b"hvc1" => Coding::Hevc,
            b"av01" => Coding::Av1,
            _ => return None,
        };
        let whole = whole_size(&file, coding).filter(|_| !has_alpha(&file, primary))?;
        let stands_in = |item: ItemId| {
            let size = size_of(&file, item).ok()?;
            let is_coded_alike = file.item(item).is_ok_and(|item| item.item_type.0 == kind);
            let geometry = geometry_of(&file, item);
            let is_turned_alike = geometry.flips() == geometry_of(&file, primary).flips();
            let (width, height) = geometry.cropped(size);
            let is_large = width.min(height) >= side && width < whole.0 && height < whole.1;
            (is_coded_alike && is_turned_alike && is_large && has_shape_of((width, height), whole))
                .then_some((item, size))
        };
        let thumbnails = file.referencing_items(primary, b"thmb").into_iter().filter_map(stands_in);
        let (item, size) = thumbnails.min_by_key(|(_, (width, height))| u64::from(*width) * u64::from(*height))?;
        let pixels = u64::from(size.0) * u64::from(size.1);
        let memory = match coding {
            Coding::Hevc => {
                hevc_item::decoding_bytes(&file, item, size).saturating_add(pixels.saturating_mul(TURNING_BYTES))
            }
            Coding::Av1 => avif::decoding_bytes(&file, item, 0).ok()?,
        };
        Some(Self { file, item, coding, size, whole, memory })
    }

    /// The upright pixels of a thumbnail that is coded as HEVC.
    fn decode_hevc(&self) -> Result<Picture, DecodeError> {
        let rgba = decode_rgba(&self.file, self.item, self.size, self.size)?;
        let pixels = rgba.as_chunks::<4>().0.iter().flat_map(|[red, green, blue, _]| [*red, *green, *blue]).collect();
        let pixels = RgbImage::from_raw(self.size.0, self.size.1, pixels)
            .ok_or_else(|| damaged("a thumbnail is smaller than the container states"))?;
        // The decoder of whole pictures turns them as well, so that both report no orientation.
        let stored = geometry_of(&self.file, self.item).apply(Picture::from_rgb(pixels));
        let (whole, orientation) = (stored.turned(self.whole.0, self.whole.1), stored.orientation());
        let mut pixels = DynamicImage::from(stored.pixels);
        pixels.apply_orientation(orientation);
        Ok(Picture { nominal_size: Some(whole), ..Picture::from_rgb(pixels.into_rgb8()) })
    }
}

/// Memory for a pixel while it is cropped and turned, in bytes.
const TURNING_BYTES: u64 = 3 * 3;

/// Width and height of the whole picture, cropped but not turned, as its decoder reports them.
fn whole_size(file: &HeifFile<'_>, coding: Coding) -> Option<(u32, u32)> {
    let stored = size_of(file, file.primary_id).ok()?;
    match coding {
        Coding::Hevc => shown(file, file.primary_id, stored).map(|area| (area.width, area.height)),
        Coding::Av1 => Some(geometry_of(file, file.primary_id).cropped(stored)),
    }
}

/// Whether two sizes have the same ratio of width to height, as far as whole pixels allow.
fn has_shape_of((width, height): (u32, u32), whole: (u32, u32)) -> bool {
    let (a, b) = (u64::from(width) * u64::from(whole.1), u64::from(height) * u64::from(whole.0));
    // Both sides of a picture are below 2^32, so that the products are below 2^64.
    a.abs_diff(b) <= a.max(b) / 100 * MAX_SHAPE_DIFFERENCE
}

impl Prepared for Thumbnail<'_> {
    fn decoding_bytes(&self) -> u64 {
        self.memory
    }

    fn decode(&self, keeps_alpha: bool) -> Result<Picture, DecodeError> {
        let (picture, points) = match self.coding {
            Coding::Hevc => (self.decode_hevc()?, None),
            Coding::Av1 => {
                let (layers, points) = avif::decode_item(&self.file, self.item, 0)?;
                let picture = geometry_of(&self.file, self.item).apply(Picture::from_layers(layers, keeps_alpha));
                (Picture { nominal_size: Some(self.whole), ..picture }, points)
            }
        };
        // Writers may state the colour space for the main picture only.
        let states_color = self
            .file
            .item_properties(self.item)
            .is_ok_and(|mut properties| properties.any(|property| matches!(property, Property::Color(_))));
        let item = if states_color { self.item } else { self.file.primary_id };
        Ok(Picture { profile: profile_of(&self.file, item, points), ..picture })
    }
}
