//! `imgidx prune` and `imgidx forget`: the only commands that remove rows of files.

use std::path::PathBuf;

use imgidx::Result;
use imgidx::documents::{Forgotten, Pruned};
use serde::Serialize;

use super::output::{Done, Failure, confirm, count};
use super::{Global, ask};

const PRUNE_EXAMPLES: &str = examples![
    "Show how many files are missing" => "imgidx prune --dry-run",
    "Remove them from the index without asking" => "imgidx prune --yes",
];

const FORGET_EXAMPLES: &str = examples![
    "Show how many files of a directory are in the index" => "imgidx forget --dry-run ~/Pictures/old",
    "Remove the directory from the index" => "imgidx forget ~/Pictures/old",
];

#[derive(Debug, clap::Args)]
#[command(after_help = PRUNE_EXAMPLES)]
pub(super) struct PruneArgs {
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
    /// Show how many files would be removed, and remove none
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = FORGET_EXAMPLES)]
pub(super) struct ForgetArgs {
    /// Directory that was given to `add`
    #[arg(value_name = "ROOT")]
    root: PathBuf,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
    /// Show how many files would be removed, and remove none
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(super) fn run(global: &Global, args: PruneArgs) -> Result<Done, Failure> {
    let mut index = global.open_existing(None)?;
    let (mut files, mut images) = index.prunable()?;
    let rows = format!("{} and {} that no other file has", count(files, "missing file"), count(images, "content"));
    if files + images == 0 {
        global.note("nothing to remove");
    } else {
        global.note(&format!("the index has rows of {rows}; removing them touches no picture"));
        if !args.dry_run {
            if !(args.yes || confirm("remove these rows from the index?")?) {
                return Ok(Done::All);
            }
            let _way = ask::make_way(global);
            (files, images) = index.prune()?;
        }
    }
    let text = format!("{} and {}", count(files, "file"), count(images, "content"));
    report(global, args.dry_run, &text, Pruned { files, images, dry_run: args.dry_run })
}

pub(super) fn run_forget(global: &Global, args: ForgetArgs) -> Result<Done, Failure> {
    let mut index = global.open_existing(None)?;
    let root = index.root(&args.root)?;
    let files = index.files_in_root(&root)?;
    global.note(&format!(
        "`{}` has {} in the index; removing them touches no picture",
        root.path.display(),
        count(files, "file")
    ));
    if !args.dry_run {
        if !(args.yes || confirm("remove this directory from the index?")?) {
            return Ok(Done::All);
        }
        let _way = ask::make_way(global);
        index.forget(&root)?;
    }
    report(global, args.dry_run, &count(files, "file"), Forgotten { files, dry_run: args.dry_run })
}

/// Prints what was removed, or would be.
fn report(global: &Global, dry_run: bool, text: &str, document: impl Serialize) -> Result<Done, Failure> {
    let removed = if dry_run { "would remove" } else { "removed" };
    global.print(|| document, |out| out.line(format_args!("{removed} rows of {text} from the index")))
}
