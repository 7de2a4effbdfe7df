//! Decodes large HEIC pictures at reduced size, tile by tile.
//!
//! Phones store a picture as a grid of small ones (ISO/IEC 23008-12, 6.6.2.3), usually of 512 × 512 pixels. Where far
//! fewer pixels are requested, each tile is averaged over squares as soon as it is decoded, so that only one tile and
//! the reduced picture are in memory. Squares may cross the borders of tiles.

use heifer_isobmff::boxes::Property;
use heifer_isobmff::{HeifFile, ItemId};
use image::RgbImage;

use super::decode::{OVERSAMPLING, Picture};
use super::error::DecodeError;
use super::geometry::{Flips, Geometry};
use super::heif::size_of;
use super::hevc_item::{decode_rgba, decoding_bytes};

/// Maximum side of a square in pixels. The sum of its bytes fits into 16 bits.
const MAX_DIVISOR: u32 = 16;

/// Memory for a pixel of the reduced picture in bytes: its sums, and its colour before and after it is turned.
const BYTES_PER_SQUARE: u64 = 6 + 3 + 3;

/// A part of a picture in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

/// How to decode a grid at reduced size.
#[derive(Debug, Clone)]
pub(super) struct ReducedGrid {
    /// The tiles, row by row.
    tiles: Vec<ItemId>,
    columns: u32,
    /// Width and height of a tile.
    tile: (u32, u32),
    /// Width and height of the grid. The last tiles of rows and columns may be larger than what is left.
    size: (u32, u32),
    /// What is shown of the grid.
    area: Area,
    flips: Flips,
    /// Side of the squares in pixels.
    divisor: u32,
    /// Memory for a tile while it is decoded, in bytes.
    tile_bytes: u64,
}

impl ReducedGrid {
    /// Reduced size for a shorter side of `side` pixels. `None` if the picture is too small, or if it is not a grid of
    /// plain tiles: opaque, and not turned or cropped themselves.
    pub(super) fn new(file: &HeifFile<'_>, item: ItemId, side: u32) -> Option<Self> {
        if &file.item(item).ok()?.item_type.0 != b"grid" || has_alpha(file, item) {
            return None;
        }
        let grid = file.grid(item).ok()?;
        let (columns, rows) = (u32::from(grid.columns), u32::from(grid.rows));
        let tiles = file.referenced_items(item, b"dimg");
        let tile @ (tile_width, tile_height) = size_of(file, *tiles.first()?).ok()?;
        // Every tile shows something, and nothing is left over.
        let fits = |count: u32, tile: u32, whole: u32| whole.div_ceil(tile) == count;
        let is_covered = fits(columns, tile_width, grid.output_width) && fits(rows, tile_height, grid.output_height);
        let is_complete = tiles.len() as u64 == u64::from(columns) * u64::from(rows);
        if !is_covered || !is_complete || !tiles.iter().all(|tile| is_plain(file, *tile)) {
            return None;
        }
        let area = shown(file, item, (grid.output_width, grid.output_height))?;
        let divisor = (area.width.min(area.height) / side.saturating_mul(OVERSAMPLING).max(1)).min(MAX_DIVISOR);
        (divisor > 1).then(|| Self {
            tiles: tiles.to_vec(),
            columns,
            tile,
            size: (grid.output_width, grid.output_height),
            area,
            flips: file.item_properties(item).map(Geometry::new).unwrap_or_default().flips(),
            divisor,
            tile_bytes: decoding_bytes(file, tiles[0], tile),
        })
    }

    /// Peak memory of decoding in bytes: one tile, and the reduced picture.
    pub(super) fn decoding_bytes(&self) -> u64 {
        let (columns, rows) = self.squares();
        self.tile_bytes.saturating_add(BYTES_PER_SQUARE * u64::from(columns) * u64::from(rows))
    }

