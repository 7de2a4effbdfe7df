//! Fetches ONNX Runtime once, with Python's pip, from the wheel of its Python package.
//!
//! pip knows the user's package index, such as a company mirror. The wheel is pinned by its SHA-256, which pip checks
//! before it saves the file.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::library::{Notice, is_library_name};
use imgidx_types::io_reason;

/// The version to fetch.
const VERSION: &str = "1.31.1";

/// The wheel of each platform: operating system, architecture, pip's platform tag, SHA-256.
///
/// All are for CPython 3.12, whichever Python runs pip, because only the library inside is used.
const WHEELS: &[(&str, &str, &str, &str)] = &[
    ("linux", "x86_64", "manylinux_2_28_x86_64", "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536"),
    ("linux", "aarch64", "manylinux_2_28_aarch64", "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc"),
    ("macos", "aarch64", "macosx_14_0_arm64", "96dd2564b10ea7153ad9c207e7cd8e5917cb3ba521e0e0a62ac03486fdc8d56c"),
    ("windows", "x86_64", "win_amd64", "ae8a9a351efda685cc59a66226cdefaa37a126c1d66872ca23a2de9425326130"),
    ("windows", "aarch64", "win_arm64", "fe8b9ac1ae8e894e12c47ee82e4f6dfc1835768133687257866469fda80d0bf1"),
];

/// The commands to try for Python.
pub(super) const PYTHONS: [&str; 2] = ["python3", "python"];

/// Prefix of the folders in which a fetch is in progress.
const WORK_PREFIX: &str = ".fetch-";

/// Age at which such a folder counts as left behind by a killed process.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

/// Maximum size of the unpacked library.
const MAX_LIBRARY_BYTES: u64 = 512 << 20;

/// The folder of a fetched library.
pub(super) fn library_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("runtime").join(format!("onnxruntime-{VERSION}"))
}

/// Fetches the library into the data directory and returns its path; the error is the reason.
pub(super) fn fetch(data_dir: &Path, notice: &Notice) -> Result<PathBuf, String> {
    let (_, _, platform, sha256) = WHEELS
        .iter()
        .find(|(system, processor, ..)| (*system, *processor) == (std::env::consts::OS, std::env::consts::ARCH))
        .ok_or_else(|| {
            format!("there is no ONNX Runtime wheel for {} on {}", std::env::consts::OS, std::env::consts::ARCH)
        })?;
    notice(&format!("fetching ONNX Runtime {VERSION} with pip (18 MB, once) into `{}`", data_dir.display()));
    // pip runs in another directory, so the path must be absolute.
    let runtimes = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned()).join("runtime");
    let plain = |error: io::Error| format!("`{}`: {}", runtimes.display(), io_reason(&error));
    std::fs::create_dir_all(&runtimes).map_err(plain)?;
    remove_abandoned(&runtimes);
    // On the same file system as its final place, so that a rename publishes the finished folder atomically.
    let work = tempfile::Builder::new().prefix(WORK_PREFIX).tempdir_in(&runtimes).map_err(plain)?;
    let wheel = download(work.path(), platform, sha256)?;
    let ready = work.path().join("ready");
    std::fs::create_dir(&ready).map_err(plain)?;
    let name = unpack(&wheel, &ready)?;
    fail::fail_point!("library-unpacked", |_| std::process::abort());
    let target = library_dir(data_dir);
    match std::fs::rename(&ready, &target) {
        // Another process was faster; its library is the same.
        Err(_) if target.join(&name).is_file() => {}
        result => result.map_err(plain)?,
    }
    Ok(target.join(name))
}

