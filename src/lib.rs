//! Finds any picture on your disk by what it looks like.
//!
//! An [`Index`] is one SQLite file. [`Index::add`] brings it up to date with directories of pictures, and its
//! [`Searcher`] finds the pictures that look most like a given one:
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
//! for hit in index.searcher().similar(&Query::image(photos.join("red.png")), 10)? {
//!     println!("{:.3}  {}", hit.score, hit.path.display());
//! }
//! # assert_eq!((report.new, report.failed), (3, 0));
//! # Ok(())
//! # }
//! ```
//!
//! A [`Searcher`] only reads: it is cheap to clone, and many threads can use it at once. [`Searcher::search`] finds pictures
//! by what they show and by words in their paths ([`TextQuery`]), and [`Searcher::dupes`] finds copies
//! ([`search::DupeQuery`]). A [`Filter`] narrows each of them by place, size, type, colour and date. An [`Index`] writes;
//! [`Index::trace`] turns drawings into SVGs.
//!
//! # Modules
//!
//! A picture is identified by the BLAKE3 hash of its content ([`types::ContentHash`]), however many files hold it.
//! [`Index::add`] works in six stages:
//!
//! 1. [`scan`] walks the directories and takes each file's signature.
//! 2. [`indexer`] compares the signatures with the rows of the [`store`] and reads only new and changed files.
//! 3. [`media`] decodes each picture, turns it upright, scales it and measures its features.
//! 4. [`model`] computes a vector ([`types::Embedding`]) and classes with ONNX Runtime.
//! 5. [`store`] writes them to SQLite, one transaction for each batch.
//! 6. [`ann`] derives quantized vectors from the vectors, and a graph for long-running processes.
//!
//! [`search`] answers queries from the last two. [`trace`] searches for the parameters with which [`vector`] traces a
//! drawing best. [`documents`] has the JSON documents of the command line. [`media`], [`model`], [`ann`] and [`vector`]
//! are crates of their own.

#[cfg(unix)]
pub mod daemon;
pub mod documents;
mod encoder;
pub mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod index;
pub mod indexer;
mod options;
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
