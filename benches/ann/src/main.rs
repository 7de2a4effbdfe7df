//! Benchmark of nearest-neighbour search against its peers, in one run.
//!
//! ```sh
//! cargo run --release --manifest-path benches/ann/Cargo.toml -- DIRECTORY… [--rows 10000,100000] [--peer-rows 100000]
//! ```
//!
//! The benchmark indexes the pictures of the directories and builds sets of the given sizes from their vectors (see
//! [`set`]): the real vectors, noisy mixtures of them, and one tenth exact copies in groups of 100 and 1,000. The sets
//! are stored in a real database. The queries are 200 further mixtures that are in no set. The ground truth is a
//! comparison with every stored vector.
//!
//! - **scan**, **graph**: recall of the ten nearest, median query time and queries per second on one thread, and queries
//!   per second on all threads
//! - **filtered**: query time with a filter that passes one picture in 100 or in 10,000, and whether the answer is exact
//! - **changed**: like **graph**, after a fifth of the set was deleted and a twentieth added; then query times while
//!   10,000 more vectors are added
//! - **new process**: `imgidx similar` with an indexed picture
//! - **flat**: a scan of 32-bit floats in memory, one query at a time
//! - **usearch**: an HNSW of 16-bit floats, with increasing search widths until its recall reaches that of the graph

mod set;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use imgidx::store::{Store, StoredVector};
use imgidx::types::{Embedding, VectorId};
use imgidx::{AddOptions, Answer, Filter, Index, Query, Searcher, SearcherOptions};
use rayon::prelude::*;
use usearch::{Index as Usearch, IndexOptions, MetricKind, ScalarKind};

const NEAREST: usize = 10;
const QUERIES: usize = 200;
/// The number of the first mixture that is in no set.
const FIRST_QUERY: u64 = 1 << 40;

struct Options {
    directories: Vec<PathBuf>,
    rows: Vec<usize>,
    peer_rows: usize,
}

fn main() {
    let options = options();
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{threads} threads, the {NEAREST} nearest of {QUERIES} queries");
    for rows in &options.rows {
        bench(&scratch.path().join(format!("{rows}.db")), *rows, &options, threads);
    }
}

fn options() -> Options {
    let mut options = Options { directories: Vec::new(), rows: vec![10_000, 100_000], peer_rows: 100_000 };
    let mut arguments = std::env::args().skip(1);
    let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).expect("a number");
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rows" => {
                let list = arguments.next().expect("numbers");
                options.rows = list.split(',').map(|rows| number(Some(rows.to_owned()))).collect();
            }
            "--peer-rows" => options.peer_rows = number(arguments.next()),
            _ => options.directories.push(argument.into()),
        }
    }
    assert!(!options.directories.is_empty(), "at least one directory of pictures is required");
    options
}

fn bench(database: &Path, rows: usize, options: &Options, threads: usize) {
    let mut index = Index::open(database).expect("the index can be created");
    index.add(&options.directories, &AddOptions::default()).expect("the pictures can be indexed");
    let real = set::real_vectors(&index);
    println!("\n{rows} vectors of {} components, {} of them of real pictures", real[0].dimension(), real.len());
    let synthetic = rows - real.len();
    let (filled, ()) = timed(|| set::store(database, &real, 0, synthetic));
    let (coded, covered) = timed(|| index.searcher().maintain().expect("the codes can be written"));
    println!("stored in {filled:.1?}; {} vectors quantized in {coded:.1?}", covered.unwrap_or(0));

    let queries: Vec<Embedding> = (0..QUERIES as u64).map(|i| set::mixture(&real, FIRST_QUERY + i)).collect();
    let truth = exact(database, &queries);
    let no_graph = SearcherOptions { graph_from: u64::MAX, ..SearcherOptions::default() };
    let scan = index.searcher().resident(no_graph).expect("it starts");
    measure("scan", &scan, &queries, &truth, threads);
    drop(scan);

    let before = memory("VmHWM");
    let (built, searcher) = timed(|| {
        let searcher = index.searcher().resident(SearcherOptions::default()).expect("it starts");
        searcher.wait_until_settled();
        searcher
    });
    println!("graph ready in {built:.1?}, peak memory {} MiB ({before} before)", memory("VmHWM"));
    print_status(&searcher);
    let recall = measure("graph", &searcher, &queries, &truth, threads);
    filtered(&searcher, &queries, rows);
    new_process(database, &options.directories[0]);

    let deleted = set::delete_every(database, 5, synthetic);
    set::store(database, &real, synthetic, synthetic + rows / 20);
    let truth = exact(database, &queries);
    let _ = searcher.similar_to(&queries[0], &Query::default(), NEAREST);
    println!(
        "changed: {deleted} deleted, {} added, {} of them with codes in memory",
        rows / 20,
        searcher.resident_status().expect("it is resident").recent
    );
    measure("changed", &searcher, &queries, &truth, threads);
    while_adding(database, &real, &searcher, synthetic + rows / 20);
    drop(searcher);

    if rows <= options.peer_rows {
        peers(&real, rows, &queries, recall);
    }
}

