//! The client's side of the socket.

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

/// The longest answer: some millions of hits.
const MOST_BYTES: usize = 1 << 30;

/// How long to wait for an answer, or for a sign of life.
const READ_TIME: Duration = Duration::from_secs(20);

const WRITE_TIME: Duration = Duration::from_secs(5);

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
        Some(Self { lines: Lines::new(stream, WRITE_TIME).ok()? })
    }

    /// As [`Searcher::similar`](crate::Searcher::similar).
    ///
    /// # Errors
    /// When the daemon refuses or does not answer; the caller can ask the index instead.
    pub fn similar(&mut self, request: SimilarRequest) -> Result<Answer, ErrorReply> {
        match self.ask(Op::Similar(request))? {
            Answered::Similar(answer) => Ok(answer),
            other => Err(unexpected(&other)),
        }
    }

    /// As [`Index::search`](crate::Index::search).
    ///
    /// # Errors
    /// When the daemon refuses or does not answer; the caller can ask the index instead.
    pub fn search(&mut self, request: SearchRequest) -> Result<TextAnswer, ErrorReply> {
        match self.ask(Op::Search(request))? {
            Answered::Search(answer) => Ok(answer),
            other => Err(unexpected(&other)),
        }
    }

    /// Hands an `add` over. `progress` is told how far it has come, and nothing as long as it has to wait.
    ///
    /// # Errors
    /// When the daemon refuses, fails, or ends.
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

    /// How the daemon is.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn status(&mut self) -> Result<DaemonStatus, ErrorReply> {
        match self.ask(Op::Status)? {
            Answered::Status(status) => Ok(status),
            other => Err(unexpected(&other)),
        }
    }

    /// Lets the daemon do something that has no answer but that it is done.
    ///
    /// # Errors
    /// When it refuses or does not answer.
    pub fn order(&mut self, op: Op) -> Result<(), ErrorReply> {
        match self.ask(op)? {
            Answered::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Keeps the daemon from writing, until the returned client is dropped.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn make_way(mut self) -> Result<Self, ErrorReply> {
        self.order(Op::Yield)?;
        Ok(self)
    }

    /// A second hold on the connection, to close it from another thread.
    ///
    /// # Errors
    /// When the system has no more to give.
    pub fn closer(&self) -> io::Result<impl Fn() + Send + 'static> {
        let stream = self.lines.stream().try_clone()?;
        Ok(move || drop(stream.shutdown(std::net::Shutdown::Both)))
    }

    fn ask(&mut self, op: Op) -> Result<Answered, ErrorReply> {
        self.ask_with(op, &mut |_| {})
    }

    fn ask_with(&mut self, op: Op, progress: &mut dyn FnMut(Option<Progress>)) -> Result<Answered, ErrorReply> {
        let silent = |error: io::Error| ErrorReply::new(format!("the daemon does not answer: {error}"));
        self.lines.write(&Request { version: VERSION, op }).map_err(silent)?;
        loop {
            let line = self.lines.read(MOST_BYTES, READ_TIME).map_err(silent)?;
            let Some(line) = line else { return Err(ErrorReply::new("the daemon has closed the connection")) };
            let reply = serde_json::from_slice(&line);
            match reply.map_err(|error| ErrorReply::new(format!("the daemon's answer makes no sense: {error}")))? {
                Reply::Answer(answered) => return Ok(*answered),
                Reply::Error(refusal) => return Err(refusal),
                Reply::Progress(told) => progress(told),
            }
        }
    }
}

fn unexpected(answered: &Answered) -> ErrorReply {
    ErrorReply::new(format!("the daemon has answered something else: {answered:?}"))
}
