//! The graph over quantized vectors, as it is searched: a frozen HNSW (Malkov and Yashunin, TPAMI 2020).
//!
//! Of several rows with identical codes only the first is in the graph. The others are found through it.

use std::sync::Arc;

use parking_lot::Mutex;

use super::best::Scored;
use super::bits;
use super::duplicate_rows::DuplicateRows;
use super::folder::DerivedFolder;
use super::graph_file::{self, GraphData, GraphStatus};
use super::huge_pages::copy_to_huge_pages;
use super::quantized::QuantizedVectors;
use super::scan::CodedQuery;
use super::scores::{BitScores, CodeScores, Scores};
use super::walk::{Breadth, Visited, walk};
use imgidx_types::ModelId;

/// A searchable graph in memory.
#[derive(Debug)]
pub struct Graph {
    codes: Arc<QuantizedVectors>,
    pub(super) data: GraphData,
    /// A copy of the 1-bit codes in huge pages; empty if there are none.
    bits: Vec<u64>,
    /// Rows that every search scores first: the entry points, and the rows that the audit could not find, which serve
    /// as entry points too.
    first: Vec<u32>,
    /// The 1-bit codes of the first rows.
    first_bits: Vec<u64>,
    /// The first rows as the initial visited set.
    first_visited: Visited,
    /// A pool of visited-row sets that no search is using.
    visited: Mutex<Vec<Visited>>,
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
        let data = graph_file::read(&path, &codes).ok_or(DamagedFile(path))?;
        Ok(Some(Self::new(codes, data)))
    }

    /// A graph over codes that have been verified.
    pub(super) fn new(codes: Arc<QuantizedVectors>, data: GraphData) -> Self {
        let has_bits = codes.mean().is_some();
        let bits = if has_bits { codes.bit_rows(0..codes.len()).expect("all codes were verified") } else { &[] };
        let mut first = [data.entry_points.as_slice(), &data.missed].concat();
        first.sort_unstable();
        first.dedup();
        let words = bits::words(codes.dimension());
        let bits_of = |row: &u32| &bits[*row as usize * words..][..words];
        Self {
            bits: copy_to_huge_pages(bits),
            first_bits: if has_bits { first.iter().flat_map(bits_of).copied().collect() } else { Vec::new() },
            first_visited: Visited::of(codes.len(), &first),
            visited: Mutex::default(),
            first,
            codes,
            data,
        }
    }

    pub(super) fn into_data(self) -> GraphData {
        self.data
    }

    /// Reads the status of a graph from its file without verifying the rest. `None` if there is no graph.
    pub fn peek(folder: &DerivedFolder, model: &ModelId, seal: &str) -> Option<GraphStatus> {
        graph_file::peek(&folder.graph(model, seal)?, seal)
    }

    /// The status that the file records.
    pub fn status(&self) -> &GraphStatus {
        &self.data.status
    }

    /// The quantized vectors that the graph is built over.
    pub fn codes(&self) -> &Arc<QuantizedVectors> {
        &self.codes
    }

    /// Memory in bytes, without the quantized vectors.
    pub fn bytes(&self) -> u64 {
        let GraphData { entry_points, neighbors, missed, duplicates, .. } = &self.data;
        let lists = [neighbors, &duplicates.lists].map(|lists| lists.starts.len() + lists.members.len());
        let rows = [entry_points, missed, &duplicates.rows, &self.first].map(Vec::len);
        let words = self.bits.len() + self.first_bits.len();
        (8 * words + 4 * (lists.iter().sum::<usize>() + rows.iter().sum::<usize>())) as u64
    }

    /// The rows nearest to a query, nearest first, with at most `limit` duplicates of each.
    pub(super) fn search(&self, query: &CodedQuery, breadth: Breadth, limit: usize) -> Vec<Scored> {
        let mut visited = self.visited.lock().pop().unwrap_or_default();
        visited.become_like(&self.first_visited);
        let scores = CodeScores::new(&self.codes, &query.code);
        let mut best = match &query.bits {
            Some(bits) => {
                let words = bits::words(self.codes.dimension());
                let by_bits = BitScores::new(bits, &self.bits, words);
                let first_rows = self.first.iter().zip(self.first_bits.chunks_exact(words));
                let first = first_rows.map(|(row, bits)| by_bits.score_bits(*row, bits)).collect();
                let proposed = walk(&by_bits, &self.data.neighbors, first, breadth, &mut visited);
                proposed.iter().for_each(|entry| scores.prefetch(entry.row()));
                proposed.iter().map(|entry| scores.score(entry.row())).collect()
            }
            None => {
                let first = self.first.iter().map(|row| scores.score(*row)).collect();
                walk(&scores, &self.data.neighbors, first, breadth, &mut visited)
            }
        };
        self.visited.lock().push(visited);
        self.add_duplicates(&mut best, limit);
        best.sort_unstable_by(|a, b| b.cmp(a));
        best.dedup();
        best
    }

    fn add_duplicates(&self, found: &mut Vec<Scored>, limit: usize) {
        let DuplicateRows { rows, lists } = &self.data.duplicates;
        for i in 0..if rows.is_empty() { 0 } else { found.len() } {
            let entry = found[i];
            if let Ok(at) = rows.binary_search(&entry.row()) {
                found.extend(lists.of(at).iter().take(limit).map(|row| Scored::new(entry.score(), *row)));
            }
        }
    }
}
