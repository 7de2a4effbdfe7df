//! Repeated runs of `add`: as little work as possible, but all of it.

use std::fs;
use std::path::Path;

use imgidx::index::{PruneOptions, Pruned};
use imgidx::indexer::{PlanStep, ReadCause};
use imgidx::scan::ScanOptions;
use imgidx::{AddOptions, Error, Filter, Query};

use crate::common::{Sandbox, png, write};

#[test]
fn the_second_run_reads_nothing() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.draw("sub/b.png", 2);
    let report = sandbox.add();
    assert_eq!((report.new, report.embedded, report.unchanged), (2, 2, 0));
    settle();
    let report = sandbox.add();
    assert_eq!((report.new, report.embedded, report.unchanged), (0, 0, 2));
    // The plan lists each file that would be read.
    let plan = plan(&sandbox, &AddOptions::default());
    assert_eq!(plan, [] as [(String, ReadCause); 0]);
}

/// Waits until the files written so far are no longer too new to be trusted: those are read again.
fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(25));
}

fn plan(sandbox: &Sandbox, options: &AddOptions) -> Vec<(String, ReadCause)> {
    let mut steps = Vec::new();
    let mut each = |_: &Path, step| {
        if let PlanStep::Read(file, cause) = step {
            steps.push((String::from_utf8(file.path).expect("UTF-8"), cause));
        }
    };
    sandbox.open().plan([sandbox.photos()], options, &mut each, |_| {}, |_| {}).expect("it can be planned");
    steps
}

#[test]
fn a_changed_file_is_read_and_a_touched_one_is_not_embedded_again() {
    let sandbox = Sandbox::new();
    let (a, b) = (sandbox.draw("a.png", 1), sandbox.draw("b.png", 2));
    sandbox.add();
    settle();
    sandbox.add();
    fs::write(&a, png(3)).expect("a file");
    let now = std::time::SystemTime::now();
    fs::File::options().write(true).open(&b).and_then(|file| file.set_modified(now)).expect("it can be touched");
    let report = sandbox.add();
    assert_eq!((report.changed, report.unchanged, report.embedded), (1, 1, 1));
    let hits = sandbox.open().searcher().similar(&Query::image(&b), 5).expect("an answer").hits;
    assert_eq!(hits.len(), 1, "the old content of a.png is in no file any more");
}

#[test]
fn a_file_that_was_read_in_the_tick_of_its_change_is_read_again() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.add();
    settle();
    sandbox.add();
    assert_eq!(plan(&sandbox, &AddOptions::default()), []);
    // As if the clock of the file system had not advanced between the last change and the reading. The file may then
    // have changed again afterwards without a new timestamp.
    let database = sandbox.tamper();
    database.execute("UPDATE file SET read_at_ns = ctime_ns", []).expect("it can be changed");
    assert_eq!(plan(&sandbox, &AddOptions::default()), [("a.png".to_owned(), ReadCause::Changed)]);
}

#[test]
fn changes_of_the_same_length_in_quick_succession_are_all_seen() {
    let sandbox = Sandbox::new();
    let path = sandbox.draw("a.png", 1);
    for seed in 2..20 {
        let mut bytes = png(1);
        bytes.truncate(bytes.len() - 1);
        bytes.push(seed);
        fs::write(&path, &bytes).expect("a file");
        sandbox.add();
        let hash = imgidx::types::ContentHash::of(&bytes);
        assert_eq!(sandbox.rows()[0].1.as_deref(), Some(hash.as_bytes().as_slice()), "round {seed}");
    }
}

#[test]
fn a_renamed_file_and_a_renamed_root_are_moved_without_decoding() {
    let sandbox = Sandbox::new();
    for seed in 0..6 {
        sandbox.draw(&format!("{seed}.png"), seed);
    }
    sandbox.add();
    fs::rename(sandbox.photo("1.png"), sandbox.photo("zzz.png")).expect("it can be renamed");
    let report = sandbox.add();
    assert_eq!((report.moved, report.new, report.missing, report.embedded), (1, 0, 0, 0));
    let pictures = sandbox.path("pictures");
    fs::rename(sandbox.photos(), &pictures).expect("it can be renamed");
    let mut index = sandbox.open();
    let report = index.add([&pictures], &AddOptions::default()).expect("it can be indexed");
    assert_eq!((report.moved, report.new, report.missing, report.embedded), (6, 0, 0, 0));
    let roots = index.searcher().status().expect("a status").roots;
    assert_eq!(roots.iter().map(|root| &root.path).collect::<Vec<_>>(), [&pictures], "the emptied root is gone");
}

