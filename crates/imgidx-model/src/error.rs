//! The errors of this crate, with hints for the user.

use std::io;
use std::path::PathBuf;

use imgidx_types::io_reason;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a model, ONNX Runtime or a device cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file system operation failed.
    #[error("cannot {action} `{}`: {}", path.display(), io_reason(source))]
    Io {
        /// The operation, as the verb of the message.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// No usable ONNX Runtime was found, or the one asked for does not load.
    #[error("no usable ONNX Runtime: {}", attempts.join("; "))]
    Runtime {
        /// The places that were searched, each with the reason why it failed.
        attempts: Vec<String>,
        /// Whether a library was named, so that no other place was searched.
        named: bool,
    },
    /// The loaded ONNX Runtime does not offer the requested device.
    #[error("ONNX Runtime {version} does not offer the device `{device}`; it offers {}", offered.join(", "))]
    Device {
        /// The requested device.
        device: String,
        /// The version of the loaded library.
        version: String,
        /// The devices that it offers.
        offered: Vec<String>,
    },
    /// An accelerator is offered, but fails or gives wrong results.
    #[error("the device `{device}` cannot be used: {reason}")]
    BrokenDevice {
        /// The device.
        device: String,
        /// What is wrong.
        reason: String,
    },
    /// A model's files do not match each other, or the model fails.
    #[error("the model `{model}` cannot be used: {reason}")]
    Model {
        /// The model's name or folder.
        model: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No model has this name.
    #[error("there is no model named `{name}`; available models: {}", known.join(", "))]
    UnknownModel {
        /// The requested name.
        name: String,
        /// The names of all models in the catalog.
        known: Vec<String>,
    },
    /// An argument is invalid.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// A name for this kind of error that stays the same from version to version, for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::Runtime { .. } => "runtime",
            Self::Device { .. } => "device",
            Self::BrokenDevice { .. } => "broken_device",
            Self::Model { .. } => "model",
            Self::UnknownModel { .. } => "unknown_model",
            Self::Invalid(_) => "invalid",
        }
    }

    /// What the user can do about the error, if anything.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Runtime { named: true, .. } => Some(
                "name another library, or leave out --runtime and unset ORT_DYLIB_PATH to let imgidx find one".into(),
            ),
            Self::Runtime { .. } => Some(runtime_hint()),
            Self::Device { .. } => {
                Some("leave out --device, or name with --runtime an ONNX Runtime that offers it".into())
            }
            Self::BrokenDevice { .. } => Some("leave out --device, or name another device".into()),
            Self::Model { .. } => Some("`imgidx model list` shows the models that can be used".into()),
            _ => None,
        }
    }
}

fn runtime_hint() -> String {
    "any of these provides it:\n  \
     - run without --offline, so that imgidx fetches it with Python's pip\n  \
     - `pip install onnxruntime` in the active Python environment\n  \
     - install ONNX Runtime 1.17 or later with the system's package manager\n  \
     - give the library's path with --runtime or ORT_DYLIB_PATH\n  \
     - put the library beside the imgidx program"
        .into()
}
