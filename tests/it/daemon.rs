//! The socket of the daemon, and the commands that use it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use imgidx::daemon::VERSION;
use serde_json::{Value, json};

use crate::common::{Daemon, Sandbox, png, write};

fn socket(sandbox: &Sandbox) -> PathBuf {
    let mut sockets = fs::read_dir(sandbox.path("run/imgidx")).expect("the daemon has created it");
    sockets.next().expect("the daemon has created it").expect("it can be read").path()
}

/// A client that sends bytes as they are, valid requests or not.
struct Raw(BufReader<UnixStream>);

impl Raw {
    fn connect(sandbox: &Sandbox) -> Self {
        let stream = UnixStream::connect(socket(sandbox)).expect("the daemon listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("the stream is open");
        Self(BufReader::new(stream))
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("the daemon reads");
    }

    fn receive(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn ask(&mut self, request: &Value) -> Value {
        self.send(format!("{request}\n").as_bytes());
        self.receive()
    }
}

fn filled(count: u8) -> Sandbox {
    let sandbox = Sandbox::new();
    for seed in 0..count {
        sandbox.draw(&format!("{seed:03}.png"), seed);
    }
    sandbox
}

#[test]
fn the_socket_is_for_its_owner_only_and_goes_with_the_daemon() {
    let sandbox = filled(1);
    let daemon = Daemon::start(&sandbox, &["photos"]);
    let socket = socket(&sandbox);
    let mode = |path: PathBuf| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(socket.clone()), mode(sandbox.path("run/imgidx"))), (0o600, 0o700));
    daemon.stop();
    assert!(!socket.exists());
}

#[test]
fn commands_print_the_same_with_the_daemon_as_without() {
    let sandbox = filled(30);
    write(&sandbox.path("elsewhere.png"), &png(200));
    let daemon = Daemon::start(&sandbox, &["photos"]);
    daemon.sync();
    let mut commands: Vec<Vec<&str>> = vec![
        vec!["similar", "photos/003.png"],
        vec!["similar", "elsewhere.png", "-k", "4", "--json"],
        vec!["similar", "photos/001.png", "photos/002.png", "--minus", "photos/003.png", "--json"],
        vec!["similar", "photos/001.png", "--threshold", "0.9", "--paths"],
        vec!["similar", "photos/001.png", "--under", "photos", "--exact", "--format", "png"],
        vec!["similar", "photos/001.png", "--type", "photo", "--min-width", "10", "--with-color", "red"],
        vec!["similar", "no such picture.png"],
        vec!["similar", "photos.db"],
        vec!["search", "photos", "--json"],
        vec!["search", "017"],
        vec!["search", "--after", "2020", "--min-height", "40", "-k", "3"],
        vec!["search", "nothing of the kind"],
    ];
    for command in &mut commands {
        let by_daemon = sandbox.run_on_index(command);
        let directly = sandbox.run_on_index(&[&["--direct"], command.as_slice()].concat());
        assert_eq!((by_daemon.code, &by_daemon.stdout), (directly.code, &directly.stdout), "{command:?}");
        assert_eq!(by_daemon.stderr, directly.stderr, "{command:?}");
    }
    // The daemon did answer: it has loaded the model for the picture that is not indexed.
    assert_eq!(daemon.status()["model_loaded"], true);
}

#[test]
fn an_add_is_handed_over_and_what_it_adds_is_watched() {
    let sandbox = filled(3);
    sandbox.open();
    let daemon = Daemon::start(&sandbox, &[]);
    let added = sandbox.run_on_index(&["add", "photos", "--json"]).code(0).json();
    assert_eq!(
        (added["new"].as_u64(), added["embedded"].as_u64(), added["schema"].as_u64()),
        (Some(3), Some(3), Some(1))
    );
    assert_eq!(daemon.total("new"), 3, "the daemon did the work");
    sandbox.draw("more.png", 9);
    daemon.sync();
    assert_eq!(daemon.total("new"), 4);
    let refused = sandbox.run_on_index(&["add", "no such folder"]).code(1);
    assert!(refused.stderr.contains("cannot find `no such folder`"), "{}", refused.stderr);
    // The daemon has another model loaded, so the command does the work itself and the daemon makes way.
    sandbox.draw("again.png", 10);
    let own = sandbox.run_on_index(&["add", "photos", "--model", "efficientnet-lite0"]).code(0);
    assert!(own.stdout.contains("unchanged"), "{}", own.stdout);
    daemon.stop();
}

