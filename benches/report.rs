//! Time and memory of imgidx, area by area, compared with published figures of other programs.
//!
//! ```sh
//! cargo bench --bench report -- [DIRECTORY…]
//! ```
//!
//! Uses 1,000 JPEG files of 224 × 224 pixels, made of the pictures of the directories or drawn. It prints Markdown;
//! `docs/performance.md` has a copy. The other figures are from two guides: the first describes a feature extractor in
//! Python (ResNet-18 in PyTorch; 1,000 JPEG files of 224 × 224 pixels), the second a pipeline of features, types and
//! vectors in Python. Both state what they reach or aim at, on the machines that they name.

#[path = "common/arguments.rs"]
mod arguments;
#[path = "common/contents.rs"]
mod contents;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage, imageops};
use imgidx::media::{Content, DecodeLimits, Picture, decode_within, measure};
use imgidx::model::{Device, Embedded, Embedder, Model, Runtime};
use imgidx::search::SearcherOptions;
use imgidx::types::{ContentHash, current_memory};
use imgidx::{AddOptions, Index, OpenOptions, Query};

use contents::{files, first_file, read_all};

const PICTURES: usize = 1000;
const SIDE: u32 = 224;
const RUNS: usize = 5;

fn main() {
    let directories = arguments::directories();
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path().join("pictures");
    let drawn = make_pictures(&directories, &folder);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{cores} cores; {PICTURES} JPEG files of {SIDE} × {SIDE} pixels, {drawn}; medians of {RUNS} runs\n");
    let report = Report { scratch: scratch.path().to_owned(), folder, cores };
    // Processes come first, while this one is small: its peak memory counts as theirs.
    report.start_up();
    report.memory();
    report.files();
    report.single();
    report.batches();
    report.targets();
    report.clients();
}

struct Report {
    scratch: PathBuf,
    folder: PathBuf,
    cores: usize,
}

impl Report {
    fn start_up(&self) {
        let database = self.scratch.join("start.db");
        run(&database, &["add", self.folder.to_str().expect("UTF-8")]);
        let mut table = Table::new("Start-up", ["", "time", "bound", "memory", "verdict"]);
        let picture = first_file(&self.folder);
        let commands: [(&str, Vec<&str>, f64); 4] = [
            ("`imgidx --help`", vec!["--help"], 10.0),
            ("`imgidx status`", vec!["status"], 50.0),
            ("`imgidx similar`, of an indexed picture", vec!["similar", picture.to_str().expect("UTF-8")], 50.0),
            ("`imgidx add`, with nothing to do", vec!["add", self.folder.to_str().expect("UTF-8")], 100.0),
        ];
        for (name, args, bound) in commands {
            let runs: Vec<Finished> = (0..RUNS).map(|_| run(&database, &args)).collect();
            let time = median(runs.iter().map(|run| run.time).collect());
            let memory = runs.iter().map(|run| run.memory).max().unwrap_or(0);
            table.row([
                name.to_owned(),
                ms(time),
                format!("{bound:.0} ms"),
                mib(memory),
                verdict(millis(time) <= bound && memory < 50 << 20),
            ]);
        }
        table.print("The bound on memory is 50 MB, the target of the second guide for a start.");
    }

    /// One picture at a time, on all cores.
    fn single(&self) {
        let mut embedder = self.embedder(self.cores);
        let contents = read_all(std::slice::from_ref(&self.folder));
        let mut times: Vec<Duration> =
            contents.iter().map(|content| time(|| drop(process(content, &mut embedder)))).collect();
        let p95 = quantile(&mut times, 0.95);
        let ours = quantile(&mut times, 0.5);
        let mut table = Table::new("One picture", ["", "time", "relative to imgidx"]);
        table.row(["imgidx, with decoding and all features".into(), ms(ours), "1.0".into()]);
        for (name, theirs) in [("Intel i9-12900K", 21.5), ("Mac M1 Max (MPS)", 15.2), ("RTX 4090 (CUDA)", 6.2)] {
            table.row([name.into(), format!("{theirs} ms"), format!("{:.1}", theirs / millis(ours))]);
        }
        table.print(&format!("The slowest 5 % take {} or more.", ms(p95)));
    }

