//! Wrong usage, options and their values, hints, and files that commands write.

use crate::common::{Finished, Sandbox, png, write};

fn indexed() -> Sandbox {
    let sandbox = Sandbox::new();
    for (name, seed) in [("a.png", 1), ("b.png", 2), ("sub/c.png", 3)] {
        sandbox.draw(name, seed);
    }
    sandbox.run(&["add", "photos"]).code(0);
    sandbox
}

#[cfg(unix)]
#[test]
fn a_line_break_in_a_path_does_not_end_an_export_half_way() {
    let sandbox = Sandbox::new();
    for (name, seed) in [("a.png", 1), ("b\nb.png", 2), ("c\\nc.png", 3)] {
        sandbox.draw(name, seed);
    }
    sandbox.run(&["add", "photos"]).code(0);
    write(&sandbox.path("vectors/notes.txt"), b"mine");
    sandbox.run(&["export", "--format", "npy", "--out", "vectors"]).code(0);
    let base = sandbox.photos().display().to_string();
    let text = std::fs::read_to_string(sandbox.path("vectors/paths.txt")).expect("the paths");
    let expected = [format!("{base}/a.png"), format!("{base}/b\\nb.png"), format!("{base}/c\\\\nc.png")];
    let mut lines: Vec<&str> = text.lines().collect();
    // Both files are in the order of the vectors, which is that of the work.
    let json = std::fs::read_to_string(sandbox.path("vectors/paths.jsonl")).expect("the paths as documents");
    let escaped: Vec<String> = json
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a document"))
        .map(|line| line["path"].as_str().expect("a path").replace('\\', "\\\\").replace('\n', "\\n"))
        .collect();
    assert_eq!(lines, escaped);
    lines.sort_unstable();
    assert_eq!(lines, expected);
    let mut names: Vec<_> =
        std::fs::read_dir(sandbox.path("vectors")).expect("it is there").flatten().map(|it| it.file_name()).collect();
    names.sort();
    assert_eq!(names, ["notes.txt", "paths.jsonl", "paths.txt", "vectors.npy"], "nothing temporary is left");
}

#[cfg(unix)]
#[test]
fn an_export_that_fails_leaves_the_older_one_as_it_was() {
    let sandbox = indexed();
    sandbox.run(&["export", "--format", "npy", "--out", "vectors"]).code(0);
    let read = |name: &str| std::fs::read(sandbox.path("vectors").join(name)).expect("it was written");
    let before = ["vectors.npy", "paths.txt", "paths.jsonl"].map(read);
    sandbox.draw("new.png", 9);
    sandbox.run(&["add", "photos"]).code(0);
    // The array does not fit into the limit on the size of files, which is in blocks of 512 bytes.
    let program = sandbox.program();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -f 16; \"$PROGRAM\" export --format npy --out vectors"]);
    command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("PROGRAM", program.get_program()).current_dir(sandbox.path(""));
    let finished = Finished::new(&["export"], command.output().expect("`sh` can be run")).code(1);
    assert!(finished.stderr.contains("cannot write to `vectors`"), "{}", finished.stderr);
    assert_eq!(before, ["vectors.npy", "paths.txt", "paths.jsonl"].map(read));
}

#[test]
fn options_that_do_not_apply_are_refused_and_not_ignored() {
    let sandbox = indexed();
    for arguments in [
        &["export", "--format", "csv", "--vector"][..],
        &["show", "photos/a.png", "--vector"],
        &["list", "--overwrite"],
    ] {
        sandbox.run(arguments).code(2);
    }
    for arguments in [&["similar", "photos/a.png", "-k", "0"][..], &["similar", "photos/a.png", "-k", "-1"]] {
        let error = sandbox.run(arguments).code(2).stderr;
        assert!(error.contains("is not a whole number of at least 1"), "{error}");
    }
    sandbox.run(&["search", "a", "-k", "0"]).code(2);
}

