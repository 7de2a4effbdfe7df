//! Search by words, filters and dates, through the library and the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use image::{DynamicImage, Rgb, RgbImage};
use imgidx::store::Writer;
use imgidx::types::{Classification, ColorName, ImageType, Lab, Shape};
use imgidx::{Filter, Index, Query, QueryImage, TextQuery};

use crate::common::{Sandbox, picture, write};

/// Stores classes for a picture, as if the model had recognised them.
pub fn set_classes(sandbox: &Sandbox, path: &Path, classes: &[(&str, f32)]) {
    let index = sandbox.open();
    let hash = index.searcher().content_of(&QueryImage::from(path)).expect("a picture");
    let model = index.searcher().active_model().expect("the built-in one").id;
    let mut writer = Writer::open(&sandbox.database()).expect("no other process is writing");
    let row = writer.model(&model).expect("it can be read").expect("it was used").row;
    let batch = writer.batch().expect("a transaction");
    let image = batch.content(&hash, row).expect("it can be read").expect("it is indexed").image;
    let class = |(label, score): &(&str, f32)| Classification { label: (*label).to_owned(), score: *score };
    batch.put_classes(image, row, &classes.iter().map(class).collect::<Vec<_>>()).expect("rows");
    batch.commit().expect("it is committed");
}

/// An index of five pictures with classes of animals and other things, under names without meaning.
pub fn zoo() -> Sandbox {
    let sandbox = Sandbox::new();
    for (seed, name) in ["1.png", "2.png", "3.png", "4.png", "5.png"].into_iter().enumerate() {
        sandbox.draw(name, seed as u8);
    }
    sandbox.add();
    let classes: [&[(&str, f32)]; 5] = [
        &[("Yorkshire terrier", 0.9)],
        &[("Norwich terrier", 0.3), ("cairn", 0.3)],
        &[("hotdog", 0.95)],
        &[("crane (construction crane)", 0.8), ("sports car", 0.1)],
        &[("crane", 0.7)],
    ];
    for (at, classes) in classes.into_iter().enumerate() {
        set_classes(&sandbox, &sandbox.photo(format!("{}.png", at + 1)), classes);
    }
    sandbox
}

pub fn names(paths: impl IntoIterator<Item = impl AsRef<Path>>) -> Vec<String> {
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    paths.into_iter().map(|path| name(path.as_ref())).collect()
}

fn found(index: &Index, text: &str) -> Vec<String> {
    names(index.searcher().search(&TextQuery::new(text), 10).expect("an answer").hits.into_iter().map(|hit| hit.path))
}

#[test]
fn things_are_found_by_label_synonym_and_kind() {
    let sandbox = zoo();
    let index = sandbox.open();
    assert_eq!(found(&index, "Yorkshire terrier"), ["1.png"]);
    // Two breeds at 0.3 each add up to a dog.
    assert_eq!(found(&index, "dog"), ["1.png", "2.png"]);
    assert_eq!(found(&index, "Dogs"), ["1.png", "2.png"]);
    assert_eq!(found(&index, "cairn terrier"), Vec::<String>::new(), "0.3 is below the threshold");
    assert_eq!(found(&index, "hot dog"), ["3.png"]);
    assert_eq!(found(&index, "sandwich"), ["3.png"]);
    assert_eq!(found(&index, "bird"), ["5.png"]);
    assert_eq!(found(&index, "construction crane"), ["4.png"]);
    assert_eq!(found(&index, "crane"), ["4.png", "5.png"]);
    assert_eq!(found(&index, "dog bird"), ["1.png", "5.png", "2.png"], "no picture shows both");
    assert_eq!(found(&index, "unicorn"), Vec::<String>::new());
}

#[test]
fn a_lower_threshold_finds_what_is_less_sure() {
    let sandbox = zoo();
    let index = sandbox.open();
    assert_eq!(found(&index, "vehicle"), Vec::<String>::new());
    let unsure = index.searcher().search(&TextQuery::new("vehicle").threshold(0.05), 10).expect("an answer").hits;
    assert_eq!((names([&unsure[0].path]), unsure[0].labels[0].label.as_str()), (vec!["4.png".into()], "sports car"));
    let sure = index.searcher().search(&TextQuery::new("dog").threshold(0.8), 10).expect("an answer").hits;
    assert_eq!(names(sure.iter().map(|hit| &hit.path)), ["1.png"]);
    assert!(sure[0].score.is_some_and(|score| score > 0.8 && score <= 0.9), "{:?}", sure[0].score);
}

