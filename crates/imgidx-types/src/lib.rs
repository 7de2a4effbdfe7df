//! Types that all crates of imgidx share: identifiers, embeddings and file signatures. Also functions that open files
//! safely.
//!
//! ```
//! use imgidx_types::{ContentHash, Embedding};
//!
//! let hash = ContentHash::of(b"the bytes of a picture");
//! assert_eq!(hash.to_string().len(), 64);
//! let embedding = Embedding::normalized(vec![3.0, 4.0])?;
//! assert_eq!(embedding.as_slice(), [0.6, 0.8]);
//! # Ok::<(), imgidx_types::InvalidEmbedding>(())
//! ```

mod caught_panic;
mod embedding;
mod file_stat;
mod identity;
mod io_reason;
mod nofollow;

pub use caught_panic::{catching_panics, is_panic_caught};
pub use embedding::{Classification, Embedding, InvalidEmbedding};
pub use file_stat::{FileStat, nanoseconds_since_1970, now_ns};
pub use identity::{ContentHash, ContentHasher, FileId, ImageId, ModelId, ParseDigestError, RootId, VectorId};
pub use io_reason::io_reason;
pub use nofollow::{is_exhausted, open_nofollow, open_regular};
