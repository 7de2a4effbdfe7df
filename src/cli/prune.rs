//! `imgidx prune` and `imgidx forget`: the only commands that remove rows.

use std::path::PathBuf;

use imgidx::Result;
use serde_json::{Map, json};

use super::Global;
use super::output::{Done, Failure, Out, confirm, count};

#[derive(Debug, clap::Args)]
pub struct PruneArgs {
    /// Do not ask on a terminal
    #[arg(short, long)]
    yes: bool,
    /// Only tell how many there are
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub struct ForgetArgs {
    /// A directory that was given to `add`
    #[arg(value_name = "ROOT")]
    root: PathBuf,
    /// Do not ask on a terminal
    #[arg(short, long)]
    yes: bool,
    /// Only tell how many files there are
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub fn run(global: &Global, args: PruneArgs) -> Result<Done, Failure> {
    let mut index = global.open_existing(None)?;
    let (files, images) = index.prunable()?;
    let what = format!("{} and {} without files", count(files, "missing file"), count(images, "content"));
    let removed = if files + images == 0 {
        global.note("there is nothing to remove");
        (0, 0)
    } else {
        global.note(&format!("rows of {what}; no picture is touched"));
        if args.dry_run || !(args.yes || confirm("remove them from the index?")?) {
            return Ok(Done::All);
        }
        index.prune()?
    };
    let mut out = Out::new();
    if global.json {
        let (files, images) = removed;
        out.document(Map::from_iter([("files".to_owned(), json!(files)), ("images".to_owned(), json!(images))]))?;
    } else {
        out.line(format_args!("removed {} and {}", count(removed.0, "file"), count(removed.1, "content")))?;
    }
    Ok(out.finish().map(|()| Done::All)?)
}

pub fn run_forget(global: &Global, args: ForgetArgs) -> Result<Done, Failure> {
    let mut index = global.open_existing(None)?;
    let root = index.root(&args.root)?;
    let files = index.files_in_root(&root)?;
    global.note(&format!("`{}` has {} in the index; no picture is touched", root.path.display(), count(files, "file")));
    if args.dry_run || !(args.yes || confirm("remove it from the index?")?) {
        return Ok(Done::All);
    }
    index.forget(&root)?;
    let mut out = Out::new();
    if global.json {
        out.document(Map::from_iter([("files".to_owned(), json!(files))]))?;
    } else {
        out.line(format_args!("removed {}", count(files, "file")))?;
    }
    Ok(out.finish().map(|()| Done::All)?)
}
