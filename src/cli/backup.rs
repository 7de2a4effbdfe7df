//! `imgidx backup`

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use imgidx::Result;
use serde_json::{Map, json};

use super::Global;
use super::output::{Done, Failure, Out, human_bytes, insert_path};

/// How often progress is told.
const PROGRESS: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the copy goes; an older backup there is replaced when the new one is complete
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    let index = global.open_existing(None)?;
    let shows = !global.quiet && std::io::stderr().is_terminal();
    let mut told = Instant::now();
    index.backup(&args.file, |done, total| {
        if shows && told.elapsed() >= PROGRESS {
            told = Instant::now();
            eprint!("\r{} %", done * 100 / total.max(1));
        }
    })?;
    if shows {
        eprint!("\r\x1b[K");
    }
    let bytes = std::fs::metadata(&args.file).map_or(0, |metadata| metadata.len());
    let mut out = Out::new();
    if global.json {
        let mut fields = Map::new();
        insert_path(&mut fields, "file", &args.file);
        fields.insert("bytes".into(), json!(bytes));
        out.document(fields)?;
    } else {
        out.path(&format!("{}\t", human_bytes(bytes)), &args.file, '\n')?;
    }
    out.finish()?;
    Ok(Done::All)
}
