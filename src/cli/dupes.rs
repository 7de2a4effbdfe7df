//! `imgidx dupes`

use std::collections::BTreeMap;
use std::path::PathBuf;

use imgidx::documents::{Dismissed, Dupes, RedundantFiles};
use imgidx::search::{DupeAnswer, DupeGroup, DupeQuery, DupeTier, KeepRule, KeepRules, Redundant, Withheld};
use imgidx::{Error, Result, Searcher};

use super::filters::Filters;
use super::output::{Done, Failure, Out, count, human_bytes};
use super::sheet::{Section, Sheet, Tile};
use super::{Global, dupes_act, number_in, one_of, sheet_file};

const EXAMPLES: &str = examples![
    "View all groups on a page" => "imgidx dupes --html groups.html",
    "Remember that two pictures are not duplicates" => "imgidx dupes dismiss left.jpg right.jpg",
    "Show which identical files may be removed" => "imgidx dupes --redundant",
    "Move them to the trash, but keep those in Archive" => "imgidx dupes trash --keep-under ~/Archive",
    "Pass them to another program" => "imgidx dupes --redundant -0 | xargs -0 -r ls -l",
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
    #[command(flatten)]
    choice: Choice,
    /// Print the files that may be removed: all of each group except the one to keep, after checking them on disk
    #[arg(long, conflicts_with_all = ["paths", "html"])]
    redundant: bool,
    /// Print the paths of all files, with an empty line between groups
    #[arg(long)]
    paths: bool,
    /// Separate paths by NUL bytes, with --redundant or --paths
    #[arg(short = '0', long)]
    null: bool,
    /// Write a contact sheet of the groups to this file
    #[arg(long, value_name = "FILE", value_parser = sheet_file())]
    html: Option<PathBuf>,
    /// Let --html replace a file that imgidx did not make; pictures are never replaced
    #[arg(long, requires = "html")]
    overwrite: bool,
}

/// Which duplicates are listed or acted on, and which file of a group is kept.
#[derive(Debug, clap::Args)]
pub(super) struct Choice {
    /// Loosest tier to include: exact (identical files), near (scaled, compressed again or a little brighter) or similar
    /// (also cropped, framed or with text added) [default: similar for lists, exact for what may be removed]
    #[arg(long, value_name = "TIER", value_parser = one_of(DupeTier::ALL, DupeTier::as_str), hide_possible_values = true)]
    pub(super) tier: Option<DupeTier>,
    /// Minimum score in the similar tier, 0.5 to 1
    #[arg(long, value_name = "SCORE", default_value_t = DupeQuery::default().threshold, value_parser = number_in(0.5..=1.0_f32), allow_negative_numbers = true)]
    threshold: f32,
    /// Model to use [default: the active model of the index]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Keep the oldest, newest, largest or smallest file of each group, or the one with the shortest path
    /// (shortest-path) [default: the best picture]
    #[arg(long, value_name = "RULE", value_parser = one_of(KeepRule::ALL, KeepRule::as_str), hide_possible_values = true)]
    keep: Option<KeepRule>,
    /// Keep files below this directory before others (repeatable)
    #[arg(long, value_name = "DIR")]
    keep_under: Vec<PathBuf>,
    /// Never remove files below this directory (repeatable)
    #[arg(long, value_name = "DIR")]
    reference: Vec<PathBuf>,
    /// Let files of one shot replace each other: a photograph and its edited version, or HEIC and JPEG
    #[arg(long)]
    companions: bool,
    #[command(flatten)]
    filters: Filters,
}

impl Choice {
    /// The query that these options describe.
    pub(super) fn query(&self, default_tier: DupeTier) -> Result<DupeQuery, Failure> {
        let (under, reference) = (directories(&self.keep_under)?, directories(&self.reference)?);
        let keep = KeepRules { rule: self.keep, under, reference, companions: self.companions };
        let tier = self.tier.unwrap_or(default_tier);
        Ok(DupeQuery { tier, threshold: self.threshold, filter: self.filters.filter()?, keep })
    }

    /// Finds the duplicates, and notes what is left out.
    pub(super) fn answer(&self, global: &Global, searcher: &Searcher, query: &DupeQuery) -> Result<DupeAnswer> {
        let answer = searcher.dupes(query)?;
        tell(global, &answer);
        self.filters.note_gaps(global)?;
        Ok(answer)
    }

    /// The model that was asked for.
    pub(super) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }
}

