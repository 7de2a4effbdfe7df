//! Options that filter pictures, for all commands that list any.

use std::path::PathBuf;

use imgidx::media::Format;
use imgidx::types::{ImageType, Location, Shape};
use imgidx::{Filter, Result};

use super::color::{Color, ColorParser};
use super::output::count;
use super::{Global, one_of, one_of_or, parse_pixels};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Filters")]
pub(super) struct Filters {
    /// Only pictures below this directory (repeatable)
    #[arg(long, value_name = "DIR")]
    under: Vec<PathBuf>,
    /// Only pictures of this format, such as jpeg or png (repeatable)
    #[arg(long, value_name = "FORMAT", value_parser = one_of_or(Format::ALL, Format::name, &[("jpg", "jpeg"), ("tif", "tiff")]), hide_possible_values = true)]
    format: Vec<Format>,
    /// Only pictures of this type: photo, gradient, text, simple, complex or uncertain (repeatable)
    #[arg(long = "type", value_name = "TYPE", value_parser = one_of(ImageType::ALL, ImageType::as_str), hide_possible_values = true)]
    kind: Vec<ImageType>,
    /// Only pictures of this shape: landscape, portrait or square (repeatable)
    #[arg(long, value_name = "SHAPE", value_parser = one_of(Shape::ALL, Shape::as_str), hide_possible_values = true)]
    orientation: Vec<Shape>,
    /// Minimum width in pixels
    #[arg(long, value_name = "N", value_parser = parse_pixels, allow_negative_numbers = true)]
    min_width: Option<u32>,
    /// Maximum width in pixels
    #[arg(long, value_name = "N", value_parser = parse_pixels, allow_negative_numbers = true)]
    max_width: Option<u32>,
    /// Minimum height in pixels
    #[arg(long, value_name = "N", value_parser = parse_pixels, allow_negative_numbers = true)]
    min_height: Option<u32>,
    /// Maximum height in pixels
    #[arg(long, value_name = "N", value_parser = parse_pixels, allow_negative_numbers = true)]
    max_height: Option<u32>,
    /// Only pictures with this colour on at least 5 % of their surface: a name, such as blue, navy or light-green, or a
    /// number such as '#c00' (repeatable: all of the colours must occur)
    #[arg(long, value_name = "COLOR", value_parser = ColorParser, hide_possible_values = true)]
    with_color: Vec<Color>,
    /// Only pictures taken at this time or later: YYYY, YYYY-MM, YYYY-MM-DD or 'YYYY-MM-DD HH:MM'
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    after: Option<String>,
    /// Only pictures taken before this time; without a date from the camera, the file's modification time counts
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    before: Option<String>,
    /// Only pictures by a camera with this text in its maker or model (repeatable: all of the texts must occur)
    #[arg(long, value_name = "TEXT")]
    camera: Vec<String>,
    /// Only pictures by a lens with this text in its name (repeatable: all of the texts must occur)
    #[arg(long, value_name = "TEXT")]
    lens: Vec<String>,
    /// Only pictures taken within KM kilometres of this place, in degrees north and east [default for KM: 1]
    #[arg(long, value_name = "LAT,LON[,KM]", value_parser = parse_place, allow_negative_numbers = true, allow_hyphen_values = true)]
    near: Option<(Location, f64)>,
    /// Only pictures that say where they were taken
    #[arg(long)]
    has_location: bool,
    /// Only pictures with at least this rating, 1 to 5 stars
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i8).range(1..=5))]
    min_rating: Option<i8>,
    /// Only pictures with this keyword (repeatable: all of the keywords must be there)
    #[arg(long, value_name = "WORD")]
    keyword: Vec<String>,
}

impl Filters {
    /// The filter that these options describe.
    pub(super) fn filter(&self) -> Result<Filter> {
        let mut filter = self.under.iter().fold(Filter::default(), Filter::under);
        filter = self.format.iter().map(|format| format.name()).fold(filter, Filter::format);
        filter = self.kind.iter().copied().fold(filter, Filter::kind);
        filter = self.orientation.iter().copied().fold(filter, Filter::shape);
        filter = self.min_width.into_iter().fold(filter, Filter::min_width);
        filter = self.max_width.into_iter().fold(filter, Filter::max_width);
        filter = self.min_height.into_iter().fold(filter, Filter::min_height);
        filter = self.max_height.into_iter().fold(filter, Filter::max_height);
        filter = self.with_color.iter().fold(filter, |filter, color| match color {
            Color::Name(name) => filter.color_name(*name),
            Color::About(lab) => filter.color(*lab),
        });
        filter = self.camera.iter().fold(filter, Filter::camera);
        filter = self.lens.iter().fold(filter, Filter::lens);
        filter = self.keyword.iter().fold(filter, Filter::keyword);
        filter = self.min_rating.into_iter().fold(filter, Filter::min_rating);
        filter = self.near.into_iter().fold(filter, |filter, (place, kilometers)| filter.near(place, kilometers));
        if self.has_location {
            filter = filter.has_location();
        }
        if let Some(moment) = &self.after {
            filter = filter.after(moment)?;
        }
        if let Some(moment) = &self.before {
            filter = filter.before(moment)?;
        }
        Ok(filter)
    }

    /// Notes why filters may find too little: directories that are not indexed, and pictures that are not measured yet.
    pub(super) fn note_gaps(&self, global: &Global) -> Result<()> {
        if !self.under.is_empty() {
            for folder in global.open_searcher(None)?.empty_folders(&self.filter()?)? {
                global.note(&format!(
                    "nothing below `{}` is indexed; `imgidx status` lists the indexed directories",
                    folder.display()
                ));
            }
        }
        if self.kind.is_empty() && self.with_color.is_empty() {
            return Ok(());
        }
        let unmeasured = global.open_searcher(None)?.unmeasured()?;
        if unmeasured > 0 {
            let pictures = count(unmeasured, "indexed picture");
            global.note(&format!(
                "type and colours of {pictures} are not measured yet; run `imgidx add` on the indexed directories"
            ));
        }
        Ok(())
    }
}

/// A latitude, a longitude and a distance in kilometres.
fn parse_place(text: &str) -> Result<(Location, f64), String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    let (latitude, longitude, kilometers) = match numbers.as_deref() {
        Some(&[latitude, longitude]) => (latitude, longitude, 1.0),
        Some(&[latitude, longitude, kilometers]) if kilometers > 0.0 => (latitude, longitude, kilometers),
        _ => return Err("expected LATITUDE,LONGITUDE or LATITUDE,LONGITUDE,KILOMETRES, such as 48.86,2.35,5".into()),
    };
    let place = Location::new(latitude, longitude);
    let place = place.ok_or("a latitude is between -90 and 90, and a longitude between -180 and 180")?;
    Ok((place, kilometers))
}

fn parse_moment(text: &str) -> Result<String, String> {
    Filter::default().after(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
