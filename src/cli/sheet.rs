//! Contact sheets: HTML pages with thumbnails, each in a single file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use base64::Engine;
use image::codecs::jpeg::JpegEncoder;
use imgidx::types::{escape_path, path_to_bytes};
use imgidx::{Error, OpenOptions, Result};
use rayon::prelude::*;

use super::output::printable;
use super::output_file::refuse_other_page;

/// The longer side of a thumbnail in pixels: twice the size on the page, for high-density screens.
const THUMBNAIL_SIDE: u32 = 480;

const JPEG_QUALITY: u8 = 82;

/// Marks a page as made by imgidx, so that it may be replaced.
const GENERATOR: &str = "<meta name=\"generator\" content=\"imgidx\">";

/// Thumbnails in memory at a time.
const MAX_THUMBNAILS: usize = 64;

/// A page with thumbnails.
pub(super) struct Sheet<'a> {
    pub title: String,
    pub summary: String,
    pub sections: Vec<Section<'a>>,
}

/// A group of thumbnails.
pub(super) struct Section<'a> {
    pub heading: Option<String>,
    /// Whether these are the pictures of the query.
    pub asked: bool,
    pub tiles: Vec<Tile<'a>>,
}

/// A picture on the page.
pub(super) struct Tile<'a> {
    pub path: &'a Path,
    pub score: Option<f32>,
    /// The number of other files with the same content.
    pub copies: usize,
    /// Further text; may be empty.
    pub note: String,
    /// Whether it is marked as the best of its section.
    pub is_best: bool,
}

impl<'a> Tile<'a> {
    /// A picture without further text.
    pub(super) fn new(path: &'a Path) -> Self {
        Self { path, score: None, copies: 0, note: String::new(), is_best: false }
    }
}

impl Sheet<'_> {
    /// Writes the page. Replaces only an older page of imgidx, unless `overwrite` is set, and never a picture.
    pub(super) fn write(&self, file: &Path, overwrite: bool, options: &OpenOptions) -> Result<()> {
        refuse_other_page(file, GENERATOR, overwrite)?;
        let mut out = BufWriter::new(File::create(file).map_err(Error::io("write", file))?);
        self.write_to(&mut out, options).and_then(|()| out.flush()).map_err(Error::io("write", file))
    }

    fn write_to(&self, out: &mut impl Write, options: &OpenOptions) -> std::io::Result<()> {
        out.write_all(page_start(&self.title, "", &self.summary).as_bytes())?;
        for section in &self.sections {
            if let Some(heading) = &section.heading {
                writeln!(out, "<h2>{}</h2>", text(heading))?;
            }
            writeln!(out, "<section{}>", if section.asked { " class=\"asked\"" } else { "" })?;
            // In chunks, so that a page of many pictures needs little memory.
            for tiles in section.tiles.chunks(MAX_THUMBNAILS) {
                let html: Vec<String> = tiles.par_iter().map(|shown| tile(shown, options)).collect();
                out.write_all(html.concat().as_bytes())?;
            }
            writeln!(out, "</section>")?;
        }
        writeln!(out, "</html>")
    }
}

/// The start of a page, with its title, further rules for its style, and the text beside the title.
pub(super) fn page_start(title: &str, style: &str, summary: &str) -> String {
    let (title, summary) = (text(title), text(summary));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n{GENERATOR}\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{}{style}</style>\n\
         <header>\n<h1>{title}</h1>\n<p>{summary}</p>\n</header>\n",
        include_str!("sheet.css")
    )
}

fn tile(tile: &Tile<'_>, options: &OpenOptions) -> String {
    let name = tile.path.file_name().map_or_else(|| escape_path(tile.path), |name| escape_path(Path::new(name)));
    let folder = tile.path.parent().map(escape_path).unwrap_or_default();
    let picture = match thumbnail(tile.path, options) {
        Ok(data) => format!("<img alt=\"{}\" src=\"data:image/jpeg;base64,{data}\">", text(&name)),
        Err(reason) => format!("<span class=\"gone\">{}</span>", text(&reason)),
    };
    let class = if tile.is_best { " class=\"best\"" } else { "" };
    let mut html = format!("<figure{class}>\n<a href=\"{}\">{picture}</a>\n<figcaption>\n", text(&file_url(tile.path)));
    if let Some(score) = tile.score {
        html += &format!("<span class=\"score\">{score:.3}</span>\n");
    }
    html += &format!("<span class=\"name\" title=\"{0}\">{0}</span>\n", text(&name));
    html += &format!("<span class=\"folder\" title=\"{0}\">{0}</span>\n", text(&folder));
    let copies = match tile.copies {
        0 => String::new(),
        1 => "and 1 copy".to_owned(),
        several => format!("and {several} copies"),
    };
    for line in [&tile.note, &copies].into_iter().filter(|line| !line.is_empty()) {
        html += &format!("<span class=\"more\">{}</span>\n", text(line));
    }
    html.push_str("</figcaption>\n</figure>\n");
    html
}

/// A small upright JPEG in base64. The error is the reason as text.
fn thumbnail(path: &Path, options: &OpenOptions) -> Result<String, String> {
    let small = options.thumbnail(path, THUMBNAIL_SIDE).map_err(|error| match error {
        Error::Picture { reason, .. } => reason,
        other => other.to_string(),
    })?;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY).encode_image(&small).map_err(|error| error.to_string())?;
    Ok(base64::engine::general_purpose::STANDARD.encode(jpeg))
}

/// Escapes text for HTML, in content and in attributes.
pub(super) fn text(raw: &str) -> String {
    xml(&printable(raw)).replace('\'', "&#39;")
}

/// Escapes text for XML, in content and in attributes with double quotes.
pub(super) fn xml(raw: &str) -> String {
    raw.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The URL of a file (RFC 8089), with every other byte percent-encoded.
fn file_url(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut url = String::from("file://");
    for byte in path_to_bytes(&absolute).iter() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => url.push(char::from(*byte)),
            other => url += &format!("%{other:02X}"),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_text() {
        assert_eq!(text("<img src=x onerror='a'>&\""), "&lt;img src=x onerror=&#39;a&#39;&gt;&amp;&quot;");
        assert_eq!(file_url(Path::new("/a b/\"%.jpg")), "file:///a%20b/%22%25.jpg");
    }
}