/// Checks that directories exist: a mistyped one would protect nothing.
fn directories(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    for path in paths {
        let metadata = std::fs::metadata(path).map_err(Error::io("read the directory", path))?;
        if !metadata.is_dir() {
            return Err(Failure::Usage(format!("`{}` is not a directory", path.display())));
        }
    }
    Ok(paths.to_vec())
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Remember that pictures are not duplicates of each other
    Dismiss(DismissArgs),
    /// Move redundant files to the trash, after checking each again
    Trash(dupes_act::TrashArgs),
    /// Replace redundant identical files with hard links or reflinks to the file that is kept
    Link(dupes_act::LinkArgs),
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
    match args.command {
        Some(Command::Dismiss(args)) => return dismiss(global, &args),
        Some(Command::Trash(args)) => return dupes_act::run_trash(global, &args),
        Some(Command::Link(args)) => return dupes_act::run_link(global, &args),
        None => check_separator(global, &args)?,
    }
    let index = global.open_searcher(args.choice.model())?;
    let query = args.choice.query(if args.redundant { DupeTier::Exact } else { DupeTier::Similar })?;
    let answer = args.choice.answer(global, &index, &query)?;
    if args.redundant {
        return print_redundant(global, args.null, &index.redundant(&answer, &query.keep)?);
    }
    if let Some(file) = &args.html {
        sheet(&answer).write(file, args.overwrite, &global.options(None))?;
        global.note(&format!("wrote `{}`", file.display()));
    }
    global.print(
        || Dupes::from(&answer),
        |out| match (args.paths, args.null) {
            (true, true) => print_all_paths(out, &answer),
            (paths_only, _) => print(out, &answer, paths_only),
        },
    )?;
    if answer.groups.is_empty() && !global.json {
        global.note("no duplicates found");
    } else if !global.json {
        global.note(&summary(&answer));
    }
    Ok(Done::All)
}

/// Refuses `-0` where there is nothing to separate. In earlier versions it chose what is printed.
fn check_separator(global: &Global, args: &Args) -> Result<(), Failure> {
    let usage = |message: &str, hint: &str| Err(Failure::UsageHint { message: message.into(), hint: hint.into() });
    match args.null {
        true if global.json => usage("-0 separates paths, but --json prints a document", "leave out one of them"),
        true if !args.redundant && !args.paths => usage(
            "-0 needs --redundant or --paths",
            "`--redundant -0` prints the files that may be removed, `--paths -0` all files of all groups",
        ),
        _ => Ok(()),
    }
}

/// Prints the files that may be removed, and notes how many are withheld and why.
fn print_redundant(global: &Global, null: bool, redundant: &Redundant) -> Result<Done, Failure> {
    note_withheld(global, redundant);
    let end = if null { '\0' } else { '\n' };
    global.print(
        || RedundantFiles::from(redundant),
        |out| redundant.files.iter().try_for_each(|file| out.path("", &file.path, end)),
    )?;
    if !global.json {
        global.note(&format!("{} may be removed; nothing was deleted", files_and_bytes(redundant)));
    }
    Ok(Done::All)
}

/// Notes how many files are withheld and why.
pub(super) fn note_withheld(global: &Global, redundant: &Redundant) {
    let mut withheld: BTreeMap<Withheld, u64> = BTreeMap::new();
    redundant.withheld.iter().for_each(|file| *withheld.entry(file.reason).or_default() += 1);
    for (reason, files) in withheld {
        let subject = if files == 1 { "it" } else { "each" };
        global.note(&format!("{} withheld: {subject} {}", count(files, "file"), reason.as_str()));
    }
}

/// The number of redundant files, and what they take: `3 files (1.2 MiB)`.
pub(super) fn files_and_bytes(redundant: &Redundant) -> String {
    format!("{} ({})", count(redundant.files.len() as u64, "file"), human_bytes(redundant.freed_bytes))
}

/// Notes what the answer leaves out.
fn tell(global: &Global, answer: &DupeAnswer) {
    if answer.dismissed > 0 {
        global.note(&format!("{} left out", count(answer.dismissed, "dismissed pair")));
    }
    if answer.incomplete > 0 {
        let pictures = count(answer.incomplete, "picture");
        global.note(&format!(
            "only exact copies of {pictures} can be found so far; run `imgidx add` on the indexed directories"
        ));
    }
}

fn summary(answer: &DupeAnswer) -> String {
    let (files, bytes) = answer
        .groups
        .iter()
        .fold((0, 0), |(files, bytes), group| (files + group.other_files, bytes + group.other_bytes));
    let groups = count(answer.groups.len() as u64, "group");
    format!("{groups}; {} ({}) besides the best of each; nothing was deleted", count(files, "file"), human_bytes(bytes))
}

fn print_all_paths(out: &mut Out, answer: &DupeAnswer) -> std::io::Result<()> {
    let pictures = answer.groups.iter().flat_map(|group| &group.pictures);
    pictures.flat_map(|picture| &picture.paths).try_for_each(|path| out.path("", path, '\0'))
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
    let DupeGroup { tier, score, pictures, .. } = group;
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
