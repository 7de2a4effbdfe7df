//! `imgidx daemon`: the watcher as a service of systemd or launchd.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

use imgidx::daemon::{Client, DaemonStatus, Op};
use imgidx::documents::Daemon;
use imgidx::index::default_data_dir;
use imgidx::store::RootState;
use imgidx::types::resolved;
use imgidx::{Error, Result};

use super::Global;
use super::output::{Done, Failure, Out, count};
use super::service::{launchd_plist, service_name, systemd_unit};

const EXAMPLES: &str = examples![
    "Install the daemon and start it" => "imgidx daemon install ~/Pictures && imgidx daemon start",
    "Show what it is doing" => "imgidx daemon status",
    "Search for what was just saved" => "imgidx daemon sync && imgidx search dog",
];

const INSTALL_EXAMPLES: &str = examples![
    "Watch everything that is in the index" => "imgidx daemon install",
    "Watch one directory, and scan it every 30 minutes" => "imgidx daemon install ~/Pictures -- --rescan-every 30m",
    "Print the service file" => "imgidx daemon install --dry-run",
];

const LOGS_EXAMPLES: &str = examples![
    "Show the last 20 lines" => "imgidx daemon logs -n 20",
    "Follow the log" => "imgidx daemon logs --follow",
];

const RESCAN_EXAMPLES: &str = examples![
    "Scan everything" => "imgidx daemon rescan",
    "Scan one directory, and wait until that is done" =>
        "imgidx daemon rescan ~/Pictures/2024 && imgidx daemon sync",
];

#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Command {
    /// Install the daemon as a service that starts when you log in
    Install(InstallArgs),
    /// Uninstall the service
    #[command(after_help = examples!["Stop and uninstall the daemon" => "imgidx daemon uninstall"])]
    Uninstall,
    /// Start the installed service
    #[command(after_help = examples!["Start the daemon now" => "imgidx daemon start"])]
    Start,
    /// Stop the daemon, installed or not, after finishing the work in progress
    #[command(after_help = examples!["Stop the daemon" => "imgidx daemon stop"])]
    Stop,
    /// Show whether the daemon is running, and its state
    #[command(after_help = examples![
        "Show the state of the daemon" => "imgidx daemon status",
        "Show it as JSON" => "imgidx daemon status --json",
    ])]
    Status,
    /// Show the log of the installed daemon
    Logs(LogsArgs),
    /// Wait until all files saved before this command are indexed
    #[command(after_help = examples!["Search for what was just saved" => "imgidx daemon sync && imgidx search dog"])]
    Sync,
    /// Start a scan of the indexed directories; `daemon sync` waits for it
    #[command(after_help = RESCAN_EXAMPLES)]
    Rescan {
        /// Directories and files to scan [default: all]
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Pause indexing; queries are still answered
    #[command(after_help = examples!["Pause indexing" => "imgidx daemon pause"])]
    Pause,
    /// Resume indexing
    #[command(after_help = examples!["Resume indexing" => "imgidx daemon resume"])]
    Resume,
}

#[derive(Debug, clap::Args)]
#[command(after_help = INSTALL_EXAMPLES)]
pub(super) struct InstallArgs {
    /// Directories and files to watch [default: all in the index]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Options for `imgidx watch`, after `--`
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<OsString>,
    /// Print the service file, and install nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = LOGS_EXAMPLES)]
pub(super) struct LogsArgs {
    /// Keep showing new lines as they are logged
    #[arg(short, long)]
    follow: bool,
    /// Number of lines to show
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    lines: u32,
}

/// How long to wait for a daemon to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn run(global: &Global, command: Command) -> Result<Done, Failure> {
    let database = resolved(&global.database()?);
    match command {
        Command::Install(args) => install(global, &database, &args),
        Command::Uninstall => uninstall(global, &database),
        Command::Start => start(global, &database),
        Command::Stop => stop(global, &database),
        Command::Status => status(global, &database),
        Command::Logs(args) => logs(&Manager::of(&database)?, &args),
        Command::Sync => order(&database, Op::Sync),
        Command::Rescan { paths } => rescan(global, &database, &paths),
        Command::Pause => order(&database, Op::Pause),
        Command::Resume => order(&database, Op::Resume),
    }
}

/// The service manager of this system, and the files of the daemon's service.
struct Manager {
    name: String,
    file: PathBuf,
    log: PathBuf,
}

const LAUNCHD: bool = cfg!(target_os = "macos");

const PROGRAM: &str = if LAUNCHD { "launchctl" } else { "systemctl" };

