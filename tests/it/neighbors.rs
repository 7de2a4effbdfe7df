//! Nearest neighbours through the whole library: lost, damaged and unfinished derived files, filters, and threads.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use imgidx::ann::Method;
use imgidx::search::Derived;
use imgidx::store::{FoundFile, ModelRow, Writer};
use imgidx::types::{ContentHash, DecodedFrom, Embedding, FileStat, ImageInfo};
use imgidx::{Filter, Index, Query, Searcher, SearcherOptions};

use crate::common::Sandbox;

const DIMENSION: usize = 1280;

/// A different vector for each number, near those with the same last digit.
fn vector(number: u64) -> Embedding {
    let wave = |seed: u64, i: usize| {
        let mixed =
            (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add((i as u64).wrapping_mul(0xBF58_476D_1CE4_E5B9));
        ((mixed ^ (mixed >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 40) as f32 / 16_777_216.0 - 0.5
    };
    let near = (0..DIMENSION).map(|i| wave(number % 10, i) + wave(1000 + number, i)).collect();
    Embedding::normalized(near).expect("it has a direction")
}

/// An index with generated vectors instead of a model's.
struct Made {
    sandbox: Sandbox,
}

fn model_row(writer: &Writer, index: &Index) -> ModelRow {
    let id = index.searcher().active_model().expect("the built-in one").id;
    writer.model(&id).expect("it can be read").expect("the model has a row").row
}

fn put(writer: &mut Writer, row: ModelRow, numbers: impl IntoIterator<Item = u64>) {
    let batch = writer.batch().expect("a transaction");
    let root = batch.put_root(Path::new("/made"), true, 0, 0).expect("a root");
    for number in numbers {
        let (format, width) = if number.is_multiple_of(100) { ("png", 4000) } else { ("jpeg", 640) };
        let format = format.to_owned();
        let info = ImageInfo {
            format,
            width,
            height: 480,
            orientation: 1,
            has_alpha: false,
            truncated: false,
            taken: None,
            decoded_from: DecodedFrom::Whole,
        };
        let image = batch.put_image(&ContentHash::of(&number.to_le_bytes()), 1, Some(&info)).expect("a row");
        batch.put_embedding(image, row, &vector(number)).expect("a row");
        let path = format!("{:02}/{number:06}", number % 50).into_bytes();
        let stat = FileStat { size: 1, mtime_ns: 0, ctime_ns: 0, inode: number, device: 0 };
        batch.put_file(&FoundFile { root, path, stat, read_at_ns: 1 }, Some(image), None).expect("a row");
    }
    batch.commit().expect("it is committed");
}

impl Made {
    fn new(count: u64) -> Self {
        let sandbox = Sandbox::new();
        sandbox.draw("asked.png", 1);
        sandbox.add();
        let made = Self { sandbox };
        made.put(0..count);
        made.index().searcher().maintain().expect("it can be written");
        made
    }

    fn index(&self) -> Index {
        self.sandbox.open()
    }

    fn put(&self, numbers: impl IntoIterator<Item = u64>) {
        let mut writer = Writer::open(&self.sandbox.database()).expect("no other process is writing");
        let row = model_row(&writer, &self.index());
        put(&mut writer, row, numbers);
    }

    fn delete(&self, number: u64) {
        let index = self.index();
        let mut writer = Writer::open(&self.sandbox.database()).expect("no other process is writing");
        let row = model_row(&writer, &index);
        let batch = writer.batch().expect("a transaction");
        let known = batch.content(&ContentHash::of(&number.to_le_bytes()), row).expect("it can be read");
        batch.delete_embedding(known.expect("it is there").image, row).expect("it can be removed");
        batch.commit().expect("it is committed");
    }

    fn derived(&self) -> PathBuf {
        self.sandbox.path("photos.db-ann")
    }

    /// The derived files with an extension that are in use, not set aside as damaged.
    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.derived()).expect("the folder").flatten();
        let in_use = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with("damaged-"));
        let paths = in_use.map(|entry| entry.path());
        paths.filter(|path| path.extension().is_some_and(|other| other == extension)).collect()
    }

    /// A searcher that has built a graph even for few vectors.
    fn searcher(&self) -> Searcher {
        let options = SearcherOptions { graph_from: 100, ..SearcherOptions::default() };
        let searcher = self.index().searcher().resident(options).expect("it starts");
        searcher.wait_until_settled();
        searcher
    }

    /// The scores and contents of the exact answer.
    fn exact(&self, query: &Embedding, count: usize) -> Vec<(f32, ContentHash)> {
        hits(&self.index().searcher().similar_to(query, &Query::default().exact(true), count).expect("it answers"))
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let query = ["--db", "photos.db", "similar", "photos/asked.png", "--json"];
        self.sandbox.run(&[&query, arguments].concat()).code(0).json()["hits"].clone()
    }
}

