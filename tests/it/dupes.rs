//! Duplicates through the library and the program, dismissals, and what `dupes --redundant` offers for removal.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use image::codecs::gif::GifEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, Frame};
use imgidx::search::{DupeAnswer, DupeQuery, DupeTier};
use imgidx::{AddOptions, Filter};
use serde_json::json;

use crate::common::{Sandbox, corpus, picture, png};

fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

/// The tier and the file names of each group, the best picture first.
fn tiers_and_names(answer: &DupeAnswer) -> Vec<(DupeTier, Vec<String>)> {
    let names = |group: &imgidx::search::DupeGroup| {
        group.pictures.iter().flat_map(|picture| &picture.paths).map(|path| name(path)).collect()
    };
    answer.groups.iter().map(|group| (group.tier, names(group))).collect()
}

/// Two pictures with copies, and one without.
fn collection() -> Sandbox {
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
    tiers_and_names(&sandbox.open().searcher().dupes(&DupeQuery { tier, ..DupeQuery::default() }).expect("an answer"))
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn groups_come_by_tier_and_the_best_copy_first() {
    let sandbox = collection();
    let exact = (DupeTier::Exact, owned(&["one.png", "one again.png"]));
    // Two have the same number of pixels: the older one, which lost nothing, comes first.
    let near = (DupeTier::Near, owned(&["large.png", "medium.jpg", "small.png"]));
    assert_eq!(dupes(&sandbox, DupeTier::Exact), std::slice::from_ref(&exact));
    assert_eq!(dupes(&sandbox, DupeTier::Near), [exact.clone(), near.clone()]);
    assert_eq!(dupes(&sandbox, DupeTier::Similar)[..2], [exact, near]);
}

#[test]
fn a_dismissal_lasts_through_renames_and_can_be_taken_back() {
    let sandbox = collection();
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
    let output = sandbox.run_on_index(&["dupes", "--tier", "near"]).code(0);
    assert!(output.stderr.contains("4 dismissed pairs left out"), "{}", output.stderr);

    sandbox.run_on_index(&["dupes", "dismiss", "--undo", "photos/large.png", "photos/little.png"]).code(0);
    let groups = dupes(&sandbox, DupeTier::Near);
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].1.iter().collect::<BTreeSet<_>>(), owned(&["large.png", "little.png"]).iter().collect());
}

#[test]
fn only_pictures_that_pass_the_filter_are_compared() {
    let sandbox = collection();
    fs::create_dir(sandbox.photo("sub")).expect("a folder");
    fs::rename(sandbox.photo("small.png"), sandbox.photo("sub/small.png")).expect("it can be moved");
    fs::copy(sandbox.photo("large.png"), sandbox.photo("sub/copy.png")).expect("a copy");
    sandbox.add();
    let filter = Filter::default().under(sandbox.photo("sub"));
    let query = DupeQuery { tier: DupeTier::Near, filter, ..DupeQuery::default() };
    let groups = tiers_and_names(&sandbox.open().searcher().dupes(&query).expect("an answer"));
    let [(DupeTier::Near, names)] = groups.as_slice() else { panic!("{groups:?}") };
    assert!(names.contains(&"copy.png".to_owned()) && names.contains(&"small.png".to_owned()), "{names:?}");
}

#[test]
fn contents_without_features_are_told_and_still_exact_copies() {
    let sandbox = collection();
    let database = sandbox.tamper();
    database.execute("DELETE FROM feature", []).expect("it can be emptied");
    drop(database);
    let output = sandbox.run_on_index(&["dupes", "--json"]).code(0);
    assert_eq!((&output.json()["incomplete"], &output.json()["groups"][0]["tier"]), (&json!(5), &json!("exact")));
    assert!(output.stderr.contains("`imgidx add`"), "{}", output.stderr);
    assert_eq!(sandbox.add().measured, 5);
    assert_eq!(dupes(&sandbox, DupeTier::Near).len(), 2);
}

