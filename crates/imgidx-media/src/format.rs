//! Recognises formats by the first bytes of a file. Extensions decide only where the bytes are ambiguous.

use std::ffi::OsStr;

use image::ImageFormat;

/// Number of bytes at the start of a file that [`sniff`] examines.
pub const SNIFF_BYTES: usize = 4096;

/// A format that can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// A raster format of the `image` crate.
    Raster(ImageFormat),
    /// Scalable Vector Graphics, plain or compressed with gzip.
    Svg,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 15] = [
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
    ];

    /// Lower-case name that is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Svg => "svg",
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
    (b"8BPS", Kind::Unsupported("Photoshop")),
    (b"\0\0\0\x0CjP  \r\n\x87\n", Kind::Unsupported("JPEG 2000")),
    (b"\xFF\x4F\xFF\x51", Kind::Unsupported("JPEG 2000")),
    (b"\0\0\0\x0CJXL \r\n\x87\n", Kind::Unsupported("JPEG XL")),
    (b"\xFF\x0A", Kind::Unsupported("JPEG XL")),
    (b"gimp xcf ", Kind::Unsupported("GIMP")),
];

/// Recognises the type of a file from its first bytes; at most [`SNIFF_BYTES`] are examined.
///
/// The extension decides only for formats without an unambiguous signature (TGA, SVG, and damaged BMP, ICO and PNM).
pub fn sniff(head: &[u8], extension: Option<&OsStr>) -> Kind {
    let head = &head[..head.len().min(SNIFF_BYTES)];
    if let Some((_, kind)) = SIGNATURES.iter().find(|(signature, _)| head.starts_with(signature)) {
        return *kind;
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        return raster(ImageFormat::WebP);
    }
    // HEIF and AVIF are brands of the ISO base media file format (ISO/IEC 14496-12). Videos are too, but are
    // not pictures.
    match (head.get(4..8), head.get(8..12)) {
        (Some(b"ftyp"), Some(b"avif" | b"avis")) => return Kind::Unsupported("AVIF"),
        (Some(b"ftyp"), Some(b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1")) => {
            return Kind::Unsupported("HEIC");
        }
        _ => {}
    }
    weak_signature(head, &extension.and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase())
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
        assert_eq!(name(b"\0\0\0\x20ftypavif", "avif"), "AVIF");
        assert_eq!(name(b"\0\0\0\x20ftypisom", "mp4"), "other");
        assert_eq!(name(b"8BPS\0\x01", "psd"), "Photoshop");
    }
}
