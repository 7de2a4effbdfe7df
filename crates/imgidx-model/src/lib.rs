//! Runs image models with ONNX Runtime: pixels in, embeddings and class scores out.
//!
//! A [`Model`] is an ONNX graph and a [`ModelSpec`], which describes the graph's input and outputs. The [`Catalog`]
//! lists the built-in model and the models that were added. A [`Runtime`] is the loaded ONNX Runtime library. An
//! [`Embedder`] is one session of a model on that library; each worker has its own.
//!
//! ```
//! use imgidx_model::{BUILTIN_NAME, Catalog, Vocabulary};
//!
//! # let folder = tempfile::tempdir().expect("a directory");
//! # let folder = folder.path();
//! let builtin = Catalog::new(folder).entry(BUILTIN_NAME)?;
//! assert!(builtin.spec.outputs.dimension > 0);
//! let terms = Vocabulary::get().terms("hot dog");
//! assert_eq!(terms.iter().map(|term| term.text()).collect::<Vec<_>>(), ["hot dog"]);
//! # Ok::<(), imgidx_model::Error>(())
//! ```

mod builtin;
mod catalog;
mod device;
mod device_memory;
mod embedder;
mod error;
mod external;
mod fetch;
mod files;
mod infer;
mod library;
mod onnx;
mod preprocessor;
mod runtime;
mod spec;
mod text_encoder;
mod vocabulary;
mod words;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use builtin::BUILTIN_NAME;
pub use catalog::{Catalog, CatalogEntry};
pub use device::Device;
pub use embedder::{Embedded, Embedder, MIN_SCORE, TOP_CLASSES};
pub use error::{Error, Result};
pub use library::Notice;
pub use onnx::Runtime;
pub use runtime::{RuntimeOptions, RuntimePlace, fetch_runtime};
pub use spec::{Distance, Element, InputSpec, Layout, ModelSpec, OutputSpec, Pooling, Resize};
pub use text_encoder::TextEncoder;
pub use vocabulary::{Term, Vocabulary};
pub use words::{Meaning, WordTable};

use imgidx_types::ModelId;

/// A graph with its spec and labels, checked against each other as far as possible without running the graph.
#[derive(Debug, Clone)]
pub struct Model {
    spec: ModelSpec,
    id: ModelId,
    labels: Arc<[String]>,
    graph: Graph,
}

#[derive(Debug, Clone)]
enum Graph {
    BuiltIn(&'static [u8]),
    File(PathBuf),
}

impl Model {
    /// The description of the graph's input and outputs.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// BLAKE3 digest of the graph, the labels and everything in the spec that changes the vectors.
    pub fn id(&self) -> ModelId {
        self.id
    }

    /// The class names, in the order of the logits; empty if the model has none.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Reads a model from a folder with a `spec.json`.
    ///
    /// # Errors
    /// When a file is missing, the spec is malformed, or the graph's digest differs from the one in the spec.
    pub fn load(folder: &Path) -> Result<Self> {
        let spec = ModelSpec::read(&folder.join("spec.json"))?;
        Self::assemble(folder, spec)
    }

    /// Loads the files that a spec names, and puts the graph's digest into the spec.
    fn assemble(folder: &Path, mut spec: ModelSpec) -> Result<Self> {
        let path = folder.join(&spec.file);
        let bytes = files::read_graph(&path)?;
        let digest = blake3::hash(&bytes);
        if spec.digest.as_ref().is_some_and(|expected| *expected != digest.to_hex().as_str()) {
            let reason = format!("the digest of `{}` is {digest}, not the one in its spec", path.display());
            return Err(Error::Model { model: spec.name, reason });
        }
        spec.digest = Some(digest.to_hex().to_string());
        let labels = match &spec.labels {
            None => Vec::new(),
            Some(file) => files::read_labels(&folder.join(file))?,
        };
        Ok(Self { id: spec.id(&digest, &labels), labels: labels.into(), graph: Graph::File(path), spec })
    }

    /// Whether this is the built-in model, whose int8 graph is made for CPUs.
    pub fn is_builtin(&self) -> bool {
        matches!(self.graph, Graph::BuiltIn(_))
    }

    /// Size of the graph's file in bytes.
    pub fn graph_bytes(&self) -> u64 {
        match &self.graph {
            Graph::BuiltIn(bytes) => bytes.len() as u64,
            Graph::File(path) => path.metadata().map_or(0, |metadata| metadata.len()),
        }
    }

    fn graph(&self) -> Result<Cow<'static, [u8]>> {
        match &self.graph {
            Graph::BuiltIn(bytes) => Ok(Cow::Borrowed(bytes)),
            Graph::File(path) => files::read_graph(path).map(Cow::Owned),
        }
    }

    fn error(&self, reason: impl Into<String>) -> Error {
        Error::Model { model: self.spec.name.clone(), reason: reason.into() }
    }
}

/// Entry points for the fuzzers: the parsers that read untrusted input.
#[doc(hidden)]
pub mod fuzzed {
    pub fn spec(text: &str) {
        if let Ok(spec) = super::spec::ModelSpec::parse(text) {
            let id = spec.id(&blake3::hash(b"a graph"), &[]);
            let wanted = spec.decode_request();
            assert!(wanted.side >= 1 && wanted.frame.is_some(), "{id}");
            // The catalog stores specs as JSON, so a spec must survive the round trip.
            let written = serde_json::to_string(&spec).expect("plain data");
            assert_eq!(super::spec::ModelSpec::parse(&written).as_ref(), Ok(&spec));
        }
        let _ = super::preprocessor::input_spec(text);
    }
}
