//! Random trees with copies and links that change after they were indexed: removing what `dupes` offers, by hand or by
//! the program, never costs a content.
//!
//! `PROPTEST_CASES` is the number of trees for each test, 12 by default.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use imgidx::AddOptions;
use imgidx::search::{DupeQuery, DupeTier, KeepRule, KeepRules};
use proptest::prelude::*;

use crate::common::{Finished, Sandbox, png, write};

const CONTENTS: u8 = 4;

/// Files in two roots, `r` and `s`.
const NAMES: [&str; 9] =
    ["r/a.png", "r/b.png", "r/d/a.png", "r/d/b.png", "r/e/a.png", "s/a.png", "s/b.png", "s/d/a.png", "s/c.png"];
const FOLDERS: [&str; 4] = ["r/d", "r/e", "s/d", "s/f"];

#[derive(Debug, Clone)]
enum Op {
    Write(usize, u8),
    /// Overwrites with as many other bytes, and keeps the modification time.
    Falsify(usize),
    Touch(usize),
    Copy(usize, usize),
    Rename(usize, usize),
    HardLink(usize, usize),
    Link(usize, usize),
    Delete(usize),
    /// A folder is replaced by a link to another one.
    LinkFolder(usize, usize),
    DeleteFolder(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let name = || 0..NAMES.len();
    let folder = || 0..FOLDERS.len();
    prop_oneof![
        5 => (name(), 0..CONTENTS).prop_map(|(name, content)| Op::Write(name, content)),
        2 => name().prop_map(Op::Falsify),
        1 => name().prop_map(Op::Touch),
        5 => (name(), name()).prop_map(|(from, to)| Op::Copy(from, to)),
        2 => (name(), name()).prop_map(|(from, to)| Op::Rename(from, to)),
        3 => (name(), name()).prop_map(|(from, to)| Op::HardLink(from, to)),
        2 => (name(), name()).prop_map(|(from, to)| Op::Link(from, to)),
        3 => name().prop_map(Op::Delete),
        1 => (folder(), folder()).prop_map(|(from, to)| Op::LinkFolder(from, to)),
        1 => folder().prop_map(Op::DeleteFolder),
    ]
}

#[derive(Debug, Clone)]
struct Scene {
    before: Vec<Op>,
    after: Vec<Op>,
    follow_links: bool,
    /// Whether the root `s` is taken away after it was indexed.
    unplug: bool,
    keep: Option<KeepRule>,
    reference: bool,
}

fn scene() -> impl Strategy<Value = Scene> {
    let rule = prop::option::of(prop::sample::select(KeepRule::ALL.to_vec()));
    let flags = (any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    let ops = |range| prop::collection::vec(op(), range);
    (ops(3..14), prop_oneof![1 => Just(Vec::new()), 3 => ops(1..8)], rule, flags).prop_map(
        |(before, after, keep, (follow_links, unplug, reference))| Scene {
            before,
            after,
            follow_links,
            unplug,
            keep,
            reference,
        },
    )
}

/// Changes a tree. What cannot be done is left out.
fn apply(tree: &Path, op: &Op) {
    let path = |name: &usize| tree.join(NAMES[*name]);
    let make_room = |path: &Path| {
        fs::create_dir_all(path.parent().expect("a parent")).is_ok() && {
            let _ = fs::remove_file(path);
            !path.exists()
        }
    };
    match op {
        Op::Write(name, content) => {
            let path = path(name);
            if path.parent().is_some_and(|parent| fs::create_dir_all(parent).is_ok()) {
                let _ = fs::write(path, png(*content));
            }
        }
        Op::Falsify(name) => {
            if let Ok(metadata) = fs::metadata(path(name)) {
                let modified = metadata.modified().expect("a time");
                fs::write(path(name), vec![*name as u8; metadata.len() as usize]).expect("a file");
                fs::File::options()
                    .write(true)
                    .open(path(name))
                    .expect("a file")
                    .set_modified(modified)
                    .expect("a time");
            }
        }
        Op::Touch(name) => {
            if let Ok(file) = fs::File::options().write(true).open(path(name)) {
                file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("a time");
            }
        }
        Op::Copy(from, to) if from != to => {
            if let (Ok(bytes), true) = (fs::read(path(from)), make_room(&path(to))) {
                fs::write(path(to), bytes).expect("a file");
            }
        }
        Op::Rename(from, to) if from != to && path(from).exists() && make_room(&path(to)) => {
            let _ = fs::rename(path(from), path(to));
        }
        Op::HardLink(from, to) if from != to && path(from).exists() && make_room(&path(to)) => {
            let _ = fs::hard_link(path(from), path(to));
        }
        Op::Link(from, to) if from != to && path(from).exists() && make_room(&path(to)) => {
            let _ = symlink(path(from), path(to));
        }
        Op::Delete(name) => drop(fs::remove_file(path(name))),
        Op::LinkFolder(from, to) if from != to && tree.join(FOLDERS[*to]).is_dir() => {
            let folder = tree.join(FOLDERS[*from]);
            if fs::remove_file(&folder).is_ok() || fs::remove_dir_all(&folder).is_ok() {
                let _ = symlink(tree.join(FOLDERS[*to]), folder);
            }
        }
        Op::DeleteFolder(folder) => {
            let folder = tree.join(FOLDERS[*folder]);
            if !folder.is_symlink() {
                let _ = fs::remove_dir_all(folder);
            }
        }
        _ => {}
    }
}

/// The content of each path that leads to a file, also through links.
fn contents(tree: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for root in ["r", "s"] {
        collect(&tree.join(root), 0, &mut found);
    }
    found
}

fn collect(folder: &Path, depth: usize, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    // Links may lead in circles.
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|_| depth < 4) {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, depth + 1, found);
        } else if let Ok(bytes) = fs::read(&path) {
            found.insert(path, bytes);
        }
    }
}

