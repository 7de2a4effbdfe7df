//! `imgidx failures`

use imgidx::Result;
use imgidx::documents::Failures;

use super::Global;
use super::output::{Done, Failure, Out, printable};

const EXAMPLES: &str = examples![
    "List files that could not be indexed, with the stage and the reason" => "imgidx failures",
    "Pass them to another program" => "imgidx failures -0 | xargs -0 file",
];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Print paths only, separated by NUL bytes
    #[arg(short = '0', long)]
    null: bool,
}

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    let failures = global.open_searcher(None)?.failures()?;
    let mut out = Out::new();
    if global.json {
        out.document(Failures { failures })?;
    } else {
        for failure in &failures {
            if args.null {
                out.path("", &failure.path, '\0')?;
                continue;
            }
            out.path(&format!("{}\t", failure.stage), &failure.path, '\t')?;
            out.line(printable(&failure.reason).replace(['\n', '\t'], " "))?;
        }
    }
    Ok(out.finish().map(|()| Done::All)?)
}
