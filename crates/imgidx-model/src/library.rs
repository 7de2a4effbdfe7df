//! The file name of ONNX Runtime's library, and the callback for notices about it.

use std::sync::Arc;

/// Callback that receives a one-sentence notice when something slow starts that the user did not ask for.
pub type Notice = Arc<dyn Fn(&str) + Send + Sync>;

/// Whether this is the library's file name, with or without a version, such as `libonnxruntime.so.1.31.1`.
pub(super) fn is_library_name(name: &str) -> bool {
    let prefix = std::env::consts::DLL_PREFIX;
    let extension = std::env::consts::DLL_EXTENSION;
    let Some(rest) = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix("onnxruntime.")) else { return false };
    rest == extension || rest.starts_with(&format!("{extension}.")) || rest.ends_with(&format!(".{extension}"))
}
