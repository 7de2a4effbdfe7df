//! Where ONNX Runtime's library is decoded for.

// A program with the library linked into it looks nowhere.
#![cfg_attr(not(feature = "load-runtime"), allow(dead_code))]

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use super::fetch;
use crate::error::{Error, Result};

/// A function that is told, in a sentence, of something that takes long and that the user did not ask for.
pub type Notice = Arc<dyn Fn(&str) + Send + Sync>;

/// How ONNX Runtime is found.
#[derive(Clone)]
pub struct RuntimeOptions {
    /// The library to use, and no other: from `--runtime` or `ORT_DYLIB_PATH`.
    pub library: Option<PathBuf>,
    /// Whether nothing may be fetched.
    pub offline: bool,
    /// imgidx's own data directory, where a fetched library is kept.
    pub data_dir: PathBuf,
    /// Is told when a library is being fetched.
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

/// How a library came to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimePlace {
    /// The user named it.
    Named,
    /// It lies beside the program.
    BesideProgram,
    /// It was fetched before.
    DataDirectory,
    /// The system's loader finds it.
    System,
    /// It belongs to the `onnxruntime` package of a Python environment.
    Python,
    /// It was fetched just now.
    Fetched,
    /// It is part of the program.
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

/// Tries the places in their order until `load` takes a library; fetches one if none does.
///
/// Returns what `load` gave, the library, its place, and what was tried before.
pub(super) fn locate<T>(
    options: &RuntimeOptions,
    mut load: impl FnMut(&Path) -> Result<T, String>,
) -> Result<(T, PathBuf, RuntimePlace, Vec<String>)> {
    let mut attempts = Vec::new();
    let mut attempt = |place: RuntimePlace, library: PathBuf, attempts: &mut Vec<String>| match load(&library) {
        Ok(loaded) => Some((loaded, library, place)),
        Err(reason) => {
            attempts.push(format!("{place}: `{}`: {reason}", library.display()));
            None
        }
    };
    if let Some(library) = &options.library {
        let found = attempt(RuntimePlace::Named, library.clone(), &mut attempts);
        let (loaded, library, place) = found.ok_or_else(|| Error::Runtime { attempts: attempts.clone() })?;
        return Ok((loaded, library, place, attempts));
    }
    let places: [(RuntimePlace, &dyn Fn() -> Vec<PathBuf>); 4] = [
        (RuntimePlace::BesideProgram, &beside_program),
        (RuntimePlace::DataDirectory, &|| libraries_in(&fetch::library_dir(&options.data_dir))),
        (RuntimePlace::System, &|| vec![system_name()]),
        (RuntimePlace::Python, &python_package),
    ];
    for (place, candidates) in places {
        let candidates = candidates();
        if candidates.is_empty() {
            attempts.push(format!("{place}: none there"));
        }
        for library in candidates {
            if let Some((loaded, library, place)) = attempt(place, library, &mut attempts) {
                return Ok((loaded, library, place, attempts));
            }
        }
    }
    if options.offline {
        attempts.push(format!("{}: forbidden by --offline", RuntimePlace::Fetched));
        return Err(Error::Runtime { attempts });
    }
    match fetch::fetch(&options.data_dir, &options.notice) {
        Ok(library) => match attempt(RuntimePlace::Fetched, library, &mut attempts) {
            Some((loaded, library, place)) => Ok((loaded, library, place, attempts)),
            None => Err(Error::Runtime { attempts }),
        },
        Err(reason) => {
            attempts.push(format!("{}: {reason}", RuntimePlace::Fetched));
            Err(Error::Runtime { attempts })
        }
    }
}

/// Fetches ONNX Runtime into imgidx's data directory and returns the library's path.
///
/// # Errors
/// When fetching is forbidden, or fails.
pub fn fetch_runtime(options: &RuntimeOptions) -> Result<PathBuf> {
    if cfg!(not(feature = "load-runtime")) {
        return Err(linked_instead_of(&fetch::library_dir(&options.data_dir)));
    }
    let result = if options.offline {
        Err("forbidden by --offline".to_owned())
    } else {
        fetch::fetch(&options.data_dir, &options.notice)
    };
    result.map_err(|reason| Error::Runtime { attempts: vec![format!("{}: {reason}", RuntimePlace::Fetched)] })
}

/// The error of a program with the library linked into it that is told to use another one.
pub(super) fn linked_instead_of(library: &Path) -> Error {
    let library = library.display();
    Error::Invalid(format!("ONNX Runtime is linked into this program, which cannot use `{library}` instead"))
}

/// The name under which the system's loader is asked for the library.
fn system_name() -> PathBuf {
    format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX).into()
}

/// Whether a file name is that of the library, with or without a version: `libonnxruntime.so.1.31.1`.
pub(super) fn is_library_name(name: &str) -> bool {
    let prefix = std::env::consts::DLL_PREFIX;
    let extension = std::env::consts::DLL_EXTENSION;
    let Some(rest) = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix("onnxruntime.")) else { return false };
    rest == extension || rest.starts_with(&format!("{extension}.")) || rest.ends_with(&format!(".{extension}"))
}

/// The libraries in a folder, the last name first, so that a later version comes before an earlier one.
fn libraries_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_library_name))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found.reverse();
    found
}

fn beside_program() -> Vec<PathBuf> {
    let program = std::env::current_exe().and_then(std::fs::canonicalize);
    program.ok().and_then(|program| program.parent().map(libraries_in)).unwrap_or_default()
}

/// Asks Python where its `onnxruntime` package lies, without importing it.
fn python_package() -> Vec<PathBuf> {
    const SCRIPT: &str = "import importlib.util as u; s = u.find_spec('onnxruntime'); \
                          print(s.submodule_search_locations[0] if s else '')";
    let mut found = Vec::new();
    for python in fetch::PYTHONS {
        let mut command = fetch::python_command(python, SCRIPT);
        let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
        let Ok(output) = output else { continue };
        let folder = String::from_utf8_lossy(&output.stdout);
        if !folder.trim().is_empty() {
            found.extend(libraries_in(&Path::new(folder.trim()).join("capi")));
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(offline: bool, library: Option<&str>, data_dir: &Path) -> RuntimeOptions {
        RuntimeOptions {
            library: library.map(PathBuf::from),
            offline,
            data_dir: data_dir.into(),
            notice: Arc::new(|_| {}),
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
