//! Damaged databases: a clear error, a repair, or the right answers, but never a wrong answer or a panic.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use imgidx::{AddOptions, Error, Filter, Index, Query, Result};
use rusqlite::Connection;

use crate::common::{Random, Sandbox, rounds, write};

/// Everything that an index stores about its pictures, by path.
type Snapshot = BTreeMap<PathBuf, String>;

fn snapshot(index: &Index) -> Result<Snapshot> {
    let mut snapshot = Snapshot::new();
    index.searcher().for_each_picture(&Filter::default(), |row| {
        let vector = index.searcher().stored_embedding(&row)?;
        let features = index.searcher().stored_features(&row)?;
        snapshot.insert(row.path.clone(), format!("{row:?} {vector:?} {features:?}"));
        Ok(())
    })?;
    Ok(snapshot)
}

/// The answers to all kinds of queries: list, neighbours, words, duplicates, counts and failures.
fn asked(sandbox: &Sandbox, photo: &Path) -> Vec<Result<String>> {
    let ask = |question: &dyn Fn(&Index) -> Result<String>| {
        let index = sandbox.options().open_existing(sandbox.database())?;
        question(&index)
    };
    vec![
        ask(&|index| snapshot(index).map(|snapshot| format!("{snapshot:?}"))),
        ask(&|index| index.searcher().similar(&Query::image(photo), 10).map(|answer| format!("{:?}", answer.hits))),
        ask(&|index| {
            index.searcher().search(&imgidx::TextQuery::new("photos"), 50).map(|answer| format!("{:?}", answer.hits))
        }),
        ask(&|index| {
            index.searcher().dupes(&imgidx::search::DupeQuery::default()).map(|answer| format!("{:?}", answer.groups))
        }),
        ask(&|index| index.searcher().status().map(|status| format!("{:?} {:?}", status.counts, status.types))),
        ask(&|index| index.searcher().failures().map(|failures| format!("{failures:?}"))),
    ]
}

fn indexed(pictures: u8) -> Sandbox {
    let sandbox = Sandbox::new();
    for seed in 0..pictures {
        sandbox.draw(&format!("{}/{seed}.png", seed % 7), seed);
    }
    write(&sandbox.photo("broken.gif"), b"GIF89a");
    fs::copy(sandbox.photo("1/1.png"), sandbox.photo("copy.png")).expect("a copy");
    sandbox.add();
    sandbox
}

/// Damages bytes as disks do, and returns a description.
fn damage(random: &mut Random, bytes: &mut Vec<u8>) -> String {
    let at = random.below(bytes.len());
    match random.below(5) {
        0 => {
            bytes.truncate(at);
            format!("cut off at {at}")
        }
        1 => {
            let end = (at / 4096 * 4096 + 4096).min(bytes.len());
            bytes[at / 4096 * 4096..end].fill(0);
            format!("zeros around {at}")
        }
        2 => {
            let from = random.below(bytes.len()) / 512 * 512;
            let (from, to) = (from, at / 512 * 512);
            let length = 512.min(bytes.len() - from.max(to));
            bytes.copy_within(from..from + length, to);
            format!("a sector of {from} at {to}")
        }
        _ => {
            let bit = random.below(8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at}")
        }
    }
}

