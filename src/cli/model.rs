//! `imgidx model`

use std::path::PathBuf;

use imgidx::documents::{Model, Models};
use imgidx::model::{Catalog, CatalogEntry, Runtime};
use imgidx::{Error, Result};

use super::Global;
use super::output::{Done, Failure, Out, count};

const EXAMPLES: &str = examples![
    "List the available models" => "imgidx model list",
    "Add a model and use it" => "imgidx model add ./clip-vit-b32 --name clip && imgidx model use clip",
    "Embed the indexed pictures with it" => "imgidx add ~/Pictures",
];

const ADD_EXAMPLES: &str = examples![
    "Add a model under the name in its spec" => "imgidx model add ./clip-vit-b32",
    "Add it under another name" => "imgidx model add ./clip-vit-b32 --name clip",
];

const LIST_EXAMPLES: &str = examples![
    "List the available models" => "imgidx model list",
    "List them as JSON" => "imgidx model list --json",
];

const USE_EXAMPLES: &str = examples![
    "Use a model that was added" => "imgidx model use clip",
    "Go back to the built-in model" => "imgidx model use efficientnet-lite0",
];

#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Command {
    /// List the available models; * marks the active one
    #[command(after_help = LIST_EXAMPLES)]
    List,
    /// Add a model from a directory with an ONNX file and a spec.json or preprocessor_config.json
    #[command(after_help = ADD_EXAMPLES)]
    Add {
        /// Directory of the model
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Name for the model [default: the name in its spec, or of the directory]
        #[arg(long)]
        name: Option<String>,
    },
    /// Make a model the active one of the index
    #[command(after_help = USE_EXAMPLES)]
    Use {
        /// Name of the model
        name: String,
    },
    /// Remove an added model; its vectors stay in the index
    #[command(after_help = examples!["Remove a model that was added" => "imgidx model remove clip"])]
    Remove {
        /// Name of the model
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
            global.note(&format!("to use it, run `imgidx model use {name}`"));
            print_entry(global, &mut out, &entry, format_args!("added {name}"))?;
        }
        Command::Use { name } => {
            let mut index = options.open(global.database()?)?;
            let _way = super::ask::make_way(global);
            let pending = index.use_model(&name)?;
            if pending > 0 {
                let pictures = count(pending, "picture");
                let have = if pending == 1 { "has" } else { "have" };
                global.note(&format!(
                    "{pictures} {have} no vector of this model yet; run `imgidx add` on the indexed directories"
                ));
            }
            print_entry(global, &mut out, &catalog.entry(&name)?, format_args!("using {name}"))?;
        }
        Command::Remove { name } => {
            if active_name(global)? == name {
                let reason = format!("`{name}` is in use; select another model with `imgidx model use` first");
                return Err(Error::Invalid(reason).into());
            }
            let entry = catalog.entry(&name)?;
            catalog.remove(&name)?;
            print_entry(global, &mut out, &entry, format_args!("removed {name}"))?;
        }
    }
    out.finish()
}

fn print_entry(
    global: &Global,
    out: &mut Out,
    entry: &CatalogEntry,
    text: std::fmt::Arguments<'_>,
) -> std::io::Result<()> {
    if global.json { out.document(Model::new(entry, None)) } else { out.line(text) }
}

fn list(global: &Global, catalog: &Catalog, out: &mut Out) -> Result<(), Failure> {
    let active = active_name(global)?;
    let is_active = |entry: &CatalogEntry| active == entry.spec.name;
    let mut models = Vec::new();
    for entry in catalog.list() {
        match entry {
            Ok(entry) => models.push(entry),
            Err(error) => global.note(&error.to_string()),
        }
    }
    if global.json {
        let models = models.iter().map(|entry| Model::new(entry, Some(is_active(entry)))).collect();
        return Ok(out.document(Models { models })?);
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

/// The active model of the index, or the built-in one if there is no index yet.
fn active_name(global: &Global) -> Result<String> {
    match global.open_searcher(None) {
        Err(Error::NoIndex { .. }) => Ok(imgidx::model::BUILTIN_NAME.to_owned()),
        opened => Ok(opened?.active_model()?.name),
    }
}
