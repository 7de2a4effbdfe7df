//! Finding and fetching ONNX Runtime, through the program.

use std::process::Command;

use crate::common::Sandbox;

#[test]
fn it_is_told_which_library_is_used() {
    let sandbox = Sandbox::new();
    let shown = sandbox.run(&["runtime"]).code(0);
    assert!(shown.stdout.contains("named by --runtime or ORT_DYLIB_PATH"), "{}", shown.stdout);
    let version = shown.lines()[0].trim_start_matches("version").trim().to_owned();
    assert!(version.starts_with("1.") && version.split('.').count() == 3, "{version}");
}

#[test]
fn a_library_that_does_not_load_is_an_error_with_the_ways_out() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    let broken = sandbox.path("broken.so");
    std::fs::write(&broken, "no library").expect("a file");
    let failed = sandbox.run(&["--runtime", broken.to_str().expect("UTF-8"), "add", "photos"]).code(1);
    for part in ["no usable ONNX Runtime", "broken.so", "hint:", "leave out --runtime"] {
        assert!(failed.stderr.contains(part), "`{part}` is missing in: {}", failed.stderr);
    }
}

#[test]
fn offline_nothing_is_fetched() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    let mut program = sandbox.program();
    // There is no Python on this path and no library in this home.
    program.env_remove("ORT_DYLIB_PATH").env("PATH", "/nowhere").args(["--offline", "add", "photos"]);
    let output = program.output().expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        eprintln!("skipped: the system's loader has an ONNX Runtime");
        return;
    }
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("forbidden by --offline") && stderr.contains("data directory"), "{stderr}");
    assert!(!sandbox.path("home/.local/share/imgidx/runtime").exists());
}

#[test]
fn a_picture_in_the_index_is_a_query_without_any_runtime() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.draw("b.png", 2);
    sandbox.run(&["add", "photos"]).code(0);
    let mut program = sandbox.program();
    program.env("ORT_DYLIB_PATH", "/no/such/library.so").args(["similar", "photos/a.png"]);
    let output = program.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stdout.is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn it_is_fetched_with_pip_into_a_clean_home() {
    let sandbox = Sandbox::new();
    let probe = sandbox.path("probe");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--no-deps", "--quiet", "six", "--dest"]).arg(probe);
    if !pip.output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: pip cannot download anything here");
        return;
    }
    let mut program = sandbox.program();
    // The environment may have the settings that pip needs on this machine.
    for (name, value) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PIP_") || name == "SSL_CERT_FILE" {
            program.env(name, value);
        }
    }
    let output = program.env_remove("ORT_DYLIB_PATH").args(["runtime", "install"]).output().expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("fetching ONNX Runtime"), "{stderr}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("in imgidx's data directory"), "{stdout}");
    let folder = sandbox.path("home/.local/share/imgidx/runtime");
    let left: Vec<_> =
        std::fs::read_dir(folder).expect("the folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 1, "only the finished folder is left: {left:?}");
}
