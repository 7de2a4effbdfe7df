//! The program as a person or a script uses it.

use std::io::{Read, Write};
use std::process::Stdio;

use crate::common::{Finished, Sandbox, png, write};

fn indexed() -> Sandbox {
    let sandbox = Sandbox::new();
    for (name, seed) in [("a.png", 1), ("b.png", 2), ("sub/c.png", 3)] {
        sandbox.draw(name, seed);
    }
    sandbox.run(&["add", "photos"]).code(0);
    sandbox
}

#[test]
fn the_first_command_of_a_newcomer_works() {
    let sandbox = indexed();
    let database = sandbox.path("home/.local/share/imgidx/imgidx.db");
    assert!(database.is_file() || cfg!(not(target_os = "linux")), "the index is in the user's data directory");
    let found = sandbox.run(&["similar", "photos/a.png"]).code(0);
    let lines = found.lines();
    assert_eq!(lines.len(), 2, "not the picture itself: {}", found.stdout);
    let scores: Vec<f32> =
        lines.iter().map(|line| line.split('\t').next().expect("a score").parse().expect("a number")).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    assert!(lines.iter().all(|line| line.split('\t').nth(1).is_some_and(|path| path.starts_with('/'))));
}

#[test]
fn the_last_line_of_add_counts_everything() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    let added = sandbox.run(&["add", "photos"]).code(0);
    let last = added.lines().pop().expect("a line").to_owned();
    for part in
        ["1 new", "0 changed", "0 moved", "0 unchanged", "0 missing", "0 failed", " s (", "images/s", "peak memory"]
    {
        assert!(last.contains(part), "`{part}` is missing in: {last}");
    }
    assert_eq!(added.stderr, "", "nothing else is printed without a terminal");
}

#[test]
fn exit_codes_are_as_promised() {
    let sandbox = indexed();
    sandbox.run(&["similar", "photos/a.png", "--threshold", "0.9999"]).code(0);
    sandbox.run(&["similar", "no-such.png"]).code(1);
    sandbox.run(&["add", "no-such-folder"]).code(1);
    sandbox.run(&["add"]).code(2);
    sandbox.run(&["similar", "photos/a.png", "--threshold", "high"]).code(2);
    sandbox.run(&["similar", "photos/a.png", "--threshold", "2"]).code(2);
    sandbox.run(&["similar", "photos/a.png", "-k", "18446744073709551615"]).code(0);
    sandbox.run(&["add", "photos", "--threads", "100000"]).code(2);
    sandbox.run(&["add", "photos", "--exclude", "a["]).code(2);
    sandbox.run(&["export", "--format", "npy"]).code(2);
    write(&sandbox.photo("broken.png"), b"\x89PNG\r\n\x1A\n");
    sandbox.run(&["add", "photos"]).code(3);
    sandbox.run(&["add", "photos"]).code(0);
    sandbox.run(&["add", "photos", "--retry-failed"]).code(3);
}

#[test]
fn errors_name_the_file_the_reason_and_the_way_out() {
    let sandbox = Sandbox::new();
    let error = sandbox.run(&["similar", "a.png"]).code(1).stderr;
    assert!(error.starts_with("error: there is no index at `"), "{error}");
    assert!(error.contains("hint: create one with `imgidx add DIRECTORY`"), "{error}");
    sandbox.draw("a.png", 1);
    sandbox.run(&["add", "photos"]).code(0);
    write(&sandbox.path("notes.txt"), b"hello");
    let error = sandbox.run(&["similar", "notes.txt"]).code(1).stderr;
    assert!(error.contains("`notes.txt`") && error.contains("not a picture"), "{error}");
    let error = sandbox.run(&["similar", "photos"]).code(1).stderr;
    assert!(error.contains("`photos`") && error.contains("directory"), "{error}");
    write(&sandbox.path("other.db"), &[b'x'; 4096]);
    let error = sandbox.run(&["--db", "other.db", "status"]).code(1).stderr;
    assert!(error.contains("not an imgidx database"), "{error}");
    for text in [error, sandbox.run(&["model", "use", "nope"]).code(1).stderr] {
        assert!(!text.trim_end().ends_with('.') && !text.contains("Error {"), "{text}");
    }
}