#[test]
fn the_groups_are_printed_as_lines_paths_json_and_a_sheet_and_nothing_is_deleted() {
    let sandbox = collection();
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
    assert!(lines.stderr.contains("2 groups; 3 files ("), "{}", lines.stderr);
    assert!(lines.stderr.contains(") besides the best of each; nothing was deleted"), "{}", lines.stderr);
    assert!(lines.stdout.starts_with("exact\t1.0000\n  best\t"), "{}", lines.stdout);
    let paths = sandbox.run_on_index(&["dupes", "--tier", "exact", "--paths"]).code(0);
    assert_eq!(paths.lines().len(), 2);
    let all = sandbox.run_on_index(&["dupes", "--tier", "near", "--paths", "-0"]).code(0);
    assert_eq!((all.stdout.matches('\0').count(), all.stdout.contains('\n')), (5, false), "{}", all.stdout);
    let others = sandbox.run_on_index(&["dupes", "--tier", "near", "--redundant", "-0"]).code(0);
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
    let groups = tiers_and_names(&index.searcher().dupes(&DupeQuery::default()).expect("an answer"));
    let (mut found, mut wrong) = (0, Vec::new());
    for (_, names) in &groups {
        let whole = names.iter().find(|name| name.ends_with("whole.png")).map(|name| &name[..2]);
        found += names.iter().filter(|name| !name.ends_with("whole.png") && Some(&name[..2]) == whole).count();
        wrong.extend(names.windows(2).filter(|pair| pair[0][..2] != pair[1][..2]).map(<[String]>::to_vec));
    }
    assert!(found * 100 >= 120 * 95, "{found} of 120 are found");
    assert!(wrong.len() <= 2, "{wrong:?}");
}

/// Runs `dupes --redundant -0` and removes the files that it offers, as `xargs -0 rm` does. Returns the names of the removed files.
fn remove_redundant(sandbox: &Sandbox, arguments: &[&str]) -> Vec<String> {
    let output = sandbox.run_on_index(&[&["dupes", "--redundant", "-0"], arguments].concat()).code(0);
    let paths: Vec<&str> = output.stdout.split_terminator('\0').collect();
    paths.iter().for_each(|path| fs::remove_file(path).expect("an offered file exists"));
    let mut names: Vec<String> = paths.iter().map(|path| name(Path::new(path))).collect();
    names.sort();
    names
}

/// A folder `a` and a folder `b` with the same picture in each.
fn two_copies() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.draw("a/x.png", 8);
    fs::create_dir(sandbox.photo("b")).expect("a folder");
    fs::copy(sandbox.photo("a/x.png"), sandbox.photo("b/y.png")).expect("a copy");
    sandbox
}

const EXACT: &[&str] = &["--tier", "exact"];

#[test]
fn a_separator_alone_chooses_nothing_and_is_wrong_usage() {
    let sandbox = two_copies();
    sandbox.add();
    let refused = |arguments: &[&str], hint: &str| {
        let output = sandbox.run_on_index(&[&["dupes"], arguments].concat()).code(2);
        assert!(output.stdout.is_empty() && output.stderr.contains(hint), "{arguments:?}: {}", output.stderr);
    };
    refused(&["-0"], "hint: `--redundant -0` prints the files that may be removed");
    refused(&["-0", "--tier", "exact"], "hint: `--redundant -0`");
    refused(&["--redundant", "-0", "--json"], "-0 separates paths");
    refused(&["--redundant", "--paths"], "cannot be used with");
    refused(&["--redundant", "--html", "page.html"], "cannot be used with");
    refused(&["link", "--tier", "near"], "only exact copies");
    assert_eq!(sandbox.run_on_index(&["dupes", "--redundant"]).code(0).lines().len(), 1);
}

#[test]
fn without_a_tier_only_exact_copies_are_redundant() {
    let sandbox = collection();
    let paths =
        |arguments: &[&str]| sandbox.run_on_index(&[&["dupes", "--redundant"], arguments].concat()).code(0).stdout;
    assert_eq!(paths(&[]), format!("{}\n", sandbox.photo("one again.png").display()));
    assert_eq!(paths(&["--tier", "near"]).lines().count(), 3);
}

#[test]
fn redundant_and_withheld_files_are_one_document() {
    let sandbox = two_copies();
    fs::copy(sandbox.photo("a/x.png"), sandbox.photo("b/z.png")).expect("a copy");
    sandbox.add();
    fs::remove_file(sandbox.photo("b/z.png")).expect("it is there");
    let json = sandbox.run_on_index(&["dupes", "--redundant", "--json"]).code(0).json();
    let path = |name: &str| sandbox.photo(name).display().to_string();
    let bytes = fs::metadata(sandbox.photo("b/y.png")).expect("a file").len();
    assert_eq!(
        json,
        json!({
            "schema": 1,
            "redundant": [{"path": path("b/y.png"), "bytes": bytes, "kept": path("a/x.png"), "tier": "exact"}],
            "withheld": [{"path": path("b/z.png"), "reason": "does not exist or cannot be read", "kind": "gone"}],
            "freed_bytes": bytes,
        })
    );
}