/// The score of the tenth nearest stored vector of each query. Vectors of equal score are interchangeable.
fn exact(database: &Path, queries: &[Embedding]) -> Vec<f32> {
    let model = Index::open(database).and_then(|index| index.searcher().active_model()).expect("the index is there").id;
    let store = Store::open(database).expect("the index is there");
    let row = store.model(&model).expect("it can be read").expect("pictures were added").row;
    let mut truth = GroundTruth::new(queries);
    let mut part = Vec::new();
    let each = |vector: StoredVector| {
        part.push(vector.embedding);
        if part.len() == 4096 {
            truth.update(&part);
            part.clear();
        }
        Ok(())
    };
    store.for_each_vector(row, VectorId(0), each).expect("it can be read");
    truth.update(&part);
    truth.lowest()
}

/// The highest scores of each query so far, in descending order.
struct GroundTruth<'a> {
    queries: &'a [Embedding],
    highest: Vec<Vec<f32>>,
}

impl<'a> GroundTruth<'a> {
    fn new(queries: &'a [Embedding]) -> Self {
        Self { queries, highest: vec![Vec::new(); queries.len()] }
    }

    fn update(&mut self, vectors: &[Embedding]) {
        self.queries.par_iter().zip(&mut self.highest).for_each(|(query, highest)| {
            for vector in vectors {
                let score = query.cosine(vector);
                if highest.len() < NEAREST || score > highest[NEAREST - 1] {
                    highest.insert(highest.partition_point(|other| *other >= score), score);
                    highest.truncate(NEAREST);
                }
            }
        });
    }

    fn lowest(self) -> Vec<f32> {
        self.highest.iter().map(|scores| *scores.last().expect("there are vectors")).collect()
    }
}

fn found(answer: &Answer, lowest: f32) -> usize {
    answer.hits.iter().filter(|hit| hit.score >= lowest - 1e-6).count()
}

fn measure(name: &str, searcher: &Searcher, queries: &[Embedding], truth: &[f32], threads: usize) -> f32 {
    let ask = |query: &Embedding| searcher.similar_to(query, &Query::default(), NEAREST).expect("it answers");
    // A warm-up run brings everything that the queries read into the page cache.
    queries.iter().for_each(|query| drop(ask(query)));
    let mut times = Vec::new();
    let mut hits = 0;
    let mut method = None;
    for (query, lowest) in queries.iter().zip(truth) {
        let (time, answer) = timed(|| ask(query));
        times.push(time);
        hits += found(&answer, *lowest);
        method = Some(answer.method);
    }
    times.sort();
    let total: Duration = times.iter().sum();
    let next = AtomicUsize::new(0);
    let (together, ()) = timed(|| {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(query) = queries.get(next.fetch_add(1, Ordering::Relaxed)) {
                        ask(query);
                    }
                });
            }
        });
    });
    let recall = hits as f32 / (queries.len() * NEAREST) as f32;
    println!(
        "{name} ({:?}): recall {recall:.4}; median {:.2?}, {:.0} queries/s on one thread, {:.0} on {threads}",
        method.expect("there are queries"),
        times[times.len() / 2],
        rate(queries.len(), total),
        rate(queries.len(), together),
    );
    recall
}

/// Eight threads query while vectors are added one by one, each in its own transaction. Every other query is the newest
/// committed vector, which must be its own nearest neighbour.
fn while_adding(database: &Path, real: &[Embedding], searcher: &Searcher, first: usize) {
    const ADDED: usize = 10_000;
    let (committed, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let ask = |thread: usize| {
        let mut times = Vec::new();
        while !done.load(Ordering::SeqCst) {
            let newest = committed.load(Ordering::SeqCst);
            let is_old = times.len() % 2 == 0 || newest == 0;
            let number =
                if is_old { FIRST_QUERY + (thread * 7919 + times.len()) as u64 } else { (first + newest - 1) as u64 };
            let vector = if is_old { set::mixture(real, number) } else { set::member(real, number) };
            let (time, answer) =
                timed(|| searcher.similar_to(&vector, &Query::default(), NEAREST).expect("it answers"));
            assert!(is_old || answer.hits[0].score > 0.9999, "a committed vector was not found");
            times.push(time);
        }
        times
    };
    let (took, mut times) = timed(|| {
        std::thread::scope(|scope| {
            let ask = &ask;
            let threads: Vec<_> = (0..8).map(|thread| scope.spawn(move || ask(thread))).collect();
            let (mut writer, row) = set::writer(database);
            (0..ADDED).for_each(|i| {
                set::store_batch(&mut writer, row, real, first + i, first + i + 1);
                committed.store(i + 1, Ordering::SeqCst);
            });
            done.store(true, Ordering::SeqCst);
            threads.into_iter().flat_map(|thread| thread.join().expect("it asked")).collect::<Vec<_>>()
        })
    });
    times.sort();
    let part = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{ADDED} added one by one in {took:.1?} during {} queries on 8 threads: median {:.1?}, p99 {:.1?}, max {:.1?}",
        times.len(),
        part(0.5),
        part(0.99),
        part(1.0),
    );
}

