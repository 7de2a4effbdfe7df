//! The graph over a file of codes, as it is searched: a frozen HNSW (Malkov and Yashunin, TPAMI 2020).
//!
//! Only the first of identical codes is in the graph and stands for all of them; the others are found through it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

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

/// A graph that can be searched.
#[derive(Debug)]
pub struct Graph {
    codes: Arc<QuantizedVectors>,
    file: GraphFile,
    near: Near,
    /// Marks for visited rows that no search has at the moment.
    visited: Mutex<Vec<Visited>>,
}

/// Copies of what every search reads, in the order in which it is read or in large pages.
#[derive(Debug)]
struct Near {
    /// QuantizedVectors of one bit; empty where there are none.
    bits: LargeArray<u64>,
    neighbor_starts: LargeArray<u32>,
    neighbors: LargeArray<u32>,
    /// Rows that every search looks at first: the entry points, and those that no search finds, which lead on as well.
    first: Vec<u32>,
    /// Their codes of one bit.
    first_bits: Vec<u64>,
    /// These rows as the set that has been visited.
    visited: Visited,
}

/// A file of codes or a graph that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedFile(pub std::path::PathBuf);

impl Graph {
    /// Opens the graph over some codes and checks every byte of both; `None` if there is none.
    ///
    /// # Errors
    /// [`DamagedFile`] if there is one that cannot be used.
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

    /// Opens a graph that was just written over codes that have been checked.
    pub(super) fn open_draft(path: &Path, codes: Arc<QuantizedVectors>) -> Option<Self> {
        GraphFile::open(path, &codes).map(|file| Self::new(codes, file))
    }

    fn new(codes: Arc<QuantizedVectors>, file: GraphFile) -> Self {
        let near = Near::new(&codes, &file);
        Self { codes, file, near, visited: Mutex::default() }
    }

    /// What a graph's file says of itself, which is not checked further; `None` if there is none.
    pub fn peek(folder: &DerivedFolder, model: &ModelId, seal: &str) -> Option<GraphStatus> {
        GraphFile::peek(&folder.graph(model, seal)?, seal)
    }

    /// What the file says of itself.
    pub fn status(&self) -> &GraphStatus {
        self.file.status()
    }

    /// What a row links to.
    pub(super) fn links_of(&self, row: u32) -> &[u32] {
        self.neighbors().of(row as usize)
    }

    /// The codes that it is a graph of.
    pub fn codes(&self) -> &Arc<QuantizedVectors> {
        &self.codes
    }

    /// Whether its file was cut off while it was in use.
    pub(super) fn is_broken(&self) -> bool {
        self.file.is_broken()
    }

    /// Bytes of memory that it takes beside the codes, with the pages of its file.
    pub fn bytes(&self) -> u64 {
        self.file.bytes() + self.near.bytes()
    }

    /// The rows nearest to a query's code, the nearest first, and their twins, at most `wanted` of one kind.
    pub(super) fn search(&self, query: &CodedQuery, breadth: Breadth, wanted: usize) -> Vec<Scored> {
        let mut visited = self.visited.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        visited.become_like(&self.near.visited);
        let scores = CodeScores::new(&self.codes, &query.code);
        let mut best = match &query.bits {
            Some(bits) => {
                let words = bits::words(self.codes.dimension());
                let by_bits = BitScores::new(bits, self.near.bits.as_slice(), words);
                let first_rows = self.near.first.iter().zip(self.near.first_bits.chunks_exact(words));
                let first = first_rows.map(|(row, bits)| by_bits.score_bits(*row, bits)).collect();
                let proposed = walk(&by_bits, self.neighbors(), first, breadth, &mut visited);
                proposed.iter().for_each(|entry| scores.prefetch(entry.row()));
                proposed.iter().map(|entry| scores.score(entry.row())).collect()
            }
            None => {
                let first = self.near.first.iter().map(|row| scores.score(*row)).collect();
                walk(&scores, self.neighbors(), first, breadth, &mut visited)
            }
        };
        self.visited.lock().unwrap_or_else(PoisonError::into_inner).push(visited);
        self.add_twins(&mut best, wanted);
        best.sort_unstable_by(|a, b| b.cmp(a));
        best.dedup();
        best
    }

    fn add_twins(&self, found: &mut Vec<Scored>, wanted: usize) {
        let (rows, twins) = self.file.twins();
        for i in 0..if rows.is_empty() { 0 } else { found.len() } {
            let entry = found[i];
            if let Ok(at) = rows.binary_search(&entry.row()) {
                found.extend(twins.of(at).iter().take(wanted).map(|row| Scored::new(entry.score(), *row)));
            }
        }
    }

    fn neighbors(&self) -> ListsView<'_> {
        ListsView { starts: self.near.neighbor_starts.as_slice(), members: self.near.neighbors.as_slice() }
    }
}

impl Near {
    /// Copies from files that have been checked.
    fn new(codes: &QuantizedVectors, file: &GraphFile) -> Self {
        let has_bits = codes.mean().is_some();
        let bits = if has_bits { codes.bit_rows(0..codes.len()).expect("all was checked before") } else { &[] };
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
