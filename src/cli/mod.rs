//! The command line: one file for each command, each with its arguments, what it runs and how it prints.

mod add;
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
mod export;
mod failures;
mod filters;
mod hits;
mod list;
mod log;
mod model;
mod output;
mod plot;
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
use imgidx::types::{Lab, give_back_large_pieces};
use imgidx::{Error, Index, OpenOptions, Result};

use color::ColorOption;
use output::{Done, Failure, Style};

/// How often it is looked whether another process still writes, beside the time that opening waits itself.
const RETRY: Duration = Duration::from_millis(100);

/// Finds any picture on your disk by what it looks like.
#[derive(Debug, Parser)]
#[command(name = "imgidx", version, about, max_term_width = 100)]
struct Cli {
    #[command(flatten, next_help_heading = "Options of all commands")]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands.
#[derive(Debug, Args)]
struct Global {
    /// The index [default: imgidx.db in the user's data directory]
    #[arg(long, global = true, value_name = "PATH", env = "IMGIDX_DB", hide_env_values = true)]
    db: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// Print only results and errors
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Print more
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Colour messages: auto, always or never. Where pictures are listed, also a colour that they must have, such as '#c00'
    /// or red
    #[arg(long, global = true, value_name = "WHEN|COLOR", value_parser = color::parse)]
    color: Vec<ColorOption>,
    /// Never fetch anything
    #[arg(long, global = true, env = "IMGIDX_OFFLINE", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new())]
    offline: bool,
    /// Do everything in this process, and do not ask the daemon
    #[arg(long, global = true)]
    direct: bool,
    /// The library of ONNX Runtime to use
    #[arg(long, global = true, value_name = "PATH", env = "ORT_DYLIB_PATH", hide_env_values = true)]
    runtime: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Index files and directories; only what is new or changed is read
    Add(add::Args),
    /// Find the pictures that are most like a given one
    Similar(similar::Args),
    /// Find pictures by what is in them, by words in their paths, type, colour, size or date
    Search(search::Args),
    /// Make clean SVGs of logos and other drawings
    Trace(trace::Args),
    /// Find copies: the same bytes, near copies and look-alikes; nothing is ever deleted
    Dupes(dupes::Args),
    /// Keep the index current with its directories, until it is interrupted
    Watch(watch::Args),
    /// Install, start, stop and ask the daemon, which is `watch` in the background
    #[cfg(unix)]
    #[command(subcommand)]
    Daemon(daemon::Command),
    /// Show all that is known of a picture, indexed or not
    Show(show::Args),
    /// Show what is indexed, from where, and in what state
    Status,
    /// List the indexed files
    List(list::Args),
    /// List the files that could not be indexed, and why
    Failures(failures::Args),
    /// Remove the rows of missing files from the index
    Prune(prune::PruneArgs),
    /// Remove a directory from the index
    Forget(prune::ForgetArgs),
    /// Write the index for other programs
    Export(export::Args),
    /// Look for damage in the index
    Check(check::Args),
    /// Copy the index to a file, also while it is in use
    Backup(backup::Args),
    /// List, add, choose and remove models
    #[command(subcommand)]
    Model(model::Command),
    /// Show which ONNX Runtime is used, and why
    Runtime(runtime::Args),
    /// Find the fastest number of workers and size of batches for this machine, and remember them
    Tune(tune::Args),
    /// Decode pictures for another process
    #[cfg(unix)]
    #[command(hide = true)]
    Decoder,
    /// Print completions for a shell
    Completions(completions::Args),
    /// Print the manual page
    Man(completions::ManArgs),
}

impl Command {
    /// Whether it has options that say which pictures are wanted.
    fn lists_pictures(&self) -> bool {
        matches!(self, Self::Similar(_) | Self::Search(_) | Self::List(_) | Self::Dupes(_))
    }
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    prepare_process();
    // What tests ask for; in other builds there are no such points.
    let _points = fail::FailScenario::setup();
    quiet_decoder_panics();
    give_back_large_pieces();
    let (style, ended) = run_when_free();
    match ended {
        Ok(Done::All) => ExitCode::SUCCESS,
        Ok(Done::SomeFailed) => ExitCode::from(3),
        // Whoever read our output has enough of it.
        Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Err(failure) => {
            style.error(&failure);
            ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 1 })
        }
    }
}