/// Removes the folders of processes that were killed during a fetch. Recent ones may belong to a running process.
fn remove_abandoned(runtimes: &Path) {
    let is_old = |metadata: &std::fs::Metadata| {
        let age = metadata.modified().ok().and_then(|time| time.elapsed().ok());
        age.is_some_and(|age| age > ABANDONED_AFTER)
    };
    for entry in std::fs::read_dir(runtimes).into_iter().flatten().flatten() {
        let is_work = entry.file_name().as_encoded_bytes().starts_with(WORK_PREFIX.as_bytes());
        if is_work && entry.metadata().is_ok_and(|metadata| metadata.is_dir() && is_old(&metadata)) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Downloads the pinned wheel into a folder with pip.
fn download(folder: &Path, platform: &str, sha256: &str) -> Result<PathBuf, String> {
    let plain = |error: io::Error| io_reason(&error);
    let requirements = folder.join("requirements.txt");
    std::fs::write(&requirements, format!("onnxruntime=={VERSION} --hash=sha256:{sha256}\n")).map_err(plain)?;
    let mut reasons = Vec::new();
    for python in PYTHONS {
        match pip(python, folder, &requirements, platform) {
            Ok(output) if output.status.success() => return find_wheel(folder),
            Ok(output) => reasons.push(format!("{python}: {}", last_lines(&output.stderr))),
            Err(error) => reasons.push(format!("{python}: {}", io_reason(&error))),
        }
    }
    Err(reasons.join("; "))
}

/// A command that runs a Python script, which may use `sys`. No module is imported from the working directory: it may
/// hold untrusted files, among them a module named `pip`.
pub(super) fn python_command(python: &str, script: &str) -> Command {
    // `sys` is built into Python. With `-c`, the first entry of `sys.path` is empty, which means the working directory.
    let safe = format!("import sys; sys.path[:] = [place for place in sys.path if place]; {script}");
    let mut command = Command::new(python);
    // An empty entry of PYTHONPATH becomes the path of the working directory, so on Unix Python starts in `/`.
    command.args(["-c", &safe]).current_dir(if cfg!(unix) { "/" } else { "." });
    command
}

fn pip(python: &str, folder: &Path, requirements: &Path, platform: &str) -> io::Result<Output> {
    python_command(python, "import runpy; sys.argv[0] = 'pip'; runpy.run_module('pip', run_name='__main__')")
        .args(["download", "--quiet", "--no-input", "--disable-pip-version-check"])
        .args(["--no-deps", "--only-binary=:all:", "--require-hashes"])
        .args(["--python-version", "312", "--implementation", "cp", "--abi", "cp312", "--platform", platform])
        .arg("--requirement")
        .arg(requirements)
        .arg("--dest")
        .arg(folder)
        .stdin(Stdio::null())
        .output()
}

/// The last three lines of pip's messages, joined into one.
fn last_lines(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join(" / ")
}

fn find_wheel(folder: &Path) -> Result<PathBuf, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| io_reason(&error))?;
    let is_wheel = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "whl");
    entries.flatten().map(|entry| entry.path()).find(is_wheel).ok_or_else(|| "pip did not save a wheel".to_owned())
}

/// Extracts the library from a wheel and returns its file name.
fn unpack(wheel: &Path, folder: &Path) -> Result<String, String> {
    let broken = |error: zip::result::ZipError| format!("the wheel is damaged: {error}");
    let plain = |error: io::Error| io_reason(&error);
    let file = File::open(wheel).map_err(plain)?;
    let mut archive = zip::ZipArchive::new(file).map_err(broken)?;
    let library = archive.file_names().flatten().find_map(|member| {
        let name = member.strip_prefix("onnxruntime/capi/").filter(|name| !name.contains('/') && is_library_name(name));
        name.map(|name| (member.to_string(), name.to_owned()))
    });
    let (member, name) = library.ok_or("the wheel contains no library")?;
    let mut source = archive.by_name(&member).map_err(broken)?;
    if source.size() > MAX_LIBRARY_BYTES {
        return Err(format!("the library in the wheel is too large: {} bytes", source.size()));
    }
    let mut target = File::create(folder.join(&name)).map_err(plain)?;
    io::copy(&mut source, &mut target).and_then(|_| target.flush()).and_then(|()| target.sync_all()).map_err(plain)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_pip_are_shortened() {
        assert_eq!(last_lines(b"a\nb\n\n  c\nd\n"), "b / c / d");
        assert_eq!(last_lines(b""), "");
    }

    #[test]
    fn a_damaged_wheel_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let wheel = dir.path().join("x.whl");
        std::fs::write(&wheel, "no archive").expect("a file");
        assert!(unpack(&wheel, dir.path()).is_err_and(|reason| reason.contains("damaged")));
    }
}
