//! `imgidx trace`

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use imgidx::documents::{self, EstimatedTrace, Estimates, NotTraced, Traces};
use imgidx::index::{TraceEstimate, TraceReport, TraceStep};
use imgidx::trace::{Tier, TraceOptions, Traced};
use imgidx::types::share_freed_memory;
use imgidx::vector::is_unchanged_trace;
use imgidx::{CancelToken, Error, Index, Result};

use super::add::cancel_on_interrupt;
use super::output::{Done, Failure, Out, count, human_bytes};
use super::output_file::{beginning, refuse_raster_picture};
use super::progress::CountBar;
use super::trace_sheet::TraceSheet;
use super::{Global, parse_size};

const EXAMPLES: &str = examples![
    "Trace a logo to logo.svg" => "imgidx trace logo.png",
    "Trace a directory thoroughly, and compare the results" =>
        "imgidx trace logos -o svgs --tier quality --preview-html traces.html",
    "Estimate how good the traces would be" => "imgidx trace --predict logos",
];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Pictures, and directories of pictures
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// SVG to write, or directory for several; `-` is standard output [default: the picture's name with .svg, in
    /// the current directory]
    #[arg(short, long, value_name = "FILE|DIR")]
    out: Option<PathBuf>,
    /// Effort: fast makes one trace, balanced makes six and keeps the best, quality goes on to improve it
    #[arg(long, value_name = "TIER", default_value = "balanced")]
    tier: TierArg,
    /// Seconds for each picture, after which the best trace so far is used
    #[arg(long, value_name = "SECONDS", default_value_t = TraceOptions::TIME.as_secs_f64(), value_parser = parse_seconds)]
    time_limit: f64,
    /// Print the expected score of each trace, and make none
    #[arg(long, conflicts_with_all = ["out", "preview_html", "overwrite"])]
    predict: bool,
    /// Write a page with each picture, its trace and their difference to this file
    #[arg(long, value_name = "FILE")]
    preview_html: Option<PathBuf>,
    /// Trace photographs too
    #[arg(long)]
    force: bool,
    /// Replace files that imgidx did not make
    #[arg(long)]
    overwrite: bool,
    /// Number of processors to use [default: all]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Memory limit for the whole process, such as 300M [default: 512M]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
}

/// [`Tier`] as a command-line argument.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum TierArg {
    Fast,
    Balanced,
    Quality,
}

impl From<TierArg> for Tier {
    fn from(tier: TierArg) -> Self {
        match tier {
            TierArg::Fast => Self::Fast,
            TierArg::Balanced => Self::Balanced,
            TierArg::Quality => Self::Quality,
        }
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err(format!("`{text}` is not a number of seconds from 0 to 86400")),
    }
}

impl Args {
    fn options(&self, cancel: CancelToken) -> TraceOptions {
        TraceOptions {
            time: Duration::from_secs_f64(self.time_limit),
            photos: self.force,
            threads: self.threads,
            memory: self.memory,
            pixels: self.preview_html.is_some(),
            cancel,
            ..TraceOptions::of(self.tier.into())
        }
    }

    /// Whether the arguments name a single picture.
    fn is_single(&self) -> bool {
        matches!(self.paths.as_slice(), [one] if !one.is_dir())
    }
}

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    let cancel = CancelToken::default();
    cancel_on_interrupt(&cancel);
    share_freed_memory();
    let options = args.options(cancel);
    let index = global.options(None).open(global.database()?)?;
    if args.predict { predict(global, &args, &index, &options) } else { trace(global, &args, &index, &options) }
}

/// Where SVGs are written.
enum Destination {
    Output,
    File(PathBuf),
    Folder(PathBuf),
}

impl Destination {
    fn of(args: &Args) -> Result<Self, Failure> {
        let usage = |text: &str| Err(Failure::Usage(text.into()));
        match (&args.out, args.is_single()) {
            (None, true) => Ok(Self::Folder(PathBuf::new())),
            (None, false) => usage("several pictures need -o DIR, a directory for their SVGs"),
            (Some(out), true) if out.as_os_str() == "-" => Ok(Self::Output),
            (Some(out), false) if out.as_os_str() == "-" => usage("only one SVG can be written to standard output"),
            (Some(out), false) if out.exists() && !out.is_dir() => {
                Err(Failure::Usage(format!("`{}` is not a directory, and there may be several SVGs", out.display())))
            }
            (Some(out), true) if !out.is_dir() && !out.as_os_str().as_encoded_bytes().ends_with(b"/") => {
                Ok(Self::File(out.clone()))
            }
            (Some(out), _) => Ok(Self::Folder(out.clone())),
        }
    }

    fn path(&self, target: &Path) -> Option<PathBuf> {
        match self {
            Self::Output => None,
            Self::File(file) => Some(file.clone()),
            Self::Folder(folder) => Some(folder.join(target)),
        }
    }
}

/// Restores the order of items that arrive out of order.
struct InOrder<T> {
    next: usize,
    waiting: BTreeMap<usize, T>,
}

impl<T> InOrder<T> {
    fn new() -> Self {
        Self { next: 0, waiting: BTreeMap::new() }
    }

