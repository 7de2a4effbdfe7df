//! The whole program compared with lower bounds of its time ("floors"), measured in the same run.
//!
//! ```sh
//! cargo bench --bench end_to_end -- DIRECTORY…
//! ```
//!
//! Without directories it draws its own pictures. Each figure is the median of alternating runs. The ratio to the floor
//! is what counts, because the speed of a machine drifts:
//!
//! - **fresh add**: the floor decodes, scales, measures and embeds the same bytes from memory, with as many workers. The
//!   difference is walking, reading, hashing, queues and SQLite;
//! - **features**: the same floor, compared with one that measures no features;
//! - **repeated add** of unchanged files: the floor is `find -printf`, which walks the tree and reads the properties of
//!   each file;
//! - **moved tree**: the floor reads and hashes the files;
//! - **query** as a new process: of a picture in the index, and of one that is not.

#[path = "common/arguments.rs"]
mod arguments;
#[path = "common/contents.rs"]
mod contents;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use imgidx::media::{Content, DecodeLimits, decode_within, measure};
use imgidx::model::{Device, Embedder, Model, Runtime};
use imgidx::{AddOptions, Index, OpenOptions};

use contents::{files, first_file, read_all};

const RUNS: usize = 5;
const UNCHANGED_FILES: usize = 20_000;

fn main() {
    let directories = arguments::directories();
    let scratch = tempfile::tempdir().expect("a folder");
    let directories = if directories.is_empty() { vec![draw(scratch.path())] } else { directories };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{workers} workers, medians of {RUNS} alternating runs");
    let bench = Bench { scratch: scratch.path().to_owned(), workers };
    bench.fresh_add(&directories);
    bench.repeated_add();
    bench.moved_tree(&directories[0]);
    bench.query(&directories);
}

struct Bench {
    scratch: PathBuf,
    workers: usize,
}

impl Bench {
    fn index(&self, name: &str) -> Index {
        OpenOptions::default().open(self.scratch.join(name)).expect("it opens")
    }

    fn fresh_add(&self, directories: &[PathBuf]) {
        let contents = read_all(directories);
        let model = Model::builtin();
        let options = OpenOptions::default().runtime_options().expect("a data directory");
        let runtime = Runtime::load(&options).expect("it is there or can be fetched");
        let mut count = 0;
        let floor = |with_features| embed_all(&contents, &model, &runtime, self.workers, with_features);
        let (add, all) = alternate(
            |run| {
                let mut index = self.index(&format!("fresh{run}.db"));
                count = index.add(directories, &AddOptions::default()).expect("it can be indexed").embedded;
            },
            |_| floor(true),
        );
        let rate = count as f64 / add.as_secs_f64();
        line(
            &format!("fresh add, {count} pictures, {rate:.0} images/s"),
            add,
            "floor",
            all,
            all.as_secs_f64() / add.as_secs_f64(),
            "of the floor's speed",
        );
        let (with, without) = alternate(|_| floor(true), |_| floor(false));
        let each = (with.as_secs_f64() - without.as_secs_f64()) * self.workers as f64 / count as f64;
        let what = format!("features, {:.2} ms a picture on one core", 1e3 * each);
        let ratio = with.as_secs_f64() / without.as_secs_f64();
        line(&what, with, "without", without, ratio, "times the time without");
    }

