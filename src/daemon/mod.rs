//! The daemon: a watching process that answers other processes over a socket, with the model and the quantized vectors
//! already in memory.
//!
//! # Protocol
//! Version 2: JSON, one document per line, over a Unix socket that only its owner can open. Each [`Request`] is
//! answered with one line ([`Reply`]). Lines with progress may precede it while an `add` runs or a request waits.
//! Unknown fields are ignored, so that clients and daemons of different releases understand each other. Another
//! protocol version is refused.
//!
//! ```text
//! {"version":2,"op":"similar","images":["/home/me/logo.png"],"top":10}
//! {"answer":{"similar":{"query":[…],"model":"efficientnet-lite0","method":"scan","hits":[…],…}}}
//! ```
//!
//! Nothing depends on the daemon: a client that gets no answer in time uses the database.

mod client;
mod line;
mod protocol;
mod server;
mod socket;

pub use client::Client;
pub use protocol::{
    AddRequest, Answered, DaemonStatus, ErrorReply, Op, Reply, Request, SearchRequest, SimilarRequest, VERSION,
};
pub use server::Server;
pub use socket::socket_path;

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed {
    use super::{Op, Reply};

    pub(crate) fn line(line: &[u8]) -> Option<Op> {
        // The same line as a client would read it.
        let _ = serde_json::from_slice::<Reply>(line);
        super::server::parse_request(line).ok()
    }
}
