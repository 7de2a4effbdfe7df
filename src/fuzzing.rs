//! What takes bytes from elsewhere, each as one function of bytes: for the fuzzers in `fuzz/`, and for what they have found.
//!
//! Every function may refuse what it is given, and must not panic, hang or take much memory.

use std::sync::{Mutex, OnceLock, PoisonError};

use crate::search::TextQuery;
use crate::store::{ModelRow, Store, Writer};

/// A place for files of one process.
fn folder() -> &'static tempfile::TempDir {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("a folder"))
}

/// An empty database.
fn with_store(ask: impl FnOnce(&Store)) {
    static STORE: OnceLock<Mutex<Store>> = OnceLock::new();
    let store = STORE.get_or_init(|| {
        let path = folder().path().join("empty.db");
        drop(Writer::open(&path).expect("it is made"));
        Mutex::new(Store::open(&path).expect("it is there"))
    });
    ask(&store.lock().unwrap_or_else(PoisonError::into_inner));
}

/// `spec.json`, and a preprocessor's configuration.
pub fn spec(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        crate::model::fuzzed::spec(text);
    }
}

/// A line on the daemon's socket, and the filter in it put to the database.
#[cfg(unix)]
pub fn protocol(data: &[u8]) {
    use crate::daemon::Op;
    match crate::daemon::fuzzed::line(data) {
        Some(Op::Similar(request)) => ask(&request.filter),
        Some(Op::Search(request)) => {
            with_store(|store| {
                crate::search::search_text(store, ModelRow::NONE, &request.query, 10).expect("a question");
            });
        }
        _ => {}
    }
}

/// A filter as JSON, and moments as they are typed, put to the database.
pub fn filter(data: &[u8]) {
    if let Ok(filter) = serde_json::from_slice::<crate::Filter>(data) {
        ask(&filter);
    }
    if let Ok(moment) = std::str::from_utf8(data)
        && let Ok(filter) = crate::Filter::default().after(moment)
    {
        ask(&filter);
    }
}

/// Whatever the filter is, the question that it becomes is one that SQLite understands.
fn ask(filter: &crate::Filter) {
    with_store(|store| {
        let selection = filter.selection(store).expect("the database is there");
        store.for_each_picture(&selection, |_| Ok(())).expect("a question");
        store.select_vectors(ModelRow::NONE, &selection).expect("a question");
    });
}

/// Words to search for.
pub fn words(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        with_store(|store| {
            crate::search::search_text(store, ModelRow::NONE, &TextQuery::new(text), 10).expect("a question");
        });
    }
}

/// Files of codes and graphs with the right seals, and anything in them; and a search in what is taken for whole.
pub fn sealed(data: &[u8]) {
    crate::ann::fuzzed::sealed(folder().path(), data);
}

/// The beginning of a picture file: its format, the markers of a JPEG, and the camera's notes.
pub fn header(data: &[u8]) {
    crate::media::fuzzed::header(data);
}

/// What a process that decodes may say.
#[cfg(unix)]
pub fn wire(data: &[u8]) {
    crate::sandbox::fuzzed::answer(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that is kept of what fuzzers came upon.
    #[test]
    fn what_fuzzers_came_upon_is_taken_or_refused() {
        type Target = (&'static str, fn(&[u8]));
        let targets: [Target; 7] = [
            ("spec", spec),
            ("protocol", protocol),
            ("filter", filter),
            ("words", words),
            ("sealed", sealed),
            ("header", header),
            ("wire", wire),
        ];
        for (name, target) in targets {
            let kept = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/kept").join(name);
            let mut files: Vec<_> =
                std::fs::read_dir(&kept).expect("the folder").flatten().map(|file| file.path()).collect();
            files.sort();
            assert!(!files.is_empty(), "nothing is kept for {name}");
            for file in files {
                target(&std::fs::read(&file).expect("a file"));
            }
        }
    }
}
