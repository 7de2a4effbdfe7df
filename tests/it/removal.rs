//! What `prune` and `forget` remove, what they keep, and what they say about it.

use std::fs;

use imgidx::index::{OfflineRoot, PruneOptions, Pruned};

use crate::common::{Finished, Sandbox, png, write};

/// A root of 150 pictures, of which 149 have disappeared at once.
fn emptied() -> Sandbox {
    let sandbox = Sandbox::new();
    for seed in 0..150 {
        sandbox.draw(&format!("{seed:03}.png"), seed);
    }
    sandbox.add();
    for seed in 1..150 {
        fs::remove_file(sandbox.photo(format!("{seed:03}.png"))).expect("it is there");
    }
    let report = sandbox.add();
    assert_eq!((report.missing, report.vanished.len()), (0, 1), "too many at once to be believed");
    sandbox
}

#[test]
fn prune_does_not_promise_what_it_keeps_of_an_offline_root() {
    let sandbox = emptied();
    fs::rename(sandbox.photos(), sandbox.path("away")).expect("it can be renamed");
    let offline = vec![OfflineRoot { path: sandbox.path("").join("photos"), files: 149 }];
    let kept = Pruned { offline, ..Pruned::default() };
    let mut index = sandbox.open();
    assert_eq!(index.prunable(&PruneOptions::default()).expect("numbers"), kept);
    assert_eq!(index.prune(&PruneOptions::default()).expect("it can be pruned"), kept);
    let said = sandbox.run_on_index(&["prune"]).code(0);
    assert_eq!(said.stdout, "nothing to remove\n");
    assert!(
        said.stderr.contains("is offline: 149 files that disappeared from it stay in the index"),
        "{}",
        said.stderr
    );
    fs::rename(sandbox.path("away"), sandbox.photos()).expect("it can be renamed");
    let removed = Pruned { files: 149, images: 149, ..Pruned::default() };
    assert_eq!(index.prune(&PruneOptions::default()).expect("it can be pruned"), removed);
}

#[test]
fn the_preview_of_prune_after_a_mass_deletion_counts_what_prune_then_removes() {
    let sandbox = emptied();
    // One of the contents is held by another file too.
    write(&sandbox.path("other/copy.png"), &png(7));
    sandbox.run_on_index(&["add", "other"]).code(0);
    let preview = sandbox.run_on_index(&["prune", "--dry-run", "--json"]).code(0).json();
    assert_eq!((&preview["files"], &preview["images"]), (&149.into(), &148.into()), "{preview}");
    let removed = sandbox.run_on_index(&["prune", "--json"]).code(0).json();
    assert_eq!((&removed["files"], &removed["images"]), (&149.into(), &148.into()), "{removed}");
}

#[test]
fn a_preview_forgets_files_that_have_come_back() {
    let sandbox = emptied();
    for seed in 1..100 {
        sandbox.draw(&format!("{seed:03}.png"), seed);
    }
    let expected = Pruned { files: 50, images: 50, ..Pruned::default() };
    let mut index = sandbox.open();
    assert_eq!(index.prunable(&PruneOptions::default()).expect("numbers"), expected);
    assert_eq!(index.prune(&PruneOptions::default()).expect("it can be pruned"), expected);
    assert_eq!(sandbox.rows().len(), 100);
}

#[test]
fn prune_says_nothing_to_remove_once() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.draw("copy.png", 1);
    sandbox.run_on_index(&["add", "photos"]).code(0);
    let nothing = sandbox.run_on_index(&["prune"]).code(0);
    assert_eq!((nothing.stdout.as_str(), nothing.stderr.as_str()), ("nothing to remove\n", ""));
    fs::remove_file(sandbox.photo("copy.png")).expect("it is there");
    sandbox.run_on_index(&["add", "photos"]).code(0);
    let copy = sandbox.run_on_index(&["prune"]).code(0);
    assert_eq!(copy.stdout, "removed 1 missing file from the index\n", "no content is lost, so none is counted");
}

