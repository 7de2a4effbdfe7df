//! What goes over the socket.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::indexer::{AddOptions, IndexReport, Progress};
use crate::search::{Answer, Query, TextAnswer, TextQuery};
use crate::types::paths_text;
use crate::watch::WatchStatus;

/// The version of the protocol.
pub const VERSION: u32 = 1;

/// One line from a client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// The version of the protocol that the client speaks.
    pub version: u32,
    /// What it wants.
    #[serde(flatten)]
    pub op: Op,
}

/// What can be asked for. All paths are absolute: the daemon is in another folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Op {
    /// Neighbours of pictures.
    Similar(SimilarRequest),
    /// Pictures by words.
    Search(SearchRequest),
    /// Index paths, and watch them from now on. Closing the connection cancels it.
    Add(AddRequest),
    /// Scan paths, or everything.
    Rescan {
        /// What to scan; everything if it is empty.
        #[serde(with = "paths_text", default)]
        paths: Vec<PathBuf>,
    },
    /// How the daemon is.
    Status,
    /// Do nothing until `resume`.
    Pause,
    /// Go on.
    Resume,
    /// Answer when everything that had happened on the disk before is in the index.
    Sync,
    /// Do not write until this connection is closed.
    Yield,
    /// Finish what is in hand, and end.
    Stop,
}

/// The pictures to find neighbours of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimilarRequest {
    /// Pictures, filter and threshold.
    #[serde(flatten)]
    pub query: Query,
    /// How many to find.
    pub top: usize,
}

/// The words to find pictures by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchRequest {
    /// Text, filter and threshold.
    #[serde(flatten)]
    pub query: TextQuery,
    /// How many to find; all if there is no number.
    #[serde(default)]
    pub top: Option<usize>,
}

/// What to index, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddRequest {
    /// Directories and files.
    #[serde(with = "paths_text")]
    pub paths: Vec<PathBuf>,
    /// The options, but for the device, which is the daemon's.
    #[serde(flatten)]
    pub options: AddOptions,
}

/// One line from the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// The answer, which is the last line for its request.
    Answer(Box<Answered>),
    /// It was not done.
    Error(ErrorReply),
    /// How far an `add` has come; nothing if it has to wait for something else.
    Progress(Option<Progress>),
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answered {
    /// To `similar`.
    Similar(Answer),
    /// To `search`.
    Search(TextAnswer),
    /// To `add`.
    Added(IndexReport),
    /// To `status`.
    Status(DaemonStatus),
    /// It is done, or under way.
    Done,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReply {
    /// The reason, for a person.
    pub message: String,
    /// What can be done about it.
    #[serde(default)]
    pub hint: Option<String>,
}

impl ErrorReply {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }
}

impl From<&Error> for ErrorReply {
    fn from(error: &Error) -> Self {
        Self { message: error.to_string(), hint: error.hint() }
    }
}

/// How a daemon is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Its process.
    pub pid: u32,
    /// Its version of the program.
    pub version: String,
    /// How its watcher is.
    #[serde(flatten)]
    pub watch: WatchStatus,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(line: serde_json::Value) -> Op {
        serde_json::from_value::<Request>(line).expect("a request").op
    }

    /// What clients of today send must be understood for ever.
    #[test]
    fn requests_are_read_as_they_were_first_written() {
        let similar = read(json!({"version": 1, "op": "similar", "images": ["/a.png", [47, 255]], "top": 3}));
        let Op::Similar(request) = similar else { panic!("{similar:?}") };
        let images = Query::image("/a.png").and("/\u{ff}");
        assert_eq!((request.query, request.top), (images, 3));
        let filter = json!({"under": ["/photos"], "formats": ["jpeg"], "types": ["photo"], "width": [1000, null],
                            "colors": [[50.0, 1.0, 2.0]], "after": "2024"});
        let search = read(json!({"version": 1, "op": "search", "text": "dog", "filter": filter, "threshold": 0.5}));
        let Op::Search(request) = search else { panic!("{search:?}") };
        let lab = crate::types::Lab([50.0, 1.0, 2.0]);
        let filter = crate::Filter::default().under("/photos").format("jpeg").kind(crate::types::ImageType::Photo);
        let filter = filter.min_width(1000).color(lab).after("2024").expect("a time");
        assert_eq!(request.query, TextQuery::new("dog").filter(filter).threshold(0.5));
        let add = read(json!({"version": 1, "op": "add", "paths": ["/photos"], "scan": {"hidden": true}, "new": 1}));
        let Op::Add(request) = add else { panic!("{add:?}") };
        assert!(request.options.scan.hidden && request.options.batch_size.is_none());
        for (op, expected) in [
            ("rescan", Op::Rescan { paths: Vec::new() }),
            ("status", Op::Status),
            ("pause", Op::Pause),
            ("resume", Op::Resume),
            ("sync", Op::Sync),
            ("yield", Op::Yield),
            ("stop", Op::Stop),
        ] {
            let read = read(json!({"version": 1, "op": op}));
            assert_eq!(
                serde_json::to_value(read).expect("plain data"),
                serde_json::to_value(expected).expect("plain data")
            );
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for line in
            ["", "{}", "[]", "{\"version\":1}", "{\"version\":1,\"op\":\"format\"}", "{\"op\":\"status\"}", "nul"]
        {
            assert!(serde_json::from_str::<Request>(line).is_err(), "{line}");
        }
    }
}
