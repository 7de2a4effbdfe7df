//! The command line: one file per command, with its arguments, what it runs and how it prints.

/// The end of a command's help: examples, each with a description and a command line, and the exit statuses.
///
/// The headings have the style of clap's own; clap removes it where there are no colours.
macro_rules! examples {
    ($($what:literal => $line:literal),+ $(,)?) => {
        concat!(
            "\x1b[1m\x1b[4mExamples:\x1b[0m",
            $("\n  ", $what, ":\n    ", $line,)+
            "\n\n\x1b[1m\x1b[4mExit status:\x1b[0m",
            "\n  0  Done, even if nothing was found",
            "\n  1  Failed or interrupted",
            "\n  2  Wrong usage",
            "\n  3  Done, but some files failed",
        )
    };
}

mod add;
mod arguments;
mod ask;
mod backup;
mod check;
mod color;
mod completions;
#[cfg(unix)]
mod daemon;
#[cfg(unix)]
mod decoder;
mod dupes;
mod dupes_act;
mod export;
mod failures;
mod filters;
mod hits;
mod list;
mod log;
mod model;
mod output;
mod output_file;
mod profile;
mod progress;
mod prune;
mod runtime;
mod search;
#[cfg(unix)]
mod service;
mod sheet;
mod show;
mod similar;
mod status;
mod trace;
mod trace_sheet;
mod tune;
mod watch;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use imgidx::index::default_data_dir;
use imgidx::types::give_back_large_pieces;
use imgidx::{Error, Index, OpenOptions, Result, Searcher};
use serde::Serialize;
use tempfile::TempDir;

use arguments::{number_in, one_of, one_of_or, parse_pixels, parse_size, parse_top, sheet_file};
use color::When;
use output::{Done, Failure, Out, Style};

/// Pause between two attempts to open an index that another process writes to. Opening waits some time by itself.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

const AFTER_HELP: &str = examples![
    "Index a directory" => "imgidx add ~/Pictures",
    "Find the pictures most like a photo" => "imgidx similar photo.jpg",
    "Find pictures of dogs" => "imgidx search dog",
];

const STATUS_EXAMPLES: &str = examples![
    "Show what is indexed" => "imgidx status",
    "Show an index on another drive" => "imgidx --db /media/drive/pictures.db status",
    "Show the last 20 runs too" => "imgidx status --json",
];

/// Find any picture on your disk by what it looks like
#[derive(Debug, Parser)]
#[command(name = "imgidx", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(flatten, next_help_heading = "Global options")]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command accepts.
#[derive(Debug, Clone, Args)]
struct Global {
    /// Index file [default: imgidx.db in the user's data directory]
    #[arg(long, global = true, value_name = "PATH", env = "IMGIDX_DB", hide_env_values = true)]
    db: Option<PathBuf>,
    /// Print output as JSON
    #[arg(long, global = true)]
    json: bool,
    /// Print only results and errors
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Print more details
    #[arg(short, long, global = true)]
    verbose: bool,
    /// When to colour messages
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        ignore_case = true,
        default_value_t,
        hide_possible_values = false
    )]
    color: When,
    /// Disable network access
    #[arg(long, global = true, env = "IMGIDX_OFFLINE", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new())]
    offline: bool,
    /// Do all the work in this process, without the daemon
    #[arg(long, global = true)]
    direct: bool,
    /// ONNX Runtime library to use
    #[arg(long, global = true, value_name = "PATH", env = "ORT_DYLIB_PATH", hide_env_values = true)]
    runtime: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Index files and directories, reading only what is new or changed
    Add(add::Args),
    /// Find the pictures most like a given one
    Similar(similar::Args),
    /// Find pictures by content, path, type, colour, size or date
    Search(search::Args),
    /// Convert logos and other drawings to clean SVGs
    Trace(trace::Args),
    /// Find identical files, near copies and look-alikes
    Dupes(Box<dupes::Args>),
    /// Keep the index up to date with its directories until interrupted
    Watch(watch::Args),
    /// Install and control the daemon, which runs `watch` in the background
    #[cfg(unix)]
    #[command(subcommand)]
    Daemon(daemon::Command),
    /// Show everything known about a picture, indexed or not
    Show(show::Args),
    /// Show what is indexed, from where, and in what state
    #[command(after_help = STATUS_EXAMPLES)]
    Status,
    /// List indexed files
    List(list::Args),
    /// List files that could not be indexed or were skipped, and why
    Failures(failures::Args),
    /// Remove missing files from the index, and excluded ones if asked
    Prune(prune::PruneArgs),
    /// Remove a directory or file from the index, and leave it out from then on
    Forget(prune::ForgetArgs),
    /// Export the index for other programs
    Export(export::Args),
    /// Check the index for damage
    Check(check::Args),
    /// Copy the index to a file, even while it is in use
    Backup(backup::Args),
    /// List, add, select and remove models
    #[command(subcommand)]
    Model(model::Command),
    /// Show which ONNX Runtime is used, and why
    Runtime(runtime::Args),
    /// Find the fastest settings for this machine and remember them
    Tune(tune::Args),
    /// Decode pictures for another process
    #[cfg(unix)]
    #[command(hide = true)]
    Decoder,
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page
    Man(completions::ManArgs),
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    prepare_process();
    // Tests set fail points through the environment; other builds have none.
    let _points = fail::FailScenario::setup();
    quiet_decoder_panics();
    give_back_large_pieces();
    let (style, ended) = run_when_free();
    match ended {
        Ok(Done::All) => ExitCode::SUCCESS,
        Ok(Done::SomeFailed) => ExitCode::from(3),
        Err(failure) => {
            if !matches!(failure, Failure::ClosedPipe) {
                style.error(&failure);
            }
            ExitCode::from(failure.exit_status())
        }
    }
}

