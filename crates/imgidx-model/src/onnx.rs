//! The interface to ONNX Runtime; no other file uses the crate `ort`.

#[cfg(feature = "load-runtime")]
use std::ffi::CStr;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

#[cfg(feature = "load-runtime")]
use ort::ep::ExecutionProvider;
use ort::ep::{self, ExecutionProviderDispatch};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{TensorElementType, TensorRef, ValueType};

use super::device::Device;
use super::runtime::{self, RuntimeOptions, RuntimePlace};
use crate::error::{Error, Result};

/// The loaded ONNX Runtime. A process has only one: the first that was loaded.
#[derive(Debug, Clone)]
pub struct Runtime {
    environment: ort::environment::Environment,
    library: PathBuf,
    version: String,
    place: RuntimePlace,
    attempts: Vec<String>,
}

static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Finds and loads the library; fetches it if there is none and fetching is allowed.
    ///
    /// # Errors
    /// When no library can be used; the error lists every attempt.
    pub fn load(options: &RuntimeOptions) -> Result<Self> {
        // Held while loading, so that one worker loads the library and the others wait for it.
        let mut loaded = LOADED.lock();
        if let Some(runtime) = &*loaded {
            return Ok(runtime.clone());
        }
        Ok(loaded.insert(Self::find(options)?).clone())
    }

    #[cfg(feature = "load-runtime")]
    fn find(options: &RuntimeOptions) -> Result<Self> {
        let ((environment, version), library, place, attempts) = runtime::locate(options, load_library)?;
        Ok(Self { environment, library, version, place, attempts })
    }

    #[cfg(not(feature = "load-runtime"))]
    fn find(options: &RuntimeOptions) -> Result<Self> {
        if let Some(library) = &options.library {
            return Err(runtime::linked_instead_of(library));
        }
        let environment = start(ort::init()).map_err(|reason| Error::Runtime { attempts: vec![reason] })?;
        // "ORT Build Info: git-branch=rel-1.31.1, git-commit-id=…"
        let branch = ort::info().split("git-branch=").nth(1).and_then(|rest| rest.split(',').next());
        let version = branch.and_then(|branch| branch.strip_prefix("rel-")).unwrap_or("of unknown version").to_owned();
        let library = std::env::current_exe().unwrap_or_default();
        Ok(Self { environment, library, version, place: RuntimePlace::Linked, attempts: Vec::new() })
    }

    /// The library's path; only a file name if the system's loader found it.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Where the library was found.
    pub fn place(&self) -> RuntimePlace {
        self.place
    }

    /// The attempts that failed before, each with its reason.
    pub fn attempts(&self) -> &[String] {
        &self.attempts
    }

    /// The library's version, such as `1.31.1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The memory of an accelerator in bytes; `None` if it has no memory of its own or does not report it.
    pub fn device_memory(&self, device: Device) -> Option<u64> {
        super::device_memory::of(device)
    }

    /// The devices that this library can use.
    pub fn devices(&self) -> Vec<Device> {
        let offered = |device: &Device| match device {
            Device::Auto => false,
            Device::Cpu => true,
            #[cfg(not(feature = "load-runtime"))]
            _ => false,
            #[cfg(feature = "load-runtime")]
            Device::Cuda => ep::CUDA::is_available().unwrap_or(false),
            #[cfg(feature = "load-runtime")]
            Device::TensorRt => ep::TensorRT::is_available().unwrap_or(false),
            #[cfg(feature = "load-runtime")]
            Device::CoreMl => ep::CoreML::is_available().unwrap_or(false),
            #[cfg(feature = "load-runtime")]
            Device::DirectMl => ep::DirectML::is_available().unwrap_or(false),
            #[cfg(feature = "load-runtime")]
            Device::OpenVino => ep::OpenVINO::is_available().unwrap_or(false),
        };
        Device::ALL.into_iter().filter(offered).collect()
    }
}

