//! `imgidx prune` and `imgidx forget`: the only commands that remove rows of files.

use std::path::PathBuf;

use imgidx::documents::{Forgotten, Pruned as PrunedDocument};
use imgidx::index::{PruneOptions, Pruned};
use imgidx::{Index, Result};

use super::output::{Done, Failure, can_ask, confirm, count};
use super::{Global, ask};

const PRUNE_EXAMPLES: &str = examples![
    "Show how many files are missing" => "imgidx prune --dry-run",
    "Remove them from the index without asking" => "imgidx prune --yes",
    "Also remove files that a later `add` excluded" =>
        "imgidx add --exclude '*.tmp.png' ~/Pictures && imgidx prune --excluded",
];

const FORGET_EXAMPLES: &str = examples![
    "Show how many files of a directory are in the index" => "imgidx forget --dry-run ~/Pictures/old",
    "Remove the directory from the index" => "imgidx forget ~/Pictures/old",
    "Index it again" => "imgidx add ~/Pictures/old",
];

#[derive(Debug, clap::Args)]
#[command(after_help = PRUNE_EXAMPLES)]
pub(super) struct PruneArgs {
    /// Also remove existing files that the last `add` of their directory excluded
    #[arg(long)]
    excluded: bool,
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
    /// Indexed directory or file; a path inside an indexed directory stays out until it is given to `add`
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Do not ask for confirmation; required without a terminal
    #[arg(short, long)]
    yes: bool,
    /// Show how many files would be removed, and remove none
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(super) fn run(global: &Global, args: PruneArgs) -> Result<Done, Failure> {
    let mut index = global.open_existing(None)?;
    let options = PruneOptions { excluded: args.excluded };
    let mut pruned = index.prunable(&options)?;
    note_offline(global, &pruned);
    let is_nothing = pruned.files + pruned.excluded + pruned.images == 0;
    if !is_nothing && !args.dry_run {
        global.note(&format!("{} will be removed from the index; no file on the disk is touched", parts(&pruned)));
        if !(args.yes || confirm("remove them from the index?")?) {
            return Ok(nothing_removed(global));
        }
        let _way = ask::make_way(global);
        pruned = index.prune(&options)?;
    }
    let text = match (is_nothing, args.dry_run) {
        (true, _) => "nothing to remove".to_owned(),
        (false, true) => format!("would remove {} from the index", parts(&pruned)),
        (false, false) => format!("removed {} from the index", parts(&pruned)),
    };
    let Pruned { files, excluded, images, offline } = pruned;
    let document = PrunedDocument { files, excluded, images, offline, dry_run: args.dry_run };
    global.print(|| document, |out| out.line(text))
}

/// Ends a command to which the answer was no.
fn nothing_removed(global: &Global) -> Done {
    global.note("nothing was removed");
    Done::All
}

/// Notes which files stay although they disappeared.
fn note_offline(global: &Global, pruned: &Pruned) {
    for root in &pruned.offline {
        let (files, stay) = (count(root.files, "file"), if root.files == 1 { "stays" } else { "stay" });
        global.note(&format!(
            "`{}` is offline: {files} that disappeared from it {stay} in the index until it is back",
            root.path.display()
        ));
    }
}

/// The files and pictures in words, such as `3 missing files and the data of 2 pictures`.
fn parts(pruned: &Pruned) -> String {
    let data = match pruned.images {
        0 => None,
        images => Some(format!("the data of {}", count(images, "picture"))),
    };
    let files = [(pruned.files, "missing file"), (pruned.excluded, "excluded file")];
    let files = files.into_iter().filter(|(number, _)| *number > 0).map(|(number, noun)| count(number, noun));
    let mut parts: Vec<String> = files.chain(data).collect();
    match parts.pop() {
        Some(last) if !parts.is_empty() => format!("{} and {last}", parts.join(", ")),
        last => last.unwrap_or_default(),
    }
}

pub(super) fn run_forget(global: &Global, args: ForgetArgs) -> Result<Done, Failure> {
    let mut index = global.open_existing(None)?;
    let part = index.part(&args.path)?;
    let (path, files) = (part.path(), index.pictures_in(&part)?);
    let stays_out = index.is_found_again(&part)?;
    if !args.dry_run {
        if !may_forget(global, &args, &index, files)? {
            return Ok(nothing_removed(global));
        }
        let _way = ask::make_way(global);
        index.forget(&part)?;
    }
    let verb = if args.dry_run { "would remove" } else { "removed" };
    let text = format!("{verb} `{}` ({}) from the index", path.display(), count(files, "picture"));
    let document = Forgotten { path: (&path).into(), files, stays_out, dry_run: args.dry_run };
    let done = global.print(|| document, |out| out.line(text))?;
    if stays_out {
        let stays = if args.dry_run { "would stay" } else { "stays" };
        let path = path.display();
        global.note(&format!("`{path}` {stays} out of the index; `imgidx add {path}` indexes it again"));
    }
    Ok(done)
}

/// Asks for confirmation, unless it is given.
///
/// # Errors
/// [`Failure::Unconfirmed`] without a terminal.
fn may_forget(global: &Global, args: &ForgetArgs, index: &Index, files: u64) -> Result<bool, Failure> {
    if args.yes {
        return Ok(true);
    }
    if !can_ask() {
        return Err(Failure::Unconfirmed("forget"));
    }
    global.note(&format!(
        "`{}` ({}) will be removed from the index `{}`; no file on the disk is touched",
        args.path.display(),
        count(files, "picture"),
        index.path().display()
    ));
    Ok(confirm("remove it from the index?")?)
}
