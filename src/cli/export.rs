//! `imgidx export`

use std::path::PathBuf;

use imgidx::documents::Exported;
use imgidx::store::PictureRow;
use imgidx::types::{ImageInfo, Location, Metadata, escape_path};
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
    #[arg(long, value_name = "FORMAT", default_value = "jsonl", ignore_case = true)]
    format: Format,
    /// Directory for vectors.npy, paths.txt and paths.jsonl, with npy
    #[arg(long, value_name = "DIR", required_if_eq("format", "npy"))]
    out: Option<PathBuf>,
    /// Include the vectors, with jsonl
    #[arg(long)]
    vector: bool,
    /// Model whose vectors and labels are exported [default: the active model of the index]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Jsonl,
    Csv,
    Npy,
}

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    if args.vector && !matches!(args.format, Format::Jsonl) {
        return Err(Failure::Usage("--vector is only for jsonl; npy always has the vectors, and csv never".into()));
    }
    let index = global.open_searcher(args.model.as_deref())?;
    match (args.format, &args.out) {
        (Format::Npy, Some(folder)) => {
            let rows = index.export_npy(folder)?;
            global.note(&format!("wrote {} to `{}`", count(rows, "vector"), folder.display()));
            Ok(Done::All)
        }
        (Format::Jsonl, None) => stream_json(&index, args.vector),
        (Format::Csv, None) => stream_csv(&index),
        _ => Err(Failure::Usage("--out is only for npy; jsonl and csv are printed to standard output".into())),
    }
}

fn stream_json(index: &Searcher, with_vector: bool) -> Result<Done, Failure> {
    let model = index.active_model()?.name;
    let mut out = Out::new();
    index.for_each_picture(&Filter::default(), |row| {
        let (features, embedded) = (index.stored_features(&row)?, index.stored_embedding(&row)?);
        let metadata = index.stored_metadata(&row)?;
        let file = Exported::new(&row, metadata.as_ref(), features, embedded, &model, with_vector);
        out.json_line(&file).map_err(Error::io("write to", "standard output"))
    })?;
    out.finish()
}

const COLUMNS: &str = "path,image,bytes,format,width,height,orientation,has_alpha,truncated,label,score,\
                       taken,camera,latitude,longitude,rating,keywords";

fn stream_csv(index: &Searcher) -> Result<Done, Failure> {
    let mut out = Out::new();
    out.line(COLUMNS)?;
    index.for_each_picture(&Filter::default(), |row| {
        let best = index.stored_embedding(&row)?.and_then(|(_, classes)| classes.into_iter().next());
        let (label, score) = best.map_or((String::new(), String::new()), |c| (c.label, format!("{:.4}", c.score)));
        let metadata = index.stored_metadata(&row)?.unwrap_or_default();
        let line = format!("{},{}", csv_line(&row, &label, &score), csv_metadata(&metadata));
        out.line(line).map_err(Error::io("write to", "standard output"))
    })?;
    out.finish()
}

fn csv_line(row: &PictureRow, label: &str, score: &str) -> String {
    let info = row.info.as_ref().map_or_else(
        || ",".repeat(5),
        |ImageInfo { format, width, height, orientation, has_alpha, truncated, .. }| {
            let (alpha, truncated) = (u8::from(*has_alpha), u8::from(*truncated));
            format!("{format},{width},{height},{orientation},{alpha},{truncated}")
        },
    );
    let (path, label) = (csv_field(&escape_path(&row.path)), csv_field(label));
    format!("{path},{},{},{info},{label},{score}", row.hash, row.bytes)
}

/// Capture time, camera, place, rating, and keywords with semicolons in between.
fn csv_metadata(metadata: &Metadata) -> String {
    let place = |degrees: fn(Location) -> f64| metadata.location.map_or_else(String::new, |at| degrees(at).to_string());
    let fields = [
        metadata.taken.as_deref().unwrap_or_default().replacen(' ', "T", 1),
        csv_field(&metadata.camera().unwrap_or_default()),
        place(|at| at.latitude),
        place(|at| at.longitude),
        metadata.rating.map_or_else(String::new, |stars| stars.to_string()),
        csv_field(&metadata.keywords.join(";")),
    ];
    fields.join(",")
}

/// A field, quoted as RFC 4180 requires.
fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
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
