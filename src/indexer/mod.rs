//! Brings an index up to date: plans the work, and does it.
//!
//! The planner compares the disk with the database and reads no file contents. The pipeline reads, decodes and embeds
//! the planned files on all cores, and a single writer stores the results. Bounded queues connect the stages, and
//! their contents are counted in bytes, so that memory use does not grow with the number or the size of the files.

mod concurrency;
mod context;
mod crash_journal;
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
mod setting;
mod targets;
mod throttle;
mod worker;

pub use crate::types::CancelToken;
pub(crate) use machine::machine;
pub use options::AddOptions;
pub(crate) use pipeline::{add, tidy};
pub use plan::{PlanStep, ReadCause};
pub(crate) use plan::{Planner, missing_in};
pub use report::{IndexReport, Progress, Vanished, Waiting};
pub use setting::Setting;
pub use targets::Change;
pub(crate) use targets::{Target, enclosing_root, health, of_changes, prepare, resolve};
