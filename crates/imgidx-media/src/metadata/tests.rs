//! Metadata of all kinds in files of all formats.

use super::*;
use crate::Format;
use ::exif::experimental::Writer;
use ::exif::{Context, Field, In, Rational, Tag, Value};
use flate2::{Compression, write::ZlibEncoder};
use image::ImageFormat;
use std::io::Write;

fn ascii(text: &str) -> Value {
    Value::Ascii(vec![text.as_bytes().to_vec()])
}

fn fraction(num: u32, denom: u32) -> Rational {
    Rational { num, denom }
}

/// EXIF data with these fields.
fn tiff(fields: &[(Tag, Value)]) -> Vec<u8> {
    let fields: Vec<Field> =
        fields.iter().map(|(tag, value)| Field { tag: *tag, ifd_num: In::PRIMARY, value: value.clone() }).collect();
    let mut writer = Writer::new();
    fields.iter().for_each(|field| writer.push_field(field));
    let mut bytes = std::io::Cursor::new(Vec::new());
    writer.write(&mut bytes, false).expect("writing to memory does not fail");
    bytes.into_inner()
}

fn of_exif(fields: &[(Tag, Value)]) -> Metadata {
    Packets { exif: Some(tiff(fields)), ..Packets::default() }.metadata()
}

fn of_xmp(properties: &str) -> Metadata {
    Packets::of_xmp_file(xmp_file(properties)).metadata()
}

fn xmp_file(properties: &str) -> Vec<u8> {
    format!(
        r#"<?xpacket begin="{bom}" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/"
xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
xmlns:lr="http://ns.adobe.com/lightroom/1.0/" xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" {properties}</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"#,
        bom = '\u{FEFF}'
    )
    .into_bytes()
}

fn iptc(sets: &[(u8, &[u8])]) -> Vec<u8> {
    let set = |(number, value): &(u8, &[u8])| {
        [&[0x1C, 2, *number][..], &u16::try_from(value.len()).expect("it is short").to_be_bytes(), value].concat()
    };
    // A set of another record comes first, as usual.
    [vec![0x1C, 1, 90, 0, 3, 0x1B, b'%', b'G'], sets.iter().flat_map(set).collect()].concat()
}

#[test]
fn a_cameras_facts_are_read() {
    let degrees = |parts: [u32; 3]| Value::Rational(parts.map(|part| fraction(part, 1)).to_vec());
    let metadata = of_exif(&[
        (Tag::Make, ascii("Canon ")),
        (Tag::Model, ascii("Canon EOS R6")),
        (Tag::DateTimeOriginal, ascii("2024:05:12 23:59:01")),
        (Tag::OffsetTimeOriginal, ascii("+02:00")),
        (Tag::LensModel, ascii("RF50mm F1.8")),
        (Tag::FocalLength, Value::Rational(vec![fraction(50, 1)])),
        (Tag::FNumber, Value::Rational(vec![fraction(18, 10)])),
        (Tag::ExposureTime, Value::Rational(vec![fraction(1, 250)])),
        (Tag::PhotographicSensitivity, Value::Short(vec![400])),
        (Tag::GPSLatitude, degrees([48, 51, 30])),
        (Tag::GPSLatitudeRef, ascii("S")),
        (Tag::GPSLongitude, degrees([2, 21, 0])),
        (Tag::GPSLongitudeRef, ascii("E")),
        (Tag(Context::Tiff, 0x4746), Value::Short(vec![4])),
    ]);
    let expected = Metadata {
        taken: Some("2024-05-12 23:59:01".into()),
        zone: Some("+02:00".into()),
        make: Some("Canon".into()),
        model: Some("Canon EOS R6".into()),
        lens: Some("RF50mm F1.8".into()),
        focal_length: Some(50.0),
        aperture: Some(1.8),
        exposure_time: Some(0.004),
        iso: Some(400),
        location: Location::new(-(48.0 + 51.0 / 60.0 + 30.0 / 3600.0), 2.35),
        rating: Some(4),
        ..Metadata::default()
    };
    assert_eq!(metadata, expected);
    assert_eq!(metadata.camera().as_deref(), Some("Canon EOS R6"), "the maker is not repeated");
}