fn hits(answer: &imgidx::Answer) -> Vec<(f32, ContentHash)> {
    answer.hits.iter().map(|hit| (hit.score, hit.image)).collect()
}

#[test]
fn without_its_derived_files_a_query_answers_and_they_are_made_again() {
    let made = Made::new(2000);
    let expected = made.json(&["--exact"]);
    assert_eq!(made.json(&[]), expected);
    fs::remove_dir_all(made.derived()).expect("the folder exists");
    let query = ["--db", "photos.db", "similar", "photos/asked.png", "--json"];
    let first = made.sandbox.run(&query).code(0);
    assert_eq!(first.json()["hits"], expected);
    assert!(first.stderr.contains("rebuilt from 2001 vectors"), "{}", first.stderr);
    let second = made.sandbox.run(&query).code(0);
    assert_eq!((second.json()["hits"].clone(), second.stderr.as_str()), (expected, ""));
}

#[test]
fn a_damaged_file_of_codes_is_set_aside_and_made_again() {
    let made = Made::new(2000);
    let expected = made.json(&["--exact"]);
    let query = ["--db", "photos.db", "similar", "photos/asked.png", "--json"];
    for (from_end, length) in [(None, 0), (Some(3000), 1), (Some(3_000_000), 1), (Some(1_000_000), 4096)] {
        let path = made.files("codes").pop().expect("it was made");
        let mut bytes = fs::read(&path).expect("the file");
        match from_end {
            None => bytes.truncate(length),
            Some(from_end) => {
                let at = bytes.len().saturating_sub(from_end);
                bytes[at..at + length].iter_mut().for_each(|byte| *byte ^= 0x10);
            }
        }
        fs::write(&path, bytes).expect("the file");
        assert_eq!(made.sandbox.run(&["--db", "photos.db", "check"]).code, 1);
        let answer = made.sandbox.run(&query).code(0);
        assert_eq!(answer.json()["hits"], expected, "{from_end:?}");
        assert!(answer.stderr.contains("rebuilt"), "{from_end:?}: {}", answer.stderr);
        made.sandbox.run(&["--db", "photos.db", "check"]).code(0);
    }
}

#[test]
fn a_damaged_graph_is_set_aside_and_built_again() {
    let made = Made::new(1500);
    drop(made.searcher());
    for round in 0..8 {
        let path = made.files("graph").pop().expect("it was built");
        let mut bytes = fs::read(&path).expect("the file");
        if round == 0 {
            bytes.truncate(bytes.len() / 2);
        } else {
            let at = bytes.len() * round / 8 + 17 * round;
            bytes[at] ^= 4;
        }
        fs::write(&path, bytes).expect("the file");
        let checked = made.sandbox.run(&["--db", "photos.db", "check"]).code(1);
        assert!(checked.stdout.contains("graph"), "{}", checked.stdout);
        let searcher = made.searcher();
        let status = searcher.resident_status().expect("it is resident");
        assert_eq!(status.method, Method::Hnsw, "{round}");
        assert!(status.notes.iter().any(|note| note.contains("was damaged")), "{round}: {:?}", status.notes);
        let answer = searcher.similar_to(&vector(77), &Query::default(), 5).expect("it answers");
        assert_eq!(hits(&answer), made.exact(&vector(77), 5), "{round}");
    }
}

#[test]
fn files_that_are_cut_off_while_they_are_in_use_cost_no_answer() {
    let made = Made::new(1500);
    for kind in ["codes", "graph"] {
        let searcher = made.searcher();
        let ask = |number: u64| searcher.similar_to(&vector(number), &Query::default(), 5).expect("it answers");
        assert_eq!((ask(3).method, hits(&ask(3))), (Method::Hnsw, made.exact(&vector(3), 5)));
        let path = made.files(kind).pop().expect("there is one");
        let length = fs::metadata(&path).expect("it is there").len();
        // One query does not read the whole file, so the next cuts affect pages that were not read yet.
        for part in [3, 2, 1] {
            let file = fs::File::options().write(true).open(&path);
            if let Ok(file) = file {
                file.set_len(length * part / 4).expect("it can be cut");
            }
            for number in [7, 77, 777] {
                assert_eq!(hits(&ask(number)), made.exact(&vector(number), 5), "{kind}, {part} parts of 4");
            }
        }
        searcher.wait_until_settled();
        let answer = ask(5);
        assert_eq!((answer.method, hits(&answer)), (Method::Hnsw, made.exact(&vector(5), 5)), "{kind} was not rebuilt");
    }
}