fn listed(sandbox: &Sandbox) -> Vec<String> {
    let base = format!("{}/", sandbox.photos().display());
    sandbox.run_on_index(&["list"]).code(0).lines().iter().map(|line| line.replace(&base, "")).collect()
}

fn with_subfolder() -> Sandbox {
    let sandbox = Sandbox::new();
    for (name, seed) in [("a.png", 1), ("old/b.png", 2), ("old/c.png", 3), ("old/deep/d.png", 4), ("old.png", 5)] {
        sandbox.draw(name, seed);
    }
    sandbox.run_on_index(&["add", "photos"]).code(0);
    sandbox
}

#[test]
fn files_that_are_excluded_later_are_counted_and_leave_when_prune_is_asked() {
    let sandbox = with_subfolder();
    let added = sandbox.run_on_index(&["add", "photos", "--exclude", "/old/"]).code(0);
    assert!(added.stderr.contains("3 indexed files are excluded"), "{}", added.stderr);
    assert!(added.stderr.contains("imgidx prune --excluded"), "{}", added.stderr);
    assert_eq!(sandbox.run_on_index(&["prune"]).code(0).stdout, "nothing to remove\n");
    assert_eq!(listed(&sandbox).len(), 5, "an exclude that was mistyped costs nothing");
    let preview = sandbox.run_on_index(&["prune", "--excluded", "--dry-run"]).code(0).stdout;
    assert_eq!(preview, "would remove 3 excluded files and the data of 3 pictures from the index\n");
    sandbox.run_on_index(&["prune", "--excluded"]).code(0);
    assert_eq!(listed(&sandbox), ["a.png", "old.png"]);
    let again = sandbox.run_on_index(&["add", "photos", "--exclude", "/old/"]).code(0);
    assert!(!again.stderr.contains("excluded"), "{}", again.stderr);
    assert!(sandbox.photo("old/b.png").is_file(), "no picture is touched");
}

#[test]
fn excluded_files_of_an_offline_root_stay() {
    let sandbox = with_subfolder();
    sandbox.run_on_index(&["add", "photos", "--exclude", "/old/"]).code(0);
    fs::rename(sandbox.photos(), sandbox.path("away")).expect("it can be renamed");
    sandbox.run_on_index(&["add", "photos"]);
    fs::create_dir(sandbox.photos()).expect("a folder");
    sandbox.run_on_index(&["add", "photos"]).code(0);
    assert_eq!(sandbox.run_on_index(&["prune", "--excluded"]).code(0).stdout, "nothing to remove\n");
}

#[test]
fn a_forgotten_subfolder_stays_out_until_it_is_named_again() {
    let sandbox = with_subfolder();
    let forgotten = sandbox.run_on_index(&["forget", "photos/old", "--yes"]).code(0);
    assert!(forgotten.stdout.ends_with("/photos/old` (3 pictures) from the index\n"), "{}", forgotten.stdout);
    assert!(forgotten.stderr.contains("stays out of the index; `imgidx add "), "{}", forgotten.stderr);
    assert_eq!(listed(&sandbox), ["a.png", "old.png"]);
    sandbox.draw("old/new.png", 9);
    sandbox.run_on_index(&["add", "photos"]).code(0);
    assert_eq!(listed(&sandbox), ["a.png", "old.png"], "the next add leaves it out");
    let status = sandbox.run_on_index(&["status", "--json"]).code(0).json();
    let path = sandbox.photo("old").display().to_string();
    assert_eq!(status["forgotten"], serde_json::json!([{ "path": path }]));
    assert!(sandbox.run_on_index(&["status"]).code(0).stdout.contains(&path), "status shows what is left out");
    sandbox.run_on_index(&["add", "photos", "photos/old"]).code(0);
    assert_eq!(listed(&sandbox).len(), 6);
    sandbox.run_on_index(&["add", "photos"]).code(0);
    assert_eq!(listed(&sandbox).len(), 6, "it is an ordinary folder again");
}