#[test]
fn all_but_one_of_several_copies_may_go() {
    let sandbox = two_copies();
    fs::copy(sandbox.photo("a/x.png"), sandbox.photo("b/z.png")).expect("a copy");
    sandbox.add();
    assert_eq!(remove_redundant(&sandbox, EXACT), ["y.png", "z.png"]);
    assert!(sandbox.photo("a/x.png").exists());
    assert_eq!(remove_redundant(&sandbox, EXACT), [] as [&str; 0], "a file was removed that the index still has");
}

#[test]
fn the_last_copy_is_not_offered_when_the_kept_one_is_gone() {
    let sandbox = two_copies();
    sandbox.add();
    fs::remove_file(sandbox.photo("a/x.png")).expect("it is there");
    let output = sandbox.run_on_index(&["dupes", "--redundant", "-0"]).code(0);
    assert_eq!(output.stdout, "");
    assert!(output.stderr.contains("1 file withheld: it does not exist"), "{}", output.stderr);
    assert!(output.stderr.contains("1 file withheld: it is the only copy"), "{}", output.stderr);
}

#[test]
fn the_last_copy_is_not_offered_when_the_kept_one_was_overwritten() {
    let sandbox = two_copies();
    sandbox.add();
    // The new content has the same length and the same modification time.
    let (path, length) = (sandbox.photo("a/x.png"), fs::metadata(sandbox.photo("a/x.png")).expect("a file").len());
    let modified = fs::metadata(&path).expect("a file").modified().expect("a time");
    fs::write(&path, vec![7; length as usize]).expect("a file");
    fs::File::options().write(true).open(&path).expect("a file").set_modified(modified).expect("a time");
    assert_eq!(remove_redundant(&sandbox, EXACT), [] as [&str; 0]);
    // An overwritten file is not offered either: no other file has its content.
    fs::copy(sandbox.photo("b/y.png"), sandbox.photo("a/x.png")).expect("a copy");
    sandbox.add();
    fs::write(sandbox.photo("b/y.png"), png(9)).expect("a file");
    assert_eq!(remove_redundant(&sandbox, EXACT), [] as [&str; 0]);
}

#[test]
fn copies_that_were_only_touched_are_hashed_again_and_offered() {
    let sandbox = two_copies();
    sandbox.add();
    for file in ["a/x.png", "b/y.png"] {
        let file = fs::File::options().write(true).open(sandbox.photo(file)).expect("a file");
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("a time");
    }
    assert_eq!(remove_redundant(&sandbox, EXACT), ["y.png"]);
}

#[test]
fn the_last_copy_is_not_offered_when_the_kept_one_is_on_a_drive_that_is_not_there() {
    let sandbox = two_copies();
    for root in ["a", "b"] {
        sandbox.open().add([sandbox.photo(root)], &AddOptions::default()).expect("it can be indexed");
    }
    fs::rename(sandbox.photo("a"), sandbox.path("elsewhere")).expect("it can be moved");
    assert_eq!(remove_redundant(&sandbox, EXACT), [] as [&str; 0]);
}

#[cfg(unix)]
#[test]
fn other_names_of_one_file_are_no_copies_to_remove() {
    let sandbox = Sandbox::new();
    let original = sandbox.draw("z/original.png", 8);
    let link = |name: &str| std::os::unix::fs::symlink(&original, sandbox.photo(name)).expect("a link");
    // All of these names come before the file itself, so each would be the kept one.
    fs::create_dir(sandbox.photo("a")).expect("a folder");
    link("a/link.png");
    fs::hard_link(&original, sandbox.photo("a/name.png")).expect("a link");
    std::os::unix::fs::symlink(sandbox.photo("z"), sandbox.photo("b")).expect("a link");
    let mut options = AddOptions::default();
    options.scan.follow_links = true;
    sandbox.add_with(&options);
    let output = sandbox.run_on_index(&["dupes", "--tier", "exact", "--paths"]).code(0);
    assert!(output.lines().len() >= 3, "not all names are listed: {}", output.stdout);
    assert_eq!(remove_redundant(&sandbox, EXACT), [] as [&str; 0]);
    // A real copy is offered, once.
    fs::copy(&original, sandbox.photo("z/zcopy.png")).expect("a copy");
    sandbox.add_with(&options);
    assert_eq!(remove_redundant(&sandbox, EXACT), ["zcopy.png"]);
    assert_eq!(fs::read(&original).expect("it is there"), png(8));
}

#[test]
fn near_copies_are_not_offered_when_the_better_one_is_gone() {
    let sandbox = collection();
    for better in ["large.png", "medium.jpg"] {
        fs::remove_file(sandbox.photo(better)).expect("it is there");
    }
    assert_eq!(
        remove_redundant(&sandbox, &["--tier", "near"]),
        ["one again.png"],
        "small.png is the last of its group"
    );
}