#[test]
fn words_of_paths_follow_the_files() {
    let sandbox = Sandbox::new();
    sandbox.draw("Ferien am Meer/IMG_0001.png", 1);
    sandbox.draw("garden/rosé.png", 2);
    sandbox.add();
    let finds = |text: &str| found(&sandbox.open(), text);
    assert_eq!(finds("meer"), ["IMG_0001.png"]);
    assert_eq!(finds("0001"), ["IMG_0001.png"]);
    let mut partly = finds("ferien garden");
    partly.sort();
    assert_eq!(partly, ["IMG_0001.png", "rosé.png"], "no path has both words");
    assert_eq!(finds("ROSE garden"), ["rosé.png"]);
    assert_eq!(finds("photos").len(), 2, "the name of the root counts too");

    fs::rename(sandbox.photo("garden"), sandbox.photo("balcony")).expect("it can be renamed");
    let report = sandbox.add();
    assert_eq!((report.moved, report.embedded), (1, 0));
    assert_eq!((finds("garden").len(), finds("balcony").len()), (0, 1));

    fs::remove_file(sandbox.photo("balcony/rosé.png")).expect("it is there");
    sandbox.add();
    assert_eq!(finds("balcony").len(), 0, "a missing file is found");
    sandbox.open().prune(&Default::default()).expect("it can be pruned");
    sandbox.draw("garden/rosé.png", 2);
    sandbox.add();
    assert_eq!((finds("garden").len(), finds("balcony").len()), (1, 0));
    assert_eq!(sandbox.open().check(false).expect("it can be checked"), []);
}

#[test]
fn of_copies_the_one_whose_path_has_the_words_is_told() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.draw("été/z.png", 1);
    sandbox.draw("winter/m.png", 1);
    sandbox.add();
    let first_name = |text: &str| {
        let hits = sandbox.open().searcher().search(&TextQuery::new(text), 10).expect("an answer").hits;
        assert_eq!((hits.len(), hits[0].paths.len()), (1, 3));
        assert_eq!(hits[0].path, hits[0].paths[0]);
        names([&hits[0].path]).remove(0)
    };
    assert_eq!((first_name("été"), first_name("winter")), ("z.png".into(), "m.png".into()));
    assert_eq!(first_name("photos"), "a.png");
}

#[test]
fn signs_without_a_word_find_nothing() {
    let sandbox = zoo();
    for text in ["\"", "*", "--", "(", "\" OR \""] {
        assert_eq!(found(&sandbox.open(), text).len(), 0, "{text}");
    }
}

#[test]
fn words_are_those_below_a_root_that_takes_in_another() {
    let sandbox = Sandbox::new();
    sandbox.draw("alps/summit.png", 1);
    sandbox.open().add([sandbox.photo("alps")], &imgidx::AddOptions::default()).expect("it can be indexed");
    assert_eq!(found(&sandbox.open(), "alps summit"), ["summit.png"]);
    sandbox.add();
    let mut index = sandbox.open();
    assert_eq!(index.searcher().status().expect("a state").roots.len(), 1);
    assert_eq!(found(&index, "alps summit"), ["summit.png"]);
    assert_eq!(index.check(false).expect("it can be checked"), []);
}

#[test]
fn a_damaged_index_of_words_is_found_and_mended() {
    let sandbox = Sandbox::new();
    sandbox.draw("meadow.png", 1);
    sandbox.add();
    let database = sandbox.tamper();
    database.execute("DELETE FROM path_word", []).expect("it can be emptied");
    drop(database);
    assert_eq!(found(&sandbox.open(), "meadow"), Vec::<String>::new());
    let problems = sandbox.open().check(true).expect("it can be checked");
    assert!(problems.len() == 1 && problems[0].repaired, "{problems:?}");
    assert_eq!(found(&sandbox.open(), "meadow"), ["meadow.png"]);
}

#[test]
fn a_model_without_labels_says_so_and_words_of_paths_are_searched() {
    let sandbox = Sandbox::new();
    sandbox.draw("meadow.png", 1);
    sandbox.run_on_index(&["add", "photos"]).code(0);
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/clip");
    sandbox.run_on_index(&["model", "add", clip.to_str().expect("UTF-8"), "--name", "mine"]).code(0);
    sandbox.run_on_index(&["model", "use", "mine"]).code(0);
    sandbox.run_on_index(&["add", "photos"]).code(0);
    let answer = sandbox.run_on_index(&["search", "meadow", "--paths"]).code(0);
    assert_eq!(names(answer.lines()), ["meadow.png"]);
    assert!(answer.stderr.contains("the model `mine` gives no labels, so only paths and colours"), "{}", answer.stderr);
    let shown = sandbox.run_on_index(&["show", "photos/meadow.png"]).code(0);
    assert!(shown.stdout.contains("looks like   not known: the model gives vectors only"), "{}", shown.stdout);
}

