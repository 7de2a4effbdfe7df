//! Finds ONNX Runtime's shared library.

// A program with ONNX Runtime linked into it does not search.
#![cfg_attr(not(feature = "load-runtime"), allow(dead_code))]

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::fetch;
use super::library::{Notice, is_library_name};
use crate::error::{Error, Result};

/// Where to look for ONNX Runtime, and whether it may be fetched.
#[derive(Clone)]
pub struct RuntimeOptions {
    /// The only library to try, from `--runtime` or `ORT_DYLIB_PATH`.
    pub library: Option<PathBuf>,
    /// Whether fetching is forbidden.
    pub offline: bool,
    /// imgidx's data directory, where a fetched library is kept.
    pub data_dir: PathBuf,
    /// Called before a library is fetched.
    pub notice: Notice,
}

impl fmt::Debug for RuntimeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { library, offline, data_dir, .. } = self;
        f.debug_struct("RuntimeOptions")
            .field("library", library)
            .field("offline", offline)
            .field("data_dir", data_dir)
            .finish_non_exhaustive()
    }
}

/// Where the library in use was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimePlace {
    /// The user named it.
    Named,
    /// It is in the folder of the program.
    BesideProgram,
    /// An earlier run fetched it into imgidx's data directory.
    DataDirectory,
    /// The system's loader found it.
    System,
    /// It belongs to the `onnxruntime` package of a Python environment.
    Python,
    /// This run fetched it.
    Fetched,
    /// It is linked into the program.
    Linked,
}

impl fmt::Display for RuntimePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Named => "named by --runtime or ORT_DYLIB_PATH",
            Self::BesideProgram => "beside the program",
            Self::DataDirectory => "in imgidx's data directory",
            Self::System => "the system's loader",
            Self::Python => "the active Python environment",
            Self::Fetched => "fetched with pip",
            Self::Linked => "linked into the program",
        })
    }
}

/// Searches the places in order until `load` accepts a library, and fetches one if it accepts none.
///
/// Returns the result of `load`, the library's path, its place, and the failed attempts.
pub(super) fn locate<T>(
    options: &RuntimeOptions,
    mut load: impl FnMut(&Path) -> Result<T, String>,
) -> Result<(T, PathBuf, RuntimePlace, Vec<String>)> {
    let places: &[RuntimePlace] = match options.library {
        Some(_) => &[RuntimePlace::Named],
        None => {
            use RuntimePlace::{BesideProgram, DataDirectory, Fetched, Python, System};
            &[BesideProgram, DataDirectory, System, Python, Fetched]
        }
    };
    let mut attempts = Vec::new();
    for place in places.iter().copied() {
        let libraries = match place {
            RuntimePlace::Named => options.library.iter().cloned().collect(),
            RuntimePlace::BesideProgram => beside_program(),
            RuntimePlace::DataDirectory => libraries_in(&fetch::library_dir(&options.data_dir)),
            RuntimePlace::System => vec![system_name()],
            RuntimePlace::Python => python_package(),
            RuntimePlace::Fetched => match fetch(options) {
                Ok(library) => vec![library],
                Err(reason) => {
                    attempts.push(format!("{place}: {reason}"));
                    break;
                }
            },
            RuntimePlace::Linked => Vec::new(),
        };
        if libraries.is_empty() {
            attempts.push(format!("{place}: no library found"));
        }
        for library in libraries {
            match load(&library) {
                Ok(loaded) => return Ok((loaded, library, place, attempts)),
                Err(reason) => attempts.push(format!("{place}: `{}`: {reason}", library.display())),
            }
        }
    }
    Err(Error::Runtime { attempts, named: options.library.is_some() })
}

/// Fetches ONNX Runtime into imgidx's data directory and returns the library's path.
///
/// # Errors
/// When fetching is forbidden or fails.
pub fn fetch_runtime(options: &RuntimeOptions) -> Result<PathBuf> {
    if cfg!(not(feature = "load-runtime")) {
        return Err(linked_instead_of(&fetch::library_dir(&options.data_dir)));
    }
    fetch(options).map_err(|reason| {
        let attempts = vec![format!("{}: {reason}", RuntimePlace::Fetched)];
        Error::Runtime { attempts, named: false }
    })
}

