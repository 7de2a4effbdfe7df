//! Options for opening an index: which model and ONNX Runtime it uses, and where pictures are decoded.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use image::RgbImage;

use crate::encoder::Encoders;
use crate::error::{Error, Result};
use crate::media::{DecodeLimits, DecodeRequest, Filter, Fit, Frame, read_named_picture};
use crate::model::{Notice, RuntimeOptions};
use crate::sandbox::{Helper, Sandbox};
use crate::types::Stage;

/// Options for opening an index: where to find models and ONNX Runtime, and where to decode pictures.
#[derive(Clone, Default)]
pub struct OpenOptions {
    data_dir: Option<PathBuf>,
    runtime: Option<PathBuf>,
    offline: bool,
    pub(crate) model: Option<String>,
    notice: Option<Notice>,
    sandbox: Arc<Sandbox>,
    /// Shared by everything that is opened with these options or a clone of them.
    encoders: Arc<Encoders>,
}

impl std::fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenOptions")
            .field("data_dir", &self.data_dir)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl OpenOptions {
    /// Keeps models and the downloaded ONNX Runtime in this directory instead of the user's data directory.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Uses this ONNX Runtime library and no other.
    #[must_use]
    pub fn runtime(mut self, library: impl Into<PathBuf>) -> Self {
        self.runtime = Some(library.into());
        self
    }

    /// Whether to never download anything.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Uses this model of the catalog instead of the one stored in the database.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.model = Some(name.into());
        self
    }

    /// Sets a callback for notices: about slow work that was not requested, such as downloading ONNX Runtime, and about
    /// problems that did not make an operation fail.
    #[must_use]
    pub fn notice(mut self, notice: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.notice = Some(Arc::new(notice));
        self
    }

    /// Decodes pictures in separate processes. They run this program with these arguments, and must then call
    /// [`sandbox::serve`](crate::sandbox::serve). By default, pictures are decoded in this process.
    #[must_use]
    pub fn decoder(
        mut self,
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        let (program, arguments) = (program.into(), arguments.into_iter().map(Into::into).collect());
        self.sandbox = Arc::new(Sandbox::new(Helper { program, arguments }));
        self
    }

    /// Decodes pictures in this process.
    #[must_use]
    pub fn decode_here(mut self) -> Self {
        self.sandbox = Arc::default();
        self
    }

    /// A picture, upright and scaled down to at most `side` pixels on each side.
    ///
    /// # Errors
    /// [`Error::Picture`] if it cannot be read or decoded.
    pub fn thumbnail(&self, path: &Path, side: u32) -> Result<RgbImage> {
        let failed = |stage, reason| Error::Picture { path: path.to_owned(), stage, reason };
        let content = read_named_picture(path).map_err(|reason| failed(Stage::Read, reason))?;
        let frame = Some(Frame { fit: Fit::Inside, width: side, height: side, filter: Filter::Lanczos });
        let request = DecodeRequest { side, feature_time: Some(Duration::ZERO), frame, alpha: false, quick: false };
        let limits = DecodeLimits::default();
        let decoded = self.sandbox.decode_and_measure(&content.bytes, content.format, limits, &request, |_| ());
        let decoded = decoded.map_err(|error| failed(Stage::Decode, error.to_string()))?;
        Ok(decoded.pixels.expect("the decode request asks for pixels"))
    }

    /// Reports a notice.
    pub(crate) fn tell(&self, text: &str) {
        if let Some(notice) = &self.notice {
            notice(text);
        }
    }

    pub(crate) fn sandbox(&self) -> &Arc<Sandbox> {
        &self.sandbox
    }

    pub(crate) fn encoders(&self) -> &Encoders {
        &self.encoders
    }

    /// The directory for models and the downloaded ONNX Runtime.
    ///
    /// # Errors
    /// If no directory was given and the user has no home directory.
    pub fn resolve_data_dir(&self) -> Result<PathBuf> {
        self.data_dir.clone().map_or_else(default_data_dir, Ok)
    }

    /// Options for finding ONNX Runtime.
    ///
    /// # Errors
    /// Those of [`OpenOptions::resolve_data_dir`].
    pub fn runtime_options(&self) -> Result<RuntimeOptions> {
        Ok(RuntimeOptions {
            library: self.runtime.clone(),
            offline: self.offline,
            data_dir: self.resolve_data_dir()?,
            notice: self.notice.clone().unwrap_or_else(|| Arc::new(|_| {})),
        })
    }
}

/// The default directory for data: that of imgidx in the user's data directory, such as `~/.local/share/imgidx`.
///
/// # Errors
/// If the user has no home directory.
pub fn default_data_dir() -> Result<PathBuf> {
    directories::ProjectDirs::from("", "", "imgidx")
        .map(|dirs| dirs.data_dir().to_owned())
        .ok_or_else(|| Error::Invalid("cannot find a home directory for the data; name a database with --db".into()))
}
