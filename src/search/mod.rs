//! Answers: what is similar, what is known of a picture, and lists of everything.

mod derived_files;
mod dupes;
mod examine;
mod export;
mod filter;
mod maintenance;
mod neighbors;
mod query;
mod searcher;
mod text;

pub(crate) use derived_files::{
    Age, collect, damaged_graph, derived_folder, open_codes, peek_graph, refresh_codes, renew_codes,
};
pub use dupes::{
    DupeAnswer, DupeGroup, DupePicture, DupeQuery, DupeTier, Redundant, RedundantFile, SIMILAR, Withheld, WithheldFile,
};
pub(crate) use dupes::{find_dupes, find_redundant};
pub use examine::Examined;
pub(crate) use examine::{Eye, content_of, examine, read_picture};
pub use export::{ExportFormat, export_npy};
pub use filter::Filter;
pub(crate) use neighbors::Lookup;
pub use query::{Answer, Derived, Hit, QueriedImage, Query, QueryImage};
pub(crate) use searcher::SharedEye;
pub use searcher::{Searcher, SearcherOptions, SearcherStatus};
pub(crate) use text::search_text;
pub use text::{MIN_LABEL_SCORE, PATH_MATCH_SCORE, TextAnswer, TextHit, TextQuery};
