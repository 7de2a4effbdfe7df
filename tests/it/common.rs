//! Helpers that the tests share: pictures, a sandbox, ONNX Runtime, and the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use image::{Rgb, RgbImage};
use imgidx::model::Runtime;
use imgidx::{AddOptions, Index, IndexReport, OpenOptions};
use serde_json::Value;
use tempfile::TempDir;

/// A folder of pictures, an index, and an empty home directory.
pub struct Sandbox {
    dir: TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["photos", "home", "data", "run"] {
            std::fs::create_dir(dir.path().join(name)).expect("a folder");
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let private = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(dir.path().join("run"), private).expect("we own the folder");
        }
        Self { dir }
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().canonicalize().expect("it is there").join(name)
    }

    /// The folder of pictures.
    pub fn photos(&self) -> PathBuf {
        self.path("photos")
    }

    pub fn photo(&self, name: impl AsRef<Path>) -> PathBuf {
        self.photos().join(name)
    }

    pub fn database(&self) -> PathBuf {
        self.path("photos.db")
    }

    /// Writes a picture with its own pattern for each seed, and returns its path.
    pub fn draw(&self, name: &str, seed: u8) -> PathBuf {
        let path = self.photo(name);
        write(&path, &png(seed));
        path
    }

    pub fn options(&self) -> OpenOptions {
        OpenOptions::default().data_dir(self.path("data")).runtime(runtime())
    }

    pub fn open(&self) -> Index {
        self.options().open(self.database()).expect("the index opens")
    }

    /// Updates the index from the folder of pictures.
    pub fn add(&self) -> IndexReport {
        self.add_with(&AddOptions::default())
    }

    pub fn add_with(&self, options: &AddOptions) -> IndexReport {
        self.open().add([self.photos()], options).expect("it can be indexed")
    }

    /// The program, with its home in this sandbox and no other environment variable that affects it.
    pub fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgidx"));
        command.env_clear();
        for name in ["PATH", "TMPDIR", "SystemRoot"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("HOME", self.path("home")).env("ORT_DYLIB_PATH", runtime()).current_dir(self.path(""));
        command.env("XDG_RUNTIME_DIR", self.path("run"));
        command
    }

    /// Runs the program and waits until it ends.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        let output = self.program().args(arguments).output().expect("the program starts");
        Finished::new(arguments, output)
    }

    /// Runs a shell script in a user and mount namespace of its own, in the folder of this sandbox. `$I` is the program
    /// with its index, and `start` runs the daemon. Returns `None` where the system does not allow namespaces.
    #[cfg(unix)]
    pub fn in_namespace(&self, script: &str) -> Option<Finished> {
        let can = Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"]).status();
        if !can.is_ok_and(|status| status.success()) {
            eprintln!("skipped: this system does not allow namespaces");
            return None;
        }
        let prelude = r#"
            set -eu
            I="$PROGRAM --db photos.db"
            start() {
                $PROGRAM --db photos.db --json watch "$@" 2>> watch.log & DAEMON=$!
                trap 'kill -9 $DAEMON 2> /dev/null || true' EXIT
                await '"event":"watching"'
            }
            # Waits until a line of the log matches.
            await() {
                for _ in $(seq 600); do
                    if grep -q "$1" watch.log; then return 0; fi
                    kill -0 $DAEMON || { cat watch.log; exit 9; }
                    sleep 0.1
                done
                echo "timed out waiting for $1"; cat watch.log; exit 8
            }
            stop() { kill -TERM $DAEMON; wait $DAEMON; trap - EXIT; }
        "#;
        let mut program = self.program();
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &format!("{prelude}{script}")]);
        command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PROGRAM", program.get_program()).current_dir(self.path(""));
        program.current_dir(".");
        let output = command.output().expect("`unshare` can be run");
        Some(Finished::new(&["unshare"], output).code(0))
    }

    /// Runs the program on the index of [`Sandbox::open`].
    pub fn run_on_index(&self, arguments: &[&str]) -> Finished {
        self.run(&[&["--db", "photos.db"], arguments].concat())
    }

    /// Runs the program on the index of [`Sandbox::open`] in a terminal, and types a line. Standard output has all that
    /// the terminal shows. Returns `None` where there is no `script` that makes a terminal.
    #[cfg(target_os = "linux")]
    pub fn answer(&self, arguments: &[&str], line: &str) -> Option<Finished> {
        use std::io::Write;
        use std::process::Stdio;
        let program = self.program();
        let mut command = Command::new("script");
        let run = format!("\"$PROGRAM\" --db photos.db {}", arguments.join(" "));
        command.args(["--quiet", "--return", "--command", &run, "/dev/null"]);
        command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PROGRAM", program.get_program()).env("NO_COLOR", "1").current_dir(self.path(""));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            eprintln!("skipped: `script`, which makes a terminal, is not installed");
            return None;
        };
        let mut input = child.stdin.take().expect("it is piped");
        writeln!(input, "{line}").expect("it reads");
        Some(Finished::new(arguments, child.wait_with_output().expect("it ends")))
    }

    /// Opens the database for changes that the program would not make. Its pages keep valid checksums.
    pub fn tamper(&self) -> rusqlite::Connection {
        drop(self.open());
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
        let opened = rusqlite::Connection::open_with_flags_and_vfs(self.database(), flags, c"imgidx");
        opened.expect("the database opens")
    }

    /// Absolute paths of all present files, with their contents.
    pub fn present(&self, database: &str) -> std::collections::BTreeMap<PathBuf, Option<Vec<u8>>> {
        let database = rusqlite::Connection::open(self.path(database)).expect("the database opens");
        let mut statement = database
            .prepare(
                "SELECT root.path, file.path, image.hash FROM file JOIN root ON root.id = file.root
                 LEFT JOIN image ON image.id = file.image WHERE missing_since IS NULL",
            )
            .expect("the tables exist");
        let read = |row: &rusqlite::Row<'_>| {
            let [root, path] = [row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?];
            let path = imgidx::types::path_from_bytes(&root).join(imgidx::types::path_from_bytes(&path));
            Ok((path, row.get(2)?))
        };
        let rows = statement.query_map([], read).expect("rows");
        rows.map(|row| row.expect("a row")).collect()
    }

    /// All rows of files: the path below the root, the hash of the content, and whether the file is missing.
    pub fn rows(&self) -> Vec<(String, Option<Vec<u8>>, bool)> {
        let database = rusqlite::Connection::open(self.database()).expect("the database opens");
        let mut statement = database
            .prepare(
                "SELECT file.path, image.hash, missing_since IS NOT NULL
                 FROM file LEFT JOIN image ON image.id = file.image ORDER BY file.root, file.path",
            )
            .expect("the tables exist");
        let read = |row: &rusqlite::Row<'_>| {
            let path: Vec<u8> = row.get(0)?;
            Ok((String::from_utf8_lossy(&path).into_owned(), row.get(1)?, row.get(2)?))
        };
        let rows = statement.query_map([], read).expect("rows");
        rows.map(|row| row.expect("a row")).collect()
    }
}

