//! `imgidx backup`

use std::path::PathBuf;

use imgidx::Result;
use imgidx::documents::BackedUp;

use super::Global;
use super::output::{Done, Failure, human_bytes};
use super::progress::bar;

const EXAMPLES: &str = examples![
    "Back up the index" => "imgidx backup pictures-backup.db",
    "Show what is in the backup" => "imgidx --db pictures-backup.db status",
];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// File to write; an older backup is replaced only once the new one is complete
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    let index = global.open_searcher(None)?;
    let bar = bar(global.quiet, "{percent} %");
    index.backup(&args.file, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let bytes = std::fs::metadata(&args.file).map_or(0, |metadata| metadata.len());
    global.print(
        || BackedUp { path: (&args.file).into(), file: (&args.file).into(), bytes },
        |out| out.path(&format!("{}\t", human_bytes(bytes)), &args.file, '\n'),
    )
}
