//! Random sequences of changes to files, compared with a simple model of what the index must contain.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use imgidx::AddOptions;
use imgidx::model::{Catalog, Runtime};
use imgidx::types::ContentHash;
use proptest::prelude::*;

use crate::common::{Sandbox, png, runtime, write};

/// The numbers of two contents that are not pictures; smaller numbers are the seeds of pictures.
const DAMAGED: u8 = 8;
const TEXT: u8 = 9;

const NAMES: [&str; 8] = ["a.png", "a-b.png", "a/b.png", "a/c.png", "b", "b.png", "c/d/e.png", "é.png"];

#[derive(Debug, Clone)]
enum Op {
    Write(usize, u8),
    Rename(usize, usize),
    Copy(usize, usize),
    Delete(usize),
    Touch(usize),
    Unmount,
    Mount,
    Add,
    Prune,
    UseModel(bool),
}

fn op() -> impl Strategy<Value = Op> {
    let name = || 0..NAMES.len();
    prop_oneof![
        6 => (name(), 0..=TEXT).prop_map(|(name, content)| Op::Write(name, content)),
        3 => (name(), name()).prop_map(|(from, to)| Op::Rename(from, to)),
        2 => (name(), name()).prop_map(|(from, to)| Op::Copy(from, to)),
        2 => name().prop_map(Op::Delete),
        1 => name().prop_map(Op::Touch),
        1 => Just(Op::Unmount),
        2 => Just(Op::Mount),
        8 => Just(Op::Add),
        1 => Just(Op::Prune),
        1 => any::<bool>().prop_map(Op::UseModel),
    ]
}

fn bytes(content: u8) -> Vec<u8> {
    match content {
        DAMAGED => b"\x89PNG\r\n\x1A\n and then nothing good".to_vec(),
        TEXT => b"dear diary".to_vec(),
        seed => png(seed),
    }
}

/// A model of the files on the disk and of what the index should contain.
#[derive(Default)]
struct Naive {
    disk: BTreeMap<&'static str, u8>,
    /// The rows of the index: the content, and whether the file is missing.
    rows: BTreeMap<&'static str, (u8, bool)>,
    embedded: BTreeSet<(u8, bool)>,
    mounted: bool,
    second_model: bool,
}

