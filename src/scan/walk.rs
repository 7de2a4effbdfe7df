//! Walks a root in the byte order of its paths.
//!
//! This order turns the comparison with the database's rows into a merge of two sorted streams, which needs no memory.
//! Siblings are sorted by name, with `/` after the names of folders, as Git sorts its trees.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::rules::{ScanOptions, ScanRules};
use crate::error::{Result, io_reason};
use crate::types::{FileStat, is_exhausted, path_to_bytes};

/// A regular file found by a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedFile {
    /// Its path relative to the root, as bytes.
    pub path: Vec<u8>,
    /// Its signature.
    pub stat: FileStat,
}

/// A file or folder that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanError {
    /// Its path relative to the root, as bytes; empty for the root itself.
    pub path: Vec<u8>,
    /// The reason.
    pub reason: String,
    /// Whether the system has run out of a resource, such as open files, so that all further reads would fail too.
    pub is_exhausted: bool,
}

type EntryFilter = Box<dyn FnMut(&DirEntry) -> bool + Send>;
type Entries = walkdir::FilterEntry<walkdir::IntoIter, EntryFilter>;

/// Why a walk starts at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The user named the path, so it is scanned even if the rules exclude it.
    Asked,
    /// The path may have changed, so it is scanned only if the rules admit it.
    Changed,
}

/// The files of one root, or of one folder or file below it, in the byte order of their paths.
pub struct Walker {
    entries: Entries,
    root: PathBuf,
    /// Whether only a part of the root is walked. That part may be missing.
    is_part: bool,
    follow_links: bool,
}

impl Walker {
    /// Starts a walk of `root`, or of `start` below it. The files and folders in `left_out` are not entered, unless the
    /// walk was asked to start at one of them or inside it.
    ///
    /// A start below the root that does not exist has no files.
    ///
    /// # Errors
    /// When an exclude is not a valid glob.
    pub fn new(root: &Path, start: (&Path, Start), left_out: &[PathBuf], options: &ScanOptions) -> Result<Self> {
        let (rules, base) = (ScanRules::new(root, options)?, root.to_owned());
        let left_out: HashSet<PathBuf> = left_out.iter().cloned().collect();
        let ((start, why), follow_links) = (start, options.follow_links);
        let is_admitted = move |entry: &DirEntry| {
            let (path, is_folder) = (entry.path(), entry.file_type().is_dir());
            if entry.depth() == 0 {
                let is_in = || !path.ancestors().any(|folder| left_out.contains(folder));
                return path == base || why == Start::Asked || (rules.admits(&base, path, is_folder) && is_in());
            }
            rules.admits_entry(path, is_folder) && !left_out.contains(path)
        };
        let entries = WalkDir::new(start)
            .follow_links(follow_links)
            // A root may have been replaced by a link; a path below it is an ordinary entry of its folder.
            .follow_root_links(follow_links || start == root)
            .same_file_system(options.one_file_system)
            .sort_by(move |a, b| sort_key(a, follow_links).cmp(sort_key(b, follow_links)))
            .into_iter()
            .filter_entry(Box::new(is_admitted) as EntryFilter);
        Ok(Self { entries, root: root.to_owned(), is_part: start != root, follow_links })
    }

    fn relative(&self, path: &Path) -> Vec<u8> {
        path_to_bytes(path.strip_prefix(&self.root).unwrap_or(path)).into_owned()
    }

    /// The file of an entry; `None` if it is not a regular file.
    fn file(&self, entry: &DirEntry) -> walkdir::Result<Option<ScannedFile>> {
        if !entry.file_type().is_file() {
            return Ok(None);
        }
        Ok(Some(ScannedFile { path: self.relative(entry.path()), stat: FileStat::new(&entry.metadata()?) }))
    }

    /// The error to report; `None` if it is harmless: a file vanished during the walk, or a link is broken or leads to
    /// itself or to a folder that contains it.
    fn explain(&self, error: &walkdir::Error) -> Option<ScanError> {
        let path = error.path().unwrap_or(&self.root);
        if error.loop_ancestor().is_some() {
            return None;
        }
        let io = error.io_error()?;
        #[cfg(unix)]
        if io.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
            return None;
        }
        let vanished = matches!(io.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
        if vanished && (self.is_part || self.follow_links || error.depth() > 0) {
            return None;
        }
        Some(ScanError { path: self.relative(path), reason: io_reason(io), is_exhausted: is_exhausted(io) })
    }
}

impl Iterator for Walker {
    type Item = Result<ScannedFile, ScanError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.entries.next()?.and_then(|entry| self.file(&entry)) {
                Ok(Some(file)) => return Some(Ok(file)),
                Ok(None) => {}
                Err(error) => {
                    if let Some(error) = self.explain(&error) {
                        return Some(Err(error));
                    }
                }
            }
        }
    }
}

