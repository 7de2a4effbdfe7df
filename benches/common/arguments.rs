//! The command line of a benchmark.

use std::path::PathBuf;

/// The directories on the command line. Cargo adds options of its own, which are ignored.
pub(crate) fn directories() -> Vec<PathBuf> {
    std::env::args_os().skip(1).filter(|arg| !arg.as_encoded_bytes().starts_with(b"-")).map(PathBuf::from).collect()
}
