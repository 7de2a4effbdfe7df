//! The words that every layer shares: identities, vectors, classes and file signatures.
//!
//! Plain values, which every module may use and which use none; what the system tells of this process; and what many threads share: bytes
//! that they may hold together, and a sign to stop.

mod budget;
mod cancel;
mod color;
mod embedding;
mod features;
mod file_stat;
mod identity;
mod memory;
mod own_file;
mod path_bytes;
mod pictures;

pub(crate) use budget::{ByteBudget, Held};
pub use cancel::CancelToken;
pub use color::Lab;
pub use embedding::{Classification, Embedding, InvalidEmbedding};
pub use features::{
    DetailFeatures, DominantColor, FeatureStage, Features, ImageType, QuickFeatures, ToneFeatures, TypeGuess,
};
pub use file_stat::FileStat;
pub(crate) use file_stat::{nanoseconds_since_1970, now_ns};
pub use identity::{ContentHash, FileId, ImageId, ModelId, ParseDigestError, RootId, VectorId};
pub(crate) use memory::give_back_memory;
pub use memory::{current_memory, give_back_large_pieces, peak_memory, share_freed_memory};
pub(crate) use own_file::{is_exhausted, open_own, open_regular};
pub use path_bytes::{path_from_bytes, path_text, path_to_bytes, paths_text};
pub use pictures::{ImageInfo, Shape, Stage};
