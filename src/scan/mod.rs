//! What lies on the disk: walking directories, and whether a root is itself.
//!
//! Nothing here reads the content of a file.

mod health;
mod walk;

pub use health::{RootIdentity, on_network_file_system, root_identity};
pub use walk::{ScanError, ScanOptions, ScannedFile, Walker};
