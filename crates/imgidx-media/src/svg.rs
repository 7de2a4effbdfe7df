//! Renders vector graphics with resvg.
//!
//! Nothing outside the file is read: no linked pictures, no style sheets, no network. Fonts are those of the system.

use std::io::Read;
use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{self, fontdb, roxmltree};

use super::color::flattened;
use super::decode::Picture;
use super::error::DecodeError;

/// Rendered length of the shorter side in pixels. It leaves a margin for models with inputs of up to 448 pixels.
const TARGET_SHORTER_SIDE: f32 = 512.0;

/// Maximum rendered length of the longer side in pixels.
const MAX_LONGER_SIDE: f32 = 2048.0;

/// Maximum length of the XML text in bytes, after decompression.
const MAX_TEXT_BYTES: u64 = 32 << 20;

/// Maximum number of XML nodes in a file.
const MAX_NODES: u32 = 1_000_000;

/// Maximum number of pixels of a raster picture embedded in a drawing.
const MAX_EMBEDDED_PIXELS: u64 = 16 << 20;

/// Maximum number of filter effects in a drawing.
const MAX_FILTER_PRIMITIVES: usize = 200;

/// Maximum number of octaves of turbulence. More than nine make no difference in eight bits.
const MAX_OCTAVES: u32 = 16;

/// A parsed vector graphic.
pub(super) struct Drawing {
    tree: usvg::Tree,
    scale: f32,
}

impl Drawing {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let text = plain_text(bytes)?;
        let parsing = roxmltree::ParsingOptions { allow_dtd: true, nodes_limit: MAX_NODES, ..Default::default() };
        let document = roxmltree::Document::parse_with_options(&text, parsing)
            .map_err(|error| DecodeError::new(format!("not well-formed XML: {error}")))?;
        let mut options = usvg::Options::default();
        options.image_href_resolver.resolve_string = Box::new(|_, _| None);
        options.image_href_resolver.resolve_data = Box::new(embedded_picture);
        if text.contains("text") {
            options.fontdb = system_fonts();
        }
        let tree =
            usvg::Tree::from_xmltree(&document, &options).map_err(|error| DecodeError::new(error.to_string()))?;
        check_filters(&tree)?;
        let (width, height) = (tree.size().width(), tree.size().height());
        let scale = (TARGET_SHORTER_SIDE / width.min(height)).min(MAX_LONGER_SIDE / width.max(height));
        Ok(Self { tree, scale })
    }

    /// The size to render at, in pixels.
    fn raster_size(&self) -> (u32, u32) {
        let side = |length: f32| ((length * self.scale).round() as u32).clamp(1, MAX_LONGER_SIDE as u32);
        (side(self.tree.size().width()), side(self.tree.size().height()))
    }

    /// Bytes that rendering holds: RGBA for the canvas and a layer, and the RGB result.
    pub(crate) fn decoding_bytes(&self) -> u64 {
        let (width, height) = self.raster_size();
        u64::from(width) * u64::from(height) * (4 + 4 + 3)
    }

    pub(crate) fn render(&self) -> Result<Picture, DecodeError> {
        let (width, height) = self.raster_size();
        let mut canvas = Pixmap::new(width, height).ok_or_else(|| DecodeError::new("the drawing has no size"))?;
        resvg::render(&self.tree, Transform::from_scale(self.scale, self.scale), &mut canvas.as_mut());
        // Colours are premultiplied, so white only has to be added where the drawing does not cover it.
        let pixels = flattened(canvas.data(), width, height, |color, alpha| color.saturating_add(255 - alpha));
        let has_alpha = canvas.data().iter().skip(3).step_by(4).any(|alpha| *alpha < 255);
        let nominal = |length: f32| length.round().max(1.0) as u32;
        let nominal_size = Some((nominal(self.tree.size().width()), nominal(self.tree.size().height())));
        Ok(Picture { has_alpha, nominal_size, ..Picture::from_rgb(pixels) })
    }
}

/// Loads a raster picture embedded in a drawing if it is not too large. Embedded drawings are ignored.
fn embedded_picture(mime: &str, data: Arc<Vec<u8>>, options: &usvg::Options<'_>) -> Option<usvg::ImageKind> {
    let reader = image::ImageReader::new(std::io::Cursor::new(data.as_slice())).with_guessed_format().ok()?;
    let (width, height) = reader.into_dimensions().ok()?;
    if u64::from(width) * u64::from(height) > MAX_EMBEDDED_PIXELS {
        return None;
    }
    match usvg::ImageHrefResolver::default_data_resolver()(mime, data, options)? {
        usvg::ImageKind::SVG(_) => None,
        raster => Some(raster),
    }
}