/// Initialises the library; the error is the reason.
fn start(builder: ort::environment::EnvironmentBuilder) -> Result<ort::environment::Environment, String> {
    let environment = builder.with_name("imgidx").with_telemetry(false).build().map_err(|error| error.to_string())?;
    // Warnings about a graph only help its author.
    environment.set_log_level(ort::logging::LogLevel::Error);
    Ok(environment)
}

/// Loads a library and returns its version; the error is the reason.
#[cfg(feature = "load-runtime")]
fn load_library(path: &Path) -> Result<(ort::environment::Environment, String), String> {
    let builder = ort::init_from(path).map_err(|error| match &error {
        // The loader's own message is in the error's source.
        ort::LoadDynamicError::Dlopen { error, .. } => match std::error::Error::source(error) {
            Some(source) => source.to_string(),
            None => error.to_string(),
        },
        other => other.to_string(),
    })?;
    let environment = start(builder)?;
    Ok((environment, library_version(path).unwrap_or_else(|| "of unknown version".into())))
}

/// Asks the library, which `ort` has already loaded, for its version.
#[cfg(feature = "load-runtime")]
fn library_version(path: &Path) -> Option<String> {
    // SAFETY: the library is already loaded and its initialisers have run; this only raises its reference count.
    let library = unsafe { libloading::Library::new(path) }.ok()?;
    // SAFETY: `ort` has just found this symbol, with this signature (onnxruntime_c_api.h), in the same library.
    let base =
        unsafe { library.get::<unsafe extern "C" fn() -> *const ort::sys::OrtApiBase>(b"OrtGetApiBase") }.ok()?;
    // SAFETY: the function returns a pointer to static data, which `ort` has checked not to be null.
    let version = unsafe { CStr::from_ptr(((*base()).GetVersionString)()) };
    version.to_str().ok().map(str::to_owned)
}

/// An input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Port {
    pub name: String,
    pub kind: PortKind,
    /// The length of each axis, -1 if it is dynamic.
    pub shape: Vec<i64>,
}

/// The element type of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PortKind {
    U8,
    F32,
    Other(String),
}

impl std::fmt::Display for PortKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::U8 => "u8",
            Self::F32 => "f32",
            Self::Other(name) => name,
        })
    }
}

