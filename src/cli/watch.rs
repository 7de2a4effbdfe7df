//! `imgidx watch`

use std::path::PathBuf;
use std::time::{Duration, Instant};

use imgidx::watch::{Control, WatchEvent, WatchOptions, Watcher};
use imgidx::{IndexReport, Result};
use serde_json::{Value, json};

use super::Global;
use super::log::{Level, Log, path};
use super::output::{Done, Failure};
use super::work::{ScanArgs, WorkArgs};

const EXAMPLES: &str = examples![
    "Keep everything in the index up to date" => "imgidx watch",
    "Watch one directory, and scan it every 30 minutes" => "imgidx watch --rescan-every 30m ~/Pictures",
    "Log as JSON to a file" => "imgidx watch --json 2>> watch.log",
];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Directories and files to watch [default: all in the index]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    scan: ScanArgs,
    #[command(flatten)]
    work: WorkArgs,
    /// Time between full scans, such as 30m or 2h, which find what the system did not report
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "1h")]
    rescan_every: Duration,
    /// Time between scans of network drives and other places that the system cannot watch
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "60s")]
    poll_every: Duration,
    /// Scan everything every --poll-every, instead of relying on events from the system
    #[arg(long)]
    poll: bool,
    /// Time to keep the model in memory after the last picture
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "60s")]
    keep_model: Duration,
}

/// Minimum time between scans. Less would only keep the machine busy.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

impl Args {
    fn options(&self) -> Result<WatchOptions, Failure> {
        let scan = self.scan.options();
        scan.check().map_err(|error| Failure::Usage(error.to_string()))?;
        if self.rescan_every < MIN_INTERVAL || self.poll_every < MIN_INTERVAL {
            return Err(Failure::Usage("--rescan-every and --poll-every must be at least 100ms".into()));
        }
        Ok(WatchOptions {
            add: self.work.options(),
            scan: (scan != imgidx::scan::ScanOptions::default()).then_some(scan),
            reconcile: self.rescan_every,
            poll: self.poll_every,
            look: WatchOptions::default().look.min(self.poll_every),
            poll_all: self.poll,
            keep_model: self.keep_model,
            ..WatchOptions::default()
        })
    }
}

/// Parses a duration: `90s`, `30m`, `1h 30m`.
fn parse_time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| format!("`{text}` is not a time such as 90s, 30m or 2h"))
}

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    let options = args.options()?;
    let log = Log::new(global.json, global.quiet, global.verbose);
    let opened = global.options(None).notice(move |text| log.write(Level::Info, "notice", &[("text", json!(text))]));
    // Without directories the index must exist: an empty one in place of a missing drive would hide that.
    let database = global.database()?;
    let index = match args.paths.as_slice() {
        [] => opened.open_existing(database)?,
        paths => opened.open_for(database, paths)?,
    };
    let (database, searcher, keep_model) = (index.path().to_owned(), index.searcher().clone(), options.keep_model);
    let watcher = Watcher::new(index, &args.paths, options)?;
    let control = watcher.control();
    stop_on_signals(&control, log)?;
    #[cfg(unix)]
    let mut server = Some(imgidx::daemon::Server::start(&searcher, keep_model, control)?);
    log.write(Level::Info, "started", &[("pid", json!(std::process::id())), ("database", path(&database))]);
    let mut manager = ServiceManager::new();
    watcher.run(|event| {
        log_event(log, event);
        manager.notify(event);
        #[cfg(unix)]
        match event {
            WatchEvent::Ready { .. } => server.iter().for_each(imgidx::daemon::Server::warm_up),
            // Close the socket while the watcher's lock is held, so that it cannot be the socket of the next watcher.
            WatchEvent::Stopped => server = None,
            _ => {}
        }
    })?;
    Ok(Done::All)
}

/// SIGTERM and SIGINT end the watcher, and a second one ends the process; SIGHUP makes it read its roots and scan them.
#[cfg(unix)]
fn stop_on_signals(control: &Control, log: Log) -> Result<(), Failure> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let control = control.clone();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut again = false;
        for signal in signals.forever() {
            if signal == SIGHUP {
                log.write(Level::Info, "reloading", &[]);
                control.reload();
            } else if std::mem::replace(&mut again, true) {
                // Committed work is safe.
                std::process::exit(130);
            } else {
                log.write(Level::Info, "stopping", &[]);
                control.stop();
            }
        }
    })?;
    Ok(())
}

