//! XMP packets and files (ISO 16684-1).

use roxmltree::{Document, Node, ParsingOptions};

use super::{Location, Metadata, clean, clean_list, date_time, zone};

const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
const DC: &str = "http://purl.org/dc/elements/1.1/";
const XMP: &str = "http://ns.adobe.com/xap/1.0/";
const EXIF: &str = "http://ns.adobe.com/exif/1.0/";
const EXIF_EX: &str = "http://cipa.jp/exif/1.0/";
const TIFF: &str = "http://ns.adobe.com/tiff/1.0/";
const AUX: &str = "http://ns.adobe.com/exif/1.0/aux/";
const PHOTOSHOP: &str = "http://ns.adobe.com/photoshop/1.0/";
const LIGHTROOM: &str = "http://ns.adobe.com/lightroom/1.0/";
const DIGIKAM: &str = "http://www.digikam.org/ns/1.0/";
const IPTC_EXT: &str = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/";
const REGIONS: &str = "http://www.metadataworkinggroup.com/schemas/regions/";
const MICROSOFT_REGION: &str = "http://ns.microsoft.com/photo/1.2/t/Region#";

/// Maximum number of nodes of a packet. Packets of real pictures have at most a few thousand.
const MAX_NODES: u32 = 200_000;

/// Interprets a packet or a file. `None` if it is not well-formed.
pub(super) fn metadata(packet: &[u8]) -> Option<Metadata> {
    let text = text_of(packet);
    let text = text.trim_matches(|it: char| it.is_whitespace() || it == '\0' || it == '\u{FEFF}');
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).ok()?;
    Some(Packet(&document).metadata())
}

/// A packet as text. The byte order shows how UTF-16 is encoded.
fn text_of(packet: &[u8]) -> String {
    let wide = |number: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = packet.as_chunks::<2>().0.iter().map(|pair| number(*pair)).collect();
        String::from_utf16_lossy(&units)
    };
    match packet {
        [0xFE, 0xFF, ..] | [0, b'<', ..] => wide(u16::from_be_bytes),
        [0xFF, 0xFE, ..] | [b'<', 0, ..] => wide(u16::from_le_bytes),
        _ => String::from_utf8_lossy(packet).into_owned(),
    }
}

struct Packet<'a, 'input>(&'a Document<'input>);

impl<'a, 'input> Packet<'a, 'input> {
    fn metadata(&self) -> Metadata {
        let times =
            [(EXIF, "DateTimeOriginal"), (PHOTOSHOP, "DateCreated"), (EXIF, "DateTimeDigitized"), (XMP, "CreateDate")];
        let time = times.into_iter().find_map(|(space, name)| moment(&self.text(space, name)?));
        let (taken, zone) = time.unzip();
        let number = |space, name| self.text(space, name).and_then(|text| fraction(&text)).filter(|it| *it > 0.0);
        let text = |space, name| self.text(space, name).and_then(|text| clean(&text));
        Metadata {
            taken,
            zone: zone.flatten(),
            make: text(TIFF, "Make"),
            model: text(TIFF, "Model"),
            lens: text(EXIF_EX, "LensModel").or_else(|| text(AUX, "Lens")),
            focal_length: number(EXIF, "FocalLength"),
            aperture: number(EXIF, "FNumber"),
            exposure_time: number(EXIF, "ExposureTime"),
            iso: self.iso(),
            location: self.location(),
            rating: self.text(XMP, "Rating").and_then(|text| rating(&text)),
            title: text(DC, "title"),
            description: text(DC, "description"),
            keywords: self.keywords(),
            people: self.people(),
        }
    }

    /// The values of a property: the items of a list, or else its own text.
    fn values(&self, space: &str, name: &str) -> Vec<String> {
        let elements = self.0.descendants().filter(|node| node.has_tag_name((space, name)));
        let mut values: Vec<String> = elements.flat_map(|element| values_of(element)).collect();
        let described = self.0.descendants().filter(|node| node.has_tag_name((RDF, "Description")));
        values.extend(described.filter_map(|node| node.attribute((space, name))).map(str::to_owned));
        values
    }

    /// The first value of a property; of texts in several languages, the default one.
    fn text(&self, space: &str, name: &str) -> Option<String> {
        self.values(space, name).into_iter().find(|value| !value.trim().is_empty())
    }

    fn iso(&self) -> Option<u32> {
        let names = [(EXIF_EX, "PhotographicSensitivity"), (EXIF, "ISOSpeedRatings")];
        names.into_iter().find_map(|(space, name)| self.text(space, name)?.trim().parse().ok()).filter(|iso| *iso > 0)
    }

