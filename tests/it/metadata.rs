//! What pictures say of themselves: read, stored, shown, filtered and searched, also from XMP files beside them.

use std::fs;
use std::path::Path;

use image::DynamicImage;
use serde_json::Value;

#[cfg(unix)]
use crate::common::Daemon;
use crate::common::{Sandbox, picture, write};

/// A JPEG with an XMP packet.
fn jpeg(seed: u8, xmp: &str) -> Vec<u8> {
    of_image(&picture(seed).into(), xmp)
}

fn of_image(image: &DynamicImage, xmp: &str) -> Vec<u8> {
    let mut jpeg = std::io::Cursor::new(Vec::new());
    image.write_to(&mut jpeg, image::ImageFormat::Jpeg).expect("it encodes");
    let jpeg = jpeg.into_inner();
    let content = [&b"http://ns.adobe.com/xap/1.0/\0"[..], xmp.as_bytes()].concat();
    let length = u16::try_from(content.len() + 2).expect("it is short").to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xE1], &length, &content, &jpeg[2..]].concat()
}

/// An XMP packet with these properties: attributes, `>`, and elements.
fn xmp(properties: &str) -> String {
    format!(
        r#"<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" {properties}</rdf:Description></rdf:RDF></x:xmpmeta>"#
    )
}

fn keywords(words: &[&str]) -> String {
    let items: String = words.iter().map(|word| format!("<rdf:li>{word}</rdf:li>")).collect();
    format!("<dc:subject><rdf:Bag>{items}</rdf:Bag></dc:subject>")
}

fn found(sandbox: &Sandbox, arguments: &[&str]) -> Vec<String> {
    let finished = sandbox.run_on_index(arguments).code(0);
    let name = |line: &&str| line.rsplit(['/', '\t']).next().unwrap_or_default().to_owned();
    let mut names: Vec<String> = finished.lines().iter().map(name).collect();
    names.sort();
    names
}