#[test]
fn the_daemon_makes_way_for_commands_that_write() {
    let sandbox = filled(150);
    let daemon = Daemon::start(&sandbox, &["photos"]);
    // Once while the daemon is working, and once after it has finished.
    sandbox.run_on_index(&["prune"]).code(0);
    sandbox.run_on_index(&["check", "--repair"]).code(0);
    daemon.sync();
    assert_eq!(sandbox.present("photos.db").len(), 150);
    fs::remove_file(sandbox.photo("000.png")).expect("it is there");
    daemon.sync();
    assert_eq!(
        sandbox.run_on_index(&["prune"]).code(0).stdout,
        "removed 1 missing file and the data of 1 picture from the index\n"
    );
    sandbox.run_on_index(&["dupes", "dismiss", "photos/001.png", "photos/002.png"]).code(0);
    sandbox.run_on_index(&["forget", "photos", "--yes"]).code(0);
    daemon.sync();
    assert_eq!(daemon.status()["roots"].as_array().map(Vec::len), Some(0), "a forgotten root is still watched");
    daemon.stop();
}

#[test]
fn a_paused_daemon_notes_what_happens_and_does_it_later() {
    let sandbox = filled(2);
    let mut daemon = Daemon::start(&sandbox, &["photos"]);
    daemon.sync();
    sandbox.run_on_index(&["daemon", "pause"]).code(0);
    sandbox.draw("new.png", 9);
    daemon.wait_for("it has noticed", |daemon| daemon.status()["waiting"] == 1);
    assert_eq!(daemon.status()["activity"], "paused");
    assert_eq!(
        sandbox.run_on_index(&["similar", "photos/new.png"]).code(0).lines().len(),
        2,
        "a paused daemon answers queries"
    );
    // A paused daemon refuses what would have to wait for it; `add` then does the work itself.
    let refused = sandbox.run_on_index(&["daemon", "sync"]).code(1);
    assert!(refused.stderr.contains("the daemon is paused"), "{}", refused.stderr);
    write(&sandbox.path("other/a.png"), &png(77));
    assert!(sandbox.run_on_index(&["add", "other"]).code(0).stdout.starts_with("1 new"));
    assert_eq!(daemon.total("new"), 2);
    sandbox.run_on_index(&["daemon", "resume"]).code(0);
    daemon.sync();
    assert_eq!(daemon.total("new"), 3);
}

#[test]
fn what_is_no_request_is_refused_and_harms_nobody() {
    let sandbox = filled(2);
    let daemon = Daemon::start(&sandbox, &["photos"]);
    daemon.sync();
    let mut raw = Raw::connect(&sandbox);
    for line in [
        b"\n".as_slice(),
        b"hello\n",
        b"{\"version\":1}\n",
        b"{\"version\":1,\"op\":\"no such thing\"}\n",
        b"{\"version\":1,\"op\":\"similar\",\"images\":7}\n",
        format!("{{\"version\":{VERSION},\"op\":\"add\",\"paths\":[\"relative\"]}}\n").as_bytes(),
        b"\x00\xFF\xFE\n",
        b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
    ] {
        raw.send(line);
        assert!(raw.receive()["error"]["message"].is_string(), "{}", String::from_utf8_lossy(line));
    }
    let newer = raw.ask(&json!({"version": VERSION + 1, "op": "status"}));
    let expected = format!("this daemon speaks version {VERSION} of the protocol, not version {}", VERSION + 1);
    assert_eq!(newer["error"]["message"], expected);
    assert_eq!(raw.ask(&json!({"version": VERSION, "op": "status"}))["answer"]["status"]["activity"], "idle");

    // The daemon stops reading a line that is too long.
    let mut huge = Raw::connect(&sandbox);
    let chunk = vec![b' '; 1 << 16];
    let written = (0..64).take_while(|_| huge.0.get_mut().write_all(&chunk).is_ok()).count();
    assert!(written < 64, "the daemon read 4 MiB of blanks");
    let mut answer = String::new();
    let _ = huge.0.read_to_string(&mut answer);

    // A request that is cut off, and one that never ends.
    Raw::connect(&sandbox).send(b"{\"version\":1,\"op\":\"sta");
    let mut slow = Raw::connect(&sandbox);
    slow.send(b"{\"vers");
    sandbox.draw("new.png", 9);
    daemon.sync();
    assert_eq!(sandbox.present("photos.db").len(), 3);
    daemon.stop();
}

#[test]
fn more_clients_than_there_is_room_for_do_their_work_themselves() {
    let sandbox = filled(3);
    let daemon = Daemon::start(&sandbox, &["photos"]);
    daemon.sync();
    let mut clients: Vec<Raw> = (0..70).map(|_| Raw::connect(&sandbox)).collect();
    let refusal = clients.last_mut().expect("there are 70 clients").receive();
    assert_eq!(refusal["error"]["message"], "the daemon has too many clients");
    assert_eq!(sandbox.run_on_index(&["similar", "photos/000.png"]).code(0).lines().len(), 2);
    drop(clients);
    let mut daemon = daemon;
    daemon.wait_for("there is room again", |daemon| {
        let mut raw = Raw::connect(&sandbox);
        let _ = daemon;
        raw.ask(&json!({"version": VERSION, "op": "status"}))["answer"].is_object()
    });
    daemon.stop();
}

