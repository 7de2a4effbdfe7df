//! The file of a graph: its arrays, where they are mapped.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::duplicate_rows::DuplicateRows;
use super::folder::{DerivedFolder, Making};
use super::links::{Links, ListsView};
use super::quantized::QuantizedVectors;
use super::sealed::{Damaged, SealedFile, SealedWriter, Section, Unpublished};

/// What is to be known of a graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphStatus {
    /// Vectors that can be found through it.
    pub vectors: u64,
    /// Links that hnsw_rs gave each vector in a layer, at most.
    pub links: usize,
    /// Candidates that were kept while a vector was put in.
    pub ef_construction: usize,
    /// Candidates that a query keeps.
    pub ef: usize,
    /// Vectors that searching for themselves did not find; every query looks at them.
    pub missed: u64,
    /// Part of the ten nearest that searches found in the last audit, 0 to 1.
    pub recall: f32,
    /// Seconds that it took to build.
    pub build_seconds: f32,
}

impl GraphStatus {
    /// Part of the ten nearest that the audit's searches must have found, which ask for more than people do: half-way
    /// between pictures. A graph that misses more is not used.
    const LEAST_RECALL: f32 = 0.95;
    /// One in so many vectors may be missed, and as many as this in a small set: looking at all of them takes time.
    const MISSED_ONE_IN: u64 = 32;
    const MISSED: u64 = 4096;

    /// Whether searches find enough along the graph, and sooner than the scan does.
    pub fn is_useful(&self) -> bool {
        self.recall >= Self::LEAST_RECALL && self.missed <= Self::MISSED.max(self.vectors / Self::MISSED_ONE_IN)
    }
}

/// How hnsw_rs builds a graph. The lowest layer is made better afterwards, so that little will do here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphOptions {
    /// Links of a vector in a layer, at most.
    pub links: usize,
    /// Candidates that are kept while a vector is put in.
    pub ef_construction: usize,
}

impl Default for GraphOptions {
    fn default() -> Self {
        Self { links: 8, ef_construction: 32 }
    }
}

/// What an audit found.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Audit {
    pub missed: Vec<u32>,
    pub ef: usize,
    pub recall: f32,
}

/// What a graph's file says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct About {
    status: GraphStatus,
    /// The seal of the codes.
    codes: String,
    entry_points: usize,
    links: usize,
    /// QuantizedVectors with twins, and twins.
    twins: (usize, usize),
}

/// A graph's file.
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
    twin_rows: Section,
    twin_starts: Section,
    twins: Section,
}

impl GraphFile {
    /// Opens a file whatever its name is, without checking its content; `None` if it is of other codes.
    pub(crate) fn open(path: &Path, codes: &QuantizedVectors) -> Option<Self> {
        let (file, about) = SealedFile::open::<About>(path)?;
        if about.codes != codes.status().seal.to_hex().as_str() {
            return None;
        }
        let rows = codes.len();
        let section = |name: &str, count: usize| file.section(name, count.checked_mul(4)?);
        let (with_twins, twins) = about.twins;
        let sections = Sections {
            entry_points: section("entry points", about.entry_points)?,
            starts: section("starts", rows + 1)?,
            links: section("links", about.links)?,
            missed: section("missed", usize::try_from(about.status.missed).ok()?)?,
            twin_rows: section("twin rows", with_twins)?,
            twin_starts: section("twin starts", with_twins.checked_add(1)?)?,
            twins: section("twins", twins)?,
        };
        Some(Self { file, about, rows, sections })
    }

    /// What a file says of itself, which is not checked further; `None` if it is no graph of these codes.
    pub(crate) fn peek(path: &Path, seal: &str) -> Option<GraphStatus> {
        let (_, about) = SealedFile::open::<About>(path)?;
        (about.codes == seal).then_some(about.status)
    }

    /// Checks every byte, and that all numbers point to where something is, so that no search can leave the arrays.
    pub(crate) fn check(&self) -> Result<(), Damaged> {
        self.file.check_all()?;
        if self.is_sound() { Ok(()) } else { Err(Damaged) }
    }

    fn is_sound(&self) -> bool {
        let rows = self.rows;
        let are_rows = |of: &[u32]| of.iter().all(|row| (*row as usize) < rows);
        let (with_twins, twins) = self.twins();
        !self.entry_points().is_empty()
            && are_rows(self.entry_points())
            && are_rows(self.missed())
            && self.neighbors().are_sound(rows, rows)
            && are_rows(with_twins)
            && with_twins.is_sorted()
            && twins.are_sound(with_twins.len(), rows)
    }

    pub(crate) fn status(&self) -> &GraphStatus {
        &self.about.status
    }

    /// Whether something that was read of it was not there.
    pub(crate) fn is_broken(&self) -> bool {
        self.file.is_broken()
    }

    /// Length of the file in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.file.len()
    }

    fn array(&self, section: &Section, count: usize) -> &[u32] {
        self.file.get(section, 0..count).expect("all was checked before it is used")
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

    /// Rows that have twins, and those.
    pub(crate) fn twins(&self) -> (&[u32], ListsView<'_>) {
        let (rows, members) = self.about.twins;
        let starts = self.array(&self.sections.twin_starts, rows + 1);
        let members = self.array(&self.sections.twins, members);
        (self.array(&self.sections.twin_rows, rows), ListsView { starts, members })
    }
}

/// What a graph's file says of itself, apart from its arrays.
pub(super) struct GraphFacts {
    pub options: GraphOptions,
    pub audit: Audit,
    pub build_seconds: f32,
}

/// Writes a graph.
pub(super) fn write(
    folder: &DerivedFolder,
    codes: &QuantizedVectors,
    links: &Links,
    twins: &DuplicateRows,
    facts: &GraphFacts,
) -> std::io::Result<Unpublished> {
    let mut writer = SealedWriter::create(folder.path(), Making::Graph.unfinished())?;
    writer.whole("entry points", &links.entry_points)?;
    writer.whole("starts", &links.neighbors.starts)?;
    writer.whole("links", &links.neighbors.members)?;
    writer.whole("missed", &facts.audit.missed)?;
    writer.whole("twin rows", &twins.rows)?;
    writer.whole("twin starts", &twins.lists.starts)?;
    writer.whole("twins", &twins.lists.members)?;
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
        twins: (twins.rows.len(), twins.lists.members.len()),
    })
}
