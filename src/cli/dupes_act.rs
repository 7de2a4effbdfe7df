//! `imgidx dupes trash` and `imgidx dupes link`

use imgidx::documents::{ActedOn, LeftAsItIs, Redundancy, WithheldReason};
use imgidx::index::{DupeAction, DupeActionError};
use imgidx::search::{DupeTier, Redundant, RedundantFile};

use super::add::cancel_on_interrupt;
use super::dupes::{Choice, files_and_bytes, note_withheld};
use super::output::{Done, Failure, Out, confirm, count};
use super::{Global, ask};

const TRASH_EXAMPLES: &str = examples![
    "Show which identical files would be moved to the trash" => "imgidx dupes trash --dry-run",
    "Move them without asking, but none from Archive" => "imgidx dupes trash --yes --reference ~/Archive",
    "Move near copies too, and keep the oldest of each" => "imgidx dupes trash --tier near --keep oldest",
];

const LINK_EXAMPLES: &str = examples![
    "Replace identical files with hard links" => "imgidx dupes link",
    "Replace them with reflinks, which can be edited separately" => "imgidx dupes link --reflink",
];

#[derive(Debug, clap::Args)]
#[command(after_help = TRASH_EXAMPLES)]
pub(super) struct TrashArgs {
    #[command(flatten)]
    act: ActArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = LINK_EXAMPLES)]
pub(super) struct LinkArgs {
    /// Make reflinks instead: separate files that share their blocks until one of them is changed (Btrfs, XFS, APFS)
    #[arg(long)]
    reflink: bool,
    #[command(flatten)]
    act: ActArgs,
}

#[derive(Debug, clap::Args)]
struct ActArgs {
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
    /// Show what would be done, and do nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    choice: Choice,
}

pub(super) fn run_trash(global: &Global, args: &TrashArgs) -> Result<Done, Failure> {
    run(global, &args.act, DupeAction::Trash)
}

pub(super) fn run_link(global: &Global, args: &LinkArgs) -> Result<Done, Failure> {
    if args.act.choice.tier.is_some_and(|tier| tier > DupeTier::Exact) {
        let message = "only exact copies can be replaced with links".into();
        let hint = "`imgidx dupes trash` moves near copies to the trash".into();
        return Err(Failure::UsageHint { message, hint });
    }
    run(global, &args.act, if args.reflink { DupeAction::Reflink } else { DupeAction::HardLink })
}

fn run(global: &Global, args: &ActArgs, action: DupeAction) -> Result<Done, Failure> {
    let mut index = global.open_existing(args.choice.model())?;
    let query = args.choice.query(DupeTier::Exact)?;
    let answer = args.choice.answer(global, index.searcher(), &query)?;
    let redundant = index.searcher().redundant(&answer, &query.keep)?;
    note_withheld(global, &redundant);
    let mut log = Log::new(global, action, args.dry_run, &redundant);
    if redundant.files.is_empty() {
        global.note("no redundant files");
    } else if args.dry_run {
        redundant.files.iter().try_for_each(|file| log.done(file))?;
    } else if args.yes || confirm(&question(action, &redundant))? {
        let cancel = cancel_on_interrupt();
        let _way = ask::make_way(global);
        let report = index.act_on_duplicates(&redundant, action, &cancel, |file, failure| match failure {
            None => log.done(file),
            Some(reason) => log.failed(file, reason),
        })?;
        log.document.interrupted = report.interrupted;
    } else {
        global.note(match action {
            DupeAction::Trash => "nothing was moved",
            DupeAction::HardLink | DupeAction::Reflink => "nothing was linked",
        });
    }
    log.finish()
}

fn question(action: DupeAction, redundant: &Redundant) -> String {
    let files = files_and_bytes(redundant);
    match action {
        DupeAction::Trash => format!("move {files} to the trash?"),
        DupeAction::HardLink => format!("replace {files} with hard links?"),
        DupeAction::Reflink => format!("replace {files} with reflinks?"),
    }
}

/// Reports what is done: line by line, or in one document at the end.
struct Log<'a> {
    global: &'a Global,
    out: Out,
    /// What happened to a file, as the first word of its line.
    verb: &'static str,
    document: ActedOn,
}

impl<'a> Log<'a> {
    fn new(global: &'a Global, action: DupeAction, dry_run: bool, redundant: &Redundant) -> Self {
        let (action, verb) = match (action, dry_run) {
            (DupeAction::Trash, false) => ("trash", "trashed"),
            (DupeAction::Trash, true) => ("trash", "would trash"),
            (DupeAction::HardLink, false) => ("link", "linked"),
            (DupeAction::HardLink, true) => ("link", "would link"),
            (DupeAction::Reflink, false) => ("reflink", "reflinked"),
            (DupeAction::Reflink, true) => ("reflink", "would reflink"),
        };
        let withheld = redundant.withheld.iter().map(WithheldReason::from).collect();
        let (done, failed) = (Vec::new(), Vec::new());
        let document = ActedOn { action, dry_run, done, failed, withheld, interrupted: false };
        Self { global, out: Out::new(), verb, document }
    }

    fn done(&mut self, file: &RedundantFile) -> Result<(), Failure> {
        self.document.done.push(Redundancy::from(file));
        if self.global.json {
            return Ok(());
        }
        self.out.path(&format!("{}\t", self.verb), &file.path, '\t')?;
        self.out.path("", &file.kept, '\n')?;
        // The log is complete even if the process is killed.
        Ok(self.out.flush()?)
    }

    fn failed(&mut self, file: &RedundantFile, reason: &DupeActionError) -> Result<(), Failure> {
        let RedundantFile { path, kept, .. } = file;
        let reason = reason.to_string();
        if !self.global.json {
            let verb = self.document.action;
            let message = format!("cannot {verb} `{}`: {reason}", path.display());
            self.global.style().error(&Failure::Refused { message, hint: None });
        }
        self.document.failed.push(LeftAsItIs { path: path.into(), kept: kept.into(), reason });
        Ok(())
    }

    fn finish(mut self) -> Result<Done, Failure> {
        let (done, failed) = (self.document.done.len() as u64, self.document.failed.len() as u64);
        let interrupted = self.document.interrupted;
        if self.global.json {
            self.out.document(&self.document)?;
        } else if done + failed > 0 && !self.document.dry_run {
            let left = match failed {
                0 => String::new(),
                1 => "; 1 file left as it was".into(),
                _ => format!("; {failed} files left as they were"),
            };
            self.global.note(&format!("{} {}{left}", self.verb, count(done, "file")));
        }
        self.out.finish()?;
        Done::of(interrupted, failed)
    }
}
