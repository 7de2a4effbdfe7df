//! Answers: what is similar, what is known of a picture, and lists of everything.

mod examine;
mod export;
mod filter;
mod keeper;
mod neighbors;
mod query;
mod searcher;
mod upkeep;

pub use examine::Examined;
pub(crate) use examine::examine;
pub use export::{ExportFormat, export_npy};
pub use filter::Filter;
pub(crate) use neighbors::Lookup;
pub use query::{Answer, Derived, Hit, QueriedImage, Query, QueryImage};
pub use searcher::{Searcher, SearcherOptions, SearcherStatus};
pub(crate) use upkeep::{
    Age, collect, damaged_graph, derived_folder, open_codes, peek_graph, refresh_codes, renew_codes,
};
