//! Which of several duplicates is kept: by the quality of the picture, by rules, and by directories.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, RgbImage};

use crate::common::{Sandbox, corpus, picture};

fn large_picture() -> DynamicImage {
    DynamicImage::from(picture(3)).resize_exact(480, 400, FilterType::CatmullRom)
}

fn write_jpeg(path: &Path, image: &RgbImage, quality: u8) {
    let file = fs::File::create(path).expect("a file");
    JpegEncoder::new_with_quality(file, quality).encode_image(image).expect("it encodes");
}

/// Sets the modification time to a number of hours after some day.
fn set_hour(path: &Path, hour: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000 + hour * 3600);
    fs::File::options().write(true).open(path).expect("a file").set_modified(time).expect("a time");
}

/// The name of the file that `dupes` calls best.
fn best(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let json = sandbox.run_on_index(&[&["dupes", "--tier", "near", "--json"], arguments].concat()).code(0).json();
    let groups = json["groups"].as_array().expect("groups");
    assert_eq!(groups.len(), 1, "{json:#}");
    let path = groups[0]["files"][0]["path"].as_str().expect("a path");
    path.rsplit('/').next().expect("a name").to_owned()
}

#[test]
fn a_grey_copy_is_not_better_for_being_larger_and_older() {
    let sandbox = Sandbox::new();
    let color = large_picture().into_rgb8();
    write_jpeg(&sandbox.photo("color.jpg"), &color, 60);
    let grey = DynamicImage::from(color).grayscale().into_rgb8();
    grey.save(sandbox.photo("grey.png")).expect("a picture");
    set_hour(&sandbox.photo("color.jpg"), 2);
    set_hour(&sandbox.photo("grey.png"), 1);
    sandbox.add();
    assert_eq!(best(&sandbox, &[]), "color.jpg");
}

#[test]
fn of_two_jpegs_of_one_date_the_one_of_higher_quality_is_better() {
    let sandbox = Sandbox::new();
    let image = large_picture().into_rgb8();
    for (name, quality) in [("low.jpg", 40), ("high.jpg", 90), ("middle.jpg", 70)] {
        write_jpeg(&sandbox.photo(name), &image, quality);
        set_hour(&sandbox.photo(name), 1);
    }
    // The file of low quality is made the largest one.
    let mut low = fs::read(sandbox.photo("low.jpg")).expect("a file");
    low.resize(low.len() + 200_000, 0);
    fs::write(sandbox.photo("low.jpg"), low).expect("a file");
    set_hour(&sandbox.photo("low.jpg"), 1);
    sandbox.add();
    assert_eq!(best(&sandbox, &[]), "high.jpg");
    // An older file is the original, whatever its quality, even if both were written in one second.
    let hour = fs::metadata(sandbox.photo("high.jpg")).and_then(|file| file.modified()).expect("a date");
    let low = fs::File::options().write(true).open(sandbox.photo("low.jpg")).expect("a file");
    low.set_modified(hour - std::time::Duration::from_millis(3)).expect("it can be set");
    sandbox.add();
    assert_eq!(best(&sandbox, &[]), "low.jpg");
    set_hour(&sandbox.photo("middle.jpg"), 0);
    sandbox.add();
    assert_eq!(best(&sandbox, &[]), "middle.jpg");
}