#[test]
fn copies_share_one_content_and_new_twins_are_decoded_once() {
    let sandbox = Sandbox::new();
    for name in ["a.png", "b.png", "c/d.png"] {
        sandbox.draw(name, 7);
    }
    let report = sandbox.add();
    assert_eq!((report.new, report.embedded), (3, 1));
    sandbox.draw("late.png", 7);
    let report = sandbox.add();
    assert_eq!((report.new, report.unchanged, report.embedded), (1, 3, 0));
    sandbox.draw("other.png", 8);
    sandbox.add();
    let hits = sandbox.open().searcher().similar(&Query::image(sandbox.photo("other.png")), 5).expect("an answer").hits;
    assert_eq!(hits.len(), 1, "one content is one hit");
    assert_eq!(hits[0].paths.len(), 4, "with all its files");
}

#[test]
fn a_deleted_file_is_missing_until_pruned_and_comes_back_without_work() {
    let sandbox = Sandbox::new();
    sandbox.draw("stays.png", 1);
    let path = sandbox.draw("goes.png", 2);
    sandbox.add();
    settle();
    let away = sandbox.path("away.png");
    fs::rename(&path, &away).expect("it can be moved away");
    assert_eq!(sandbox.add().missing, 1);
    assert_eq!(sandbox.add().missing, 0, "it is missing once");
    let answer = sandbox.open().searcher().similar(&Query::image(sandbox.photo("stays.png")), 5).expect("an answer");
    assert!(answer.hits.is_empty(), "a missing file is no answer");
    fs::rename(&away, &path).expect("it can be moved back");
    let report = sandbox.add();
    assert_eq!((report.unchanged, report.embedded, report.new), (2, 0, 0));
    fs::remove_file(&path).expect("it can be removed");
    sandbox.add();
    let mut index = sandbox.open();
    let removed = Pruned { files: 1, images: 1, ..Pruned::default() };
    assert_eq!(index.prunable(&PruneOptions::default()).expect("counts"), removed);
    assert_eq!(index.prune(&PruneOptions::default()).expect("it can be pruned"), removed);
    assert_eq!(sandbox.rows().len(), 1);
}

#[test]
fn a_root_that_is_gone_or_emptied_loses_nothing() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.draw("b.png", 2);
    sandbox.add();
    settle();
    sandbox.add();
    let away = sandbox.path("away");
    fs::rename(sandbox.photos(), &away).expect("it can be unmounted");
    let report = sandbox.add();
    assert_eq!((report.missing, report.offline_roots.as_slice()), (0, [sandbox.photos()].as_slice()));
    fs::create_dir(sandbox.photos()).expect("an empty mount point");
    let report = sandbox.add();
    assert_eq!((report.missing, report.offline_roots.len()), (0, 1));
    let answer = sandbox.open().searcher().similar(&Query::image(away.join("a.png")), 5).expect("an answer");
    assert_eq!(answer.hits.len(), 1, "queries still answer");
    fs::remove_dir(sandbox.photos()).expect("it is empty");
    fs::rename(&away, sandbox.photos()).expect("it can be mounted again");
    let report = sandbox.add();
    assert_eq!((report.unchanged, report.embedded, report.offline_roots.len()), (2, 0, 0));
}

#[test]
fn excluded_files_are_left_alone_and_not_taken_for_missing() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.draw("raw/b.png", 2);
    sandbox.draw(".hidden.png", 3);
    assert_eq!(sandbox.add().new, 2);
    let scan = ScanOptions { exclude: vec!["raw".into()], ..Default::default() };
    let report = sandbox.add_with(&AddOptions { scan, ..Default::default() });
    assert_eq!((report.unchanged, report.missing), (1, 0));
    let scan = ScanOptions { hidden: true, ..Default::default() };
    assert_eq!(sandbox.add_with(&AddOptions { scan, ..Default::default() }).new, 1);
}

