//! What a bench was called with.

use std::path::PathBuf;

/// The directories. Cargo passes options of its own; what is no option is a directory.
pub(crate) fn directories() -> Vec<PathBuf> {
    std::env::args_os().skip(1).filter(|arg| !arg.as_encoded_bytes().starts_with(b"-")).map(PathBuf::from).collect()
}
