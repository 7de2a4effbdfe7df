//! Kills of the program at each of its writes, and power cuts at any write: nothing that was reported as done is lost,
//! nothing is falsely marked as done, and the next `add` has the same result as an undisturbed one.

use std::collections::BTreeMap;

use crate::common::{Finished, Sandbox, rounds};
use crate::power::{Disk, Snapshot};

/// The lines of an export by path: everything that the index stores about each picture.
fn exported(sandbox: &Sandbox, database: &str) -> BTreeMap<String, String> {
    let exported = sandbox.run(&["--db", database, "export", "--vector"]).code(0);
    let by_path = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
        (row["path"].as_str().expect("a path").to_owned(), line.to_owned())
    };
    exported.stdout.lines().map(by_path).collect()
}

fn drawn(pictures: u8) -> Sandbox {
    let sandbox = Sandbox::new();
    for seed in 0..pictures {
        sandbox.draw(&format!("{}/{seed}.png", seed % 3), seed);
    }
    crate::common::write(&sandbox.photo("broken.gif"), b"GIF89a");
    sandbox
}

/// Runs a command that is killed at its `number`-th write. Returns false if it ended before that write.
fn dies_at_write(sandbox: &Sandbox, number: usize, arguments: &[&str]) -> bool {
    let mut command = sandbox.program();
    command.env("FAILPOINTS", format!("disk-write={number}*off->return"));
    let output = command.args(["--db", "photos.db"]).args(arguments).output().expect("the program starts");
    match output.status.code() {
        None => true,
        Some(code) => {
            // Exit code 3: one of the pictures is broken.
            assert!(code == 0 || code == 3, "{}", Finished::new(arguments, output).stderr);
            false
        }
    }
}

/// Kills a command at points that are spread over all of its writes. It starts from the same state each time, and
/// `finish` runs after each kill.
fn kill_at_all(points: usize, prepare: impl Fn(&Sandbox), arguments: &[&str], finish: impl Fn(&Sandbox, &str)) {
    let sandbox = drawn(24);
    let begin = || {
        for entry in std::fs::read_dir(sandbox.path("")).expect("a folder").flatten() {
            if entry.file_name().to_string_lossy().starts_with("photos.db") {
                let path = entry.path();
                let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
            }
        }
        prepare(&sandbox);
    };
    let (mut total, mut number) = (1, 1);
    while {
        begin();
        dies_at_write(&sandbox, number, arguments)
    } {
        total = number;
        number *= 2;
    }
    let step = (number / points.max(1)).max(1);
    let mut killed = 0;
    for number in (0..number).step_by(step) {
        begin();
        if !dies_at_write(&sandbox, number, arguments) {
            break;
        }
        killed += 1;
        finish(&sandbox, &format!("killed at write {number}"));
    }
    eprintln!("killed at {killed} of at least {total} writes");
    assert!(killed > points / 4, "only {killed} points");
}

#[test]
fn an_add_that_is_killed_at_any_write_is_finished_by_the_next() {
    let whole = drawn(24);
    whole.run(&["--db", "photos.db", "add", "photos"]).code(3);
    let whole = without_root(&exported(&whole, "photos.db"));
    kill_at_all(
        rounds(20),
        |_| {},
        &["add", "photos"],
        |sandbox, what| {
            let checked = sandbox.run_on_index(&["check"]);
            assert!(checked.code == 0 || checked.stderr.contains("there is no index"), "{what}: {}", checked.stdout);
            let before = if checked.code == 0 { exported(sandbox, "photos.db") } else { BTreeMap::new() };
            sandbox.run_on_index(&["add", "photos"]);
            sandbox.run_on_index(&["check"]).code(0);
            let after = exported(sandbox, "photos.db");
            for (path, row) in &before {
                assert_eq!(after.get(path), Some(row), "{what}: an indexed picture has changed");
            }
            assert_eq!(without_root(&after), whole, "{what}");
        },
    );
}

/// The exported lines with paths below `photos`, because each sandbox has a folder of its own.
fn without_root(exported: &BTreeMap<String, String>) -> Vec<String> {
    let strip = |line: &String| {
        let mut row: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let path = row["path"]
            .as_str()
            .and_then(|path| path.split_once("/photos/"))
            .expect("the path is below `photos`")
            .1
            .to_owned();
        row["path"] = path.into();
        row.to_string()
    };
    let mut lines: Vec<String> = exported.values().map(strip).collect();
    lines.sort();
    lines
}

#[test]
fn commands_that_remove_and_mend_may_be_killed_at_any_write_too() {
    let indexed = |sandbox: &Sandbox| drop(sandbox.run_on_index(&["-q", "add", "photos"]));
    let forgotten = |sandbox: &Sandbox, what: &str| {
        sandbox.run_on_index(&["check"]).code(0);
        let left = sandbox.run_on_index(&["list"]).code(0).lines().len();
        assert!(left == 0 || left == 24, "{what}: {left} files are left: neither all nor none");
        sandbox.run_on_index(&["add", "photos"]);
        assert_eq!(sandbox.run_on_index(&["list"]).code(0).lines().len(), 24, "{what}");
        sandbox.run_on_index(&["check"]).code(0);
    };
    kill_at_all(rounds(4), indexed, &["forget", "photos", "--yes"], forgotten);
    let damaged = |sandbox: &Sandbox| {
        sandbox.run_on_index(&["-q", "add", "photos"]);
        let mut bytes = std::fs::read(sandbox.database()).expect("it is there");
        let at = bytes.len() - 9000;
        bytes[at] ^= 1;
        crate::common::write(&sandbox.database(), &bytes);
    };
    kill_at_all(rounds(5), damaged, &["check", "--repair"], |sandbox, what| {
        sandbox.run_on_index(&["check", "--repair"]).code(0);
        sandbox.run_on_index(&["add", "photos"]);
        sandbox.run_on_index(&["check"]).code(0);
        assert_eq!(sandbox.run_on_index(&["list"]).code(0).lines().len(), 24, "{what}");
    });
    kill_at_all(rounds(4), indexed, &["backup", "copy.db"], |sandbox, _| {
        sandbox.run_on_index(&["check"]).code(0);
        sandbox.run_on_index(&["backup", "copy.db"]).code(0);
        sandbox.run(&["--db", "copy.db", "check"]).code(0);
    });
}

