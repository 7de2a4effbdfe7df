//! The daemon, compared with commands that do the same without it.
//!
//! ```sh
//! cargo bench --bench watch -- DIRECTORY…        # IMGIDX_BENCH_IDLE=300 for five minutes of idling
//! ```
//!
//! Needs real pictures, and writes several thousand copies of them into a temporary folder:
//!
//! - **saved → searchable**: from closing a JPEG file until `similar` finds it by another version of the picture;
//! - **unpacked at once**: thousands of new files, from the first write until all are indexed, compared with writing
//!   them and then running `add`;
//! - **chmod and touch**: how many files are embedded again, which is none;
//! - **query** as a new process: with the daemon and without it;
//! - **idle**: CPU time and memory of a daemon that has nothing to do;
//! - **stop**: from SIGTERM in the middle of a load until the process has ended.

#[path = "common/arguments.rs"]
mod arguments;

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use imgidx::daemon::{Client, Op, SimilarRequest};

const SAVED: usize = 50;
const UNPACKED: usize = 5000;
const TOUCHED: usize = 1000;
const IDLE_FILES: usize = 20_000;
const QUERIES: usize = 40;

fn main() {
    let directories = arguments::directories();
    let pictures = jpegs(&directories);
    if pictures.len() < SAVED {
        println!("skipped: give directories with at least {SAVED} JPEG files");
        return;
    }
    println!("{} pictures, {} cores", pictures.len(), std::thread::available_parallelism().map_or(1, usize::from));
    saved_until_searchable(&pictures);
    unpacked_at_once(&pictures);
    stopped_in_the_middle(&pictures);
    queries(&pictures);
    idle(&pictures);
}

/// The JPEG files of the directories.
fn jpegs(directories: &[PathBuf]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for directory in directories {
        let mut paths: Vec<PathBuf> = fs::read_dir(directory).expect("a folder").flatten().map(|e| e.path()).collect();
        paths.sort();
        let read = |path: &PathBuf| fs::read(path).ok().filter(|bytes| bytes.starts_with(&[0xFF, 0xD8]));
        found.extend(paths.iter().filter_map(read));
    }
    found
}

/// A temporary folder with a home directory, an index and a folder of pictures.
struct Sandbox {
    dir: tempfile::TempDir,
}

impl Sandbox {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["photos", "home"] {
            fs::create_dir(dir.path().join(name)).expect("a folder");
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgidx"));
        command.current_dir(self.dir.path()).env("HOME", self.path("home")).arg("--db").arg(self.path("photos.db"));
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Duration {
        let start = Instant::now();
        let status = self.program(arguments).status().expect("it starts");
        assert!(status.success(), "{arguments:?}: {status}");
        start.elapsed()
    }

    fn watch(&self, arguments: &[&str]) -> Daemon<'_> {
        let child = self.program(&[&["watch", "photos"], arguments].concat()).spawn().expect("it starts");
        let daemon = Daemon { sandbox: self, child };
        while Client::connect(&self.path("photos.db")).is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        daemon.sync();
        daemon
    }

    /// Writes copies that differ only in bytes that decoders ignore, so that each is a new content.
    fn fill(&self, folder: &str, pictures: &[Vec<u8>], count: usize) {
        for number in 0..count {
            let path = self.path(&format!("{folder}/{:02}/{number}.jpg", number % 50));
            fs::create_dir_all(path.parent().expect("the path has a parent")).expect("a folder");
            let mut bytes = pictures[number % pictures.len()].clone();
            bytes.extend(number.to_le_bytes());
            fs::write(path, bytes).expect("a file");
        }
    }
}

struct Daemon<'a> {
    sandbox: &'a Sandbox,
    child: Child,
}

impl Daemon<'_> {
    fn client(&self) -> Client {
        Client::connect(&self.sandbox.path("photos.db")).expect("it listens")
    }

    fn sync(&self) {
        self.client().order(Op::Sync).expect("it answers");
    }

    fn embedded(&self) -> u64 {
        self.client().status().expect("it answers").watch.totals.embedded
    }

    /// The CPU time so far.
    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// The current resident memory, in MiB.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
    }

    fn terminate(mut self) -> Duration {
        let start = Instant::now();
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().expect("`kill` can be run");
        assert!(killed.success());
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}");
        start.elapsed()
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn quantile(times: &mut [Duration], part: f64) -> f64 {
    times.sort();
    1000.0 * times[((times.len() - 1) as f64 * part).round() as usize].as_secs_f64()
}

/// A smaller version of a picture.
fn smaller(bytes: &[u8]) -> Vec<u8> {
    let picture = image::load_from_memory(bytes).expect("it decodes").into_rgb8();
    let (width, height) = picture.dimensions();
    let small = image::imageops::thumbnail(&picture, width * 3 / 4, height * 3 / 4);
    let mut out = Cursor::new(Vec::new());
    small.write_to(&mut out, image::ImageFormat::Jpeg).expect("it encodes");
    out.into_inner()
}

fn saved_until_searchable(pictures: &[Vec<u8>]) {
    let sandbox = Sandbox::new();
    let daemon = sandbox.watch(&[]);
    let mut times = Vec::new();
    let mut client = daemon.client();
    for (number, bytes) in pictures.iter().step_by(pictures.len() / SAVED).take(SAVED).enumerate() {
        let (path, asked) = (sandbox.path(&format!("photos/{number}.jpg")), sandbox.path("asked.jpg"));
        fs::write(&asked, smaller(bytes)).expect("a file");
        fs::write(&path, bytes).expect("a file");
        let closed = Instant::now();
        loop {
            let request = SimilarRequest { query: imgidx::Query::image(&asked), top: 3 };
            let answer = client.similar(request).expect("an answer");
            if answer.hits.iter().any(|hit| hit.path.file_name() == path.file_name()) {
                break;
            }
        }
        times.push(closed.elapsed());
    }
    let (median, p95) = (quantile(&mut times, 0.5), quantile(&mut times, 0.95));
    println!("saved → searchable: median {median:.0} ms, p95 {p95:.0} ms over {SAVED} files, queried continuously");
}

