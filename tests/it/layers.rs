//! The layers of ARCHITECTURE.md that Cargo does not enforce: modules use only modules below them, and some crates are
//! used in one place only.

use std::path::{Path, PathBuf};

/// Each module of `src` with the modules and workspace crates that it may use. All may use `error` and `types`. The
/// dependencies of the crates are in their manifests.
const MAY_USE: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("types", &["media"]),
    ("scan", &[]),
    ("store", &[]),
    ("options", &["encoder", "media", "model", "sandbox"]),
    ("encoder", &["media", "model", "sandbox"]),
    ("indexer", &["encoder", "scan", "media", "model", "sandbox", "store", "ann"]),
    ("search", &["options", "encoder", "scan", "media", "model", "store", "ann"]),
    ("trace", &["scan", "media", "sandbox", "store", "vector"]),
    (
        "index",
        &[
            "options", "encoder", "indexer", "search", "trace", "vector", "sandbox", "scan", "media", "model", "store",
            "ann",
        ],
    ),
    ("watch", &["index", "indexer", "scan", "store"]),
    ("fuzzing", &["daemon", "index", "search", "sandbox", "media", "model", "store", "ann"]),
    ("daemon", &["watch", "index", "indexer", "search", "scan", "store"]),
    ("documents", &["daemon", "watch", "index", "indexer", "search", "trace", "vector", "model", "store", "ann"]),
];

/// Crates that only some files may name, with the prefixes of the paths of these files.
const ALLOWED: &[(&str, &[&str])] = &[
    ("rusqlite", &["src/store/"]),
    ("rusqlite_migration", &["src/store/"]),
    ("clap", &["src/cli/"]),
    ("notify", &["src/watch/"]),
    ("walkdir", &["src/scan/"]),
    ("ort", &["crates/imgidx-model/src/onnx.rs"]),
    ("hnsw_rs", &["crates/imgidx-ann/src/hnsw.rs"]),
    ("trash", &["src/index/duplicates/"]),
    ("postcard", &["crates/imgidx-media/src/sandbox/wire.rs"]),
    ("landlock", &["crates/imgidx-media/src/sandbox/limits.rs"]),
    ("vtracer", &["crates/imgidx-vectorize/src/"]),
];

fn source_files() -> Vec<(String, String)> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let base = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&base.join("src"), &mut files);
    collect(&base.join("crates"), &mut files);
    let text = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("a source file");
        // Comments may mention any crate.
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    };
    let name = |path: &PathBuf| {
        path.strip_prefix(base).expect("the path is below the repository").to_str().expect("UTF-8").to_owned()
    };
    files.iter().map(|path| (name(path), text(path))).collect()
}

/// The word after each occurrence of `before` as a whole word.
fn words_after<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(before).filter_map(move |(at, _)| {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        if text[..at].chars().next_back().is_some_and(is_word) {
            return None;
        }
        let rest = &text[at + before.len()..];
        Some(&rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())])
    })
}

/// The modules that `crate::{a::b, c}` and `crate::a` use.
fn used_modules(text: &str) -> Vec<String> {
    let mut used: Vec<String> = words_after(text, "crate::").map(str::to_owned).collect();
    for (at, _) in text.match_indices("crate::{") {
        let group = &text[at + 8..];
        let mut depth = 0;
        for part in group.split_inclusive(['{', '}', ',']) {
            if depth == 0 {
                let name: String = part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                used.push(name);
            }
            depth += i32::from(part.ends_with('{')) - i32::from(part.ends_with('}'));
            if depth < 0 {
                break;
            }
        }
    }
    used
}

#[test]
fn modules_use_only_what_is_below_them() {
    let mut wrong = Vec::new();
    for (file, text) in source_files() {
        if file.starts_with("crates/") {
            continue;
        }
        let module = file.trim_start_matches("src/").split(['/', '.']).next().expect("a first part").to_owned();
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            assert!(["lib", "main", "cli"].contains(&module.as_str()), "{file} is in no layer of MAY_USE");
            continue;
        };
        for used in used_modules(&text) {
            let known = MAY_USE.iter().any(|(name, _)| *name == used);
            let is_allowed =
                used == module || ["error", "types"].contains(&used.as_str()) || allowed.contains(&used.as_str());
            if known && !is_allowed {
                wrong.push(format!("{file} uses `{used}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn crates_are_named_only_where_they_are_allowed() {
    let mut wrong = Vec::new();
    for (file, text) in source_files() {
        for (name, allowed) in ALLOWED {
            let is_allowed = allowed.iter().any(|prefix| file.starts_with(prefix));
            let named = text.match_indices(&format!("{name}::")).any(|(at, _)| {
                !text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
            });
            if named && !is_allowed {
                wrong.push(format!("{file} names `{name}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_check_itself_sees_uses() {
    let text = "use crate::store::X;\nuse crate::{ann::{A, B}, scan};\nfn f() { crate::media::g() }";
    let mut used = used_modules(text);
    used.retain(|name| !name.is_empty());
    used.sort();
    assert_eq!(used, ["ann", "media", "scan", "store"]);
}
