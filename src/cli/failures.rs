//! `imgidx failures`

use imgidx::Result;
use imgidx::documents::Failures;

use super::Global;
use super::output::{Done, Failure, printable};

const EXAMPLES: &str = examples![
    "List files that could not be indexed, with the stage and the reason" => "imgidx failures",
    "List files that were skipped, and why" => "imgidx failures --skipped",
    "Pass them to another program" => "imgidx failures -0 | xargs -0 -r file",
];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// List the files that were skipped because they are not pictures that can be indexed
    #[arg(long)]
    skipped: bool,
    /// Print paths only, separated by NUL bytes
    #[arg(short = '0', long)]
    null: bool,
}

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    let index = global.open_searcher(None)?;
    let failures = if args.skipped { index.skipped()? } else { index.failures()? };
    let document = Failures { failures };
    let done = global.print(
        || &document,
        |out| {
            document.failures.iter().try_for_each(|failure| {
                if args.null {
                    return out.path("", &failure.path, '\0');
                }
                out.path(&format!("{}\t", failure.stage), &failure.path, '\t')?;
                out.line(printable(&failure.reason).replace(['\n', '\t'], " "))
            })
        },
    )?;
    if document.failures.is_empty() && !global.json {
        global.note(if args.skipped { "no files were skipped" } else { "there are no failures" });
    }
    Ok(done)
}