/// A process that runs `imgidx watch` on the index of a sandbox.
#[cfg(unix)]
pub struct Daemon<'a> {
    sandbox: &'a Sandbox,
    child: std::process::Child,
    log: PathBuf,
}

#[cfg(unix)]
impl<'a> Daemon<'a> {
    /// Starts the daemon and waits until it is watching.
    pub fn start(sandbox: &'a Sandbox, arguments: &[&str]) -> Self {
        let log = sandbox.path("watch.log");
        let before = std::fs::read_to_string(&log).map_or(0, |log| log.matches(r#""event":"watching""#).count());
        let output = std::fs::File::options().create(true).append(true).open(&log).expect("a file");
        let mut command = sandbox.program();
        command.args(["--db", "photos.db", "--json", "watch"]).args(arguments);
        let child = command.stderr(output).spawn().expect("the program starts");
        let mut daemon = Self { sandbox, child, log };
        daemon.wait_for("it listens", |daemon| daemon.logged("watching") > before);
        daemon
    }

    /// Waits until a condition holds, for a minute at most.
    pub fn wait_for(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !is_so(self) {
            if let Some(status) = self.child.try_wait().expect("the daemon is our child") {
                panic!("the daemon ended ({status}) before {what}: {}", self.log());
            }
            assert!(std::time::Instant::now() < until, "timed out waiting until {what}: {}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The log of this daemon and of those before it in the same sandbox.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("it is there")
    }

    /// The logged events with this name.
    pub fn events(&self, event: &str) -> Vec<Value> {
        let lines = self.log();
        // The last line may be an error message instead of JSON.
        let events = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|line| line["event"] == event).collect()
    }

    pub fn logged(&self, event: &str) -> usize {
        self.events(event).len()
    }

    /// The sum of a count over all updates so far.
    pub fn total(&self, count: &str) -> u64 {
        self.events("updated").iter().filter_map(|event| event[count].as_u64()).sum()
    }

    /// Waits until all changes on the disk are in the index.
    pub fn sync(&self) {
        self.sandbox.run_on_index(&["daemon", "sync"]).code(0);
    }

    pub fn status(&self) -> Value {
        self.sandbox.run_on_index(&["daemon", "status", "--json"]).code(0).json()["daemon"].take()
    }

    pub fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().expect("`kill` can be run");
        assert!(sent.success(), "{name}");
    }

    /// Ends the daemon as a service manager does, and expects exit code 0.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}: {}", self.log());
        assert!(!self.log().contains("panicked"), "{}", self.log());
    }

    /// Waits until the daemon ends by itself, and returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }

    /// Kills the daemon.
    pub fn kill(mut self) {
        self.child.kill().expect("the daemon is our child");
        self.child.wait().expect("it has ended");
    }
}

#[cfg(unix)]
impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The exit code and the output of a process.
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    pub fn new(arguments: &[&str], output: Output) -> Self {
        let finished = Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        assert!(!finished.stderr.contains("panicked"), "{arguments:?}: {}", finished.stderr);
        finished
    }

