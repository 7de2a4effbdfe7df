//! Values that every layer shares: identities, vectors, classes and file signatures.
//!
//! Most are plain values. There are also measurements of this process's memory, and two things that threads share: a
//! memory budget and a cancellation flag. Every module may use this one; it uses no other.

mod budget;
mod cancel;
mod memory;
mod path_bytes;
mod pictures;
mod time;

pub(crate) use budget::{ByteBudget, MemoryPermit};
pub use cancel::CancelToken;
pub use imgidx_media::{
    ColorName, ColorShares, DecodedFrom, DetailFeatures, DominantColor, FeatureStage, Features, ImageInfo, ImageType,
    Lab, Location, Metadata, Miniature, QuickFeatures, ToneFeatures, TypeGuess,
};
pub use imgidx_types::{
    Classification, ContentHash, Embedding, FileId, FileStat, ImageId, InvalidEmbedding, ModelId, ParseDigestError,
    RootId, VectorId, is_panic_caught,
};
pub(crate) use imgidx_types::{is_exhausted, nanoseconds_since_1970, now_ns, open_nofollow, open_regular};
pub(crate) use memory::give_back_memory;
pub use memory::{current_memory, give_back_large_pieces, peak_memory, share_freed_memory};
pub use path_bytes::{
    DatabaseField, FileField, KeptField, LibraryField, PathField, RootField, SvgField, escape_path, path_from_bytes,
    path_text, path_to_bytes, paths_text, resolved,
};
pub use pictures::{Shape, Stage};
pub use time::rfc3339;