#[test]
fn a_damaged_database_answers_rightly_or_not_at_all_and_is_repaired() {
    let sandbox = indexed(60);
    let whole = snapshot(&sandbox.open()).expect("the index is intact");
    let photo = sandbox.photo("3/3.png");
    let right: Vec<String> =
        asked(&sandbox, &photo).into_iter().map(|answer| answer.expect("the index is intact")).collect();
    let bytes = fs::read(sandbox.database()).expect("it is there");
    let mut random = Random::new(11);
    let (mut harmless, mut repaired, mut restarted) = (0, 0, 0);
    for round in 0..rounds(40) {
        clear(&sandbox);
        let mut damaged = bytes.clone();
        let what = format!("round {round}: {}", damage(&mut random, &mut damaged));
        write(&sandbox.database(), &damaged);
        for (answer, right) in asked(&sandbox, &photo).into_iter().zip(&right) {
            match answer {
                Ok(answer) => assert_eq!(&answer, right, "{what}"),
                Err(Error::Damaged { .. } | Error::NotAnIndex { .. } | Error::NoIndex { .. }) => {}
                Err(other) => panic!("{what}: {other:?}"),
            }
        }
        let opened = match sandbox.options().open_existing(sandbox.database()) {
            Err(Error::Damaged { .. }) => sandbox.options().open_damaged(sandbox.database()),
            opened => opened,
        };
        let checked = opened.and_then(|mut index| index.check(true));
        match checked {
            Ok(problems) => {
                assert!(problems.iter().all(|problem| problem.repaired), "{what}: {problems:?}");
                harmless += u32::from(problems.is_empty());
                repaired += 1;
            }
            // It cannot be opened. The hint says to move it away and to add the directories again.
            Err(Error::Damaged { .. } | Error::NotAnIndex { .. } | Error::NoIndex { .. }) => {
                clear(&sandbox);
                restarted += 1;
            }
            Err(other) => panic!("{what}: {other:?}"),
        }
        let mut index = sandbox.open();
        index.add([sandbox.photos()], &AddOptions::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(index.check(false).expect("it can be checked"), [], "{what}");
        assert_eq!(without_rows(&snapshot(&index).expect("the index is intact")), without_rows(&whole), "{what}");
    }
    eprintln!("{repaired} repaired, of which {harmless} had no damage that matters; {restarted} started anew");
    assert!(repaired > harmless, "nothing was damaged");
}

/// The snapshot without row numbers, which a repair may change.
fn without_rows(snapshot: &Snapshot) -> Vec<(PathBuf, String)> {
    let strip = |text: &String| match (text.find("ImageId("), text.find("hash:")) {
        (Some(from), Some(to)) if from < to => [&text[..from], &text[to..]].concat(),
        _ => text.clone(),
    };
    snapshot.iter().map(|(path, text)| (path.clone(), strip(text))).collect()
}

/// Removes the database and all files beside it.
fn clear(sandbox: &Sandbox) {
    for entry in fs::read_dir(sandbox.path("")).expect("a folder").flatten() {
        if entry.file_name().to_string_lossy().starts_with("photos.db") {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }
}

#[test]
fn a_damaged_log_costs_at_most_what_was_in_it() {
    let sandbox = indexed(20);
    let base = fs::read(sandbox.database()).expect("it is there");
    // The open reader keeps the log from being merged, as after a kill.
    let reader = Connection::open(sandbox.database()).expect("it opens");
    let hold = |sql: &str| reader.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
    reader.execute_batch("BEGIN").expect("a transaction");
    hold("SELECT count(*) FROM image");
    for seed in 20..40 {
        sandbox.draw(&format!("new/{seed}.png"), seed);
    }
    sandbox.add();
    let whole = snapshot(&sandbox.open()).expect("the index is intact");
    let files: Vec<_> = ["photos.db", "photos.db-wal"].map(|name| fs::read(sandbox.path(name)).expect("a file")).into();
    drop(reader);
    assert!(files[1].len() > 100_000, "the log has {} bytes", files[1].len());
    let mut random = Random::new(5);
    for round in 0..rounds(15) {
        clear(&sandbox);
        let mut log = files[1].clone();
        let what = format!("round {round}: {}", damage(&mut random, &mut log));
        write(&sandbox.database(), if round % 3 == 0 { &base } else { &files[0] });
        write(&sandbox.path("photos.db-wal"), &log);
        let mut index = match sandbox.options().open_existing(sandbox.database()) {
            Ok(index) => index,
            Err(error) => panic!("{what}: {error}"),
        };
        let problems = index.check(true).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(problems.iter().all(|problem| problem.repaired), "{what}: {problems:?}");
        drop(index);
        sandbox.add();
        let index = sandbox.open();
        assert_eq!(without_rows(&snapshot(&index).expect("the index is intact")), without_rows(&whole), "{what}");
    }
}

fn tamper(sandbox: &Sandbox, sql: &str) {
    let unchecked = "PRAGMA foreign_keys = off; PRAGMA ignore_check_constraints = on";
    sandbox.tamper().execute_batch(&format!("{unchecked}; {sql}")).expect(sql);
}

#[test]
fn rows_that_cannot_be_are_told_and_removed_and_come_again() {
    for (sql, place) in [
        ("UPDATE image SET width = -1 WHERE id = 5", "image 5"),
        ("UPDATE image SET orientation = 77 WHERE id = 5", "database"),
        ("UPDATE root SET vanished = -3", "root 1"),
        ("UPDATE run SET embedded = -1", "run 1"),
        ("UPDATE model SET dimension = dimension + 1", "model 1"),
        ("UPDATE model SET dimension = 4611686018427387904", "model 1"),
        ("UPDATE classification SET label = label + 1000 WHERE image = 3", "classification"),
        ("UPDATE embedding SET image = image + 1000 WHERE id = 4", "embedding 4"),
        ("UPDATE feature SET image = image + 1000 WHERE image = 4", "feature 1004"),
        ("UPDATE file SET root = 9 WHERE id = 4", "file 4"),
        ("UPDATE file SET image = 99 WHERE id = 4", "file 4"),
        ("UPDATE failure SET image = 99", "failure 1"),
        ("DELETE FROM image WHERE id = 2", "references"),
        ("DELETE FROM label", "classification"),
        ("DELETE FROM path_word WHERE rowid = 3", "word index"),
        ("INSERT INTO path_word (path_word) VALUES ('delete-all')", "word index"),
    ] {
        let sandbox = indexed(12);
        let whole = snapshot(&sandbox.open()).expect("the index is intact");
        tamper(&sandbox, sql);
        let found = sandbox.run_on_index(&["check"]).code(1);
        assert!(found.stdout.contains(place) || place == "references", "{sql}: {}", found.stdout);
        for command in [&["list"][..], &["dupes"], &["status"], &["similar", "photos/3/3.png"], &["search", "photos"]] {
            let answered = sandbox.run_on_index(command);
            assert!(
                answered.code == 0 || answered.stderr.contains("damaged"),
                "{sql}: {command:?}: {}",
                answered.stderr
            );
        }
        let repaired = sandbox.run_on_index(&["check", "--repair"]).code(0);
        assert!(!repaired.stdout.is_empty(), "{sql}");
        sandbox.run_on_index(&["add", "photos"]);
        sandbox.run_on_index(&["check"]).code(0);
        assert_eq!(
            without_rows(&snapshot(&sandbox.open()).expect("the index is intact")),
            without_rows(&whole),
            "{sql}"
        );
    }
}

#[test]
fn what_comes_from_nowhere_else_outlasts_a_repair() {
    let sandbox = indexed(60);
    sandbox.run_on_index(&["dupes", "dismiss", "photos/1/1.png", "photos/copy.png"]).code(0);
    sandbox.run_on_index(&["model", "use", "imgidx-mobile"]);
    let dupes = sandbox.run_on_index(&["dupes"]).code(0).stdout;
    // The last page holds rows that were added last.
    let mut bytes = fs::read(sandbox.database()).expect("it is there");
    let at = bytes.len() - 5000;
    bytes[at] ^= 1;
    write(&sandbox.database(), &bytes);
    let repaired = sandbox.run_on_index(&["check", "--repair"]).code(0);
    assert!(repaired.stdout.contains("does not match its checksum (repaired)"), "{}", repaired.stdout);
    assert!(repaired.stderr.contains("is kept as `"), "{}", repaired.stderr);
    let added = sandbox.run_on_index(&["add", "photos"]).code(0);
    assert!(!added.stdout.starts_with("60 new") && added.stdout.contains(" 0 missing"), "{}", added.stdout);
    assert_eq!(sandbox.run_on_index(&["dupes"]).code(0).stdout, dupes, "a dismissal was lost");
}

#[test]
fn a_database_that_cannot_be_opened_is_repaired_as_far_as_it_can_be_read() {
    let sandbox = indexed(60);
    let whole = fs::read(sandbox.database()).expect("it is there");
    let flipped = {
        let mut bytes = whole.clone();
        bytes[5000] ^= 1;
        bytes
    };
    for (damaged, least) in [(flipped, 61), (whole[..whole.len() - 100_000].to_vec(), 20)] {
        clear(&sandbox);
        write(&sandbox.database(), &damaged);
        let refused = sandbox.run_on_index(&["list"]).code(1);
        assert!(refused.stderr.contains("damaged") && refused.stderr.contains("--repair"), "{}", refused.stderr);
        let repaired = sandbox.run_on_index(&["check", "--repair"]).code(0);
        assert!(repaired.stderr.contains("is kept as `"), "{}", repaired.stderr);
        let kept = sandbox.run_on_index(&["list"]).code(0).lines().len();
        assert!(kept >= least, "{kept} files are left");
        sandbox.run_on_index(&["add", "photos"]);
        assert_eq!(sandbox.run_on_index(&["list"]).code(0).lines().len(), 61);
        sandbox.run_on_index(&["check"]).code(0);
    }
}

#[test]
fn what_cannot_be_repaired_is_not_told_to_repair_itself() {
    let sandbox = indexed(5);
    let mut bytes = fs::read(sandbox.database()).expect("it is there");
    // Overwrites the definitions of all tables.
    bytes[100..16_000].fill(7);
    write(&sandbox.database(), &bytes);
    let refused = sandbox.run_on_index(&["check", "--repair"]).code(1);
    assert!(refused.stderr.contains("damaged"), "{}", refused.stderr);
    assert!(refused.stderr.contains("backup") && !refused.stderr.contains("--repair"), "{}", refused.stderr);
    assert_eq!(fs::read(sandbox.database()).expect("it is there"), bytes, "the damaged database was changed");
}