/// Only the first frame is compared, so the animation was offered because a still picture of it is as large.
#[test]
fn an_animation_is_not_offered_because_of_a_still_picture_of_it() {
    let sandbox = Sandbox::new();
    let still = image::open(sandbox.draw("still.png", 8)).expect("a picture");
    let frame = |turn: i32| Frame::new(still.huerotate(turn).into_rgba8());
    for (name, frames) in [("animation.gif", 2), ("one frame.gif", 1)] {
        let file = fs::File::create(sandbox.photo(name)).expect("a file");
        GifEncoder::new(file).encode_frames((0..frames).map(|at| frame(90 * at))).expect("it encodes");
    }
    sandbox.add();
    let output = sandbox.run_on_index(&["dupes", "--redundant", "--tier", "near"]).code(0);
    assert_eq!(output.stdout, format!("{}\n", sandbox.photo("one frame.gif").display()), "{}", output.stderr);
    assert!(output.stderr.contains("1 file withheld: it holds more than the picture"), "{}", output.stderr);
}

/// Of a raw file, the small preview is indexed, so the JPEG of the same shot was the better picture.
#[test]
fn a_raw_file_is_not_offered_because_of_a_larger_picture_of_the_shot() {
    let sandbox = Sandbox::new();
    let large = DynamicImage::from(picture(3)).resize_exact(960, 800, FilterType::CatmullRom);
    large.save(sandbox.photo("shot.jpg")).expect("it is written");
    let mut preview = std::io::Cursor::new(Vec::new());
    large.resize_exact(480, 400, FilterType::Triangle).write_to(&mut preview, image::ImageFormat::Jpeg).expect("JPEG");
    let preview = preview.into_inner();
    // A little-endian TIFF with one directory: new subfile type, compression, and where the JPEG is.
    let entries = [(0x00FE, 1), (0x0103, 6), (0x0201, 8 + 2 + 4 * 12 + 4), (0x0202, preview.len() as u32)];
    let mut raw = [&b"II*\0"[..], &8_u32.to_le_bytes(), &4_u16.to_le_bytes()].concat();
    for (tag, value) in entries {
        raw.extend(
            [&u16::to_le_bytes(tag)[..], &4_u16.to_le_bytes(), &1_u32.to_le_bytes(), &u32::to_le_bytes(value)].concat(),
        );
    }
    raw.extend([&0_u32.to_le_bytes()[..], &preview].concat());
    fs::write(sandbox.photo("shot.nef"), &raw).expect("a file");
    sandbox.add();
    assert_eq!(sandbox.run_on_index(&["list", "--format", "raw"]).code(0).lines().len(), 1);
    assert_eq!(dupes(&sandbox, DupeTier::Near).len(), 1);
    let output = sandbox.run_on_index(&["dupes", "--redundant", "--tier", "near"]).code(0);
    assert_eq!(output.stdout, "");
    assert!(output.stderr.contains("1 file withheld: it holds more than the picture"), "{}", output.stderr);
}

#[cfg(unix)]
#[test]
fn hard_links_are_not_counted_as_space_that_can_be_freed() {
    let sandbox = two_copies();
    fs::hard_link(sandbox.photo("a/x.png"), sandbox.photo("a/x again.png")).expect("a link");
    fs::hard_link(sandbox.photo("b/y.png"), sandbox.path("outside.png")).expect("a link");
    sandbox.add();
    let bytes = fs::metadata(sandbox.photo("b/y.png")).expect("a file").len();
    let size = if bytes < 1024 { format!("{bytes} bytes") } else { format!("{:.1} KiB", bytes as f64 / 1024.0) };
    let listed = sandbox.run_on_index(&["dupes", "--tier", "exact"]).code(0).stderr;
    assert!(listed.contains(&format!("1 file ({size}) besides the best of each")), "{listed}");
    // The copy has another name that nobody offers to remove.
    let offered = sandbox.run_on_index(&["dupes", "--redundant"]).code(0);
    assert!(offered.stderr.contains("1 file withheld: it is the kept file under another name"), "{}", offered.stderr);
    assert!(offered.stderr.contains("1 file (0 bytes) may be removed"), "{}", offered.stderr);
    fs::remove_file(sandbox.path("outside.png")).expect("it is there");
    let offered = sandbox.run_on_index(&["dupes", "--redundant"]).code(0).stderr;
    assert!(offered.contains(&format!("1 file ({size}) may be removed")), "{offered}");
}

