//! Answers: what is similar, what is known of a picture, and lists of everything.

mod examine;
mod export;
mod neighbors;
mod query;

pub use examine::Examined;
pub(crate) use examine::examine;
pub use export::{ExportFormat, export_npy};
pub(crate) use neighbors::{Lookup, refresh_codes};
pub use query::{Answer, Hit, QueriedImage, Query, QueryImage};
