//! The catalog of models: the built-in one, and those that were added to imgidx's data directory.

use std::path::{Path, PathBuf};

use image::RgbImage;

use super::device::Device;
use super::embedder::Embedder;
use super::files::{read_description, read_graph};
use super::onnx::{Runtime, Session};
use super::preprocessor;
use super::spec::{Distance, ModelSpec};
use super::{BUILTIN_NAME, Model, infer};
use crate::error::{Error, Result};
use imgidx_types::ModelId;

/// The file with an added model's id, so that a query does not have to read the whole graph to compute it.
const ID_FILE: &str = "id";

/// The built-in model and a folder of added models.
#[derive(Debug, Clone)]
pub struct Catalog {
    folder: PathBuf,
}

/// A model in the catalog, before it is loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogEntry {
    /// Its description.
    pub spec: ModelSpec,
    /// Its id.
    pub id: ModelId,
    /// Its folder; `None` for the built-in model.
    pub folder: Option<PathBuf>,
}

impl Catalog {
    /// The catalog in a data directory.
    pub fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.join("models") }
    }

    /// Lists all models: the built-in one, then the others by name. A folder that cannot be read gives an error.
    pub fn list(&self) -> Vec<Result<CatalogEntry>> {
        let mut names: Vec<String> = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect(),
            Err(_) => Vec::new(),
        };
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        std::iter::once(Ok(builtin_entry())).chain(names.iter().map(|name| self.added(name))).collect()
    }

    /// Finds a model by its name.
    ///
    /// # Errors
    /// When no model has this name, or its folder is damaged.
    pub fn entry(&self, name: &str) -> Result<CatalogEntry> {
        if name == BUILTIN_NAME {
            return Ok(builtin_entry());
        }
        let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']);
        if is_name && self.folder.join(name).is_dir() {
            return self.added(name);
        }
        let known = self.list().into_iter().flatten().map(|entry| entry.spec.name).collect();
        Err(Error::UnknownModel { name: name.into(), known })
    }

    fn added(&self, name: &str) -> Result<CatalogEntry> {
        let folder = self.folder.join(name);
        let spec = ModelSpec::read(&folder.join("spec.json"))?;
        let id = read_description(&folder.join(ID_FILE))?;
        let id = id.trim().parse().map_err(|error| Error::Model { model: name.into(), reason: format!("{error}") })?;
        Ok(CatalogEntry { spec, id, folder: Some(folder) })
    }

    /// Loads a model.
    ///
    /// # Errors
    /// When its files have changed since it was added, or cannot be read.
    pub fn load(&self, entry: &CatalogEntry) -> Result<Model> {
        let Some(folder) = &entry.folder else { return Ok(Model::builtin()) };
        let model = Model::load(folder)?;
        if model.id() != entry.id {
            return Err(model.error("its files have changed since it was added; remove it and add it again"));
        }
        Ok(model)
    }

    /// Adds a model from a folder with an ONNX graph and a `spec.json` or a `preprocessor_config.json`.
    ///
    /// The graph is loaded and run on one test picture, so that every model in the catalog has run once.
    ///
    /// # Errors
    /// When the spec does not match the graph, with the reason, or when a model of this name already exists.
    pub fn add(&self, folder: &Path, name: Option<&str>, runtime: &Runtime) -> Result<CatalogEntry> {
        let model = read_folder(folder, name, runtime)?;
        let name = model.spec.name.clone();
        let target = self.folder.join(&name);
        if name == BUILTIN_NAME || target.exists() {
            return Err(model.error("a model of this name already exists; remove it first or choose another --name"));
        }
        try_out(&model, runtime)?;
        std::fs::create_dir_all(&self.folder).map_err(Error::io("create the directory", &self.folder))?;
        let work = tempfile::Builder::new().prefix(".add-").tempdir_in(&self.folder);
        let work = work.map_err(Error::io("create a directory in", &self.folder))?;
        write_folder(&model, folder, work.path())?;
        let work = work.keep();
        std::fs::rename(&work, &target).map_err(Error::io("create the directory", &target))?;
        self.added(&name)
    }

    /// Removes an added model. Its vectors stay in the databases.
    ///
    /// # Errors
    /// When it is the built-in model, or no model has this name.
    pub fn remove(&self, name: &str) -> Result<()> {
        match self.entry(name)?.folder {
            None => Err(Error::Invalid(format!("`{name}` is built into the program and cannot be removed"))),
            Some(folder) => std::fs::remove_dir_all(&folder).map_err(Error::io("remove", folder)),
        }
    }
}

