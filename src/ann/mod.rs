//! Nearest neighbours among the vectors of one model.
//!
//! All of it is derived from the database and can be deleted. [`Codes`] is a file of small codes, one for each vector
//! in the order of their ids, mapped into memory and scanned. [`Graph`] is a file with an HNSW graph over them, for
//! processes that stay. What is newer is scanned from the database, or from memory. Scores of codes only choose
//! candidates: the answer is ranked by the stored vectors, which a [`VectorSource`] gives.

mod audit;
mod best;
mod bits;
mod build;
mod codes;
mod folder;
mod graph;
mod graph_file;
mod hnsw;
mod kernels;
mod large;
mod links;
mod mapping;
mod pairs;
mod recent;
mod refine;
mod rotation;
mod scalar;
mod scan;
mod scores;
mod sealed;
mod search;
mod twins;
mod walk;

pub use build::{build_graph, graph_memory};
pub use codes::{Codes, CodesStatus, WrittenCodes};
pub use folder::DerivedFolder;
pub use graph::{DamagedFile, Graph};
pub use graph_file::{GraphOptions, GraphStatus};
pub use pairs::{BitTable, SignTable};
pub use recent::Recent;
pub use search::{Found, Method, Neighbor, VectorIndex, VectorSource, Wanted};
