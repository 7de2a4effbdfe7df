//! The daemon side of the socket: one thread that accepts connections, and one thread per client.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::line::Lines;
use super::protocol::{
    AddRequest, Answered, DaemonStatus, ErrorReply, Op, Reply, Request, SearchRequest, SimilarRequest, VERSION,
};
use super::socket::{make_folder_of, socket_path};
use crate::error::{Error, Result};
use crate::search::{Searcher, SearcherOptions};
use crate::watch::{Activity, AddTold, Control};

/// Maximum length of a request.
const MAX_REQUEST_BYTES: usize = 1 << 20;

/// How long a client may take to send its next request.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take to read an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum number of simultaneous clients. Further ones are refused, and do their work themselves.
const MAX_CLIENTS: usize = 64;

/// How often a waiting client gets a line without progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Answers clients until it is dropped.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    path: PathBuf,
    /// Closed to end the accepting thread.
    wake: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    searcher: Searcher,
    /// How long an unused model stays in memory.
    keep_model: Duration,
    control: Control,
    clients: AtomicUsize,
}

impl Server {
    /// Opens the socket of a database. The caller must hold the watcher's lock, so an existing socket at this path is
    /// one that a killed process left behind.
    ///
    /// # Errors
    /// If the socket or the thread cannot be created.
    pub fn start(searcher: &Searcher, keep_model: Duration, control: Control) -> Result<Self> {
        let path = socket_path(searcher.path())?;
        make_folder_of(&path)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io("remove", &path)(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(Error::io("listen at", &path))?;
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, private).map_err(Error::io("set the permissions of", &path))?;
        let (wake, woken) = UnixStream::pair().map_err(Error::io("create a socket pair for", &path))?;
        let searcher = searcher.resident_later(SearcherOptions::default());
        let shared = Arc::new(Shared { searcher, keep_model, control, clients: AtomicUsize::new(0) });
        let for_thread = shared.clone();
        let thread = std::thread::Builder::new()
            .name("accept".into())
            .spawn(move || accept_all(&for_thread, &listener, &woken))
            .map_err(Error::io("start a thread for", &path))?;
        Ok(Self { shared, path, wake: Some(wake), thread: Some(thread) })
    }