fn fetch(options: &RuntimeOptions) -> Result<PathBuf, String> {
    if options.offline {
        return Err("forbidden by --offline".into());
    }
    fetch::fetch(&options.data_dir, &options.notice)
}

/// The error when another library is requested from a program that has ONNX Runtime linked into it.
pub(super) fn linked_instead_of(library: &Path) -> Error {
    let library = library.display();
    Error::Invalid(format!("ONNX Runtime is linked into this program, so it cannot use `{library}`"))
}

/// The file name to request from the system's loader.
fn system_name() -> PathBuf {
    format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX).into()
}

/// The libraries in a folder, in descending order of their names, so that later versions come first.
fn libraries_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_library_name))
        .map(|entry| entry.path())
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found
}

fn beside_program() -> Vec<PathBuf> {
    let program = std::env::current_exe().and_then(std::fs::canonicalize);
    program.ok().and_then(|program| program.parent().map(libraries_in)).unwrap_or_default()
}

/// Asks Python for the folder of its `onnxruntime` package, without importing the package.
fn python_package() -> Vec<PathBuf> {
    const SCRIPT: &str = "import importlib.util as u; s = u.find_spec('onnxruntime'); \
                          print(s.submodule_search_locations[0] if s else '')";
    for python in fetch::PYTHONS {
        let output = fetch::python_command(python, SCRIPT).stdin(Stdio::null()).stderr(Stdio::null()).output();
        let Ok(output) = output else { continue };
        let folder = String::from_utf8_lossy(&output.stdout);
        if !folder.trim().is_empty() {
            return libraries_in(&Path::new(folder.trim()).join("capi"));
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(offline: bool, library: Option<&str>, data_dir: &Path) -> RuntimeOptions {
        RuntimeOptions {
            library: library.map(PathBuf::from),
            offline,
            data_dir: data_dir.into(),
            notice: std::sync::Arc::new(|_| {}),
        }
    }

    #[test]
    fn a_named_library_is_the_only_one_tried() {
        let mut tried = Vec::new();
        let options = options(false, Some("/no/such.so"), Path::new("/nowhere"));
        let result = locate(&options, |path| -> Result<(), String> {
            tried.push(path.to_owned());
            Err("it is broken".into())
        });
        let error = result.expect_err("it does not load");
        assert_eq!(tried, [PathBuf::from("/no/such.so")]);
        assert!(error.to_string().contains("it is broken"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("--runtime")));
    }

    #[test]
    fn offline_every_place_is_listed_and_nothing_is_fetched() {
        let empty = tempfile::tempdir().expect("a folder");
        let result = locate(&options(true, None, empty.path()), |_| -> Result<(), String> { Err("no".into()) });
        let message = result.expect_err("nothing loads").to_string();
        for place in ["beside the program", "data directory", "system's loader", "Python", "--offline"] {
            assert!(message.contains(place), "{place} is missing in: {message}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_fetched_library_comes_before_the_systems() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = fetch::library_dir(dir.path());
        std::fs::create_dir_all(&folder).expect("a folder");
        let library = folder.join("libonnxruntime.so.1.31.1");
        std::fs::write(&library, "").expect("a file");
        let (_, found, place, _) = locate(&options(true, None, dir.path()), |_| Ok(())).expect("it loads");
        assert_eq!((found, place), (library, RuntimePlace::DataDirectory));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_the_library_itself_is_taken_for_it() {
        assert!(is_library_name("libonnxruntime.so"));
        assert!(is_library_name("libonnxruntime.so.1.31.1"));
        assert!(!is_library_name("libonnxruntime_providers_shared.so"));
        assert!(!is_library_name("onnxruntime_pybind11_state.so"));
    }
}
