//! Finds any picture on your disk by what it looks like.
//!
//! An [`Index`] is one SQLite file. [`Index::add`] keeps it current with directories of pictures, and
//! [`Index::similar`] finds neighbours:
//!
//! ```
//! use imgidx::{AddOptions, Index, Query};
//!
//! # fn main() -> imgidx::Result<()> {
//! # let dir = tempfile::tempdir().expect("a folder");
//! # let photos = dir.path().join("photos");
//! # std::fs::create_dir(&photos).expect("a folder");
//! # for (name, color) in [("red.png", [200, 30, 30]), ("rust.png", [180, 60, 30]), ("sea.png", [20, 60, 200])] {
//! #     image::RgbImage::from_fn(64, 64, |x, y| image::Rgb(if (x / 8 + y / 8) % 2 == 0 { color } else { [255; 3] }))
//! #         .save(photos.join(name)).expect("a picture");
//! # }
//! # let database = dir.path().join("photos.db");
//! let mut index = Index::open(&database)?;
//! let report = index.add([&photos], &AddOptions::default())?;
//! println!("{} new, {} failed", report.new, report.failed);
//! for hit in index.similar(&Query::image(photos.join("red.png")), 10)? {
//!     println!("{:.3}  {}", hit.score, hit.path.display());
//! }
//! # assert_eq!((report.new, report.failed), (3, 0));
//! # Ok(())
//! # }
//! ```
//!
//! [`Index::search`] finds pictures by what is in them and by words in their paths ([`TextQuery`]), [`Index::dupes`] finds copies
//! ([`search::DupeQuery`]), and a [`Filter`] narrows all of them, by place, size, type, colour and date. [`Index::trace`] makes SVGs of drawings.
//!
//! # The map
//!
//! A picture is its content's BLAKE3 hash ([`types::ContentHash`]), however many files hold it. `add` goes through
//!
//! 1. [`scan`]: walk the directories, take each file's signature;
//! 2. [`indexer`]: compare with the rows of the [`store`], and read only what is new or changed;
//! 3. [`media`]: decode, turn upright, scale, measure what it looks like;
//! 4. [`model`]: ONNX Runtime makes a vector ([`types::Embedding`]) and classes;
//! 5. [`store`]: SQLite takes them, in one transaction a batch;
//! 6. [`ann`]: codes, and for processes that stay a graph, are derived from the vectors.
//!
//! [`search`] answers from the last two, and [`trace`] finds the best way to have [`vector`] make paths of a drawing. Modules use only what is further down in
//! `index → {indexer, search, trace} → {scan, media, model, sandbox, vector, store, ann} → {types, error}`.

#[cfg(unix)]
pub mod daemon;
pub mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod index;
pub mod indexer;
pub mod scan;
pub mod search;
pub mod store;
pub mod trace;
pub mod types;
pub mod watch;

#[doc(inline)]
pub use imgidx_ann as ann;
#[doc(inline)]
pub use imgidx_media as media;
#[doc(inline)]
pub use imgidx_media::sandbox;
#[doc(inline)]
pub use imgidx_model as model;
#[doc(inline)]
pub use imgidx_vectorize as vector;

#[doc(inline)]
pub use error::{Error, Result};
#[doc(inline)]
pub use index::{Index, OpenOptions};
#[doc(inline)]
pub use indexer::{AddOptions, CancelToken, IndexReport, Progress};
#[doc(inline)]
pub use search::{Answer, Filter, Hit, Query, QueryImage, Searcher, SearcherOptions, TextAnswer, TextQuery};
#[doc(inline)]
pub use trace::{Tier, TraceOptions, Traced};
