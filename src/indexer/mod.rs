//! Keeping an index current: what has to be done, and doing it.
//!
//! `plan` compares the disk with the database and reads nothing; the pipeline reads, decodes and embeds what the
//! plan says, on every core, and one writer stores it. Between the stages are bounded queues, and what lies in them
//! is counted in bytes, so that memory does not grow with the number or the size of files.

mod budget;
mod cancel;
mod inflight;
mod options;
mod pipeline;
mod plan;
mod record;
mod report;
mod targets;
mod vanish;
mod worker;

pub use cancel::CancelToken;
pub use options::AddOptions;
pub(crate) use pipeline::{Engine, add, tidy};
pub use plan::{PlanStep, ReadCause};
pub(crate) use plan::{Planner, missing_in};
pub use report::{IndexReport, Progress, Vanished};
pub use targets::Change;
pub(crate) use targets::{Target, health, of_changes, prepare, resolve};
