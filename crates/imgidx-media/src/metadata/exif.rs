//! EXIF data (CIPA DC-008).

use exif::{Context, DateTime, Exif, Field, In, Reader, Tag, Value};

use super::{Location, Metadata, clean, clean_list, date_time, decode_text, iptc, xmp, zone};

/// Tags outside the standard: ratings and texts of Windows, and records of XMP and IPTC in TIFF files.
const RATING: Tag = Tag(Context::Tiff, 0x4746);
const XP_TITLE: Tag = Tag(Context::Tiff, 0x9C9B);
const XP_KEYWORDS: Tag = Tag(Context::Tiff, 0x9C9E);
const XMP_PACKET: Tag = Tag(Context::Tiff, 0x02BC);
const IPTC_RECORDS: Tag = Tag(Context::Tiff, 0x83BB);

/// EXIF data whose directories have been read.
pub(super) struct ExifData(Exif);

impl ExifData {
    /// Reads a TIFF structure. Some values may be damaged as long as others can be read.
    pub(super) fn read(tiff: &[u8]) -> Option<Self> {
        let exif = Reader::new().continue_on_error(true).read_raw(tiff.to_vec());
        exif.or_else(|error| error.distill_partial_result(|_| ())).ok().map(Self)
    }

    /// What the camera recorded, and what programs wrote into its fields.
    pub(super) fn metadata(&self) -> Metadata {
        let (taken, zone) = self.taken();
        Metadata {
            taken,
            zone,
            make: self.text(Tag::Make),
            model: self.text(Tag::Model),
            lens: self.text(Tag::LensModel),
            focal_length: self.number(Tag::FocalLength),
            aperture: self.number(Tag::FNumber),
            exposure_time: self.number(Tag::ExposureTime),
            iso: self.iso(),
            location: self.location(),
            rating: self.field(RATING).and_then(|field| field.value.get_uint(0)).and_then(rating),
            title: self.wide_text(XP_TITLE).as_deref().and_then(clean),
            description: self.text(Tag::ImageDescription),
            keywords: clean_list(self.wide_text(XP_KEYWORDS).as_deref().unwrap_or_default().split(';')),
            people: Vec::new(),
        }
    }

    /// The XMP packet that a TIFF file holds as a value.
    pub(super) fn xmp(&self) -> Option<Metadata> {
        xmp::metadata(&self.bytes(XMP_PACKET)?)
    }

    /// The IPTC records that a TIFF file holds as a value.
    pub(super) fn iptc(&self) -> Option<Metadata> {
        self.bytes(IPTC_RECORDS).map(|records| iptc::metadata(&records))
    }

    fn field(&self, tag: Tag) -> Option<&Field> {
        self.0.get_field(tag, In::PRIMARY)
    }

    fn text(&self, tag: Tag) -> Option<String> {
        let Value::Ascii(lines) = &self.field(tag)?.value else { return None };
        clean(&decode_text(lines.first()?))
    }

    /// A text in UTF-16, as Windows writes it.
    fn wide_text(&self, tag: Tag) -> Option<String> {
        let bytes = self.bytes(tag)?;
        let units = bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).take_while(|unit| *unit != 0);
        Some(char::decode_utf16(units).map(|it| it.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
    }

    /// A value as bytes. IPTC records are often stored as numbers of four bytes in the file's byte order.
    fn bytes(&self, tag: Tag) -> Option<Vec<u8>> {
        match &self.field(tag)?.value {
            Value::Byte(bytes) | Value::Undefined(bytes, _) => Some(bytes.clone()),
            Value::Long(numbers) if self.0.little_endian() => {
                Some(numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
            }
            Value::Long(numbers) => Some(numbers.iter().flat_map(|number| number.to_be_bytes()).collect()),
            _ => None,
        }
    }

    /// A positive fraction.
    fn number(&self, tag: Tag) -> Option<f64> {
        let Value::Rational(fractions) = &self.field(tag)?.value else { return None };
        let fraction = fractions.first().filter(|fraction| fraction.num > 0 && fraction.denom > 0)?;
        Some(fraction.to_f64())
    }

    /// The sensitivity. 65,535 stands for larger ones, which have fields of their own.
    fn iso(&self) -> Option<u32> {
        let number = |tag| self.field(tag).and_then(|field| field.value.get_uint(0)).filter(|iso| *iso > 0);
        match number(Tag::PhotographicSensitivity) {
            Some(65_535) | None => {
                number(Tag::RecommendedExposureIndex).or_else(|| number(Tag::StandardOutputSensitivity))
            }
            iso => iso,
        }
    }

    /// Capture time by the camera's clock and its offset from UTC, or else the time of digitisation.
    ///
    /// The time of the last change by a program (DateTime, tag 0x0132) is ignored.
    fn taken(&self) -> (Option<String>, Option<String>) {
        let times =
            [(Tag::DateTimeOriginal, Tag::OffsetTimeOriginal), (Tag::DateTimeDigitized, Tag::OffsetTimeDigitized)];
        let found = times.into_iter().find_map(|(time, offset)| Some((self.date(time)?, self.text(offset))));
        found.map_or((None, None), |(taken, offset)| (Some(taken), offset.as_deref().and_then(zone)))
    }

    fn date(&self, tag: Tag) -> Option<String> {
        let Value::Ascii(lines) = &self.field(tag)?.value else { return None };
        let text = lines.first()?;
        let text = text.strip_suffix(b"\0").unwrap_or(text);
        let DateTime { year, month, day, hour, minute, second, .. } = DateTime::from_ascii(text).ok()?;
        date_time([year, month.into(), day.into()], [hour, minute, second].map(u16::from))
    }

    fn location(&self) -> Option<Location> {
        let latitude = self.degrees(Tag::GPSLatitude, Tag::GPSLatitudeRef, b'S')?;
        Location::new(latitude, self.degrees(Tag::GPSLongitude, Tag::GPSLongitudeRef, b'W')?)
    }

    /// Degrees, minutes and seconds as degrees; negative in the hemisphere `negative`.
    fn degrees(&self, tag: Tag, hemisphere: Tag, negative: u8) -> Option<f64> {
        let Value::Rational(parts) = &self.field(tag)?.value else { return None };
        let is_valid = !parts.is_empty() && parts[0].denom > 0;
        let parts = parts.iter().take(3).zip([1.0, 60.0, 3600.0]).filter(|(part, _)| part.denom > 0);
        let degrees: f64 = parts.map(|(part, unit)| part.to_f64() / unit).sum();
        let Value::Ascii(letter) = &self.field(hemisphere)?.value else { return None };
        let is_negative = letter.first()?.first()?.to_ascii_uppercase() == negative;
        is_valid.then_some(if is_negative { -degrees } else { degrees })
    }
}

/// A rating from 0 to 5.
fn rating(stars: u32) -> Option<i8> {
    i8::try_from(stars).ok().filter(|stars| *stars <= 5)
}
