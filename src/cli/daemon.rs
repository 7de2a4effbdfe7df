//! `imgidx daemon`: the watcher as a service of systemd or launchd.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use imgidx::daemon::{Client, DaemonStatus, Op};
use imgidx::documents::Daemon;
use imgidx::index::default_data_dir;
use imgidx::store::RootState;
use imgidx::types::resolved;
use imgidx::{Error, Result};

use super::Global;
use super::output::{Done, Failure, Out, count};
use super::service::{Service, service_name};

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
    "Scan one directory" => "imgidx daemon rescan ~/Pictures/2024",
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
    /// Scan the indexed directories now
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
    let database = global.database()?;
    let database = resolved(&database);
    match command {
        Command::Install(args) => install(global, &database, &args),
        Command::Uninstall => uninstall(global, &database),
        Command::Start => start(global, &database),
        Command::Stop => stop(global, &database),
        Command::Status => status(global, &database),
        Command::Logs(args) => logs(&Manager::of(&database)?, &args),
        Command::Sync => order(&database, Op::Sync),
        Command::Rescan { paths } => {
            let absolute = |path: PathBuf| resolved(&path);
            order(&database, Op::Rescan { paths: paths.into_iter().map(absolute).collect() })
        }
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
        let output = Self::process(arguments).stdin(Stdio::null()).output().map_err(|error| no_manager(&error))?;
        if output.status.success() {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let what = arguments.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let user = if LAUNCHD { "" } else { " --user" };
        Err(Error::Service { command: format!("{}{user} {what}", program()), reason: stderr.trim().to_owned() }.into())
    }

    fn process(arguments: &[&OsStr]) -> Process {
        let mut process = Process::new(program());
        if !LAUNCHD {
            process.arg("--user");
        }
        process.args(arguments);
        process
    }

    fn is_active(&self) -> bool {
        let unit = self.unit();
        let output = if LAUNCHD {
            Self::process(&["list".as_ref(), self.name.as_ref()]).output()
        } else {
            Self::process(&["is-active".as_ref(), "--quiet".as_ref(), unit.as_ref()]).output()
        };
        output.is_ok_and(|output| output.status.success())
    }
}

fn program() -> &'static str {
    if LAUNCHD { "launchctl" } else { "systemctl" }
}

fn no_manager(error: &std::io::Error) -> Error {
    Error::Service { command: program().into(), reason: error.to_string() }
}

fn install(global: &Global, database: &Path, args: &InstallArgs) -> Result<Done, Failure> {
    let manager = Manager::of(database)?;
    let program = std::env::current_exe().map_err(|error| Error::Io {
        action: "find the path of",
        path: "imgidx".into(),
        source: error,
    })?;
    let mut command: Vec<OsString> = vec![program.into(), "--db".into(), database.into()];
    if let Some(library) = &global.runtime {
        command.extend(["--runtime".into(), std::path::absolute(library).unwrap_or(library.clone()).into()]);
    }
    command.extend(global.offline.then(|| "--offline".into()));
    command.push("watch".into());
    for path in &args.paths {
        command.push(
            fs::canonicalize(path).map_err(|source| Error::Io { action: "find", path: path.clone(), source })?.into(),
        );
    }
    command.extend(args.arguments.iter().cloned());
    let service = Service { name: manager.name.clone(), command, log: manager.log.clone() };
    let text = if LAUNCHD { service.launchd_plist() } else { service.systemd_unit() };
    if args.dry_run {
        let mut out = Out::new();
        out.path("# ", &manager.file, '\n')?;
        out.line(text.trim_end())?;
        return Ok(out.finish().map(|()| Done::All)?);
    }
    let folder = manager.file.parent().unwrap_or(&manager.file);
    fs::create_dir_all(folder).map_err(|source| Error::Io {
        action: "create the directory",
        path: folder.into(),
        source,
    })?;
    fs::write(&manager.file, text).map_err(|source| Error::Io {
        action: "write",
        path: manager.file.clone(),
        source,
    })?;
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
    let ended = if LAUNCHD {
        manager.order(&["unload".as_ref(), manager.file.as_ref()])
    } else {
        manager.order(&["disable".as_ref(), "--now".as_ref(), manager.unit().as_ref()])
    };
    // A service manager that does not answer runs no service. Remove the file all the same.
    if let Err(failure) = ended {
        global.note(&failure.to_string());
    }
    fs::remove_file(&manager.file).map_err(|source| Error::Io {
        action: "remove",
        path: manager.file.clone(),
        source,
    })?;
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
        return Err(Failure::Usage(
            "the daemon is not installed; `imgidx daemon install` installs it, `imgidx watch` runs in the foreground"
                .into(),
        ));
    }
    if LAUNCHD {
        manager.order(&["load".as_ref(), "-w".as_ref(), manager.file.as_ref()])?;
    } else {
        manager.order(&["start".as_ref(), manager.unit().as_ref()])?;
    }
    global.note("the daemon is running");
    Ok(Done::All)
}

fn stop(global: &Global, database: &Path) -> Result<Done, Failure> {
    let manager = Manager::of(database)?;
    if manager.file.exists() && manager.is_active() {
        if LAUNCHD {
            manager.order(&["unload".as_ref(), manager.file.as_ref()])?;
        } else {
            manager.order(&["stop".as_ref(), manager.unit().as_ref()])?;
        }
    } else {
        let Some(mut client) = Client::connect(database) else {
            global.note("no daemon is running");
            return Ok(Done::All);
        };
        client.order(Op::Stop).map_err(Failure::refused)?;
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
    client(database)?.order(op).map_err(Failure::refused)?;
    Ok(Done::All)
}

fn client(database: &Path) -> Result<Client, Failure> {
    Client::connect(database).ok_or_else(|| Error::NoDaemon { path: database.to_owned() }.into())
}

fn status(global: &Global, database: &Path) -> Result<Done, Failure> {
    let status = client(database)?.status().map_err(Failure::refused)?;
    let mut out = Out::new();
    if global.json {
        out.document(Daemon { daemon: (&status).into() })?;
    } else {
        for line in lines(&status) {
            out.line(line)?;
        }
    }
    Ok(out.finish().map(|()| Done::All)?)
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
            (RootState::Offline, _) => "offline; its rows are kept".to_owned(),
            (_, Some(why)) => format!("scanned periodically: {why}"),
            (_, None) => format!("{} watched", count(root.folders, "folder")),
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
