//! The interface to ONNX Runtime; no other file uses the crate `ort`.

#[cfg(feature = "load-runtime")]
use std::ffi::CStr;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

#[cfg(feature = "load-runtime")]
use ort::ep::ExecutionProvider;
use ort::ep::{self, ExecutionProviderDispatch};
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{PrimitiveTensorElementType, TensorRef, ValueType};

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
        let environment =
            start(ort::init()).map_err(|reason| Error::Runtime { attempts: vec![reason], named: false })?;
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
        let is_offered = |device: &Device| match device {
            Device::Auto => false,
            Device::Cpu => true,
            accelerator => provider(*accelerator).is_some_and(|(_, is_available)| is_available),
        };
        Device::ALL.into_iter().filter(is_offered).collect()
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
    /// The element type, such as `u8` or `f32`.
    pub kind: String,
    /// The length of each axis, -1 if it is dynamic.
    pub shape: Vec<i64>,
}

impl Port {
    /// Checks that an output has floats; the error is the reason.
    pub(crate) fn check_floats(&self) -> Result<(), String> {
        if self.kind != "f32" {
            return Err(format!("its output `{}` gives {}, but only f32 is supported", self.name, self.kind));
        }
        Ok(())
    }
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
    /// The name of the model, for errors.
    model: String,
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
        let session = commit(runtime, graph, device, threads).map_err(|error| match device.is_accelerator() {
            true => Error::BrokenDevice { device: device.to_string(), reason: loader_message(error.message()) },
            false => Error::Model { model: name.to_owned(), reason: error.message().to_owned() },
        })?;
        let ports = |outlets: &[ort::value::Outlet]| outlets.iter().map(port).collect();
        let (inputs, outputs) = (ports(session.inputs()), ports(session.outputs()));
        Ok(Self { model: name.to_owned(), session, inputs, outputs })
    }

    /// Runs the graph on one input and returns the named outputs.
    ///
    /// # Errors
    /// When the graph fails, or an output is missing or does not have floats.
    pub(crate) fn run<T: PrimitiveTensorElementType + Clone + Debug + 'static>(
        &mut self,
        input: &str,
        shape: [i64; 4],
        data: &[T],
        outputs: &[&str],
    ) -> Result<Vec<Output>> {
        let bad = |reason: String| Error::Model { model: self.model.clone(), reason };
        let failed = |error: ort::Error| bad(error.message().to_owned());
        let tensor = TensorRef::from_array_view((shape, data)).map_err(failed)?;
        let results = self.session.run(ort::inputs![input => tensor]).map_err(failed)?;
        let read = |name: &&str| {
            let value = results.get(name).ok_or_else(|| bad(format!("it has no output `{name}`")))?;
            let (shape, values) = value.try_extract_tensor::<f32>().map_err(failed)?;
            let shape = shape.iter().map(|&side| usize::try_from(side).unwrap_or(0)).collect();
            Ok(Output { shape, values: values.to_vec() })
        };
        outputs.iter().map(read).collect()
    }
}

/// Opens a session with `threads` threads, which do not spin while they wait.
///
/// The memory arena keeps as much as the largest batch needed. It saves a twentieth of the time that a batch takes when
/// the system allocates its memory again. Batches on the CPU are small, and so is the arena.
fn commit(runtime: &Runtime, graph: &[u8], device: Device, threads: usize) -> ort::Result<ort::session::Session> {
    let cpu = ep::CPU::default().with_arena_allocator(true).build();
    let accelerator = provider(device).map(|(provider, _)| provider.error_on_failure());
    let providers: Vec<_> = accelerator.into_iter().chain([cpu]).collect();
    ort::session::Session::builder(&runtime.environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        .with_intra_op_spinning(false)?
        .with_memory_pattern(false)?
        .with_execution_providers(providers)?
        .commit_from_memory(graph)
}

/// The execution provider of an accelerator, and whether the library has it. `None` for the CPU.
#[cfg(feature = "load-runtime")]
fn provider(device: Device) -> Option<(ExecutionProviderDispatch, bool)> {
    fn of<P: ExecutionProvider + Into<ExecutionProviderDispatch>>(provider: P) -> (ExecutionProviderDispatch, bool) {
        (provider.into(), P::is_available().unwrap_or(false))
    }
    Some(match device {
        Device::Auto | Device::Cpu => return None,
        Device::Cuda => of(ep::CUDA::default()),
        Device::TensorRt => of(ep::TensorRT::default()),
        Device::CoreMl => of(ep::CoreML::default()),
        Device::DirectMl => of(ep::DirectML::default()),
        Device::OpenVino => of(ep::OpenVINO::default()),
    })
}

/// A program with ONNX Runtime linked into it has no accelerators.
#[cfg(not(feature = "load-runtime"))]
fn provider(_: Device) -> Option<(ExecutionProviderDispatch, bool)> {
    None
}

/// The message of the system's loader if a library that an accelerator needs is missing; otherwise the whole reason.
fn loader_message(reason: &str) -> String {
    let message = reason.rsplit_once(" with error: ").map_or(reason, |(_, message)| message);
    message.trim().to_owned()
}

fn port(outlet: &ort::value::Outlet) -> Port {
    let (kind, shape) = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => (ty.to_string(), shape.to_vec()),
        other => (format!("{other:?}"), Vec::new()),
    };
    Port { name: outlet.name().to_owned(), kind, shape }
}