impl Manager {
    fn of(database: &Path) -> Result<Self, Failure> {
        let dirs =
            directories::BaseDirs::new().ok_or_else(|| Error::Invalid("cannot find the home directory".into()))?;
        let usual = default_data_dir().ok().map(|dir| dir.join("imgidx.db"));
        let usual = usual.map(|path| fs::canonicalize(&path).unwrap_or(path));
        let name = service_name(database, usual.as_deref());
        let log = dirs.home_dir().join("Library/Logs").join(format!("{name}.log"));
        let file = if LAUNCHD {
            dirs.home_dir().join("Library/LaunchAgents").join(format!("{name}.plist"))
        } else {
            dirs.config_dir().join("systemd/user").join(format!("{name}.service"))
        };
        Ok(Self { name, file, log })
    }

    fn unit(&self) -> String {
        format!("{}.service", self.name)
    }

    /// Runs a command of the service manager, which must succeed.
    fn order(&self, arguments: &[&OsStr]) -> Result<(), Failure> {
        let no_manager = |error: io::Error| Error::Service { command: PROGRAM.into(), reason: error.to_string() };
        let output = Self::run(arguments).map_err(no_manager)?;
        if output.status.success() {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let what = arguments.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let user = if LAUNCHD { "" } else { " --user" };
        Err(Error::Service { command: format!("{PROGRAM}{user} {what}"), reason: stderr.trim().to_owned() }.into())
    }

    fn run(arguments: &[&OsStr]) -> io::Result<Output> {
        let user = (!LAUNCHD).then_some("--user");
        Process::new(PROGRAM).args(user).args(arguments).stdin(Stdio::null()).output()
    }

    /// Runs a command of the service manager, with the service as its last argument.
    fn control(&self, launchd: &[&str], systemd: &[&str]) -> Result<(), Failure> {
        let unit = self.unit();
        let (words, service) = if LAUNCHD { (launchd, self.file.as_os_str()) } else { (systemd, unit.as_ref()) };
        self.order(&words.iter().map(OsStr::new).chain([service]).collect::<Vec<_>>())
    }

    fn is_active(&self) -> bool {
        let unit = self.unit();
        let arguments: &[&OsStr] = match LAUNCHD {
            true => &["list".as_ref(), self.name.as_ref()],
            false => &["is-active".as_ref(), "--quiet".as_ref(), unit.as_ref()],
        };
        Self::run(arguments).is_ok_and(|output| output.status.success())
    }
}

fn install(global: &Global, database: &Path, args: &InstallArgs) -> Result<Done, Failure> {
    let manager = Manager::of(database)?;
    let program = std::env::current_exe().map_err(Error::io("find the path of", "imgidx"))?;
    let mut command: Vec<OsString> = vec![program.into(), "--db".into(), database.into()];
    if let Some(library) = &global.runtime {
        command.extend(["--runtime".into(), std::path::absolute(library).unwrap_or(library.clone()).into()]);
    }
    command.extend(global.offline.then(|| "--offline".into()));
    command.push("watch".into());
    for path in &args.paths {
        command.push(fs::canonicalize(path).map_err(Error::io("find", path))?.into());
    }
    command.extend(args.arguments.iter().cloned());
    let text = match LAUNCHD {
        true => launchd_plist(&manager.name, &command, &manager.log),
        false => systemd_unit(&command),
    };
    if args.dry_run {
        let mut out = Out::new();
        out.path("# ", &manager.file, '\n')?;
        out.line(text.trim_end())?;
        return out.finish();
    }
    let folder = manager.file.parent().unwrap_or(&manager.file);
    fs::create_dir_all(folder).map_err(Error::io("create the directory", folder))?;
    fs::write(&manager.file, text).map_err(Error::io("write", &manager.file))?;
    global.note(&format!("wrote `{}`", manager.file.display()));
    if !LAUNCHD {
        manager.order(&["daemon-reload".as_ref()])?;
        manager.order(&["enable".as_ref(), manager.unit().as_ref()])?;
    }
    global.note("the daemon starts when you log in; `imgidx daemon start` starts it now");
    Ok(Done::All)
}

fn uninstall(global: &Global, database: &Path) -> Result<Done, Failure> {
    let manager = Manager::of(database)?;
    if !manager.file.exists() {
        global.note("the daemon is not installed");
        return Ok(Done::All);
    }
    // A service manager that does not answer runs no service. Remove the file all the same.
    if let Err(failure) = manager.control(&["unload"], &["disable", "--now"]) {
        global.note(&failure.to_string());
    }
    fs::remove_file(&manager.file).map_err(Error::io("remove", &manager.file))?;
    global.note(&format!("removed `{}`", manager.file.display()));
    Ok(Done::All)
}

fn start(global: &Global, database: &Path) -> Result<Done, Failure> {
    if let Some(status) = super::ask::status(database) {
        global.note(&format!("the daemon is already running as process {}", status.pid));
        return Ok(Done::All);
    }
    let manager = Manager::of(database)?;
    if !manager.file.exists() {
        let hint = "`imgidx daemon install` installs it; `imgidx watch` runs in the foreground".into();
        return Err(Failure::UsageHint { message: "the daemon is not installed".into(), hint });
    }
    manager.control(&["load", "-w"], &["start"])?;
    global.note("the daemon is running");
    Ok(Done::All)
}

fn stop(global: &Global, database: &Path) -> Result<Done, Failure> {
    let manager = Manager::of(database)?;
    if manager.file.exists() && manager.is_active() {
        manager.control(&["unload"], &["stop"])?;
    } else {
        let Some(mut client) = Client::connect(database) else {
            global.note("no daemon is running");
            return Ok(Done::All);
        };
        client.order(Op::Stop)?;
        let until = Instant::now() + STOP_TIMEOUT;
        // Poll: a daemon that is about to end may remove its socket first, so that there is nothing to wait on.
        while Client::connect(database).is_some() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        if Client::connect(database).is_some() {
            return Err(Failure::Refused { message: "the daemon is still finishing its work".into(), hint: None });
        }
    }
    global.note("the daemon has stopped");
    Ok(Done::All)
}

fn order(database: &Path, op: Op) -> Result<Done, Failure> {
    client(database)?.order(op)?;
    Ok(Done::All)
}

fn rescan(global: &Global, database: &Path, paths: &[PathBuf]) -> Result<Done, Failure> {
    let mut client = client(database)?;
    paths.iter().try_for_each(|path| check_scannable(global, path))?;
    client.order(Op::Rescan { paths: paths.iter().map(|path| resolved(path)).collect() })?;
    global.note("the scan has started; `imgidx daemon sync` waits until it is done");
    Ok(Done::All)
}

/// Checks that a path exists or is indexed. A scan of what was deleted finds that its files are missing.
fn check_scannable(global: &Global, path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Err(error) if global.open_existing(None)?.part(path).is_err() => Err(Error::io("find", path)(error)),
        _ => Ok(()),
    }
}

