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

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directories and files to keep current [default: all that are in the index]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    scan: ScanArgs,
    #[command(flatten)]
    work: WorkArgs,
    /// Scan everything so often, such as 30m or 2h, to find what the system has not told
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "1h")]
    rescan_every: Duration,
    /// Scan network drives, and whatever else the system does not tell of, so often
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "60s")]
    poll_every: Duration,
    /// Do not rely on what the system tells anywhere
    #[arg(long)]
    poll: bool,
    /// How long the model stays in memory after the last picture
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "60s")]
    keep_model: Duration,
}

/// More than this is as good as never, and less only keeps the machine busy.
const SHORTEST: Duration = Duration::from_millis(100);

impl Args {
    fn options(&self) -> Result<WatchOptions, Failure> {
        let scan = self.scan.options();
        scan.check().map_err(|error| Failure::Usage(error.to_string()))?;
        if self.rescan_every < SHORTEST || self.poll_every < SHORTEST {
            return Err(Failure::Usage("--rescan-every and --poll-every take at least 100ms".into()));
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

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    let options = args.options()?;
    let log = Log::new(global.json, global.quiet, global.verbose);
    let opened = global.options(None).notice(move |text| log.write(Level::Info, "notice", &[("text", json!(text))]));
    // Without directories it keeps current what is there, and must not make an empty index where a drive is missing.
    let database = global.database()?;
    let open = opened.clone();
    let index = if args.paths.is_empty() { open.open_existing(database)? } else { open.open(database)? };
    let database = index.path().to_owned();
    let watcher = Watcher::new(index, &args.paths, options)?;
    let control = watcher.control();
    stop_on_signals(&control, log)?;
    #[cfg(unix)]
    let mut server = Some(imgidx::daemon::Server::start(&database, opened, control)?);
    log.write(Level::Info, "started", &[("pid", json!(std::process::id())), ("database", path(&database))]);
    let mut manager = ServiceManager::new();
    watcher.run(|event| {
        tell(log, event);
        manager.tell(event);
        #[cfg(unix)]
        match event {
            WatchEvent::Ready { .. } => server.iter().for_each(imgidx::daemon::Server::warm_up),
            // While the watcher's lock is held, so that the socket cannot be the next one's.
            WatchEvent::Stopped => server = None,
            _ => {}
        }
    })?;
    Ok(Done::All)
}

/// SIGTERM and SIGINT end the watcher, a second one at once; SIGHUP makes it look up its roots and scan them.
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
                // Nothing committed is lost.
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
    // Without a handler an interrupt ends the process at once, which loses nothing that was committed.
    let _ = ctrlc::set_handler(stop);
    Ok(())
}

fn tell(log: Log, event: &WatchEvent) {
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
                ("hint", json!("their rows are kept; `imgidx prune` confirms that they are gone")),
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

/// What has happened, without what has not.
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

/// systemd, where it has started this process: it is told when everything is set up, what is going on, and that this is still
/// alive (sd_notify(3)).
struct ServiceManager {
    progress: (imgidx::Progress, Instant),
}

/// Work that makes no progress for so long is taken to hang: the service manager is told nothing then, and starts anew.
const STUCK: Duration = Duration::from_secs(600);

impl ServiceManager {
    fn new() -> Self {
        Self { progress: (imgidx::Progress::default(), Instant::now()) }
    }

    #[cfg(not(unix))]
    fn tell(&mut self, _: &WatchEvent) {
        let _ = (self.progress, STUCK);
    }

    #[cfg(unix)]
    fn tell(&mut self, event: &WatchEvent) {
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
                if self.progress.1.elapsed() < STUCK {
                    status(&format!("{} of {} files", progress.done, progress.found));
                }
            }
            WatchEvent::Stopped => drop(sd_notify::notify(&[NotifyState::Stopping])),
            WatchEvent::Degraded(why) => status(&format!("degraded: {why}")),
            _ => status("watching"),
        }
    }
}
