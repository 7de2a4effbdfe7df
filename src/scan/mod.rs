//! Walks directories, and recognises the directory of a root.
//!
//! Nothing in this module reads the content of a file.

mod folders;
mod health;
mod rules;
mod walk;

pub use folders::Folders;
pub use health::{RootIdentity, SAMPLE_FILES, find_root, on_network_file_system, root_identity, tells_too_little};
pub use rules::{ScanOptions, ScanRules};
pub use walk::{ScanError, ScannedFile, Start, Walker};