/// Rejects drawings with filters that take too much time.
fn check_filters(tree: &usvg::Tree) -> Result<(), DecodeError> {
    let primitives: Vec<_> = tree.filters().iter().flat_map(|filter| filter.primitives()).collect();
    if primitives.len() > MAX_FILTER_PRIMITIVES {
        return Err(DecodeError::new(format!(
            "{} filter effects; the limit is {MAX_FILTER_PRIMITIVES}",
            primitives.len()
        )));
    }
    for primitive in primitives {
        if let usvg::filter::Kind::Turbulence(turbulence) = primitive.kind()
            && turbulence.num_octaves() > MAX_OCTAVES
        {
            let octaves = turbulence.num_octaves();
            return Err(DecodeError::new(format!("{octaves} octaves of turbulence; the limit is {MAX_OCTAVES}")));
        }
    }
    Ok(())
}

/// The XML text, decompressed if necessary.
fn plain_text(bytes: &[u8]) -> Result<String, DecodeError> {
    let mut text = Vec::new();
    let (mut plain, mut compressed) = (bytes, flate2::read::GzDecoder::new(bytes));
    let source: &mut dyn Read = if bytes.starts_with(b"\x1F\x8B") { &mut compressed } else { &mut plain };
    source
        .take(MAX_TEXT_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(|error| DecodeError::new(format!("damaged compressed data: {error}")))?;
    if text.len() as u64 > MAX_TEXT_BYTES {
        return Err(DecodeError::new(format!("the XML text exceeds {} MiB", MAX_TEXT_BYTES >> 20)));
    }
    String::from_utf8(text).map_err(|_| DecodeError::new("the XML text is not UTF-8"))
}

/// The fonts of the system. They are loaded once, when the first drawing with text is opened.
fn system_fonts() -> Arc<fontdb::Database> {
    static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
        let mut fonts = fontdb::Database::new();
        fonts.load_system_fonts();
        Arc::new(fonts)
    });
    FONTS.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_is_rendered_on_white_and_keeps_its_nominal_size() {
        let text = br##"<svg xmlns="http://www.w3.org/2000/svg" width="20" height="10"><rect width="10" height="10" fill="#f00"/></svg>"##;
        let picture = Drawing::parse(text).expect("it is well-formed").render().expect("it has a size");
        assert_eq!(picture.pixels.dimensions(), (1024, 512));
        assert_eq!(picture.nominal_size, Some((20, 10)));
        assert!(picture.has_alpha);
        assert_eq!(picture.pixels.get_pixel(5, 5).0, [255, 0, 0]);
        assert_eq!(picture.pixels.get_pixel(1000, 5).0, [255, 255, 255]);
    }

    #[test]
    fn linked_files_are_not_opened() {
        let dir = tempfile::tempdir().expect("a folder");
        let secret = dir.path().join("secret.png");
        image::RgbImage::new(4, 4).save(&secret).expect("a picture");
        let text = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="4" height="4"><image width="4" height="4" xlink:href="{}"/></svg>"#,
            secret.display()
        );
        let picture = Drawing::parse(text.as_bytes()).expect("it is well-formed").render().expect("it has a size");
        assert!(picture.pixels.pixels().all(|pixel| pixel.0 == [255, 255, 255]));
    }

    #[test]
    fn turbulence_with_too_many_octaves_is_rejected() {
        let text = br##"<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><filter id="f"><feTurbulence numOctaves="1000000" baseFrequency="1"/></filter><rect width="9" height="9" filter="url(#f)"/></svg>"##;
        let error = Drawing::parse(text).err().expect("it is rejected");
        assert!(error.to_string().contains("octaves"), "{error}");
    }

    #[test]
    fn a_huge_embedded_picture_is_ignored() {
        use base64::Engine;
        let drawing = |side: u32| {
            let mut png = std::io::Cursor::new(Vec::new());
            image::GrayImage::new(side, side).write_to(&mut png, image::ImageFormat::Png).expect("it encodes");
            let data = base64::engine::general_purpose::STANDARD.encode(png.into_inner());
            let text = format!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9"><image width="9" height="9" xlink:href="data:image/png;base64,{data}"/></svg>"#
            );
            let picture = Drawing::parse(text.as_bytes()).expect("it is well-formed").render().expect("it has a size");
            picture.pixels.get_pixel(100, 100).0
        };
        assert_eq!(drawing(9), [0; 3]);
        assert_eq!(drawing(5000), [255; 3]);
    }

    #[test]
    fn damaged_text_has_a_reason() {
        for text in [b"<svg".as_slice(), b"<html/>", b"\xFF\xFE", b"\x1F\x8Bxx"] {
            let error = Drawing::parse(text).err().expect("no drawing");
            assert!(!error.to_string().is_empty());
        }
    }
}
