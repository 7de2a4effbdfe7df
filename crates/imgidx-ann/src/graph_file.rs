//! The file format of a graph.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::duplicate_rows::DuplicateRows;
use super::folder::{DerivedFolder, DerivedKind};
use super::huge_pages::copy_to_huge_pages;
use super::links::RowLists;
use super::quantized::QuantizedVectors;
use super::sealed::{SealedFile, SealedWriter, Unpublished};

/// The properties of a graph.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct GraphStatus {
    /// The number of vectors that the graph covers.
    pub vectors: u64,
    /// Maximum number of links that hnsw_rs gave each vector in a layer.
    pub links: usize,
    /// Candidates kept during the insertion of a vector.
    pub ef_construction: usize,
    /// Candidates kept during a query.
    pub ef: usize,
    /// The number of vectors that a search for themselves did not find. Every query scores them.
    pub missed: u64,
    /// Recall of the ten nearest in the audit, 0 to 1.
    pub recall: f32,
    /// Build time in seconds.
    pub build_seconds: f32,
}

impl GraphStatus {
    /// Minimum recall in the audit for a graph to be used. The queries of the audit lie between pictures, so they are
    /// harder than real ones.
    const MIN_RECALL: f32 = 0.95;
    /// One in this many vectors may be missed, because every query scores the missed ones. A small graph may miss up to
    /// [`Self::MISSED_ALLOWANCE`] vectors.
    const MAX_MISSED_ONE_IN: u64 = 32;
    const MISSED_ALLOWANCE: u64 = 4096;

    /// Whether searches of the graph have enough recall and are faster than a scan.
    pub fn is_useful(&self) -> bool {
        self.recall >= Self::MIN_RECALL
            && self.missed <= Self::MISSED_ALLOWANCE.max(self.vectors / Self::MAX_MISSED_ONE_IN)
    }
}

/// How hnsw_rs builds a graph. The lowest layer is refined afterwards, so small values suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphOptions {
    /// Maximum number of links of a vector in a layer.
    pub links: usize,
    /// Candidates kept during the insertion of a vector.
    pub ef_construction: usize,
}

impl Default for GraphOptions {
    fn default() -> Self {
        Self { links: 8, ef_construction: 32 }
    }
}

/// The metadata in the header of a graph file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct About {
    status: GraphStatus,
    /// The seal of the codes.
    codes: String,
    entry_points: usize,
    links: usize,
    /// The number of rows with duplicates, and of their duplicates.
    twins: (usize, usize),
}

/// The content of a graph file.
#[derive(Debug)]
pub(super) struct GraphData {
    pub status: GraphStatus,
    /// Rows that every search scores first; it starts from the nearest of them.
    pub entry_points: Vec<u32>,
    /// The rows that each row links to.
    pub neighbors: RowLists,
    /// The rows that the audit could not find.
    pub missed: Vec<u32>,
    pub duplicates: DuplicateRows,
}

impl GraphData {
    /// Whether all row numbers are in range, so that no search can leave the arrays.
    fn is_sound(&self, rows: usize) -> bool {
        let are_rows = |of: &[u32]| of.iter().all(|row| (*row as usize) < rows);
        !self.entry_points.is_empty()
            && are_rows(&self.entry_points)
            && are_rows(&self.missed)
            && self.neighbors.are_sound(rows)
            && are_rows(&self.duplicates.rows)
            && self.duplicates.rows.is_sorted()
            && self.duplicates.lists.are_sound(rows)
    }
}

/// Reads and verifies a file of any name. `None` if it is unusable or belongs to other codes.
pub(super) fn read(path: &Path, codes: &QuantizedVectors) -> Option<GraphData> {
    let (file, about) = SealedFile::open::<About>(path)?;
    if about.codes != codes.status().seal.to_hex().as_str() {
        return None;
    }
    file.check_all().ok()?;
    let array = |name: &str, count: usize| {
        let section = file.section(name, count.checked_mul(4)?)?;
        Some(copy_to_huge_pages(file.whole::<u32>(&section).ok()?))
    };
    let (with_duplicates, duplicates) = about.twins;
    let entry_points = array("entry points", about.entry_points)?;
    let neighbors = RowLists { starts: array("starts", codes.len() + 1)?, members: array("links", about.links)? };
    let missed = array("missed", usize::try_from(about.status.missed).ok()?)?;
    let starts = array("twin starts", with_duplicates.checked_add(1)?)?;
    let lists = RowLists { starts, members: array("twins", duplicates)? };
    let duplicates = DuplicateRows { rows: array("twin rows", with_duplicates)?, lists };
    let data = GraphData { status: about.status, entry_points, neighbors, missed, duplicates };
    (!file.is_broken() && data.is_sound(codes.len())).then_some(data)
}

/// Reads the status from a file without verifying the rest. `None` if it is not a graph over the codes with this seal.
pub(super) fn peek(path: &Path, seal: &str) -> Option<GraphStatus> {
    let (_, about) = SealedFile::open::<About>(path)?;
    (about.codes == seal).then_some(about.status)
}

/// Writes a graph file, which is not published yet.
pub(super) fn write(folder: &DerivedFolder, codes: &QuantizedVectors, data: &GraphData) -> io::Result<Unpublished> {
    let GraphData { status, entry_points, neighbors, missed, duplicates } = data;
    let mut writer = SealedWriter::create(folder.path(), DerivedKind::Graph.unfinished())?;
    writer.write_section("entry points", entry_points)?;
    writer.write_section("starts", &neighbors.starts)?;
    writer.write_section("links", &neighbors.members)?;
    writer.write_section("missed", missed)?;
    writer.write_section("twin rows", &duplicates.rows)?;
    writer.write_section("twin starts", &duplicates.lists.starts)?;
    writer.write_section("twins", &duplicates.lists.members)?;
    writer.finish(&About {
        status: status.clone(),
        codes: codes.status().seal.to_hex().to_string(),
        entry_points: entry_points.len(),
        links: neighbors.members.len(),
        twins: (duplicates.rows.len(), duplicates.lists.members.len()),
    })
}