#[test]
fn rules_and_directories_decide_which_file_is_kept() {
    let sandbox = Sandbox::new();
    for folder in ["a", "archive"] {
        fs::create_dir(sandbox.photo(folder)).expect("a folder");
    }
    let image = large_picture();
    image.save(sandbox.photo("a/best.png")).expect("a picture");
    image.resize_exact(240, 200, FilterType::Triangle).save(sandbox.photo("archive/s.png")).expect("a picture");
    set_hour(&sandbox.photo("a/best.png"), 2);
    set_hour(&sandbox.photo("archive/s.png"), 1);
    sandbox.add();
    let archive = sandbox.photo("archive").display().to_string();
    for (arguments, expected) in [
        (&[][..], "best.png"),
        (&["--keep", "oldest"], "s.png"),
        (&["--keep", "newest"], "best.png"),
        (&["--keep", "largest"], "best.png"),
        (&["--keep", "smallest"], "s.png"),
        (&["--keep", "shortest-path"], "best.png"),
        (&["--keep-under", &archive], "s.png"),
        (&["--keep-under", &archive, "--keep", "newest"], "s.png"),
        (&["--reference", &archive], "best.png"),
    ] {
        assert_eq!(best(&sandbox, arguments), expected, "{arguments:?}");
    }
    let offered = |arguments: &[&str]| {
        let output = sandbox.run_on_index(&[&["dupes", "--redundant", "--tier", "near"], arguments].concat()).code(0);
        output.stdout.lines().map(|path| path.rsplit('/').next().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    let none = [] as [&str; 0];
    assert_eq!(offered(&[]), ["s.png"]);
    assert_eq!(offered(&["--reference", &archive]), none, "files in a reference directory stay");
    assert_eq!(offered(&["--reference", "photos/archive/../archive"]), none, "however it is named");
    let output = sandbox.run_on_index(&["dupes", "--redundant", "--reference", "photos/nowhere"]).code(1);
    assert!(output.stderr.contains("`photos/nowhere`"), "{}", output.stderr);
}

#[test]
fn copies_in_a_reference_directory_are_kept_and_those_elsewhere_offered() {
    let sandbox = Sandbox::new();
    let first = sandbox.draw("incoming/a.png", 8);
    for name in ["library/a.png", "library/b.png"] {
        fs::create_dir_all(sandbox.photo("library")).expect("a folder");
        fs::copy(&first, sandbox.photo(name)).expect("a copy");
    }
    sandbox.add();
    let offered = sandbox.run_on_index(&["dupes", "--redundant", "--reference", "photos/library"]).code(0).stdout;
    assert_eq!(offered, format!("{}\n", first.display()));
}

#[test]
fn the_oldest_and_plainest_name_is_kept_whatever_the_order_of_indexing() {
    for names in [["x.png", "x (1).png", "copy of x.png"], ["copy of x.png", "x (1).png", "x.png"]] {
        let sandbox = Sandbox::new();
        for name in names {
            set_hour(&sandbox.draw(name, 5), 1);
        }
        sandbox.add();
        assert_eq!(best(&sandbox, &[]), "x.png");
        set_hour(&sandbox.photo("x (1).png"), 0);
        sandbox.add();
        assert_eq!(best(&sandbox, &[]), "x (1).png");
    }
}

/// The number of groups with an original, and the files that are ranked before one.
fn outranked(sandbox: &Sandbox, arguments: &[&str]) -> (usize, Vec<String>) {
    let json = sandbox.run_on_index(&[&["dupes", "--tier", "near", "--json"], arguments].concat()).code(0).json();
    let (mut groups, mut wrong) = (0, Vec::new());
    for group in json["groups"].as_array().expect("groups") {
        let files = group["files"].as_array().expect("files");
        let names: Vec<&str> = files.iter().filter_map(|file| file["path"].as_str()).collect();
        if names.iter().any(|name| name.ends_with("original.jpg")) {
            groups += 1;
            wrong.extend((!names[0].ends_with("original.jpg")).then(|| names[0].to_owned()));
        }
    }
    (groups, wrong)
}

/// Real photographs, each with a grey and a brightened version of the same size. Prints how often a version comes
/// before the original.
#[test]
fn grey_and_brightened_versions_of_real_photos_do_not_outrank_them() {
    let Some(photos) = corpus("photos") else { return };
    let sandbox = Sandbox::new();
    let mut paths: Vec<_> = fs::read_dir(photos).expect("a folder").flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "JPEG"));
    paths.sort();
    let count = paths.len().min(60);
    for (number, path) in paths.iter().take(count).enumerate() {
        let image = image::open(path).expect("a picture");
        let original = sandbox.photo(format!("{number:02}-original.jpg"));
        fs::copy(path, &original).expect("a copy");
        set_hour(&original, 1);
        let versions = [("grey", image.grayscale().into_rgb8()), ("bright", image.brighten(15).into_rgb8())];
        for (change, version) in versions {
            let path = sandbox.photo(format!("{number:02}-{change}.jpg"));
            write_jpeg(&path, &version, 85);
            set_hour(&path, 2);
        }
    }
    sandbox.add();
    let by_bytes = outranked(&sandbox, &["--keep", "largest"]).1.len();
    let (groups, wrong) = outranked(&sandbox, &[]);
    println!("{} of {groups} groups have a version before the original, and {by_bytes} by bytes", wrong.len());
    assert!(groups * 10 >= count * 9 && wrong.is_empty(), "{groups} groups of {count}: {wrong:?}");
    // Where the dates say nothing, a grey version still never wins.
    for entry in fs::read_dir(sandbox.photos()).expect("a folder").flatten() {
        set_hour(&entry.path(), 1);
    }
    sandbox.add();
    let (groups, wrong) = outranked(&sandbox, &[]);
    println!("{} of {groups} without dates", wrong.len());
    assert!(!wrong.iter().any(|name| name.ends_with("grey.jpg")), "{wrong:?}");
}
