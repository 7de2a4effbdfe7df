//! `imgidx show`

use std::path::PathBuf;

use imgidx::search::Examined;
use imgidx::{Error, Index, QueryImage, Result};
use serde_json::{Map, Value, json};

use super::Global;
use super::output::{Done, Failure, Out, escaped, human_bytes, insert_path};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A picture, indexed or not
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// With --json: the vector too
    #[arg(long)]
    vector: bool,
    /// Use this model
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
}

pub fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    let scratch;
    let index = match global.open_existing(args.model.as_deref()) {
        // A picture can be shown without any index.
        Err(Error::NoIndex { .. }) => {
            let failed = |source| Error::Io { action: "make a folder in", path: std::env::temp_dir(), source };
            scratch = tempfile::tempdir().map_err(failed)?;
            global.options(args.model.as_deref()).open(scratch.path().join("empty.db"))?
        }
        other => other?,
    };
    let picture = index.examine(&QueryImage::from(&args.file))?;
    let paths = index.paths_of(&picture.hash)?;
    let mut out = Out::new();
    if global.json {
        let mut fields = describe(&picture, &index, &paths)?;
        if args.vector {
            fields["embedding"]["vector"] = json!(picture.embedding.as_slice());
        }
        out.document(fields)?;
    } else {
        print(&mut out, &picture, &paths)?;
    }
    Ok(out.finish().map(|()| Done::All)?)
}

/// The picture as the JSON of `show` has it.
fn describe(picture: &Examined, index: &Index, paths: &[PathBuf]) -> Result<Map<String, Value>> {
    let mut fields = Map::new();
    insert_path(&mut fields, "path", &picture.path);
    let labels: Vec<Value> =
        picture.classes.iter().map(|class| json!({"label": class.label, "score": class.score})).collect();
    fields.insert("image".into(), json!(picture.hash.to_string()));
    fields.insert("indexed".into(), json!(picture.row.is_some()));
    fields.insert("bytes".into(), json!(picture.bytes));
    super::list::insert_info(&mut fields, &picture.info);
    fields.insert("features".into(), json!(picture.features));
    fields.insert("labels".into(), labels.into());
    let embedding = json!({"model": index.active_model()?.name, "dim": picture.embedding.dimension()});
    fields.insert("embedding".into(), embedding);
    fields.insert("paths".into(), paths.iter().map(|path| json!(escaped(path))).collect());
    Ok(fields)
}

fn print(out: &mut Out, picture: &Examined, paths: &[PathBuf]) -> std::io::Result<()> {
    let info = &picture.info;
    out.path("path         ", &picture.path, '\n')?;
    let truncated = if info.truncated { ", truncated" } else { "" };
    let alpha = if info.has_alpha { ", transparent" } else { "" };
    out.line(format_args!("picture      {} × {} {}{alpha}{truncated}", info.width, info.height, info.format))?;
    if info.orientation != 1 {
        out.line(format_args!("orientation  {} (width and height are upright)", info.orientation))?;
    }
    out.line(format_args!("size         {}", human_bytes(picture.bytes)))?;
    out.line(format_args!("content      {}", picture.hash))?;
    out.line(format_args!("indexed      {}", if picture.row.is_some() { "yes" } else { "no" }))?;
    for (i, class) in picture.classes.iter().enumerate() {
        let head = if i == 0 { "looks like  " } else { "            " };
        out.line(format_args!("{head} {:5.1} %  {}", class.score * 100.0, class.label))?;
    }
    let this = std::fs::canonicalize(&picture.path).ok();
    for (i, path) in paths.iter().filter(|path| Some(*path) != this.as_ref()).enumerate() {
        out.path(if i == 0 { "also at      " } else { "             " }, path, '\n')?;
    }
    Ok(())
}
