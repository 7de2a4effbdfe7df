//! `imgidx watch`: changes to files, and how the index follows them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::common::{Daemon, Sandbox, png, write};

/// The names of the present files below the folder of pictures.
fn present(sandbox: &Sandbox) -> Vec<String> {
    present_of(sandbox, "photos.db")
}

fn present_of(sandbox: &Sandbox, database: &str) -> Vec<String> {
    let photos = sandbox.photos();
    let below = |path: &Path| path.strip_prefix(&photos).map(|path| path.to_string_lossy().into_owned());
    sandbox.present(database).keys().filter_map(|path| below(path).ok()).collect()
}

#[test]
fn new_changed_renamed_and_deleted_files_are_followed() {
    let sandbox = Sandbox::new();
    sandbox.draw("before.png", 1);
    let daemon = Daemon::start(&sandbox, &["photos"]);
    daemon.sync();
    assert_eq!(present(&sandbox), ["before.png"]);

    sandbox.draw("new.png", 2);
    daemon.sync();
    assert_eq!(present(&sandbox), ["before.png", "new.png"]);
    let found = sandbox.run_on_index(&["similar", "photos/new.png", "--paths"]).code(0);
    assert_eq!(found.lines(), [sandbox.photo("before.png").to_str().expect("UTF-8")]);

    // Editors save to a file beside it and rename that over it.
    write(&sandbox.photo(".new.png.part"), &png(3));
    fs::rename(sandbox.photo(".new.png.part"), sandbox.photo("new.png")).expect("it can be renamed");
    daemon.sync();
    assert_eq!((daemon.total("changed"), daemon.total("embedded")), (1, 3));

    fs::rename(sandbox.photo("new.png"), sandbox.photo("renamed.png")).expect("it can be renamed");
    daemon.sync();
    assert_eq!(present(&sandbox), ["before.png", "renamed.png"]);
    assert_eq!((daemon.total("moved"), daemon.total("embedded")), (1, 3));

    fs::remove_file(sandbox.photo("renamed.png")).expect("it is there");
    daemon.sync();
    assert_eq!(present(&sandbox), ["before.png"]);
    assert_eq!(daemon.total("missing"), 1);
    daemon.stop();
    sandbox.run_on_index(&["check"]).code(0);
}

#[test]
fn a_file_that_is_written_slowly_is_indexed_once_and_whole() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &["photos"]);
    daemon.sync();
    let bytes = png(5);
    let mut file = fs::File::create(sandbox.photo("slow.png")).expect("a file");
    for part in bytes.chunks(bytes.len() / 20) {
        file.write_all(part).expect("it can be written");
        file.sync_data().expect("it can be synchronised");
        std::thread::sleep(std::time::Duration::from_millis(150));
    }
    assert_eq!(daemon.logged("updated"), 0, "the file is still open: {}", daemon.log());
    drop(file);
    daemon.sync();
    assert_eq!((daemon.logged("updated"), daemon.total("new"), daemon.total("embedded")), (1, 1, 1));
}

#[test]
fn folders_are_followed_wherever_they_go() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("other")).expect("a folder");
    let daemon = Daemon::start(&sandbox, &["photos", "other"]);
    daemon.sync();
    // Nested folders are filled before the daemon can watch them.
    for seed in 0..10 {
        sandbox.draw(&format!("a/b/c{}/d/{seed}.png", seed % 3), seed);
    }
    daemon.sync();
    assert_eq!(present(&sandbox).len(), 10);
    assert_eq!(daemon.total("embedded"), 10);
    // By now the daemon gets events of the new folders.
    sandbox.draw("a/b/c0/d/later.png", 20);
    daemon.sync();
    assert_eq!(present(&sandbox).len(), 11);

    fs::rename(sandbox.photo("a/b"), sandbox.photo("z")).expect("it can be renamed");
    daemon.sync();
    assert_eq!(present(&sandbox).iter().filter(|path| path.starts_with("z/")).count(), 11);
    sandbox.draw("z/c1/d/later.png", 21);
    daemon.sync();
    assert_eq!(present(&sandbox).len(), 12, "a renamed folder is not watched");

    // To another root, and back under an earlier name.
    fs::rename(sandbox.photo("z"), sandbox.path("other/z")).expect("it can be renamed");
    daemon.sync();
    assert_eq!(present(&sandbox), [] as [&str; 0]);
    assert_eq!(sandbox.present("photos.db").len(), 12);
    fs::rename(sandbox.path("other/z"), sandbox.photo("a/b")).expect("it can be renamed");
    daemon.sync();
    assert_eq!(present(&sandbox).len(), 12);
    assert_eq!((daemon.total("embedded"), daemon.total("moved")), (12, 11 + 12 + 12));

    // Removed and immediately created again.
    fs::remove_dir_all(sandbox.photo("a")).expect("it can be removed");
    sandbox.draw("a/b/again.png", 22);
    daemon.sync();
    assert_eq!(present(&sandbox), ["a/b/again.png"]);
    sandbox.draw("a/b/and again.png", 23);
    daemon.sync();
    assert_eq!(present(&sandbox), ["a/b/again.png", "a/b/and again.png"]);
    daemon.stop();
}

