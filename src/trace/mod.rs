//! Finding the parameters by which a drawing is traced best, in the time that there is.

mod candidates;
mod effort;
mod limits;

pub use candidates::{CANDIDATES, first_for};
pub use effort::{CandidateScores, Found, Tier, bytes_for, find};
pub use limits::{Limits, NoLimits};
