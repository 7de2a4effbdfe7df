//! `imgidx list`

use imgidx::Result;
use imgidx::store::PictureRow;
use imgidx::types::ImageInfo;
use serde_json::{Map, Value, json};

use super::Global;
use super::filters::Filters;
use super::output::{Done, Failure, Out, insert_path};

const EXAMPLES: &str = examples![
    "List the files of a directory" => "imgidx list --under ~/Pictures/2019",
    "List large photos" => "imgidx list --type photo --min-width 4000",
    "Pass the paths to another program" => "imgidx list -0 | xargs -0 du -ch",
];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Separate paths by NUL bytes
    #[arg(short = '0', long)]
    null: bool,
    #[command(flatten)]
    filters: Filters,
}

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    let index = global.open_searcher(None)?;
    args.filters.note_unmeasured(global, || global.open_searcher(None))?;
    let mut out = Out::new();
    let end = if args.null { '\0' } else { '\n' };
    index.for_each_picture(&args.filters.filter()?, |row| {
        let written = if global.json { out.json_line(&fields(&row)) } else { out.path("", &row.path, end) };
        written.map_err(|source| imgidx::Error::Io { action: "write to", path: "standard output".into(), source })
    })?;
    Ok(out.finish().map(|()| Done::All)?)
}

/// A row as `list --json` and `export` write it.
pub(super) fn fields(row: &PictureRow) -> Map<String, Value> {
    let mut fields = Map::new();
    insert_path(&mut fields, "path", &row.path);
    fields.insert("image".into(), json!(row.hash.to_string()));
    fields.insert("bytes".into(), json!(row.bytes));
    if let Some(info) = &row.info {
        insert_info(&mut fields, info);
    }
    fields
}

/// Adds what decoding found out about a picture.
pub(super) fn insert_info(fields: &mut Map<String, Value>, info: &ImageInfo) {
    let mut described = super::output::object(json!({
        "format": info.format,
        "width": info.width,
        "height": info.height,
        "orientation": info.orientation,
        "has_alpha": info.has_alpha,
        "truncated": info.truncated,
        "taken": info.taken,
    }));
    fields.append(&mut described);
}
