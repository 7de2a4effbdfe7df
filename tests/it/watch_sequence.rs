//! Random sequences of changes to files while a daemon watches. When the daemon is idle, the index must equal that of a
//! fresh scan.
//!
//! `IMGIDX_WATCH_SEEDS` sets the number of sequences, `IMGIDX_WATCH_OPS` their length.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::common::{Daemon, Random, Sandbox, png, write};

const ROOTS: [&str; 3] = ["one", "two", "three"];

/// A file that is being written, with the bytes that are still to be written.
struct Open {
    file: File,
    rest: Vec<u8>,
    /// Where the file was created; it may have been moved since.
    path: PathBuf,
}

struct World<'a> {
    sandbox: &'a Sandbox,
    random: Random,
    open: Vec<Open>,
    contents: Vec<Vec<u8>>,
    /// The operations since the last comparison, for the failure message.
    done: Vec<String>,
}

impl World<'_> {
    /// A random path; neither it nor its folder need exist.
    fn path(&mut self) -> PathBuf {
        let root = ROOTS[self.random.below(3)];
        let folders = ["", "a", "b", "a/c", "a/c/d", "e f/g", ".hidden", "node_modules"];
        let folder = folders[self.random.below(folders.len())];
        let name = ["x.png", "y.png", "z.jpg", "é.png", "q", "notes.txt"][self.random.below(6)];
        self.sandbox.path(root).join(folder).join(name)
    }

    /// All existing files or folders, without the roots and the files that keep them from being empty.
    fn entries(&self, folders: bool) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut left: Vec<PathBuf> = ROOTS.iter().map(|root| self.sandbox.path(root)).collect();
        while let Some(folder) = left.pop() {
            for entry in fs::read_dir(&folder).expect("a folder").flatten() {
                let is_folder = entry.file_type().expect("a type").is_dir();
                if is_folder {
                    left.push(entry.path());
                }
                if is_folder == folders && entry.file_name() != "keep.png" {
                    found.push(entry.path());
                }
            }
        }
        found.sort();
        found
    }

    fn content(&mut self) -> Vec<u8> {
        let at = self.random.below(self.contents.len());
        self.contents[at].clone()
    }

    /// Runs a random operation. Errors, such as writing a file where a folder is, are only noted.
    fn act(&mut self) {
        let file = self.random.pick(&self.entries(false)).cloned().unwrap_or_else(|| self.sandbox.path("none"));
        let folder = self.random.pick(&self.entries(true)).cloned().unwrap_or_else(|| self.sandbox.path("none"));
        let (target, content, what) = (self.path(), self.content(), self.random.below(21));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock is after 1970");
        let result = self.act_on(what, &file, &folder, &target, &content);
        let result = result.map_or_else(|error| error.kind().to_string(), std::borrow::ToOwned::to_owned);
        self.done.push(format!("{:.3} {result}: {file:?} {folder:?} to {target:?}", now.as_secs_f64() % 1000.0));
    }

    fn act_on(
        &mut self,
        what: usize,
        file: &Path,
        folder: &Path,
        target: &Path,
        content: &[u8],
    ) -> std::io::Result<&'static str> {
        let create_parent = |path: &Path| fs::create_dir_all(path.parent().expect("the path has a parent"));
        Ok(match what {
            0..=3 => {
                create_parent(target)?;
                fs::write(target, content)?;
                "write"
            }
            4 => {
                create_parent(target)?;
                let mut file = File::create(target)?;
                let rest = content[content.len() / 2..].to_vec();
                file.write_all(&content[..content.len() / 2])?;
                self.open.push(Open { file, rest, path: target.to_owned() });
                "begin"
            }
            5 | 6 => {
                self.close_one()?;
                "close"
            }
            7 | 8 => {
                create_parent(target)?;
                let part = target.with_extension("part");
                fs::write(&part, content)?;
                fs::rename(part, target)?;
                "save"
            }
            9 | 10 => {
                create_parent(target)?;
                fs::rename(file, target)?;
                "rename"
            }
            11 => {
                // A whole folder, within a root or to another one.
                let to = target.with_file_name("moved");
                create_parent(&to)?;
                fs::rename(folder, to)?;
                "move"
            }
            12 | 13 => {
                fs::remove_file(file)?;
                "remove"
            }
            14 => {
                fs::remove_dir_all(folder)?;
                "remove all"
            }
            15 => {
                // Nested folders, filled immediately, perhaps where a folder was just removed.
                let folder = target.with_file_name("filled").join("at").join("once");
                fs::create_dir_all(&folder)?;
                (0..3).try_for_each(|number| fs::write(folder.join(format!("{number}.png")), content))?;
                "fill"
            }
            16 => {
                fs::set_permissions(file, fs::Permissions::from_mode(0o640))?;
                "chmod"
            }
            17 => {
                File::options().append(true).open(file)?.set_modified(std::time::SystemTime::now())?;
                "touch"
            }
            18 => {
                create_parent(target)?;
                fs::copy(file, target)?;
                "copy"
            }
            19 => {
                create_parent(target)?;
                symlink(file, target)?;
                "symlink"
            }
            _ if content.len().is_multiple_of(2) => {
                fs::remove_file(file)?;
                fs::create_dir(file)?;
                fs::write(file.join("inside.png"), content)?;
                "a folder where a file was"
            }
            _ => {
                fs::remove_dir_all(folder)?;
                fs::write(folder, content)?;
                "a file where a folder was"
            }
        })
    }

    fn close_one(&mut self) -> std::io::Result<()> {
        if self.open.is_empty() {
            return Ok(());
        }
        let at = self.random.below(self.open.len());
        let mut open = self.open.swap_remove(at);
        self.done.push(format!("closing {:?}", open.path));
        open.file.write_all(&open.rest)
    }

    /// Gives some files second names. The system reports no writes under a name that is not watched, or that is gone
    /// before the daemon has seen it. So this links only watched paths, right before a comparison.
    fn link_some(&mut self) {
        for _ in 0..3 {
            let target = self.path();
            let files: Vec<_> = self.entries(false).into_iter().filter(|file| is_watched(file)).collect();
            if let Some(file) = self.random.pick(&files).filter(|_| is_watched(&target)) {
                let done =
                    target.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::hard_link(file, &target));
                self.done.push(format!("link {file:?} to {target:?}: {done:?}"));
            }
        }
    }

    fn close_all(&mut self) {
        while !self.open.is_empty() {
            self.close_one().expect("it can be written");
        }
    }
}