#[test]
fn values_are_accepted_in_capitals() {
    let sandbox = indexed();
    assert_eq!(sandbox.run(&["list", "--format", "PNG"]).code(0).lines().len(), 3);
    for arguments in
        [&["list", "--type", "Photo"][..], &["list", "--orientation", "Square"], &["dupes", "--tier", "Near"]]
    {
        sandbox.run(arguments).code(0);
    }
    let error = sandbox.run(&["list", "--type", "foto"]).code(2).stderr;
    assert!(error.contains("'foto'") && error.contains("photo, gradient"), "{error}");
    for option in ["--min-width", "--max-height"] {
        let error = sandbox.run(&["list", option, "big"]).code(2).stderr;
        assert!(error.contains("`big` is not a whole number of pixels"), "{error}");
    }
    let error = sandbox.run(&["list", "--after", "2023-02-30"]).code(2).stderr;
    assert!(error.contains("there is no such date"), "{error}");
}

#[test]
fn a_folder_that_is_not_indexed_is_named_when_a_filter_asks_for_it() {
    let sandbox = indexed();
    std::fs::create_dir(sandbox.path("empty")).expect("a folder");
    for arguments in [
        &["list", "--under", "nowhere"][..],
        &["similar", "photos/a.png", "--under", "nowhere"],
        &["search", "a", "--under", "nowhere"],
        &["list", "--under", "nowhere", "--under", "photos"],
    ] {
        let said = sandbox.run(arguments).code(0).stderr;
        assert!(said.contains("note: nothing below `nowhere` is indexed"), "{arguments:?}: {said}");
    }
    assert_eq!(sandbox.run(&["list", "--under", "photos/sub"]).code(0).stderr, "");
    assert!(sandbox.run(&["list", "--under", "empty"]).code(0).stderr.contains("`empty`"));
}

#[test]
fn a_contact_sheet_replaces_only_what_imgidx_made() {
    let sandbox = indexed();
    let sheet = |file: &str, more: &[&str]| sandbox.run(&[&["similar", "photos/a.png", "--html", file], more].concat());
    sheet("sheet.html", &[]).code(0);
    sheet("sheet.html", &[]).code(0);
    write(&sandbox.path("mine.html"), b"<p>mine</p>");
    let error = sheet("mine.html", &[]).code(1).stderr;
    assert!(error.contains("was not made by imgidx") && error.contains("hint: replace it with --overwrite"), "{error}");
    assert_eq!(std::fs::read(sandbox.path("mine.html")).expect("it is there"), b"<p>mine</p>");
    sheet("mine.html", &["--overwrite"]).code(0);
    let error = sheet("photos/b.png", &["--overwrite"]).code(1).stderr;
    assert!(error.contains("pictures are never replaced") && !error.contains("-o"), "{error}");
    let error = sheet("-", &[]).code(2).stderr;
    assert!(error.contains("cannot be written to standard output") && !sandbox.path("-").exists(), "{error}");
    assert!(sandbox.run(&["dupes", "--html", "-"]).code(2).stderr.contains("cannot be written to standard output"));
}

#[test]
fn wrong_usage_is_a_document_with_json() {
    let sandbox = indexed();
    for arguments in [
        &["--json", "add"][..],
        &["--json", "nosuch"],
        &["list", "--json", "--after", "2023-02-30"],
        &["list", "--nosuch", "--json"],
        &["--json"],
        &["export", "--format", "csv", "--vector", "--json"],
    ] {
        let error = sandbox.run(arguments).code(2).stderr;
        let document: serde_json::Value =
            serde_json::from_str(&error).unwrap_or_else(|_| panic!("{arguments:?}: {error}"));
        assert_eq!(document["error"]["kind"], "usage", "{arguments:?}: {error}");
        assert!(document["error"]["message"].as_str().is_some_and(|text| !text.contains('\n')), "{error}");
    }
    assert!(sandbox.run(&["--json", "--help"]).code(0).stdout.contains("Usage:"), "help is not an error");
    let text = sandbox.run(&["list", "--", "--json"]).code(2).stderr;
    assert!(text.starts_with("error: "), "what follows `--` is no option: {text}");
}

