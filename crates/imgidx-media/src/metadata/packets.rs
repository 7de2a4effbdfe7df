//! Finds the metadata in files of all formats.

use std::io::Read;
use std::path::Path;

use heifer_isobmff::boxes::ConstructionMethod;
use heifer_isobmff::{HeifFile, ItemId};
use image::ImageFormat;
use imgidx_types::{FileStat, catching_panics, open_regular};
use serde::{Deserialize, Serialize};

use super::exif::ExifData;
use super::{Metadata, iptc, png, xmp};
use crate::raw::{Blocks, ReadAt, metadata_of, preview_of};
use crate::{Format, Kind, SNIFF_BYTES, sniff};

/// Maximum length of one packet in bytes. Those of real pictures have some kilobytes.
pub(super) const MAX_PACKET: usize = 8 << 20;

/// Maximum number of segments, boxes or resources that are looked at.
const MAX_PARTS: usize = 10_000;

/// The UUID of a box with an XMP packet (ISO 16684-3), and those with EXIF data in JPEG 2000 files.
const XMP_BOX: [u8; 16] = *b"\xBE\x7A\xCF\xCB\x97\xA9\x42\xE8\x9C\x71\x99\x94\x91\xE3\xAF\xAC";
const EXIF_BOX: [u8; 16] = *b"JpgTiffExif->JP2";

/// The metadata of a file, not yet interpreted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packets {
    /// EXIF data: a TIFF structure.
    pub exif: Option<Vec<u8>>,
    /// An XMP packet.
    pub xmp: Option<Vec<u8>>,
    /// IPTC records.
    pub iptc: Option<Vec<u8>>,
}

impl Packets {
    /// Finds the metadata of a file whose bytes are in memory.
    pub fn find(bytes: &[u8], format: Format) -> Self {
        Self::search(&bytes, format)
    }

    /// Finds the metadata of a picture file, and returns the file's status too. Nothing else of the file is read.
    ///
    /// # Errors
    /// If the file cannot be read, or changes while it is read.
    pub fn read(path: &Path) -> std::io::Result<(Self, FileStat)> {
        let file = open_regular(path)?;
        let stat = FileStat::new(&file.metadata()?);
        let mut head = Vec::new();
        (&file).take(SNIFF_BYTES as u64).read_to_end(&mut head)?;
        let Kind::Picture(format) = sniff(&head, path.extension()) else { return Ok((Self::default(), stat)) };
        let found = catching_panics(|| Self::search(&Blocks::new(&file, stat.size), format)).unwrap_or_default();
        match FileStat::new(&file.metadata()?) == stat {
            true => Ok((found, stat)),
            false => Err(std::io::Error::other("the file is being written")),
        }
    }

    /// The packets of an XMP file.
    pub fn of_xmp_file(bytes: Vec<u8>) -> Self {
        Self { xmp: Some(bytes), ..Self::default() }
    }

    /// Finds the metadata of a file, and reads nothing else of it. A damaged part ends the search.
    pub(crate) fn search(file: &impl ReadAt, format: Format) -> Self {
        let mut found = Self::default();
        let _ = match format {
            Format::Raster(ImageFormat::Jpeg) => jpeg(file, 0, &mut found),
            Format::Raster(ImageFormat::Png) => png::search(file, &mut found),
            Format::Raster(ImageFormat::WebP) => webp(file, &mut found),
            Format::Raster(ImageFormat::Tiff) => tiff(file, &mut found),
            Format::Raw => raw(file, &mut found),
            Format::Heic | Format::Avif => heif(file, &mut found),
            Format::Jxl | Format::Jpeg2000 => boxes(file, &mut found),
            Format::Psd => psd(file, &mut found),
            Format::Raster(_) | Format::Svg => None,
        };
        found
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Interprets the packets. Damaged ones say nothing.
    pub fn metadata(&self) -> Metadata {
        let exif = self.exif.as_deref().and_then(ExifData::read);
        let xmp = self.xmp.as_deref().and_then(xmp::metadata).or_else(|| exif.as_ref()?.xmp()).unwrap_or_default();
        let iptc = self.iptc.as_deref().map(iptc::metadata).or_else(|| exif.as_ref()?.iptc()).unwrap_or_default();
        let exif = exif.map(|exif| exif.metadata()).unwrap_or_default();
        // Of what people write, EXIF data comes last.
        written(&xmp).or(written(&iptc)).or(exif).or(xmp).or(iptc)
    }

    /// Adds a segment APP1 of a JPEG file, with EXIF data or an XMP packet.
    pub(super) fn add_app1(&mut self, segment: &[u8]) {
        if let Some(exif) = segment.strip_prefix(b"Exif\0").and_then(|rest| rest.get(1..)) {
            self.exif.get_or_insert_with(|| exif.to_vec());
        } else if let Some(packet) = segment.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
            self.xmp.get_or_insert_with(|| packet.to_vec());
        }
    }