#[test]
fn the_capture_date_is_read_and_the_change_date_is_not() {
    assert_eq!(of_exif(&[(Tag::DateTime, ascii("2024:05:12 23:59:01"))]).taken, None);
    let digitized = of_exif(&[(Tag::DateTimeDigitized, ascii("2024:05:12 23:59:01"))]);
    assert_eq!(digitized.taken.as_deref(), Some("2024-05-12 23:59:01"));
}

#[test]
fn invalid_values_are_ignored() {
    for text in ["0000:00:00 00:00:00", "    :  :     :  :  ", "2024:13:01 00:00:00", "yesterday", ""] {
        assert_eq!(of_exif(&[(Tag::DateTimeOriginal, ascii(text))]).taken, None, "{text:?}");
    }
    let nothing = [
        (Tag::FocalLength, Value::Rational(vec![fraction(50, 0)])),
        (Tag::PhotographicSensitivity, Value::Short(vec![0])),
        (Tag::ImageDescription, ascii("   ")),
        (Tag::GPSLatitude, Value::Rational(vec![fraction(0, 1); 3])),
        (Tag::GPSLatitudeRef, ascii("N")),
        (Tag::GPSLongitude, Value::Rational(vec![fraction(0, 1); 3])),
        (Tag::GPSLongitudeRef, ascii("E")),
        (Tag(Context::Tiff, 0x4746), Value::Short(vec![99])),
    ];
    assert!(of_exif(&nothing).is_empty(), "{:?}", of_exif(&nothing));
    for damaged in [&b"no metadata at all"[..], b"", b"II*\0", b"<x", b"\x1C\x02\x19\xFF\xFFa"] {
        let packet = || Some(damaged.to_vec());
        assert!(Packets { exif: packet(), xmp: packet(), iptc: packet() }.metadata().is_empty(), "{damaged:?}");
    }
}

#[test]
fn what_people_write_is_read_from_xmp() {
    let metadata = of_xmp(
        r#"xmp:Rating="5" exif:GPSLatitude="48,51.5N" exif:GPSLongitude="2,21,30W" exif:DateTimeOriginal="2019-06-01T10:20:30.5-07:00">
<dc:title><rdf:Alt><rdf:li xml:lang="de">Hafen</rdf:li><rdf:li xml:lang="x-default">Harbour &amp; sea</rdf:li></rdf:Alt></dc:title>
<dc:description>Evening</dc:description>
<dc:subject><rdf:Bag><rdf:li>boat</rdf:li><rdf:li> sea </rdf:li><rdf:li>boat</rdf:li></rdf:Bag></dc:subject>
<Iptc4xmpExt:PersonInImage><rdf:Bag><rdf:li>Ada</rdf:li></rdf:Bag></Iptc4xmpExt:PersonInImage>
<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Bag>
<rdf:li><rdf:Description mwg-rs:Name="Grace" mwg-rs:Type="Face"/></rdf:li>
<rdf:li rdf:parseType="Resource"><mwg-rs:Name>Rex</mwg-rs:Name><mwg-rs:Type>Pet</mwg-rs:Type></rdf:li>
</rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"#,
    );
    let expected = Metadata {
        taken: Some("2019-06-01 10:20:30".into()),
        zone: Some("-07:00".into()),
        location: Location::new(48.0 + 51.5 / 60.0, -(2.0 + 21.0 / 60.0 + 30.0 / 3600.0)),
        rating: Some(5),
        title: Some("Harbour & sea".into()),
        description: Some("Evening".into()),
        keywords: vec!["boat".into(), "sea".into()],
        people: vec!["Ada".into(), "Grace".into()],
        ..Metadata::default()
    };
    assert_eq!(metadata, expected);
}

#[test]
fn keywords_in_a_tree_count_where_there_are_no_plain_ones() {
    let tree =
        r"><lr:hierarchicalSubject><rdf:Bag><rdf:li>Places|Italy|Rome</rdf:li></rdf:Bag></lr:hierarchicalSubject>";
    assert_eq!(of_xmp(tree).keywords, ["Rome"]);
    let both = format!("{tree}<dc:subject><rdf:Bag><rdf:li>Roma</rdf:li></rdf:Bag></dc:subject>");
    assert_eq!(of_xmp(&both).keywords, ["Roma"]);
}