    fn location(&self) -> Option<Location> {
        let latitude = degrees(&self.text(EXIF, "GPSLatitude")?)?;
        Location::new(latitude, degrees(&self.text(EXIF, "GPSLongitude")?)?)
    }

    /// Keywords, or else the last parts of those that form a tree.
    fn keywords(&self) -> Vec<String> {
        let keywords = clean_list(self.values(DC, "subject"));
        if !keywords.is_empty() {
            return keywords;
        }
        let trees = [(LIGHTROOM, "hierarchicalSubject", '|'), (DIGIKAM, "TagsList", '/')];
        let leaves = trees.into_iter().flat_map(|(space, name, separator)| {
            let paths = self.values(space, name).into_iter();
            paths.filter_map(move |path| path.rsplit(separator).next().map(str::to_owned))
        });
        clean_list(leaves)
    }

    /// People by name: a list of the IPTC, and marked faces of the Metadata Working Group and of Microsoft.
    fn people(&self) -> Vec<String> {
        let property = |node: Node<'a, 'input>, name: &str| {
            let child = node.children().find(|child| child.has_tag_name((REGIONS, name)));
            node.attribute((REGIONS, name)).or_else(|| child?.text()).map(str::to_owned)
        };
        let faces = self.0.descendants().filter_map(|node| {
            let kind = property(node, "Type")?;
            kind.trim().eq_ignore_ascii_case("face").then(|| property(node, "Name")).flatten()
        });
        let listed = self.values(IPTC_EXT, "PersonInImage").into_iter();
        clean_list(listed.chain(faces).chain(self.values(MICROSOFT_REGION, "PersonDisplayName")))
    }
}

/// The items of a list, those in the default language first, or else the text.
fn values_of(element: Node<'_, '_>) -> Vec<String> {
    let mut items: Vec<Node<'_, '_>> = element.descendants().filter(|node| node.has_tag_name((RDF, "li"))).collect();
    if items.is_empty() {
        items.push(element);
    }
    let language =
        |item: &Node<'_, '_>| item.attribute(("http://www.w3.org/XML/1998/namespace", "lang")) != Some("x-default");
    items.sort_by_key(language);
    items.iter().filter_map(Node::text).map(str::to_owned).collect()
}

/// A fraction such as `28/10`, or a decimal number.
fn fraction(text: &str) -> Option<f64> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    match text.split_once('/') {
        Some((above, below)) => Some(number(above)? / number(below).filter(|below| *below != 0.0)?),
        None => number(text),
    }
}

/// A rating. Some programs write decimal numbers.
fn rating(text: &str) -> Option<i8> {
    let stars: f64 = text.trim().parse().ok()?;
    (-1.0..=5.0).contains(&stars).then_some(stars.round() as i8)
}

/// A coordinate such as `48,51.503N` or `48,51,30N`, in degrees.
fn degrees(text: &str) -> Option<f64> {
    let text = text.trim();
    let letter = text.chars().next_back()?;
    let sign = match letter.to_ascii_uppercase() {
        'N' | 'E' => 1.0,
        'S' | 'W' => -1.0,
        _ => return None,
    };
    let parts: Option<Vec<f64>> =
        text[..text.len() - letter.len_utf8()].split(',').map(|part| part.trim().parse().ok()).collect();
    let parts = parts.filter(|parts| parts.len() <= 3)?;
    Some(sign * parts.iter().zip([1.0, 60.0, 3600.0]).map(|(part, unit)| part / unit).sum::<f64>())
}

/// A date such as `2024-05-12T23:59:01.5+02:00`, of which the time and the offset may be absent: the time as
/// `YYYY-MM-DD HH:MM:SS`, and the offset.
fn moment(text: &str) -> Option<(String, Option<String>)> {
    let text = text.trim();
    let number = |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse::<u16>().ok());
    let is_formed = text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
    let date = [number(0, 4)?, number(5, 7)?, number(8, 10)?];
    let has_time = text.get(10..11) == Some("T");
    let time = if has_time { [number(11, 13)?, number(14, 16)?, number(17, 19).unwrap_or(0)] } else { [0; 3] };
    let offset = text.get(16..).and_then(|rest| rest.find(['+', '-', 'Z']).and_then(|at| zone(&rest[at..])));
    Some((date_time(date, time).filter(|_| is_formed)?, offset))
}
