//! One function for each parser of untrusted input, for the fuzzers in `fuzz/` and for the test that replays the inputs
//! that they found.
//!
//! A function may reject its input, but must not panic, hang or use much memory.

use std::sync::OnceLock;

use parking_lot::Mutex;

use crate::search::TextQuery;
use crate::store::{ModelRow, Store, Writer};

/// A temporary folder for this process.
fn folder() -> &'static tempfile::TempDir {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("a folder"))
}

/// Runs a function on an empty database.
fn with_store(run: impl FnOnce(&Store)) {
    static STORE: OnceLock<Mutex<Store>> = OnceLock::new();
    let store = STORE.get_or_init(|| {
        let path = folder().path().join("empty.db");
        drop(Writer::open(&path).expect("the database can be created"));
        Mutex::new(Store::open(&path).expect("the database exists"))
    });
    run(&store.lock());
}

/// `spec.json` and `preprocessor_config.json`.
pub fn spec(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        crate::model::fuzzed::spec(text);
    }
}

/// A request line on the daemon's socket; runs its filter or search on the database.
#[cfg(unix)]
pub fn protocol(data: &[u8]) {
    use crate::daemon::Op;
    match crate::daemon::fuzzed::line(data) {
        Some(Op::Similar(request)) => run_filter(&request.query.filter),
        Some(Op::Search(request)) => {
            with_store(|store| {
                crate::search::search_text(store, ModelRow::NONE, &request.query, 10).expect("the query is valid");
            });
        }
        _ => {}
    }
}

/// A filter as JSON, and a date as a user types it; runs both on the database.
pub fn filter(data: &[u8]) {
    if let Ok(filter) = serde_json::from_slice::<crate::Filter>(data) {
        run_filter(&filter);
    }
    if let Ok(moment) = std::str::from_utf8(data)
        && let Ok(filter) = crate::Filter::default().after(moment)
    {
        run_filter(&filter);
    }
}

/// Runs a filter on the database: every filter must become valid SQL.
fn run_filter(filter: &crate::Filter) {
    with_store(|store| {
        let selection = filter.selection(store).expect("the database can be read");
        store.for_each_picture(&selection, |_| Ok(())).expect("the query is valid");
        store.select_vectors(ModelRow::NONE, &selection).expect("the query is valid");
    });
}

/// The text of a search.
pub fn words(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        with_store(|store| {
            crate::search::search_text(store, ModelRow::NONE, &TextQuery::new(text), 10).expect("the query is valid");
        });
    }
}

/// Quantized vectors and graphs with valid seals and arbitrary content; searches those that load.
pub fn sealed(data: &[u8]) {
    crate::ann::fuzzed::sealed(folder().path(), data);
}

/// The beginning of a picture file: its format and JPEG markers.
pub fn header(data: &[u8]) {
    crate::media::fuzzed::header(data);
}

/// A file of each format whose header is read by code of this project.
pub fn containers(data: &[u8]) {
    crate::media::fuzzed::containers(data);
}

/// Metadata of each kind, and in a file of each format.
pub fn metadata(data: &[u8]) {
    crate::media::fuzzed::metadata(data);
}

/// An answer of a decoder process.
#[cfg(unix)]
pub fn wire(data: &[u8]) {
    crate::sandbox::fuzzed::answer(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replays the inputs in `fuzz/kept`.
    #[test]
    fn what_fuzzers_came_upon_is_taken_or_refused() {
        type Target = (&'static str, fn(&[u8]));
        let targets: [Target; 9] = [
            ("spec", spec),
            ("protocol", protocol),
            ("filter", filter),
            ("words", words),
            ("sealed", sealed),
            ("header", header),
            ("containers", containers),
            ("metadata", metadata),
            ("wire", wire),
        ];
        for (name, target) in targets {
            let kept = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/kept").join(name);
            let mut files: Vec<_> =
                std::fs::read_dir(&kept).expect("the folder").flatten().map(|file| file.path()).collect();
            files.sort();
            assert!(!files.is_empty(), "no inputs are kept for `{name}`");
            for file in files {
                target(&std::fs::read(&file).expect("a file"));
            }
        }
    }
}
