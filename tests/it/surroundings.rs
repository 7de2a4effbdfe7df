//! The environment of the program: untrusted folders, links in the place of files, read-only media, and limits of the
//! system.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

use crate::common::{Finished, Sandbox, runtime, write};

/// Runs a shell command in the folder of a sandbox; `$P` is the program with its index.
fn shell(sandbox: &Sandbox, script: &str) -> Finished {
    let mut program = sandbox.program();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("P=\"$PROGRAM --db photos.db\"; {script}")]).env_clear();
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("PROGRAM", program.get_program()).current_dir(sandbox.path(""));
    program.current_dir(".");
    Finished::new(&["sh"], command.output().expect("a shell can be run"))
}

#[test]
fn nothing_in_the_working_directory_is_run() {
    let sandbox = Sandbox::new();
    let evil = "open(__import__('os').environ['MARKER'], 'w').write('run')\n";
    for name in
        ["onnxruntime/__init__.py", "pip/__init__.py", "pip/__main__.py", "contextlib.py", "warnings.py", "runpy.py"]
    {
        write(&sandbox.photo(name), evil.as_bytes());
    }
    let library = sandbox.photo("onnxruntime/capi").join(runtime().file_name().expect("it has a name"));
    write(&library, b"no library");
    for arguments in [["runtime", "--offline"], ["runtime", "install"]] {
        let mut command = sandbox.program();
        command.env_remove("ORT_DYLIB_PATH").env("MARKER", sandbox.path("marker")).current_dir(sandbox.photos());
        // Nothing can be fetched from this URL, and an empty entry in PYTHONPATH is the working directory.
        command.env("PIP_INDEX_URL", "http://127.0.0.1:1").env("PIP_RETRIES", "0").env("PYTHONPATH", ":/nowhere");
        command.env("PIP_CONFIG_FILE", "/dev/null");
        let finished = Finished::new(&arguments, command.args(arguments).output().expect("the program starts"));
        assert!(
            !sandbox.path("marker").exists(),
            "{arguments:?} ran code of the working directory: {}",
            finished.stderr
        );
        assert!(!finished.stderr.contains(library.to_str().expect("UTF-8")), "{arguments:?}: {}", finished.stderr);
    }
}

#[test]
fn the_runtime_leaves_nothing_behind_that_it_could_send() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    let mut command = sandbox.program();
    fs::create_dir(sandbox.path("temporary")).expect("a folder");
    command.env("TMPDIR", sandbox.path("temporary")).args(["add", "photos"]);
    Finished::new(&["add"], command.output().expect("the program starts")).code(0);
    let files = |name: &str| -> Vec<_> {
        fs::read_dir(sandbox.path(name)).expect("a folder").flatten().map(|e| e.file_name()).collect()
    };
    assert_eq!(files("home"), [".local"]);
    assert_eq!(files("temporary"), [""; 0]);
}

#[test]
fn links_beside_the_database_are_refused_and_what_they_lead_to_stays() {
    for suffix in ["-lock", "-inflight", "-ann"] {
        let sandbox = Sandbox::new();
        sandbox.draw("a.png", 1);
        sandbox.add();
        let beside = sandbox.path(format!("photos.db{suffix}"));
        let _ = fs::remove_file(&beside).or_else(|_| fs::remove_dir_all(&beside));
        let precious = sandbox.path("precious");
        if suffix == "-ann" {
            write(&precious.join("mine.codes"), b"precious");
        } else {
            write(&precious, b"precious");
        }
        symlink(&precious, &beside).expect("a link");
        sandbox.draw("b.png", 2);
        let added = sandbox.run_on_index(&["add", "photos"]);
        if suffix == "-lock" {
            assert!(added.code == 1 && added.stderr.contains("it is a symbolic link"), "{}", added.stderr);
        } else {
            assert_eq!(added.code, 0, "{}", added.stderr);
        }
        sandbox.run_on_index(&["similar", "photos/a.png"]).code(0);
        let kept = if suffix == "-ann" { precious.join("mine.codes") } else { precious.clone() };
        assert_eq!(fs::read(kept).expect("it is there"), b"precious", "{suffix}");
        if precious.is_dir() {
            assert_eq!(fs::read_dir(&precious).expect("a folder").count(), 1, "a file was created behind the link");
        }
    }
}

