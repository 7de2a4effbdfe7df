//! Reads a model's files, which may come from an untrusted source.

use std::io::Read;
use std::path::Path;

use super::external::has_external_data;
use crate::error::{Error, Result};
use imgidx_types::open_regular;

/// Maximum size of a graph: protobuf's limit of 2 GiB.
const MAX_GRAPH_BYTES: u64 = 2 << 30;

/// Maximum size of a `spec.json` or a `preprocessor_config.json`.
const MAX_SPEC_BYTES: u64 = 1 << 20;

/// Maximum size of a file of labels; a hundred thousand classes take 2 MB.
const MAX_LABELS_BYTES: u64 = 16 << 20;

/// Reads a graph, and refuses it if some of its weights are in other files.
pub(super) fn read_graph(path: &Path) -> Result<Vec<u8>> {
    let graph = read(path, "read the graph", MAX_GRAPH_BYTES)?;
    if has_external_data(&graph) {
        let reason = "some of its weights are in other files; save the model as a single file".into();
        return Err(Error::Model { model: path.display().to_string(), reason });
    }
    Ok(graph)
}

/// Reads a `spec.json` or a `preprocessor_config.json`.
pub(super) fn read_description(path: &Path) -> Result<String> {
    text(path, read(path, "read", MAX_SPEC_BYTES)?)
}

/// Reads labels, one per line.
pub(super) fn read_labels(path: &Path) -> Result<Vec<String>> {
    let text = text(path, read(path, "read the labels", MAX_LABELS_BYTES)?)?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn read(path: &Path, action: &'static str, max_bytes: u64) -> Result<Vec<u8>> {
    let file = open_regular(path).map_err(Error::io(action, path))?;
    let mut bytes = Vec::new();
    // One byte more than allowed shows that the file is too large: its reported length may be missing or wrong.
    file.take(max_bytes + 1).read_to_end(&mut bytes).map_err(Error::io(action, path))?;
    if bytes.len() as u64 > max_bytes {
        let reason = format!("it is larger than {} MiB", max_bytes >> 20);
        return Err(Error::Model { model: path.display().to_string(), reason });
    }
    Ok(bytes)
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String> {
    let not_text = |_| Error::Model { model: path.display().to_string(), reason: "it is not UTF-8".into() };
    String::from_utf8(bytes).map_err(not_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_must_be_small_and_utf8() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("spec.json");
        std::fs::write(&path, vec![b' '; (MAX_SPEC_BYTES + 1) as usize]).expect("a file");
        assert!(read_description(&path).expect_err("too large").to_string().contains("larger than 1 MiB"));
        std::fs::write(&path, b"{}").expect("a file");
        assert_eq!(read_description(&path).expect("small"), "{}");
        std::fs::write(&path, b"\xFF").expect("a file");
        assert!(read_description(&path).expect_err("no text").to_string().contains("UTF-8"));
        #[cfg(unix)]
        assert!(read_description(Path::new("/dev/zero")).is_err());
    }
}
