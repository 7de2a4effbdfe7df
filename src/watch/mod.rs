//! Keeps an index current while files change.
//!
//! **Events are hints; the scanner decides.** An event only marks a path as dirty; nothing else is concluded from it.
//! Once the path has settled, the same planner and pipeline as for [`Index::add`](crate::Index::add) do the work, with
//! the same safeguards: unplugging a drive removes no rows, a renamed file is not embedded again, and a kill at any
//! moment may leave work undone but never records unfinished work as done.
//!
//! Scans find what events miss: one at startup, one whenever the system has lost events, and one every hour. File
//! systems that other computers can change are scanned every minute. No event reports a write through another hard
//! link that is not watched, or that was removed before the watcher saw it. Where links are followed, no event reports
//! a change to a link's target outside the roots.
//!
//! ```text
//! the system ──events──▶ observer ──changes──▶ dirty paths ──due──▶ watcher (the calling thread) ──▶ indexer
//! ```

mod dirty;
mod event;
mod observer;
mod options;
mod run;
mod shared;
mod status;
mod targets;
mod watcher;
mod work;

pub use options::WatchOptions;
pub use shared::{AddTold, Control, Lease};
pub use status::{Activity, DaemonStatus, Totals, WatchEvent, WatchStatus, WatchedRoot};
pub use watcher::Watcher;