    /// Asserts the exit code.
    pub fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, expected, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }
}

/// The library of ONNX Runtime that all tests use: the one of `ORT_DYLIB_PATH`, one that is installed, or one that is
/// fetched once into the build directory.
pub fn runtime() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("data");
        std::fs::create_dir_all(&folder).expect("a folder");
        // Test processes that start at the same time must not fetch it twice.
        let lock = std::fs::File::create(folder.join("lock")).expect("a file");
        lock.lock().expect("it can be locked");
        let mut options = OpenOptions::default().data_dir(&folder);
        if let Some(library) = std::env::var_os("ORT_DYLIB_PATH") {
            options = options.runtime(library);
        }
        let options = options.runtime_options().expect("the folder is given");
        let runtime = Runtime::load(&options).expect("the tests need ONNX Runtime, or pip to fetch it");
        runtime.library().to_owned()
    })
}

/// A folder of real pictures, or `None` and a note on standard error if it does not exist.
pub fn corpus(name: &str) -> Option<PathBuf> {
    let base = match std::env::var_os("IMGIDX_CORPUS") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"),
    };
    let folder = base.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: there is no `{}`; IMGIDX_CORPUS names the folder of real pictures", folder.display());
    None
}

/// A picture with its own pattern and colours for each seed.
pub fn picture(seed: u8) -> RgbImage {
    let s = u32::from(seed);
    RgbImage::from_fn(48, 40, |x, y| {
        let wave = ((x * (1 + s % 5) + y * (1 + s / 5 % 7)) * 8 + s * 29) as u8;
        let stripe = if (x / (3 + s % 9) + y / (2 + s % 4)).is_multiple_of(2) { 210 } else { 30 };
        Rgb([wave, stripe, seed.wrapping_mul(47).wrapping_add(60)])
    })
}

/// [`picture`] as a PNG file.
pub fn png(seed: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture(seed).write_to(&mut bytes, image::ImageFormat::Png).expect("it encodes");
    bytes.into_inner()
}

/// Writes a file and creates its parent folders.
pub fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("the path has a parent")).expect("a folder");
    std::fs::write(path, bytes).expect("a file");
}

/// Pseudorandom numbers (Knuth's MMIX generator) that are the same in each run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number less than `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }

    /// One of the items, or `None` if there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { items.get(self.below(items.len())) }
    }
}

/// The number of rounds for a test that repeats random damage, kills or power cuts: `usual` times `IMGIDX_ROUNDS`, which
/// is 1 by default.
pub fn rounds(usual: usize) -> usize {
    let times = std::env::var("IMGIDX_ROUNDS").ok().and_then(|times| times.parse::<usize>().ok()).unwrap_or(1);
    usual * times
}