/// Runs the command; where another process is writing to the index, as soon as that is done.
fn run_when_free() -> (Style, Result<Done, Failure>) {
    let mut told = false;
    loop {
        // What a command takes from its arguments it takes anew.
        let cli = Cli::parse();
        let (style, quiet) = (cli.global.style(), cli.global.quiet);
        match cli.run() {
            Err(Failure::Error(error @ Error::Locked { holder: Some(_), .. })) if !add::is_interrupted() => {
                if !told && !quiet {
                    style.note(&format!("{error}; waiting until that is done"));
                }
                told = true;
                std::thread::sleep(RETRY);
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
        if global.picture_colors().next().is_some() && !command.lists_pictures() {
            return Err(Failure::Usage("--color takes auto, always or never: this command lists no pictures".into()));
        }
        match command {
            Command::Add(args) => add::run(&global, args),
            Command::Similar(args) => similar::run(&global, args),
            Command::Search(args) => search::run(&global, args),
            Command::Trace(args) => trace::run(&global, args),
            Command::Dupes(args) => dupes::run(&global, args),
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
        let when = self.color.iter().rev().find_map(|option| match option {
            ColorOption::Messages(when) => Some(*when),
            ColorOption::Pictures(_) => None,
        });
        Style::new(when.unwrap_or_default())
    }

    /// The colours that pictures must have.
    fn picture_colors(&self) -> impl Iterator<Item = Lab> {
        self.color.iter().filter_map(|option| match option {
            ColorOption::Messages(_) => None,
            ColorOption::Pictures(color) => Some(*color),
        })
    }

    /// Says something beside the results, unless it is not wanted.
    fn note(&self, text: &str) {
        if !self.quiet {
            self.style().note(text);
        }
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
        let (quiet, style) = (self.quiet, self.style());
        options.notice(move |text| {
            if !quiet {
                style.note(text);
            }
        })
    }

    /// Opens the index, which has to be there.
    fn open_existing(&self, model: Option<&str>) -> Result<Index> {
        self.options(model).open_existing(self.database()?)
    }
}

/// What the whole process needs, before it has threads.
fn prepare_process() {
    // ONNX Runtime 1.31 notes and sends what it runs on, unless it is told not to before it starts.
    // SAFETY: no other thread is there that could read the environment.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
    // Beyond a limit on the size of files writing is to fail, as on a full disk, and not to end the process.
    #[cfg(unix)]
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, std::sync::Arc::default());
}

/// This program, to be started once more: on Linux as it runs, also if another version has taken its place meanwhile.
fn this_program() -> Option<PathBuf> {
    if cfg!(target_os = "linux") { Some("/proc/self/exe".into()) } else { std::env::current_exe().ok() }
}

/// A panic inside a picture decoder is caught and becomes a failure of that picture: nothing to print.
fn quiet_decoder_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !imgidx::types::is_panic_caught() {
            print(info);
        }
    }));
}

/// Reads a number of bytes: `800M`, `2G`, `1.5GiB`, `1048576`.
fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(format!("`{unit}` is no unit of memory; K, M and G are")),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{text}` is no size, such as 800M or 2G"))?;
    let bytes = number * f64::from(1_u32 << shift);
    if !(1.0..=1e15).contains(&bytes) {
        return Err(format!("{text} is not between 1 byte and 1 PB"));
    }
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("512"), Ok(512));
        assert_eq!(parse_size("1.5K"), Ok(1536));
        assert_eq!(parse_size("2GiB"), Ok(2 << 30));
        for bad in ["", "G", "-1G", "5 parsecs", "0"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
