//! Features: stored as measured, left out and never guessed after a deadline; and the types of real pictures.

use std::collections::BTreeMap;
use std::time::Instant;

use image::codecs::jpeg::JpegEncoder;
use imgidx::media::{DecodeLimits, Decoder, Filter as Scaling, Fit, Kind, Picture, measure, sniff};
use imgidx::types::{FeatureStage, ImageType};
use imgidx::{AddOptions, Filter};

use crate::common::{Sandbox, corpus, picture, write};

#[test]
fn what_is_stored_is_what_was_measured() {
    let sandbox = Sandbox::new();
    let path = sandbox.draw("a.png", 5);
    sandbox.add();
    let index = sandbox.open();
    let stored = index.searcher().examine(&path.into()).expect("a picture").features.expect("it was measured");
    assert_eq!(stored, measure(&Picture::from_rgb(picture(5)), None));
    assert_eq!(stored.stage(), FeatureStage::Full);
}

#[test]
fn without_time_only_the_first_stage_is_measured_and_nothing_is_made_up() {
    let picture = Picture::from_rgb(picture(5));
    let (all, some) = (measure(&picture, None), measure(&picture, Some(Instant::now())));
    assert_eq!((some.stage(), some.tones, some.detail, some.kind), (FeatureStage::Quick, None, None, None));
    assert_eq!(some.quick, all.quick);
}

/// How many pictures of a folder are of each type.
fn types(pictures: impl IntoIterator<Item = Picture>) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for picture in pictures {
        let kind = measure(&picture, None).kind.expect("there was no deadline");
        assert!(
            (0.0..=1.0).contains(&kind.confidence) && (kind.confidence >= 0.5) == (kind.label != ImageType::Uncertain)
        );
        *counts.entry(kind.label.as_str()).or_default() += 1;
    }
    counts
}

fn decoded(bytes: &[u8], name: &str) -> Picture {
    let Kind::Picture(format) = sniff(bytes, Some(name.as_ref())) else { panic!("{name} is no picture") };
    Decoder::open(bytes, format, DecodeLimits::default()).and_then(Decoder::decode).expect("it can be decoded")
}

/// The files of a folder of real pictures, with their names.
fn files(folder: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let read = |entry: std::fs::DirEntry| {
        (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).expect("a file"))
    };
    entries.map(read).collect()
}

#[test]
fn photos_are_photos_and_logos_are_not() {
    let (Some(photos), Some(logos)) = (corpus("photos"), corpus("logos")) else { return };
    let photos = types(files(&photos).iter().map(|(name, bytes)| decoded(bytes, name)));
    let total: usize = photos.values().sum();
    assert!(photos["photo"] * 100 >= total * 97, "{photos:?}");
    let logos = types(files(&logos).iter().map(|(name, bytes)| decoded(bytes, name)));
    let total: usize = logos.values().sum();
    assert!(logos.get("photo").copied().unwrap_or(0) * 100 <= total * 3, "{logos:?}");
    for kind in ["gradient", "text", "simple"] {
        assert!(logos[kind] > total / 10, "{logos:?}");
    }
}

#[test]
fn drawings_saved_as_jpeg_are_no_photos_and_flat_ones_no_gradients() {
    let Some(logos) = corpus("logos") else { return };
    let (mut flat, mut all) = (Vec::new(), Vec::new());
    for (name, bytes) in files(&logos) {
        let drawing = decoded(&bytes, &name).resized(Fit::Inside, 256, 256, Scaling::Bilinear);
        for quality in [60, 75, 95] {
            let mut jpeg = Vec::new();
            drawing.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, quality)).expect("it encodes");
            if !String::from_utf8_lossy(&bytes).contains("Gradient") {
                flat.push(decoded(&jpeg, "drawing.jpg"));
            }
            all.push(decoded(&jpeg, "drawing.jpg"));
        }
    }
    let (number, counts) = (all.len(), types(all));
    assert!(counts.get("photo").copied().unwrap_or(0) * 100 <= number * 3, "{counts:?}");
    let (number, counts) = (flat.len(), types(flat));
    assert!(counts.get("gradient").copied().unwrap_or(0) * 100 <= number * 15, "{counts:?}");
}

