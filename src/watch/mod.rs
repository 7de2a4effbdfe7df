//! Keeping an index current while people work.
//!
//! **Events are hints; the scanner decides.** What the system tells marks paths as dirty, and nothing is concluded from it. When
//! they have settled, the same plan and pipeline as [`Index::add`](crate::Index::add)'s does the work, so that everything that it
//! guards against is guarded against here: a drive that is pulled out takes no rows with it, a renamed file is not embedded
//! again, and a kill at any moment leaves work undone and never falsely done.
//!
//! What events may miss is found by scans: one at the beginning, one whenever the system has lost events, and one every hour.
//! File systems that other computers change are scanned every minute. What no event tells is a file that is written to under
//! another name that is not watched, or that was gone before anybody saw it; and where links are followed, a file outside of the
//! roots that a link leads to.
//!
//! ```text
//! the system ──events──▶ observer ──signs──▶ dirty paths ──due──▶ watcher (the calling thread) ──▶ indexer
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
pub use shared::AddTold;
pub use status::{Activity, Totals, WatchEvent, WatchStatus, WatchedRoot};
pub use watcher::{Control, Lease, Watcher};
