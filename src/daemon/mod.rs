//! The socket of a process that watches: other processes ask it, and find the model loaded and the codes in memory.
//!
//! # Protocol
//! Version 1: JSON, one document a line, over a Unix socket that only its owner can open. A [`Request`] is answered by one line
//! ([`Reply`]), and an `add` by lines of progress before that. Fields that are not known are left unread, so that clients and
//! daemons of different age understand each other; another version is refused.
//!
//! ```text
//! {"version":1,"op":"similar","images":["/home/me/logo.png"],"top":10}
//! {"answer":{"similar":{"query":[…],"model":"mobilenetv3-large-100","method":"scan","hits":[…],…}}}
//! ```
//!
//! Nothing depends on the daemon: whoever gets no answer in time asks the database.

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
        // What a client may be told.
        let _ = serde_json::from_slice::<Reply>(line);
        super::server::read(line).ok()
    }
}