#[test]
fn a_link_to_the_database_is_the_database() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.add();
    symlink("photos.db", sandbox.path("link.db")).expect("a link");
    let writer = imgidx::store::Writer::open(&sandbox.path("link.db")).expect("no other process is writing");
    assert!(matches!(imgidx::store::Writer::try_open(&sandbox.database()), Ok(None)), "the link has another lock");
    drop(writer);
    sandbox.run(&["--db", "link.db", "add", "photos"]).code(0);
    let names = fs::read_dir(sandbox.path("")).expect("a folder").flatten().map(|entry| entry.file_name());
    assert_eq!(
        names.filter(|name| name.to_string_lossy().starts_with("link.db")).count(),
        1,
        "the link has files of its own"
    );
}

#[test]
fn what_is_no_file_is_neither_a_database_nor_a_picture() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.add();
    assert!(Command::new("mkfifo").arg(sandbox.path("pipe")).status().expect("`mkfifo` can be run").success());
    for database in ["pipe", "photos"] {
        for command in [["list", "-q"], ["add", "photos"]] {
            let refused = sandbox.run(&[&["--db", database], &command[..]].concat()).code(1);
            assert!(refused.stderr.contains("is not an imgidx database: it is "), "{}", refused.stderr);
        }
        assert!(!sandbox.path(format!("{database}-lock")).exists());
    }
    let refused = sandbox.run_on_index(&["similar", "pipe"]).code(1);
    assert!(refused.stderr.contains("`pipe`") && refused.stderr.contains("regular file"), "{}", refused.stderr);
}

#[test]
fn an_index_is_for_its_owner() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    shell(&sandbox, "umask 022; $P add photos").code(0);
    for entry in fs::read_dir(sandbox.path("")).expect("a folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let mode = entry.metadata().expect("it is there").permissions().mode() & 0o777;
        assert!(!name.starts_with("photos.db") || mode & 0o077 == 0, "{name} has the mode {mode:o}");
    }
}

#[test]
fn an_index_on_read_only_media_answers() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.draw("b.png", 2);
    sandbox.add();
    let script = r#"
        mkdir media; mount -t tmpfs none media; cp photos.db media; mount -o remount,ro none media
        M="$PROGRAM --db media/photos.db"
        $M list; $M similar photos/a.png; $M status > /dev/null; $M search --type photo > /dev/null
        $M check
        if $M add photos 2> refused; then exit 7; fi
        cat refused >&2
    "#;
    let Some(finished) = sandbox.in_namespace(script) else { return };
    assert_eq!(finished.lines().len(), 4, "{}", finished.stdout);
    assert!(finished.stderr.contains("cannot open the lock file"), "{}", finished.stderr);
    // Now with a write-ahead log beside it that cannot be read.
    let script = r#"
        mkdir again; mount -t tmpfs none again; cp photos.db again; echo "a log" > again/photos.db-wal
        mount -o remount,ro none again
        if $PROGRAM --db again/photos.db list 2> refused; then exit 7; fi
        cat refused >&2
    "#;
    let finished = sandbox.in_namespace(script).expect("namespaces are allowed, as above");
    assert!(finished.stderr.contains("its write-ahead log must be read too"), "{}", finished.stderr);
}

