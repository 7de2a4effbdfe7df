//! Databases of earlier versions of the program: `tests/data/old` has them as SQL, with their pictures.
//!
//! Each was written by the program of that version for a folder `/photos` with `beach.png`, `dog.png` and
//! `dog copy.png`.

use std::fs;
use std::path::Path;

use imgidx::{AddOptions, Query, TextQuery};
use serde_json::Value;

use crate::common::Sandbox;

/// "imgx" in ASCII.
const APPLICATION_ID: i64 = 0x696D_6778;

/// Puts a database of an earlier version and its pictures into a sandbox.
pub fn restore(sandbox: &Sandbox, version: i64) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/old");
    for (from, to) in [("beach.png", "beach.png"), ("dog.png", "dog.png"), ("dog.png", "dog copy.png")] {
        fs::copy(data.join(from), sandbox.photo(to)).expect("a picture");
    }
    let sql = fs::read_to_string(data.join(format!("version-{version}.sql"))).expect("the database");
    let database = rusqlite::Connection::open(sandbox.database()).expect("a new database");
    // The SQL has the tables in alphabetical order, so that rows come before the rows that they refer to.
    database.pragma_update(None, "foreign_keys", false).expect("a pragma");
    database.execute_batch(&sql).expect("it is SQL");
    database.pragma_update(None, "application_id", APPLICATION_ID).expect("a pragma");
    database.pragma_update(None, "user_version", version).expect("a pragma");
    let root = sandbox.photos().into_os_string().into_encoded_bytes();
    database.execute("UPDATE root SET path = ?1", [root]).expect("the root can be changed");
}

#[test]
fn databases_of_earlier_versions_are_measured_without_being_embedded_again() {
    for version in [2, 3] {
        let sandbox = Sandbox::new();
        restore(&sandbox, version);
        let mut index = sandbox.open();
        let dog = sandbox.photo("dog.png");
        let neighbors = index.searcher().similar(&Query::image(&dog), 10).expect("an answer").hits;
        assert_eq!(neighbors.len(), 1, "of version {version}");
        assert_eq!(index.searcher().unmeasured().expect("a number"), 2);

        let report = index.add([sandbox.photos()], &AddOptions::default()).expect("it can be indexed");
        assert_eq!((report.embedded, report.measured, report.missing), (0, 2, 0), "of version {version}: {report:?}");
        assert_eq!(index.searcher().unmeasured().expect("a number"), 0);
        assert_eq!(index.searcher().similar(&Query::image(&dog), 10).expect("an answer").hits, neighbors);
        assert!(
            index.searcher().status().expect("a state").types.iter().map(|(_, pictures)| pictures).sum::<u64>() == 2
        );

        let hits = index.searcher().search(&TextQuery::new("dog"), 10).expect("an answer").hits;
        assert_eq!(hits.len(), 1);
        assert_eq!(hits[0].paths, [sandbox.photo("dog copy.png"), dog]);
        assert_eq!(index.check(false).expect("it can be checked"), []);
    }
}

#[test]
fn databases_without_what_watching_and_runs_need_are_used_as_they_are() {
    for version in [4, 5, 6, 7] {
        let sandbox = Sandbox::new();
        restore(&sandbox, version);
        let mut index = sandbox.open();
        let before = index.searcher().runs(10).expect("runs").len();
        let report = index.add([sandbox.photos()], &AddOptions::default()).expect("it can be indexed");
        // Miniatures and shares of colours are measured; nothing goes through the model again.
        assert_eq!((report.unchanged, report.embedded, report.measured), (3, 0, 2), "of {version}: {report:?}");
        assert_eq!(index.searcher().runs(10).expect("runs").len(), before + 1);
        assert_eq!(index.searcher().search(&TextQuery::new("dog"), 10).expect("an answer").hits.len(), 1);
        assert_eq!(index.check(false).expect("it can be checked"), []);
    }
}