#[test]
fn a_picture_from_standard_input_is_a_query() {
    let sandbox = indexed();
    let mut child = sandbox
        .program()
        .args(["similar", "-", "-k", "1", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("it is piped").write_all(&png(1)).expect("it reads");
    let finished = Finished::new(&["similar", "-"], child.wait_with_output().expect("it ends")).code(0);
    let answer = finished.json();
    assert_eq!(answer["query"]["path"], "-");
    assert_eq!(answer["query"]["indexed"], true, "it has the content of a.png");
    assert_eq!(answer["hits"].as_array().map(Vec::len), Some(1));
    assert_ne!(answer["hits"][0]["image"], answer["query"]["image"]);
}

#[test]
fn several_pictures_and_their_opposites_make_one_query() {
    let sandbox = indexed();
    let found = sandbox.run(&["similar", "photos/a.png", "photos/b.png", "--paths"]).code(0);
    assert_eq!(found.lines(), [sandbox.photo("sub/c.png").to_str().expect("UTF-8")]);
    sandbox.run(&["similar", "photos/a.png", "--minus", "photos/b.png"]).code(0);
    let error = sandbox.run(&["similar", "photos/a.png", "--minus", "photos/a.png"]).code(1).stderr;
    assert!(error.contains("cancel each other out"), "{error}");
    let nul = sandbox.run(&["similar", "photos/a.png", "-0"]).code(0).stdout;
    assert_eq!(nul.split('\0').count(), 3, "{nul:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let sandbox = Sandbox::new();
    for seed in 0..40 {
        sandbox.draw(&format!("{seed}-{}.png", "x".repeat(150)), seed);
    }
    sandbox.run(&["add", "photos"]).code(0);
    for arguments in [&["list"][..], &["export"], &["export", "--format", "csv"], &["list", "--json"]] {
        let mut child = sandbox
            .program()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        drop(child.stdout.take());
        let status = child.wait().expect("it ends");
        let mut stderr = String::new();
        child.stderr.take().expect("it is piped").read_to_string(&mut stderr).expect("text");
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn the_contact_sheet_is_complete_in_itself() {
    let sandbox = indexed();
    let hostile = "<b onclick='x'>&\".png";
    sandbox.draw(hostile, 9);
    sandbox.run(&["add", "photos"]).code(0);
    std::fs::remove_file(sandbox.photo("b.png")).expect("it is there");
    sandbox.run(&["similar", "photos/a.png", "--html", "sheet.html"]).code(0);
    let page = std::fs::read_to_string(sandbox.path("sheet.html")).expect("the sheet");
    assert_eq!(page.matches("src=\"data:image/jpeg;base64,").count(), 3, "query and two hits");
    assert_eq!(page.matches("No such file").count(), 1, "a deleted picture is reported");
    assert!(page.contains("&lt;b onclick=&#39;x&#39;&gt;&amp;&quot;.png") && !page.contains("<b onclick"));
    assert!(!page.contains("http://") && !page.contains("https://"), "the page loads nothing from the network");
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let sandbox = indexed();
    sandbox.draw("new.png", 5);
    sandbox.draw("a.png", 6);
    std::fs::remove_file(sandbox.photo("b.png")).expect("it is there");
    let planned = sandbox.run(&["add", "photos", "--dry-run"]).code(0);
    let photos = sandbox.photos();
    let expected = [("changed", "a.png"), ("new", "new.png"), ("missing", "b.png")]
        .map(|(what, name)| format!("{what}\t{}", photos.join(name).display()));
    for line in &expected {
        assert!(planned.lines().contains(&line.as_str()), "{line} is not in: {}", planned.stdout);
    }
    assert_eq!(sandbox.run(&["list"]).lines().len(), 3, "nothing was done");
    let fresh = Sandbox::new();
    fresh.draw("x.png", 1);
    assert!(fresh.run(&["add", "photos", "-n"]).code(0).stdout.starts_with("new\t"));
    fresh.run(&["status"]).code(1);
}

#[test]
fn pruning_and_forgetting_tell_how_many_first() {
    let sandbox = indexed();
    std::fs::remove_file(sandbox.photo("a.png")).expect("it is there");
    sandbox.run(&["add", "photos"]).code(0);
    let planned = sandbox.run(&["prune", "--dry-run"]).code(0);
    assert_eq!(planned.stdout, "would remove 1 missing file and the data of 1 picture from the index\n");
    let pruned = sandbox.run(&["prune"]).code(0);
    assert!(pruned.stderr.contains("1 missing file"), "{}", pruned.stderr);
    assert_eq!(pruned.stdout, "removed 1 missing file and the data of 1 picture from the index\n");
    let planned = sandbox.run(&["forget", "photos", "--dry-run"]).code(0);
    assert!(planned.stdout.ends_with("/photos` (2 pictures) from the index\n"), "{}", planned.stdout);
    let forgotten = sandbox.run(&["forget", "photos", "--yes"]).code(0);
    assert!(forgotten.stdout.ends_with("/photos` (2 pictures) from the index\n"), "{}", forgotten.stdout);
    assert_eq!(sandbox.run(&["list"]).code(0).stdout, "");
    assert!(sandbox.photo("b.png").is_file(), "no picture is touched");
}

#[test]
fn vectors_are_exported_for_numpy() {
    let sandbox = indexed();
    sandbox.run(&["export", "--format", "npy", "--out", "vectors"]).code(0);
    let bytes = std::fs::read(sandbox.path("vectors/vectors.npy")).expect("the array");
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let header = String::from_utf8_lossy(&bytes[10..128]).into_owned();
    assert!(header.contains("'<f4'") && header.contains("(3, 1280)"), "{header}");
    assert_eq!(bytes.len(), 128 + 3 * 1280 * 4);
    for row in bytes[128..].chunks_exact(1280 * 4) {
        let squares: f32 =
            row.chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().expect("four bytes")).powi(2)).sum();
        assert!((squares - 1.0).abs() < 1e-3, "{squares}");
    }
    let paths = std::fs::read_to_string(sandbox.path("vectors/paths.txt")).expect("the paths");
    assert_eq!(paths.lines().count(), 3);
    assert!(sandbox.run(&["export", "--format", "csv"]).code(0).stdout.starts_with("path,image,"));
}

#[test]
fn completions_and_manual_are_printed() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(sandbox.run(&["completions", shell]).code(0).stdout.contains("imgidx"), "{shell}");
    }
    assert!(sandbox.run(&["man"]).code(0).stdout.contains(".TH imgidx"));
    sandbox.run(&["man", "--out", "man"]).code(0);
    assert!(sandbox.path("man/imgidx-similar.1").is_file());
}

#[cfg(unix)]
#[test]
fn a_name_that_is_not_utf8_goes_in_and_out_byte_for_byte() {
    use std::os::unix::ffi::OsStrExt;
    let sandbox = Sandbox::new();
    let name = std::ffi::OsStr::from_bytes(b"caf\xE9.png");
    write(&sandbox.photo(name), &png(1));
    sandbox.draw("b.png", 2);
    sandbox.run(&["add", "photos"]).code(0);
    let output = sandbox.program().args(["similar", "photos/b.png", "--paths"]).output().expect("it runs");
    assert!(output.stdout.ends_with(b"/caf\xE9.png\n"), "{:?}", output.stdout);
    let hit = &sandbox.run(&["similar", "photos/b.png", "--json"]).code(0).json()["hits"][0];
    assert!(hit["path"].as_str().is_some_and(|path| path.ends_with("caf\\xE9.png")), "{hit}");
    let bytes: Vec<u64> =
        hit["path_bytes"].as_array().expect("bytes").iter().filter_map(serde_json::Value::as_u64).collect();
    assert!(bytes.ends_with(&[0xE9, 0x2E, 0x70, 0x6E, 0x67]), "{bytes:?}");
    std::fs::rename(sandbox.photo(name), sandbox.photo("plain.png")).expect("it can be renamed");
    assert!(sandbox.run(&["add", "photos"]).code(0).stdout.contains("1 moved"));
}

/// A process that has begun to add 256 pictures on one thread. It may also have ended by now.
pub fn add_at_work(sandbox: &Sandbox) -> std::process::Child {
    for seed in 0..=255 {
        sandbox.draw(&format!("{seed}.png"), seed);
    }
    let mut program = sandbox.program();
    program.args(["add", "photos", "--threads", "1"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = program.spawn().expect("the program starts");
    // The first commit shows that the work has begun.
    while sandbox.run(&["list"]).stdout.is_empty() {
        std::thread::yield_now();
    }
    child
}

#[test]
fn an_interrupt_finishes_what_is_in_hand() {
    let sandbox = Sandbox::new();
    let child = add_at_work(&sandbox);
    let id = child.id().to_string();
    std::process::Command::new("kill").args(["-INT", &id]).status().expect("`kill` can be run");
    let finished = Finished::new(&["add"], child.wait_with_output().expect("it ends"));
    let last = finished.lines().pop().expect("it reports").to_owned();
    assert!(last.contains("new") && last.contains("0 missing"), "{last}");
    if finished.code != 0 {
        assert_eq!(finished.code, 1);
        assert!(finished.stderr.contains("interrupted"), "{}", finished.stderr);
    }
    let next = sandbox.run(&["add", "photos", "--json"]).code(0).json();
    assert_eq!(next["failed"], 0);
    assert_eq!(sandbox.run(&["list"]).lines().len(), 256);
    sandbox.run(&["check"]).code(0);
}