#[test]
fn a_part_of_a_root_can_be_brought_up_to_date() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.draw("sub/b.png", 2);
    sandbox.draw("sub-c.png", 3);
    sandbox.add();
    fs::remove_file(sandbox.photo("a.png")).expect("it is there");
    fs::remove_file(sandbox.photo("sub/b.png")).expect("it is there");
    sandbox.draw("sub/d.png", 4);
    let mut index = sandbox.open();
    let report = index.add([sandbox.photo("sub")], &AddOptions::default()).expect("it can be indexed");
    assert_eq!((report.new, report.missing, report.unchanged), (1, 1, 0), "only what is below it was looked at");
    assert_eq!(index.searcher().status().expect("a status").roots.len(), 1);
    let one = sandbox.draw("e.png", 5);
    let report = index.add([&one], &AddOptions::default()).expect("it can be indexed");
    assert_eq!((report.new, report.missing), (1, 0));
}

#[test]
fn a_root_takes_in_the_roots_below_it() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.draw("deep/down/b.png", 2);
    sandbox.draw("single/c.png", 3);
    let mut index = sandbox.open();
    let inner = [sandbox.photo("deep"), sandbox.photo("single/c.png")];
    assert_eq!(index.add(&inner, &AddOptions::default()).expect("it can be indexed").new, 2);
    let report = index.add([sandbox.photos()], &AddOptions::default()).expect("it can be indexed");
    assert_eq!((report.new, report.unchanged, report.embedded), (1, 2, 1));
    assert_eq!(index.searcher().status().expect("a status").roots.len(), 1);
    let paths: Vec<_> = sandbox.rows().into_iter().map(|row| row.0).collect();
    assert_eq!(paths, ["a.png", "deep/down/b.png", "single/c.png"]);
}

#[test]
fn other_files_are_skipped_once_and_for_all() {
    let sandbox = Sandbox::new();
    write(&sandbox.photo("notes.txt"), b"no picture");
    write(&sandbox.photo("draft.xcf"), b"gimp xcf v011");
    sandbox.draw("a.png", 1);
    let report = sandbox.add();
    assert_eq!((report.new, report.skipped, report.failed), (1, 2, 0));
    settle();
    sandbox.add();
    assert_eq!(plan(&sandbox, &AddOptions::default()), []);
    let reasons = sandbox.open().searcher().skipped_reasons(&Filter::default()).expect("reasons");
    assert_eq!(reasons, [("GIMP is not supported".to_owned(), 1), ("not a picture".to_owned(), 1)]);
}

#[test]
fn a_cancelled_run_keeps_what_it_did_and_the_next_one_finishes() {
    let sandbox = Sandbox::new();
    for seed in 0..60 {
        sandbox.draw(&format!("{seed}.png"), seed);
    }
    let options = AddOptions::default();
    let cancel = options.cancel.clone();
    let stop = move |progress: imgidx::Progress| {
        if progress.embedded >= 1 {
            cancel.cancel();
        }
    };
    let first = sandbox.open().add_with_progress([sandbox.photos()], &options, stop).expect("it can be indexed");
    let second = sandbox.add();
    assert_eq!(first.embedded + second.embedded, 60, "nothing is done twice or left out");
    assert_eq!(first.missing + second.missing, 0);
}

#[test]
fn forgetting_a_root_keeps_contents_that_others_hold() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.draw("b.png", 2);
    let other = sandbox.path("other");
    write(&other.join("copy.png"), &png(1));
    let mut index = sandbox.open();
    index.add([sandbox.photos(), other.clone()], &AddOptions::default()).expect("it can be indexed");
    let root = index.part(&sandbox.photos()).expect("it is one");
    index.forget(&root).expect("it can be forgotten");
    let status = index.searcher().status().expect("a status");
    assert_eq!((status.counts.images, status.counts.files, status.index.rows), (1, 1, 1));
    assert!(matches!(index.part(&sandbox.photos()), Err(Error::Invalid(_))));
}

