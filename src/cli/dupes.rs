//! `imgidx dupes`

use std::collections::BTreeMap;
use std::path::PathBuf;

use imgidx::Result;
use imgidx::documents::{Dismissed, Dupes};
use imgidx::search::{DupeAnswer, DupeGroup, DupeQuery, DupeTier, Redundant, Withheld};

use super::filters::Filters;
use super::output::{Done, Failure, Out, count, human_bytes};
use super::sheet::{Section, Sheet, Tile};
use super::{Global, one_of};

const EXAMPLES: &str = examples![
    "Look at all groups on a page" => "imgidx dupes --html groups.html",
    "Remember that two pictures are not duplicates" => "imgidx dupes dismiss left.jpg right.jpg",
    "Move redundant identical files to the trash" => "imgidx dupes --tier exact -0 | xargs -0 trash",
];

const DISMISS_EXAMPLES: &str = examples![
    "Remember that two pictures are not duplicates" => "imgidx dupes dismiss left.jpg right.jpg",
    "Undo that" => "imgidx dupes dismiss --undo left.jpg right.jpg",
];

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Loosest tier to list: exact (identical files), near (scaled, compressed again or a little brighter) or similar
    /// (also cropped, framed or with text added)
    #[arg(long, value_name = "TIER", default_value = "similar", value_parser = one_of(DupeTier::ALL, DupeTier::as_str))]
    tier: DupeTier,
    /// Minimum cosine of similar pictures, 0.5 to 1
    #[arg(long, value_name = "SCORE", default_value_t = DupeQuery::default().threshold)]
    threshold: f32,
    /// Print paths only, with an empty line between groups
    #[arg(long)]
    paths: bool,
    /// Print the files that may be removed, separated by NUL bytes: all of each group but the best one, which was just
    /// verified on disk
    #[arg(short = '0', long)]
    null: bool,
    /// Write a contact sheet of the groups to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Model to use [default: the active model of the index]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    #[command(flatten)]
    filters: Filters,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Remember that pictures are not duplicates of each other
    Dismiss(DismissArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = DISMISS_EXAMPLES)]
struct DismissArgs {
    /// Two or more pictures; naming two files with the same content means that both copies are wanted
    #[arg(required = true, num_args = 2.., value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Undo an earlier dismissal
    #[arg(long)]
    undo: bool,
}

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    if let Some(Command::Dismiss(args)) = args.command {
        return dismiss(global, &args);
    }
    if !(0.5..=1.0).contains(&args.threshold) {
        return Err(Failure::Usage("--threshold must be a number from 0.5 to 1".into()));
    }
    let index = global.open_searcher(args.model.as_deref())?;
    let query = DupeQuery { tier: args.tier, threshold: args.threshold, filter: args.filters.filter()? };
    let answer = index.dupes(&query)?;
    tell(global, &answer);
    args.filters.note_unmeasured(global)?;
    if let Some(file) = &args.html {
        sheet(&answer).write(file, &global.options(None))?;
        global.note(&format!("wrote `{}`", file.display()));
    }
    let print_text = |out: &mut Out| match args.null {
        true => print_redundant(global, out, &index.redundant(&answer)?),
        false => Ok(print(out, &answer, args.paths)?),
    };
    global.print(|| Dupes::from(&answer), print_text)?;
    if answer.groups.is_empty() && !global.json {
        global.note("no duplicates found");
    } else if !global.json && !args.null {
        global.note(&summary(&answer));
    }
    Ok(Done::All)
}