fn client(database: &Path) -> Result<Client, Failure> {
    Client::connect(database).ok_or_else(|| Error::NoDaemon { path: database.to_owned() }.into())
}

fn status(global: &Global, database: &Path) -> Result<Done, Failure> {
    let document = Daemon { daemon: client(database)?.status()? };
    global.print(|| &document, |out| lines(&document.daemon).iter().try_for_each(|line| out.line(line)))
}

/// The state of a daemon as lines of text.
pub(super) fn lines(status: &DaemonStatus) -> Vec<String> {
    let watch = &status.watch;
    let activity = match watch.waiting {
        0 => watch.activity.as_str().to_owned(),
        waiting => format!("{}, {} to check", watch.activity.as_str(), count(waiting, "path")),
    };
    let mut lines = vec![format!("process {}, {activity}", status.pid)];
    for root in &watch.roots {
        let how = match (&root.state, &root.polled) {
            (RootState::Offline, _) => "offline; its files stay in the index".to_owned(),
            (_, Some(why)) => format!("scanned periodically: {why}"),
            (_, None) if root.folders == 1 => "1 directory watched".to_owned(),
            (_, None) => format!("{} directories watched", root.folders),
        };
        lines.push(format!("{}: {how}", root.path.display()));
    }
    lines.extend(watch.degraded.iter().map(|why| format!("degraded: {why}")));
    let totals = &watch.totals;
    let counts = [
        (totals.new, "new"),
        (totals.changed, "changed"),
        (totals.moved, "moved"),
        (totals.missing, "missing"),
        (totals.failed, "failed"),
    ];
    let done: Vec<String> =
        counts.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
    if !done.is_empty() {
        lines.push(format!("since it started: {}", done.join(", ")));
    }
    lines
}

fn logs(manager: &Manager, args: &LogsArgs) -> Result<Done, Failure> {
    let lines = args.lines.to_string();
    let mut process;
    if LAUNCHD {
        process = Process::new("tail");
        process.args(["-n", &lines]);
        process.args(args.follow.then_some("-f"));
        process.arg(&manager.log);
    } else {
        process = Process::new("journalctl");
        process.args(["--user", "--no-pager", "--unit", &manager.unit(), "--lines", &lines]);
        process.args(args.follow.then_some("--follow"));
    }
    let name = process.get_program().to_string_lossy().into_owned();
    let failed = |reason: String| Error::Service { command: name.clone(), reason };
    let status = process.status().map_err(|error| failed(error.to_string()))?;
    if status.success() { Ok(Done::All) } else { Err(failed(status.to_string()).into()) }
}