/// Queries with a filter on a few folders, and compares some answers with the exact ones.
fn filtered(searcher: &Searcher, queries: &[Embedding], rows: usize) {
    const EXACT: usize = 3;
    for one_in in [100, 10_000] {
        let folders = rows / one_in / set::MEMBERS_PER_FOLDER;
        let filter = (0..folders.max(1)).fold(Filter::default(), |filter, i| filter.under(set::folder(i * one_in)));
        let query = Query::default().filter(filter);
        let ask = |vector: &Embedding, query: &Query| searcher.similar_to(vector, query, NEAREST).expect("it answers");
        let mut times: Vec<Duration> = queries.iter().take(50).map(|vector| timed(|| ask(vector, &query)).0).collect();
        times.sort();
        let exact = query.clone().exact(true);
        let same = |vector: &&Embedding| ask(vector, &query).hits == ask(vector, &exact).hits;
        let right = queries.iter().take(EXACT).filter(same).count();
        println!(
            "filtered, 1 of {one_in}: median {:.2?}; {right} of {EXACT} answers are exact",
            times[times.len() / 2]
        );
    }
}

fn print_status(searcher: &Searcher) {
    let status = searcher.resident_status().expect("it is resident");
    println!("memory {} MiB; {:?}", status.memory_bytes >> 20, status.graph);
    status.notes.iter().for_each(|note| println!("note: {note}"));
}

fn new_process(database: &Path, directory: &Path) {
    let picture = first_file(directory);
    let mut times: Vec<Duration> = (0..11)
        .map(|_| {
            let mut command = Command::new(program());
            command.arg("--db").arg(database).arg("similar").arg(&picture);
            let (time, output) = timed(|| command.output().expect("it starts"));
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            time
        })
        .collect();
    times.sort();
    println!("new process: median {:.1?} of {}", times[times.len() / 2], times.len());
}

/// The release build of `imgidx`, from the target directory of this benchmark or of the project.
fn program() -> PathBuf {
    let beside = std::env::current_exe().expect("it runs").with_file_name("imgidx");
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release/imgidx");
    let found = [beside, project].into_iter().find(|path| path.exists());
    found.expect("`imgidx` was built with `cargo build --release` in the project")
}

fn first_file(directory: &Path) -> PathBuf {
    let entries = std::fs::read_dir(directory).expect("a folder").flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = entries.collect();
    paths.sort();
    let first = paths.into_iter().next().expect("there are pictures");
    if first.is_dir() { first_file(&first) } else { first }
}

fn peers(real: &[Embedding], rows: usize, queries: &[Embedding], recall: f32) {
    let synthetic = rows - real.len();
    let vectors: Vec<Embedding> =
        real.iter().cloned().chain((0..synthetic as u64).map(|i| set::member(real, i))).collect();
    let (time, nearest) = timed(|| {
        queries.iter().take(5).map(|query| vectors.iter().map(|v| query.cosine(v)).fold(-1.0, f32::max)).sum::<f32>()
    });
    assert!(nearest.is_finite());
    println!("flat scan of 32-bit floats: {:.2?} per query on one thread", time / 5);
    let mut truth = GroundTruth::new(queries);
    vectors.chunks(4096).for_each(|part| truth.update(part));
    let truth = truth.lowest();

    let options = IndexOptions {
        dimensions: real[0].dimension(),
        metric: MetricKind::IP,
        quantization: ScalarKind::F16,
        connectivity: 16,
        expansion_add: 128,
        ..IndexOptions::default()
    };
    let usearch = Usearch::new(&options).expect("the index can be created");
    usearch.reserve(rows).expect("there is enough memory");
    let add = |(key, vector): (usize, &Embedding)| usearch.add(key as u64, vector.as_slice()).expect("it is added");
    let (built, ()) = timed(|| vectors.par_iter().enumerate().for_each(add));
    println!("usearch: built in {built:.1?}, {} MiB; the graph's recall was {recall:.4}", usearch.memory_usage() >> 20);
    for width in [64, 128, 256, 512, 1024] {
        usearch.change_expansion_search(width);
        let (mut hits, mut total) = (0, Duration::ZERO);
        for (query, lowest) in queries.iter().zip(&truth) {
            let (time, matches) = timed(|| usearch.search(query.as_slice(), NEAREST).expect("it answers"));
            total += time;
            hits += matches.keys.iter().filter(|key| query.cosine(&vectors[**key as usize]) >= lowest - 1e-6).count();
        }
        let found = hits as f32 / (queries.len() * NEAREST) as f32;
        println!(
            "usearch, width {width}: recall {found:.4}; {:.0} queries/s on one thread",
            rate(queries.len(), total)
        );
        if found >= recall {
            break;
        }
    }
}

fn timed<T>(f: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = f();
    (start.elapsed(), result)
}

fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// A value from `/proc/self/status` in MiB; 0 on systems other than Linux.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name));
    let kib: Option<u64> = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|word| word.parse().ok());
    kib.unwrap_or(0) >> 10
}