#[test]
fn skipped_files_are_listed_with_the_reason() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    write(&sandbox.photo("notes.txt"), b"hello");
    write(&sandbox.path("other/b.png"), &png(2));
    sandbox.run(&["add", "photos"]).code(0);
    let notes = sandbox.photo("notes.txt").display().to_string();
    assert_eq!(sandbox.run(&["failures"]).code(0).stdout, "");
    assert_eq!(sandbox.run(&["failures", "--skipped"]).code(0).stdout, format!("read\t{notes}\tnot a picture\n"));
    assert_eq!(sandbox.run(&["failures", "--skipped", "-0"]).code(0).stdout, format!("{notes}\0"));
    let document = sandbox.run(&["failures", "--skipped", "--json"]).code(0).json();
    let file = &document["failures"][0];
    assert_eq!((&file["path"], &file["reason"]), (&notes.into(), &"not a picture".into()), "{document}");
    assert!(file["at"].as_str().is_some_and(|at| at.ends_with('Z') && at.starts_with("20")), "{document}");
    let added = sandbox.run(&["add", "-v", "photos"]).code(0).stderr;
    assert!(added.contains("1 file skipped: not a picture"), "{added}");
    let added = sandbox.run(&["add", "-v", "other"]).code(0).stderr;
    assert!(!added.contains("skipped"), "only those of this run: {added}");
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_not_being_written() {
    let sandbox = indexed();
    std::os::unix::fs::symlink("nowhere.jpg", sandbox.path("broken.jpg")).expect("a link");
    let error = sandbox.run(&["similar", "broken.jpg"]).code(1).stderr;
    assert!(error.contains("it is a link to `nowhere.jpg`, which does not exist"), "{error}");
    let error = sandbox.run(&["add", "broken.jpg"]).code(1).stderr;
    assert!(error.contains("`broken.jpg` is a link to a file that does not exist"), "{error}");
}

#[test]
fn hints_fit_the_command() {
    let sandbox = indexed();
    write(&sandbox.path("notes.txt"), b"hello");
    let error = sandbox.run(&["backup", "notes.txt"]).code(1).stderr;
    assert!(error.contains("is not a backup of an index") && !error.contains("--db"), "{error}");
    let error = sandbox.run(&["--runtime", "/nowhere.so", "runtime"]).code(1).stderr;
    assert!(error.contains("leave out --runtime") && !error.contains("--offline"), "{error}");
    let error = sandbox.run(&["model", "add", "./nothere"]).code(1).stderr;
    assert!(error.contains("cannot read the directory `./nothere`: No such file"), "{error}");
}

#[test]
fn nothing_is_said_about_the_speed_of_a_run_that_embedded_nothing() {
    let sandbox = indexed();
    let added = sandbox.run(&["add", "photos"]).code(0).stdout;
    assert!(added.contains("3 unchanged") && !added.contains("images/s"), "{added}");
    let status = sandbox.run(&["status"]).code(0).stdout;
    assert!(status.contains("index     3 vectors\n"), "nothing is left to do: {status}");
    sandbox.run(&["trace", "photos/a.png", "--force", "-o", "a.svg", "--tier", "fast"]).code(0);
    assert!(sandbox.run(&["status"]).code(0).stdout.contains("traces    1\n"));
    assert_eq!(sandbox.run(&["status", "--json"]).code(0).json()["traces"], 1);
}

#[cfg(unix)]
#[test]
fn a_second_interrupt_ends_the_program_without_a_word() {
    let sandbox = Sandbox::new();
    let child = crate::commands::add_at_work(&sandbox);
    let id = child.id().to_string();
    for _ in 0..2 {
        std::process::Command::new("kill").args(["-INT", &id]).status().expect("`kill` can be run");
    }
    let finished = Finished::new(&["add"], child.wait_with_output().expect("it ends"));
    let said: Vec<&str> = finished.stderr.lines().filter(|line| !line.is_empty()).collect();
    let expected =
        |line: &&&str| line.starts_with("finishing the work in progress") || line.starts_with("error: interrupted");
    assert_eq!(said.iter().filter(expected).count(), said.len(), "{}", finished.stderr);
}

#[test]
fn an_empty_environment_variable_counts_as_not_set() {
    let sandbox = indexed();
    for (argument, expected) in [("list", "/a.png\n"), ("--help", "IMGIDX_DB")] {
        let mut program = sandbox.program();
        program.arg(argument).env("IMGIDX_DB", "").env("ORT_DYLIB_PATH", "").env("IMGIDX_OFFLINE", "");
        let finished = Finished::new(&[argument], program.output().expect("the program starts")).code(0);
        assert!(finished.stdout.contains(expected), "{argument}: {}", finished.stdout);
    }
}