    /// The path of the socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Loads the vector index, so that the first query does not wait for it.
    pub fn warm_up(&self) {
        // A query reports the same error to its client.
        let _ = self.shared.searcher.warm_up();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // From here on, clients find no socket and cannot connect.
        let _ = std::fs::remove_file(&self.path);
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept_all(shared: &Arc<Shared>, listener: &UnixListener, woken: &UnixStream) {
    loop {
        let idle = shared.searcher.unload_model_after(shared.keep_model);
        // Also wake up if the model is not loaded: a client that has just connected may be about to load it.
        let timeout = Timespec { tv_sec: idle.unwrap_or(shared.keep_model).as_secs() as i64 + 1, tv_nsec: 0 };
        let mut ready = [PollFd::new(listener, PollFlags::IN), PollFd::new(woken, PollFlags::IN)];
        match poll(&mut ready, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => return,
        }
        if !ready[1].revents().is_empty() {
            return;
        }
        match listener.accept() {
            Ok((stream, _)) => serve(shared, stream),
            // There are too many open files. Wait for others to close some instead of retrying at once.
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn serve(shared: &Arc<Shared>, stream: UnixStream) {
    let Ok(mut lines) = Lines::new(stream, WRITE_TIMEOUT) else { return };
    if shared.clients.fetch_add(1, Ordering::Relaxed) >= MAX_CLIENTS {
        shared.clients.fetch_sub(1, Ordering::Relaxed);
        // The reply fits into any socket's buffer, so this does not wait for a client that does not read.
        let _ = lines.write(&Reply::Error(ErrorReply::new("the daemon has too many clients")));
        return;
    }
    let for_thread = shared.clone();
    let client = move || {
        // An error means that the client has disconnected.
        let _ = answer_all(&for_thread, &mut lines);
        for_thread.clients.fetch_sub(1, Ordering::Relaxed);
    };
    if std::thread::Builder::new().name("client".into()).spawn(client).is_err() {
        shared.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

fn answer_all(shared: &Shared, lines: &mut Lines) -> io::Result<()> {
    loop {
        let line = match lines.read(MAX_REQUEST_BYTES, READ_TIMEOUT) {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            Err(error) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    lines.write(&Reply::Error(ErrorReply::new(error.to_string())))?;
                }
                return Err(error);
            }
        };
        match parse_request(&line) {
            Ok(Op::Add(request)) => add(shared, lines, request)?,
            Ok(Op::Sync) => {
                let reply = |done: Result<(), String>| match done {
                    Ok(()) => Reply::from(Ok(Answered::Done)),
                    Err(reason) => Reply::Error(ErrorReply::new(reason)),
                };
                relay(shared, lines, || shared.control.sync(), reply)?;
            }
            Ok(Op::Yield) => {
                let lease = shared.control.make_way();
                while !lease.wait(PROGRESS_INTERVAL) {
                    lines.write(&Reply::Progress(None))?;
                }
                lines.write(&Reply::from(Ok(Answered::Done)))?;
                return lines.wait_for_end();
            }
            Ok(op) => lines.write(&Reply::from(answer(shared, op)))?,
            Err(error) => lines.write(&Reply::Error(error))?,
        }
    }
}

pub(super) fn parse_request(line: &[u8]) -> Result<Op, ErrorReply> {
    // The version is checked first, because a request of a later version may not parse here.
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    let invalid = |error: serde_json::Error| ErrorReply::new(format!("invalid request: {error}"));
    let Version { version } = serde_json::from_slice(line).map_err(invalid)?;
    if version != VERSION {
        return Err(ErrorReply::new(format!(
            "this daemon speaks version {VERSION} of the protocol, not version {version}"
        )));
    }
    Ok(serde_json::from_slice::<Request>(line).map_err(invalid)?.op)
}

/// Answers a request that takes no longer than a query.
fn answer(shared: &Shared, op: Op) -> Result<Answered> {
    let control = &shared.control;
    match op {
        Op::Similar(SimilarRequest { query, top }) => {
            return shared.searcher.similar(&query, top).map(Answered::Similar);
        }
        Op::Search(SearchRequest { query, top }) => {
            return shared.searcher.search(&query, top.unwrap_or(usize::MAX)).map(Answered::Search);
        }
        Op::Status => {
            let mut watch = control.status();
            watch.model_loaded |= shared.searcher.is_model_loaded();
            let (pid, version) = (std::process::id(), env!("CARGO_PKG_VERSION").to_owned());
            return Ok(Answered::Status(DaemonStatus { pid, version, watch }));
        }
        Op::Rescan { paths } => control.rescan(paths),
        Op::Pause => control.pause(),
        Op::Resume => control.resume(),
        Op::Stop => control.stop(),
        Op::Add(_) | Op::Sync | Op::Yield => unreachable!("`answer_all` handles operations that wait"),
    }
    Ok(Answered::Done)
}

fn add(shared: &Shared, lines: &mut Lines, request: AddRequest) -> io::Result<()> {
    if let Some(path) = request.paths.iter().find(|path| !path.is_absolute()) {
        let text = format!("`{}` is not an absolute path", path.display());
        return lines.write(&Reply::Error(ErrorReply::new(text)));
    }
    let reply = |told| match told {
        AddTold::Waiting => Reply::Progress(None),
        AddTold::Progress(progress) => Reply::Progress(Some(progress)),
        AddTold::Done(done) => Reply::from(done.map(Answered::Added)),
    };
    relay(shared, lines, || shared.control.add(request.paths, request.options), reply)
}

/// Starts a request of the watcher, and writes its replies until the last one. If the client disconnects, this returns
/// and drops the receiver, which cancels an `add`.
fn relay<T>(
    shared: &Shared,
    lines: &mut Lines,
    start: impl FnOnce() -> Receiver<T>,
    reply: impl Fn(T) -> Reply,
) -> io::Result<()> {
    // A request would wait forever while the daemon is paused.
    let paused = || {
        let hint = Some("run `imgidx daemon resume` to continue".into());
        let error = Reply::Error(ErrorReply { message: "the daemon is paused".into(), hint });
        (shared.control.status().activity == Activity::Paused).then_some(error)
    };
    if let Some(error) = paused() {
        return lines.write(&error);
    }
    let updates = start();
    loop {
        let reply = match updates.recv_timeout(PROGRESS_INTERVAL) {
            Ok(update) => reply(update),
            Err(RecvTimeoutError::Timeout) => paused().unwrap_or(Reply::Progress(None)),
            Err(RecvTimeoutError::Disconnected) => Reply::Error(ErrorReply::new("the daemon has stopped")),
        };
        lines.write(&reply)?;
        if !matches!(reply, Reply::Progress(_)) {
            return Ok(());
        }
    }
}
