//! The file format of a graph: memory-mapped arrays.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::duplicate_rows::DuplicateRows;
use super::folder::{DerivedFolder, DerivedKind};
use super::links::{Links, ListsView};
use super::quantized::QuantizedVectors;
use super::sealed::{Damaged, SealedFile, SealedWriter, Section, Unpublished};

/// The properties of a graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
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

/// The result of an audit.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Audit {
    pub missed: Vec<u32>,
    pub ef: usize,
    pub recall: f32,
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

/// An open graph file.
#[derive(Debug)]
pub(super) struct GraphFile {
    file: SealedFile,
    about: About,
    rows: usize,
    sections: Sections,
}

#[derive(Debug)]
struct Sections {
    entry_points: Section,
    starts: Section,
    links: Section,
    missed: Section,
    duplicate_rows: Section,
    duplicate_starts: Section,
    duplicates: Section,
}

impl GraphFile {
    /// Opens a file of any name without verifying its content. `None` if it is unusable or belongs to other codes.
    pub(crate) fn open(path: &Path, codes: &QuantizedVectors) -> Option<Self> {
        let (file, about) = SealedFile::open::<About>(path)?;
        if about.codes != codes.status().seal.to_hex().as_str() {
            return None;
        }
        let rows = codes.len();
        let section = |name: &str, count: usize| file.section(name, count.checked_mul(4)?);
        let (with_duplicates, duplicates) = about.twins;
        let sections = Sections {
            entry_points: section("entry points", about.entry_points)?,
            starts: section("starts", rows + 1)?,
            links: section("links", about.links)?,
            missed: section("missed", usize::try_from(about.status.missed).ok()?)?,
            duplicate_rows: section("twin rows", with_duplicates)?,
            duplicate_starts: section("twin starts", with_duplicates.checked_add(1)?)?,
            duplicates: section("twins", duplicates)?,
        };
        Some(Self { file, about, rows, sections })
    }

    /// Reads the status from a file without verifying the rest. `None` if it is not a graph over the codes with this
    /// seal.
    pub(crate) fn peek(path: &Path, seal: &str) -> Option<GraphStatus> {
        let (_, about) = SealedFile::open::<About>(path)?;
        (about.codes == seal).then_some(about.status)
    }

    /// Verifies every byte, and that all row numbers are in range, so that no search can leave the arrays.
    pub(crate) fn check(&self) -> Result<(), Damaged> {
        self.file.check_all()?;
        if self.is_sound() { Ok(()) } else { Err(Damaged) }
    }

    fn is_sound(&self) -> bool {
        let rows = self.rows;
        let are_rows = |of: &[u32]| of.iter().all(|row| (*row as usize) < rows);
        let (with_duplicates, duplicates) = self.duplicates();
        !self.entry_points().is_empty()
            && are_rows(self.entry_points())
            && are_rows(self.missed())
            && self.neighbors().are_sound(rows, rows)
            && are_rows(with_duplicates)
            && with_duplicates.is_sorted()
            && duplicates.are_sound(with_duplicates.len(), rows)
    }

    pub(crate) fn status(&self) -> &GraphStatus {
        &self.about.status
    }

    /// Whether a part of the file was missing when it was read.
    pub(crate) fn is_broken(&self) -> bool {
        self.file.is_broken()
    }

    /// Length of the file in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.file.len()
    }

    fn array(&self, section: &Section, count: usize) -> &[u32] {
        self.file.get(section, 0..count).expect("the whole file is verified before it is used")
    }

    pub(crate) fn entry_points(&self) -> &[u32] {
        self.array(&self.sections.entry_points, self.about.entry_points)
    }

    pub(crate) fn neighbors(&self) -> ListsView<'_> {
        ListsView {
            starts: self.array(&self.sections.starts, self.rows + 1),
            members: self.array(&self.sections.links, self.about.links),
        }
    }

    pub(crate) fn missed(&self) -> &[u32] {
        self.array(&self.sections.missed, self.about.status.missed as usize)
    }

    /// The rows that have duplicates, and the duplicates of each.
    pub(crate) fn duplicates(&self) -> (&[u32], ListsView<'_>) {
        let (rows, members) = self.about.twins;
        let starts = self.array(&self.sections.duplicate_starts, rows + 1);
        let members = self.array(&self.sections.duplicates, members);
        (self.array(&self.sections.duplicate_rows, rows), ListsView { starts, members })
    }
}

/// The metadata to write into a graph file.
pub(super) struct GraphFacts {
    pub options: GraphOptions,
    pub audit: Audit,
    pub build_seconds: f32,
}

/// Writes a graph file, which is not published yet.
pub(super) fn write(
    folder: &DerivedFolder,
    codes: &QuantizedVectors,
    links: &Links,
    duplicates: &DuplicateRows,
    facts: &GraphFacts,
) -> std::io::Result<Unpublished> {
    let mut writer = SealedWriter::create(folder.path(), DerivedKind::Graph.unfinished())?;
    writer.write_section("entry points", &links.entry_points)?;
    writer.write_section("starts", &links.neighbors.starts)?;
    writer.write_section("links", &links.neighbors.members)?;
    writer.write_section("missed", &facts.audit.missed)?;
    writer.write_section("twin rows", &duplicates.rows)?;
    writer.write_section("twin starts", &duplicates.lists.starts)?;
    writer.write_section("twins", &duplicates.lists.members)?;
    let status = GraphStatus {
        vectors: codes.len() as u64,
        links: facts.options.links,
        ef_construction: facts.options.ef_construction,
        ef: facts.audit.ef,
        missed: facts.audit.missed.len() as u64,
        recall: facts.audit.recall,
        build_seconds: facts.build_seconds,
    };
    writer.finish(&About {
        status,
        codes: codes.status().seal.to_hex().to_string(),
        entry_points: links.entry_points.len(),
        links: links.neighbors.members.len(),
        twins: (duplicates.rows.len(), duplicates.lists.members.len()),
    })
}