    /// Decodes the picture. It is upright, and each pixel is the mean of a square.
    ///
    /// # Errors
    /// If any tile is damaged.
    pub(super) fn decode(&self, file: &HeifFile<'_>) -> Result<Picture, DecodeError> {
        let (columns, rows) = self.squares();
        let mut sums = vec![[0_u16; 3]; columns as usize * rows as usize];
        for (number, tile) in (0..).zip(&self.tiles) {
            self.add_tile(file, number, *tile, &mut sums)?;
        }
        let Self { area: Area { width, height, .. }, flips, divisor, .. } = *self;
        let length = |square: u32, whole: u32| divisor.min(whole - square * divisor);
        let pixels = RgbImage::from_fn(columns, rows, |x, y| {
            let count = length(x, width) * length(y, height);
            let sum = sums[(y * columns + x) as usize];
            image::Rgb(sum.map(|sum| ((u32::from(sum) + count / 2) / count) as u8))
        });
        drop(sums);
        Ok(match flips.is_transposed {
            true => Picture::from_means(transposed(&pixels), height, width, divisor),
            false => Picture::from_means(pixels, width, height, divisor),
        })
    }

    /// Number of squares in a row and in a column, before the picture is transposed.
    fn squares(&self) -> (u32, u32) {
        (self.area.width.div_ceil(self.divisor), self.area.height.div_ceil(self.divisor))
    }

    /// Decodes a tile and adds its pixels to the sums of their squares.
    fn add_tile(
        &self,
        file: &HeifFile<'_>,
        number: u32,
        tile: ItemId,
        sums: &mut [[u16; 3]],
    ) -> Result<(), DecodeError> {
        let Self { area, flips, divisor, .. } = *self;
        let (left, top) = (number % self.columns * self.tile.0, number / self.columns * self.tile.1);
        let (width, height) = (self.tile.0.min(self.size.0 - left), self.tile.1.min(self.size.1 - top));
        // The squares of the tile's columns and rows. Counting starts where the upright picture does.
        let squares = |start: u32, tile: u32, from: u32, length: u32, is_mirrored: bool| {
            let shown = (start..start + tile).map(move |at| at.checked_sub(from).filter(|at| *at < length));
            shown.map(move |at| at.map(|at| if is_mirrored { length - 1 - at } else { at } / divisor))
        };
        let across: Vec<Option<u32>> = squares(left, width, area.left, area.width, flips.mirrors_x).collect();
        let mut down = squares(top, height, area.top, area.height, flips.mirrors_y);
        if across.iter().all(Option::is_none) || down.clone().all(|square| square.is_none()) {
            return Ok(());
        }
        let rgba = decode_rgba(file, tile, self.tile, (width, height))?;
        let columns = self.squares().0;
        for row in rgba.chunks_exact(4 * width as usize) {
            let Some(square_row) = down.next().flatten() else { continue };
            let sums = &mut sums[(square_row * columns) as usize..][..columns as usize];
            for (pixel, square) in row.as_chunks::<4>().0.iter().zip(&across) {
                if let Some(square) = square {
                    let sum = &mut sums[*square as usize];
                    (0..3).for_each(|color| sum[color] += u16::from(pixel[color]));
                }
            }
        }
        Ok(())
    }
}

/// Whether another picture in the file is the opacity of an item.
pub(super) fn has_alpha(file: &HeifFile<'_>, item: ItemId) -> bool {
    let is_alpha = |property: &Property| {
        matches!(property, Property::AuxiliaryType(kind)
            if kind == "urn:mpeg:hevc:2015:auxid:1" || kind == "urn:mpeg:mpegB:cicp:systems:auxiliary:alpha")
    };
    let mut auxiliary = file.referencing_items(item, b"auxl").into_iter();
    auxiliary.any(|item| file.item_properties(item).is_ok_and(|mut properties| properties.any(is_alpha)))
}

/// Whether a tile is a coded picture that is shown as it is decoded.
fn is_plain(file: &HeifFile<'_>, tile: ItemId) -> bool {
    let is_changed = |property: &Property| {
        matches!(property, Property::CleanAperture { .. } | Property::Rotation(1..) | Property::Mirror(_))
    };
    file.item(tile).is_ok_and(|item| &item.item_type.0 == b"hvc1")
        && file.referencing_items(tile, b"auxl").is_empty()
        && file.item_properties(tile).is_ok_and(|mut properties| !properties.any(is_changed))
}

/// What is shown of an item of this size. `None` if it is cropped in an unusual way: more than once, or after it was
/// turned.
pub(super) fn shown(file: &HeifFile<'_>, item: ItemId, (width, height): (u32, u32)) -> Option<Area> {
    let mut area = Area { left: 0, top: 0, width, height };
    let changes = file.item_properties(item).ok()?.filter(|property| {
        matches!(property, Property::CleanAperture { .. } | Property::Rotation(_) | Property::Mirror(_))
    });
    for (number, change) in changes.enumerate() {
        if let Property::CleanAperture { width: across, height: down, horiz_offset, vert_offset } = change {
            if number > 0 {
                return None;
            }
            (area.left, area.width) = span(*across, *horiz_offset, width)?;
            (area.top, area.height) = span(*down, *vert_offset, height)?;
        }
    }
    Some(area)
}