#[test]
fn a_limit_on_the_size_of_files_is_like_a_full_disk() {
    let sandbox = Sandbox::new();
    for seed in 0..60 {
        sandbox.draw(&format!("{seed}.png"), seed);
    }
    // In blocks of 512 bytes: enough for the tables, but not for the vectors.
    let ended = shell(&sandbox, "ulimit -f 600; $P add photos");
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains("photos.db"), "{}", ended.stderr);
    let finished = sandbox.run_on_index(&["add", "photos"]).code(0);
    assert!(finished.stdout.contains(" 0 failed"), "{}", finished.stdout);
    sandbox.run_on_index(&["check"]).code(0);
    assert_eq!(sandbox.run_on_index(&["list"]).lines().len(), 60);
}

#[test]
fn too_few_open_files_are_not_the_pictures_fault() {
    let sandbox = Sandbox::new();
    for seed in 0..40 {
        sandbox.draw(&format!("{seed}.png"), seed);
    }
    let mut ended_early = 0;
    for limit in [10, 14, 18, 22, 30] {
        let added = shell(&sandbox, &format!("ulimit -n {limit}; $P add photos"));
        assert!(added.code == 0 || added.code == 1, "{limit}: {} {}", added.stdout, added.stderr);
        ended_early += added.code;
    }
    assert!(ended_early > 0, "none of the limits was reached");
    sandbox.run_on_index(&["add", "photos"]).code(0);
    assert_eq!(sandbox.run_on_index(&["list"]).lines().len(), 40);
    assert_eq!(sandbox.run_on_index(&["failures"]).stdout, "");
}

#[test]
fn what_was_tuned_is_not_believed_blindly() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.run_on_index(&["tune", "photos"]).code(0);
    let file = sandbox.path("home/.local/share/imgidx/tuning.json");
    let tuned = fs::read_to_string(&file).expect("the settings are saved");
    for (field, value) in
        [("workers", "0"), ("workers", "9223372036854775808"), ("model_threads", "100000"), ("batch_size", "0")]
    {
        let at = tuned.rfind(&format!("\"{field}\":")).expect("the file has the field") + field.len() + 3;
        let end = at + tuned[at..].find([',', '\n', '}']).expect("it ends");
        write(&file, [&tuned[..at], value, &tuned[end..]].concat().as_bytes());
        let database = format!("{field}{value}.db");
        let added = sandbox.run(&["--db", &database, "add", "photos"]).code(0);
        assert!(added.stdout.starts_with("1 new"), "{field} {value}: {}", added.stdout);
    }
}

#[test]
fn what_cannot_be_written_to_is_an_error_and_not_a_panic() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.add();
    for script in ["$P list > /dev/full", "$P status --json > /dev/full", "$P export > /dev/full"] {
        let full = shell(&sandbox, script).code(1);
        assert!(full.stderr.contains("standard output"), "{}", full.stderr);
    }
    shell(&sandbox, "$P list >&- 2>&- <&-");
    let mut command = sandbox.program();
    command.args(["--db", "photos.db", "list"]).stdout(Stdio::null()).env_remove("HOME");
    assert!(command.status().expect("it starts").success(), "a database that is named needs no home directory");
}

#[test]
fn pages_and_profiles_never_replace_a_picture() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    let drawing =
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"><rect width=\"9\" height=\"9\"/></svg>";
    write(&sandbox.photo("b.svg"), drawing.as_bytes());
    sandbox.add();
    let before = ["a.png", "b.svg"].map(|name| fs::read(sandbox.photo(name)).expect("it is there"));
    for target in ["photos/a.png", "photos/b.svg"] {
        for command in [
            &["similar", "photos/a.png", "--html"] as &[&str],
            &["dupes", "--html"],
            &["search", "photos", "--html"],
            &["add", "photos", "--profile"],
        ] {
            let output = sandbox.run_on_index(&[command, &[target]].concat()).code(1);
            assert!(output.stderr.contains("pictures are never replaced"), "{command:?}: {}", output.stderr);
        }
    }
    assert_eq!(["a.png", "b.svg"].map(|name| fs::read(sandbox.photo(name)).expect("it is there")), before);
}