/// Runs the command. While another process writes to the index, waits and tries again.
fn run_when_free() -> (Style, Result<Done, Failure>) {
    let mut is_announced = false;
    loop {
        // Each attempt consumes its arguments, so parse them again.
        let cli = arguments::parse();
        let (style, quiet) = (cli.global.style(), cli.global.quiet);
        match cli.run() {
            Err(Failure::Error(error @ Error::Locked { holder: Some(_), .. })) if !add::is_interrupted() => {
                if !is_announced && !quiet {
                    style.note(&format!("{error}; waiting for it to finish"));
                }
                is_announced = true;
                std::thread::sleep(RETRY_INTERVAL);
            }
            Err(Failure::Error(Error::Locked { holder: Some(_), .. })) => {
                return (style, Err(Error::Interrupted.into()));
            }
            ended => return (style, ended),
        }
    }
}

impl Cli {
    fn run(self) -> Result<Done, Failure> {
        let Self { global, command } = self;
        match command {
            Command::Add(args) => add::run(&global, args),
            Command::Similar(args) => similar::run(&global, args),
            Command::Search(args) => search::run(&global, args),
            Command::Trace(args) => trace::run(&global, args),
            Command::Dupes(args) => dupes::run(&global, *args),
            Command::Watch(args) => watch::run(&global, args),
            #[cfg(unix)]
            Command::Daemon(command) => daemon::run(&global, command),
            Command::Show(args) => show::run(&global, args),
            Command::Status => status::run(&global),
            Command::List(args) => list::run(&global, args),
            Command::Failures(args) => failures::run(&global, args),
            Command::Prune(args) => prune::run(&global, args),
            Command::Forget(args) => prune::run_forget(&global, args),
            Command::Export(args) => export::run(&global, args),
            Command::Check(args) => check::run(&global, args),
            Command::Backup(args) => backup::run(&global, args),
            Command::Model(command) => model::run(&global, command),
            Command::Runtime(args) => runtime::run(&global, args),
            Command::Tune(args) => tune::run(&global, args),
            #[cfg(unix)]
            Command::Decoder => decoder::run(),
            Command::Completions(args) => completions::run(args, &mut Self::command()),
            Command::Man(args) => completions::run_man(args, Self::command()),
        }
    }
}

impl Global {
    fn style(&self) -> Style {
        Style::new(self.color, self.json)
    }

    /// Prints a note on standard error, unless `--quiet` is given.
    fn note(&self, text: &str) {
        if !self.quiet {
            self.style().note(text);
        }
    }

    /// Prints a hint on standard error, unless `--quiet` is given.
    fn hint(&self, text: &str) {
        if !self.quiet {
            self.style().hint(text);
        }
    }

    /// Prints a result: the document with `--json`, and otherwise the text.
    fn print<D: Serialize, E: Into<Failure>>(
        &self,
        document: impl FnOnce() -> D,
        text: impl FnOnce(&mut Out) -> Result<(), E>,
    ) -> Result<Done, Failure> {
        let mut out = Out::new();
        if self.json {
            out.document(document())?;
        } else {
            text(&mut out).map_err(Into::into)?;
        }
        out.finish()
    }

    fn database(&self) -> Result<PathBuf> {
        match &self.db {
            Some(path) => Ok(path.clone()),
            None => Ok(default_data_dir()?.join("imgidx.db")),
        }
    }

    fn options(&self, model: Option<&str>) -> OpenOptions {
        let mut options = OpenOptions::default().offline(self.offline);
        if let Some(program) = this_program() {
            options = options.decoder(program, ["decoder"]);
        }
        if let Some(library) = &self.runtime {
            options = options.runtime(library);
        }
        if let Some(model) = model {
            options = options.model(model);
        }
        let global = self.clone();
        options.notice(move |text| global.note(text))
    }

    /// Opens the index, which must exist.
    fn open_searcher(&self, model: Option<&str>) -> Result<Searcher> {
        self.options(model).open_searcher(self.database()?)
    }

    fn open_existing(&self, model: Option<&str>) -> Result<Index> {
        self.options(model).open_existing(self.database()?)
    }

    /// Opens an empty index in a temporary directory, for what can be done without the user's index.
    fn open_empty(&self, model: Option<&str>) -> Result<(TempDir, Index)> {
        let scratch = tempfile::tempdir().map_err(Error::io("create a directory in", std::env::temp_dir()))?;
        let index = self.options(model).open(scratch.path().join("empty.db"))?;
        Ok((scratch, index))
    }

    /// Opens the index, or an empty one if there is none.
    fn open_or_empty(&self, model: Option<&str>) -> Result<(Option<TempDir>, Index)> {
        match self.open_existing(model) {
            Err(Error::NoIndex { .. }) => self.open_empty(model).map(|(scratch, index)| (Some(scratch), index)),
            opened => Ok((None, opened?)),
        }
    }
}

/// Sets up the process, before it starts any thread.
fn prepare_process() {
    // ONNX Runtime 1.31 collects and sends data about its host, unless this is set before it is loaded.
    // SAFETY: no other thread exists that could read the environment.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
    // A write beyond the file size limit must fail, as on a full disk, and not end the process.
    #[cfg(unix)]
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, std::sync::Arc::default());
}

/// The path that starts this program again. On Linux it names the running version, even if its file was replaced.
fn this_program() -> Option<PathBuf> {
    if cfg!(target_os = "linux") { Some("/proc/self/exe".into()) } else { std::env::current_exe().ok() }
}

/// Prints nothing for panics inside picture decoders: they are caught and become failures of the picture.
fn quiet_decoder_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !imgidx::types::is_panic_caught() {
            print(info);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
