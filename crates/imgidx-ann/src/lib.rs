//! Nearest-neighbour search over the vectors of one model.
//!
//! All files of this crate are derived from the database and can be deleted at any time. [`QuantizedVectors`] is a
//! memory-mapped file of compact codes, one per vector, ordered by id. A search scans it. [`Graph`] is a file with an
//! HNSW graph over these codes, for long-running processes. Newer vectors are scanned in the database or in memory.
//! Codes only select candidates: the answer is ranked by the stored vectors, which a [`VectorSource`] supplies.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use imgidx_ann::{NeighborQuery, VectorIndex, VectorSource};
//! use imgidx_types::{Embedding, VectorId};
//!
//! /// Vectors in memory, with their places as ids.
//! struct Vectors(Vec<Embedding>);
//!
//! impl VectorSource for Vectors {
//!     type Error = Infallible;
//!
//!     fn vector(&self, id: VectorId) -> Result<Option<Embedding>, Infallible> {
//!         Ok(self.0.get(id.0 as usize - 1).cloned())
//!     }
//!
//!     fn for_each_after(&self, after: VectorId, each: &mut dyn FnMut(VectorId, &Embedding)) -> Result<(), Infallible> {
//!         let newer = (1..).zip(&self.0).skip(after.0 as usize);
//!         newer.for_each(|(id, vector)| each(VectorId(id), vector));
//!         Ok(())
//!     }
//! }
//!
//! let vector = |x, y| Embedding::normalized(vec![x, y]).expect("it has a direction");
//! let source = Vectors(vec![vector(1.0, 0.0), vector(0.0, 1.0), vector(1.0, 0.5)]);
//! let query = vector(1.0, 0.1);
//! let wanted = NeighborQuery { query: &query, count: 2, among: None, exact: false };
//! let found = VectorIndex::default().nearest(wanted, &source, |_| Ok(true))?;
//! assert_eq!(found.neighbors.iter().map(|neighbor| neighbor.id.0).collect::<Vec<_>>(), [1, 3]);
//! # Ok::<(), Infallible>(())
//! ```

mod audit;
mod best;
mod bits;
mod build;
mod delta_buffer;
mod duplicate_rows;
mod error;
mod folder;
mod graph;
mod graph_file;
mod hnsw;
mod huge_pages;
mod kernels;
mod links;
mod mapping;
mod pairs;
mod quantized;
mod refine;
mod rotation;
mod scalar;
mod scan;
mod scores;
mod sealed;
mod search;
mod walk;

pub use build::{build_graph, graph_memory};
pub use delta_buffer::DeltaBuffer;
pub use error::{Error, Result};
pub use folder::DerivedFolder;
pub use graph::{DamagedFile, Graph};
pub use graph_file::{GraphOptions, GraphStatus};
pub use pairs::{BitTable, SignTable};
pub use quantized::{QuantizedStatus, QuantizedVectors, UnpublishedVectors};
pub use search::{Found, Method, Neighbor, NeighborQuery, VectorIndex, VectorSource};

/// Entry points for fuzzers: everything that parses untrusted bytes.
#[doc(hidden)]
pub mod fuzzed {
    use std::path::Path;
    use std::sync::Arc;

    use super::folder::DerivedFolder;
    use super::graph_file;
    use super::quantized::QuantizedVectors;
    use super::sealed::seal_anything;
    use imgidx_types::ModelId;

    const DIMENSION: usize = 8;

    /// Opens and reads two files, one of quantized vectors and one with a graph. The first 4 bytes of `data` give the
    /// length of the first file; the rest is the second.
    pub fn sealed(folder: &Path, data: &[u8]) {
        let Some((length, rest)) = data.split_at_checked(4) else { return };
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize % (rest.len() + 1);
        let (of_codes, of_graph) = rest.split_at(length);
        let (folder, model) = (DerivedFolder::new(folder.join("derived")), ModelId::from([7; 32]));
        std::fs::create_dir_all(folder.path()).expect("the folder can be created");
        let (file, seal) = seal_anything(of_codes);
        let path = folder.codes(&model, &seal).expect("a fresh seal is valid");
        std::fs::write(&path, file).expect("the file can be written");
        let codes = QuantizedVectors::open(&folder, &model, DIMENSION, &seal);
        if let Some(codes) = codes {
            let codes = Arc::new(codes);
            let (rows, _) = (codes.len(), codes.verify());
            for row in [0, rows / 2, rows.saturating_sub(1)].into_iter().filter(|row| *row < rows) {
                let _ = codes.ids(row..row + 1);
                let _ = codes.block(row..row + 1);
                let _ = codes.bit_rows(row..row + 1);
            }
            let (file, _) = seal_anything(of_graph);
            let path = folder.path().join("fuzzed.graph");
            std::fs::write(&path, file).expect("the file can be written");
            if let Some(graph) = graph_file::read(&path, &codes) {
                for row in [0, rows / 2, rows - 1] {
                    let _ = graph.neighbors.of(row);
                }
            }
        }
        let _ = std::fs::remove_file(path);
    }
}