fn builtin_entry() -> CatalogEntry {
    let model = Model::builtin();
    CatalogEntry { spec: model.spec.clone(), id: model.id, folder: None }
}

/// Reads a model from any folder. Where there is only a preprocessor configuration, the graph supplies the outputs.
fn read_folder(folder: &Path, name: Option<&str>, runtime: &Runtime) -> Result<Model> {
    let bad = |reason: String| Error::Model { model: folder.display().to_string(), reason };
    folder.read_dir().map_err(Error::io("read the directory", folder))?;
    let spec_file = folder.join("spec.json");
    let config_file = folder.join("preprocessor_config.json");
    let mut spec = if spec_file.is_file() {
        ModelSpec::read(&spec_file)?
    } else if config_file.is_file() {
        let input = preprocessor::input_spec(&read_description(&config_file)?)
            .map_err(|reason| bad(format!("preprocessor_config.json: {reason}")))?;
        let file = find_graph(folder).map_err(bad)?;
        let path = folder.join(&file);
        let graph = read_graph(&path)?;
        let session = Session::open(runtime, &folder.display().to_string(), &graph, Device::Cpu, 1)?;
        let outputs = infer::output_spec(&session.outputs).map_err(bad)?;
        let name = folder.file_name().map(|name| name.to_string_lossy().replace(' ', "-")).unwrap_or_default();
        let distance = Distance::Cosine;
        ModelSpec { name, file, digest: None, licence: None, input, outputs, labels: None, distance }
    } else {
        return Err(bad("it has neither a `spec.json` nor a `preprocessor_config.json`".into()));
    };
    if let Some(name) = name {
        spec.name = name.to_owned();
    }
    spec.check().map_err(bad)?;
    Model::assemble(folder, spec)
}

/// The only ONNX file in a folder, or else `model.onnx`.
fn find_graph(folder: &Path) -> Result<String, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut graphs: Vec<String> = names.filter(|name| name.ends_with(".onnx")).collect();
    graphs.sort();
    match graphs.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err("it has no `.onnx` file".into()),
        many if many.iter().any(|name| name == "model.onnx") => Ok("model.onnx".into()),
        many => Err(format!("it has several graphs: {}; a `spec.json` must name one", many.join(", "))),
    }
}

/// Runs the model on one test picture.
fn try_out(model: &Model, runtime: &Runtime) -> Result<()> {
    let input = &model.spec.input;
    let picture =
        RgbImage::from_fn(input.width, input.height, |x, y| image::Rgb([128, (x % 256) as u8, (y % 256) as u8]));
    let mut embedder = Embedder::new(model, runtime, Device::Cpu, 1)?;
    for result in embedder.embed(&[picture])? {
        result.map_err(|error| model.error(format!("the trial run on a test picture failed: {error}")))?;
    }
    Ok(())
}

/// Writes the complete description of a model and copies its files.
fn write_folder(model: &Model, source: &Path, target: &Path) -> Result<()> {
    let copy = |name: &str| {
        let path = source.join(name);
        std::fs::copy(&path, target.join(name)).map(drop).map_err(Error::io("copy", path))
    };
    copy(&model.spec.file)?;
    if let Some(labels) = &model.spec.labels {
        copy(labels)?;
    }
    let spec = serde_json::to_string_pretty(&model.spec).expect("a spec is plain data");
    for (name, text) in [("spec.json", spec), (ID_FILE, model.id.to_string())] {
        let path = target.join(name);
        std::fs::write(&path, text + "\n").map_err(Error::io("write", path))?;
    }
    Ok(())
}
