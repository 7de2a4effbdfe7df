//! `imgidx check`

use imgidx::documents::Checked;
use imgidx::{Error, Result};

use super::output::{Done, Failure, Out, count};
use super::{Global, ask};

const EXAMPLES: &str = examples![
    "Check the index for damage" => "imgidx check",
    "Repair it, then add what was lost" => "imgidx check --repair && imgidx add ~/Pictures",
];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Rebuild what can be rebuilt and remove the rest, which the next `add` restores
    #[arg(long)]
    repair: bool,
}

/// Replaces the usual hint, `imgidx check --repair`, where the index is too damaged for this command.
fn beyond_repair(error: Error) -> Failure {
    match error {
        Error::Damaged { .. } => {
            let hint =
                "restore a backup, or move the index away and add the directories again; pictures are not affected";
            Failure::Refused { message: error.to_string(), hint: Some(hint.into()) }
        }
        error => error.into(),
    }
}

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    let _way = args.repair.then(|| ask::make_way(global));
    let mut index = match global.open_existing(None) {
        Err(Error::Damaged { .. }) if args.repair => {
            global.options(None).open_damaged(global.database()?).map_err(beyond_repair)?
        }
        opened => opened?,
    };
    let problems = index.check(args.repair).map_err(beyond_repair)?;
    let left = problems.iter().filter(|problem| !problem.repaired).count() as u64;
    let document = Checked { ok: left == 0, problems };
    let problems = &document.problems;
    let print = |out: &mut Out| {
        if problems.is_empty() {
            out.line("no problems found")?;
        }
        problems.iter().try_for_each(|problem| {
            let repaired = if problem.repaired { " (repaired)" } else { "" };
            out.line(format_args!("{}: {}{repaired}", problem.place, problem.what))
        })
    };
    global.print(|| &document, print)?;
    if left > 0 {
        let advice = if args.repair {
            "could not be repaired"
        } else {
            "found; `imgidx check --repair` repairs what can be rebuilt"
        };
        return Err(Failure::Damaged(format!("{} {advice}", count(left, "problem"))));
    }
    if !problems.is_empty() {
        global.note("run `imgidx add` on the indexed directories to restore what was removed");
    }
    Ok(Done::All)
}