    fn batches(&self) {
        let model = Model::builtin();
        let contents = read_all(std::slice::from_ref(&self.folder));
        let pixels: Vec<RgbImage> =
            contents[..64].iter().map(|content| Embedder::prepare(model.spec(), &decode(content))).collect();
        let mut embedder = self.embedder(self.cores);
        let theirs = [(1, 21.0, 8.0), (8, 160.0, 50.0), (16, 320.0, 90.0), (32, 650.0, 180.0), (64, 1280.0, 350.0)];
        let mut table = Table::new(
            "Batches through the model",
            ["batch", "imgidx", "images/s", "i7/i9 (CPU)", "RTX (CUDA)", "verdict"],
        );
        for (size, cpu, cuda) in theirs {
            embedder.embed(&pixels[..size]).expect("it runs");
            let times = (0..RUNS).map(|_| time(|| drop(embedder.embed(&pixels[..size])))).collect();
            let ours = median(times);
            table.row([
                size.to_string(),
                ms(ours),
                format!("{:.0}", size as f64 / ours.as_secs_f64()),
                format!("{cpu} ms"),
                format!("{cuda} ms"),
                verdict(millis(ours) < cpu),
            ]);
        }
        table.print("One session on all cores. The verdict compares with the CPU column.");
    }

    /// The whole program on all files.
    fn files(&self) {
        let mut rates = Vec::new();
        let (mut peak, mut busy) = (0, Vec::new());
        for i in 0..RUNS {
            let database = self.scratch.join(format!("files{i}.db"));
            let finished = run(&database, &["add", self.folder.to_str().expect("UTF-8")]);
            rates.push(PICTURES as f64 / finished.time.as_secs_f64());
            busy.push(finished.cpu_time.as_secs_f64() / finished.time.as_secs_f64() / self.cores as f64);
            peak = peak.max(finished.memory);
        }
        let (rate, busy) = (median_value(rates), median_value(busy));
        let mut table =
            Table::new("1,000 files, from the command to the last commit", ["", "images/s", "memory", "verdict"]);
        table.row(["imgidx add, as a process".into(), format!("{rate:.0}"), mib(peak), String::new()]);
        for (name, theirs, memory) in [
            ("Intel i9-12900K", 49.0, "1.8 GB"),
            ("Mac M1 Max (MPS)", 91.0, "2.1 GB"),
            ("RTX 4090 (CUDA)", 213.0, "4.2 GB"),
        ] {
            table.row([name.into(), format!("{theirs}"), memory.into(), verdict(rate > theirs)]);
        }
        let floor = self.floor();
        table.row([
            "lower bound: decode, scale, measure and embed from memory".into(),
            format!("{floor:.0}"),
            String::new(),
            format!("{:.2} of its speed", rate / floor),
        ]);
        table.print(&format!("Cores were busy for {:.0} % of the time.", 100.0 * busy));
    }

    fn floor(&self) -> f64 {
        let contents = read_all(std::slice::from_ref(&self.folder));
        let mut rates = Vec::new();
        for _ in 0..RUNS {
            let mut embedders: Vec<Embedder> = (0..self.cores).map(|_| self.embedder(1)).collect();
            let parts = contents.chunks(contents.len().div_ceil(self.cores));
            let took = time(|| {
                std::thread::scope(|scope| {
                    for (part, embedder) in parts.zip(&mut embedders) {
                        scope.spawn(move || part.iter().for_each(|content| drop(process(content, embedder))));
                    }
                });
            });
            rates.push(contents.len() as f64 / took.as_secs_f64());
        }
        median_value(rates)
    }

