//! Recognises formats by the first bytes of a file. Extensions decide only where the bytes are ambiguous.

use std::ffi::OsStr;

use image::ImageFormat;

/// Number of bytes at the start of a file that [`sniff`] examines.
pub const SNIFF_BYTES: usize = 4096;

/// The version of the set of formats that can be decoded. Raise it with every format that is added, so that files which
/// were skipped are read once more.
pub const FORMATS_VERSION: u32 = 2;

/// A format that can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// A raster format of the `image` crate.
    Raster(ImageFormat),
    /// Scalable Vector Graphics, plain or compressed with gzip.
    Svg,
    /// High Efficiency Image File Format, with pictures coded by HEVC, or by JPEG or JPEG 2000.
    Heic,
    /// AV1 Image File Format: pictures, and the first frame of sequences.
    Avif,
    /// JPEG XL.
    Jxl,
    /// JPEG 2000.
    Jpeg2000,
    /// Photoshop documents: the merged picture.
    Psd,
    /// Raw files of cameras: the JPEG preview in them.
    Raw,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 21] = [
        Self::Raster(ImageFormat::Jpeg),
        Self::Raster(ImageFormat::Png),
        Self::Raster(ImageFormat::Gif),
        Self::Raster(ImageFormat::WebP),
        Self::Raster(ImageFormat::Tiff),
        Self::Raster(ImageFormat::Bmp),
        Self::Raster(ImageFormat::Ico),
        Self::Raster(ImageFormat::Pnm),
        Self::Raster(ImageFormat::Qoi),
        Self::Raster(ImageFormat::Tga),
        Self::Raster(ImageFormat::Hdr),
        Self::Raster(ImageFormat::OpenExr),
        Self::Raster(ImageFormat::Dds),
        Self::Raster(ImageFormat::Farbfeld),
        Self::Svg,
        Self::Heic,
        Self::Avif,
        Self::Jxl,
        Self::Jpeg2000,
        Self::Psd,
        Self::Raw,
    ];

    /// Lower-case name that is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Heic => "heic",
            Self::Avif => "avif",
            Self::Jxl => "jxl",
            Self::Jpeg2000 => "jp2",
            Self::Psd => "psd",
            Self::Raw => "raw",
            Self::Raster(ImageFormat::Jpeg) => "jpeg",
            Self::Raster(ImageFormat::Png) => "png",
            Self::Raster(ImageFormat::Gif) => "gif",
            Self::Raster(ImageFormat::WebP) => "webp",
            Self::Raster(ImageFormat::Tiff) => "tiff",
            Self::Raster(ImageFormat::Bmp) => "bmp",
            Self::Raster(ImageFormat::Ico) => "ico",
            Self::Raster(ImageFormat::Pnm) => "pnm",
            Self::Raster(ImageFormat::Qoi) => "qoi",
            Self::Raster(ImageFormat::Tga) => "tga",
            Self::Raster(ImageFormat::Hdr) => "hdr",
            Self::Raster(ImageFormat::OpenExr) => "exr",
            Self::Raster(ImageFormat::Dds) => "dds",
            Self::Raster(ImageFormat::Farbfeld) => "farbfeld",
            Self::Raster(_) => "raster",
        }
    }
}

/// What the first bytes of a file say about its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A picture that can be decoded.
    Picture(Format),
    /// A picture in a format that cannot be decoded, with the usual name of the format.
    Unsupported(&'static str),
    /// Not a picture.
    Other,
}

const fn raster(format: ImageFormat) -> Kind {
    Kind::Picture(Format::Raster(format))
}

