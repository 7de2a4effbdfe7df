//! Models: from pixels to vectors and classes, by ONNX Runtime.
//!
//! A [`Model`] is a graph and a [`ModelSpec`] that says how pictures go in and vectors come out. The [`Catalog`]
//! knows the built-in one and those that were added. A [`Runtime`] is the loaded library, and an [`Embedder`] is one
//! session of it: what a worker uses.

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
mod onnx;
mod preprocessor;
mod runtime;
mod spec;
mod vocabulary;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use builtin::BUILTIN_NAME;
pub use catalog::{Catalog, CatalogEntry};
pub use device::Device;
pub use embedder::{Embedded, Embedder, LEAST_SCORE, TOP_CLASSES};
pub use error::{Error, Result};
pub use onnx::Runtime;
pub use runtime::{Notice, RuntimeOptions, RuntimePlace, fetch_runtime};
pub use spec::{Distance, Element, InputSpec, Layout, ModelSpec, OutputSpec, Pooling, Resize};
pub use vocabulary::{Term, Vocabulary};

use imgidx_types::ModelId;

/// A graph with its spec and labels, checked against each other as far as that goes without running it.
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
    /// What goes in and what comes out.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// The digest of the graph and of all in the spec that changes vectors.
    pub fn id(&self) -> ModelId {
        self.id
    }

    /// The names of the classes, in the order of the logits; empty for a model without any.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Reads a model from a folder with a `spec.json`.
    ///
    /// # Errors
    /// When a file is missing, the spec is malformed, or the digest in it is not the graph's.
    pub fn load(folder: &Path) -> Result<Self> {
        let spec = ModelSpec::read(&folder.join("spec.json"))?;
        Self::assemble(folder, spec)
    }

    /// Puts a spec together with the files that it names.
    fn assemble(folder: &Path, spec: ModelSpec) -> Result<Self> {
        let path = folder.join(&spec.file);
        let bytes = files::read_graph(&path)?;
        let digest = blake3::hash(&bytes);
        if spec.digest.as_ref().is_some_and(|expected| *expected != digest.to_hex().as_str()) {
            let reason = format!("the digest of `{}` is {digest}, and not the one in its spec", path.display());
            return Err(Error::Model { model: spec.name, reason });
        }
        let labels = match &spec.labels {
            None => Vec::new(),
            Some(file) => files::read_labels(&folder.join(file))?,
        };
        Ok(Self { id: spec.id(&digest, &labels), labels: labels.into(), graph: Graph::File(path), spec })
    }

    /// Whether it is the built-in model, a graph of whole numbers that is made for processors.
    pub fn is_builtin(&self) -> bool {
        matches!(self.graph, Graph::BuiltIn(_))
    }

    /// Bytes of the graph's file.
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

/// For fuzzers: what takes bytes from elsewhere.
#[doc(hidden)]
pub mod fuzzed {
    pub fn spec(text: &str) {
        if let Ok(spec) = super::spec::ModelSpec::parse(text) {
            let id = spec.id(&blake3::hash(b"a graph"), &[]);
            let wanted = spec.decode_request();
            assert!(wanted.side >= 1 && wanted.frame.is_some(), "{id}");
            // What is written down of it in the catalog is read again as the same.
            let written = serde_json::to_string(&spec).expect("plain data");
            assert_eq!(super::spec::ModelSpec::parse(&written).as_ref(), Ok(&spec));
        }
        let _ = super::preprocessor::input_spec(text);
    }
}
