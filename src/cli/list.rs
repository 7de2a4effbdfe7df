//! `imgidx list`

use imgidx::documents::Listed;
use imgidx::{Error, Result};

use super::Global;
use super::filters::Filters;
use super::output::{Done, Failure, Out};

const EXAMPLES: &str = examples![
    "List the files of a directory" => "imgidx list --under ~/Pictures/2019",
    "List large photos" => "imgidx list --type photo --min-width 4000",
    "Pass the paths to another program" => "imgidx list -0 | xargs -0 -r du -ch",
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
    args.filters.note_gaps(global)?;
    let filter = args.filters.filter()?;
    let mut out = Out::new();
    let end = if args.null { '\0' } else { '\n' };
    let mut is_empty = true;
    index.for_each_picture(&filter, |row| {
        is_empty = false;
        let written = if global.json { out.json_line(&Listed::from(&row)) } else { out.path("", &row.path, end) };
        written.map_err(Error::io("write to", "standard output"))
    })?;
    let done = out.finish()?;
    if is_empty && !global.json {
        let nothing = if filter.is_empty() { "nothing is indexed" } else { "no indexed file passes the filters" };
        global.note(nothing);
    }
    Ok(done)
}