#[test]
fn attributes_and_times_make_nothing_new() {
    let sandbox = Sandbox::new();
    for seed in 0..20 {
        sandbox.draw(&format!("sub/{seed}.png"), seed);
    }
    let daemon = Daemon::start(&sandbox, &["photos"]);
    daemon.sync();
    assert_eq!(daemon.total("embedded"), 20);
    for seed in 0..20 {
        let path = sandbox.photo(format!("sub/{seed}.png"));
        if seed % 2 == 0 {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("we own the file");
        } else {
            let file = fs::File::options().append(true).open(&path).expect("it is there");
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("we own the file");
        }
    }
    daemon.sync();
    assert_eq!(daemon.total("embedded"), 20, "{}", daemon.log());
    assert_eq!((daemon.total("changed"), daemon.total("missing")), (0, 0));
    // The rows have the new times of the files, so that nothing is left to do.
    daemon.stop();
    let planned = sandbox.run_on_index(&["add", "--dry-run", "photos"]).code(0);
    assert_eq!(planned.stdout, "");
}

#[test]
fn links_and_what_is_excluded_are_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    write(&sandbox.path("elsewhere/b.png"), &png(2));
    sandbox.run_on_index(&["add", "--exclude", "skip", "photos"]).code(0);
    let daemon = Daemon::start(&sandbox, &[]);
    daemon.sync();
    symlink(sandbox.path("elsewhere/b.png"), sandbox.photo("link.png")).expect("a link");
    symlink(sandbox.path("elsewhere"), sandbox.photo("folder")).expect("a link");
    sandbox.draw("skip/c.png", 3);
    sandbox.draw(".hidden/d.png", 4);
    sandbox.draw("node_modules/e.png", 5);
    sandbox.draw("f.png", 6);
    daemon.sync();
    assert_eq!(present(&sandbox), ["a.png", "f.png"]);
    // Excluded folders are not even watched: only the root is.
    assert_eq!(daemon.status()["roots"][0]["folders"], 1);
    // A picture that is replaced by a link is missing.
    fs::remove_file(sandbox.photo("f.png")).expect("it is there");
    symlink(sandbox.path("elsewhere/b.png"), sandbox.photo("f.png")).expect("a link");
    daemon.sync();
    assert_eq!(present(&sandbox), ["a.png"]);
    // From now on the options of the last `add` apply.
    sandbox.run_on_index(&["add", "photos", "--follow-links"]).code(0);
    daemon.sync();
    assert_eq!(present(&sandbox), ["a.png", "f.png", "folder/b.png", "link.png", "skip/c.png"]);
    write(&sandbox.path("elsewhere/g.png"), &png(7));
    daemon.sync();
    assert!(present(&sandbox).contains(&"folder/g.png".to_owned()), "{}", daemon.log());
}

#[test]
fn a_file_with_several_names_changes_under_all_of_them() {
    let sandbox = Sandbox::new();
    sandbox.draw("a/one.png", 1);
    fs::create_dir(sandbox.photo("b")).expect("a folder");
    fs::hard_link(sandbox.photo("a/one.png"), sandbox.photo("b/two.png")).expect("a link");
    let daemon = Daemon::start(&sandbox, &["photos"]);
    daemon.sync();
    write(&sandbox.photo("a/one.png"), &png(2));
    daemon.sync();
    assert_eq!((daemon.total("changed"), daemon.total("embedded")), (2, 2));
    let contents: std::collections::BTreeSet<_> = sandbox.present("photos.db").into_values().collect();
    assert_eq!(contents.len(), 1);
}

