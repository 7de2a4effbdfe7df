//! `imgidx model`

use std::path::PathBuf;

use imgidx::model::{Catalog, CatalogEntry, Runtime};
use imgidx::{Error, Result};
use serde_json::{Map, Value, json};

use super::Global;
use super::output::{Done, Failure, Out, count, escaped};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the models that can be used; the one in use is marked
    List,
    /// Add a model from a folder with an ONNX file and a spec.json or preprocessor_config.json
    Add {
        /// The folder
        folder: PathBuf,
        /// A name for it [default: the one in its spec, or the folder's]
        #[arg(long)]
        name: Option<String>,
    },
    /// Use a model for this index from now on
    Use {
        /// Its name
        name: String,
    },
    /// Remove an added model; vectors that it made stay in the indexes
    Remove {
        /// Its name
        name: String,
    },
}

pub(super) fn run(global: &Global, command: Command) -> Result<Done, Failure> {
    let options = global.options(None);
    let catalog = Catalog::new(&options.resolve_data_dir()?);
    let mut out = Out::new();
    match command {
        Command::List => list(global, &catalog, &mut out)?,
        Command::Add { folder, name } => {
            let runtime = Runtime::load(&options.runtime_options()?)?;
            let entry = catalog.add(&folder, name.as_deref(), &runtime)?;
            let name = &entry.spec.name;
            global.note(&format!("`imgidx model use {name}` makes it the model of an index"));
            tell(global, &mut out, &entry, format_args!("added {name}"))?;
        }
        Command::Use { name } => {
            let mut index = options.open(global.database()?)?;
            let _way = super::ask::make_way(global);
            let pending = index.use_model(&name)?;
            if pending > 0 {
                let pictures = count(pending, "picture");
                let have = if pending == 1 { "has" } else { "have" };
                global.note(&format!(
                    "{pictures} {have} no vector of it yet; `imgidx add` on their directories makes them"
                ));
            }
            tell(global, &mut out, &catalog.entry(&name)?, format_args!("using {name}"))?;
        }
        Command::Remove { name } => {
            if active_name(global)? == Some(name.clone()) {
                let reason = format!("`{name}` is in use; choose another with `imgidx model use` first");
                return Err(Error::Invalid(reason).into());
            }
            let entry = catalog.entry(&name)?;
            catalog.remove(&name)?;
            tell(global, &mut out, &entry, format_args!("removed {name}"))?;
        }
    }
    Ok(out.finish().map(|()| Done::All)?)
}

fn tell(global: &Global, out: &mut Out, entry: &CatalogEntry, text: std::fmt::Arguments<'_>) -> std::io::Result<()> {
    if global.json { out.document(describe(entry, None)) } else { out.line(text) }
}

fn list(global: &Global, catalog: &Catalog, out: &mut Out) -> Result<(), Failure> {
    let active = active_name(global)?;
    let is_active = |entry: &CatalogEntry| active.as_ref().is_some_and(|name| *name == entry.spec.name);
    let mut models = Vec::new();
    for entry in catalog.list() {
        match entry {
            Ok(entry) => models.push(entry),
            Err(error) => global.note(&error.to_string()),
        }
    }
    if global.json {
        let models = models.iter().map(|entry| Value::Object(describe(entry, Some(is_active(entry))))).collect();
        return Ok(out.document(Map::from_iter([("models".to_owned(), models)]))?);
    }
    for entry in &models {
        let (mark, spec) = (if is_active(entry) { "*" } else { " " }, &entry.spec);
        let labels = if spec.labels.is_some() { "labels" } else { "no labels" };
        let (width, height) = (spec.input.width, spec.input.height);
        let dimension = spec.outputs.dimension;
        out.line(format_args!("{mark} {:<24} {width} × {height} pixels, {dimension} dimensions, {labels}", spec.name))?;
    }
    Ok(())
}

/// The model of the index, the built-in one if there is no index yet.
fn active_name(global: &Global) -> Result<Option<String>> {
    match global.open_existing(None) {
        Ok(index) => Ok(Some(index.active_model()?.name)),
        Err(Error::NoIndex { .. }) => Ok(Some(imgidx::model::BUILTIN_NAME.to_owned())),
        Err(error) => Err(error),
    }
}

fn describe(entry: &CatalogEntry, active: Option<bool>) -> Map<String, Value> {
    let spec = &entry.spec;
    let mut fields = super::output::object(json!({
        "name": spec.name,
        "id": entry.id.to_string(),
        "dim": spec.outputs.dimension,
        "width": spec.input.width,
        "height": spec.input.height,
        "labels": spec.labels.is_some(),
        "licence": spec.licence,
        "folder": entry.folder.as_ref().map(|folder| escaped(folder)),
    }));
    if let Some(active) = active {
        fields.insert("active".into(), json!(active));
    }
    fields
}