#[test]
fn what_databases_of_all_earlier_versions_tell_is_what_a_new_one_tells() {
    for version in 2..=7 {
        let sandbox = Sandbox::new();
        restore(&sandbox, version);
        let export = |database: &str| {
            sandbox.run(&["--db", database, "add", "photos"]).code(0);
            sandbox.run(&["--db", database, "check"]).code(0);
            let exported = sandbox.run(&["--db", database, "export", "--vector"]).code(0);
            let mut rows: Vec<Value> =
                exported.lines().iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            for labels in rows.iter_mut().filter_map(|row| row["labels"].as_array_mut()) {
                // The first versions also stored classes with low scores.
                labels.retain(|label| label["score"].as_f64().is_some_and(|score| score >= 0.05));
            }
            rows
        };
        assert_eq!(export("photos.db"), export("new.db"), "of version {version}");
        let answer =
            |database: &str, arguments: &[&str]| sandbox.run(&[&["--db", database], arguments].concat()).code(0).stdout;
        for arguments in
            [&["search", "dog"][..], &["dupes"], &["similar", "photos/dog.png"], &["list", "--type", "simple"]]
        {
            assert_eq!(
                answer("photos.db", arguments),
                answer("new.db", arguments),
                "of version {version}: {arguments:?}"
            );
        }
    }
}

#[test]
fn a_backup_of_a_large_database_without_page_checksums_is_the_same() {
    let sandbox = Sandbox::new();
    restore(&sandbox, 6);
    sandbox.run_on_index(&["list"]).code(0);
    // More than SQLite's cache holds, so that pages go to the disk before the first one, which says that there are no
    // checksums.
    let fill = "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 30000)
                INSERT INTO setting (key, value) SELECT 'key ' || n, hex(randomblob(500)) FROM number";
    let database = rusqlite::Connection::open(sandbox.database()).expect("it opens");
    database.execute_batch(fill).expect("rows");
    let rows = |database: &rusqlite::Connection| -> Vec<(String, String)> {
        let mut statement = database.prepare("SELECT key, value FROM setting ORDER BY key").expect("a statement");
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        statement.query_map([], read).expect("rows").map(|row| row.expect("a row")).collect()
    };
    let before = rows(&database);
    drop(database);
    sandbox.run_on_index(&["backup", "copy.db"]).code(0);
    sandbox.run(&["--db", "copy.db", "check"]).code(0);
    let copy = rusqlite::Connection::open(sandbox.path("copy.db")).expect("it opens");
    assert!(before.len() >= 30_000 && rows(&copy) == before);
}

/// Files that were skipped as unsupported stayed out of the index for ever, because they had not changed.
#[cfg(unix)]
#[test]
fn files_of_formats_that_an_earlier_version_skipped_are_read_by_the_next_add_and_nothing_else_is() {
    use std::os::unix::fs::MetadataExt;
    let sandbox = Sandbox::new();
    restore(&sandbox, 3);
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/imgidx-media/tests/data");
    fs::copy(data.join("plain.heic"), sandbox.photo("new.heic")).expect("a picture");
    fs::write(sandbox.photo("notes.txt"), "no picture").expect("a file");
    let database = rusqlite::Connection::open(sandbox.database()).expect("the index");
    let nanoseconds = |seconds: i64, rest: i64| seconds * 1_000_000_000 + rest;
    for name in ["new.heic", "notes.txt"] {
        let stat = sandbox.photo(name).metadata().expect("a file");
        let (modified, changed) =
            (nanoseconds(stat.mtime(), stat.mtime_nsec()), nanoseconds(stat.ctime(), stat.ctime_nsec()));
        let read = changed + 10_000_000_000;
        let row = (name.as_bytes(), stat.size(), modified, changed, stat.ino(), read);
        let sql = "INSERT INTO file (root, path, size, mtime_ns, ctime_ns, inode, read_at_ns, skipped)
                   SELECT id, ?1, ?2, ?3, ?4, ?5, ?6, 'HEIC is not supported' FROM root";
        database.execute(sql, row).expect("a row");
    }
    drop(database);
    let report = sandbox.add();
    assert_eq!((report.embedded, report.skipped, report.failed), (1, 1, 0), "{report:?}");
    let hits = sandbox.run_on_index(&["list", "--format", "heic"]).code(0);
    assert_eq!(hits.lines(), [sandbox.photo("new.heic").display().to_string()]);
    let report = sandbox.add();
    assert_eq!((report.new, report.embedded, report.skipped), (0, 0, 1), "{report:?}");
}