struct World {
    sandbox: Sandbox,
    naive: Naive,
}

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let options = sandbox.options().runtime_options().expect("the folder is given");
        let runtime = Runtime::load(&options).expect("it is there");
        let models = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        let catalog = Catalog::new(&sandbox.path("data"));
        for model in ["bytes", "dino"] {
            catalog.add(&models.join(model), None, &runtime).expect("the model is valid");
        }
        sandbox.open().use_model("mean-color").expect("it is there");
        Self { sandbox, naive: Naive { mounted: true, ..Naive::default() } }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Unmount if self.naive.mounted => {
                fs::rename(self.sandbox.photos(), self.sandbox.path("away")).expect("it can be unmounted");
                self.naive.mounted = false;
            }
            Op::Mount if !self.naive.mounted => {
                fs::rename(self.sandbox.path("away"), self.sandbox.photos()).expect("it can be mounted");
                self.naive.mounted = true;
            }
            Op::Add => self.add(),
            Op::Prune => self.prune(),
            Op::UseModel(second) => {
                let name = if second { "tiny-dino" } else { "mean-color" };
                self.sandbox.open().use_model(name).expect("it is there");
                self.naive.second_model = second;
            }
            _ if self.naive.mounted => self.change_files(op),
            _ => {}
        }
    }

    fn change_files(&mut self, op: &Op) {
        let disk = &mut self.naive.disk;
        let path = |name: usize| self.sandbox.photo(NAMES[name]);
        match *op {
            Op::Write(name, content) => {
                write(&path(name), &bytes(content));
                disk.insert(NAMES[name], content);
            }
            Op::Rename(from, to) if from != to => {
                if let Some(content) = disk.remove(NAMES[from]) {
                    fs::create_dir_all(path(to).parent().expect("the path has a parent")).expect("a folder");
                    fs::rename(path(from), path(to)).expect("it can be renamed");
                    disk.insert(NAMES[to], content);
                }
            }
            Op::Copy(from, to) if from != to => {
                if let Some(content) = disk.get(NAMES[from]).copied() {
                    write(&path(to), &fs::read(path(from)).expect("it is there"));
                    disk.insert(NAMES[to], content);
                }
            }
            Op::Delete(name) if disk.remove(NAMES[name]).is_some() => {
                fs::remove_file(path(name)).expect("it is there");
            }
            Op::Touch(name) if disk.contains_key(NAMES[name]) => {
                let file = fs::File::options().write(true).open(path(name)).expect("it is there");
                file.set_modified(std::time::SystemTime::now()).expect("it can be touched");
            }
            _ => {}
        }
    }

    fn add(&mut self) {
        let (naive, before) = (&mut self.naive, self.sandbox.rows().len());
        let is_new_root = naive.rows.is_empty() && !naive.mounted;
        let result = self.sandbox.open().add([self.sandbox.photos()], &AddOptions::default());
        let Ok(report) = result else {
            // The path does not exist and was never a root.
            assert!(is_new_root || !naive.mounted, "{result:?}");
            return;
        };
        // An empty folder where files were is taken for an unmounted drive.
        let vanished = naive.disk.is_empty() && naive.rows.values().any(|(_, missing)| !missing);
        let emptied = fs::read_dir(self.sandbox.photos()).map_or(true, |mut entries| entries.next().is_none());
        if !naive.mounted || (vanished && emptied) {
            assert_eq!(report.offline_roots, [self.sandbox.photos()]);
            assert_eq!(self.sandbox.rows().len(), before, "rows of an offline root were lost");
            return;
        }
        let model = naive.second_model;
        let pictures: BTreeSet<u8> = naive.disk.values().copied().filter(|content| *content < DAMAGED).collect();
        let fresh: Vec<u8> = pictures.into_iter().filter(|content| naive.embedded.insert((*content, model))).collect();
        assert_eq!(report.embedded, fresh.len() as u64, "{report:?}");
        let total = report.new + report.changed + report.moved + report.unchanged + report.failed + report.skipped;
        assert_eq!(total, naive.disk.len() as u64, "each file is counted once: {report:?}");
        let rows = self.check_rows();
        let new_paths = self.naive.disk.keys().filter(|name| !self.naive.rows.contains_key(*name)).count();
        assert_eq!(rows.len(), before + new_paths - report.moved as usize, "{report:?}");
        let newly_missing =
            rows.iter().filter(|(name, row)| row.1 && self.naive.rows.get(*name).is_some_and(|row| !row.1)).count();
        assert_eq!(report.missing, newly_missing as u64, "{report:?}");
        self.naive.rows = rows;
    }

    /// Compares the rows with the disk, and returns them.
    fn check_rows(&self) -> BTreeMap<&'static str, (u8, bool)> {
        let naive = &self.naive;
        let mut rows = BTreeMap::new();
        for (path, hash, missing) in self.sandbox.rows() {
            let name = NAMES.into_iter().find(|name| *name == path).expect("a known name");
            assert_eq!(missing, !naive.disk.contains_key(name), "{name}");
            let content = match hash {
                None => TEXT,
                Some(hash) => (0..=DAMAGED)
                    .find(|content| ContentHash::of(&bytes(*content)).as_bytes().as_slice() == hash)
                    .expect("a known content"),
            };
            if let Some(expected) = naive.disk.get(name) {
                assert_eq!(content, *expected, "{name}");
            }
            rows.insert(name, (content, missing));
        }
        for name in naive.disk.keys() {
            assert!(rows.contains_key(name), "{name} is on the disk and not in the index");
        }
        for (name, (content, _)) in &naive.rows {
            let elsewhere = naive.disk.values().any(|other| other == content);
            assert!(
                rows.contains_key(name) || elsewhere,
                "the row of {name} is gone, although no other file has its content"
            );
        }
        rows
    }

    fn prune(&mut self) {
        self.sandbox.open().prune(&Default::default()).expect("it can be pruned");
        self.naive.rows.retain(|_, (_, missing)| !*missing);
        let left: BTreeSet<u8> = self.naive.rows.values().map(|(content, _)| *content).collect();
        self.naive.embedded.retain(|(content, _)| left.contains(content));
        assert_eq!(self.sandbox.rows().len(), self.naive.rows.len());
    }

    fn finish(&mut self) {
        self.apply(&Op::Mount);
        self.add();
        let mut index = self.sandbox.open();
        assert_eq!(index.check(false).expect("it can be checked"), []);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_index_follows_the_disk(ops in prop::collection::vec(op(), 1..40)) {
        let _ = runtime();
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
        }
        world.finish();
    }
}
