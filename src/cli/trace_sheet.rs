//! A page of traces: each picture, its trace, and where they differ.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::png::PngEncoder;
use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};
use imgidx::trace::{Compared, Traced};
use imgidx::types::escape_path;
use imgidx::vector::render;
use imgidx::{Error, Result};

use super::output::{count, human_bytes};
use super::output_file::refuse_other_page;
use super::sheet::{page_start, text};

/// The longer side of pictures on the page, in pixels.
const SIDE: u32 = 512;

/// Marks a page as made by this command, so that it may be replaced.
const TITLE: &str = "<title>Traces</title>";

/// A page that grows with each trace.
pub(super) struct TraceSheet {
    path: PathBuf,
    out: BufWriter<File>,
}

impl TraceSheet {
    /// Starts a page. Replaces only an older page of this command, unless `overwrite` is set, and never a picture.
    pub(super) fn create(path: &Path, overwrite: bool) -> Result<Self> {
        refuse_other_page(path, TITLE, overwrite)?;
        let out = BufWriter::new(File::create(path).map_err(Error::io("write", path))?);
        let mut sheet = Self { path: path.to_owned(), out };
        let summary = "the picture, its trace, and where they differ";
        sheet.write(&page_start("Traces", include_str!("trace_sheet.css"), summary))?;
        Ok(sheet)
    }

    /// Adds a picture and its trace.
    pub(super) fn add(&mut self, path: &Path, traced: &Traced) -> Result<()> {
        let Some(Compared { pixels, ground }) = &traced.compared else { return Ok(()) };
        let name = text(&escape_path(path));
        let (width, height) = shown_size(pixels.dimensions());
        let original = resize(pixels, width, height, FilterType::CatmullRom);
        let drawn = render(&traced.svg, width, height, *ground);
        let difference = drawn.map(|drawn| png(&difference(&original, &drawn))).unwrap_or_default();
        let vector = STANDARD.encode(&traced.svg);
        let [red, green, blue] = ground;
        let picture = |label: &str, data: &str, of: &str| {
            format!(
                "<figure><img alt=\"{name}: {label}\" style=\"background: #{red:02x}{green:02x}{blue:02x}\" \
                 src=\"data:{of};base64,{data}\"><figcaption>{label}</figcaption></figure>\n"
            )
        };
        let row = format!(
            "<h2>{name}</h2>\n<p class=\"facts\">{}</p>\n<section class=\"trace\">\n{}{}{}</section>\n",
            text(&facts(traced)),
            picture("picture", &png(&original), "image/png"),
            picture("trace", &vector, "image/svg+xml"),
            picture("difference", &difference, "image/png"),
        );
        self.write(&row)
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.write("</html>\n")?;
        self.out.flush().map_err(Error::io("write", &self.path))
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.out.write_all(text.as_bytes()).map_err(Error::io("write", &self.path))
    }
}

fn facts(traced: &Traced) -> String {
    let Traced { score, quality, shapes, tier, tried, time, .. } = traced;
    format!(
        "score {score:.1} · SSIMULACRA2 {:.1} · SSIM {:.3} · {}, {} · {}, {} tried in {:.2} s",
        quality.ssimulacra2,
        quality.ssim,
        human_bytes(traced.svg.len() as u64),
        count((*shapes).into(), "shape"),
        tier.as_str(),
        tried,
        time.as_secs_f64()
    )
}

/// The size on the page. Small pictures are enlarged, so that their edges can be seen.
fn shown_size((width, height): (u32, u32)) -> (u32, u32) {
    let scale = f64::from(SIDE) / f64::from(width.max(height));
    let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    (side(width), side(height))
}

/// The difference of two pictures: white where they are equal, and redder the more they differ.
fn difference(a: &RgbImage, b: &RgbImage) -> RgbImage {
    RgbImage::from_fn(a.width(), a.height(), |x, y| {
        let (p, q) = (a.get_pixel(x, y).0, b.get_pixel(x, y).0);
        let off = (0..3).map(|i| p[i].abs_diff(q[i])).max().unwrap_or(0);
        let fade = 255 - u8::try_from(2 * u16::from(off)).unwrap_or(255);
        Rgb([255 - (255 - fade) / 8, fade, fade])
    })
}

fn png(pixels: &RgbImage) -> String {
    let mut bytes = Vec::new();
    pixels.write_with_encoder(PngEncoder::new(&mut bytes)).expect("writing to memory does not fail");
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pixels_are_white_and_others_are_red() {
        let (a, b) = (
            RgbImage::from_pixel(2, 1, Rgb([9, 9, 9])),
            RgbImage::from_fn(2, 1, |x, _| Rgb([9, 9 + 200 * x as u8, 9])),
        );
        let difference = difference(&a, &b);
        assert_eq!((difference.get_pixel(0, 0).0, difference.get_pixel(1, 0).0), ([255; 3], [224, 0, 0]));
    }

    #[test]
    fn every_picture_is_scaled_to_the_same_longer_side() {
        assert_eq!(shown_size((64, 32)), (512, 256));
        assert_eq!(shown_size((4000, 1)), (512, 1));
    }
}