/// The borrowed data of an input tensor.
#[derive(Debug, Clone, Copy)]
pub(super) enum Input<'a> {
    U8(&'a [u8]),
    F32(&'a [f32]),
}

/// A float output tensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Output {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// A graph that is ready to run. Only one thread at a time may run it, so each worker has its own.
#[derive(Debug)]
pub(super) struct Session {
    session: ort::session::Session,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
}

impl Session {
    /// Opens a session for a graph.
    ///
    /// # Errors
    /// When the runtime does not offer the device, the device does not work, or the graph of the model `name` cannot be used.
    pub(crate) fn open(runtime: &Runtime, name: &str, graph: &[u8], device: Device, threads: usize) -> Result<Self> {
        let offered = runtime.devices();
        if device.is_accelerator() && !offered.contains(&device) {
            let offered = offered.iter().map(ToString::to_string).collect();
            return Err(Error::Device { device: device.to_string(), version: runtime.version().to_owned(), offered });
        }
        let session = options(runtime, device, threads).and_then(|builder| Self::commit(builder, graph));
        session.map_err(|reason| match device.is_accelerator() {
            true => Error::BrokenDevice { device: device.to_string(), reason: loader_message(&reason) },
            false => Error::Model { model: name.to_owned(), reason },
        })
    }

    fn commit(mut builder: SessionBuilder, graph: &[u8]) -> Result<Self, String> {
        let session = builder.commit_from_memory(graph).map_err(|error| error.message().to_owned())?;
        let ports = |outlets: &[ort::value::Outlet]| outlets.iter().map(port).collect::<Vec<_>>();
        Ok(Self { inputs: ports(session.inputs()), outputs: ports(session.outputs()), session })
    }

    /// Runs the graph on one input and returns the named outputs; the error is the reason.
    pub(crate) fn run(
        &mut self,
        input: &str,
        shape: [i64; 4],
        data: Input<'_>,
        outputs: &[&str],
    ) -> Result<Vec<Output>, String> {
        let plain = |error: ort::Error| error.message().to_owned();
        let results = match data {
            Input::U8(data) => {
                let tensor = TensorRef::from_array_view((shape, data)).map_err(plain)?;
                self.session.run(ort::inputs![input => tensor])
            }
            Input::F32(data) => {
                let tensor = TensorRef::from_array_view((shape, data)).map_err(plain)?;
                self.session.run(ort::inputs![input => tensor])
            }
        };
        let results = results.map_err(plain)?;
        let read = |name: &&str| {
            let value = results.get(name).ok_or_else(|| format!("it has no output `{name}`"))?;
            let (shape, values) = value.try_extract_tensor::<f32>().map_err(plain)?;
            let shape = shape.iter().map(|&side| usize::try_from(side).unwrap_or(0)).collect();
            Ok(Output { shape, values: values.to_vec() })
        };
        outputs.iter().map(read).collect()
    }
}

/// The options of a session with `threads` threads, which do not spin while they wait.
///
/// The memory arena keeps as much as the largest batch needed. It saves a twentieth of the time that a batch takes when
/// the system allocates its memory again. Batches on the CPU are small, and so is the arena.
fn options(runtime: &Runtime, device: Device, threads: usize) -> Result<SessionBuilder, String> {
    fn plain<T>(error: ort::Error<T>) -> String {
        error.message().to_owned()
    }
    let builder = ort::session::Session::builder(&runtime.environment).map_err(plain)?;
    let builder = builder.with_optimization_level(GraphOptimizationLevel::All).map_err(plain)?;
    let builder = builder.with_intra_threads(threads).map_err(plain)?;
    let builder = builder.with_intra_op_spinning(false).map_err(plain)?;
    let builder = builder.with_memory_pattern(false).map_err(plain)?;
    builder.with_execution_providers(providers(device)).map_err(plain)
}

fn providers(device: Device) -> Vec<ExecutionProviderDispatch> {
    let cpu = ep::CPU::default().with_arena_allocator(true).build();
    let accelerator: Option<ExecutionProviderDispatch> = match device {
        Device::Auto | Device::Cpu => None,
        #[cfg(not(feature = "load-runtime"))]
        _ => None,
        #[cfg(feature = "load-runtime")]
        Device::Cuda => Some(ep::CUDA::default().build()),
        #[cfg(feature = "load-runtime")]
        Device::TensorRt => Some(ep::TensorRT::default().build()),
        #[cfg(feature = "load-runtime")]
        Device::CoreMl => Some(ep::CoreML::default().build()),
        #[cfg(feature = "load-runtime")]
        Device::DirectMl => Some(ep::DirectML::default().build()),
        #[cfg(feature = "load-runtime")]
        Device::OpenVino => Some(ep::OpenVINO::default().build()),
    };
    accelerator.map(ExecutionProviderDispatch::error_on_failure).into_iter().chain([cpu]).collect()
}

/// The message of the system's loader if a library that an accelerator needs is missing; otherwise the whole reason.
fn loader_message(reason: &str) -> String {
    let message = reason.rsplit_once(" with error: ").map_or(reason, |(_, message)| message);
    message.trim().to_owned()
}

fn port(outlet: &ort::value::Outlet) -> Port {
    let (kind, shape) = match outlet.dtype() {
        ValueType::Tensor { ty: TensorElementType::Uint8, shape, .. } => (PortKind::U8, shape.to_vec()),
        ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => (PortKind::F32, shape.to_vec()),
        ValueType::Tensor { ty, shape, .. } => (PortKind::Other(ty.to_string()), shape.to_vec()),
        other => (PortKind::Other(format!("{other:?}")), Vec::new()),
    };
    Port { name: outlet.name().to_owned(), kind, shape }
}
