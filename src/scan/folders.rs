//! Lists the folders that a walk of a root enters, one level at a time.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::rules::{ScanOptions, ScanRules};
use crate::types::FileStat;

/// Lists folders level by level, so that the caller can act on a folder (such as watch it) before it is listed.
#[derive(Debug)]
pub struct Folders<'a> {
    root: &'a Path,
    rules: &'a ScanRules,
    nested_roots: &'a [PathBuf],
    follow_links: bool,
    /// The device of the root, if the walk stays on it.
    device: Option<u64>,
    /// Device and inode of the folders listed so far, which links may reach again. Used only if links are followed.
    listed: HashSet<(u64, u64)>,
}

impl<'a> Folders<'a> {
    /// Prepares for one root; folders in `nested_roots` are left out.
    pub fn new(root: &'a Path, rules: &'a ScanRules, nested_roots: &'a [PathBuf], options: &ScanOptions) -> Self {
        let device =
            if options.one_file_system { root.metadata().ok().map(|it| FileStat::new(&it).device) } else { None };
        Self { root, rules, nested_roots, follow_links: options.follow_links, device, listed: HashSet::new() }
    }

    /// Whether the path is a folder that a walk enters.
    fn is_entered(&self, path: &Path) -> bool {
        let metadata = if self.follow_links { path.metadata() } else { path.symlink_metadata() };
        metadata.is_ok_and(|it| it.is_dir() && self.device.is_none_or(|device| device == FileStat::new(&it).device))
            && (path == self.root || self.rules.admits_entry(path, true))
            && self.nested_roots.iter().all(|folder| folder != path)
    }

    /// The folders directly in a folder. Empty if the folder was already listed under another path.
    pub fn inside(&mut self, folder: &Path) -> Vec<PathBuf> {
        if self.follow_links {
            // Following a link to an enclosing folder would never end.
            let identity = folder.metadata().map(|it| FileStat::new(&it)).map(|it| (it.device, it.inode));
            if !identity.is_ok_and(|identity| self.listed.insert(identity)) {
                return Vec::new();
            }
        }
        let Ok(entries) = folder.read_dir() else { return Vec::new() };
        let may_be_folder = |entry: &std::fs::DirEntry| {
            entry.file_type().is_ok_and(|kind| kind.is_dir() || (self.follow_links && kind.is_symlink()))
        };
        entries.flatten().filter(may_be_folder).map(|entry| entry.path()).filter(|path| self.is_entered(path)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(root: &Path, nested_roots: &[PathBuf], options: &ScanOptions) -> Vec<PathBuf> {
        let rules = ScanRules::new(root, options).expect("good globs");
        let mut folders = Folders::new(root, &rules, nested_roots, options);
        let (mut found, mut left) = (Vec::new(), vec![root.to_owned()]);
        while let Some(folder) = left.pop() {
            left.extend(folders.inside(&folder));
            found.push(folder.strip_prefix(root).expect("below it").to_owned());
        }
        found.sort();
        found
    }

    #[test]
    fn folders_are_those_that_a_walk_enters() {
        let dir = tempfile::tempdir().expect("a folder");
        for folder in ["a/b", "skip/c", ".hidden/d", "node_modules/e", "apart/f"] {
            std::fs::create_dir_all(dir.path().join(folder)).expect("a folder");
        }
        std::fs::write(dir.path().join("a/file"), "").expect("a file");
        let options = ScanOptions { exclude: vec!["skip".into()], ..Default::default() };
        let found = all(dir.path(), &[dir.path().join("apart")], &options);
        assert_eq!(found, ["", "a", "a/b"].map(PathBuf::from));
    }

    #[cfg(unix)]
    #[test]
    fn link_loops_end() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(dir.path().join("a/b")).expect("a folder");
        std::os::unix::fs::symlink("..", dir.path().join("a/loop")).expect("a link");
        std::os::unix::fs::symlink("a/b", dir.path().join("other")).expect("a link");
        let options = ScanOptions { follow_links: true, ..Default::default() };
        let found = all(dir.path(), &[], &options);
        assert!(found.contains(&"other".into()) && found.contains(&"a/b".into()), "{found:?}");
        assert_eq!(all(dir.path(), &[], &ScanOptions::default()), ["", "a", "a/b"].map(PathBuf::from));
    }
}
