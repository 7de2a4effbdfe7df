//! Duplicates through the library and the program, and that a dismissal lasts.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use image::DynamicImage;
use image::imageops::FilterType;
use imgidx::search::{DupeAnswer, DupeQuery, DupeTier};
use imgidx::{AddOptions, Filter};
use serde_json::json;

use crate::kit::{Sandbox, corpus, picture};

fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

/// The groups as tiers and names, the best first.
fn told(answer: &DupeAnswer) -> Vec<(DupeTier, Vec<String>)> {
    let names = |group: &imgidx::search::DupeGroup| {
        group.pictures.iter().flat_map(|picture| &picture.paths).map(|path| name(path)).collect()
    };
    answer.groups.iter().map(|group| (group.tier, names(group))).collect()
}

/// Two pictures with copies, and one without any.
fn shelf() -> Sandbox {
    let sandbox = Sandbox::new();
    let large = DynamicImage::from(picture(3)).resize_exact(480, 400, FilterType::CatmullRom);
    large.save(sandbox.photo("large.png")).expect("a picture");
    large.resize_exact(240, 200, FilterType::Triangle).save(sandbox.photo("small.png")).expect("a picture");
    large.into_rgb8().save(sandbox.photo("medium.jpg")).expect("a picture");
    sandbox.draw("one.png", 8);
    fs::copy(sandbox.photo("one.png"), sandbox.photo("one again.png")).expect("a copy");
    sandbox.draw("other.png", 14);
    sandbox.add();
    sandbox
}

fn dupes(sandbox: &Sandbox, tier: DupeTier) -> Vec<(DupeTier, Vec<String>)> {
    told(&sandbox.open().dupes(&DupeQuery { tier, ..DupeQuery::default() }).expect("an answer"))
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn groups_come_by_tier_and_the_best_copy_first() {
    let sandbox = shelf();
    let exact = (DupeTier::Exact, owned(&["one again.png", "one.png"]));
    // As many pixels as the JPEG has, and more bytes; the smallest comes last.
    let sizes = ["large.png", "medium.jpg"].map(|name| fs::metadata(sandbox.photo(name)).expect("a file").len());
    let first = if sizes[0] > sizes[1] { ["large.png", "medium.jpg"] } else { ["medium.jpg", "large.png"] };
    let near = (DupeTier::Near, owned(&[first[0], first[1], "small.png"]));
    assert_eq!(dupes(&sandbox, DupeTier::Exact), std::slice::from_ref(&exact));
    assert_eq!(dupes(&sandbox, DupeTier::Near), [exact.clone(), near.clone()]);
    assert_eq!(dupes(&sandbox, DupeTier::Similar)[..2], [exact, near]);
}

#[test]
fn a_dismissal_lasts_through_renames_and_can_be_taken_back() {
    let sandbox = shelf();
    let dismiss = |files: &[&str]| {
        let paths: Vec<String> = files.iter().map(|name| format!("photos/{name}")).collect();
        let arguments: Vec<&str> = ["dupes", "dismiss"].into_iter().chain(paths.iter().map(String::as_str)).collect();
        sandbox.run_on_index(&arguments).code(0).stdout
    };
    assert_eq!(dismiss(&["large.png", "small.png", "medium.jpg"]), "3 pairs dismissed\n");
    assert_eq!(dismiss(&["large.png", "small.png"]), "0 pairs dismissed\n");
    assert_eq!(dismiss(&["one.png", "one again.png"]), "1 pair dismissed\n");
    assert_eq!(dupes(&sandbox, DupeTier::Near), []);
    fs::rename(sandbox.photo("small.png"), sandbox.photo("little.png")).expect("it can be renamed");
    sandbox.add();
    assert_eq!(dupes(&sandbox, DupeTier::Near), []);
    let told = sandbox.run_on_index(&["dupes", "--tier", "near"]).code(0);
    assert!(told.stderr.contains("4 dismissed pairs left out"), "{}", told.stderr);

    sandbox.run_on_index(&["dupes", "dismiss", "--undo", "photos/large.png", "photos/little.png"]).code(0);
    let groups = dupes(&sandbox, DupeTier::Near);
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].1.iter().collect::<BTreeSet<_>>(), owned(&["large.png", "little.png"]).iter().collect());
}

#[test]
fn only_pictures_that_pass_the_filter_are_compared() {
    let sandbox = shelf();
    fs::create_dir(sandbox.photo("sub")).expect("a folder");
    fs::rename(sandbox.photo("small.png"), sandbox.photo("sub/small.png")).expect("it can be moved");
    fs::copy(sandbox.photo("large.png"), sandbox.photo("sub/copy.png")).expect("a copy");
    sandbox.add();
    let filter = Filter::default().under(sandbox.photo("sub"));
    let query = DupeQuery { tier: DupeTier::Near, filter, ..DupeQuery::default() };
    let groups = told(&sandbox.open().dupes(&query).expect("an answer"));
    let [(DupeTier::Near, names)] = groups.as_slice() else { panic!("{groups:?}") };
    assert!(names.contains(&"copy.png".to_owned()) && names.contains(&"small.png".to_owned()), "{names:?}");
}

