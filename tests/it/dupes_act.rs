//! `dupes trash` and `dupes link`: what they do, what they refuse, and what the index knows afterwards.

use std::fs;
use std::path::{Path, PathBuf};

use imgidx::index::{DupeAction, DupeActionError};
use imgidx::search::{DupeQuery, DupeTier, KeepRules, Redundant, Withheld};
use imgidx::{CancelToken, Error, Index};
use serde_json::json;

use crate::common::{Sandbox, png};

/// Three copies of a picture, of which the first is kept.
fn three_copies() -> Sandbox {
    let sandbox = Sandbox::new();
    let first = sandbox.draw("a/x.png", 8);
    fs::create_dir(sandbox.photo("b")).expect("a folder");
    for name in ["b/y.png", "b/z.png"] {
        fs::copy(&first, sandbox.photo(name)).expect("a copy");
    }
    sandbox.add();
    sandbox
}

/// The files in the trash of the sandbox's home directory, by name.
fn trashed(sandbox: &Sandbox) -> Vec<String> {
    let Ok(folder) = fs::read_dir(sandbox.path("home/.local/share/Trash/files")) else { return Vec::new() };
    let mut names: Vec<_> = folder.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn redundant(index: &Index) -> Redundant {
    let query = DupeQuery { tier: DupeTier::Exact, ..DupeQuery::default() };
    let answer = index.searcher().dupes(&query).expect("an answer");
    index.searcher().redundant(&answer, &KeepRules::default()).expect("they can be checked")
}

/// Lists the redundant files, changes something, and replaces the files by hard links. Returns the reasons for which
/// files were left as they are.
fn link_after(sandbox: &Sandbox, change: impl FnOnce()) -> Vec<(PathBuf, String)> {
    let mut index = sandbox.open();
    let redundant = redundant(&index);
    assert_eq!(redundant.files.len(), 2);
    change();
    let mut failures = Vec::new();
    let each = |file: &imgidx::search::RedundantFile, failure: Option<&DupeActionError>| {
        failures.extend(failure.map(|reason| (file.path.clone(), reason.to_string())));
        Ok::<_, Error>(())
    };
    let report = index.act_on_duplicates(&redundant, DupeAction::HardLink, &CancelToken::default(), each);
    let report = report.expect("the database can be written");
    assert_eq!((report.failed as usize, report.done as usize), (failures.len(), 2 - failures.len()));
    failures
}

/// No temporary name is left in the folders of pictures.
fn assert_nothing_left_over(sandbox: &Sandbox) {
    for folder in ["a", "b"] {
        for entry in fs::read_dir(sandbox.photo(folder)).expect("a folder").flatten() {
            assert!(!entry.file_name().to_string_lossy().starts_with('.'), "{}", entry.path().display());
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn redundant_files_go_to_the_trash_and_the_index_knows() {
    let sandbox = three_copies();
    let kept = sandbox.photo("a/x.png");
    let output = sandbox.run_on_index(&["dupes", "trash"]).code(0);
    let line = |name: &str| format!("trashed\t{}\t{}\n", sandbox.photo(name).display(), kept.display());
    assert_eq!(output.stdout, line("b/y.png") + &line("b/z.png"));
    assert!(output.stderr.contains("trashed 2 files"), "{}", output.stderr);
    assert_eq!(trashed(&sandbox), ["y.png", "z.png"]);
    assert_eq!(fs::read(sandbox.path("home/.local/share/Trash/files/y.png")).expect("it is there"), png(8));
    // It can be restored to its place.
    let info = fs::read_to_string(sandbox.path("home/.local/share/Trash/info/y.png.trashinfo")).expect("a note");
    let place = format!("Path={}\n", sandbox.photo("b/y.png").display());
    assert!(info.contains(&place) && info.contains("DeletionDate=2"), "{info}");
    assert!(kept.exists() && !sandbox.photo("b/y.png").exists());
    let missing: Vec<_> = sandbox.rows().into_iter().map(|(path, _, missing)| (path, missing)).collect();
    assert_eq!(missing, [("a/x.png".to_owned(), false), ("b/y.png".to_owned(), true), ("b/z.png".to_owned(), true)]);
    let again = sandbox.run_on_index(&["dupes", "trash"]).code(0);
    assert!(again.stdout.is_empty() && again.stderr.contains("no redundant files"), "{}", again.stderr);
    // A file that is restored is known.
    fs::rename(sandbox.path("home/.local/share/Trash/files/y.png"), sandbox.photo("b/y.png"))
        .expect("it can be restored");
    assert_eq!(sandbox.add().embedded, 0);
    assert_eq!(sandbox.run_on_index(&["dupes", "--redundant"]).code(0).lines().len(), 1);
}

#[test]
fn a_dry_run_of_trash_and_link_changes_nothing() {
    let sandbox = three_copies();
    let rows = sandbox.rows();
    for (command, verb) in [("trash", "would trash\t"), ("link", "would link\t")] {
        let output = sandbox.run_on_index(&["dupes", command, "--dry-run"]).code(0);
        assert_eq!(output.stdout.matches(verb).count(), 2, "{}", output.stdout);
        let json = sandbox.run_on_index(&["dupes", command, "-n", "--json"]).code(0).json();
        assert_eq!((&json["dry_run"], json["done"].as_array().map(Vec::len)), (&json!(true), Some(2)));
    }
    assert_eq!((trashed(&sandbox), sandbox.rows()), (Vec::new(), rows));
    assert!(sandbox.photo("b/y.png").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn what_the_trash_does_not_take_stays_and_is_named_with_the_reason() {
    let sandbox = three_copies();
    fs::create_dir_all(sandbox.path("home/.local/share")).expect("a folder");
    fs::write(sandbox.path("home/.local/share/Trash"), "not a directory").expect("a file");
    let output = sandbox.run_on_index(&["dupes", "trash"]).code(3);
    assert!(output.stderr.contains("error: cannot trash `"), "{}", output.stderr);
    assert!(output.stderr.contains("2 files left as they were"), "{}", output.stderr);
    let json = sandbox.run_on_index(&["dupes", "trash", "--json"]).code(3).json();
    let failed = json["failed"].as_array().expect("failures");
    assert_eq!((failed.len(), &failed[0]["path"]), (2, &json!(sandbox.photo("b/y.png"))));
    assert_eq!(fs::read(sandbox.photo("b/y.png")).expect("it is there"), png(8));
    assert!(sandbox.rows().iter().all(|(_, _, missing)| !missing));
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_on_another_drive_goes_to_the_trash_of_that_drive() {
    let sandbox = Sandbox::new();
    sandbox.draw("a/x.png", 8);
    fs::create_dir(sandbox.photo("b")).expect("a folder");
    let script = r#"
        mount -t tmpfs none photos/b
        cp photos/a/x.png photos/b/y.png
        $I add photos/a photos/b > add.txt
        $I dupes link > link.txt 2> link-notes.txt || echo $? >> link.txt
        $I dupes trash > trash.txt
        find photos/b -type f | sort > left.txt
    "#;
    if sandbox.in_namespace(script).is_none() {
        return;
    }
    let read = |name: &str| fs::read_to_string(sandbox.path(name)).expect("output");
    assert_eq!(read("link.txt"), "3\n");
    assert!(read("link-notes.txt").contains("is not on the device of"), "{}", read("link-notes.txt"));
    assert!(read("trash.txt").starts_with("trashed\t"), "{}", read("trash.txt"));
    let uid = "0";
    let in_trash = |name: &str| format!("photos/b/.Trash-{uid}/{name}\n");
    assert_eq!(read("left.txt"), in_trash("files/y.png") + &in_trash("info/y.png.trashinfo"));
    assert!(sandbox.photo("a/x.png").exists());
}

#[cfg(unix)]
#[test]
fn identical_files_become_hard_links_and_the_index_knows() {
    use std::os::unix::fs::MetadataExt;
    let sandbox = three_copies();
    let inode = |name: &str| fs::metadata(sandbox.photo(name)).expect("a file").ino();
    let kept = inode("a/x.png");
    let output = sandbox.run_on_index(&["dupes", "link"]).code(0);
    assert_eq!(output.lines().len(), 2, "{}", output.stdout);
    assert!(output.stdout.starts_with("linked\t"), "{}", output.stdout);
    assert_eq!(["a/x.png", "b/y.png", "b/z.png"].map(inode), [kept; 3]);
    assert_nothing_left_over(&sandbox);
    let report = sandbox.add();
    assert_eq!((report.new, report.changed, report.missing, report.embedded), (0, 0, 0, 0));
    let again = sandbox.run_on_index(&["dupes", "--redundant"]).code(0);
    assert_eq!(again.stdout, "", "hard links are no copies: {}", again.stderr);
    let listed = sandbox.run_on_index(&["dupes", "--tier", "exact"]).code(0).stderr;
    assert!(listed.contains("0 files (0 bytes) besides the best of each"), "{listed}");
}

#[test]
fn nothing_happens_to_a_file_when_the_kept_one_is_gone() {
    let sandbox = three_copies();
    let failures = link_after(&sandbox, || fs::remove_file(sandbox.photo("a/x.png")).expect("it is there"));
    assert_eq!(failures.len(), 2);
    assert!(failures[0].1.contains("the file to keep") && failures[0].1.contains("does not exist"), "{failures:?}");
    assert_eq!(fs::read(sandbox.photo("b/y.png")).expect("it is there"), png(8));
    assert_nothing_left_over(&sandbox);
}

#[test]
fn nothing_happens_to_a_file_when_the_kept_one_was_overwritten_after_listing() {
    let sandbox = three_copies();
    let kept = sandbox.photo("a/x.png");
    let failures = link_after(&sandbox, || {
        let (length, modified) = (png(8).len(), fs::metadata(&kept).expect("a file").modified().expect("a time"));
        fs::write(&kept, vec![7; length]).expect("a file");
        fs::File::options().write(true).open(&kept).expect("a file").set_modified(modified).expect("a time");
    });
    assert_eq!(failures.len(), 2);
    assert!(failures[0].1.contains("has changed since it was indexed"), "{failures:?}");
    assert_eq!(
        [fs::read(sandbox.photo("b/y.png")), fs::read(sandbox.photo("b/z.png"))].map(Result::unwrap),
        [png(8), png(8)]
    );
}

#[test]
fn a_file_that_was_overwritten_after_listing_stays_and_others_are_replaced() {
    let sandbox = three_copies();
    let failures = link_after(&sandbox, || fs::write(sandbox.photo("b/y.png"), png(9)).expect("a file"));
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].0, sandbox.photo("b/y.png"));
    assert_eq!(fs::read(sandbox.photo("b/y.png")).expect("it is there"), png(9));
}

#[cfg(unix)]
#[test]
fn nothing_happens_to_a_file_that_became_the_kept_one_or_a_link_to_it_after_listing() {
    let sandbox = three_copies();
    let failures = link_after(&sandbox, || {
        for name in ["b/y.png", "b/z.png"] {
            fs::remove_file(sandbox.photo(name)).expect("it is there");
        }
        fs::hard_link(sandbox.photo("a/x.png"), sandbox.photo("b/y.png")).expect("a link");
        std::os::unix::fs::symlink(sandbox.photo("a/x.png"), sandbox.photo("b/z.png")).expect("a link");
    });
    let reasons: Vec<&str> = failures.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(reasons, ["it is the kept file under another name", "it is a link, not a regular file"]);
    assert!(sandbox.photo("b/z.png").is_symlink());
}

#[test]
fn nothing_happens_when_the_drive_of_the_kept_file_was_unplugged_after_listing() {
    let sandbox = Sandbox::new();
    for name in ["a/x.png", "b/y.png", "b/z.png"] {
        sandbox.draw(name, 8);
    }
    for root in ["a", "b"] {
        sandbox.open().add([sandbox.photo(root)], &Default::default()).expect("it can be indexed");
    }
    let failures =
        link_after(&sandbox, || fs::rename(sandbox.photo("a"), sandbox.path("elsewhere")).expect("a folder"));
    assert_eq!(failures.len(), 2);
    assert!(failures[0].1.contains(Withheld::Offline.as_str()), "{failures:?}");
}

#[test]
fn files_that_only_the_index_calls_identical_are_compared_byte_for_byte() {
    let sandbox = three_copies();
    sandbox.draw("b/other.png", 9);
    sandbox.add();
    // The row of another picture says that it holds the same content, with its own, unchanged signature.
    let rows = sandbox.tamper();
    let update = "UPDATE file SET image = (SELECT image FROM file WHERE path = CAST('a/x.png' AS BLOB)),
                  read_at_ns = read_at_ns + 10000000000 WHERE path = CAST('b/other.png' AS BLOB)";
    assert_eq!(rows.execute(update, []).expect("the table exists"), 1);
    drop(rows);
    let output = sandbox.run_on_index(&["dupes", "link"]).code(3);
    let other = sandbox.photo("b/other.png");
    let expected = format!("cannot link `{}`: its bytes differ from those of `", other.display());
    assert!(output.stderr.contains(&expected), "{}", output.stderr);
    assert_eq!(fs::read(other).expect("it is there"), png(9));
}

#[test]
fn only_exact_copies_are_replaced_by_links() {
    let sandbox = Sandbox::new();
    let image = image::DynamicImage::from(crate::common::picture(3));
    let filter = image::imageops::FilterType::Triangle;
    image.resize_exact(480, 400, filter).save(sandbox.photo("large.png")).expect("a picture");
    image.resize_exact(240, 200, filter).save(sandbox.photo("small.png")).expect("a picture");
    sandbox.add();
    let mut index = sandbox.open();
    let query = DupeQuery { tier: DupeTier::Near, ..DupeQuery::default() };
    let answer = index.searcher().dupes(&query).expect("an answer");
    let redundant = index.searcher().redundant(&answer, &query.keep).expect("they can be checked");
    assert_eq!(redundant.files.len(), 1);
    let mut reasons = Vec::new();
    let each = |_: &_, failure: Option<&DupeActionError>| {
        reasons.extend(failure.map(ToString::to_string));
        Ok::<_, Error>(())
    };
    index
        .act_on_duplicates(&redundant, DupeAction::HardLink, &CancelToken::default(), each)
        .expect("it can be written");
    assert!(reasons[0].contains("it is not an exact copy of"), "{reasons:?}");
    assert_eq!(image::image_dimensions(sandbox.photo("small.png")).expect("a picture"), (240, 200));
}

#[test]
fn an_interrupt_stops_between_two_files() {
    let sandbox = three_copies();
    let mut index = sandbox.open();
    let (redundant, cancel) = (redundant(&index), CancelToken::default());
    let each = |_: &_, _: Option<&DupeActionError>| {
        cancel.cancel();
        Ok::<_, Error>(())
    };
    let report = index.act_on_duplicates(&redundant, DupeAction::HardLink, &cancel, each).expect("it can be written");
    assert_eq!((report.done, report.failed, report.interrupted), (1, 0, true));
}

#[cfg(target_os = "linux")]
#[test]
fn a_reflink_is_made_or_refused_with_the_reason() {
    use std::os::unix::fs::MetadataExt;
    let sandbox = three_copies();
    let path = sandbox.photo("b/y.png");
    let before = fs::metadata(&path).expect("a file").modified().expect("a time");
    let output = sandbox.run_on_index(&["dupes", "link", "--reflink"]);
    let inode = |path: &Path| fs::metadata(path).expect("a file").ino();
    if output.code == 0 {
        assert!(output.stdout.starts_with("reflinked\t"), "{}", output.stdout);
    } else {
        eprintln!("skipped in part: this file system has no reflinks");
        let output = output.code(3);
        assert!(output.stderr.contains("the file system cannot make a reflink of"), "{}", output.stderr);
    }
    assert_eq!(fs::read(&path).expect("it is there"), png(8));
    assert_eq!(fs::metadata(&path).expect("a file").modified().expect("a time"), before);
    assert_ne!(inode(&path), inode(&sandbox.photo("a/x.png")));
    assert_nothing_left_over(&sandbox);
}