#[cfg(not(unix))]
fn stop_on_signals(control: &Control, log: Log) -> Result<(), Failure> {
    let control = control.clone();
    let stop = move || {
        log.write(Level::Info, "stopping", &[]);
        control.stop();
    };
    // If there can be no handler, an interrupt ends the process at once. Committed work is safe.
    let _ = ctrlc::set_handler(stop);
    Ok(())
}

fn log_event(log: Log, event: &WatchEvent) {
    let (level, name, fields) = match event {
        WatchEvent::Ready { roots, folders } => {
            (Level::Info, "watching", vec![("roots", json!(roots)), ("folders", json!(folders))])
        }
        WatchEvent::Updated(report) => (Level::Info, "updated", counts(report)),
        WatchEvent::Offline(root) => (Level::Warning, "offline", vec![("root", path(root))]),
        WatchEvent::Online(root) => (Level::Info, "online", vec![("root", path(root))]),
        WatchEvent::Vanished(vanished) => (
            Level::Warning,
            "vanished",
            vec![
                ("root", path(&vanished.root)),
                ("files", json!(vanished.files)),
                ("of", json!(vanished.of)),
                ("hint", json!("they stay in the index; if they are really gone, run `imgidx prune`")),
            ],
        ),
        WatchEvent::Lost(root) => (Level::Warning, "events-lost", vec![("root", path(root))]),
        WatchEvent::Degraded(why) => (Level::Warning, "degraded", vec![("why", json!(why))]),
        WatchEvent::Recovered => (Level::Info, "recovered", vec![]),
        WatchEvent::Failed(reason) => (Level::Warning, "failed", vec![("reason", json!(reason))]),
        WatchEvent::Model(name) => (Level::Info, "model", vec![("name", json!(name))]),
        WatchEvent::Unloaded => (Level::Debug, "model-unloaded", vec![]),
        WatchEvent::Stopped => (Level::Info, "stopped", vec![]),
        WatchEvent::Progress(_) | WatchEvent::Alive => return,
    };
    log.write(level, name, &fields);
}

/// The counts of a report that are not zero, and its duration.
fn counts(report: &IndexReport) -> Vec<(&'static str, Value)> {
    let counts = [
        ("new", report.new),
        ("changed", report.changed),
        ("moved", report.moved),
        ("missing", report.missing),
        ("failed", report.failed),
        ("embedded", report.embedded),
    ];
    let some = counts.into_iter().filter(|(_, number)| *number > 0).map(|(name, number)| (name, json!(number)));
    some.chain([("seconds", json!((report.seconds * 1000.0).round() / 1000.0))]).collect()
}

/// Notifies systemd, if it started this process, of readiness, of the current state and that the process is alive; see
/// sd_notify(3).
struct ServiceManager {
    progress: (imgidx::Progress, Instant),
}

/// Work without progress for this long counts as hanging. systemd then gets no keep-alive, and restarts the process.
const STUCK_TIMEOUT: Duration = Duration::from_secs(600);

impl ServiceManager {
    fn new() -> Self {
        Self { progress: (imgidx::Progress::default(), Instant::now()) }
    }

    #[cfg(not(unix))]
    fn notify(&mut self, _: &WatchEvent) {
        let _ = (self.progress, STUCK_TIMEOUT);
    }

    #[cfg(unix)]
    fn notify(&mut self, event: &WatchEvent) {
        use sd_notify::NotifyState;
        let status = |text: &str| drop(sd_notify::notify(&[NotifyState::Status(text), NotifyState::Watchdog]));
        match event {
            WatchEvent::Ready { .. } => {
                let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status("scanning")]);
            }
            WatchEvent::Progress(progress) => {
                if *progress != self.progress.0 {
                    self.progress = (*progress, Instant::now());
                }
                if self.progress.1.elapsed() < STUCK_TIMEOUT {
                    status(&format!("{} of {} files", progress.done, progress.found));
                }
            }
            WatchEvent::Stopped => drop(sd_notify::notify(&[NotifyState::Stopping])),
            WatchEvent::Degraded(why) => status(&format!("degraded: {why}")),
            _ => status("watching"),
        }
    }
}