#[test]
fn files_that_were_given_one_by_one_are_followed_and_their_neighbors_are_not() {
    let sandbox = Sandbox::new();
    let (one, _) = (sandbox.draw("one.png", 1), sandbox.draw("two.png", 2));
    sandbox.run_on_index(&["add", "photos/one.png"]).code(0);
    let daemon = Daemon::start(&sandbox, &[]);
    daemon.sync();
    sandbox.draw("three.png", 3);
    write(&one, &png(4));
    daemon.sync();
    assert_eq!(present(&sandbox), ["one.png"]);
    assert_eq!((daemon.total("changed"), daemon.total("new")), (1, 0));
    fs::remove_file(&one).expect("it is there");
    daemon.sync();
    assert_eq!(present(&sandbox), [] as [&str; 0]);
    // Another file is added while the daemon is watching.
    sandbox.run_on_index(&["add", "photos/two.png"]).code(0);
    write(&sandbox.photo("two.png"), &png(6));
    daemon.sync();
    assert_eq!((present(&sandbox), daemon.total("changed")), (vec!["two.png".to_owned()], 2));
}

#[test]
fn a_single_file_can_be_watched() {
    let sandbox = Sandbox::new();
    let one = sandbox.draw("one.png", 1);
    let mut daemon = Daemon::start(&sandbox, &["photos/one.png", "--poll-every", "300ms"]);
    daemon.sync();
    sandbox.draw("two.png", 2);
    write(&sandbox.photo("new.part"), &png(3));
    fs::rename(sandbox.photo("new.part"), &one).expect("it can be renamed");
    daemon.sync();
    write(&one, &png(4));
    daemon.sync();
    assert_eq!((present(&sandbox), daemon.total("changed")), (vec!["one.png".to_owned()], 2));
    fs::remove_file(&one).expect("it is there");
    daemon.wait_for("it is missing", |daemon| daemon.total("missing") == 1);
    write(&one, &png(5));
    daemon.wait_for("it is back", |daemon| daemon.total("changed") == 3);
    daemon.stop();
}

#[test]
fn a_single_file_of_a_root_can_be_watched() {
    let sandbox = Sandbox::new();
    let one = sandbox.draw("sub/one.png", 1);
    sandbox.run_on_index(&["add", "photos"]).code(0);
    let daemon = Daemon::start(&sandbox, &["photos/sub/one.png"]);
    daemon.sync();
    sandbox.draw("sub/two.png", 2);
    write(&sandbox.photo("new.part"), &png(3));
    fs::rename(sandbox.photo("new.part"), &one).expect("it can be renamed");
    daemon.sync();
    write(&one, &png(4));
    daemon.sync();
    assert_eq!((present(&sandbox), daemon.total("changed")), (vec!["sub/one.png".to_owned()], 2));
}

#[test]
fn what_is_added_is_watched_beside_what_was_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.draw("one.png", 1);
    write(&sandbox.path("other/a.png"), &png(2));
    let daemon = Daemon::start(&sandbox, &["photos"]);
    sandbox.run_on_index(&["add", "other"]).code(0);
    write(&sandbox.path("other/b.png"), &png(3));
    daemon.sync();
    assert_eq!(sandbox.present("photos.db").len(), 3);
}

#[test]
fn a_root_that_is_replaced_is_listened_to_in_its_new_place() {
    let sandbox = Sandbox::new();
    sandbox.draw("one.png", 1);
    write(&sandbox.path("new/one.png"), &png(1));
    write(&sandbox.path("new/sub/two.png"), &png(2));
    let mut daemon = Daemon::start(&sandbox, &["photos", "--poll-every", "300ms"]);
    daemon.sync();
    fs::rename(sandbox.photos(), sandbox.path("old")).expect("it can be renamed");
    fs::rename(sandbox.path("new"), sandbox.photos()).expect("it can be renamed");
    daemon.wait_for("the new one is scanned", |daemon| daemon.total("new") == 2);
    sandbox.draw("sub/three.png", 3);
    daemon.sync();
    assert_eq!(present(&sandbox), ["one.png", "sub/three.png", "sub/two.png"]);
    assert_eq!((daemon.total("missing"), daemon.total("embedded")), (0, 3));
}

#[test]
fn a_root_that_comes_back_is_in_the_index_at_the_next_sync() {
    let sandbox = Sandbox::new();
    sandbox.draw("one.png", 1);
    let mut daemon = Daemon::start(&sandbox, &["photos"]);
    daemon.sync();
    fs::rename(sandbox.photos(), sandbox.path("old")).expect("it can be renamed");
    daemon.wait_for("it is away", |daemon| !daemon.events("offline").is_empty());
    daemon.sync();
    fs::rename(sandbox.path("old"), sandbox.photos()).expect("it can be renamed");
    sandbox.draw("two.png", 2);
    daemon.sync();
    assert_eq!(present(&sandbox), ["one.png", "two.png"]);
    sandbox.draw("three.png", 3);
    daemon.sync();
    assert_eq!(present(&sandbox), ["one.png", "three.png", "two.png"]);
}

