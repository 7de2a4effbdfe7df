//! Options that filter pictures, for all commands that list any.

use std::path::PathBuf;

use imgidx::media::Format;
use imgidx::types::{ImageType, Lab, Shape};
use imgidx::{Filter, Result, Searcher};

use super::Global;
use super::color::parse_color;
use super::output::count;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Filters")]
pub(super) struct Filters {
    /// Only pictures below this directory (repeatable)
    #[arg(long, value_name = "DIR")]
    under: Vec<PathBuf>,
    /// Only pictures of this format, such as jpeg or png (repeatable)
    #[arg(long, value_name = "FORMAT", value_parser = parse_format)]
    format: Vec<Format>,
    /// Only pictures of this type: photo, gradient, text, simple, complex or uncertain (repeatable)
    #[arg(long = "type", value_name = "TYPE", value_parser = parse_type)]
    kind: Vec<ImageType>,
    /// Only pictures of this shape: landscape, portrait or square (repeatable)
    #[arg(long, value_name = "SHAPE", value_parser = parse_shape)]
    orientation: Vec<Shape>,
    /// Minimum width in pixels
    #[arg(long, value_name = "N")]
    min_width: Option<u32>,
    /// Maximum width in pixels
    #[arg(long, value_name = "N")]
    max_width: Option<u32>,
    /// Minimum height in pixels
    #[arg(long, value_name = "N")]
    min_height: Option<u32>,
    /// Maximum height in pixels
    #[arg(long, value_name = "N")]
    max_height: Option<u32>,
    /// Colour that at least 5 % of the picture have, such as '#c00' or red; may be repeated: all of them
    #[arg(long, value_name = "COLOR", value_parser = parse_color)]
    with_color: Vec<Lab>,
    /// Only pictures taken at this time or later: YYYY, YYYY-MM, YYYY-MM-DD or 'YYYY-MM-DD HH:MM'
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    after: Option<String>,
    /// Only pictures taken before this time; without a date from the camera, the file's modification time counts
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    before: Option<String>,
}

impl Filters {
    /// The filter that these options describe.
    pub(super) fn filter(&self) -> Result<Filter> {
        let mut filter = self.under.iter().fold(Filter::default(), Filter::under);
        for format in &self.format {
            filter = filter.format(format.name());
        }
        filter = self.kind.iter().fold(filter, |filter, kind| filter.kind(*kind));
        filter = self.orientation.iter().fold(filter, |filter, shape| filter.shape(*shape));
        type Limit = fn(Filter, u32) -> Filter;
        let sizes: [(Option<u32>, Limit); 4] = [
            (self.min_width, Filter::min_width),
            (self.max_width, Filter::max_width),
            (self.min_height, Filter::min_height),
            (self.max_height, Filter::max_height),
        ];
        for (pixels, limit) in sizes {
            if let Some(pixels) = pixels {
                filter = limit(filter, pixels);
            }
        }
        filter = self.with_color.iter().fold(filter, |filter, color| filter.color(*color));
        if let Some(moment) = &self.after {
            filter = filter.after(moment)?;
        }
        if let Some(moment) = &self.before {
            filter = filter.before(moment)?;
        }
        Ok(filter)
    }
}

impl Filters {
    /// Notes how many pictures cannot pass because they have not been measured yet.
    pub(super) fn note_unmeasured(&self, global: &Global, index: impl FnOnce() -> Result<Searcher>) -> Result<()> {
        if self.kind.is_empty() && self.with_color.is_empty() {
            return Ok(());
        }
        let unmeasured = index()?.unmeasured()?;
        if unmeasured > 0 {
            let pictures = count(unmeasured, "indexed picture");
            global.note(&format!(
                "type and colours of {pictures} are not measured yet; run `imgidx add` on their directories"
            ));
        }
        Ok(())
    }
}

fn parse_format(text: &str) -> Result<Format, String> {
    let name = match text.to_ascii_lowercase().as_str() {
        "jpg" => "jpeg".to_owned(),
        "tif" => "tiff".to_owned(),
        other => other.to_owned(),
    };
    let known = Format::ALL.into_iter().find(|format| format.name() == name);
    known.ok_or_else(|| format!("formats are {}", Format::ALL.map(Format::name).join(", ")))
}

fn parse_type(text: &str) -> Result<ImageType, String> {
    let names = ImageType::ALL.map(ImageType::as_str).join(", ");
    ImageType::from_name(text).ok_or_else(|| format!("types are {names}"))
}

fn parse_shape(text: &str) -> Result<Shape, String> {
    let names = Shape::ALL.map(Shape::as_str).join(", ");
    Shape::from_name(text).ok_or_else(|| format!("shapes are {names}"))
}

fn parse_moment(text: &str) -> Result<String, String> {
    Filter::default().after(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
