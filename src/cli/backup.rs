//! `imgidx backup`

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use imgidx::Result;
use imgidx::documents::BackedUp;

use super::Global;
use super::output::{Done, Failure, Out, human_bytes};

/// Time between two updates of the progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

const EXAMPLES: &str = examples![
    "Back up the index" => "imgidx backup pictures-backup.db",
    "Look into the backup" => "imgidx --db pictures-backup.db status",
];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// File to write; an older backup is only replaced once the new one is complete
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    let index = global.open_searcher(None)?;
    let shows = !global.quiet && std::io::stderr().is_terminal();
    let mut last_shown = Instant::now();
    index.backup(&args.file, |done, total| {
        if shows && last_shown.elapsed() >= PROGRESS_INTERVAL {
            last_shown = Instant::now();
            eprint!("\r{} %", done * 100 / total.max(1));
        }
    })?;
    if shows {
        eprint!("\r\x1b[K");
    }
    let bytes = std::fs::metadata(&args.file).map_or(0, |metadata| metadata.len());
    let mut out = Out::new();
    if global.json {
        out.document(BackedUp { file: (&args.file).into(), bytes })?;
    } else {
        out.path(&format!("{}\t", human_bytes(bytes)), &args.file, '\n')?;
    }
    out.finish()?;
    Ok(Done::All)
}
