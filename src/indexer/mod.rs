//! Keeping an index current: what has to be done, and doing it.
//!
//! `plan` compares the disk with the database and reads nothing; the pipeline reads, decodes and embeds what the
//! plan says, on every core, and one writer stores it. Between the context are bounded queues, and what lies in them
//! is counted in bytes, so that memory does not grow with the number or the size of files.

mod concurrency;
mod context;
mod crash_journal;
mod engine;
mod machine;
mod mass_deletion_guard;
mod memory_plan;
mod options;
mod pipeline;
mod plan;
mod planning;
mod preprocess;
mod record;
mod report;
mod targets;
mod throttle;
mod trial;
mod worker;

pub use crate::types::CancelToken;
pub(crate) use engine::Engine;
pub(crate) use machine::machine;
pub use options::AddOptions;
pub(crate) use pipeline::{add, tidy};
pub use plan::{PlanStep, ReadCause};
pub(crate) use plan::{Planner, missing_in};
pub use report::{IndexReport, Progress, Vanished, Waiting};
pub use targets::Change;
pub(crate) use targets::{Target, health, of_changes, prepare, resolve};
pub use trial::Setting;
pub(crate) use trial::Trial;