#[test]
fn a_forgotten_file_stays_out_and_its_neighbours_stay_in() {
    let sandbox = with_subfolder();
    sandbox.run_on_index(&["forget", "photos/old/b.png", "--yes"]).code(0);
    sandbox.run_on_index(&["add", "photos"]).code(0);
    assert_eq!(listed(&sandbox), ["a.png", "old.png", "old/c.png", "old/deep/d.png"]);
    sandbox.run_on_index(&["forget", "photos", "--yes"]).code(0);
    sandbox.run_on_index(&["add", "photos"]).code(0);
    assert_eq!(listed(&sandbox).len(), 5, "forgetting the whole root forgets what was left out of it");
}

#[test]
fn a_single_file_is_forgotten_with_its_root_and_found_no_more() {
    let sandbox = Sandbox::new();
    for (name, seed) in [("a.png", 1), ("b.png", 2)] {
        sandbox.draw(name, seed);
    }
    sandbox.run_on_index(&["add", "photos/a.png"]).code(0);
    let status = sandbox.run_on_index(&["status"]).code(0).stdout;
    assert!(status.contains("only files that were added one by one, not the whole directory"), "{status}");
    let json = sandbox.run_on_index(&["status", "--json"]).code(0).json();
    assert_eq!(json["roots"][0]["recursive"], false);
    let forgotten = sandbox.run_on_index(&["forget", "photos/a.png", "--yes"]).code(0);
    assert_eq!(forgotten.stderr, "", "no scan would find it again");
    let json = sandbox.run_on_index(&["status", "--json"]).code(0).json();
    assert_eq!((&json["roots"], &json["forgotten"]), (&serde_json::json!([]), &serde_json::json!([])));
}

#[test]
fn forget_without_a_terminal_asks_for_yes() {
    let sandbox = with_subfolder();
    let refused = sandbox.run_on_index(&["forget", "photos"]).code(2);
    assert!(refused.stderr.contains("no terminal") && refused.stderr.contains("hint: --yes"), "{}", refused.stderr);
    let json: serde_json::Value =
        serde_json::from_str(&sandbox.run_on_index(&["forget", "photos", "--json"]).code(2).stderr)
            .expect("an error document");
    assert_eq!(json["error"]["kind"], "usage");
    assert_eq!(listed(&sandbox).len(), 5, "nothing was removed");
    sandbox.run_on_index(&["forget", "photos", "--dry-run"]).code(0);
    sandbox.run_on_index(&["forget", "photos", "-y"]).code(0);
    assert_eq!(listed(&sandbox).len(), 0);
}

#[test]
fn what_is_not_indexed_cannot_be_forgotten() {
    let sandbox = with_subfolder();
    fs::create_dir(sandbox.path("empty")).expect("a folder");
    for path in ["nowhere", "empty", "photos/nowhere"] {
        let Finished { stderr, .. } = sandbox.run_on_index(&["forget", path, "-y"]).code(1);
        assert!(stderr.contains(&format!("nothing at `{path}` is indexed")), "{stderr}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_no_is_confirmed_and_changes_nothing() {
    let sandbox = with_subfolder();
    sandbox.draw("copy.png", 1);
    sandbox.run_on_index(&["add", "photos"]).code(0);
    fs::remove_file(sandbox.photo("old.png")).expect("it is there");
    sandbox.run_on_index(&["add", "photos"]).code(0);
    let before = sandbox.rows();
    for (arguments, note) in [
        (&["prune"][..], "note: nothing was removed"),
        (&["forget", "photos"][..], "note: nothing was removed"),
        (&["dupes", "trash"][..], "note: nothing was moved"),
        (&["dupes", "link"][..], "note: nothing was linked"),
    ] {
        let Some(said) = sandbox.answer(arguments, "n") else { return };
        let said = said.code(0);
        let shown = said.stdout.trim_end();
        assert!(shown.contains("[y/N]") && shown.ends_with(note), "{arguments:?}: {shown}");
    }
    assert_eq!(sandbox.rows(), before);
    assert!(sandbox.photo("copy.png").is_file() && sandbox.photo("a.png").is_file());
}
