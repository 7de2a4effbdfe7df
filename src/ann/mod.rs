//! Nearest neighbours among the vectors of one model.
//!
//! All of it is derived from the database and can be deleted. [`Codes`] is a file of small codes, one for each vector
//! in the order of their ids, mapped into memory and scanned; what was stored after the file was written is scanned
//! from the database. Scores of codes only choose candidates: the answer is ranked by the stored vectors, which a
//! [`VectorSource`] gives.

mod codes;
mod quantize;
mod search;

pub use codes::{Codes, CodesStatus};
pub use search::{Method, Neighbor, VectorIndex, VectorSource};