#[test]
fn an_add_whose_client_goes_away_is_cancelled() {
    let sandbox = filled(200);
    sandbox.open();
    let mut daemon = Daemon::start(&sandbox, &[]);
    let mut raw = Raw::connect(&sandbox);
    raw.send(format!("{}\n", json!({"version": VERSION, "op": "add", "paths": [sandbox.photos()]})).as_bytes());
    // Until the work begins, the daemon answers that the client has to wait.
    while raw.receive()["progress"].is_null() {}
    drop(raw);
    daemon.wait_for("it has stopped", |daemon| daemon.status()["activity"] != "working");
    let done = sandbox.present("photos.db").len();
    assert!(done < 200, "all {done} pictures were indexed without a client");
    sandbox.run_on_index(&["check"]).code(0);
    daemon.stop();
}

#[test]
fn queries_are_answered_while_everything_happens_at_once() {
    let sandbox = filled(40);
    let daemon = Daemon::start(&sandbox, &["photos"]);
    daemon.sync();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..400_u16 {
                write(&sandbox.photo(format!("more/{number}.png")), &png((number % 250) as u8));
            }
        });
        scope.spawn(|| {
            write(&sandbox.path("other/a.png"), &png(77));
            for _ in 0..5 {
                sandbox.run_on_index(&["add", "other"]).code(0);
                sandbox.run_on_index(&["prune"]).code(0);
            }
        });
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(
                        sandbox
                            .run_on_index(&["similar", "photos/001.png", "-k", "5", "--paths"])
                            .code(0)
                            .lines()
                            .len(),
                        5
                    );
                    sandbox.run_on_index(&["status"]).code(0);
                }
            });
        }
    });
    daemon.sync();
    assert_eq!(sandbox.present("photos.db").len(), 441);
    daemon.stop();
    sandbox.run_on_index(&["check"]).code(0);
}

#[test]
fn a_path_that_was_never_there_cannot_be_scanned() {
    let sandbox = filled(1);
    sandbox.draw("old/a.png", 9);
    let daemon = Daemon::start(&sandbox, &["photos"]);
    daemon.sync();
    let refused = sandbox.run_on_index(&["daemon", "rescan", "photos", "nowhere"]).code(1);
    assert!(refused.stderr.contains("cannot find `nowhere`"), "{}", refused.stderr);
    fs::remove_dir_all(sandbox.photo("old")).expect("it is there");
    let started = sandbox.run_on_index(&["daemon", "rescan", "photos/old", "photos/000.png"]).code(0);
    assert!(started.stderr.contains("the scan has started"), "{}", started.stderr);
    daemon.sync();
    assert_eq!(sandbox.present("photos.db").len(), 1);
    daemon.stop();
}

#[test]
fn another_model_is_followed() {
    let sandbox = filled(4);
    let daemon = Daemon::start(&sandbox, &["photos"]);
    daemon.sync();
    let model = format!("{}/tests/data/bytes", env!("CARGO_MANIFEST_DIR"));
    sandbox.run_on_index(&["model", "add", &model]).code(0);
    sandbox.run_on_index(&["model", "use", "mean-color"]).code(0);
    sandbox.run_on_index(&["daemon", "rescan"]).code(0);
    daemon.sync();
    assert_eq!(daemon.events("model")[0]["name"], "mean-color");
    assert_eq!(daemon.total("embedded"), 8);
    let answer = sandbox.run_on_index(&["similar", "photos/001.png", "--json"]).code(0).json();
    assert_eq!((answer["model"].as_str(), answer["pending"].as_u64()), (Some("mean-color"), Some(0)));
    daemon.stop();
}

#[test]
fn the_service_is_described_in_words_that_systemd_understands() {
    let sandbox = filled(1);
    let shown = sandbox.run_on_index(&["daemon", "install", "--dry-run", "photos", "--", "--poll"]).code(0);
    if cfg!(target_os = "macos") {
        return;
    }
    let unit = shown.stdout.lines().skip(1).collect::<Vec<_>>().join("\n");
    let program = env!("CARGO_BIN_EXE_imgidx");
    let command = format!("ExecStart=\"{program}\" \"--db\" \"{}\"", sandbox.database().display());
    assert!(
        unit.contains(&command) && unit.contains(&format!("\"watch\" \"{}\" \"--poll\"", sandbox.photos().display())),
        "{unit}"
    );
    let file = sandbox.path("imgidx-test.service");
    write(&file, unit.as_bytes());
    let verified = std::process::Command::new("systemd-analyze")
        .args(["--user", "--man=no", "verify"])
        .arg(&file)
        .env("XDG_RUNTIME_DIR", sandbox.path("run"))
        .output();
    match verified {
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !stderr.contains("imgidx-test"), "{stderr}");
        }
        Err(_) => eprintln!("skipped: systemd-analyze, which verifies the unit, is not installed"),
    }
}
