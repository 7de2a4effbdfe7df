//! The client side of the socket.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::line::Lines;
use super::protocol::{
    AddRequest, Answered, DaemonStatus, ErrorReply, Op, Reply, Request, SearchRequest, SimilarRequest, VERSION,
};
use super::socket::{is_safe, socket_path};
use crate::indexer::{IndexReport, Progress};
use crate::search::{Answer, TextAnswer};

/// Maximum length of an answer: some millions of hits.
const MAX_ANSWER_BYTES: usize = 1 << 30;

/// How long to wait for the next line from the daemon.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to the daemon of a database.
#[derive(Debug)]
pub struct Client {
    lines: Lines,
}

impl Client {
    /// Connects to the daemon of a database; `None` if there is none.
    pub fn connect(database: &Path) -> Option<Self> {
        let socket = socket_path(database).ok().filter(|socket| is_safe(socket))?;
        let stream = UnixStream::connect(socket).ok()?;
        Some(Self { lines: Lines::new(stream, WRITE_TIMEOUT).ok()? })
    }

    /// Like [`Searcher::similar`](crate::Searcher::similar).
    ///
    /// # Errors
    /// If the daemon refuses the request or does not answer. The caller can use a [`Searcher`](crate::Searcher)
    /// instead.
    pub fn similar(&mut self, request: SimilarRequest) -> Result<Answer, ErrorReply> {
        match self.ask(Op::Similar(request))? {
            Answered::Similar(answer) => Ok(answer),
            other => Err(unexpected(&other)),
        }
    }

    /// Like [`Searcher::search`](crate::Searcher::search).
    ///
    /// # Errors
    /// If the daemon refuses the request or does not answer. The caller can use a [`Searcher`](crate::Searcher)
    /// instead.
    pub fn search(&mut self, request: SearchRequest) -> Result<TextAnswer, ErrorReply> {
        match self.ask(Op::Search(request))? {
            Answered::Search(answer) => Ok(answer),
            other => Err(unexpected(&other)),
        }
    }

    /// Lets the daemon run an `add`. `progress` is called with the progress, and with `None` while the run has to wait.
    ///
    /// # Errors
    /// If the daemon refuses the request, fails, or stops.
    pub fn add(
        &mut self,
        request: AddRequest,
        mut progress: impl FnMut(Option<Progress>),
    ) -> Result<IndexReport, ErrorReply> {
        match self.ask_with(Op::Add(request), &mut progress)? {
            Answered::Added(report) => Ok(report),
            other => Err(unexpected(&other)),
        }
    }

    /// The status of the daemon.
    ///
    /// # Errors
    /// If the daemon does not answer.
    pub fn status(&mut self) -> Result<DaemonStatus, ErrorReply> {
        match self.ask(Op::Status)? {
            Answered::Status(status) => Ok(status),
            other => Err(unexpected(&other)),
        }
    }

    /// Sends a request whose answer has no content.
    ///
    /// # Errors
    /// If the daemon refuses the request or does not answer.
    pub fn order(&mut self, op: Op) -> Result<(), ErrorReply> {
        match self.ask(op)? {
            Answered::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Keeps the daemon from writing until the returned client is dropped.
    ///
    /// # Errors
    /// If the daemon does not answer.
    pub fn make_way(mut self) -> Result<Self, ErrorReply> {
        self.order(Op::Yield)?;
        Ok(self)
    }

    /// Returns a function that closes the connection, for use from another thread.
    ///
    /// # Errors
    /// If the system has no file descriptor left.
    pub fn closer(&self) -> io::Result<impl Fn() + Send + 'static> {
        let stream = self.lines.stream().try_clone()?;
        Ok(move || drop(stream.shutdown(std::net::Shutdown::Both)))
    }

    fn ask(&mut self, op: Op) -> Result<Answered, ErrorReply> {
        self.ask_with(op, &mut |_| {})
    }

    fn ask_with(&mut self, op: Op, progress: &mut dyn FnMut(Option<Progress>)) -> Result<Answered, ErrorReply> {
        let no_answer = |error: io::Error| ErrorReply::new(format!("the daemon does not answer: {error}"));
        self.lines.write(&Request { version: VERSION, op }).map_err(no_answer)?;
        loop {
            let line = self.lines.read(MAX_ANSWER_BYTES, READ_TIMEOUT).map_err(no_answer)?;
            let Some(line) = line else { return Err(ErrorReply::new("the daemon closed the connection")) };
            let reply = serde_json::from_slice(&line);
            match reply.map_err(|error| ErrorReply::new(format!("cannot read the daemon's answer: {error}")))? {
                Reply::Answer(answered) => return Ok(*answered),
                Reply::Error(error) => return Err(error),
                Reply::Progress(current) => progress(current),
            }
        }
    }
}

fn unexpected(answered: &Answered) -> ErrorReply {
    ErrorReply::new(format!("unexpected answer from the daemon: {answered:?}"))
}
