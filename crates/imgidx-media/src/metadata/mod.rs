//! What a picture says of itself: EXIF data, XMP packets and IPTC records, and XMP files beside it.
//!
//! [`Packets::find`] locates them in a file of any format and reads nothing else. [`Packets::metadata`] interprets them.

mod exif;
mod iptc;
mod packets;
mod png;
#[cfg(test)]
mod tests;
mod xmp;

use serde::{Deserialize, Serialize};

pub use packets::Packets;

/// A place on Earth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Location {
    /// Degrees north of the equator, −90 to 90 (WGS 84).
    #[serde(rename = "lat")]
    pub latitude: f64,
    /// Degrees east of Greenwich, −180 to 180 (WGS 84).
    #[serde(rename = "lon")]
    pub longitude: f64,
}

impl Location {
    /// Makes a location; `None` outside the ranges. Cameras without a fix write 0, 0, which is none either.
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let is_valid = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        (is_valid && (latitude, longitude) != (0.0, 0.0)).then_some(Self { latitude, longitude })
    }

    /// Great-circle distance in kilometres, on a sphere with the Earth's mean radius of 6,371 km (haversine formula).
    pub fn distance(self, other: Self) -> f64 {
        let half_angle = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
        let across = self.latitude.to_radians().cos() * other.latitude.to_radians().cos();
        let square = half_angle(self.latitude, other.latitude) + across * half_angle(self.longitude, other.longitude);
        2.0 * 6371.0 * square.sqrt().min(1.0).asin()
    }
}

/// What a picture says of itself. A field is `None` or empty where the file does not say.
///
/// Of sources that disagree, EXIF data comes first for what the camera knows, and XMP before IPTC and EXIF for what
/// people write (Metadata Working Group, Guidelines for Handling Image Metadata 2.0).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Metadata {
    /// Capture time by the camera's clock, or else the time of digitisation, as `YYYY-MM-DD HH:MM:SS` (EXIF
    /// DateTimeOriginal, tag 0x9003).
    pub taken: Option<String>,
    /// Offset of that clock from UTC, as `+02:00` (EXIF OffsetTimeOriginal, tag 0x9011).
    pub zone: Option<String>,
    /// Maker of the camera.
    pub make: Option<String>,
    /// Model of the camera.
    pub model: Option<String>,
    /// Model of the lens.
    pub lens: Option<String>,
    /// Focal length in millimetres.
    pub focal_length: Option<f64>,
    /// F-number.
    pub aperture: Option<f64>,
    /// Exposure time in seconds.
    pub exposure_time: Option<f64>,
    /// Sensitivity (ISO 12232).
    pub iso: Option<u32>,
    /// Where it was taken.
    #[serde(rename = "gps")]
    pub location: Option<Location>,
    /// Rating from 0 to 5 stars; −1 is rejected (XMP Rating).
    pub rating: Option<i8>,
    /// Title.
    pub title: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Keywords.
    pub keywords: Vec<String>,
    /// Names of people who are shown.
    pub people: Vec<String>,
}

/// Maximum number of characters of a text, and of entries of a list. Longer ones are cut.
const MAX_CHARACTERS: usize = 10_000;
const MAX_ENTRIES: usize = 1_000;

impl Metadata {
    /// Version of the rules by which metadata is read. If it is higher than that of stored metadata, the next `add`
    /// reads the metadata again, and nothing else.
    pub const VERSION: u32 = 1;

    /// Whether the file says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Fills what is missing from another source.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let list = |first: Vec<String>, second| if first.is_empty() { second } else { first };
        // The offset belongs to its time.
        let zone = if self.taken.is_some() { self.zone } else { other.zone };
        Self {
            taken: self.taken.or(other.taken),
            zone,
            make: self.make.or(other.make),
            model: self.model.or(other.model),
            lens: self.lens.or(other.lens),
            focal_length: self.focal_length.or(other.focal_length),
            aperture: self.aperture.or(other.aperture),
            exposure_time: self.exposure_time.or(other.exposure_time),
            iso: self.iso.or(other.iso),
            location: self.location.or(other.location),
            rating: self.rating.or(other.rating),
            title: self.title.or(other.title),
            description: self.description.or(other.description),
            keywords: list(self.keywords, other.keywords),
            people: list(self.people, other.people),
        }
    }

    /// Title, description, keywords and names, for a search of words: one on each line. Descriptions that cameras write
    /// into every picture are left out.
    pub fn words(&self) -> String {
        let is_told = |text: &&String| {
            let text = text.to_uppercase();
            !EMPTY_DESCRIPTIONS.iter().any(|empty| text.contains(empty))
        };
        let texts = self.title.iter().chain(self.description.iter().filter(is_told));
        texts.chain(&self.keywords).chain(&self.people).map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Maker and model of the camera in one line. Models often begin with the maker.
    pub fn camera(&self) -> Option<String> {
        match (&self.make, &self.model) {
            (Some(make), Some(model)) if !model.to_lowercase().starts_with(&first_word(make).to_lowercase()) => {
                Some(format!("{make} {model}"))
            }
            (make, model) => model.clone().or_else(|| make.clone()),
        }
    }
}

/// Descriptions that cameras write into every picture.
const EMPTY_DESCRIPTIONS: [&str; 5] = ["DIGITAL CAMERA", "DIGITAL STILL CAMERA", "SONY DSC", "DCIM", "EXIF_JPEG"];

fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

/// A text without control characters and surrounding spaces, of limited length. `None` if nothing is left.
fn clean(text: &str) -> Option<String> {
    let visible = |character: char| if character.is_control() { ' ' } else { character };
    let text: String =
        text.trim_matches(|it: char| it.is_control() || it.is_whitespace()).chars().map(visible).collect();
    let text = match text.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    };
    (!text.is_empty()).then_some(text)
}

/// Texts as [`clean`] returns them, without repetitions.
fn clean_list(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    let mut list = Vec::new();
    for text in texts.into_iter().filter_map(|text| clean(text.as_ref())) {
        if list.len() < MAX_ENTRIES && !list.contains(&text) {
            list.push(text);
        }
    }
    list
}

/// Bytes as text: UTF-8, or else Latin-1, which older programs write. Ends at the first zero byte.
fn decode_text(bytes: &[u8]) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

/// A date and time as `YYYY-MM-DD HH:MM:SS`. `None` if there is none: cameras whose clock was never set write zeros.
fn date_time([year, month, day]: [u16; 3], [hour, minute, second]: [u16; 3]) -> Option<String> {
    let is_date = (1800..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    let is_time = hour < 24 && minute < 60 && second <= 60;
    (is_date && is_time).then(|| format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"))
}

/// An offset from UTC as `+02:00`; `Z` is `+00:00`.
fn zone(text: &str) -> Option<String> {
    match text.trim().as_bytes() {
        [b'Z'] => Some("+00:00".into()),
        [sign @ (b'+' | b'-'), hours @ .., b':', tens, ones] | [sign @ (b'+' | b'-'), hours @ .., tens, ones]
            if hours.len() == 2 && hours.iter().chain([tens, ones]).all(u8::is_ascii_digit) =>
        {
            let [sign, tens, ones] = [*sign, *tens, *ones].map(char::from);
            Some(format!("{sign}{}:{tens}{ones}", hours.iter().copied().map(char::from).collect::<String>()))
        }
        _ => None,
    }
}