#[test]
fn an_upgrade_that_is_killed_at_any_write_is_finished_by_the_next_command() {
    let restored = |sandbox: &Sandbox| crate::upgrade::restore(sandbox, 2);
    kill_at_all(rounds(5), restored, &["list"], |sandbox, what| {
        let listed = sandbox.run_on_index(&["list"]).code(0);
        assert_eq!(listed.lines().len(), 3, "{what}: {}", listed.stderr);
        sandbox.run_on_index(&["check"]).code(0);
    });
}

/// Runs in a process of its own, because all databases of the process are on the simulated disk.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn adds_on_a_disk_that_may_lose_power() {
    let Some(folder) = std::env::var_os("POWER_FOLDER") else { return };
    let disk = Disk::install();
    let sandbox = drawn(24);
    let mut index = sandbox.open();
    let mut acknowledged = Vec::new();
    for part in ["0", "1", ""] {
        disk.snapshot_every(3);
        index.add([sandbox.photo(part)], &imgidx::AddOptions::default()).expect("it can be indexed");
        acknowledged.push((disk.snapshots(), index.searcher().status().expect("a state").counts.files));
    }
    drop(index);
    let snapshots: Vec<Snapshot> = disk.finish();
    assert!(snapshots.len() > 20, "{} snapshots", snapshots.len());
    let wanted = rounds(30).min(snapshots.len());
    for number in 0..wanted {
        let at = number * snapshots.len() / wanted;
        for (name, bytes) in &snapshots[at].files {
            crate::common::write(&sandbox.path("after").join(name), bytes);
        }
        let database = sandbox.path("after/photos.db");
        let what = format!("power cut {at} of {}", snapshots.len());
        let done = acknowledged.iter().rfind(|(snapshots, _)| *snapshots <= at).map_or(0, |(_, files)| *files);
        match sandbox.options().open_existing(&database) {
            Ok(mut found) => {
                assert_eq!(found.check(false).unwrap_or_else(|error| panic!("{what}: {error}")), [], "{what}");
                let files = found.searcher().status().expect("a state").counts.files;
                assert!(files >= done, "{what}: {files} of {done} files that were reported as done");
            }
            Err(imgidx::Error::NoIndex { .. }) if done == 0 => {}
            Err(error) => panic!("{what}: {error}"),
        }
        let mut again = sandbox.options().open(&database).unwrap_or_else(|error| panic!("{what}: {error}"));
        again.add([sandbox.photos()], &imgidx::AddOptions::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(again.check(false).expect("it can be checked"), [], "{what}");
        assert_eq!(again.searcher().status().expect("a state").counts.files, 24, "{what}");
        drop(again);
        std::fs::remove_dir_all(sandbox.path("after")).expect("it is there");
    }
    crate::common::write(
        std::path::Path::new(&folder),
        format!("{wanted} of {} snapshots", snapshots.len()).as_bytes(),
    );
}

#[test]
fn a_power_cut_at_any_write_loses_nothing_that_was_told_to_be_done() {
    let sandbox = Sandbox::new();
    let mut command = std::process::Command::new(std::env::current_exe().expect("it runs"));
    command.args(["--exact", "crash::adds_on_a_disk_that_may_lose_power", "--ignored", "--nocapture"]);
    let output = command.env("POWER_FOLDER", sandbox.path("done")).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    eprintln!("{}", std::fs::read_to_string(sandbox.path("done")).expect("the ignored test ran"));
}

#[test]
fn a_fetch_that_is_killed_leaves_nothing_that_is_taken_for_a_runtime() {
    let sandbox = Sandbox::new();
    let fetch = |points: &str| {
        let mut command = sandbox.program();
        command.env_remove("ORT_DYLIB_PATH").env("FAILPOINTS", points).args(["runtime", "install"]);
        for (name, value) in std::env::vars().filter(|(name, _)| name.starts_with("PIP_")) {
            command.env(name, value);
        }
        command.output().expect("the program starts")
    };
    let killed = fetch("library-unpacked=return");
    if killed.status.code().is_some() {
        eprintln!("skipped: ONNX Runtime cannot be fetched: {}", String::from_utf8_lossy(&killed.stderr));
        return;
    }
    let mut command = sandbox.program();
    let output = command.env_remove("ORT_DYLIB_PATH").args(["--offline", "runtime"]).output().expect("it starts");
    assert!(!String::from_utf8_lossy(&output.stdout).contains(".fetch-"), "an incomplete library is used");
    Finished::new(&["runtime", "install"], fetch("")).code(0);
    let mut command = sandbox.program();
    let output = command.env_remove("ORT_DYLIB_PATH").args(["--offline", "runtime"]).output().expect("it starts");
    let finished = Finished::new(&["runtime"], output).code(0);
    assert!(
        finished.stdout.contains("imgidx's data directory") || finished.stdout.contains("data directory"),
        "{}",
        finished.stdout
    );
}