#[test]
fn without_a_command_the_help_is_printed_whatever_variables_are_set() {
    let sandbox = Sandbox::new();
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut program = sandbox.program();
        program.args(arguments).env_remove("ORT_DYLIB_PATH").envs(variables.iter().copied());
        Finished::new(arguments, program.output().expect("the program starts")).code(2)
    };
    let variables = [("IMGIDX_DB", "photos.db"), ("ORT_DYLIB_PATH", "runtime.so"), ("IMGIDX_OFFLINE", "1")];
    for arguments in [&[] as &[&str], &["model"]] {
        let (plain, set) = (run(arguments, &[]), run(arguments, &variables));
        assert!(plain.stderr.contains("Usage: imgidx"), "{}", plain.stderr);
        assert_eq!((set.stdout, set.stderr), (plain.stdout, plain.stderr), "{arguments:?}");
    }
    let error = run(&["--quiet"], &variables).stderr;
    assert_eq!(error, "error: a command is missing\nhint: --help lists the commands\n");
}

#[test]
fn a_path_that_does_not_exist_leaves_no_index_behind() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    for command in ["add", "watch", "trace"] {
        let error = sandbox.run(&["--db", "new/photos.db", command, "photos", "nowhere"]).code(1).stderr;
        assert!(error.contains("cannot find `nowhere`"), "{command}: {error}");
        assert!(!sandbox.path("new").exists(), "{command}");
    }
    sandbox.run_on_index(&["add", "photos"]).code(0);
    sandbox.run_on_index(&["add", "nowhere"]).code(1);
    assert_eq!(sandbox.run_on_index(&["list"]).code(0).lines().len(), 1, "an existing index stays");
}

#[test]
fn a_list_without_entries_is_not_silent() {
    let sandbox = indexed();
    for (arguments, note) in [
        (&["list", "--format", "jpeg"][..], "note: no indexed file passes the filters\n"),
        (&["failures"][..], "note: there are no failures\n"),
        (&["failures", "--skipped"][..], "note: no files were skipped\n"),
    ] {
        let said = sandbox.run(arguments).code(0);
        assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", note), "{arguments:?}");
        for option in ["--quiet", "--json"] {
            assert_eq!(sandbox.run(&[arguments, &[option]].concat()).code(0).stderr, "", "{arguments:?} {option}");
        }
    }
    sandbox.run(&["forget", "photos", "--yes"]).code(0);
    assert_eq!(sandbox.run(&["list"]).code(0).stderr, "note: nothing is indexed\n");
}

#[test]
fn a_skipped_file_that_was_named_is_reported_with_the_reason() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    write(&sandbox.photo("notes.txt"), b"hello");
    write(&sandbox.photo("other.txt"), b"world");
    for _ in 0..2 {
        let said = sandbox.run(&["add", "photos/notes.txt", "photos/a.png"]).code(0);
        assert_eq!(said.stderr, "note: `photos/notes.txt` was skipped: not a picture\n");
        assert!(said.stdout.contains("1 skipped"), "{}", said.stdout);
    }
    let said = sandbox.run(&["add", "photos"]).code(0);
    assert!(said.stdout.contains("2 skipped") && said.stderr.is_empty(), "{}{}", said.stdout, said.stderr);
    assert_eq!(sandbox.run(&["add", "--quiet", "photos/notes.txt"]).code(0).stderr, "");
}

#[test]
fn an_empty_input_is_called_empty() {
    let sandbox = indexed();
    let mut program = sandbox.program();
    program.args(["similar", "-"]).stdin(std::process::Stdio::null());
    let finished = Finished::new(&["similar", "-"], program.output().expect("the program starts")).code(1);
    assert_eq!(finished.stderr, "error: cannot use `-`: standard input is empty\n");
}

#[test]
fn a_picture_that_is_given_twice_has_one_note() {
    let sandbox = indexed();
    let said = sandbox.run(&["similar", "photos/a.png", "photos/a.png", "--minus", "photos/a.png"]).code(0).stderr;
    assert_eq!(said, format!("note: already indexed: {}\n", sandbox.photo("a.png").display()));
}
