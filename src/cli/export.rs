//! `imgidx export`

use std::path::PathBuf;

use imgidx::documents::Exported;
use imgidx::search::ExportFormat;
use imgidx::store::PictureRow;
use imgidx::types::escape_path;
use imgidx::{Error, Filter, Result, Searcher};

use super::Global;
use super::output::{Done, Failure, Out, count};

const EXAMPLES: &str = examples![
    "Export one JSON document per file" => "imgidx export > index.jsonl",
    "Export a table" => "imgidx export --format csv > index.csv",
    "Export the vectors for NumPy" => "imgidx export --format npy --out vectors",
];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// jsonl or csv prints a row for each file; npy writes the vectors to a directory
    #[arg(long, value_name = "FORMAT", default_value = "jsonl", value_parser = clap::builder::PossibleValuesParser::new(ExportFormat::NAMES))]
    format: String,
    /// Directory to write npy files to
    #[arg(long, value_name = "DIR", required_if_eq("format", "npy"))]
    out: Option<PathBuf>,
    /// Include the vectors, with jsonl
    #[arg(long)]
    vector: bool,
    /// Model whose vectors and labels are exported [default: the active model of the index]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
}

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    let index = global.open_searcher(args.model.as_deref())?;
    match (args.format.parse(), &args.out) {
        (Ok(ExportFormat::Npy), Some(folder)) => {
            let rows = index.export_npy(folder)?;
            global.note(&format!("wrote {} to `{}`", count(rows, "vector"), folder.display()));
            Ok(Done::All)
        }
        (Ok(ExportFormat::Jsonl), None) => stream_json(&index, args.vector),
        (Ok(ExportFormat::Csv), None) => stream_csv(&index),
        (Ok(_), _) => Err(Failure::Usage("--out is only for npy; jsonl and csv are printed to standard output".into())),
        (Err(reason), _) => Err(Failure::Usage(reason)),
    }
}

fn stream_json(index: &Searcher, with_vector: bool) -> Result<Done, Failure> {
    let model = index.active_model()?.name;
    let mut out = Out::new();
    index.for_each_picture(&Filter::default(), |row| {
        let mut file = Exported::new(&row);
        if let Some(features) = index.stored_features(&row)? {
            file.measured(features);
        }
        if let Some((embedding, classes)) = index.stored_embedding(&row)? {
            file.embedded(&model, &embedding, &classes, with_vector);
        }
        out.json_line(&file).map_err(output_failed)
    })?;
    Ok(out.finish().map(|()| Done::All)?)
}

const COLUMNS: &str = "path,image,bytes,format,width,height,orientation,has_alpha,truncated,label,score";

fn stream_csv(index: &Searcher) -> Result<Done, Failure> {
    let mut out = Out::new();
    out.line(COLUMNS)?;
    index.for_each_picture(&Filter::default(), |row| {
        let best = index.stored_embedding(&row)?.and_then(|(_, classes)| classes.into_iter().next());
        let (label, score) = best.map_or((String::new(), String::new()), |c| (c.label, format!("{:.4}", c.score)));
        out.line(csv_line(&row, &label, &score)).map_err(output_failed)
    })?;
    Ok(out.finish().map(|()| Done::All)?)
}

fn csv_line(row: &PictureRow, label: &str, score: &str) -> String {
    let info = row.info.as_ref();
    let number = |value: Option<u32>| value.map(|n| n.to_string()).unwrap_or_default();
    let fields = [
        csv_field(&escape_path(&row.path)),
        row.hash.to_string(),
        row.bytes.to_string(),
        info.map(|info| info.format.clone()).unwrap_or_default(),
        number(info.map(|info| info.width)),
        number(info.map(|info| info.height)),
        number(info.map(|info| info.orientation.into())),
        number(info.map(|info| info.has_alpha.into())),
        number(info.map(|info| info.truncated.into())),
        csv_field(label),
        score.to_owned(),
    ];
    fields.join(",")
}

/// A field, quoted as RFC 4180 requires.
fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn output_failed(source: std::io::Error) -> Error {
    Error::Io { action: "write to", path: "standard output".into(), source }
}

#[cfg(test)]
mod tests {
    use super::csv_field;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(csv_field("a b"), "a b");
        assert_eq!(csv_field("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
    }
}