    /// Adds an item, and returns the items that are next in order and present.
    fn push(&mut self, index: usize, item: T) -> Vec<T> {
        self.waiting.insert(index, item);
        let mut ready = Vec::new();
        while let Some(item) = self.waiting.remove(&self.next) {
            self.next += 1;
            ready.push(item);
        }
        ready
    }

    /// The items that are left when no more arrive.
    fn rest(self) -> impl Iterator<Item = T> {
        self.waiting.into_values()
    }
}

fn trace(global: &Global, args: &Args, index: &Index, options: &TraceOptions) -> Result<Done, Failure> {
    let destination = Destination::of(args)?;
    let sheet = args.preview_html.as_deref().map(|file| TraceSheet::create(file, args.overwrite)).transpose()?;
    let bar = CountBar::new(global.quiet);
    let mut output = TraceOutput {
        global,
        args,
        destination: &destination,
        out: Out::new(),
        sheet,
        traces: Vec::new(),
        failures: Vec::new(),
        failed: 0,
    };
    let (mut order, mut failure) = (InOrder::new(), None);
    let result = index.trace(&args.paths, options, |step| {
        bar.advance(step.of, String::new());
        let written = bar.above(|| order.push(step.index, step).into_iter().try_for_each(|step| output.take(step)));
        // An error in writing must end the run, and the callback can only do that with an error of the library.
        written.map_err(|error| {
            failure = Some(error);
            Error::Interrupted
        })
    });
    bar.finish();
    if let Some(failure) = failure {
        return Err(failure);
    }
    let report = result?;
    order.rest().try_for_each(|step| output.take(step))?;
    output.finish(&report)
}

/// Writes SVGs and results.
struct TraceOutput<'a> {
    global: &'a Global,
    args: &'a Args,
    destination: &'a Destination,
    out: Out,
    sheet: Option<TraceSheet>,
    traces: Vec<documents::Trace>,
    /// With `--json`: the pictures that could not be traced or written.
    failures: Vec<NotTraced>,
    failed: u64,
}

impl TraceOutput<'_> {
    /// Writes the SVG of a traced picture and its result.
    fn take(&mut self, step: TraceStep<Traced>) -> Result<(), Failure> {
        let TraceStep { path, target, result, .. } = step;
        let file = self.destination.path(&target);
        let written = match result {
            None => return Ok(()),
            Some(Ok(traced)) => match &file {
                Some(file) => write_svg(file, &traced.svg, self.args.overwrite).map(|()| traced),
                None => Ok(traced),
            },
            Some(Err(error)) => Err(error),
        };
        match written {
            Ok(traced) => self.add(&path, file.as_deref(), &traced),
            Err(error) if self.args.is_single() => Err(error.into()),
            Err(error) => {
                self.failed += 1;
                match self.global.json {
                    true => self.failures.push(NotTraced::new(&path, error)),
                    false => self.global.style().error(&Failure::Error(error)),
                }
                Ok(())
            }
        }
    }

    fn add(&mut self, path: &Path, file: Option<&Path>, traced: &Traced) -> Result<(), Failure> {
        if let Some(sheet) = &mut self.sheet {
            sheet.add(path, traced)?;
        }
        if self.global.json {
            self.traces.push(documents::Trace::new(path, file, traced));
        } else if let Some(file) = file {
            self.out.path(&format!("{}  ", line(traced)), file, '\n')?;
            self.out.flush()?;
        } else {
            std::io::stdout().write_all(traced.svg.as_bytes())?;
        }
        Ok(())
    }

    fn finish(mut self, report: &TraceReport) -> Result<Done, Failure> {
        if let Some(sheet) = self.sheet {
            sheet.finish()?;
            self.global.note(&format!(
                "wrote `{}`",
                self.args.preview_html.as_ref().expect("there is a sheet only with --preview-html").display()
            ));
        }
        if self.global.json {
            self.out.document(Traces::new(self.traces, self.failures, report))?;
        }
        self.out.finish()?;
        if !self.args.is_single() {
            note_report(self.global, report, self.failed, "traced");
        }
        if report.interrupted {
            return Err(Error::Interrupted.into());
        }
        Ok(if self.failed == 0 { Done::All } else { Done::SomeFailed })
    }
}

/// Notes how a run over several pictures went.
fn note_report(global: &Global, report: &TraceReport, failed: u64, what: &str) {
    if report.photos > 0 {
        let photos = count(report.photos, "photograph");
        global.note(&format!("{photos} left out: only drawings are traced; --force traces photographs too"));
    }
    let known = if report.stored > 0 { format!(", {} of them known already", report.stored) } else { String::new() };
    let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    let pictures = count(report.traced, "picture");
    global.note(&format!("{pictures} {what}{known}{failed} in {:.2} s", report.seconds));
}

/// Size in bytes up to which an existing SVG is examined. imgidx writes no larger ones.
const MAX_SVG_BYTES: u64 = 32 << 20;