    /// Adds image resources of Photoshop.
    pub(super) fn add_resources(&mut self, section: &[u8]) {
        for (id, data) in Resources(section).take(MAX_PARTS) {
            let to = match id {
                1028 => &mut self.iptc,
                1058 => &mut self.exif,
                1060 => &mut self.xmp,
                _ => continue,
            };
            to.get_or_insert_with(|| data.to_vec());
        }
    }
}

/// The part of metadata that people write.
fn written(all: &Metadata) -> Metadata {
    Metadata {
        rating: all.rating,
        title: all.title.clone(),
        description: all.description.clone(),
        keywords: all.keywords.clone(),
        ..Metadata::default()
    }
}

fn u32_be(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Reads a packet of a length that a file states.
fn packet(file: &impl ReadAt, at: u64, length: u64) -> Option<Vec<u8>> {
    file.read_at(at, usize::try_from(length).ok().filter(|length| *length <= MAX_PACKET)?)
}

/// The segments before the pixels of a JPEG file (ISO/IEC 10918-1, B.1.1).
fn jpeg(file: &impl ReadAt, start: u64, found: &mut Packets) -> Option<()> {
    let mut at = start + 2;
    for _ in 0..MAX_PARTS {
        let head = file.read_at(at, 4)?;
        let length = u64::from(u16::from_be_bytes([head[2], head[3]]));
        match (head[0], head[1]) {
            (0xFF, 0xFF) => {
                at += 1;
                continue;
            }
            (0xFF, 0xD8..=0xDA) | (0..=0xFE, _) => return None,
            (_, 0xE1) if length >= 2 => found.add_app1(&packet(file, at + 4, length - 2)?),
            (_, 0xED) if length >= 2 => {
                let segment = packet(file, at + 4, length - 2)?;
                if let Some(resources) = segment.strip_prefix(b"Photoshop 3.0\0") {
                    found.add_resources(resources);
                }
            }
            _ => {}
        }
        at += 2 + length.max(2);
    }
    None
}

/// The chunks of a WebP file, which may come after the pixels.
fn webp(file: &impl ReadAt, found: &mut Packets) -> Option<()> {
    let mut at = 12;
    for _ in 0..MAX_PARTS {
        let head = file.read_at(at, 8)?;
        let length = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
        match &head[..4] {
            b"EXIF" => {
                let chunk = packet(file, at + 8, length)?;
                // Some programs keep the prefix of JPEG files.
                found.exif.get_or_insert(chunk.strip_prefix(b"Exif\0\0").unwrap_or(&chunk).to_vec());
            }
            b"XMP " => _ = found.xmp.get_or_insert(packet(file, at + 8, length)?),
            _ => {}
        }
        at += 8 + length + (length & 1);
    }
    None
}

/// The directories of a TIFF file, which may hold XMP packets and IPTC records as values.
fn tiff(file: &impl ReadAt, found: &mut Packets) -> Option<()> {
    found.exif = metadata_of(file);
    Some(())
}

/// The directories of a raw file, or else the metadata of its preview.
fn raw(file: &impl ReadAt, found: &mut Packets) -> Option<()> {
    tiff(file, found)?;
    if found.is_empty()
        && let Some(preview) = preview_of(file)
    {
        jpeg(file, preview.start, found)?;
    }
    Some(())
}

/// A box of an ISO base media file: its type, and where its content is.
fn next_box(file: &impl ReadAt, at: u64) -> Option<([u8; 4], u64, u64)> {
    let end = file.length();
    let head = file.read_at(at, 8)?;
    let (start, size) = match u32_be(&head, 0)? {
        0 => (at + 8, end - at),
        1 => (at + 16, u64::from_be_bytes(file.read_at(at + 8, 8)?.try_into().ok()?)),
        size => (at + 8, size.into()),
    };
    let stop = at.checked_add(size).filter(|stop| *stop >= start)?;
    Some((head[4..8].try_into().ok()?, start, stop.min(end)))
}

/// Boxes of JPEG XL (ISO/IEC 18181-2, 9.4) and JPEG 2000 files.
fn boxes(file: &impl ReadAt, found: &mut Packets) -> Option<()> {
    let mut at = 0;
    for _ in 0..MAX_PARTS {
        let (kind, start, stop) = next_box(file, at)?;
        let read = |skipped: u64| packet(file, start + skipped, (stop - start).checked_sub(skipped)?);
        match &kind {
            b"Exif" => found.exif = found.exif.take().or_else(|| tiff_of(&read(0)?)),
            b"xml " => found.xmp = found.xmp.take().or_else(|| read(0)),
            b"brob" => compressed_box(&read(0)?, found),
            b"uuid" => match file.read_at(start, 16)?.as_slice() {
                id if id == XMP_BOX => found.xmp = found.xmp.take().or_else(|| read(16)),
                id if id == EXIF_BOX => found.exif = found.exif.take().or_else(|| read(16)),
                _ => {}
            },
            _ => {}
        }
        at = stop;
    }
    None
}

/// A box that is compressed with Brotli: the type that it has without that, and its content.
fn compressed_box(content: &[u8], found: &mut Packets) {
    let Some((kind, packed)) = content.split_first_chunk::<4>() else { return };
    let mut bytes = Vec::new();
    let reader = brotli_decompressor::Decompressor::new(packed, 4096);
    if reader.take(MAX_PACKET as u64).read_to_end(&mut bytes).is_err() {
        return;
    }
    match kind {
        b"Exif" => found.exif = found.exif.take().or_else(|| tiff_of(&bytes)),
        b"xml " => found.xmp = found.xmp.take().or(Some(bytes)),
        _ => {}
    }
}

/// EXIF data after the offset of its start, which some programs leave out.
fn tiff_of(content: &[u8]) -> Option<Vec<u8>> {
    if content.starts_with(b"MM\0*") || content.starts_with(b"II*\0") {
        return Some(content.to_vec());
    }
    let (offset, rest) = content.split_first_chunk::<4>()?;
    let tiff = rest.get(u32::from_be_bytes(*offset) as usize..)?;
    Some(tiff.strip_prefix(b"Exif\0\0").unwrap_or(tiff).to_vec())
}

/// The items of a HEIF file (ISO/IEC 23008-12, annex A). The container's own data is read, and then those items.
fn heif(file: &impl ReadAt, found: &mut Packets) -> Option<()> {
    let mut container = Vec::new();
    let mut at = 0;
    while let Some((kind, _, stop)) = next_box(file, at) {
        if matches!(&kind, b"ftyp" | b"meta") {
            container.extend(packet(file, at, stop - at)?);
        }
        at = stop;
    }
    let items = HeifFile::parse(&container).ok()?;
    let parts = items.referenced_items(items.primary_id, b"dimg").first().copied();
    for image in [Some(items.primary_id), parts].into_iter().flatten() {
        for item in items.referencing_items(image, b"cdsc") {
            let Ok(kind) = items.item(item) else { continue };
            match (&kind.item_type.0, kind.content_type.as_deref()) {
                (b"Exif", _) => found.exif = found.exif.take().or_else(|| tiff_of(&item_data(file, &items, item)?)),
                (b"mime", Some("application/rdf+xml")) => {
                    found.xmp = found.xmp.take().or_else(|| item_data(file, &items, item));
                }
                _ => {}
            }
        }
    }
    Some(())
}

/// The bytes of an item, of which only the location has been read.
fn item_data(file: &impl ReadAt, items: &HeifFile<'_>, item: ItemId) -> Option<Vec<u8>> {
    let location = items.item(item).ok()?.location.as_ref()?;
    if location.construction_method != ConstructionMethod::File {
        return items.item_data(item).ok().map(std::borrow::Cow::into_owned);
    }
    let mut data = Vec::new();
    for extent in location.extents.iter().take(MAX_PARTS) {
        data.extend(packet(file, extent.offset, extent.length)?);
        if data.len() > MAX_PACKET {
            return None;
        }
    }
    Some(data)
}

/// The image resources of a Photoshop document, after its header and its palette.
fn psd(file: &impl ReadAt, found: &mut Packets) -> Option<()> {
    let palette = u64::from(u32_be(&file.read_at(26, 4)?, 0)?);
    let length = u64::from(u32_be(&file.read_at(30 + palette, 4)?, 0)?);
    found.add_resources(&packet(file, 34 + palette, length)?);
    Some(())
}

/// The ids and the data of image resources (Adobe Photoshop File Formats Specification).
struct Resources<'a>(&'a [u8]);

impl<'a> Iterator for Resources<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0.strip_prefix(b"8BIM")?;
        let id = u16::from_be_bytes([*rest.first()?, *rest.get(1)?]);
        // The name and the data are padded to even lengths.
        let name = usize::from(*rest.get(2)? | 1);
        let rest = rest.get(3 + name..)?;
        let length = u32_be(rest, 0)? as usize;
        let data = rest.get(4..4_usize.checked_add(length)?)?;
        self.0 = rest.get(4 + length + (length & 1)..).unwrap_or_default();
        Some((id, data))
    }
}
