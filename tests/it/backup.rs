//! Backups of an index, and restoring one.

use std::fs;

use crate::common::{Finished, Sandbox, png, write};

fn many(sandbox: &Sandbox, seeds: std::ops::Range<u8>) {
    seeds.for_each(|seed| drop(sandbox.draw(&format!("{seed:03}.png"), seed)));
}

#[test]
fn a_backup_is_an_index_and_brings_back_a_lost_one() {
    let sandbox = Sandbox::new();
    many(&sandbox, 0..20);
    sandbox.add();
    let whole = sandbox.run_on_index(&["export", "--vector"]).code(0).stdout;
    let made = sandbox.run_on_index(&["backup", "safe/copy.db"]).code(0);
    assert!(made.stdout.ends_with("\tsafe/copy.db\n"), "{}", made.stdout);
    assert_eq!(fs::read_dir(sandbox.path("safe")).expect("a folder").count(), 1, "the folder has no other file");
    assert_eq!(sandbox.run(&["--db", "safe/copy.db", "export", "--vector"]).code(0).stdout, whole);
    sandbox.run(&["--db", "safe/copy.db", "check"]).code(0);
    // The index is lost after pictures were added that the backup does not have.
    many(&sandbox, 20..25);
    sandbox.add();
    for entry in fs::read_dir(sandbox.path("")).expect("a folder").flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("photos.db") && name != "photos.db-ann" {
            fs::remove_file(entry.path()).expect("it is there");
        }
    }
    fs::copy(sandbox.path("safe/copy.db"), sandbox.database()).expect("it is there");
    assert_eq!(sandbox.run_on_index(&["export", "--vector"]).code(0).stdout, whole);
    let added = sandbox.run_on_index(&["add", "photos"]).code(0);
    assert!(added.stdout.starts_with("5 new, 0 changed, 0 moved, 20 unchanged"), "{}", added.stdout);
    assert_eq!(sandbox.run_on_index(&["similar", "photos/003.png", "-k", "30"]).code(0).lines().len(), 24);
    sandbox.run_on_index(&["check"]).code(0);
}

#[test]
fn only_an_older_backup_is_replaced() {
    let sandbox = Sandbox::new();
    many(&sandbox, 0..3);
    sandbox.add();
    write(&sandbox.path("letter.txt"), b"dear ada");
    let refused = sandbox.run_on_index(&["backup", "letter.txt"]).code(1);
    assert!(refused.stderr.contains("not a backup of an index"), "{}", refused.stderr);
    assert_eq!(fs::read(sandbox.path("letter.txt")).expect("it is there"), b"dear ada");
    for own in ["photos.db", "photos.db-wal", "photos.db-copy"] {
        let refused = sandbox.run_on_index(&["backup", own]).code(1);
        assert!(refused.stderr.contains("part of the database itself"), "{}", refused.stderr);
    }
    sandbox.run_on_index(&["backup", "copy.db"]).code(0);
    many(&sandbox, 3..5);
    sandbox.add();
    sandbox.run_on_index(&["backup", "copy.db"]).code(0);
    assert_eq!(sandbox.run(&["--db", "copy.db", "list"]).code(0).lines().len(), 5);
}

#[test]
fn a_damaged_index_does_not_replace_its_backup() {
    let sandbox = Sandbox::new();
    many(&sandbox, 0..40);
    sandbox.add();
    sandbox.run_on_index(&["backup", "copy.db"]).code(0);
    let copy = fs::read(sandbox.path("copy.db")).expect("it is there");
    let mut bytes = fs::read(sandbox.database()).expect("it is there");
    let at = bytes.len() - 9000;
    bytes[at] ^= 1;
    write(&sandbox.database(), &bytes);
    let refused = sandbox.run_on_index(&["backup", "copy.db"]).code(1);
    assert!(refused.stderr.contains("does not match its checksum"), "{}", refused.stderr);
    assert!(fs::read(sandbox.path("copy.db")).expect("it is there") == copy);
}

#[test]
fn a_backup_that_is_made_while_pictures_are_added_is_one_state() {
    let sandbox = Sandbox::new();
    many(&sandbox, 0..10);
    sandbox.run_on_index(&["add", "photos"]).code(0);
    for seed in 0..200 {
        write(&sandbox.photo(format!("more/{seed}.png")), &png(seed));
        write(&sandbox.photo(format!("others/{seed}.png")), &[png(seed), vec![seed]].concat());
    }
    let mut adding = sandbox.program();
    let mut adding = adding.args(["--db", "photos.db", "-q", "add", "photos"]).spawn().expect("the program starts");
    let mut copies = 0;
    while adding.try_wait().expect("it is ours").is_none() {
        let name = format!("copy {copies}.db");
        sandbox.run_on_index(&["backup", &name]).code(0);
        sandbox.run(&["--db", &name, "check"]).code(0);
        copies += 1;
    }
    assert!(copies > 0);
    Finished::new(&["add"], adding.wait_with_output().expect("it has ended")).code(0);
    sandbox.run_on_index(&["backup", "last.db"]).code(0);
    let listed = |database: &str| sandbox.run(&["--db", database, "list"]).code(0).stdout;
    assert_eq!(listed("last.db"), listed("photos.db"));
}