/// Two cameras, in Paris and in Sydney, and a picture that says nothing.
fn album() -> Sandbox {
    let sandbox = Sandbox::new();
    let paris = xmp(&format!(
        r#"xmp:Rating="5" exif:GPSLatitude="48,51.5N" exif:GPSLongitude="2,21E" tiff:Make="Canon" tiff:Model="Canon EOS R6"
aux:Lens="RF 50mm F1.8" exif:DateTimeOriginal="2019-06-01T10:20:30+02:00">{}<dc:title>Zzyzx evening</dc:title>"#,
        keywords(&["Quokka", "black and white"])
    ));
    let sydney = xmp(r#"xmp:Rating="2" exif:GPSLatitude="33,52S" exif:GPSLongitude="151,12E" tiff:Model="X100">"#);
    write(&sandbox.photo("paris.jpg"), &jpeg(1, &paris));
    write(&sandbox.photo("sydney.jpg"), &jpeg(2, &sydney));
    sandbox.draw("silent.png", 3);
    sandbox.add();
    sandbox
}

#[test]
fn metadata_is_shown_and_filters_use_it() {
    let sandbox = album();
    let shown = sandbox.run_on_index(&["show", "photos/paris.jpg"]).code(0).stdout;
    for line in [
        "taken        2019-06-01 10:20:30 +02:00",
        "camera       Canon EOS R6",
        "lens         RF 50mm F1.8",
        "location     48.85833, 2.35000",
        "rating       5 of 5",
        "title        Zzyzx evening",
        "keywords     Quokka, black and white",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    let json = sandbox.run_on_index(&["show", "--json", "photos/paris.jpg"]).code(0).json();
    assert_eq!(
        (&json["metadata"]["taken"], &json["taken"]),
        (&"2019-06-01T10:20:30".into(), &"2019-06-01T10:20:30".into())
    );
    assert_eq!((&json["metadata"]["rating"], &json["metadata"]["keywords"][0]), (&5.into(), &"Quokka".into()));
    for (arguments, expected) in [
        (&["--camera", "canon"][..], &["paris.jpg"][..]),
        (&["--camera", "x100"], &["sydney.jpg"]),
        (&["--lens", "50MM"], &["paris.jpg"]),
        (&["--near", "48.86,2.35"], &["paris.jpg"]),
        (&["--near", "48.86,2.4,2"], &[]),
        (&["--near", "48.86,2.4,5"], &["paris.jpg"]),
        (&["--near", "-33.9,151.2,20"], &["sydney.jpg"]),
        (&["--has-location"], &["paris.jpg", "sydney.jpg"]),
        (&["--min-rating", "2"], &["paris.jpg", "sydney.jpg"]),
        (&["--min-rating", "3"], &["paris.jpg"]),
        (&["--keyword", "QUOKKA"], &["paris.jpg"]),
        (&["--keyword", "Black and White", "--keyword", "quokka"], &["paris.jpg"]),
        (&["--keyword", "black"], &[]),
        (&["--keyword", "quokka", "--camera", "x100"], &[]),
    ] {
        assert_eq!(found(&sandbox, &[&["list"], arguments].concat()), expected, "{arguments:?}");
    }
    let similar = sandbox.run_on_index(&["similar", "photos/silent.png", "--min-rating", "1", "--json"]).code(0).json();
    assert_eq!(similar["hits"].as_array().map(Vec::len), Some(2), "{similar}");
    for (wrong, expected) in [("48.86", "LATITUDE,LONGITUDE"), ("95,0", "between -90 and 90"), ("1,2,-3", "KILOMETRES")]
    {
        let refused = sandbox.run_on_index(&["list", "--near", wrong]).code(2).stderr;
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn words_that_people_wrote_are_found_and_the_answer_says_why() {
    let sandbox = album();
    for text in ["quokka", "quokkas", "zzyzx", "zzyzx quokka"] {
        assert_eq!(found(&sandbox, &["search", text]), ["paris.jpg"], "{text}");
    }
    let json = sandbox.run_on_index(&["search", "quokka", "--json"]).code(0).json();
    assert_eq!(json["hits"][0]["why"][0]["as"], Value::from("metadata"), "{json}");
    let verbose = sandbox.run_on_index(&["search", "-v", "quokka"]).code(0).stdout;
    assert!(verbose.contains("quokka in the metadata"), "{verbose}");
}

#[test]
fn an_xmp_file_counts_while_it_is_there_and_costs_no_embedding() {
    let sandbox = album();
    let rated = |stars: u8| found(&sandbox, &["list", "--min-rating", &stars.to_string()]);
    // Named after the whole file; what it does not say is left.
    write(&sandbox.photo("paris.jpg.xmp"), xmp(r#"xmp:Rating="1">"#).as_bytes());
    // Named after the picture without its extension.
    write(&sandbox.photo("silent.xmp"), xmp(&format!(r#"xmp:Rating="4">{}"#, keywords(&["wombat"]))).as_bytes());
    let report = sandbox.add();
    assert_eq!((report.embedded, report.measured, report.unchanged, report.skipped), (0, 0, 3, 2), "{report:?}");
    assert_eq!(rated(2), ["silent.png", "sydney.jpg"]);
    assert_eq!(rated(1), ["paris.jpg", "silent.png", "sydney.jpg"]);
    assert_eq!(found(&sandbox, &["list", "--camera", "canon"]), ["paris.jpg"]);
    assert_eq!(found(&sandbox, &["search", "wombat"]), ["silent.png"]);
    let shown = sandbox.run_on_index(&["show", "photos/paris.jpg"]).code(0).stdout;
    assert!(shown.contains("rating       1 of 5") && shown.contains("camera       Canon EOS R6"), "{shown}");

    write(&sandbox.photo("silent.xmp"), xmp(r#"xmp:Rating="5">"#).as_bytes());
    assert_eq!(sandbox.add().embedded, 0);
    assert_eq!(rated(5), ["silent.png"]);
    assert_eq!(found(&sandbox, &["search", "wombat"]), Vec::<String>::new());

    // Both move, and belong together as before.
    fs::create_dir(sandbox.photo("moved")).expect("a folder");
    for name in ["silent.png", "silent.xmp"] {
        fs::rename(sandbox.photo(name), sandbox.photo(Path::new("moved").join(name))).expect("it moves");
    }
    assert_eq!(sandbox.add().embedded, 0);
    assert_eq!(rated(5), ["silent.png"]);

    for name in ["paris.jpg.xmp", "moved/silent.xmp"] {
        fs::remove_file(sandbox.photo(name)).expect("it is there");
    }
    sandbox.add();
    assert_eq!(rated(2), ["paris.jpg", "sydney.jpg"]);
    sandbox.run_on_index(&["prune", "-y"]).code(0);
    sandbox.run_on_index(&["check"]).code(0);
}

#[test]
fn an_xmp_file_that_was_there_before_its_picture_counts() {
    let sandbox = Sandbox::new();
    write(&sandbox.photo("a.xmp"), xmp(r#"xmp:Rating="3">"#).as_bytes());
    write(&sandbox.photo("b.png.XMP"), b"<damaged");
    sandbox.add();
    sandbox.draw("a.png", 1);
    sandbox.draw("b.png", 2);
    fs::copy(sandbox.photo("a.png"), sandbox.photo("copy.png")).expect("a copy");
    let report = sandbox.add();
    assert_eq!((report.new, report.failed), (3, 0), "{report:?}");
    // What is said of one file holds for its content.
    assert_eq!(found(&sandbox, &["list", "--min-rating", "3"]), ["a.png", "copy.png"]);
}

#[test]
fn metadata_that_an_earlier_version_did_not_read_is_read_by_the_next_add_and_nothing_else_is() {
    let sandbox = album();
    write(&sandbox.photo("silent.xmp"), xmp(r#"xmp:Rating="4">"#).as_bytes());
    sandbox.add();
    let database = sandbox.tamper();
    database
        .execute_batch(
            "DELETE FROM metadata; DELETE FROM sidecar; DELETE FROM description; DELETE FROM setting WHERE key = 'formats';
             UPDATE file SET skipped = 'not a picture' WHERE skipped IS NOT NULL",
        )
        .expect("as an earlier version left it");
    drop(database);
    assert_eq!(found(&sandbox, &["list", "--min-rating", "1"]), Vec::<String>::new());
    let report = sandbox.add();
    let counts = (report.embedded, report.measured, report.new, report.changed, report.unchanged, report.skipped);
    assert_eq!(counts, (0, 0, 0, 0, 3, 1), "{report:?}");
    assert_eq!(found(&sandbox, &["list", "--min-rating", "4"]), ["paris.jpg", "silent.png"]);
    assert_eq!(found(&sandbox, &["search", "quokka"]), ["paris.jpg"]);
    let dry = sandbox.run_on_index(&["add", "--dry-run", "photos"]).code(0);
    assert_eq!(dry.stdout, "", "nothing is left to do");
}

#[cfg(unix)]
#[test]
fn a_daemon_notices_an_xmp_file() {
    let sandbox = album();
    let daemon = Daemon::start(&sandbox, &["photos"]);
    daemon.sync();
    write(&sandbox.photo("silent.png.xmp"), xmp(&format!(">{}", keywords(&["wombat"]))).as_bytes());
    daemon.sync();
    assert_eq!(found(&sandbox, &["search", "wombat"]), ["silent.png"]);
    fs::remove_file(sandbox.photo("silent.png.xmp")).expect("it is there");
    daemon.sync();
    assert_eq!(found(&sandbox, &["search", "wombat"]), Vec::<String>::new());
    daemon.stop();
}

/// A JPEG that says when it was taken.
fn taken_at(seed: u8, brightness: i32, taken: &str) -> Vec<u8> {
    let image = DynamicImage::from(picture(seed)).brighten(brightness);
    of_image(&image, &xmp(&format!(r#"exif:DateTimeOriginal="{taken}">"#)))
}

/// A raw file: a TIFF structure whose only picture is a JPEG preview.
fn raw(preview: &[u8]) -> Vec<u8> {
    let length = u32::try_from(preview.len()).expect("it is small").to_le_bytes();
    let entry = |tag: u16, value: [u8; 4]| [&tag.to_le_bytes()[..], &[4, 0, 1, 0, 0, 0], &value].concat();
    let entries = [entry(0x0201, 38_u32.to_le_bytes()), entry(0x0202, length)].concat();
    [&b"II*\0\x08\0\0\0\x02\0"[..], &entries, &[0; 4], preview].concat()
}

#[test]
fn files_of_one_shot_are_one_hit_and_never_offered_for_removal_unless_asked() {
    let sandbox = Sandbox::new();
    let noon = "2024-05-12T12:00:00";
    let original = taken_at(1, 0, noon);
    write(&sandbox.photo("IMG_0001.JPG"), &original);
    write(&sandbox.photo("IMG_0001.DNG"), &raw(&original));
    write(&sandbox.photo("IMG_E0001.JPG"), &taken_at(1, 3, noon));
    write(&sandbox.photo("IMG_0001-edited.jpg"), &taken_at(1, 5, noon));
    write(&sandbox.photo("IMG_0001.MOV"), b"\0\0\0\x14ftypqt  \0\0\0\0qt  ");
    write(&sandbox.photo("IMG_0001 late.jpg"), &taken_at(1, 4, "2024-05-12T12:00:09"));
    sandbox.draw("other.png", 2);
    sandbox.add();

    let json = sandbox.run_on_index(&["similar", "photos/other.png", "--json"]).code(0).json();
    let hits = json["hits"].as_array().expect("a list");
    assert_eq!(hits.len(), 2, "the shot, and the one of nine seconds later: {json}");
    let companions: Vec<usize> = hits.iter().map(|hit| hit["companions"].as_array().expect("a list").len()).collect();
    assert!(companions.contains(&4) && companions.contains(&0), "{json}");
    let listed = sandbox.run_on_index(&["search", "--min-width", "1", "--json"]).code(0).json();
    assert_eq!(listed["hits"].as_array().map(Vec::len), Some(3), "{listed}");
    let shown = sandbox.run_on_index(&["show", "photos/IMG_0001.JPG", "--json"]).code(0).json();
    let beside = shown["companions"].as_array().expect("a list").iter().filter_map(Value::as_str);
    let beside: Vec<&str> = beside.filter_map(|path| path.rsplit('/').next()).collect();
    assert_eq!(beside, ["IMG_0001.DNG", "IMG_0001.MOV", "IMG_0001-edited.jpg", "IMG_E0001.JPG"]);
    let raw = sandbox.run_on_index(&["show", "photos/IMG_0001.DNG", "--json"]).code(0).json();
    assert_eq!((&raw["decoded_from"], &shown["decoded_from"]), (&"preview".into(), &"whole".into()));

    let redundant = |options: &[&str]| {
        let arguments = [&["dupes", "--tier", "near", "--redundant", "--json"], options].concat();
        let json = sandbox.run_on_index(&arguments).code(0).json();
        let names = |list: &str, of: &str| {
            let files =
                json[list].as_array().expect("a list").iter().filter(|file| of.is_empty() || file["kind"] == of);
            let mut names: Vec<String> = files
                .map(|file| file["path"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned())
                .collect();
            names.sort();
            names
        };
        (names("redundant", ""), names("withheld", "companion"))
    };
    let (offered, withheld) = redundant(&[]);
    assert_eq!(offered, ["IMG_0001 late.jpg"], "taken at another time");
    assert!(withheld.len() >= 2 && !withheld.contains(&"IMG_0001 late.jpg".into()), "{withheld:?}");
    let (offered, withheld) = redundant(&["--companions"]);
    assert_eq!((offered.len(), withheld.len()), (4, 0), "{offered:?}");
    assert!(!offered.contains(&"IMG_0001.DNG".into()), "{offered:?}");
    // The copy of a file elsewhere is redundant as before.
    fs::create_dir(sandbox.photo("copies")).expect("a folder");
    fs::copy(sandbox.photo("IMG_E0001.JPG"), sandbox.photo("copies/IMG_E0001.JPG")).expect("a copy");
    sandbox.add();
    assert!(redundant(&[]).0.contains(&"IMG_E0001.JPG".into()));
}