fn is_watched(path: &Path) -> bool {
    path.components().all(|part| part.as_os_str() != ".hidden" && part.as_os_str() != "node_modules")
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn run(seed: u64, operations: u64) {
    let sandbox = Sandbox::new();
    for (i, root) in ROOTS.iter().enumerate() {
        write(&sandbox.path(root).join("keep.png"), &png(250 + i as u8));
    }
    let mut contents: Vec<Vec<u8>> = (0..30).map(png).collect();
    contents.push(b"dear diary".to_vec());
    contents.push(b"\x89PNG\r\n\x1A\n and then nothing good".to_vec());
    let mut daemon = Daemon::start(&sandbox, &ROOTS);
    let mut world =
        World { sandbox: &sandbox, random: Random::new(seed), open: Vec::new(), contents, done: Vec::new() };
    for operation in 0..operations {
        world.act();
        // Now and then the daemon gets time to work, and now and then it is killed.
        if world.random.below(40) == 0 {
            std::thread::sleep(std::time::Duration::from_millis(world.random.below(120) as u64));
        }
        if world.random.below(400) == 0 {
            daemon.kill();
            daemon = Daemon::start(&sandbox, &ROOTS);
        }
        if operation % 250 == 249 {
            compare(&mut world, &daemon, seed, operation);
        }
    }
    compare(&mut world, &daemon, seed, operations);
    daemon.stop();
    sandbox.run_on_index(&["check"]).code(0);
    let status = sandbox.run_on_index(&["status", "--json"]).code(0).json();
    assert_eq!(status["index"]["pending"], 0, "a picture has no vector");
}

/// Waits until the daemon is idle, and compares its index with a fresh one of the same roots.
fn compare(world: &mut World<'_>, daemon: &Daemon<'_>, seed: u64, operation: u64) {
    world.close_all();
    world.link_some();
    daemon.sync();
    let sandbox = world.sandbox;
    let fresh = format!("fresh-{operation}.db");
    sandbox.run(&[&["--db", &fresh, "add"], ROOTS.as_slice()].concat());
    let (watched, scanned) = (sandbox.present("photos.db"), sandbox.present(&fresh));
    let paths: BTreeSet<_> = watched.keys().chain(scanned.keys()).collect();
    let differing: Vec<_> = paths
        .into_iter()
        .filter(|path| watched.get(*path) != scanned.get(*path))
        .map(|path| {
            let of = |rows: &std::collections::BTreeMap<_, Option<Vec<u8>>>| {
                rows.get(path).map(|hash| hash.as_ref().map(|hash| hash[0]))
            };
            let on_disk = path.symlink_metadata().map(|metadata| (metadata.file_type(), metadata.nlink())).ok();
            format!(
                "{}: watched {:?}, scanned {:?}, on the disk {on_disk:?}",
                path.display(),
                of(&watched),
                of(&scanned)
            )
        })
        .collect();
    assert!(
        differing.is_empty(),
        "seed {seed}, operation {operation}: {differing:#?}\n{}\n{}",
        world.done.join("\n"),
        daemon.log()
    );
    world.done.retain(|line| line.starts_with("link"));
}

#[test]
fn whatever_happens_the_index_says_what_a_fresh_scan_says() {
    for seed in 0..number("IMGIDX_WATCH_SEEDS", 2) {
        run(seed, number("IMGIDX_WATCH_OPS", 500));
    }
}
