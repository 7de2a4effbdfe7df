//! Picture files and their contents.

use std::path::{Path, PathBuf};

use imgidx::media::{Content, Reading, read_content};

/// All files below a directory, sorted.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

pub(crate) fn first_file(directory: &Path) -> PathBuf {
    files(directory).remove(0)
}

/// Reads the pictures below the directories into memory.
pub(crate) fn read_all(directories: &[PathBuf]) -> Vec<Content> {
    let all = directories.iter().flat_map(|directory| files(directory));
    let read = |path: PathBuf| match read_content(&path, u64::MAX, |_| ()).0 {
        Reading::Content(content, ..) => Some(content),
        _ => None,
    };
    all.filter_map(read).collect()
}