/// Prints the files that may be removed, and notes how many are withheld and why.
fn print_redundant(global: &Global, out: &mut Out, redundant: &Redundant) -> Result<(), Failure> {
    let mut withheld: BTreeMap<Withheld, u64> = BTreeMap::new();
    redundant.withheld.iter().for_each(|file| *withheld.entry(file.reason).or_default() += 1);
    for (reason, files) in withheld {
        let subject = if files == 1 { "it" } else { "each" };
        global.note(&format!("{} withheld: {subject} {}", count(files, "file"), reason.as_str()));
    }
    redundant.files.iter().try_for_each(|file| out.path("", &file.path, '\0'))?;
    let bytes = redundant.files.iter().map(|file| file.bytes).sum();
    let files = count(redundant.files.len() as u64, "file");
    global.note(&format!("{files} ({}) may be removed; nothing was deleted", human_bytes(bytes)));
    Ok(())
}

/// Notes what the answer leaves out.
fn tell(global: &Global, answer: &DupeAnswer) {
    if answer.dismissed > 0 {
        global.note(&format!("{} left out", count(answer.dismissed, "dismissed pair")));
    }
    if answer.incomplete > 0 {
        let pictures = count(answer.incomplete, "picture");
        global.note(&format!("{pictures} can only be matched exactly so far; run `imgidx add` on their directories"));
    }
}

fn summary(answer: &DupeAnswer) -> String {
    let (mut files, mut bytes) = (0, 0);
    for group in &answer.groups {
        let copies = group.pictures.iter().flat_map(|picture| picture.paths.iter().map(|_| picture.bytes));
        copies.skip(1).for_each(|length| (files, bytes) = (files + 1, bytes + length));
    }
    let groups = count(answer.groups.len() as u64, "group");
    format!("{groups}; all but the best of each: {}, {}; nothing was deleted", count(files, "file"), human_bytes(bytes))
}

fn print(out: &mut Out, answer: &DupeAnswer, paths_only: bool) -> std::io::Result<()> {
    for (i, group) in answer.groups.iter().enumerate() {
        if i > 0 {
            out.line("")?;
        }
        if !paths_only {
            out.line(format_args!("{}\t{:.4}", group.tier.as_str(), group.score))?;
        }
        let mut mark = "best";
        for picture in &group.pictures {
            let facts = format!("{} × {}\t{}", picture.width, picture.height, human_bytes(picture.bytes));
            for path in &picture.paths {
                let before = if paths_only { String::new() } else { format!("  {mark}\t{facts}\t") };
                out.path(&before, path, '\n')?;
                mark = "    ";
            }
        }
    }
    Ok(())
}

fn sheet(answer: &DupeAnswer) -> Sheet<'_> {
    Sheet {
        title: "Duplicates".into(),
        summary: summary(answer),
        sections: answer.groups.iter().map(section).collect(),
    }
}

fn section(group: &DupeGroup) -> Section<'_> {
    let DupeGroup { tier, score, pictures } = group;
    let tiles = pictures.iter().enumerate().filter_map(|(i, picture)| {
        Some(Tile {
            path: picture.paths.first()?,
            score: (*tier > DupeTier::Exact).then_some(picture.score),
            copies: picture.paths.len() - 1,
            note: format!("{} × {}, {}", picture.width, picture.height, human_bytes(picture.bytes)),
            is_best: i == 0,
        })
    });
    let heading = match tier {
        DupeTier::Exact => "The same bytes".to_owned(),
        DupeTier::Near => format!("Near copies, score {score:.3} or more"),
        DupeTier::Similar => format!("Similar pictures, score {score:.3} or more"),
    };
    Section { heading: Some(heading), asked: false, tiles: tiles.collect() }
}

fn dismiss(global: &Global, args: &DismissArgs) -> Result<Done, Failure> {
    let _way = super::ask::make_way(global);
    let mut index = global.open_existing(None)?;
    let content = |file: &PathBuf| index.searcher().content_of(&file.into());
    let images = args.files.iter().map(content).collect::<Result<Vec<_>>>()?;
    let (pairs, done) = match args.undo {
        false => (index.dismiss(&images)?, "dismissed"),
        true => (index.undismiss(&images)?, "no longer dismissed"),
    };
    global
        .print(|| Dismissed { pairs, undo: args.undo }, |out| out.line(format_args!("{} {done}", count(pairs, "pair"))))
}