/// The bytes to sort siblings by: the name, followed by `/` for a folder.
///
/// `walkdir` sorts siblings before it follows links, so the targets of links are checked here.
fn sort_key(entry: &DirEntry, follow_links: bool) -> impl Iterator<Item = u8> {
    let kind = entry.file_type();
    let is_folder = kind.is_dir() || (follow_links && kind.is_symlink() && entry.path().is_dir());
    entry.file_name().as_encoded_bytes().iter().copied().chain(is_folder.then_some(b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
            fs::write(path, file).expect("a file");
        }
        dir
    }

    /// The paths that a walk of a part finds; the empty part is the whole folder.
    fn walk_part(dir: &Path, part: &str, why: Start, nested_roots: &[PathBuf], options: &ScanOptions) -> Vec<String> {
        let start = if part.is_empty() { dir.to_owned() } else { dir.join(part) };
        let walker = Walker::new(dir, (&start, why), nested_roots, options).expect("good globs");
        walker.map(|file| String::from_utf8(file.expect("it can be read").path).expect("UTF-8")).collect()
    }

    fn walk(dir: &Path, options: &ScanOptions) -> Vec<String> {
        walk_part(dir, "", Start::Asked, &[], options)
    }

    #[test]
    fn paths_come_in_the_order_of_their_bytes() {
        let dir = tree(&["a/b", "a-b", "a.b", "a0", "a/z/y", "b", "A", "a/z-1"]);
        let found = walk(dir.path(), &ScanOptions::default());
        let mut sorted = found.clone();
        sorted.sort();
        assert_eq!(found, sorted);
        assert_eq!(found.len(), 8);
    }

    #[test]
    fn hidden_excluded_and_system_folders_are_not_entered() {
        let dir = tree(&["a.jpg", ".hidden/b.jpg", "@eaDir/c.jpg", "sub/d.tmp", "sub/e.jpg", "skip/f.jpg", ".git/g"]);
        assert_eq!(walk(dir.path(), &ScanOptions::default()), ["a.jpg", "skip/f.jpg", "sub/d.tmp", "sub/e.jpg"]);
        let exclude = vec!["*.tmp".into(), "/skip".into()];
        let options = ScanOptions { exclude, hidden: true, ..Default::default() };
        assert_eq!(walk(dir.path(), &options), [".hidden/b.jpg", "a.jpg", "sub/e.jpg"]);
        let bad = ScanOptions { exclude: vec!["a[".into()], ..Default::default() };
        assert!(Walker::new(dir.path(), (dir.path(), Start::Asked), &[], &bad).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_only_when_asked_and_never_in_loops() {
        let dir = tree(&["a/x.jpg", "out/y.jpg"]);
        std::os::unix::fs::symlink("..", dir.path().join("a/loop")).expect("a link");
        std::os::unix::fs::symlink("../out/y.jpg", dir.path().join("a/y.jpg")).expect("a link");
        std::os::unix::fs::symlink("nowhere", dir.path().join("a/broken")).expect("a link");
        std::os::unix::fs::symlink("self", dir.path().join("a/self")).expect("a link");
        assert_eq!(walk(dir.path(), &ScanOptions::default()), ["a/x.jpg", "out/y.jpg"]);
        let options = ScanOptions { follow_links: true, ..Default::default() };
        assert_eq!(walk(dir.path(), &options), ["a/x.jpg", "a/y.jpg", "out/y.jpg"]);
        std::os::unix::fs::symlink("a", dir.path().join("link")).expect("a link");
        fs::write(dir.path().join("link.jpg"), "").expect("a file");
        let found = walk(dir.path(), &options);
        assert_eq!(
            found[2..],
            ["link.jpg", "link/x.jpg", "link/y.jpg", "out/y.jpg"],
            "a link to a folder sorts as one"
        );
    }

    #[test]
    fn nested_roots_are_not_entered() {
        let dir = tree(&["a/x.jpg", "b/y.jpg"]);
        let nested_roots = [dir.path().join("a")];
        assert_eq!(walk_part(dir.path(), "", Start::Asked, &nested_roots, &ScanOptions::default()), ["b/y.jpg"]);
    }

    #[test]
    fn what_is_left_out_is_walked_only_when_asked_for() {
        let dir = tree(&["a/x.jpg", "a/b/y.jpg", "c.jpg"]);
        let left_out = [dir.path().join("a"), dir.path().join("c.jpg")];
        let walk = |part: &str, why| walk_part(dir.path(), part, why, &left_out, &ScanOptions::default());
        assert_eq!(walk("", Start::Asked), [] as [&str; 0]);
        for part in ["a", "a/b", "a/x.jpg", "c.jpg"] {
            assert_eq!(walk(part, Start::Changed), [] as [&str; 0], "{part}");
        }
        assert_eq!(walk("a", Start::Asked), ["a/b/y.jpg", "a/x.jpg"]);
        assert_eq!(walk("c.jpg", Start::Asked), ["c.jpg"]);
    }

    #[test]
    fn the_rules_apply_to_changed_paths_but_not_to_named_ones() {
        let dir = tree(&["node_modules/a.jpg", ".b/c.jpg", "d/e.jpg", "d/f.jpg"]);
        let walk = |part: &str, why| walk_part(dir.path(), part, why, &[], &ScanOptions::default());
        for part in ["node_modules/a.jpg", ".b/c.jpg"] {
            assert_eq!((walk(part, Start::Changed), walk(part, Start::Asked)), (vec![], vec![part.to_owned()]));
        }
        assert_eq!(walk("node_modules", Start::Changed), [] as [&str; 0]);
        assert_eq!(walk("node_modules", Start::Asked), ["node_modules/a.jpg"]);
        for why in [Start::Changed, Start::Asked] {
            assert_eq!(walk("d", why), ["d/e.jpg", "d/f.jpg"]);
            assert_eq!(walk("d/e.jpg", why), ["d/e.jpg"]);
        }
    }

    #[test]
    fn a_missing_part_or_a_link_has_no_files() {
        let dir = tree(&["a/b.jpg"]);
        #[cfg(unix)]
        std::os::unix::fs::symlink("b.jpg", dir.path().join("a/link.jpg")).expect("a link");
        for part in ["gone", "a/b.jpg/c", "a/link.jpg"] {
            let found = walk_part(dir.path(), part, Start::Asked, &[], &ScanOptions::default());
            assert!(found.is_empty(), "{part}: {found:?}");
        }
    }
}