fn unpacked_at_once(pictures: &[Vec<u8>]) {
    let (mut ratios, mut times) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let by_hand = Sandbox::new();
        let start = Instant::now();
        by_hand.fill("photos", pictures, UNPACKED);
        let writing = start.elapsed();
        let adding = by_hand.run(&["add", "photos"]);
        let sandbox = Sandbox::new();
        let daemon = sandbox.watch(&[]);
        let start = Instant::now();
        sandbox.fill("photos", pictures, UNPACKED);
        daemon.sync();
        let watching = start.elapsed();
        assert_eq!(daemon.embedded(), UNPACKED as u64, "each is embedded once");
        ratios.push(watching.as_secs_f64() / adding.as_secs_f64());
        times.push((writing, adding, watching));
        if ratios.len() == 1 {
            touched(&sandbox, &daemon);
        }
    }
    ratios.sort_by(f64::total_cmp);
    for (writing, adding, watching) in times {
        println!(
            "{UNPACKED} files unpacked at once: written in {:.1} s, then added in {:.1} s; with the daemon, both in {:.1} s",
            writing.as_secs_f64(),
            adding.as_secs_f64(),
            watching.as_secs_f64()
        );
    }
    println!("  {:.2} times the time of the add alone (median)", ratios[1]);
}

fn touched(sandbox: &Sandbox, daemon: &Daemon<'_>) {
    use std::os::unix::fs::PermissionsExt;
    let before = daemon.embedded();
    for number in 0..TOUCHED {
        let path = sandbox.path(&format!("photos/{:02}/{number}.jpg", number % 50));
        if number % 2 == 0 {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("we own the file");
        } else {
            let file = fs::File::options().append(true).open(&path).expect("it is there");
            file.set_modified(std::time::SystemTime::now()).expect("we own the file");
        }
    }
    daemon.sync();
    println!("chmod and touch of {TOUCHED} files: {} embedded", daemon.embedded() - before);
}

fn stopped_in_the_middle(pictures: &[Vec<u8>]) {
    let mut times = Vec::new();
    for round in 1..=5 {
        let sandbox = Sandbox::new();
        let daemon = sandbox.watch(&[]);
        sandbox.fill("photos", pictures, UNPACKED);
        std::thread::sleep(Duration::from_secs(round));
        times.push(daemon.terminate());
        sandbox.run(&["check"]);
    }
    let slowest = quantile(&mut times, 1.0);
    println!("stop in the middle of a load: {slowest:.0} ms, the slowest of 5; each index passes `check`");
}

fn queries(pictures: &[Vec<u8>]) {
    let sandbox = Sandbox::new();
    for (number, bytes) in pictures.iter().enumerate() {
        fs::write(sandbox.path(&format!("photos/{number}.jpg")), bytes).expect("a file");
    }
    let daemon = sandbox.watch(&[]);
    let new: Vec<String> = pictures
        .iter()
        .take(QUERIES)
        .enumerate()
        .map(|(number, bytes)| {
            fs::write(sandbox.path(&format!("{number}.jpg")), smaller(bytes)).expect("a file");
            format!("{number}.jpg")
        })
        .collect();
    let known: Vec<String> = (0..QUERIES).map(|number| format!("photos/{number}.jpg")).collect();
    for (name, images) in [("indexed", &known), ("new", &new)] {
        let (mut asked, mut direct) = (Vec::new(), Vec::new());
        sandbox.run(&["similar", &images[0]]);
        for image in images {
            asked.push(sandbox.run(&["similar", image]));
            direct.push(sandbox.run(&["--direct", "similar", image]));
        }
        let (a, b) = (quantile(&mut asked, 0.5), quantile(&mut direct, 0.5));
        println!(
            "query of a picture that is {name}: {a:.1} ms with the daemon, {b:.1} ms without (p95 {:.1} ms and {:.1} ms)",
            quantile(&mut asked, 0.95),
            quantile(&mut direct, 0.95)
        );
    }
    drop(daemon);
}

fn idle(pictures: &[Vec<u8>]) {
    let seconds = std::env::var("IMGIDX_BENCH_IDLE").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let sandbox = Sandbox::new();
    // Few contents are enough: only the number of files matters.
    for number in 0..IDLE_FILES {
        let path = sandbox.path(&format!("photos/{:03}/{number}.jpg", number % 400));
        fs::create_dir_all(path.parent().expect("the path has a parent")).expect("a folder");
        fs::write(path, &pictures[number % 50]).expect("a file");
    }
    let daemon = sandbox.watch(&["--keep-model", "1s"]);
    let loaded = daemon.memory();
    std::thread::sleep(Duration::from_secs(8));
    let before = daemon.cpu();
    std::thread::sleep(Duration::from_secs(seconds));
    let used = daemon.cpu() - before;
    println!(
        "idle for {seconds} s with {IDLE_FILES} files in 400 folders: {:.2} s of CPU time, {} MiB (with the model {loaded} MiB)",
        used.as_secs_f64(),
        daemon.memory()
    );
}
