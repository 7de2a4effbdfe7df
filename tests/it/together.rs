//! Many processes of every kind on one index at once: none shows an error, and the index ends up as a fresh scan would
//! make it.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::{Daemon, Random, Sandbox, png, rounds, write};

/// The commands that are run repeatedly, each in a thread of its own.
const COMMANDS: [&[&str]; 9] = [
    &["add", "photos", "--direct"],
    &["add", "photos/2", "--direct"],
    &["add", "photos"],
    &["similar", "query.png", "-k", "20"],
    &["search", "photos"],
    &["dupes"],
    &["check"],
    &["prune", "--yes"],
    &["backup", "copy.db"],
];

/// Creates, copies, renames, replaces or removes a file. New contents appear by a rename, because `add` would rightly
/// report a file that is still empty when it is read.
fn change(sandbox: &Sandbox, random: &mut Random) {
    let path = |random: &mut Random| sandbox.photo(format!("{}/{}.png", random.below(4), random.below(12)));
    let (one, other) = (path(random), path(random));
    match random.below(5) {
        0 | 1 => replace(sandbox, &one, &png(random.below(40) as u8)),
        2 => _ = fs::rename(&one, &other),
        3 => _ = fs::read(&one).map(|bytes| replace(sandbox, &other, &bytes)),
        _ => _ = fs::remove_file(&one),
    }
    std::thread::sleep(Duration::from_millis(random.below(30) as u64));
}

fn replace(sandbox: &Sandbox, path: &Path, bytes: &[u8]) {
    let unfinished = sandbox.path("unfinished");
    write(&unfinished, bytes);
    fs::rename(unfinished, path).expect("it can be renamed");
}

#[test]
fn processes_of_all_kinds_at_once_show_no_error_and_lose_nothing() {
    let sandbox = Sandbox::new();
    for seed in 0..30 {
        sandbox.draw(&format!("{}/{}.png", seed % 4, seed % 12), seed);
    }
    write(&sandbox.path("query.png"), &png(3));
    sandbox.run_on_index(&["add", "photos"]).code(0);
    let daemon = Daemon::start(&sandbox, &["photos"]);
    let (stop, runs) = (AtomicBool::new(false), AtomicUsize::new(0));
    let until = Instant::now() + Duration::from_secs(5 * rounds(1) as u64);
    std::thread::scope(|scope| {
        for arguments in COMMANDS {
            let (sandbox, stop, runs) = (&sandbox, &stop, &runs);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let ended = sandbox.run_on_index(arguments);
                    // A panic in this thread ends the test only after all threads have ended.
                    stop.fetch_or(ended.code != 0, Ordering::Relaxed);
                    assert_eq!(ended.code, 0, "{arguments:?}: {}{}", ended.stdout, ended.stderr);
                    assert!(!ended.stderr.contains("error"), "{arguments:?}: {}", ended.stderr);
                    runs.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut random = Random::new(1);
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            change(&sandbox, &mut random);
        }
        stop.store(true, Ordering::Relaxed);
    });
    daemon.sync();
    assert_eq!(daemon.logged("error"), 0, "{}", daemon.log());
    daemon.stop();
    sandbox.run_on_index(&["add", "photos"]).code(0);
    sandbox.run_on_index(&["prune"]).code(0);
    sandbox.run_on_index(&["check"]).code(0);
    sandbox.run(&["--db", "fresh.db", "add", "photos"]).code(0);
    assert_eq!(sandbox.present("photos.db"), sandbox.present("fresh.db"));
    let exported = |database: &str| {
        let finished = sandbox.run(&["--db", database, "export", "--vector"]).code(0);
        finished.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(exported("photos.db"), exported("fresh.db"));
    eprintln!("{} commands", runs.load(Ordering::Relaxed));
}
