//! Several processes at once, and processes that are killed.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::Instant;

use crate::common::{Finished, Sandbox, rounds};

fn many(sandbox: &Sandbox, count: u8) {
    for seed in 0..count {
        sandbox.draw(&format!("{seed:03}.png"), seed);
    }
}

fn start(sandbox: &Sandbox, arguments: &[&str]) -> Child {
    let mut command = sandbox.program();
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

#[test]
fn the_second_writer_waits_for_the_first_one_and_names_it_and_readers_do_not() {
    let sandbox = Sandbox::new();
    many(&sandbox, 3);
    sandbox.add();
    sandbox.draw("new.png", 77);
    std::fs::remove_file(sandbox.photo("001.png")).expect("it is there");
    let writer = imgidx::store::Writer::open(&sandbox.database()).expect("no other process is writing");
    let profiled = ["--db", "photos.db", "add", "photos", "--profile", "trace.json"];
    let mut waiting = start(&sandbox, &profiled);
    let mut stderr = BufReader::new(waiting.stderr.take().expect("a pipe"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("it prints why it waits");
    let expected = format!("is being written by process {}; waiting", std::process::id());
    assert!(line.contains(&expected), "{line}");
    assert_eq!(sandbox.run(&["--db", "photos.db", "similar", "photos/000.png"]).code(0).lines().len(), 2);
    sandbox.run(&["--db", "photos.db", "check"]).code(0);
    assert!(waiting.try_wait().expect("it is our child").is_none());
    drop(writer);
    let added = Finished::new(&["add"], waiting.wait_with_output().expect("it ends")).code(0);
    assert!(added.stdout.starts_with("1 new, 0 changed, 0 moved, 2 unchanged, 1 missing"), "{}", added.stdout);
    let profile = std::fs::read_to_string(sandbox.path("trace.json")).expect("it is written");
    assert!(profile.contains("\"embed\""), "{profile}");
    sandbox.run(&["--db", "photos.db", "prune"]).code(0);
}

#[test]
fn when_nobody_is_at_work_the_index_is_one_file_that_other_programs_may_open() {
    let sandbox = Sandbox::new();
    many(&sandbox, 20);
    sandbox.run_on_index(&["add", "photos"]).code(0);
    for command in [&["list"][..], &["similar", "photos/000.png"], &["check"], &["add", "photos"], &["prune"]] {
        sandbox.run_on_index(command).code(0);
        for suffix in ["-wal", "-shm", "-journal"] {
            assert!(!sandbox.path(format!("photos.db{suffix}")).exists(), "{command:?} leaves a {suffix} behind");
        }
        // Another program has no VFS for page checksums; it writes nothing when it is the last to close the database.
        let other = rusqlite::Connection::open(sandbox.database()).expect("it opens");
        other.query_row("SELECT count(*) FROM file", [], |row| row.get::<_, u64>(0)).expect("a number");
        drop(other);
        sandbox.run_on_index(&["check"]).code(0);
    }
}

#[cfg(unix)]
#[test]
fn one_who_waits_can_be_interrupted() {
    let sandbox = Sandbox::new();
    many(&sandbox, 1);
    sandbox.add();
    let _writer = imgidx::store::Writer::open(&sandbox.database()).expect("no other process is writing");
    let mut waiting = start(&sandbox, &["--db", "photos.db", "add", "photos"]);
    let mut stderr = BufReader::new(waiting.stderr.take().expect("a pipe"));
    stderr.read_line(&mut String::new()).expect("it prints why it waits");
    let process = waiting.id().to_string();
    let sent = std::process::Command::new("kill").args(["-s", "INT", &process]).status().expect("`kill` can be run");
    assert!(sent.success());
    assert_eq!(waiting.wait().expect("it ends").code(), Some(1));
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("it ends");
    assert!(rest.contains("interrupted"), "{rest}");
}

#[test]
fn queries_answer_while_pictures_are_added() {
    let sandbox = Sandbox::new();
    many(&sandbox, 4);
    sandbox.run(&["add", "photos"]).code(0);
    many(&sandbox, 200);
    let mut adding = start(&sandbox, &["add", "photos"]);
    let mut answers = 0;
    while adding.try_wait().expect("it is our child").is_none() {
        let found = sandbox.run(&["similar", "photos/000.png", "-k", "3"]).code(0);
        assert_eq!(found.lines().len(), 3);
        answers += 1;
    }
    assert!(answers > 0);
    Finished::new(&["add"], adding.wait_with_output().expect("it has ended")).code(0);
    assert_eq!(sandbox.run(&["list"]).lines().len(), 200);
}

#[test]
fn a_killed_run_leaves_work_undone_and_never_falsely_done() {
    let sandbox = Sandbox::new();
    many(&sandbox, 240);
    // An undisturbed run shows how long a run takes, so that the kills can be spread over it.
    let start_of_run = Instant::now();
    sandbox.run(&["--db", "whole.db", "add", "photos"]).code(0);
    let length = start_of_run.elapsed();
    let export = |database: &str| {
        let finished = sandbox.run(&["--db", database, "export", "--vector"]).code(0);
        finished.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let whole = export("whole.db");
    let mut kills = 0;
    for round in 1..=rounds(6) as u32 {
        let database = format!("{}.db", round / 6);
        let mut child = start(&sandbox, &["--db", &database, "add", "photos"]);
        // A prime number spreads the moments whatever the number of rounds.
        std::thread::sleep(length * (round * 37 % 101) / 101);
        child.kill().expect("it can be killed");
        kills += u32::from(!child.wait().expect("it has ended").success());
        if sandbox.path(&database).is_file() {
            let checked = sandbox.run(&["--db", &database, "check"]);
            assert!(checked.code == 0 || checked.stderr.contains("there is no index"), "{}", checked.stdout);
        }
        if round % 6 == 5 {
            sandbox.run(&["--db", &database, "add", "photos"]).code(0);
            sandbox.run(&["--db", &database, "check"]).code(0);
            assert_eq!(export(&database), whole, "the result is the same as that of an undisturbed run");
        }
    }
    eprintln!("killed {kills} times");
    assert!(kills > 0);
}

#[test]
fn two_that_start_together_do_the_work_once() {
    let sandbox = Sandbox::new();
    many(&sandbox, 60);
    let children = [start(&sandbox, &["add", "photos"]), start(&sandbox, &["add", "photos"])];
    let ended = children.map(|child| Finished::new(&["add"], child.wait_with_output().expect("it ends")));
    for finished in &ended {
        assert_eq!(finished.code, 0, "{}", finished.stderr);
    }
    assert_eq!(sandbox.run(&["list"]).lines().len(), 60);
}