#[test]
fn contents_without_features_are_told_and_still_exact_copies() {
    let sandbox = shelf();
    let database = sandbox.tamper();
    database.execute("DELETE FROM feature", []).expect("it can be emptied");
    drop(database);
    let told = sandbox.run_on_index(&["dupes", "--json"]).code(0);
    assert_eq!((&told.json()["incomplete"], &told.json()["groups"][0]["tier"]), (&json!(5), &json!("exact")));
    assert!(told.stderr.contains("`imgidx add`"), "{}", told.stderr);
    assert_eq!(sandbox.add().measured, 5);
    assert_eq!(dupes(&sandbox, DupeTier::Near).len(), 2);
}

#[test]
fn the_groups_are_printed_as_lines_paths_json_and_a_sheet_and_nothing_is_deleted() {
    let sandbox = shelf();
    let before = fs::read_dir(sandbox.photos()).expect("a folder").count();
    let json = sandbox.run_on_index(&["dupes", "--tier", "near", "--json"]).code(0).json();
    let group = &json["groups"][1];
    assert_eq!((&group["tier"], group["files"].as_array().map(Vec::len)), (&json!("near"), Some(3)));
    let keeps: Vec<_> = group["files"].as_array().expect("files").iter().map(|file| &file["keep"]).collect();
    assert_eq!(keeps, [&json!(true), &json!(false), &json!(false)]);
    for field in ["path", "image", "width", "height", "bytes", "score"] {
        assert!(group["files"][0].get(field).is_some(), "{field}");
    }
    let lines = sandbox.run_on_index(&["dupes", "--tier", "near"]).code(0);
    assert!(lines.stderr.contains("2 groups; all but the best of each: 3 files"), "{}", lines.stderr);
    assert!(lines.stdout.starts_with("exact\t1.0000\n  best\t"), "{}", lines.stdout);
    let paths = sandbox.run_on_index(&["dupes", "--tier", "exact", "--paths"]).code(0);
    assert_eq!(paths.lines().len(), 2);
    let others = sandbox.run_on_index(&["dupes", "--tier", "near", "-0"]).code(0);
    assert_eq!(others.stdout.matches('\0').count(), 3, "all but the best of each group");
    sandbox.run_on_index(&["dupes", "--tier", "near", "--html", "groups.html"]).code(0);
    let sheet = fs::read_to_string(sandbox.path("groups.html")).expect("a page");
    assert!(sheet.contains("The same bytes") && sheet.contains("Near copies") && sheet.matches("<img").count() == 4);
    assert_eq!(fs::read_dir(sandbox.photos()).expect("a folder").count(), before);
}

#[test]
fn changed_versions_of_real_photos_are_found_and_different_photos_are_not() {
    let Some(photos) = corpus("photos") else { return };
    let sandbox = Sandbox::new();
    let mut paths: Vec<_> = fs::read_dir(photos).expect("a folder").flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for (number, path) in paths.iter().take(80).enumerate() {
        let image = image::open(path).expect("a picture");
        image.to_rgb8().save(sandbox.photo(format!("{number:02}-whole.png"))).expect("a picture");
        if number < 40 {
            let (width, height) = (image.width(), image.height());
            let half = image.resize_exact(width / 2, height / 2, FilterType::Lanczos3).into_rgb8();
            let part = image.crop_imm(width / 20, height / 20, width * 9 / 10, height * 9 / 10).into_rgb8();
            let grey = image.grayscale().into_rgb8();
            for (change, image) in [("half", half), ("part", part), ("grey", grey)] {
                image.save(sandbox.photo(format!("{number:02}-{change}.jpg"))).expect("a picture");
            }
        }
    }
    let mut index = sandbox.open();
    index.add([sandbox.photos()], &AddOptions::default()).expect("it can be indexed");
    let groups = told(&index.dupes(&DupeQuery::default()).expect("an answer"));
    let (mut found, mut wrong) = (0, Vec::new());
    for (_, names) in &groups {
        let whole = names.iter().find(|name| name.ends_with("whole.png")).map(|name| &name[..2]);
        found += names.iter().filter(|name| !name.ends_with("whole.png") && Some(&name[..2]) == whole).count();
        wrong.extend(names.windows(2).filter(|pair| pair[0][..2] != pair[1][..2]).map(<[String]>::to_vec));
    }
    assert!(found * 100 >= 120 * 95, "{found} of 120 are found");
    assert!(wrong.len() <= 2, "{wrong:?}");
}