#[test]
fn scanned_receipts_are_text() {
    let Some(text) = corpus("text") else { return };
    let receipts = files(&text.join("receipts")).into_iter().filter(|(name, _)| name.ends_with(".jpg"));
    let counts = types(receipts.map(|(name, bytes)| decoded(&bytes, &name)));
    let number: usize = counts.values().sum();
    assert!(counts["text"] * 100 >= number * 85, "{counts:?}");
}

#[test]
fn a_bare_gradient_is_a_gradient() {
    for end in [[220, 220, 220], [240, 120, 60]] {
        let gradient = image::RgbImage::from_fn(400, 300, |x, _| {
            image::Rgb(end.map(|end: u32| (30 + x * (end - 30) / 400) as u8))
        });
        let kind = measure(&Picture::from_rgb(gradient), None).kind.expect("there was no deadline");
        assert_eq!(kind.label, ImageType::Gradient, "{end:?}: {kind:?}");
    }
}

#[test]
fn things_in_real_photos_are_found_by_their_kind() {
    let Some(folder) = corpus("photos") else { return };
    let sandbox = Sandbox::new();
    let mut index = sandbox.open();
    index.add([&folder], &AddOptions::default()).expect("it can be indexed");
    // The label that each photograph's file name gives.
    let vocabulary = imgidx::model::Vocabulary::get();
    let mut shown = Vec::new();
    index
        .searcher()
        .for_each_picture(&Filter::default(), |row| {
            let name = row.path.file_stem().and_then(|name| name.to_str()).expect("UTF-8");
            let label = name.split_once('_').expect("nXXXXXXXX_label").1.replace('_', " ");
            shown.push((row.path.clone(), label));
            Ok(())
        })
        .expect("a list");
    for (kind, precision, recall) in [("dog", 90, 90), ("vehicle", 90, 90), ("bird", 90, 90), ("fruit", 70, 90)] {
        let term = &vocabulary.terms(kind)[0];
        let expected: Vec<_> =
            shown.iter().filter(|(_, label)| vocabulary.steps(term, label).is_some()).map(|(path, _)| path).collect();
        // Searches by kind, so that the words in the paths do not help.
        let hits = index.searcher().search(&imgidx::TextQuery::new(kind), 1000).expect("an answer").hits;
        let right = hits.iter().filter(|hit| expected.contains(&&hit.path)).count();
        assert!(right * 100 >= hits.len() * precision, "{kind}: {right} of {} are right", hits.len());
        assert!(right * 100 >= expected.len() * recall, "{kind}: {right} of {} are found", expected.len());
    }
}

#[test]
fn pictures_that_cannot_be_measured_well_are_measured_all_the_same() {
    let sandbox = Sandbox::new();
    let one = image::RgbImage::from_pixel(1, 1, image::Rgb([7, 8, 9]));
    one.save(sandbox.photo("one.png")).expect("a picture");
    image::RgbImage::new(3000, 1).save(sandbox.photo("line.png")).expect("a picture");
    image::RgbaImage::new(40, 40).save(sandbox.photo("clear.png")).expect("a picture");
    write(&sandbox.photo("empty.png"), b"");
    let report = sandbox.add();
    assert_eq!((report.new, report.failed), (3, 1), "{report:?}");
    let list = sandbox.run_on_index(&["list", "--type", "simple"]).code(0);
    assert_eq!(list.lines().len(), 3, "{}", list.stdout);
    let shown = sandbox.run_on_index(&["show", "photos/line.png", "--json"]).code(0).json();
    assert_eq!(shown["features"]["aspect_ratio"], 3000.0);
}
