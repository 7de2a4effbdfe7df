//! `imgidx trace`

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use imgidx::documents::{self, EstimatedTrace, Estimates, NotTraced, Traces};
use imgidx::index::{TraceEstimate, TraceReport, TraceStep};
use imgidx::trace::{Tier, TraceOptions, Traced};
use imgidx::types::share_freed_memory;
use imgidx::vector::is_unchanged_trace;
use imgidx::{Error, Index, Result};

use super::add::cancel_on_interrupt;
use super::output::{Done, Failure, Out, count, human_bytes};
use super::output_file::{beginning, refuse_picture};
use super::progress::{OF_KNOWN_NUMBER, bar};
use super::trace_sheet::TraceSheet;
use super::work::MAX_COUNT;
use super::{Global, number_in, one_of, parse_size};

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
    #[arg(long, value_name = "TIER", default_value = "balanced", value_parser = one_of(Tier::ALL, Tier::as_str))]
    tier: Tier,
    /// Seconds for each picture, after which the best trace so far is used, or else a coarse one
    #[arg(long, value_name = "SECONDS", default_value_t = TraceOptions::TIME.as_secs_f64(), value_parser = number_in(0.0..=86_400.0), allow_negative_numbers = true)]
    time_limit: f64,
    /// Print the expected score of each trace, without tracing
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
    #[arg(long, value_name = "N", value_parser = number_in(NonZeroUsize::MIN..=MAX_COUNT))]
    threads: Option<NonZeroUsize>,
    /// Memory limit for the whole process, such as 300M [default: 512M]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
}

impl Args {
    fn options(&self) -> TraceOptions {
        TraceOptions {
            tier: self.tier,
            time: Duration::from_secs_f64(self.time_limit),
            photos: self.force,
            threads: self.threads,
            memory: self.memory,
            pixels: self.preview_html.is_some(),
            cancel: cancel_on_interrupt(),
            ..TraceOptions::default()
        }
    }

    /// Whether the arguments name a single picture.
    fn is_single(&self) -> bool {
        matches!(self.paths.as_slice(), [one] if !one.is_dir())
    }
}

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    share_freed_memory();
    let options = args.options();
    if args.predict {
        let (_scratch, index) = global.open_or_empty(None)?;
        return predict(global, &args, &index, &options);
    }
    let index = global.options(None).open_for(global.database()?, &args.paths)?;
    trace(global, &args, &index, &options)
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

fn trace(global: &Global, args: &Args, index: &Index, options: &TraceOptions) -> Result<Done, Failure> {
    let destination = Destination::of(args)?;
    let sheet = args.preview_html.as_deref().map(|file| TraceSheet::create(file, args.overwrite)).transpose()?;
    let bar = bar(global.quiet, OF_KNOWN_NUMBER);
    let mut output = TraceOutput {
        global,
        args,
        destination,
        waiting: BTreeMap::new(),
        next: 0,
        out: Out::new(),
        sheet,
        traces: Vec::new(),
        failures: Vec::new(),
        failed: 0,
        coarse: 0,
    };
    let mut failure = None;
    let result = index.trace(&args.paths, options, |step| {
        bar.set_length(step.of as u64);
        bar.inc(1);
        let written = bar.suspend(|| output.take_in_order(step));
        // An error in writing must end the run, and the callback can only do that with an error of the library.
        written.map_err(|error| {
            failure = Some(error);
            Error::Interrupted
        })
    });
    bar.finish_and_clear();
    if let Some(failure) = failure {
        return Err(failure);
    }
    output.finish(&result?)
}

/// Writes SVGs and results.
struct TraceOutput<'a> {
    global: &'a Global,
    args: &'a Args,
    destination: Destination,
    /// Pictures that were done before the one with the index `next`.
    waiting: BTreeMap<usize, TraceStep<Traced>>,
    next: usize,
    out: Out,
    sheet: Option<TraceSheet>,
    traces: Vec<documents::Trace>,
    /// With `--json`: the pictures that could not be traced or written.
    failures: Vec<NotTraced>,
    failed: u64,
    /// Number of pictures that were traced from a smaller copy.
    coarse: u64,
}