/// The properties of a picture that filters test.
struct Facts {
    name: String,
    width: u32,
    height: u32,
    format: &'static str,
    folder: &'static str,
    color: [u8; 3],
}

/// Single-coloured pictures of many sizes.
fn facts() -> Vec<Facts> {
    let sizes = [(30, 20), (20, 30), (25, 25), (64, 20), (20, 64), (64, 64), (65, 64)];
    let colors = [[200, 20, 20], [20, 160, 40], [30, 40, 200], [128, 128, 128]];
    let mut facts = Vec::new();
    for (i, (width, height)) in sizes.into_iter().enumerate() {
        for (j, color) in colors.into_iter().enumerate() {
            let (format, extension) = [("png", "png"), ("jpeg", "jpg"), ("bmp", "bmp")][(i + j) % 3];
            let folder = ["a", "a/b", "ab"][(2 * i + j) % 3];
            facts.push(Facts { name: format!("{i}{j}.{extension}"), width, height, format, folder, color });
        }
    }
    facts
}

#[test]
fn filters_let_the_same_pictures_pass_as_a_naive_search_everywhere() {
    let sandbox = Sandbox::new();
    let facts = facts();
    for fact in &facts {
        let path = sandbox.photo(fact.folder).join(&fact.name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        RgbImage::from_pixel(fact.width, fact.height, Rgb(fact.color)).save(path).expect("a picture");
    }
    sandbox.add();
    let index = sandbox.open();
    let red = Lab::from_srgb([200.0, 20.0, 20.0]);
    let named = |name: &str| ColorName::from_name(name).expect("a name");
    let under = |name: &str| sandbox.photo(name);
    type Passes = Box<dyn Fn(&Facts) -> bool>;
    let cases: Vec<(Filter, Passes)> = vec![
        (Filter::default().format("jpeg"), Box::new(|f| f.format == "jpeg")),
        (Filter::default().format("jpeg").format("bmp"), Box::new(|f| f.format != "png")),
        (Filter::default().min_width(30).max_width(64), Box::new(|f| (30..=64).contains(&f.width))),
        (Filter::default().min_height(30).max_height(63), Box::new(|f| (30..=63).contains(&f.height))),
        (Filter::default().shape(Shape::Square), Box::new(|f| f.width == f.height)),
        (Filter::default().shape(Shape::Portrait).shape(Shape::Landscape), Box::new(|f| f.width != f.height)),
        (Filter::default().color(red), Box::new(|f| f.color[0] == 200)),
        (Filter::default().color_name(named("red")), Box::new(|f| f.color[0] == 200)),
        (Filter::default().color_name(named("blue")), Box::new(|f| f.color[0] == 30)),
        (Filter::default().color_name(named("dark-grey")), Box::new(|_| false)),
        (Filter::default().under(under("a")), Box::new(|f| f.folder != "ab")),
        (Filter::default().under(under("a/b")), Box::new(|f| f.folder == "a/b")),
        (Filter::default().under(under("ab")).under(under("a/b")), Box::new(|f| f.folder != "a")),
        (
            Filter::default().under(under("a")).color(red).format("png").shape(Shape::Landscape).min_width(31),
            Box::new(|f| {
                f.folder != "ab" && f.color[0] == 200 && f.format == "png" && f.width > f.height && f.width >= 31
            }),
        ),
        (Filter::default().kind(ImageType::Photo), Box::new(|_| false)),
        (Filter::default().kind(ImageType::Simple), Box::new(|_| true)),
    ];
    let query = sandbox.photo(facts[0].folder).join(&facts[0].name);
    for (filter, passes) in cases {
        let expected: BTreeSet<String> =
            facts.iter().filter(|fact| passes(fact)).map(|fact| fact.name.clone()).collect();
        let mut listed = BTreeSet::new();
        let each = |row: imgidx::store::PictureRow| {
            listed.extend(names([row.path]));
            Ok(())
        };
        index.searcher().for_each_picture(&filter, each).expect("a list");
        assert_eq!(listed, expected, "{filter:?}");
        let searched =
            index.searcher().search(&TextQuery::new("").filter(filter.clone()), 100).expect("an answer").hits;
        assert_eq!(names(searched.iter().map(|hit| &hit.path)).into_iter().collect::<BTreeSet<_>>(), expected);
        let answer = index.searcher().similar(&Query::image(&query).filter(filter), 100).expect("an answer");
        let mut similar: BTreeSet<String> = names(answer.hits.iter().map(|hit| &hit.path)).into_iter().collect();
        // The answer leaves out the queried picture itself.
        if expected.contains(&facts[0].name) {
            similar.insert(facts[0].name.clone());
        }
        assert_eq!(similar, expected);
    }
}

#[test]
fn colours_are_wanted_by_name_or_number_and_the_most_of_it_comes_first() {
    let sandbox = Sandbox::new();
    let stripes =
        |red: u32| RgbImage::from_fn(100, 40, |x, _| if x < red { Rgb([204, 0, 0]) } else { Rgb([250, 250, 250]) });
    for (name, red) in [("some.png", 20), ("much.png", 70), ("none.png", 0)] {
        stripes(red).save(sandbox.photo(name)).expect("a picture");
    }
    sandbox.add();
    for color in ["#c00", "#CC0000", "cc0000", "red"] {
        let answer = sandbox.run_on_index(&["search", "--with-color", color, "--paths"]).code(0);
        assert_eq!(names(answer.lines()), ["much.png", "some.png"], "{color}");
    }
    assert_eq!(
        names(sandbox.run_on_index(&["search", "--with-color", "#00c", "--paths"]).code(0).lines()),
        Vec::<String>::new()
    );
    assert_eq!(names(sandbox.run_on_index(&["list", "--with-color", "#c00"]).code(0).lines()).len(), 2);
    let wrong = sandbox.run_on_index(&["search", "--with-color", "yelow"]).code(2);
    assert!(wrong.stderr.contains("#rrggbb") && wrong.stderr.contains("did you mean `yellow`?"), "{}", wrong.stderr);
}

#[test]
fn a_colour_name_is_a_region_and_several_must_all_occur() {
    let sandbox = Sandbox::new();
    // Blues that are more than a ΔE of 25 from each other, and from the blue of a screen.
    let colors = [
        ("sky.png", [120, 170, 215]),
        ("denim.png", [60, 85, 125]),
        ("navy.png", [10, 30, 90]),
        ("grass.png", [90, 140, 50]),
        ("rust.png", [150, 70, 40]),
    ];
    for (name, color) in colors {
        let stripes = RgbImage::from_fn(100, 40, |x, _| if x < 10 { Rgb(color) } else { Rgb([250, 250, 250]) });
        stripes.save(sandbox.photo(name)).expect("a picture");
    }
    sandbox.add();
    let with = |colors: &[&str]| {
        let options = colors.iter().flat_map(|color| ["--with-color", color]);
        names(sandbox.run_on_index(&["list"].into_iter().chain(options).collect::<Vec<_>>()).code(0).lines())
    };
    assert_eq!(with(&["blue"]), ["denim.png", "navy.png", "sky.png"]);
    assert_eq!(with(&["light blue"]), ["sky.png"]);
    assert_eq!(with(&["dark-blue"]), ["denim.png", "navy.png"]);
    assert_eq!(with(&["navy"]), ["navy.png"]);
    assert_eq!(with(&["green"]), ["grass.png"]);
    assert_eq!(with(&["blue", "white"]), ["denim.png", "navy.png", "sky.png"]);
    assert_eq!(with(&["blue", "green"]), Vec::<String>::new());
    let shown = sandbox.run_on_index(&["show", "photos/navy.png", "--json"]).code(0).json();
    assert_eq!(shown["features"]["color_shares"]["navy"].as_f64().map(|share| (share * 1000.0).round()), Some(100.0));
}

#[test]
fn shells_complete_the_names_of_colours() {
    let script = Sandbox::new().run(&["completions", "bash"]).code(0).stdout;
    assert!(script.contains("turquoise") && script.contains("dark-green"), "no colours");
}

/// A JPEG with a date of capture (Exif 2.32, CIPA DC-008): a tag of ASCII text in the Exif directory.
fn jpeg_taken(at: &str, seed: u8) -> Vec<u8> {
    let mut jpeg = Vec::new();
    DynamicImage::from(picture(seed))
        .write_to(&mut std::io::Cursor::new(&mut jpeg), image::ImageFormat::Jpeg)
        .expect("it encodes");
    let mut tiff = b"MM\0\x2a\0\0\0\x08".to_vec();
    // The only entry points to the Exif directory, whose only entry is DateTimeOriginal: 20 characters at offset 44.
    tiff.extend(b"\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x1a\0\0\0\0");
    tiff.extend(b"\0\x01\x90\x03\0\x02\0\0\0\x14\0\0\0\x2c\0\0\0\0");
    tiff.extend(at.as_bytes());
    tiff.push(0);
    let length = u16::try_from(tiff.len() + 8).expect("it is short").to_be_bytes();
    let segment = [b"\xff\xe1", &length[..], b"Exif\0\0", &tiff].concat();
    [&jpeg[..2], &segment, &jpeg[2..]].concat()
}

#[test]
fn pictures_are_found_by_when_the_camera_took_them_and_others_by_their_last_change() {
    let sandbox = Sandbox::new();
    write(&sandbox.photo("may.jpg"), &jpeg_taken("2019:05:17 18:03:00", 1));
    write(&sandbox.photo("june.jpg"), &jpeg_taken("2019:06:01 00:00:00", 2));
    write(&sandbox.photo("senseless.jpg"), &jpeg_taken("0000:00:00 00:00:00", 3));
    sandbox.draw("no camera.png", 4);
    for (name, year) in [("senseless.jpg", 2001), ("no camera.png", 2003)] {
        let noon = std::time::UNIX_EPOCH + std::time::Duration::from_secs((year - 1970) * 31_556_952 + 15_000_000);
        fs::File::open(sandbox.photo(name)).and_then(|file| file.set_modified(noon)).expect("it can be dated");
    }
    sandbox.add();
    let list = |options: &[&str]| {
        let finished = sandbox.run_on_index(&[&["list"], options].concat()).code(0);
        let mut found = names(finished.lines());
        found.sort();
        found
    };
    assert_eq!(list(&["--after", "2019", "--before", "2020"]), ["june.jpg", "may.jpg"]);
    assert_eq!(list(&["--after", "2019-05-17 18:03", "--before", "2019-06"]), ["may.jpg"]);
    assert_eq!(list(&["--before", "2019-05-17 18:03"]), ["no camera.png", "senseless.jpg"]);
    assert_eq!(list(&["--after", "2003", "--before", "2004"]), ["no camera.png"]);
    let shown = sandbox.run_on_index(&["show", "photos/may.jpg"]).code(0);
    assert!(shown.stdout.contains("taken        2019-05-17 18:03:00"), "{}", shown.stdout);
    assert_eq!(list(&["--format", "jpg", "--after", "2019"]), ["june.jpg", "may.jpg"]);
    let wrong = sandbox.run_on_index(&["list", "--format", "jpgg"]).code(2);
    assert!(wrong.stderr.contains("jpeg, png"), "{}", wrong.stderr);
    let wrong = sandbox.run_on_index(&["list", "--after", "yesterday"]).code(2);
    assert!(wrong.stderr.contains("YYYY-MM-DD"), "{}", wrong.stderr);
}

#[test]
fn the_answer_is_printed_as_lines_paths_json_and_a_sheet() {
    let sandbox = zoo();
    let lines = sandbox.run_on_index(&["search", "dog"]).code(0);
    let first: Vec<&str> = lines.lines()[0].split('\t').collect();
    assert!(first[0].parse::<f32>().is_ok_and(|score| score > 0.8) && first[1].ends_with("/photos/1.png"), "{first:?}");
    let zero = sandbox.run_on_index(&["search", "dog", "-0", "-k", "1"]).code(0);
    assert!(zero.stdout.ends_with("1.png\0") && zero.stdout.matches('\0').count() == 1);
    let json = sandbox.run_on_index(&["search", "dog", "--json"]).code(0).json();
    assert_eq!((&json["terms"][0], &json["has_labels"], &json["pending"]), (&"dog".into(), &true.into(), &0.into()));
    let labels = json["hits"][1]["labels"].as_array().expect("a list").iter().map(|label| &label["label"]);
    assert_eq!(labels.collect::<Vec<_>>(), ["Norwich terrier", "cairn"]);
    sandbox.run_on_index(&["search", "dog", "--html", "sheet.html"]).code(0);
    let sheet = fs::read_to_string(sandbox.path("sheet.html")).expect("a page");
    assert!(sheet.contains("Norwich terrier, cairn") && sheet.matches("<img").count() == 2);
    let none = sandbox.run_on_index(&["search", "unicorn"]).code(0);
    assert_eq!(
        (none.stdout.as_str(), none.stderr.trim_end()),
        ("", "note: unicorn: nothing close in meaning\nnote: nothing was found")
    );
    let wrong = sandbox.run_on_index(&["search"]).code(2);
    assert!(wrong.stderr.contains("give words"), "{}", wrong.stderr);
}
