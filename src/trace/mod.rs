//! Finding the parameters by which a drawing is traced best, in the time that there is.

mod candidates;
mod effort;

pub use candidates::{CANDIDATES, first_for};
pub use effort::{Found, Tier, find};
