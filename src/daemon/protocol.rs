//! The messages of the protocol.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::indexer::{AddOptions, IndexReport, Progress};
use crate::search::{Answer, Query, TextAnswer, TextQuery};
use crate::types::paths_text;
pub use crate::watch::DaemonStatus;

/// The version of the protocol.
pub const VERSION: u32 = 3;

/// One line from a client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// The version of the protocol that the client speaks.
    pub version: u32,
    /// The operation.
    #[serde(flatten)]
    pub op: Op,
}

/// An operation. All paths must be absolute, because the daemon has another current folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Op {
    /// Find similar pictures.
    Similar(SimilarRequest),
    /// Find pictures by words.
    Search(SearchRequest),
    /// Index paths, and watch them from now on. Closing the connection cancels the run.
    Add(AddRequest),
    /// Scan paths, or all roots.
    Rescan {
        /// The paths to scan; all roots if empty.
        #[serde(with = "paths_text", default)]
        paths: Vec<PathBuf>,
    },
    /// Return the status of the daemon.
    Status,
    /// Stop working until `resume`.
    Pause,
    /// Continue after `pause`.
    Resume,
    /// Answer once all earlier changes on disk are in the index.
    Sync,
    /// Do not write until this connection is closed.
    Yield,
    /// Finish the current work, and exit.
    Stop,
}

/// A request for similar pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimilarRequest {
    /// The pictures, the filter and the threshold.
    #[serde(flatten)]
    pub query: Query,
    /// Maximum number of hits.
    pub top: usize,
}

/// A request for pictures by words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchRequest {
    /// The text, the filter and the threshold.
    #[serde(flatten)]
    pub query: TextQuery,
    /// Maximum number of hits; all if absent.
    #[serde(default)]
    pub top: Option<usize>,
}

/// A request to index paths.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddRequest {
    /// Directories and files.
    #[serde(with = "paths_text")]
    pub paths: Vec<PathBuf>,
    /// The options. The device is not among them; the daemon uses its own.
    #[serde(flatten)]
    pub options: AddOptions,
}

/// One line from the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// The answer. It is the last line for its request.
    Answer(Box<Answered>),
    /// The request failed or was refused.
    Error(ErrorReply),
    /// The progress of an `add`; `None` while the request has to wait.
    Progress(Option<Progress>),
}

impl From<Result<Answered>> for Reply {
    fn from(result: Result<Answered>) -> Self {
        match result {
            Ok(answered) => Self::Answer(Box::new(answered)),
            Err(error) => Self::Error(ErrorReply::from(&error)),
        }
    }
}

/// The answer to a request.
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
    /// The request is done, or has been started.
    Done,
}

/// An error message with a hint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReply {
    /// The reason, as readable text.
    pub message: String,
    /// What the user can do about it.
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(line: serde_json::Value) -> Op {
        serde_json::from_value::<Request>(line).expect("a request").op
    }

    /// Later daemons must understand every request that a client of version 2 sends.
    #[test]
    fn requests_are_read_as_they_were_first_written() {
        let similar = read(json!({"version": 2, "op": "similar", "images": ["/a.png", [47, 255]], "top": 3}));
        let Op::Similar(request) = similar else { panic!("{similar:?}") };
        let images = Query::image("/a.png").and(crate::types::path_from_bytes(&[47, 255]));
        assert_eq!((request.query, request.top), (images, 3));
        let filter = json!({"under": ["/photos"], "formats": ["jpeg"], "types": ["photo"], "width": [1000, null],
                            "colors": [[50.0, 1.0, 2.0]], "after": "2024"});
        let search = read(json!({"version": 2, "op": "search", "text": "dog", "filter": filter, "threshold": 0.5}));
        let Op::Search(request) = search else { panic!("{search:?}") };
        let lab = crate::types::Lab([50.0, 1.0, 2.0]);
        let filter = crate::Filter::default().under("/photos").format("jpeg").kind(crate::types::ImageType::Photo);
        let filter = filter.min_width(1000).color(lab).after("2024").expect("a time");
        assert_eq!(request.query, TextQuery::new("dog").filter(filter).threshold(0.5));
        let add = read(json!({"version": 2, "op": "add", "paths": ["/photos"], "scan": {"hidden": true}, "new": 1}));
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
            let read = read(json!({"version": 2, "op": op}));
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