/// A sandbox whose index knows all contents, but no present file. A copy of it need not run the model.
fn template() -> &'static Sandbox {
    static TEMPLATE: OnceLock<Sandbox> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let sandbox = Sandbox::new();
        for content in 0..CONTENTS {
            sandbox.draw(&format!("{content}.png"), content);
        }
        sandbox.draw("last.png", 200);
        sandbox.add();
        for content in 0..CONTENTS {
            fs::remove_file(sandbox.photo(format!("{content}.png"))).expect("it is there");
        }
        sandbox.add();
        sandbox
    })
}

/// A tree that was indexed and changed, with its index.
struct Changed {
    dir: tempfile::TempDir,
    tree: PathBuf,
    database: PathBuf,
    before: BTreeMap<PathBuf, Vec<u8>>,
}

fn changed(scene: &Scene) -> Changed {
    let dir = tempfile::tempdir_in(template().path("data")).expect("a folder");
    let tree = dir.path().canonicalize().expect("it is there");
    let database = tree.join("index.db");
    fs::copy(template().database(), &database).expect("a copy");
    for root in ["r", "s"] {
        // A root needs a file that stays, or it is taken for an empty mount point.
        write(&tree.join(root).join("stays.txt"), b"no picture");
    }
    scene.before.iter().for_each(|op| apply(&tree, op));
    let mut options = AddOptions::default();
    options.scan.follow_links = scene.follow_links;
    let mut index = template().options().open(&database).expect("the index opens");
    for root in ["r", "s"] {
        index.add([tree.join(root)], &options).expect("it can be indexed");
    }
    scene.after.iter().for_each(|op| apply(&tree, op));
    if scene.unplug {
        fs::rename(tree.join("s"), tree.join("unplugged")).expect("it can be renamed");
    }
    let before = contents(&tree);
    Changed { dir, tree, database, before }
}

impl Changed {
    fn run(&self, scene: &Scene, arguments: &[&str]) -> Finished {
        let mut command = template().program();
        command.arg("--db").arg(&self.database).args(arguments).env("XDG_DATA_HOME", self.dir.path().join("home"));
        command.args(scene.keep.iter().flat_map(|rule| ["--keep", rule.as_str()]));
        if scene.reference {
            command.arg("--reference").arg(self.tree.join("r"));
        }
        Finished::new(arguments, command.output().expect("the program starts"))
    }

    /// Every content that was there is still there, and every link of the index that led somewhere still does.
    fn check(&self, scene: &Scene, removed: &BTreeSet<PathBuf>) -> Result<(), TestCaseError> {
        let after = contents(&self.tree);
        let kept: BTreeSet<&Vec<u8>> = after.values().collect();
        for (path, bytes) in &self.before {
            prop_assert!(kept.contains(bytes), "the content of {} is lost", path.display());
        }
        // Links that were made after indexing are unknown.
        if scene.follow_links && scene.after.is_empty() {
            let is_broken = |path: &&PathBuf| path.is_symlink() && !after.contains_key(*path);
            let broken: Vec<_> = self.before.keys().filter(is_broken).collect();
            prop_assert!(broken.is_empty(), "links lead nowhere: {broken:?}");
        }
        if scene.reference {
            prop_assert!(removed.iter().all(|path| !path.starts_with(self.tree.join("r"))), "{removed:?}");
        }
        Ok(())
    }
}

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12);
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 300, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn removing_all_that_is_offered_never_costs_a_content(scene in scene()) {
        let changed = changed(&scene);
        let index = template().options().open(&changed.database).expect("the index opens");
        let reference = if scene.reference { vec![changed.tree.join("r")] } else { Vec::new() };
        let keep = KeepRules { rule: scene.keep, reference, ..KeepRules::default() };
        let query = DupeQuery { tier: DupeTier::Exact, keep, ..DupeQuery::default() };
        let answer = index.searcher().dupes(&query).expect("an answer");
        let offered = index.searcher().redundant(&answer, &query.keep).expect("they can be checked").files;
        for file in &offered {
            prop_assert!(file.kept.exists() && !offered.iter().any(|other| other.path == file.kept));
            fs::remove_file(&file.path).expect("an offered file exists");
        }
        changed.check(&scene, &offered.into_iter().map(|file| file.path).collect())?;
    }

    #[test]
    fn moving_duplicates_to_the_trash_never_costs_a_content(scene in scene()) {
        let changed = changed(&scene);
        let output = changed.run(&scene, &["dupes", "trash"]);
        prop_assert_eq!(output.code, 0, "{}", output.stderr);
        let trashed = output.lines().iter().filter_map(|line| line.split('\t').nth(1)).map(PathBuf::from).collect();
        changed.check(&scene, &trashed)?;
        let again = changed.run(&scene, &["dupes", "trash"]);
        prop_assert_eq!(again.stdout, "", "once is enough");
    }

    #[test]
    fn replacing_duplicates_by_links_changes_no_content(scene in scene()) {
        let changed = changed(&scene);
        let output = changed.run(&scene, &["dupes", "link"]);
        prop_assert_eq!(output.code, 0, "{}", output.stderr);
        prop_assert_eq!(contents(&changed.tree), changed.before.clone());
        changed.check(&scene, &BTreeSet::new())?;
    }
}
