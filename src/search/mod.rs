//! Reading an index: similar pictures, search by words, duplicates, single pictures, lists and the status.

mod companions;
mod derived_files;
mod dupes;
mod examine;
mod export;
mod filter;
mod lookup;
mod maintenance;
mod model;
mod query;
mod readers;
mod resident;
mod searcher;
mod status;
mod text;

pub(crate) use derived_files::{collect, damaged_graph, derived_folder, open_codes, refresh_codes};
pub use dupes::{
    DupeAnswer, DupeGroup, DupePicture, DupeQuery, DupeTier, KeepRule, KeepRules, Redundant, RedundantFile,
    SIMILAR_THRESHOLD, Withheld, WithheldFile,
};
pub(crate) use dupes::{PairError, Verified, VerifiedPair, verify_pair};
pub use examine::Examined;
pub use filter::Filter;
pub use model::ActiveModel;
pub(crate) use model::{MODEL_ID_SETTING, MODEL_SETTING};
pub use query::{Answer, Derived, Hit, QueriedImage, Query, QueryImage};
pub use resident::{SearcherOptions, SearcherStatus};
pub use searcher::Searcher;
pub use status::{NeighborStatus, RootStatus, Status};
#[cfg(any(test, fuzzing))]
pub(crate) use text::search_text;
pub use text::{
    LOW_THRESHOLD, METADATA_MATCH_SCORE, MIN_LABEL_SCORE, MIN_MEANING_SCORE, MatchKind, PATH_MATCH_SCORE, Suggestion,
    TextAnswer, TextHit, TextQuery, Understood, Why,
};