#[cfg(unix)]
#[test]
fn the_target_of_a_link_is_kept_before_other_copies() {
    let sandbox = two_copies();
    // Without the link, the older file in `a` is kept.
    std::os::unix::fs::symlink(sandbox.photo("b/y.png"), sandbox.photo("link.png")).expect("a link");
    let mut options = AddOptions::default();
    options.scan.follow_links = true;
    sandbox.add_with(&options);
    assert_eq!(remove_redundant(&sandbox, EXACT), ["x.png"]);
    assert_eq!(fs::read(sandbox.photo("link.png")).expect("the link leads somewhere"), png(8));
}

#[cfg(unix)]
#[test]
fn the_last_copy_is_not_offered_when_its_folder_was_replaced_by_a_link() {
    let sandbox = two_copies();
    fs::rename(sandbox.photo("b/y.png"), sandbox.photo("b/x.png")).expect("it can be renamed");
    sandbox.add();
    fs::remove_dir_all(sandbox.photo("a")).expect("a folder");
    std::os::unix::fs::symlink(sandbox.photo("b"), sandbox.photo("a")).expect("a link");
    let output = sandbox.run_on_index(&["dupes", "--redundant"]).code(0);
    assert_eq!(output.stdout, "", "{}", output.stderr);
    assert!(output.stderr.contains("it is reached through a link to a directory"), "{}", output.stderr);
}

#[cfg(target_os = "linux")]
#[test]
fn the_last_copy_is_not_offered_when_a_second_mount_shows_it_twice() {
    let sandbox = two_copies();
    fs::rename(sandbox.photo("b/y.png"), sandbox.photo("b/x.png")).expect("it can be renamed");
    sandbox.add();
    let script = r"
        mount --bind photos/b photos/a
        $I dupes --redundant > offered.txt 2> notes.txt
    ";
    if sandbox.in_namespace(script).is_some() {
        let notes = fs::read_to_string(sandbox.path("notes.txt")).expect("notes");
        assert_eq!(fs::read_to_string(sandbox.path("offered.txt")).expect("a list"), "", "{notes}");
        assert!(notes.contains("it is the kept file under another name"), "{notes}");
    }
}

#[test]
fn the_last_copy_is_not_offered_when_the_other_one_changed_in_the_tick_in_which_it_was_read() {
    let sandbox = two_copies();
    sandbox.add();
    let kept = sandbox.photo("a/x.png");
    let length = fs::metadata(&kept).expect("a file").len() as usize;
    fs::write(&kept, vec![7; length]).expect("a file");
    // The index has the signature that the file had before and after the change, which happened in the same tick.
    let rows = sandbox.tamper();
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(&kept).expect("a file");
        let [mtime, ctime] = [(metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec())]
            .map(|(seconds, rest)| seconds * 1_000_000_000 + rest);
        let update =
            "UPDATE file SET mtime_ns = ?1, ctime_ns = ?2, read_at_ns = ?2 WHERE path = CAST('a/x.png' AS BLOB)";
        assert_eq!(rows.execute(update, [mtime, ctime]).expect("the table exists"), 1);
    }
    drop(rows);
    assert_eq!(remove_redundant(&sandbox, EXACT), [] as [&str; 0]);
}

#[test]
fn files_outside_the_filter_are_neither_listed_nor_offered() {
    let sandbox = two_copies();
    for name in ["b/z.png", "b/w.png"] {
        fs::copy(sandbox.photo("a/x.png"), sandbox.photo(name)).expect("a copy");
    }
    sandbox.add();
    let under = sandbox.photo("b").display().to_string();
    let listed = sandbox.run_on_index(&["dupes", "--paths", "--under", &under]).code(0);
    assert_eq!(listed.lines().len(), 3, "{}", listed.stdout);
    assert_eq!(remove_redundant(&sandbox, &["--under", &under]).len(), 2);
    assert!(sandbox.photo("a/x.png").exists());
}

#[test]
fn copies_that_are_wanted_are_not_offered_as_part_of_a_group_either() {
    let sandbox = collection();
    fs::copy(sandbox.photo("small.png"), sandbox.photo("small again.png")).expect("a copy");
    sandbox.add();
    let offered = |sandbox: &Sandbox| sandbox.run_on_index(&["dupes", "--redundant", "--tier", "near"]).code(0).stdout;
    assert!(offered(&sandbox).contains("small again.png"));
    sandbox.run_on_index(&["dupes", "dismiss", "photos/small.png", "photos/small again.png"]).code(0);
    assert!(!offered(&sandbox).contains("small"), "{}", offered(&sandbox));
}
