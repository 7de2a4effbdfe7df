//! `imgidx add`

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use imgidx::documents::{Added, PlannedStep};
use imgidx::indexer::{PlanStep, ReadCause};
use imgidx::model::Device;
use imgidx::scan::on_network_file_system;
use imgidx::types::path_from_bytes;
use imgidx::{AddOptions, CancelToken, Error, Filter, Index, IndexReport, Result};
use parking_lot::Mutex;

use super::output::{Done, Failure, Out, count, human_bytes, write_error_line};
use super::profile::Profile;
use super::progress::Bar;
use super::work::{ScanArgs, WorkArgs};
use super::{Global, ask};

const EXAMPLES: &str = examples![
    "Index a directory" => "imgidx add ~/Pictures",
    "List what would be done, without doing it" => "imgidx add --dry-run ~/Pictures",
    "Find photographs of phones sooner, and index them whole afterwards" =>
        "imgidx add --quick ~/Pictures && imgidx add ~/Pictures",
    "Retry failed files with more memory" => "imgidx add --retry-failed --memory 2G ~/Pictures",
];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Directories and files to index
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    scan: ScanArgs,
    /// List what would be done, without reading any file
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Model to use [default: the active model of the index]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    #[command(flatten)]
    work: WorkArgs,
    /// Retry files that failed before
    #[arg(long)]
    retry_failed: bool,
    /// Index new HEIC and AVIF files by the thumbnails in them, where they have any; the next add without this option
    /// reads the whole pictures
    #[arg(long)]
    quick: bool,
    /// Write a timeline of all threads to this file, for <https://ui.perfetto.dev> or chrome://tracing, and print a
    /// table of the stages; implies decoding in this process
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    profile: Option<PathBuf>,
}

impl Args {
    fn options(&self, cancel: CancelToken) -> AddOptions {
        let (scan, retry_failed, quick) = (self.scan.options(), self.retry_failed, self.quick);
        AddOptions { scan, retry_failed, quick, cancel, ..self.work.options() }
    }
}

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    let options = args.options(cancel_on_interrupt());
    options.scan.check().map_err(|error| Failure::Usage(error.to_string()))?;
    if args.dry_run {
        return dry_run(global, &args, &options);
    }
    let database = global.database()?;
    if let Some(name) = database.parent().and_then(on_network_file_system) {
        global.note(&format!(
            "`{}` is on a network drive ({name}); never use it from two computers at the same time",
            database.display()
        ));
    }
    let profile = args.profile.as_deref().map(Profile::start).transpose()?;
    let bar = Bar::new(global.quiet, global.verbose);
    let (notice_global, notice_bar) = (global.clone(), bar.bar.clone());
    let notice = move |text: &str| notice_bar.suspend(|| notice_global.note(text));
    let opened = global.options(args.model.as_deref()).notice(notice);
    // A profile covers the threads of this process only.
    let opened = if profile.is_some() { opened.decode_here() } else { opened };
    let is_usual = args.model.is_none() && args.work.device == Device::Auto && profile.is_none();
    let handed_over =
        if is_usual { ask::add(global, &args.paths, &options, |progress| bar.update(progress)) } else { None };
    let (index, report) = match handed_over {
        Some(report) => (opened.open(database)?, report),
        None if options.cancel.is_cancelled() => return Err(Error::Interrupted.into()),
        None => {
            let mut index = opened.open_for(database, &args.paths)?;
            let _way = ask::make_way(global);
            let report = index.add_with_progress(&args.paths, &options, |progress| {
                bar.update(progress);
                if let Some(profile) = &profile {
                    profile.count(&progress);
                }
            });
            if report.is_err() {
                bar.bar.finish_and_clear();
                // Keep the profile up to here. The error of the run matters more than one of the profile.
                let _ = profile.as_ref().map(|profile| profile.finish());
            }
            (index, report?)
        }
    };
    bar.bar.finish_and_clear();
    if let Some(profile) = &profile {
        for line in profile.finish()? {
            write_error_line(&line);
        }
    }
    print_report(global, &index, &args.paths, &report)?;
    Done::of(report.interrupted, report.failed)
}

/// The token that an interrupt cancels.
static CURRENT: Mutex<Option<CancelToken>> = Mutex::new(None);

/// Whether an interrupt has arrived.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether a command that called [`cancel_on_interrupt`] was interrupted.
pub(super) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// A token that the first interrupt cancels: the work then finishes what is in progress. A second one ends the process.
pub(super) fn cancel_on_interrupt() -> CancelToken {
    let cancel = CancelToken::default();
    // A command that waited for another process starts over with a new token.
    *CURRENT.lock() = Some(cancel.clone());
    if is_interrupted() {
        cancel.cancel();
    }
    let handler = move || {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            stop_at_once();
        }
        write_error_line("\nfinishing the work in progress; interrupt again to stop immediately");
        if let Some(cancel) = &*CURRENT.lock() {
            cancel.cancel();
        }
    };
    // If there can be no handler, an interrupt ends the process at once. Committed work is safe.
    let _ = ctrlc::set_handler(handler);
    cancel
}

