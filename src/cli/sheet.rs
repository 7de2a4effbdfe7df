//! The contact sheet: a page with thumbnails, complete in one file.

use std::fmt::Write;
use std::path::Path;

use base64::Engine;
use image::codecs::jpeg::JpegEncoder;
use imgidx::media::{DecodeLimits, Decoder, Filter, Fit, Reading, read_content};
use imgidx::types::path_to_bytes;
use imgidx::{Answer, Error, Result};
use rayon::prelude::*;

use super::output::{escaped, printable};

/// The longer side of a thumbnail, in pixels: twice what is shown, for dense screens.
const SIDE: u32 = 480;

const QUALITY: u8 = 82;

const MAX_BYTES: u64 = 512 << 20;

const STYLE: &str = include_str!("sheet.css");

/// A picture on the sheet.
struct Tile<'a> {
    path: &'a Path,
    score: Option<f32>,
    copies: usize,
}

/// Writes the sheet of an answer.
pub fn write(file: &Path, answer: &Answer) -> Result<()> {
    let asked: Vec<Tile<'_>> =
        answer.query.iter().map(|image| Tile { path: &image.path, score: None, copies: 0 }).collect();
    let hits: Vec<Tile<'_>> = answer
        .hits
        .iter()
        .map(|hit| Tile { path: &hit.path, score: Some(hit.score), copies: hit.paths.len() - 1 })
        .collect();
    let render = |tiles: &[Tile<'_>]| tiles.par_iter().map(tile).collect::<Vec<_>>().concat();
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Similar pictures</title>\n<style>\n{STYLE}</style>\n\
         <header>\n<h1>Similar pictures</h1>\n<p>{} by the model <code>{}</code></p>\n</header>\n\
         <section class=\"asked\">\n{}</section>\n<section class=\"hits\">\n{}</section>\n</html>\n",
        super::output::count(answer.hits.len() as u64, "neighbour"),
        text(&answer.model),
        render(&asked),
        render(&hits),
    );
    std::fs::write(file, page).map_err(|source| Error::Io { action: "write", path: file.to_owned(), source })
}

fn tile(tile: &Tile<'_>) -> String {
    let name = tile.path.file_name().map_or_else(|| escaped(tile.path), |name| escaped(Path::new(name)));
    let folder = tile.path.parent().map(escaped).unwrap_or_default();
    let picture = match thumbnail(tile.path) {
        Ok(data) => format!("<img alt=\"{}\" src=\"data:image/jpeg;base64,{data}\">", text(&name)),
        Err(reason) => format!("<span class=\"gone\">{}</span>", text(&reason)),
    };
    let mut html = format!("<figure>\n<a href=\"{}\">{picture}</a>\n<figcaption>\n", text(&file_url(tile.path)));
    if let Some(score) = tile.score {
        let _ = writeln!(html, "<span class=\"score\">{score:.3}</span>");
    }
    let _ = writeln!(html, "<span class=\"name\" title=\"{0}\">{0}</span>", text(&name));
    let _ = writeln!(html, "<span class=\"folder\" title=\"{0}\">{0}</span>", text(&folder));
    if tile.copies > 0 {
        let copies = if tile.copies == 1 { "copy" } else { "copies" };
        let _ = writeln!(html, "<span class=\"copies\">and {} {copies}</span>", tile.copies);
    }
    html.push_str("</figcaption>\n</figure>\n");
    html
}

/// A small upright JPEG in base64; the error is the reason.
fn thumbnail(path: &Path) -> Result<String, String> {
    let content = match read_content(path, MAX_BYTES, |_| ()).0 {
        Reading::Content(content, ..) => content,
        Reading::Skipped(reason, ..) | Reading::Failed(reason, ..) => return Err(reason),
        Reading::InFlux => return Err("not there any more".into()),
    };
    let decoder = Decoder::open(&content.bytes, content.format, DecodeLimits::default());
    let picture = decoder.and_then(Decoder::decode).map_err(|error| error.to_string())?;
    let small = picture.resized(Fit::Inside, SIDE, SIDE, Filter::Lanczos);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode_image(&small).map_err(|error| error.to_string())?;
    Ok(base64::engine::general_purpose::STANDARD.encode(jpeg))
}

/// Text that a browser shows as it is.
fn text(raw: &str) -> String {
    let mut safe = String::with_capacity(raw.len());
    for c in printable(raw).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// The URL of a file (RFC 8089), every unusual byte escaped.
fn file_url(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut url = String::from("file://");
    for byte in path_to_bytes(&absolute).iter() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => url.push(char::from(*byte)),
            other => {
                let _ = write!(url, "%{other:02X}");
            }
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