/// Runs an ignored test of this file in another process, which a fail point ends.
fn dies_at(point: &str, made: &Made) {
    let mut command = Command::new(std::env::current_exe().expect("it runs"));
    command.args(["--exact", "neighbors::makes_all_derived_files", "--ignored", "--nocapture"]);
    command.env("FAILPOINTS", format!("{point}=return")).env("MADE_DATABASE", made.sandbox.database());
    let output = command.output().expect("it starts");
    assert!(
        !output.status.success(),
        "the fail point {point} did not end the process: {}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
#[ignore = "run by other tests, in a process of its own"]
fn makes_all_derived_files() {
    let Some(database) = std::env::var_os("MADE_DATABASE") else { return };
    let _points = fail::FailScenario::setup();
    let index = Index::open(database).expect("it opens");
    index.searcher().maintain().expect("it can be written");
    let options = SearcherOptions { graph_from: 100, ..SearcherOptions::default() };
    index.searcher().resident(options).expect("it starts").wait_until_settled();
}

#[test]
fn a_process_that_is_killed_while_it_publishes_leaves_nothing_half_made() {
    let made = Made::new(1500);
    drop(made.searcher());
    let mut next = 1500;
    for point in ["codes-written", "codes-renamed", "codes-committed", "graph-written", "graph-renamed"] {
        // Enough vectors are new for both files to be rewritten.
        made.put(next..next + 600);
        next += 600;
        if point.starts_with("graph") {
            made.files("graph").iter().for_each(|path| fs::remove_file(path).expect("it is there"));
        }
        dies_at(point, &made);
        let expected = made.exact(&vector(7), 10);
        let answer = made.index().searcher().similar_to(&vector(7), &Query::default(), 10).expect("it answers");
        assert_eq!(hits(&answer), expected, "{point}");
        let searcher = made.searcher();
        let answer = searcher.similar_to(&vector(7), &Query::default(), 10).expect("it answers");
        assert_eq!((hits(&answer), answer.method), (expected, Method::Hnsw), "{point}");
        drop(searcher);
        made.sandbox.run(&["--db", "photos.db", "check"]).code(0);
        let names: Vec<_> = fs::read_dir(made.derived()).expect("the folder").flatten().collect();
        let left = names.iter().filter(|entry| entry.file_name().to_string_lossy().starts_with(".unfinished"));
        assert_eq!(left.count(), 0, "{point}: unfinished files are left");
    }
}

#[test]
fn over_its_budget_of_memory_a_searcher_scans_and_says_so() {
    let made = Made::new(1500);
    let options = SearcherOptions { graph_from: 100, memory: 3 << 20, ..SearcherOptions::default() };
    let searcher = made.index().searcher().resident(options).expect("it starts");
    searcher.wait_until_settled();
    let status = searcher.resident_status().expect("it is resident");
    assert_eq!((status.method, status.graph), (Method::Scan, None));
    assert!(status.notes.iter().any(|note| note.contains("3 MiB are allowed")), "{:?}", status.notes);
    let answer = searcher.similar_to(&vector(3), &Query::default(), 10).expect("it answers");
    assert_eq!(hits(&answer), made.exact(&vector(3), 10));
}

#[test]
fn filters_give_the_exact_nearest_of_what_passes() {
    let made = Made::new(3000);
    let searcher = made.searcher();
    let all = made.exact(&vector(5), 4000);
    let number_of: BTreeMap<ContentHash, u64> = (0..3000).map(|n| (ContentHash::of(&u64::to_le_bytes(n)), n)).collect();
    type Passes = fn(u64) -> bool;
    let filters: [(Filter, Passes); 6] = [
        (Filter::default().under("/made/07"), |n| n % 50 == 7),
        (Filter::default().under("/made/07/000057").under("/made/49"), |n| n == 57 || n % 50 == 49),
        (Filter::default().under("/made"), |_| true),
        (Filter::default().under("/made/0"), |_| false),
        (Filter::default().format("png"), |n| n.is_multiple_of(100)),
        (Filter::default().min_width(641).min_height(480).under("/made/00"), |n| n.is_multiple_of(100)),
    ];
    for (filter, passes) in filters {
        let expected: Vec<_> =
            all.iter().filter(|(_, hash)| number_of.get(hash).is_some_and(|n| passes(*n))).take(20).copied().collect();
        for exact in [false, true] {
            let query = Query::default().filter(filter.clone()).exact(exact);
            let resident = searcher.similar_to(&vector(5), &query, 20).expect("it answers");
            assert_eq!((hits(&resident), resident.method), (expected.clone(), Method::Scan), "{filter:?}");
            let once = made.index().searcher().similar_to(&vector(5), &query, 20).expect("it answers");
            assert_eq!(hits(&once), expected, "{filter:?}");
        }
    }
    let under = made.json(&["--under", "/made/07", "-k", "100"]);
    assert_eq!(under.as_array().map(Vec::len), Some(60));
}

#[test]
fn a_searcher_sees_what_is_added_and_deleted_as_a_naive_search_does() {
    let made = Made::new(1500);
    let searcher = made.searcher();
    let mut alive: Vec<u64> = (0..1500).collect();
    let mut next = 1500;
    for round in 0..30_u64 {
        match round % 3 {
            0 => {
                let count = [1, 40, 300][round as usize / 3 % 3];
                made.put(next..next + count);
                alive.extend(next..next + count);
                next += count;
            }
            1 => {
                for i in 0..25 {
                    made.delete(alive.remove((round as usize * 7919 + i * 104_729) % alive.len()));
                }
            }
            _ => drop(made.index().searcher().maintain().expect("it can be written")),
        }
        let query = vector(round * 37);
        let answer = searcher.similar_to(&query, &Query::default(), 12).expect("it answers");
        let scores: Vec<f32> = answer.hits.iter().map(|hit| hit.score).collect();
        let expected: Vec<f32> = made.exact(&query, 12).iter().map(|(score, _)| *score).collect();
        assert_eq!(scores, expected, "round {round}");
        assert_eq!(answer.derived, Derived::Current);
    }
}

#[test]
fn what_was_committed_before_a_query_is_in_its_answer() {
    let made = Made::new(1200);
    let searcher = made.searcher();
    let committed = AtomicU64::new(1200);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (searcher, committed, done) = (&searcher, &committed, &done);
            scope.spawn(move || {
                let mut asked = 0;
                while !done.load(Ordering::SeqCst) || asked == 0 {
                    // The newest vector that is known to be committed, and an older one.
                    let newest = committed.load(Ordering::SeqCst) - 1;
                    for number in [newest, (thread * 311 + asked * 7) % newest] {
                        let answer = searcher.similar_to(&vector(number), &Query::default(), 3).expect("it answers");
                        assert_eq!(answer.hits[0].image, ContentHash::of(&number.to_le_bytes()));
                        assert_eq!(answer.hits.len(), 3);
                    }
                    asked += 1;
                }
            });
        }
        let mut writer = Writer::open(&made.sandbox.database()).expect("no other process is writing");
        let row = model_row(&writer, &made.index());
        for number in 1200..2100 {
            put(&mut writer, row, [number]);
            committed.store(number + 1, Ordering::SeqCst);
        }
        drop(writer);
        done.store(true, Ordering::SeqCst);
    });
    searcher.wait_until_settled();
    assert_eq!(searcher.resident_status().expect("it is resident").notes, [] as [&str; 0]);
}

#[test]
fn codes_of_another_state_of_the_database_are_not_used() {
    let made = Made::new(1000);
    let backup = made.sandbox.path("backup.db");
    fs::copy(made.sandbox.database(), &backup).expect("it can be copied");
    made.put(1000..1800);
    made.index().searcher().maintain().expect("it can be written");
    // After the backup is restored, other vectors get ids that the quantized vectors already use.
    for name in ["photos.db-wal", "photos.db-shm"] {
        let _ = fs::remove_file(made.sandbox.path(name));
    }
    fs::copy(&backup, made.sandbox.database()).expect("it can be copied");
    made.put(5000..5900);
    let answer = made.index().searcher().similar_to(&vector(5123), &Query::default(), 10).expect("it answers");
    assert_eq!(hits(&answer), made.exact(&vector(5123), 10));
}