#[test]
fn a_packet_in_utf_16_and_one_that_expands_without_end_are_safe() {
    let text = String::from_utf8(xmp_file(r#"xmp:Rating="3">"#)).expect("it is text");
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let wide = [b"\xFE\xFF".as_slice(), &wide].concat();
    assert_eq!(Packets::of_xmp_file(wide).metadata().rating, Some(3));
    let laughs = br#"<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>"#;
    assert!(Packets::of_xmp_file(laughs.to_vec()).metadata().is_empty());
    let deep = "<a>".repeat(100_000);
    assert!(Packets::of_xmp_file(deep.into_bytes()).metadata().is_empty());
}

#[test]
fn iptc_records_are_read_in_both_encodings() {
    let records =
        [(5, &b"Title"[..]), (25, "Münster".as_bytes()), (25, b"M\xFCnchen"), (55, b"20190601"), (60, b"102030+0200")];
    let metadata = Packets { iptc: Some(iptc(&records)), ..Packets::default() }.metadata();
    assert_eq!(metadata.keywords, ["Münster", "München"]);
    assert_eq!((metadata.title.as_deref(), metadata.taken.as_deref()), (Some("Title"), Some("2019-06-01 10:20:30")));
    assert_eq!(metadata.zone.as_deref(), Some("+02:00"));
}

#[test]
fn the_camera_is_right_about_its_facts_and_people_about_theirs() {
    let packets = Packets {
        exif: Some(tiff(&[
            (Tag::Model, ascii("X100")),
            (Tag::ImageDescription, ascii("OLYMPUS DIGITAL CAMERA")),
            (Tag::DateTimeOriginal, ascii("2024:05:12 23:59:01")),
        ])),
        xmp: Some(xmp_file(r#"xmp:CreateDate="2024-06-01T00:00:00Z"><dc:title>From XMP</dc:title>"#)),
        iptc: Some(iptc(&[(5, b"From IPTC"), (120, b"A harbour"), (25, b"boat")])),
    };
    let metadata = packets.metadata();
    assert_eq!(metadata.taken.as_deref(), Some("2024-05-12 23:59:01"));
    assert_eq!(metadata.zone, None, "the offset of another time");
    assert_eq!(metadata.title.as_deref(), Some("From XMP"));
    assert_eq!(metadata.description.as_deref(), Some("A harbour"));
    assert_eq!(metadata.keywords, ["boat"]);
}

/// A file of each format that holds these packets.
fn files(packets: &Packets) -> Vec<(Format, Vec<u8>)> {
    let [exif, xmp, iptc] = [&packets.exif, &packets.xmp, &packets.iptc].map(|it| it.clone().unwrap_or_default());
    let resource = |id: u16, data: &[u8]| {
        let padding = vec![0; data.len() & 1];
        [b"8BIM", &id.to_be_bytes()[..], &[0, 0], &(data.len() as u32).to_be_bytes(), data, &padding].concat()
    };
    let resources = resource(1028, &iptc);
    let segment = |marker: u8, parts: &[&[u8]]| {
        let content = parts.concat();
        [&[0xFF, marker][..], &(content.len() as u16 + 2).to_be_bytes(), &content].concat()
    };
    let jpeg = [
        &[0xFF, 0xD8][..],
        &segment(0xE0, &[b"JFIF\0\x01\x01\0\0\0\0\0\0\0"]),
        &segment(0xE1, &[b"Exif\0\0", &exif]),
        &segment(0xE1, &[b"http://ns.adobe.com/xap/1.0/\0", &xmp]),
        &segment(0xED, &[b"Photoshop 3.0\0", &resources]),
        &[0xFF, 0xDA],
    ];
    let chunk = |kind: &[u8; 4], parts: &[&[u8]]| {
        let content = parts.concat();
        [&(content.len() as u32).to_be_bytes()[..], kind, &content, &[0; 4]].concat()
    };
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    let digits: String = resources.iter().map(|byte| format!("{byte:02x}")).collect();
    write!(packed, "\niptc\n    {}\n{digits}", resources.len()).expect("writing to memory does not fail");
    let packed = packed.finish().expect("writing to memory does not fail");
    let png = [
        b"\x89PNG\r\n\x1A\n".to_vec(),
        chunk(b"IDAT", &[&[0; 100]]),
        chunk(b"eXIf", &[&exif]),
        chunk(b"iTXt", &[b"XML:com.adobe.xmp\0\0\0\0\0", &xmp]),
        chunk(b"zTXt", &[b"Raw profile type iptc\0\0", &packed]),
        chunk(b"IEND", &[]),
    ];
    let riff = |kind: &[u8; 4], content: &[u8]| {
        [kind, &(content.len() as u32).to_le_bytes()[..], content, &vec![0; content.len() & 1]].concat()
    };
    let webp = [b"RIFF\0\0\0\0WEBP".to_vec(), riff(b"VP8 ", &[0; 33]), riff(b"EXIF", &exif), riff(b"XMP ", &xmp)];
    let boxed = |kind: &[u8; 4], parts: &[&[u8]]| {
        let content = parts.concat();
        [&(content.len() as u32 + 8).to_be_bytes()[..], kind, &content].concat()
    };
    let jxl = [boxed(b"JXL ", &[&[0; 4]]), boxed(b"Exif", &[&[0; 4], &exif]), boxed(b"xml ", &[&xmp])];
    let xmp_box: &[u8] = b"\xBE\x7A\xCF\xCB\x97\xA9\x42\xE8\x9C\x71\x99\x94\x91\xE3\xAF\xAC";
    let jp2 =
        [boxed(b"jP  ", &[&[0; 4]]), boxed(b"uuid", &[xmp_box, &xmp]), boxed(b"uuid", &[b"JpgTiffExif->JP2", &exif])];
    let section = [resources.clone(), resource(1058, &exif), resource(1060, &xmp)].concat();
    let psd = [&b"8BPS"[..], &[0; 26], &(section.len() as u32).to_be_bytes(), &section];
    vec![
        (Format::Raster(ImageFormat::Jpeg), jpeg.concat()),
        (Format::Raster(ImageFormat::Png), png.concat()),
        (Format::Raster(ImageFormat::WebP), webp.concat()),
        (Format::Jxl, jxl.concat()),
        (Format::Jpeg2000, jp2.concat()),
        (Format::Psd, psd.concat()),
    ]
}

#[test]
fn packets_are_found_in_files_of_each_format() {
    let packets = Packets {
        exif: Some(tiff(&[(Tag::Model, ascii("X100"))])),
        xmp: Some(xmp_file(r#"xmp:Rating="3">"#)),
        iptc: Some(iptc(&[(25, b"boat")])),
    };
    for (format, file) in files(&packets) {
        let found = Packets::find(&file, format);
        // WebP, JPEG XL and JPEG 2000 have no place for IPTC records.
        let has_iptc = !matches!(format.name(), "webp" | "jxl" | "jp2");
        let expected = Packets { iptc: packets.iptc.clone().filter(|_| has_iptc), ..packets.clone() };
        assert_eq!(found, expected, "{}", format.name());
    }
}

#[test]
fn damaged_files_say_nothing_and_do_no_harm() {
    let packets = Packets {
        exif: Some(tiff(&[(Tag::Model, ascii("X100"))])),
        xmp: Some(xmp_file(r#"xmp:Rating="3">"#)),
        iptc: Some(iptc(&[(25, b"boat")])),
    };
    for (format, file) in files(&packets) {
        for end in 0..file.len() {
            Packets::find(&file[..end], format).metadata();
        }
        for at in 0..file.len().min(600) {
            let mut damaged = file.clone();
            damaged[at] ^= 0xFF;
            Packets::find(&damaged, format).metadata();
        }
    }
}

#[test]
fn distances_are_those_of_great_circles() {
    let [berlin, paris] = [Location::new(52.52, 13.405), Location::new(48.8566, 2.3522)].map(|it| it.expect("a place"));
    assert!((berlin.distance(paris) - 877.5).abs() < 1.0, "{}", berlin.distance(paris));
    let [west, east] = [Location::new(0.0, -179.5), Location::new(0.0, 179.5)].map(|it| it.expect("a place"));
    assert!((west.distance(east) - 111.2).abs() < 0.1, "across the date line");
    assert_eq!(Location::new(91.0, 0.0), None);
}