/// Signatures that identify a format without doubt. Formats that cannot be decoded are recognised so that a skipped
/// file can be reported by format.
const SIGNATURES: &[(&[u8], Kind)] = &[
    (b"\xFF\xD8\xFF", raster(ImageFormat::Jpeg)),
    (b"\x89PNG\r\n\x1A\n", raster(ImageFormat::Png)),
    (b"GIF87a", raster(ImageFormat::Gif)),
    (b"GIF89a", raster(ImageFormat::Gif)),
    (b"II*\0", raster(ImageFormat::Tiff)),
    (b"MM\0*", raster(ImageFormat::Tiff)),
    (b"#?RADIANCE", raster(ImageFormat::Hdr)),
    (b"#?RGBE", raster(ImageFormat::Hdr)),
    (b"v/1\x01", raster(ImageFormat::OpenExr)),
    (b"qoif", raster(ImageFormat::Qoi)),
    (b"farbfeld", raster(ImageFormat::Farbfeld)),
    (b"DDS ", raster(ImageFormat::Dds)),
    (b"8BPS", Kind::Picture(Format::Psd)),
    (b"\xFF\x4F\xFF\x51", Kind::Picture(Format::Jpeg2000)),
    (b"\0\0\0\x0CJXL \r\n\x87\n", Kind::Picture(Format::Jxl)),
    (b"\xFF\x0A", Kind::Picture(Format::Jxl)),
    (b"FUJIFILMCCD-RAW", Kind::Picture(Format::Raw)),
    (b"FOVb", Kind::Picture(Format::Raw)),
    (b"II\x1A\0\0\0HEAPCCDR", Kind::Picture(Format::Raw)),
    (b"IIU\0", Kind::Picture(Format::Raw)),
    (b"IIRO", Kind::Picture(Format::Raw)),
    (b"IIRS", Kind::Picture(Format::Raw)),
    (b"MMOR", Kind::Picture(Format::Raw)),
    (b"gimp xcf ", Kind::Unsupported("GIMP")),
];

/// Recognises the type of a file from its first bytes; at most [`SNIFF_BYTES`] are examined.
///
/// The extension decides only for formats without an unambiguous signature (TGA, SVG, and damaged BMP, ICO and PNM).
pub fn sniff(head: &[u8], extension: Option<&OsStr>) -> Kind {
    let head = &head[..head.len().min(SNIFF_BYTES)];
    let extension = extension.and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
    if let Some((_, kind)) = SIGNATURES.iter().find(|(signature, _)| head.starts_with(signature)) {
        let is_raw = *kind == raster(ImageFormat::Tiff) && is_raw_tiff(head, &extension);
        return if is_raw { Kind::Picture(Format::Raw) } else { *kind };
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        return raster(ImageFormat::WebP);
    }
    // The brand of a motion picture comes after the signature (ISO/IEC 15444-1, I.5.2).
    if head.starts_with(b"\0\0\0\x0CjP  \r\n\x87\n") {
        return if head.get(20..24) == Some(b"mjp2") { Kind::Other } else { Kind::Picture(Format::Jpeg2000) };
    }
    if head.get(4..8) == Some(b"ftyp") {
        return brand(head);
    }
    weak_signature(head, &extension)
}

/// Formats that are brands of the ISO base media file format (ISO/IEC 14496-12). Videos are too, but are not pictures.
fn brand(head: &[u8]) -> Kind {
    let length = head[..4].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let list = head.get(16..length.min(head.len())).unwrap_or_default();
    let has = |names: &[&[u8; 4]]| list.as_chunks::<4>().0.iter().any(|brand| names.contains(&brand));
    match head.get(8..12) {
        Some(b"avif" | b"avis") => Kind::Picture(Format::Avif),
        Some(b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis") => Kind::Picture(Format::Heic),
        Some(b"crx ") => Kind::Picture(Format::Raw),
        // General brands, or those of other coders: what is compatible decides.
        _ if has(&[b"avif", b"avis"]) => Kind::Picture(Format::Avif),
        Some(b"mif1" | b"mif2" | b"msf1" | b"jpeg" | b"j2ki") => Kind::Picture(Format::Heic),
        _ if has(&[b"heic", b"heix", b"mif1", b"mif2"]) => Kind::Picture(Format::Heic),
        _ => Kind::Other,
    }
}

/// Extensions of raw files that are TIFF files.
const RAW_TIFF_EXTENSIONS: [&str; 17] = [
    "3fr", "arw", "cr2", "dcr", "dng", "erf", "fff", "gpr", "iiq", "kdc", "mef", "nef", "nrw", "pef", "rwl", "sr2",
    "srw",
];

/// Extensions of raw files that have a signature of their own.
const RAW_EXTENSIONS: [&str; 6] = ["cr3", "crw", "orf", "raf", "rw2", "x3f"];

/// Whether an extension, in lower case, is one of a format that the `image` crate does not know.
pub(super) fn is_extension(extension: &str) -> bool {
    let others = ["svg", "heic", "heif", "hif", "avif", "avifs", "jxl", "jp2", "j2k", "jpf", "jpx", "psd", "psb"];
    [&others[..], &RAW_TIFF_EXTENSIONS, &RAW_EXTENSIONS].iter().any(|list| list.contains(&extension))
}

/// Whether a TIFF file is a raw file: by its extension, or because its first directory describes a reduced version
/// (NewSubfileType, 0x00FE) of what other directories describe (SubIFDs, 0x014A), or has a version of DNG (0xC612).
fn is_raw_tiff(head: &[u8], extension: &str) -> bool {
    let is_canon = head.get(8..10) == Some(b"CR");
    let is_phase_one = matches!(head.get(8..12), Some(b"IIII" | b"MMMM"));
    if RAW_TIFF_EXTENSIONS.contains(&extension) || is_canon || is_phase_one {
        return true;
    }
    let is_big_endian = head[0] == b'M';
    let number = |at: usize, length: usize| {
        let bytes = head.get(at..at.checked_add(length)?)?;
        let join = |number: usize, byte: &u8| number << 8 | usize::from(*byte);
        Some(if is_big_endian { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) })
    };
    let entry = |tag: usize| {
        let start = number(4, 4)?;
        let mut entries = (0..number(start, 2)?.min(200)).map(|at| start + 2 + 12 * at);
        entries.find(|at| number(*at, 2) == Some(tag))
    };
    let is_reduced = entry(0x00FE).and_then(|at| number(at + 8, 4)) == Some(1);
    entry(0xC612).is_some() || (is_reduced && entry(0x014A).is_some())
}