/// Writes an SVG, completely or not at all. Replaces an existing file if imgidx made it and it is unchanged, or if
/// `overwrite` is set; never replaces a picture.
fn write_svg(file: &Path, svg: &str, overwrite: bool) -> Result<()> {
    // Write to a device or a pipe, without reading or replacing it.
    if file.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        let mut special = File::options().write(true).open(file).map_err(Error::io("write to", file))?;
        return special.write_all(svg.as_bytes()).map_err(Error::io("write to", file));
    }
    if !overwrite {
        let is_large = file.metadata().is_ok_and(|metadata| metadata.len() > MAX_SVG_BYTES);
        let existing = beginning(file, if is_large { 1 } else { MAX_SVG_BYTES })?;
        if !existing.is_empty() && !is_unchanged_trace(&existing) {
            return Err(Error::Exists { path: file.to_owned() });
        }
    }
    refuse_raster_picture(file)?;
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(Error::io("create the directory", folder))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".imgidx-").suffix(".svg");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut scratch = builder.tempfile_in(folder).map_err(Error::io("write to", folder))?;
    scratch.write_all(svg.as_bytes()).map_err(Error::io("write", file))?;
    scratch.persist(file).map_err(|error| Error::io("write", file)(error.error)).map(|_| ())
}

fn line(traced: &Traced) -> String {
    let (quality, bytes) = (traced.quality, human_bytes(traced.svg.len() as u64));
    let time = if traced.stored { "known".to_owned() } else { format!("{:.2} s", traced.time.as_secs_f64()) };
    let shapes = count(traced.shapes.into(), "shape");
    format!(
        "{:.1}  SSIMULACRA2 {:.1}  SSIM {:.3}  {bytes}  {shapes}  {time}",
        traced.score, quality.ssimulacra2, quality.ssim
    )
}

fn predict(global: &Global, args: &Args, index: &Index, options: &TraceOptions) -> Result<Done, Failure> {
    let bar = CountBar::new(global.quiet);
    let (mut order, mut steps) = (InOrder::new(), Vec::new());
    let report = index.estimate_traces(&args.paths, options, |step| {
        bar.advance(step.of, String::new());
        steps.extend(order.push(step.index, step));
        Ok(())
    });
    bar.finish();
    let report = report?;
    steps.extend(order.rest());
    let (mut out, mut estimates, mut failed) = (Out::new(), Vec::new(), Vec::new());
    for TraceStep { path, result, .. } in steps {
        match result {
            None => {}
            Some(Ok(estimate)) if global.json => estimates.push(EstimatedTrace::new(&path, &estimate)),
            Some(Ok(estimate)) => out.path(&format!("{}  ", estimate_line(&estimate)), &path, '\n')?,
            Some(Err(error)) if args.is_single() => return Err(error.into()),
            Some(Err(error)) if global.json => failed.push(NotTraced::new(&path, error)),
            Some(Err(error)) => global.style().error(&Failure::Error(error)),
        }
    }
    if global.json {
        out.document(Estimates { estimates, failed })?;
    }
    out.finish()?;
    if !args.is_single() {
        note_report(global, &report, report.failed, "estimated");
    }
    if report.interrupted {
        return Err(Error::Interrupted.into());
    }
    Ok(if report.failed == 0 { Done::All } else { Done::SomeFailed })
}

fn estimate_line(picture: &TraceEstimate) -> String {
    let estimate = picture.estimate;
    let learned = match estimate.lessons {
        0 => "from built-in logos".to_owned(),
        lessons => format!("from {}", count(lessons as u64, "trace")),
    };
    let known =
        picture.known.map_or_else(String::new, |(score, tier)| format!("  (traced: {score:.1}, {})", tier.as_str()));
    format!("estimated {:.0} ± {:.0} {learned}{known}", estimate.score, estimate.error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use imgidx::vector::{Parameters, Source};

    #[test]
    fn items_that_arrive_out_of_order_are_put_in_order() {
        let mut order = InOrder::new();
        assert_eq!(order.push(1, 'b'), []);
        assert_eq!(order.push(3, 'd'), []);
        assert_eq!(order.push(0, 'a'), ['a', 'b']);
        assert_eq!(order.push(4, 'e'), []);
        assert_eq!(order.rest().collect::<Vec<_>>(), ['d', 'e']);
    }

    #[test]
    fn only_unchanged_files_of_this_command_are_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("new/a.svg");
        let source = Source::new(image::RgbImage::new(8, 8), None, (8, 8));
        let ours = source.trace(&Parameters::DEFAULT, &|| false).expect("a drawing").svg;
        let changed = ours.replace("<path", "<path id=\"a\"");
        write_svg(&file, &ours, false).expect("there is no file yet");
        write_svg(&file, &ours, false).expect("it is ours");
        for other in ["<svg>somebody's</svg>", &changed] {
            std::fs::write(&file, other).expect("a file");
            assert!(matches!(write_svg(&file, &ours, false), Err(Error::Exists { .. })));
            assert_eq!(std::fs::read_to_string(&file).expect("it is there"), other);
        }
        write_svg(&file, &ours, true).expect("it was asked for");
        assert_eq!(std::fs::read_to_string(&file).expect("it is there"), ours);
        assert_eq!(std::fs::read_dir(dir.path().join("new")).expect("a folder").count(), 1);
    }
}