/// Ends the process without its exit handlers: those of ONNX Runtime complain about the sessions that still run.
fn stop_at_once() -> ! {
    #[cfg(unix)]
    signal_hook::low_level::exit(130);
    #[cfg(not(unix))]
    std::process::exit(130)
}

/// Prints the notes, then the counts.
fn print_report(global: &Global, index: &Index, paths: &[PathBuf], report: &IndexReport) -> Result<(), Failure> {
    for root in &report.offline_roots {
        let text = "is offline: it is missing or no longer the same directory; its files stay in the index";
        global.note(&format!("`{}` {text}", root.display()));
    }
    for vanished in &report.vanished {
        global.note(&format!("{vanished} (if they are really gone, run `imgidx prune`)"));
    }
    for warning in &report.warnings {
        global.note(warning);
    }
    if report.excluded > 0 {
        let files = count(report.excluded, "indexed file");
        let (are, stay, them) = if report.excluded == 1 { ("is", "stays", "it") } else { ("are", "stay", "them") };
        global.note(&format!(
            "{files} {are} excluded by these options but {stay} in the index; `imgidx prune --excluded` removes {them}"
        ));
    }
    if report.known_failures > 0 {
        let failures = count(report.known_failures, "unchanged file");
        global.note(&format!("{failures} failed before; use --retry-failed to try again"));
    }
    if report.changing > 0 {
        let files = count(report.changing, "file");
        global.note(&format!("{files} changed while being read; the next `imgidx add` tries again"));
    }
    if report.provisional > 0 {
        let (pictures, them) =
            (count(report.provisional, "picture"), if report.provisional == 1 { "it" } else { "them" });
        global.note(&format!(
            "{pictures} indexed by thumbnails only; the next `imgidx add` without --quick reads {them} whole"
        ));
    }
    if report.failed > 0 {
        global.note("`imgidx failures` lists the files that could not be indexed, and why");
    }
    if report.skipped > 0 {
        note_skipped(global, index, paths)?;
    }
    if global.verbose {
        if let Some(device) = report.device {
            let (workers, batch) = (count(report.workers as u64, "worker"), report.batch_size);
            global.note(&format!("the model ran on {device} with {workers} and batches of {batch}"));
        }
        let added = paths.iter().fold(Filter::default(), Filter::under);
        for (reason, files) in index.searcher().skipped_reasons(&added)? {
            global.note(&format!("{} skipped: {reason}", count(files, "file")));
        }
    }
    global.print(|| Added::from(report), |out| out.line(summary(report))).map(drop)
}

/// Says why files were skipped that were named on the command line.
fn note_skipped(global: &Global, index: &Index, paths: &[PathBuf]) -> Result<()> {
    for file in paths.iter().filter(|path| path.is_file()) {
        for (reason, _) in index.searcher().skipped_reasons(&Filter::default().under(file))? {
            global.note(&format!("`{}` was skipped: {reason}", file.display()));
        }
    }
    Ok(())
}

fn summary(report: &IndexReport) -> String {
    let IndexReport { new, changed, moved, unchanged, missing, failed, skipped, seconds, .. } = report;
    let memory = report.peak_memory_bytes.map_or_else(|| "unknown".into(), human_bytes);
    let rate = match report.embedded {
        0 => String::new(),
        _ => format!("{:.1} images/s, ", report.images_per_second),
    };
    format!(
        "{new} new, {changed} changed, {moved} moved, {unchanged} unchanged, {missing} missing, {failed} failed, \
         {skipped} skipped in {seconds:.2} s ({rate}peak memory {memory})"
    )
}

fn dry_run(global: &Global, args: &Args, options: &AddOptions) -> Result<Done, Failure> {
    // Without an index every file is new.
    let (_scratch, index) = global.open_or_empty(args.model.as_deref())?;
    let (out, failed) = (RefCell::new(Out::new()), Cell::new(None));
    let print = |what: &'static str, path: &Path| {
        let mut out = out.borrow_mut();
        let result = if global.json {
            out.json_line(&PlannedStep { plan: what, path: path.into() })
        } else {
            out.path(&format!("{what}\t"), path, '\n')
        };
        if let Err(error) = result {
            failed.set(failed.take().or(Some(error)));
            options.cancel.cancel();
        }
    };
    let result = index.plan(
        &args.paths,
        options,
        |root, step| {
            let (what, path) = match step {
                PlanStep::Read(file, cause) => (cause_name(cause), file.path),
                PlanStep::Moved(_, file, _) => ("moved", file.path),
                PlanStep::Unlisted(error) => ("unreadable", error.path),
                PlanStep::Restored(..) | PlanStep::Unchanged(_) => return,
            };
            print(what, &root.join(path_from_bytes(&path)));
        },
        |path| print("missing", path),
        |path| print("offline", path),
    );
    if let Some(error) = failed.take() {
        return Err(error.into());
    }
    result?;
    out.into_inner().finish()
}

fn cause_name(cause: ReadCause) -> &'static str {
    match cause {
        ReadCause::New => "new",
        ReadCause::Changed => "changed",
        ReadCause::Pending => "pending",
        ReadCause::Provisional => "provisional",
        ReadCause::Undescribed => "metadata",
        ReadCause::Retry => "retry",
    }
}