    fn repeated_add(&self) {
        let folder = self.scratch.join("unchanged");
        let picture = png(7);
        for i in 0..UNCHANGED_FILES {
            let path = folder.join(format!("{:03}/{i:05}.png", i / 200));
            fs::create_dir_all(path.parent().expect("the path has a parent")).expect("a folder");
            fs::write(path, &picture).expect("a file");
        }
        let database = self.scratch.join("unchanged.db");
        let add = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_imgidx"));
            command.arg("--db").arg(&database).arg("--quiet").arg("add").arg(&folder);
            run(&mut command);
        };
        add();
        add();
        let (add, find) = alternate(
            |_| add(),
            |_| run(Command::new("find").arg(&folder).args(["-type", "f", "-printf", "%s %T@\\n"])),
        );
        let ratio = add.as_secs_f64() / find.as_secs_f64();
        line(
            &format!("repeated add, {UNCHANGED_FILES} unchanged files"),
            add,
            "find",
            find,
            ratio,
            "times find's time",
        );
    }

    fn moved_tree(&self, directory: &Path) {
        let here = self.scratch.join("here");
        copy_tree(directory, &here);
        let there = self.scratch.join("there");
        let mut index = self.index("moved.db");
        index.add([&here], &AddOptions::default()).expect("it can be indexed");
        let (add, floor) = alternate(
            |run| {
                let (from, to) = if run % 2 == 0 { (&here, &there) } else { (&there, &here) };
                fs::rename(from, to).expect("it can be renamed");
                let report = index.add([to], &AddOptions::default()).expect("it can be indexed");
                assert_eq!(report.embedded, 0);
            },
            |run| drop(read_all(&[if run % 2 == 0 { there.clone() } else { here.clone() }])),
        );
        line(
            "moved tree",
            add,
            "read and hash",
            floor,
            add.as_secs_f64() / floor.as_secs_f64(),
            "times the floor's time",
        );
    }

    fn query(&self, directories: &[PathBuf]) {
        let database = self.scratch.join("query.db");
        Index::open(&database)
            .and_then(|mut index| index.add(directories, &AddOptions::default()))
            .expect("it can be indexed");
        let known = first_file(&directories[0]);
        let new = self.scratch.join("new.png");
        fs::write(&new, png(200)).expect("a file");
        let query = |picture: &Path| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_imgidx"));
            run(command.arg("--db").arg(&database).arg("similar").arg(picture));
        };
        let (indexed, fresh) = alternate(|_| query(&known), |_| query(&new));
        println!("query as a new process: {indexed:.1?} of a picture in the index, {fresh:.1?} of a new one");
    }
}

/// Runs both in turn and returns the median time of each.
fn alternate(mut a: impl FnMut(usize), mut b: impl FnMut(usize)) -> (Duration, Duration) {
    let time = |f: &mut dyn FnMut(usize), run| {
        let start = Instant::now();
        f(run);
        start.elapsed()
    };
    let (mut times_a, mut times_b): (Vec<_>, Vec<_>) =
        (0..RUNS).map(|run| (time(&mut a, run), time(&mut b, run))).unzip();
    times_a.sort();
    times_b.sort();
    (times_a[RUNS / 2], times_b[RUNS / 2])
}

fn line(what: &str, time: Duration, floor: &str, floor_time: Duration, ratio: f64, unit: &str) {
    println!("{what}: {time:.2?}; {floor}: {floor_time:.2?}; {ratio:.2} {unit}");
}

fn run(command: &mut Command) {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn copy_tree(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).expect("the file is below the folder"));
        fs::create_dir_all(target.parent().expect("the path has a parent")).expect("a folder");
        fs::copy(file, target).expect("it can be copied");
    }
}

/// The floor of a fresh add: only decoding, scaling and embedding, and measuring features if `with_features` is set.
fn embed_all(contents: &[Content], model: &Model, runtime: &Runtime, workers: usize, with_features: bool) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut embedder = Embedder::new(model, runtime, Device::Cpu, 1).expect("it opens");
                let mut batch = Vec::new();
                while let Some(content) = contents.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (limits, request) = (DecodeLimits::default(), model.spec().decode_request());
                    let decoded = decode_within(&content.bytes, content.format, limits, &request, |_| ());
                    let Ok((picture, ())) = decoded else { continue };
                    if with_features {
                        std::hint::black_box(measure(&picture, None));
                    }
                    batch.push(Embedder::prepare(model.spec(), &picture));
                    if batch.len() == Device::Cpu.usual_batch(None) {
                        embedder.embed(&batch).expect("it runs");
                        batch.clear();
                    }
                }
                embedder.embed(&batch).expect("it runs");
            });
        }
    });
}

fn png(seed: u32) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(320, 240, |x, y| {
        let wave = |step: u32| ((x * (step + seed % 7) + y * (step + seed % 5)) / 3 + seed * 31) as u8;
        image::Rgb([wave(1), wave(2), wave(3)])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).expect("it encodes");
    bytes.into_inner()
}

/// Draws 400 JPEG files of 500 × 375 pixels and returns their folder.
fn draw(scratch: &Path) -> PathBuf {
    let folder = scratch.join("drawn");
    fs::create_dir(&folder).expect("a folder");
    for seed in 0..400_u32 {
        let picture = image::RgbImage::from_fn(500, 375, |x, y| {
            let noise = (x * 7919 + y * 104_729 + seed * 1_299_709).wrapping_mul(2_654_435_761) >> 27;
            image::Rgb([(x / 2 + noise) as u8, (y / 2 + seed) as u8, (seed * 3 + noise) as u8])
        });
        picture.save(folder.join(format!("{seed}.jpg"))).expect("a file");
    }
    folder
}