    /// The targets of the second guide for its fastest tier.
    fn targets(&self) {
        let contents = read_all(std::slice::from_ref(&self.folder));
        let pictures: Vec<Picture> = contents.iter().map(decode).collect();
        let mut embedder = self.embedder(self.cores);
        let mut features: Vec<Duration> =
            pictures.iter().map(|picture| time(|| drop(measure(picture, None)))).collect();
        let classify = |picture: &Picture, embedder: &mut Embedder| {
            let pixels = Embedder::prepare(embedder.model().spec(), picture);
            embedder.embed(&[pixels]).expect("it runs")
        };
        let mut classes: Vec<Duration> =
            pictures.iter().map(|picture| time(|| drop(classify(picture, &mut embedder)))).collect();
        let mut all: Vec<Duration> =
            contents.iter().map(|content| time(|| drop(process(content, &mut embedder)))).collect();
        let mut table = Table::new("Targets for one picture", ["", "median", "p95", "target", "verdict"]);
        for (name, times, target) in [
            ("features and type", &mut features, 0.5),
            ("classification and vector", &mut classes, 0.1),
            ("everything", &mut all, 2.0),
        ] {
            let (p50, p95) = (quantile(times, 0.5), quantile(times, 0.95));
            table.row([name.into(), ms(p50), ms(p95), format!("{target} s"), verdict(p95.as_secs_f64() < target)]);
        }
        table.print("");
    }

    /// The peak memory of commands, each in a process of its own.
    fn memory(&self) {
        let database = self.scratch.join("memory.db");
        let picture = first_file(&self.folder);
        let picture = picture.to_str().expect("UTF-8");
        let folder = self.folder.to_str().expect("UTF-8");
        let new = self.scratch.join("new.png");
        drawn(PICTURES as u32).save(&new).expect("a picture");
        let new = new.to_str().expect("UTF-8");
        let steps: [(&str, Vec<&str>, u64); 4] = [
            ("the program (`--version`)", vec!["--version"], 50),
            ("one picture, with the model (`show FILE`)", vec!["show", picture], 100),
            ("1,000 pictures (`add`)", vec!["add", folder], 200),
            ("a query of a new picture (`similar FILE`)", vec!["--direct", "similar", new], 100),
        ];
        let mut table = Table::new("Peak memory", ["", "memory", "bound", "verdict"]);
        Index::open(&database).expect("it opens");
        for (name, args, bound) in steps {
            let memory = run(&database, &args).memory;
            table.row([name.into(), mib(memory), format!("{bound} MB"), verdict(memory < bound * 1_000_000)]);
        }
        let own = current_memory().map_or_else(String::new, |own| {
            format!(" Values below {} cannot be measured: that is the memory of this process.", mib(own))
        });
        table.print(&format!("50 and 200 MB are the second guide's targets for the start and the peak; the first guide's programs take 1.8 to 4.2 GB.{own}"));
    }

    fn clients(&self) {
        let database = self.scratch.join("clients.db");
        let mut index = Index::open(&database).expect("it opens");
        index.add([&self.folder], &AddOptions::default()).expect("indexed");
        let searcher = index.searcher().resident(SearcherOptions::default()).expect("it starts");
        let files = files(&self.folder);
        let mut table = Table::new("Queries by several clients at once", ["clients", "queries/s", "p95"]);
        for clients in [1, 2, 4, 8] {
            let per_client = 400 / clients;
            let start = Instant::now();
            let mut times: Vec<Duration> = std::thread::scope(|scope| {
                let ask = |client: usize| {
                    let of_client = files.iter().cycle().skip(client * 7).step_by(13).take(per_client);
                    of_client
                        .map(|file| time(|| drop(searcher.similar(&Query::image(file), 10).expect("an answer"))))
                        .collect::<Vec<_>>()
                };
                let handles: Vec<_> = (0..clients).map(|client| scope.spawn(move || ask(client))).collect();
                handles.into_iter().flat_map(|handle| handle.join().expect("it ends")).collect()
            });
            let rate = times.len() as f64 / start.elapsed().as_secs_f64();
            table.row([clients.to_string(), format!("{rate:.0}"), ms(quantile(&mut times, 0.95))]);
        }
        table.print("Threads of one process. Each query reads and hashes the file of an indexed picture.");
    }

    fn embedder(&self, threads: usize) -> Embedder {
        let options = OpenOptions::default().runtime_options().expect("a data directory");
        let runtime = Runtime::load(&options).expect("it is there or can be fetched");
        Embedder::new(&Model::builtin(), &runtime, Device::Cpu, threads).expect("the built-in model")
    }
}

fn decode(content: &Content) -> Picture {
    let (limits, request) = (DecodeLimits::default(), Model::builtin().spec().decode_request());
    decode_within(&content.bytes, content.format, limits, &request, |_| ()).expect("a picture").0
}