/// Start and length of a crop along one side, rounded as the decoder for full size does it. `None` if nothing is left.
fn span(length: (u32, u32), offset: (i32, u32), whole: u32) -> Option<(u32, u32)> {
    if length.1 == 0 || offset.1 == 0 {
        return None;
    }
    let length = f64::from(length.0) / f64::from(length.1);
    let centre = f64::from(offset.0) / f64::from(offset.1) + (f64::from(whole) - 1.0) / 2.0;
    let start = ((centre - (length - 1.0) / 2.0).round().max(0.0) as u32).min(whole);
    let length = (length.round() as u32).min(whole - start);
    (length > 0).then_some((start, length))
}

/// Swaps rows and columns.
fn transposed(pixels: &RgbImage) -> RgbImage {
    RgbImage::from_fn(pixels.height(), pixels.width(), |x, y| *pixels.get_pixel(y, x))
}

#[cfg(test)]
mod tests {
    use super::super::decode::tests::{detailed, difference};
    use super::*;
    use crate::{DecodeLimits, DecodeRequest, Decoder, Format, decode_within};

    /// A HEIC file of a grid of tiles of 512 × 512 pixels.
    fn grid(width: u32, height: u32) -> Vec<u8> {
        let pixels = detailed(width, height).into_rgb8();
        let options = heifer::EncodeOptions { quality: 40, max_threads: 1 };
        heifer::encode_rgb8(width, height, &pixels, &options).expect("it encodes")
    }

    fn decode(file: &[u8], side: u32) -> Picture {
        let decoder = Decoder::open_for(file, Format::Heic, DecodeLimits::default(), side).expect("a header");
        decoder.decode().expect("a picture")
    }

    /// How a grid would be decoded for a shorter side of 100 pixels.
    fn reduced(file: &HeifFile<'_>) -> ReducedGrid {
        ReducedGrid::new(file, file.primary_id, 100).expect("it is a large grid")
    }

    #[test]
    fn a_grid_is_averaged_tile_by_tile_and_looks_the_same() {
        let bytes = grid(1501, 907);
        let whole = decode(&bytes, u32::MAX);
        assert_eq!(whole.pixels.dimensions(), (1501, 907));
        for (side, divisor) in [(100, 4), (150, 3), (226, 2), (10, 16)] {
            let picture = decode(&bytes, side);
            assert_eq!(picture.pixels.dimensions(), (1501_u32.div_ceil(divisor), 907_u32.div_ceil(divisor)));
            assert_eq!(picture.info(Format::Heic), whole.info(Format::Heic));
            let mean = difference(&whole, &picture, side.min(100));
            assert!(mean < 0.5, "{side}: {mean}");
        }
        assert!(ReducedGrid::new(&HeifFile::parse(&bytes).expect("a file"), 1, 227).is_none());
    }