#[test]
fn a_copy_takes_nothing_from_a_drive_that_is_not_there() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.draw("b.png", 2);
    sandbox.add();
    let away = sandbox.path("away");
    fs::rename(sandbox.photos(), &away).expect("it can be unmounted");
    fs::create_dir(sandbox.photos()).expect("an empty mount point");
    let copies = sandbox.path("copies");
    write(&copies.join("a.png"), &png(1));
    let report = sandbox.open().add([&copies], &AddOptions::default()).expect("it can be indexed");
    assert_eq!((report.new, report.moved, report.embedded), (1, 0, 0));
    assert_eq!(sandbox.rows().len(), 3, "the drive's rows are all there");
}

#[test]
fn a_root_below_another_one_is_not_taken_in_while_it_is_away() {
    let sandbox = Sandbox::new();
    sandbox.draw("usb/a.png", 1);
    sandbox.draw("b.png", 2);
    let mut index = sandbox.open();
    index.add([sandbox.photo("usb")], &AddOptions::default()).expect("it can be indexed");
    let away = sandbox.path("away");
    fs::rename(sandbox.photo("usb"), &away).expect("it can be unmounted");
    fs::create_dir(sandbox.photo("usb")).expect("an empty mount point");
    let report = index.add([sandbox.photos()], &AddOptions::default()).expect("it can be indexed");
    assert_eq!((report.new, report.missing), (1, 0));
    fs::remove_dir(sandbox.photo("usb")).expect("it is empty");
    fs::rename(&away, sandbox.photo("usb")).expect("it can be mounted");
    let report = index.add([sandbox.photos()], &AddOptions::default()).expect("it can be indexed");
    assert_eq!((report.unchanged, report.embedded, report.missing), (2, 0, 0));
    assert_eq!(index.searcher().status().expect("a status").roots.len(), 1, "now it is part of the outer one");
}

#[test]
fn a_path_given_twice_is_looked_at_once() {
    let sandbox = Sandbox::new();
    let path = sandbox.draw("a.png", 1);
    let mut index = sandbox.open();
    let report = index.add([&path, &path], &AddOptions::default()).expect("it can be indexed");
    assert_eq!((report.new, report.unchanged), (1, 0));
}

#[test]
fn a_dry_run_knows_an_unmounted_root() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.add();
    fs::remove_file(sandbox.photo("a.png")).expect("it is there");
    let (mut missing, mut offline) = (Vec::new(), Vec::new());
    let index = sandbox.open();
    let note = |paths: &mut Vec<_>, path: &Path| paths.push(path.to_owned());
    index
        .plan(
            [sandbox.photos()],
            &AddOptions::default(),
            |_, _| {},
            |path| note(&mut missing, path),
            |path| note(&mut offline, path),
        )
        .expect("it can be planned");
    assert_eq!((missing, offline), (vec![], vec![sandbox.photos()]));
}

#[test]
fn an_index_whose_derived_file_cannot_be_written_is_complete_all_the_same() {
    let sandbox = Sandbox::new();
    let small: Vec<u8> = (0..=255).collect();
    for seed in &small {
        for turn in 0..3_u8 {
            let color = image::Rgb([*seed, turn * 80, 255 - *seed]);
            image::RgbImage::from_pixel(8, 8, color).save(sandbox.photo(format!("{seed}-{turn}.png"))).expect("a file");
        }
    }
    // A file is in the place of the folder of derived files.
    write(&sandbox.path("photos.db-ann"), b"in the way");
    let report = sandbox.add();
    assert_eq!((report.new, report.warnings.len()), (768, 1), "{report:?}");
    let answer = sandbox.open().searcher().similar(&Query::image(sandbox.photo("7-1.png")), 5).expect("an answer");
    assert_eq!(answer.hits.len(), 5);
    fs::remove_file(sandbox.path("photos.db-ann")).expect("it is there");
    assert_eq!(sandbox.add().warnings, [] as [String; 0]);
    let index = sandbox.open();
    assert_eq!(index.searcher().status().expect("a status").index.snapshot, 768);
    let with_codes = index.searcher().similar(&Query::image(sandbox.photo("7-1.png")), 5).expect("an answer");
    assert_eq!(with_codes.hits, answer.hits, "the answer does not depend on the file");
}