/// All steps of `add` for a picture except reading and storing it.
fn process(content: &Content, embedder: &mut Embedder) -> Embedded {
    let picture = decode(content);
    std::hint::black_box(measure(&picture, None));
    let pixels = Embedder::prepare(embedder.model().spec(), &picture);
    embedder.embed(&[pixels]).expect("it runs").remove(0).expect("a vector")
}

/// The cost of a process that has ended.
struct Finished {
    time: Duration,
    cpu_time: Duration,
    memory: u64,
}

/// Runs the program and measures its elapsed time, its CPU time and its peak memory in bytes.
fn run(database: &Path, args: &[&str]) -> Finished {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgidx"));
    command.arg("--db").arg(database).arg("--quiet").args(args).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    #[expect(clippy::zombie_processes, reason = "`wait4` below waits for it and returns its resource usage")]
    let child = command.spawn().expect("it starts");
    let (mut status, pid) = (0, i32::try_from(child.id()).expect("a process id"));
    // SAFETY: `rusage` is plain data for which zero is a valid value; the call writes to it and to the status only.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::wait4(pid, &mut status, 0, &mut usage), pid);
        usage
    };
    let time = start.elapsed();
    let seconds = |time: libc::timeval| Duration::new(time.tv_sec as u64, 1000 * time.tv_usec as u32);
    let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    Finished {
        time,
        cpu_time: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        memory: usage.ru_maxrss as u64 * unit,
    }
}

/// A Markdown table that is printed when it is complete.
struct Table {
    text: String,
}

impl Table {
    fn new<const N: usize>(title: &str, head: [&str; N]) -> Self {
        let mut text = format!("### {title}\n\n");
        let _ = writeln!(text, "| {} |\n|{}", head.join(" | "), "---|".repeat(N));
        Self { text }
    }

    fn row<const N: usize>(&mut self, cells: [String; N]) {
        let _ = writeln!(self.text, "| {} |", cells.join(" | "));
    }

    fn print(self, below: &str) {
        println!("{}\n{below}\n", self.text);
    }
}

fn verdict(is_met: bool) -> String {
    if is_met { "met" } else { "missed" }.into()
}

fn time(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", millis(time))
}

fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
}

fn median(mut times: Vec<Duration>) -> Duration {
    quantile(&mut times, 0.5)
}

fn median_value(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn quantile(times: &mut [Duration], at: f64) -> Duration {
    times.sort();
    times[((times.len() - 1) as f64 * at) as usize]
}

/// Writes the pictures, made of photographs if there are any; no two have the same content.
///
/// It works on one picture at a time, because the peak memory of this process counts as that of the processes it starts.
fn make_pictures(directories: &[PathBuf], folder: &Path) -> &'static str {
    std::fs::create_dir(folder).expect("a folder");
    let sources: Vec<PathBuf> = directories.iter().flat_map(|directory| files(directory)).collect();
    let mut seen = std::collections::HashSet::new();
    let mut turn = 0;
    while seen.len() < PICTURES {
        let picture = if turn as usize >= 20 * sources.len() { Some(drawn(turn)) } else { scaled(&sources, turn) };
        turn += 1;
        let Some(picture) = picture else { continue };
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(&picture).expect("it encodes");
        let number = seen.len();
        if seen.insert(ContentHash::of(&bytes)) {
            std::fs::write(folder.join(format!("{number:04}.jpg")), bytes).expect("a file");
        }
    }
    if sources.is_empty() { "drawn" } else { "made of photographs" }
}

/// A photograph scaled to the size of the pictures, brighter each time the photographs are used again.
fn scaled(sources: &[PathBuf], turn: u32) -> Option<RgbImage> {
    let photograph = image::open(&sources[turn as usize % sources.len()]).ok()?.into_rgb8();
    let small = imageops::resize(&photograph, SIDE, SIDE, imageops::FilterType::CatmullRom);
    Some(imageops::brighten(&small, 5 * (turn / sources.len() as u32) as i32))
}

fn drawn(seed: u32) -> RgbImage {
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let noise = (x * 7919 + y * 104_729 + seed * 1_299_709).wrapping_mul(2_654_435_761) >> 27;
        Rgb([(x / 2 + noise) as u8, (y / 2 + seed) as u8, (seed * 3 + noise) as u8])
    })
}