    #[test]
    fn grids_of_real_cameras_look_the_same() {
        let Some(corpus) = std::env::var_os("IMGIDX_CORPUS") else {
            eprintln!("skipped: IMGIDX_CORPUS names no folder of pictures");
            return;
        };
        let formats = std::path::Path::new(&corpus).join("formats");
        let (mut folders, mut grids) = (vec![formats.join("heic"), formats.join("heic2")], 0);
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let bytes = std::fs::read(&path).expect("it can be read");
                let is_grid = |file: HeifFile<'_>| ReducedGrid::new(&file, file.primary_id, 256).is_some();
                if !HeifFile::parse(&bytes).is_ok_and(is_grid) {
                    continue;
                }
                let (whole, picture) = (decode(&bytes, u32::MAX), decode(&bytes, 256));
                assert_eq!(picture.info(Format::Heic), whole.info(Format::Heic), "{}", path.display());
                let mean = difference(&whole, &picture, 256);
                assert!(mean < 1.0, "{}: {mean}", path.display());
                grids += 1;
            }
        }
        assert!(grids >= 5, "{grids}");
    }

    #[test]
    fn a_square_is_the_mean_of_its_pixels_across_the_borders_of_tiles() {
        let bytes = grid(1030, 520);
        let whole = decode(&bytes, u32::MAX).pixels;
        let picture = decode(&bytes, 86).pixels;
        assert_eq!(picture.dimensions(), (344, 174));
        for (x, y) in [(0, 0), (170, 5), (341, 80), (343, 100), (10, 170), (343, 173)] {
            let columns = 3 * x..(3 * x + 3).min(1030);
            let square = columns.flat_map(|x| (3 * y..(3 * y + 3).min(520)).map(move |y| (x, y)));
            let square: Vec<_> = square.map(|(x, y)| whole.get_pixel(x, y).0).collect();
            let mean = |color: usize| {
                let sum: u32 = square.iter().map(|pixel| u32::from(pixel[color])).sum();
                ((sum + square.len() as u32 / 2) / square.len() as u32) as u8
            };
            assert_eq!(picture.get_pixel(x, y).0, [mean(0), mean(1), mean(2)], "{x}, {y}");
        }
    }

    #[test]
    fn a_grid_is_turned_as_its_container_states() {
        let bytes = grid(1501, 907);
        let whole = decode(&bytes, u32::MAX);
        let file = HeifFile::parse(&bytes).expect("a file");
        for quarters in 0..4 {
            for mirror in [None, Some(true), Some(false)] {
                let properties = [Some(Property::Rotation(quarters)), mirror.map(Property::Mirror)];
                let geometry = Geometry::new(properties.iter().flatten());
                let flips = geometry.flips();
                let turned = ReducedGrid { flips, ..reduced(&file) }.decode(&file).expect("a picture");
                let expected = geometry.apply(whole.clone());
                assert_eq!(turned.upright_size(), expected.upright_size(), "{properties:?}");
                let mean = difference(&expected, &turned, 100);
                assert!(mean < 0.5, "{properties:?}: {mean}");
            }
        }
    }

    #[test]
    fn a_crop_is_where_the_container_states_it() {
        let bytes = grid(1501, 907);
        let file = HeifFile::parse(&bytes).expect("a file");
        let area = Area { left: 501, top: 100, width: 900, height: 611 };
        let picture = ReducedGrid { area, ..reduced(&file) }.decode(&file).expect("a picture");
        let whole = decode(&bytes, u32::MAX).pixels;
        let expected = Picture::from_rgb(image::imageops::crop_imm(&whole, 501, 100, 900, 611).to_image());
        assert_eq!(picture.upright_size(), (900, 611));
        assert!(difference(&expected, &picture, 100) < 0.5);
        assert_eq!(span((900, 1), (201, 1), 1501), Some((502, 900)));
        assert_eq!(span((900, 1), (-900, 1), 1501), Some((0, 900)));
        assert_eq!((span((0, 1), (0, 1), 9), span((9, 0), (0, 1), 9), span((9, 1), (9, 1), 9)), (None, None, None));
    }

    #[test]
    fn little_memory_is_enough_for_a_large_grid() {
        let bytes = grid(1501, 907);
        let limits = DecodeLimits { memory: 5 << 20, ..DecodeLimits::default() };
        let error = Decoder::open(&bytes, Format::Heic, limits).expect_err("too large");
        assert_eq!(error.limit(), Some(crate::Limit::Memory));
        let request = DecodeRequest { side: 100, ..DecodeRequest::default() };
        let (picture, held) = decode_within(&bytes, Format::Heic, limits, &request, |bytes| bytes).expect("a picture");
        assert_eq!(picture.upright_size(), (1501, 907));
        assert!(held < 5 << 20, "{held}");
    }

    #[test]
    fn a_damaged_tile_is_an_error_as_it_is_at_full_size() {
        let mut bytes = grid(1030, 520);
        let file = HeifFile::parse(&bytes).expect("a file");
        let tile = file.item_data(reduced(&file).tiles[1]).expect("a tile").into_owned();
        let start = bytes.windows(tile.len()).position(|data| data == tile).expect("it is in the file");
        bytes[start..start + tile.len()].fill(0);
        let reason = |side| {
            let decoder = Decoder::open_for(&bytes, Format::Heic, DecodeLimits::default(), side).expect("a header");
            decoder.decode().expect_err("it is damaged")
        };
        assert_eq!(reason(100), reason(u32::MAX));
    }
}