/// Formats with a signature so short that other files share it: either the header must be plausible, or the
/// extension must match.
fn weak_signature(head: &[u8], extension: &str) -> Kind {
    if head.starts_with(b"BM") && (is_bmp_header(head) || matches!(extension, "bmp" | "dib")) {
        return raster(ImageFormat::Bmp);
    }
    let has_pnm_extension = matches!(extension, "pnm" | "pbm" | "pgm" | "ppm" | "pam");
    if is_pnm_header(head) || (head.starts_with(b"P") && has_pnm_extension) {
        return raster(ImageFormat::Pnm);
    }
    if head.starts_with(b"\0\0\x01\0") && (is_icon_header(head) || extension == "ico") {
        return raster(ImageFormat::Ico);
    }
    let is_compressed_svg = extension == "svgz" && head.starts_with(b"\x1F\x8B");
    if is_compressed_svg || is_svg_text(head) || (extension == "svg" && head.contains(&b'<')) {
        return Kind::Picture(Format::Svg);
    }
    if matches!(extension, "tga" | "icb" | "vda" | "vst") && head.len() >= 18 {
        return raster(ImageFormat::Tga);
    }
    Kind::Other
}

/// The size of the second header identifies its version, and only these sizes exist.
fn is_bmp_header(head: &[u8]) -> bool {
    head.get(14..18).is_some_and(|size| matches!(size, [12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
}

fn is_pnm_header(head: &[u8]) -> bool {
    matches!(head, [b'P', b'1'..=b'7', space, next, ..]
        if space.is_ascii_whitespace() && (next.is_ascii_digit() || next.is_ascii_whitespace() || *next == b'#' || head[1] == b'7'))
}

/// An icon file has at least one entry, and the reserved byte of the first entry is zero.
fn is_icon_header(head: &[u8]) -> bool {
    head.get(4..6).is_some_and(|count| count != [0, 0]) && head.get(9) == Some(&0)
}

/// XML whose first element is `svg`, after any declaration, comments and document type.
fn is_svg_text(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        let skip = |open: &str, close: &str| {
            rest.starts_with(open).then(|| rest.find(close).map(|end| rest[end + close.len()..].trim_start()))
        };
        let Some(after) = skip("<?", "?>").or_else(|| skip("<!--", "-->")).or_else(|| skip("<!", ">")) else { break };
        let Some(after) = after else { return false };
        rest = after;
    }
    let name = rest.strip_prefix('<').unwrap_or_default();
    let name = name.split(|c: char| c.is_whitespace() || c == '>' || c == '/').next().unwrap_or_default();
    name == "svg" || name.ends_with(":svg")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(head: &[u8], extension: &str) -> &'static str {
        match sniff(head, Some(OsStr::new(extension))) {
            Kind::Picture(format) => format.name(),
            Kind::Unsupported(name) => name,
            Kind::Other => "other",
        }
    }

    #[test]
    fn bytes_win_over_a_lying_extension() {
        assert_eq!(name(b"\xFF\xD8\xFF\xE0", "png"), "jpeg");
        assert_eq!(name(b"RIFF\0\0\0\0WEBPVP8 ", "jpg"), "webp");
        assert_eq!(name(b"\x7FELF", "jpg"), "other");
    }

    #[test]
    fn text_that_looks_like_a_short_signature_is_no_picture() {
        assert_eq!(name(b"BMW builds cars", "txt"), "other");
        assert_eq!(name(b"P2P networks", "txt"), "other");
        assert_eq!(name(b"P6 is a text", "txt"), "other");
        assert_eq!(name(b"P6\n2 2 255\n", "txt"), "pnm");
        assert_eq!(name(b"P6\n# made by hand\n2 2 255\n", ""), "pnm");
    }

    #[test]
    fn svg_is_found_behind_prologue_comments_and_doctype() {
        let text =
            b"\xEF\xBB\xBF<?xml version='1.0'?>\n<!-- <html> -->\n<!DOCTYPE svg PUBLIC 'x' 'y'>\n<svg width='1'/>";
        assert_eq!(name(text, "txt"), "svg");
        assert_eq!(name(b"<html><svg/></html>", "html"), "other");
        assert_eq!(name(b"<?xml", "xml"), "other");
    }

    #[test]
    fn pictures_that_cannot_be_decoded_are_named() {
        assert_eq!(name(b"gimp xcf v011", "xcf"), "GIMP");
    }

    #[test]
    fn brands_decide_among_files_of_one_container() {
        let file = |major: &[u8; 4], list: &[u8]| {
            let length = (16 + list.len() as u32).to_be_bytes();
            name(&[&length[..], b"ftyp", major, &[0; 4], list, b"avif"].concat(), "jpg")
        };
        assert_eq!((file(b"avif", b""), file(b"avis", b"")), ("avif", "avif"));
        assert_eq!((file(b"heic", b""), file(b"mif1", b"mif1heic")), ("heic", "heic"));
        assert_eq!((file(b"mif1", b"mif1avif"), file(b"mif1", b"mif1")), ("avif", "heic"));
        assert_eq!((file(b"jpeg", b"mif1"), file(b"crx ", b"isom")), ("heic", "raw"));
        assert_eq!((file(b"isom", b"mp41"), file(b"qt  ", b"qt  ")), ("other", "other"));
        assert_eq!(name(b"\0\0\0\x0CjP  \r\n\x87\n\0\0\0\x14ftypmjp2", "jp2"), "other");
        assert_eq!(name(b"\0\0\0\x0CjP  \r\n\x87\n\0\0\0\x14ftypjp2 ", "jp2"), "jp2");
    }

    #[test]
    fn a_raw_file_is_told_from_other_tiff_files() {
        let tiff = |tags: &[(u16, u32)]| {
            let mut file = b"II*\0\x08\0\0\0".to_vec();
            file.extend((tags.len() as u16).to_le_bytes());
            for (tag, value) in tags {
                file.extend([&tag.to_le_bytes()[..], &[4, 0, 1, 0, 0, 0], &value.to_le_bytes()].concat());
            }
            file
        };
        assert_eq!(name(&tiff(&[(0x00FE, 1), (0x014A, 99)]), "tif"), "raw");
        assert_eq!(name(&tiff(&[(0x00FE, 0), (0xC612, 1)]), "tif"), "raw");
        assert_eq!(name(&tiff(&[(0x00FE, 0), (0x014A, 99)]), "tif"), "tiff");
        assert_eq!((name(&tiff(&[]), "NEF"), name(&tiff(&[]), "tif")), ("raw", "tiff"));
        assert_eq!(name(b"II*\0\x10\0\0\0CR\x02\0", ""), "raw");
        assert_eq!(name(b"MM\0*\xFF\xFF\xFF\xFF", "tif"), "tiff");
    }
}
