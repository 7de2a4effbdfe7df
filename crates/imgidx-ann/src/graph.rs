//! The graph over quantized vectors, as it is searched: a frozen HNSW (Malkov and Yashunin, TPAMI 2020).
//!
//! Of several rows with identical codes only the first is in the graph. The others are found through it.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::best::Scored;
use super::bits;
use super::folder::DerivedFolder;
use super::graph_file::{GraphFile, GraphStatus};
use super::large::LargeArray;
use super::links::ListsView;
use super::quantized::QuantizedVectors;
use super::scan::CodedQuery;
use super::scores::{BitScores, CodeScores, Scores};
use super::walk::{Breadth, Visited, walk};
use imgidx_types::ModelId;

/// A searchable graph.
#[derive(Debug)]
pub struct Graph {
    codes: Arc<QuantizedVectors>,
    file: GraphFile,
    hot: HotData,
    /// A pool of visited-row sets that no search is using.
    visited: Mutex<Vec<Visited>>,
}

/// Copies of the data that every search reads, contiguous or in huge pages.
#[derive(Debug)]
struct HotData {
    /// The 1-bit codes; empty if there are none.
    bits: LargeArray<u64>,
    neighbor_starts: LargeArray<u32>,
    neighbors: LargeArray<u32>,
    /// Rows that every search scores first: the entry points, and the rows that the audit could not find, which serve
    /// as entry points too.
    first: Vec<u32>,
    /// The 1-bit codes of the first rows.
    first_bits: Vec<u64>,
    /// The first rows as the initial visited set.
    visited: Visited,
}

/// A quantized-vector file or a graph whose content is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedFile(pub std::path::PathBuf);

impl Graph {
    /// Opens the graph over quantized vectors and verifies every byte of both. `None` if there is no graph.
    ///
    /// # Errors
    /// [`DamagedFile`] if either file is unusable.
    pub fn open(
        folder: &DerivedFolder,
        model: &ModelId,
        codes: Arc<QuantizedVectors>,
    ) -> Result<Option<Self>, DamagedFile> {
        let seal = codes.status().seal.to_hex();
        let Some(path) = folder.graph(model, &seal).filter(|path| path.exists()) else { return Ok(None) };
        if codes.check_all().is_err() {
            return Err(DamagedFile(codes.path().to_owned()));
        }
        let file = GraphFile::open(&path, &codes).filter(|file| file.check().is_ok());
        file.map(|file| Some(Self::new(codes, file))).ok_or(DamagedFile(path))
    }

    /// Opens a graph that was just written. Its codes must have been verified.
    pub(super) fn open_draft(path: &Path, codes: Arc<QuantizedVectors>) -> Option<Self> {
        GraphFile::open(path, &codes).map(|file| Self::new(codes, file))
    }

    fn new(codes: Arc<QuantizedVectors>, file: GraphFile) -> Self {
        let hot = HotData::new(&codes, &file);
        Self { codes, file, hot, visited: Mutex::default() }
    }

    /// Reads the status of a graph from its file without verifying the rest. `None` if there is no graph.
    pub fn peek(folder: &DerivedFolder, model: &ModelId, seal: &str) -> Option<GraphStatus> {
        GraphFile::peek(&folder.graph(model, seal)?, seal)
    }

    /// The status that the file records.
    pub fn status(&self) -> &GraphStatus {
        self.file.status()
    }

    /// The rows that a row links to.
    pub(super) fn links_of(&self, row: u32) -> &[u32] {
        self.neighbors().of(row as usize)
    }

    /// The quantized vectors that the graph is built over.
    pub fn codes(&self) -> &Arc<QuantizedVectors> {
        &self.codes
    }

    /// Whether the file was truncated while it was in use.
    pub(super) fn is_broken(&self) -> bool {
        self.file.is_broken()
    }

    /// Memory in bytes, with the pages of the file but without the quantized vectors.
    pub fn bytes(&self) -> u64 {
        self.file.bytes() + self.hot.bytes()
    }

    /// The rows nearest to a query, nearest first, with at most `limit` duplicates of each.
    pub(super) fn search(&self, query: &CodedQuery, breadth: Breadth, limit: usize) -> Vec<Scored> {
        let mut visited = self.visited.lock().pop().unwrap_or_default();
        visited.become_like(&self.hot.visited);
        let scores = CodeScores::new(&self.codes, &query.code);
        let mut best = match &query.bits {
            Some(bits) => {
                let words = bits::words(self.codes.dimension());
                let by_bits = BitScores::new(bits, self.hot.bits.as_slice(), words);
                let first_rows = self.hot.first.iter().zip(self.hot.first_bits.chunks_exact(words));
                let first = first_rows.map(|(row, bits)| by_bits.score_bits(*row, bits)).collect();
                let proposed = walk(&by_bits, self.neighbors(), first, breadth, &mut visited);
                proposed.iter().for_each(|entry| scores.prefetch(entry.row()));
                proposed.iter().map(|entry| scores.score(entry.row())).collect()
            }
            None => {
                let first = self.hot.first.iter().map(|row| scores.score(*row)).collect();
                walk(&scores, self.neighbors(), first, breadth, &mut visited)
            }
        };
        self.visited.lock().push(visited);
        self.add_duplicates(&mut best, limit);
        best.sort_unstable_by(|a, b| b.cmp(a));
        best.dedup();
        best
    }

    fn add_duplicates(&self, found: &mut Vec<Scored>, limit: usize) {
        let (rows, duplicates) = self.file.duplicates();
        for i in 0..if rows.is_empty() { 0 } else { found.len() } {
            let entry = found[i];
            if let Ok(at) = rows.binary_search(&entry.row()) {
                found.extend(duplicates.of(at).iter().take(limit).map(|row| Scored::new(entry.score(), *row)));
            }
        }
    }

    fn neighbors(&self) -> ListsView<'_> {
        ListsView { starts: self.hot.neighbor_starts.as_slice(), members: self.hot.neighbors.as_slice() }
    }
}

impl HotData {
    /// Copies from verified files.
    fn new(codes: &QuantizedVectors, file: &GraphFile) -> Self {
        let has_bits = codes.mean().is_some();
        let bits = if has_bits { codes.bit_rows(0..codes.len()).expect("all codes were verified") } else { &[] };
        let ListsView { starts, members } = file.neighbors();
        let mut first = [file.entry_points(), file.missed()].concat();
        first.sort_unstable();
        first.dedup();
        let words = bits::words(codes.dimension());
        let bits_of = |row: &u32| &bits[*row as usize * words..(*row as usize + 1) * words];
        Self {
            bits: LargeArray::copy(bits),
            neighbor_starts: LargeArray::copy(starts),
            neighbors: LargeArray::copy(members),
            first_bits: if has_bits { first.iter().flat_map(bits_of).copied().collect() } else { Vec::new() },
            visited: Visited::of(codes.len(), &first),
            first,
        }
    }

    fn bytes(&self) -> u64 {
        let words = self.bits.as_slice().len() + self.first_bits.len();
        let rows = self.neighbor_starts.as_slice().len() + self.neighbors.as_slice().len() + self.first.len();
        (8 * words + 4 * rows) as u64
    }
}