#[test]
fn an_index_among_its_pictures_does_not_keep_itself_busy() {
    let sandbox = Sandbox::new();
    sandbox.draw("one.png", 1);
    sandbox.run(&["--db", "photos/photos.db", "add", "photos"]).code(0);
    let mut command = sandbox.program();
    let log = fs::File::create(sandbox.path("watch.log")).expect("a file");
    let mut child =
        command.args(["--db", "photos/photos.db", "watch"]).stderr(log).spawn().expect("the program starts");
    let on_index = |arguments: &[&str]| sandbox.run(&[&["--db", "photos/photos.db"], arguments].concat());
    while on_index(&["daemon", "sync"]).code != 0 {
        assert!(child.try_wait().expect("it is our child").is_none());
    }
    sandbox.draw("two.png", 2);
    on_index(&["daemon", "sync"]).code(0);
    // Changes to the index's own files are no work: nothing is waiting, and they have no rows.
    let status = on_index(&["daemon", "status", "--json"]).code(0).json();
    assert_eq!(status["daemon"]["activity"], "idle", "{status}");
    assert_eq!(present_of(&sandbox, "photos/photos.db"), ["one.png", "two.png"]);
    on_index(&["daemon", "stop"]).code(0);
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn an_index_that_is_deleted_ends_its_daemon() {
    let sandbox = Sandbox::new();
    sandbox.draw("one.png", 1);
    let mut daemon = Daemon::start(&sandbox, &["photos"]);
    daemon.sync();
    fs::remove_file(sandbox.database()).expect("it is there");
    sandbox.draw("two.png", 2);
    let code = daemon.wait();
    assert_eq!(code, Some(1), "{}", daemon.log());
    assert!(!sandbox.database().exists(), "the index was created again, without rows");
}

#[test]
fn a_part_of_a_root_can_be_watched() {
    let sandbox = Sandbox::new();
    sandbox.draw("a/one.png", 1);
    sandbox.draw("b/two.png", 2);
    sandbox.run_on_index(&["add", "photos"]).code(0);
    let daemon = Daemon::start(&sandbox, &["photos/a"]);
    daemon.sync();
    sandbox.draw("a/new.png", 3);
    sandbox.draw("b/not watched.png", 4);
    daemon.sync();
    assert_eq!(present(&sandbox), ["a/new.png", "a/one.png", "b/two.png"]);
}

#[test]
fn thousands_of_files_that_come_at_once_are_all_indexed() {
    let sandbox = Sandbox::new();
    let contents: Vec<Vec<u8>> = (0..40).map(png).collect();
    let daemon = Daemon::start(&sandbox, &["photos"]);
    daemon.sync();
    for number in 0..5000 {
        write(&sandbox.photo(format!("set/{}/{number}.png", number % 50)), &contents[number % 40]);
    }
    daemon.sync();
    assert_eq!(present(&sandbox).len(), 5000, "{} {}", daemon.status(), daemon.log());
    assert_eq!((daemon.total("new"), daemon.total("embedded"), daemon.total("missing")), (5000, 40, 0));
    daemon.stop();
    let report = sandbox.add();
    assert_eq!((report.unchanged, report.new, report.embedded), (5000, 0, 0), "{report:?}");
}

#[test]
fn a_root_that_is_away_keeps_its_rows_and_comes_back_without_work() {
    let sandbox = Sandbox::new();
    for seed in 0..30 {
        sandbox.draw(&format!("sub/{seed}.png"), seed);
    }
    fs::create_dir(sandbox.path("other")).expect("a folder");
    let mut daemon = Daemon::start(&sandbox, &["photos", "other", "--poll-every", "300ms"]);
    daemon.sync();
    fs::rename(sandbox.photos(), sandbox.path("away")).expect("it can be renamed");
    daemon.wait_for("it is offline", |daemon| daemon.logged("offline") == 1);
    daemon.sync();
    assert_eq!(present(&sandbox).len(), 30);
    assert_eq!(sandbox.run_on_index(&["similar", "away/sub/1.png", "-k", "3"]).code(0).lines().len(), 3);
    let status = sandbox.run_on_index(&["status", "--json"]).code(0).json();
    assert_eq!(status["roots"][1]["state"], "offline", "{status}");
    assert_eq!(status["daemon"]["roots"][1]["state"], "offline");
    // The other root is still watched.
    write(&sandbox.path("other/new.png"), &png(99));
    daemon.sync();
    assert_eq!(daemon.total("new"), 31);

    fs::rename(sandbox.path("away"), sandbox.photos()).expect("it can be renamed");
    daemon.wait_for("it is online", |daemon| daemon.logged("online") == 1);
    daemon.sync();
    assert_eq!((daemon.total("embedded"), daemon.total("missing")), (31, 0));
    sandbox.draw("sub/more.png", 40);
    daemon.sync();
    assert_eq!(present(&sandbox).len(), 31);

    // An empty root looks like an unmounted drive.
    fs::rename(sandbox.photo("sub"), sandbox.path("sub")).expect("it can be renamed");
    daemon.sync();
    daemon.wait_for("it is offline", |daemon| daemon.logged("offline") == 2);
    assert_eq!((present(&sandbox).len(), daemon.total("missing")), (31, 0));
    fs::rename(sandbox.path("sub"), sandbox.photo("sub")).expect("it can be renamed");
    daemon.wait_for("it is online", |daemon| daemon.logged("online") == 2);
    daemon.sync();
    assert_eq!((present(&sandbox).len(), daemon.total("embedded")), (31, 32));
}

#[test]
fn a_daemon_that_was_killed_goes_on_where_it_was() {
    let sandbox = Sandbox::new();
    for seed in 0..120 {
        sandbox.draw(&format!("{seed}.png"), seed);
    }
    for round in 0..4_u8 {
        let daemon = Daemon::start(&sandbox, &["photos"]);
        // In the middle of the work, in the rounds that have work.
        std::thread::sleep(std::time::Duration::from_millis(u64::from(round) * 70));
        daemon.kill();
        sandbox.run_on_index(&["check"]).code(0);
        sandbox.draw(&format!("while it was away {round}.png"), 130 + round);
        fs::remove_file(sandbox.photo(format!("{round}.png"))).expect("it is there");
    }
    let daemon = Daemon::start(&sandbox, &["photos"]);
    daemon.sync();
    assert_eq!(present(&sandbox).len(), 120);
    daemon.stop();
    let report = sandbox.add();
    assert_eq!((report.unchanged, report.new, report.missing), (120, 0, 0), "{report:?}");
    sandbox.run_on_index(&["check"]).code(0);
}

#[test]
fn there_is_one_daemon_and_what_is_left_of_a_killed_one_does_not_hinder_the_next() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    let daemon = Daemon::start(&sandbox, &["photos"]);
    let refused = sandbox.run_on_index(&["watch", "photos"]).code(1);
    let expected = format!("is already being watched by process {}", daemon.pid());
    assert!(refused.stderr.contains(&expected), "{}", refused.stderr);
    daemon.kill();
    let daemon = Daemon::start(&sandbox, &["photos"]);
    daemon.sync();
    sandbox.run_on_index(&["daemon", "stop"]).code(0);
    let none = sandbox.run_on_index(&["daemon", "status"]).code(1);
    assert!(none.stderr.contains("no daemon is running for"), "{}", none.stderr);
    drop(daemon);
}

#[test]
fn a_signal_makes_it_look_up_its_roots() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.open();
    let mut daemon = Daemon::start(&sandbox, &[]);
    daemon.sync();
    assert_eq!(daemon.status()["roots"].as_array().map(Vec::len), Some(0));
    // Added without the daemon.
    sandbox.run_on_index(&["--direct", "add", "photos"]).code(0);
    daemon.signal("HUP");
    daemon.wait_for("it is watched", |daemon| daemon.status()["roots"].as_array().is_some_and(|it| it.len() == 1));
    sandbox.draw("b.png", 2);
    daemon.sync();
    assert_eq!(present(&sandbox), ["a.png", "b.png"]);
}

#[test]
fn what_the_system_does_not_tell_is_found_by_scanning() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    let mut daemon = Daemon::start(&sandbox, &["photos", "--poll", "--poll-every", "200ms"]);
    daemon.wait_for("it is indexed", |daemon| daemon.total("new") == 1);
    assert_eq!(daemon.status()["roots"][0]["polled"], "polling was requested");
    sandbox.draw("b.png", 2);
    daemon.wait_for("it is found", |daemon| daemon.total("new") == 2);
    daemon.stop();
}
