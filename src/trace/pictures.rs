//! Collects the pictures to trace: named files, and files in named folders.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::media::has_picture_extension;
use crate::scan::{ScanOptions, Start, Walker};
use crate::types::path_from_bytes;

/// A file that may be a picture to trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TraceInput {
    /// Path of the file.
    pub path: PathBuf,
    /// Relative path for its SVG, unique within the run: its path in the named folder, or the file name of a named
    /// file, ending in `svg`.
    pub target: PathBuf,
    /// Whether the file itself was named. A named file that is not a drawing is an error.
    pub is_named: bool,
    /// Why the file cannot be read, if it cannot.
    pub unreadable: Option<String>,
}

/// Collects the named files, and all files that `add` would find in the named folders, without duplicates.
///
/// # Errors
/// When a path does not exist or a folder cannot be read.
pub(crate) fn trace_inputs(paths: &[PathBuf]) -> Result<Vec<TraceInput>> {
    let mut all: Vec<TraceInput> = Vec::new();
    for path in paths {
        // Fails if the path does not exist.
        let metadata = path.metadata().map_err(Error::io("read", path))?;
        let name = path.file_name().map(PathBuf::from).unwrap_or_default();
        if metadata.is_dir() {
            // Several folders may contain the same names.
            all.extend(in_folder(path, if paths.len() > 1 { &name } else { Path::new("") })?);
        } else {
            all.push(TraceInput { path: path.clone(), target: name, is_named: true, unreadable: None });
        }
    }
    let named: HashSet<PathBuf> = all.iter().filter(|input| input.is_named).map(|input| input.path.clone()).collect();
    let mut seen = HashSet::new();
    all.retain(|input| seen.insert(input.path.clone()));
    all.iter_mut().for_each(|input| input.is_named |= named.contains(&input.path));
    name_targets(&mut all);
    Ok(all)
}

/// Makes all targets unique and lets them end in `svg`. Files without the extension of a picture come last, so that
/// they take no name from those that have one.
fn name_targets(trace_inputs: &mut [TraceInput]) {
    // An SVG does not need to be traced.
    let is_svg = |path: &Path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg"));
    let is_picture = |input: &TraceInput| has_picture_extension(&input.path) && !is_svg(&input.path);
    let mut taken = HashSet::new();
    for is_first in [true, false] {
        for input in trace_inputs.iter_mut().filter(|input| is_picture(input) == is_first) {
            let ending = |added: &str| {
                let mut name = input.target.clone().into_os_string();
                name.push(added);
                PathBuf::from(name)
            };
            let names = [input.target.with_extension("svg"), ending(".svg")].into_iter();
            let mut names = names.chain((2_u64..).map(|number| ending(&format!("-{number}.svg"))));
            input.target = names.find(|name| taken.insert(name.clone())).expect("there is always an unused number");
        }
    }
}

fn in_folder(folder: &Path, within: &Path) -> Result<Vec<TraceInput>> {
    let walker = Walker::new(folder, (folder, Start::Asked), &[], &ScanOptions::default())?;
    let input = |path: &[u8], unreadable| {
        let relative = path_from_bytes(path);
        TraceInput { path: folder.join(&relative), target: within.join(relative), is_named: false, unreadable }
    };
    Ok(walker
        .map(|found| match found {
            Ok(file) => input(&file.path, None),
            Err(error) => input(&error.path, Some(error.reason)),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_named_and_found_in_folders_are_collected_once() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(dir.path().join("logos/old")).expect("a folder");
        for file in ["logos/a.png", "logos/old/b.png", "logos/.hidden.png"] {
            std::fs::write(dir.path().join(file), "").expect("a file");
        }
        let (folder, named) = (dir.path().join("logos"), dir.path().join("logos/a.png"));
        let found = trace_inputs(&[named.clone(), folder, named]).expect("they are there");
        let targets: Vec<_> =
            found.iter().map(|input| (input.target.to_str().expect("UTF-8"), input.is_named)).collect();
        assert_eq!(targets, [("a.svg", true), ("logos/old/b.svg", false)]);
        assert!(matches!(trace_inputs(&[dir.path().join("nowhere")]), Err(Error::Io { .. })));
    }

    #[test]
    fn no_two_pictures_have_the_same_target() {
        let dir = tempfile::tempdir().expect("a folder");
        for file in ["a/x.png", "b/a/x.png", "a.gif", "a.png", "a.txt", "b.svg", "b.webp", "c"] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, "").expect("a file");
        }
        let targets = |paths: &[&str]| -> Vec<String> {
            let paths: Vec<PathBuf> = paths.iter().map(|path| dir.path().join(path)).collect();
            let found = trace_inputs(&paths).expect("they are there");
            found.into_iter().map(|input| input.target.to_string_lossy().into_owned()).collect()
        };
        let all = ["a.svg", "a.png.svg", "a.txt.svg", "a/x.svg", "b.svg.svg", "b.svg", "b/a/x.svg", "c.svg"];
        assert_eq!(targets(&[""]), all);
        assert_eq!(targets(&["a", "b/a"]), ["a/x.svg", "a/x.png.svg"]);
        assert_eq!(targets(&["a/x.png", "b/a/x.png"]), ["x.svg", "x.png.svg"]);
    }
}