impl TraceOutput<'_> {
    /// Takes the pictures in the order of the request, as far as they are done.
    fn take_in_order(&mut self, step: TraceStep<Traced>) -> Result<(), Failure> {
        self.waiting.insert(step.index, step);
        while let Some(step) = self.waiting.remove(&self.next) {
            self.next += 1;
            self.take(step)?;
        }
        Ok(())
    }

    /// Writes the SVG of a traced picture and its result.
    fn take(&mut self, step: TraceStep<Traced>) -> Result<(), Failure> {
        let TraceStep { path, target, result, .. } = step;
        let Some(result) = result else { return Ok(()) };
        let file = self.destination.path(&target);
        let written = result.and_then(|traced| match &file {
            Some(file) => write_svg(file, &traced.svg, self.args.overwrite).map(|()| traced),
            None => Ok(traced),
        });
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
        self.coarse += u64::from(traced.coarse);
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
        // An interrupted run may have gaps.
        std::mem::take(&mut self.waiting).into_values().try_for_each(|step| self.take(step))?;
        if let (Some(sheet), Some(file)) = (self.sheet, &self.args.preview_html) {
            sheet.finish()?;
            self.global.note(&format!("wrote `{}`", file.display()));
        }
        if self.global.json {
            self.out.document(Traces::new(self.traces, self.failures, report))?;
        }
        self.out.finish()?;
        if self.coarse > 0 {
            let pictures = count(self.coarse, "picture");
            self.global.note(&format!("{pictures} traced coarsely, for lack of time; a longer --time-limit may help"));
        }
        if !self.args.is_single() {
            note_report(self.global, report, self.failed, "traced");
        }
        Done::of(report.interrupted, self.failed)
    }
}

/// Notes how a run over several pictures went.
fn note_report(global: &Global, report: &TraceReport, failed: u64, what: &str) {
    if report.photos > 0 {
        let photos = count(report.photos, "photograph");
        global.note(&format!("{photos} left out: only drawings are traced; --force traces photographs too"));
    }
    let known =
        if report.stored > 0 { format!(", {} of them in an earlier run", report.stored) } else { String::new() };
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
    // Pictures come first: the hint for other files is to overwrite them.
    refuse_picture(file, true)?;
    if !overwrite {
        let is_large = file.metadata().is_ok_and(|metadata| metadata.len() > MAX_SVG_BYTES);
        let existing = beginning(file, if is_large { 1 } else { MAX_SVG_BYTES })?;
        if !existing.is_empty() && !is_unchanged_trace(&existing) {
            return Err(Error::Exists { path: file.to_owned() });
        }
    }
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
    let bar = bar(global.quiet, OF_KNOWN_NUMBER);
    let mut steps = Vec::new();
    let report = index.estimate_traces(&args.paths, options, |step| {
        bar.set_length(step.of as u64);
        bar.inc(1);
        steps.push(step);
        Ok(())
    });
    bar.finish_and_clear();
    let report = report?;
    steps.sort_by_key(|step| step.index);
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
    Done::of(report.interrupted, report.failed)
}

fn estimate_line(picture: &TraceEstimate) -> String {
    let estimate = picture.estimate;
    let known =
        picture.known.map_or_else(String::new, |(score, tier)| format!("  (traced: {score:.1}, {})", tier.as_str()));
    format!("estimated {:.0} ± {:.0} from built-in logos{known}", estimate.score, estimate.error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use imgidx::vector::{Parameters, Source};

    #[test]
    fn only_unchanged_files_of_this_command_are_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("new/a.svg");
        let source = Source::new(image::RgbImage::new(8, 8), None, (8, 8));
        let ours = source.trace(&Parameters::DEFAULT, &imgidx::vector::Deadline::never()).expect("a drawing").svg;
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
