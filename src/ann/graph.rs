//! The graph over a file of codes, as a file: a frozen HNSW (Malkov and Yashunin, TPAMI 2020) that is searched where
//! it is mapped.
//!
//! Only the first of identical codes is in the graph and stands for all of them; the others are found through it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::best::{Best, Scored};
use super::bits;
use super::codes::Codes;
use super::folder::DerivedFolder;
use super::large::LargeArray;
use super::scan::CodedQuery;
use super::scores::{BitScores, CodeScores, Scores};
use super::sealed::{SealedFile, SealedWriter, Section, Unpublished};
use super::twins::Twins;
use crate::types::ModelId;

/// Rows and their neighbours: those of `rows[i]` are `neighbors[starts[i]..starts[i + 1]]`.
///
/// The lowest layer has all rows of the file of codes, and `rows` is empty there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layer {
    pub rows: Vec<u32>,
    pub starts: Vec<u32>,
    pub neighbors: Vec<u32>,
}

impl Layer {
    /// A layer of some of the rows, given in their order.
    pub fn upper(links: impl IntoIterator<Item = (u32, Vec<u32>)>) -> Self {
        let mut layer = Self { starts: vec![0], ..Self::default() };
        for (row, neighbors) in links {
            layer.rows.push(row);
            layer.neighbors.extend(neighbors);
            layer.starts.push(layer.neighbors.len() as u32);
        }
        layer
    }

    /// The lowest layer, from the links of those of its `rows` that have any, given in their order.
    pub fn lowest(rows: usize, links: impl IntoIterator<Item = (u32, Vec<u32>)>) -> Self {
        let mut layer = Self::default();
        let mut links = links.into_iter().peekable();
        for row in 0..rows as u32 {
            layer.starts.push(layer.neighbors.len() as u32);
            if let Some((_, neighbors)) = links.next_if(|(linked, _)| *linked == row) {
                layer.neighbors.extend(neighbors);
            }
        }
        layer.starts.push(layer.neighbors.len() as u32);
        layer
    }
}

/// What hnsw_rs built, the lowest layer first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layers {
    pub entry: u32,
    pub layers: Vec<Layer>,
}

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

/// What a graph's file says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct About {
    status: GraphStatus,
    /// The seal of the codes.
    codes: String,
    entry: u32,
    /// Rows and links of each layer.
    layers: Vec<(usize, usize)>,
    /// Codes with twins, and twins.
    twins: (usize, usize),
}

/// A graph that can be searched.
#[derive(Debug)]
pub struct Graph {
    codes: Arc<Codes>,
    file: SealedFile,
    about: About,
    layers: Vec<LayerSections>,
    twins: [Section; 3],
    missed: Section,
    hot: Option<Hot>,
    signposts: Vec<u32>,
    /// Marks for visited rows that no search has at the moment.
    visited: Mutex<Vec<Visited>>,
}

/// What every step of a search reads at random.
#[derive(Debug)]
struct Hot {
    bits: LargeArray<u64>,
    starts: LargeArray<u32>,
    neighbors: LargeArray<u32>,
}

#[derive(Debug)]
struct LayerSections {
    rows: Section,
    starts: Section,
    neighbors: Section,
    row_count: usize,
    start_count: usize,
    neighbor_count: usize,
}

/// How much of a graph a search looks at.
///
/// Bits are a rough measure: the nearest rows are among many that seem nearest. But those need not be gone on from to
/// be seen, so that it is much cheaper to keep many than to go on from many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Breadth {
    /// Rows that are gone on from, at least: the candidates that are kept in Algorithm 2 of the paper.
    pub ef: usize,
    /// Rows that are compared by their codes of 8 bits: the best of all that were seen.
    pub kept: usize,
}

impl Breadth {
    /// What is kept of few candidates.
    const KEPT: usize = 1024;

    /// For a query: keeps more than it goes on from.
    pub fn of_query(ef: usize) -> Self {
        Self { ef, kept: Self::KEPT.max(2 * ef) }
    }

    /// For choosing links.
    pub fn of_links(ef: usize) -> Self {
        Self { ef, kept: ef }
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

impl Graph {
    /// Opens the graph over some codes and checks every byte of both; `None` if there is none.
    ///
    /// # Errors
    /// [`DamagedFile`] if there is one that cannot be used.
    pub fn open(folder: &DerivedFolder, model: &ModelId, codes: Arc<Codes>) -> Result<Option<Self>, DamagedFile> {
        let seal = codes.status().seal.to_hex();
        let Some(path) = folder.graph(model, &seal).filter(|path| path.exists()) else { return Ok(None) };
        if codes.check_all().is_err() {
            return Err(DamagedFile(codes.path().to_owned()));
        }
        let graph = Self::open_file(&path, codes).filter(|graph| graph.file.check_all().is_ok() && graph.is_sound());
        graph.map(|graph| Some(graph.warmed())).ok_or(DamagedFile(path))
    }

    /// Copies what searches read most. All of the codes and the graph must have been checked.
    ///
    /// Where there is no memory for that, they read the mapped files.
    pub(super) fn warmed(mut self) -> Self {
        let most: usize = std::env::var("SP").map_or(SIGNPOSTS, |x| x.parse().unwrap());
        let layer = (1..self.layers.len()).find(|i| self.layers[*i].row_count <= most);
        self.signposts = layer.map_or_else(|| vec![self.about.entry], |i| self.layer(i).rows.to_vec());
        let bits = self.codes.mean().map(|_| self.mapped_bits());
        let LayerView { starts, neighbors, .. } = self.layer(0);
        self.hot = (|| {
            let bits = LargeArray::copy(bits.unwrap_or_default()).ok()?;
            let (starts, neighbors) = (LargeArray::copy(starts).ok()?, LargeArray::copy(neighbors).ok()?);
            Some(Hot { bits, starts, neighbors })
        })();
        self
    }

    fn mapped_bits(&self) -> &[u64] {
        self.codes.bit_rows(0..self.codes.len()).expect("all was checked when this was opened")
    }

    /// What a graph's file says of itself, which is not checked further; `None` if there is none.
    pub fn peek(folder: &DerivedFolder, model: &ModelId, seal: &str) -> Option<GraphStatus> {
        let (_, about) = SealedFile::open::<About>(&folder.graph(model, seal)?)?;
        (about.codes == seal).then_some(about.status)
    }

    /// Opens a file whatever its name is, without checking its content.
    pub(super) fn open_file(path: &Path, codes: Arc<Codes>) -> Option<Self> {
        let (file, about) = SealedFile::open::<About>(path)?;
        if about.codes != codes.status().seal.to_hex().as_str() || about.layers.is_empty() {
            return None;
        }
        let mut layers = Vec::new();
        for (i, &(row_count, neighbor_count)) in about.layers.iter().enumerate() {
            let start_count = if i == 0 { codes.len() + 1 } else { row_count.checked_add(1)? };
            let section = |name: &str, count: usize| file.section(&format!("{name} {i}"), count.checked_mul(4)?);
            layers.push(LayerSections {
                rows: section("rows", row_count)?,
                starts: section("starts", start_count)?,
                neighbors: section("neighbors", neighbor_count)?,
                row_count,
                start_count,
                neighbor_count,
            });
        }
        let (first, all) = about.twins;
        let section = |name: &str, count: usize| file.section(name, count.checked_mul(4)?);
        let twins =
            [section("twin rows", first)?, section("twin starts", first.checked_add(1)?)?, section("twins", all)?];
        let missed = section("missed", usize::try_from(about.status.missed).ok()?)?;
        Some(Self {
            codes,
            file,
            about,
            layers,
            twins,
            missed,
            hot: None,
            signposts: Vec::new(),
            visited: Mutex::default(),
        })
    }

    /// Whether all numbers point to where something is, so that no search can leave the arrays.
    fn is_sound(&self) -> bool {
        let rows = self.codes.len();
        let is_row = |row: &u32| (*row as usize) < rows;
        let ascend = |starts: &[u32], end: usize| {
            starts.first() == Some(&0) && starts.is_sorted() && starts.last().is_some_and(|last| *last as usize == end)
        };
        let twins = self.twins();
        is_row(&self.about.entry)
            && self.missed().iter().all(is_row)
            && (0..self.layers.len()).all(|i| {
                let layer = self.layer(i);
                let fits = i == 0 || layer.rows.len() + 1 == layer.starts.len();
                fits && layer.rows.is_sorted()
                    && ascend(layer.starts, layer.neighbors.len())
                    && layer.rows.iter().chain(layer.neighbors).all(is_row)
            })
            && twins.rows.is_sorted()
            && ascend(twins.starts, twins.members.len())
            && twins.rows.iter().chain(twins.members).all(is_row)
    }

    /// What the file says of itself.
    pub fn status(&self) -> &GraphStatus {
        &self.about.status
    }

    /// The links of a row in the lowest layer.
    pub(super) fn links_of(&self, row: u32) -> &[u32] {
        self.layer(0).of(row)
    }

    /// The codes that it is a graph of.
    pub fn codes(&self) -> &Arc<Codes> {
        &self.codes
    }

    /// Length of the graph's file in bytes.
    pub fn bytes(&self) -> u64 {
        self.file.len()
    }

    /// The rows nearest to a query's code, the nearest first, and their twins, at most `wanted` of one kind.
    pub(super) fn search(&self, query: &CodedQuery, breadth: Breadth, wanted: usize) -> Vec<Scored> {
        let mut visited = self.visited.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let scores = CodeScores::new(&self.codes, &query.code);
        let mut best = match &query.bits {
            Some(bits) => {
                let rows = self.hot.as_ref().map_or_else(|| self.mapped_bits(), |hot| hot.bits.as_slice());
                let bit_scores = BitScores::new(bits, rows, bits::words(self.codes.dimension()));
                let proposed = self.search_layers(&bit_scores, breadth, &mut visited);
                proposed.iter().for_each(|entry| scores.prefetch(entry.row()));
                proposed.iter().map(|entry| scores.score(entry.row())).collect()
            }
            None => self.search_layers(&scores, breadth, &mut visited),
        };
        self.visited.lock().unwrap_or_else(PoisonError::into_inner).push(visited);
        self.add_twins(&mut best, wanted);
        best.sort_unstable_by(|a, b| b.cmp(a));
        best.dedup();
        best
    }

    fn add_twins(&self, found: &mut Vec<Scored>, wanted: usize) {
        let twins = self.twins();
        if twins.rows.is_empty() {
            return;
        }
        for i in 0..found.len() {
            let entry = found[i];
            found.extend(twins.of(entry.row()).iter().take(wanted).map(|row| Scored::new(entry.score(), *row)));
        }
    }

    fn search_layers(&self, scores: &impl Scores, breadth: Breadth, visited: &mut Visited) -> Vec<Scored> {
        visited.clear(self.codes.len());
        // Those that cannot be found are looked at in any case, and lead on as well as others.
        let mut starts: Vec<Scored> = Vec::with_capacity(self.signposts.len() + self.missed().len());
        for rows in [self.signposts.as_slice(), self.missed()] {
            for (i, row) in rows.iter().enumerate() {
                if let Some(ahead) = rows.get(i + AHEAD) {
                    scores.prefetch(*ahead);
                }
                starts.push(scores.score(*row));
            }
        }
        let mut found = search_lowest(scores, self.layer(0), starts, breadth.ef.max(1), visited);
        if found.len() > breadth.kept {
            found.select_nth_unstable_by(breadth.kept, |a, b| b.cmp(a));
            found.truncate(breadth.kept);
        }
        found
    }

    fn array(&self, section: &Section, count: usize) -> &[u32] {
        self.file.get(section, 0..count).expect("all was checked when this was opened")
    }

    fn layer(&self, i: usize) -> LayerView<'_> {
        let sections = &self.layers[i];
        if let (0, Some(hot)) = (i, &self.hot) {
            return LayerView { rows: &[], starts: hot.starts.as_slice(), neighbors: hot.neighbors.as_slice() };
        }
        LayerView {
            rows: self.array(&sections.rows, sections.row_count),
            starts: self.array(&sections.starts, sections.start_count),
            neighbors: self.array(&sections.neighbors, sections.neighbor_count),
        }
    }

    fn missed(&self) -> &[u32] {
        self.array(&self.missed, self.about.status.missed as usize)
    }

    fn twins(&self) -> TwinsView<'_> {
        let (first, all) = self.about.twins;
        TwinsView {
            rows: self.array(&self.twins[0], first),
            starts: self.array(&self.twins[1], first + 1),
            members: self.array(&self.twins[2], all),
        }
    }
}

/// A file of codes or a graph that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedFile(pub std::path::PathBuf);

/// What a graph's file says of itself, apart from its arrays.
pub(super) struct GraphFacts {
    pub options: GraphOptions,
    pub audit: Audit,
    pub build_seconds: f32,
}

/// Writes a graph.
pub(super) fn write(
    folder: &DerivedFolder,
    codes: &Codes,
    layers: &Layers,
    twins: &Twins,
    facts: &GraphFacts,
) -> std::io::Result<Unpublished> {
    let mut writer = SealedWriter::create(folder.path(), DerivedFolder::UNFINISHED_GRAPH)?;
    for (i, layer) in layers.layers.iter().enumerate() {
        writer.whole(&format!("rows {i}"), &layer.rows)?;
        writer.whole(&format!("starts {i}"), &layer.starts)?;
        writer.whole(&format!("neighbors {i}"), &layer.neighbors)?;
    }
    writer.whole("twin rows", &twins.rows)?;
    writer.whole("twin starts", &twins.starts)?;
    writer.whole("twins", &twins.members)?;
    writer.whole("missed", &facts.audit.missed)?;
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
        entry: layers.entry,
        layers: layers.layers.iter().map(|layer| (layer.rows.len(), layer.neighbors.len())).collect(),
        twins: (twins.rows.len(), twins.members.len()),
    })
}

#[derive(Debug, Clone, Copy)]
struct LayerView<'a> {
    rows: &'a [u32],
    starts: &'a [u32],
    neighbors: &'a [u32],
}

impl<'a> LayerView<'a> {
    /// Neighbours of a row; none if it is not in the layer.
    #[inline(always)]
    fn of(&self, row: u32) -> &'a [u32] {
        let at = if self.rows.is_empty() { row as usize } else { self.rows.partition_point(|other| *other < row) };
        if self.rows.get(at).is_some_and(|other| *other != row) || at + 1 >= self.starts.len() {
            return &[];
        }
        &self.neighbors[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

#[derive(Debug, Clone, Copy)]
struct TwinsView<'a> {
    rows: &'a [u32],
    starts: &'a [u32],
    members: &'a [u32],
}

impl<'a> TwinsView<'a> {
    fn of(&self, row: u32) -> &'a [u32] {
        match self.rows.binary_search(&row) {
            Ok(at) => &self.members[self.starts[at] as usize..self.starts[at + 1] as usize],
            Err(_) => &[],
        }
    }
}

const AHEAD: usize = 16;
const STARTS: usize = 32;
const SIGNPOSTS: usize = 20_000;

/// Algorithm 2 of the paper, on the lowest layer. Gives all rows whose scores were needed.
fn search_lowest(
    scores: &impl Scores,
    layer: LayerView<'_>,
    mut starts: Vec<Scored>,
    ef: usize,
    visited: &mut Visited,
) -> Vec<Scored> {
    if starts.len() > STARTS {
        starts.select_nth_unstable_by(STARTS, |a, b| b.cmp(a));
    }
    let mut scored = starts;
    let mut best = Best::new(ef);
    let mut candidates = std::collections::BinaryHeap::new();
    for start in scored.iter().take(STARTS) {
        best.offer(*start);
        candidates.push(*start);
    }
    for row in &scored {
        visited.insert(row.row());
    }
    let mut unseen: Vec<u32> = Vec::with_capacity(64);
    while let Some(candidate) = candidates.pop() {
        if best.lowest().is_some_and(|lowest| candidate < lowest) {
            break;
        }
        unseen.clear();
        for row in layer.of(candidate.row()) {
            if visited.insert(*row) {
                // The codes of all neighbours are on their way while the first are compared.
                scores.prefetch(*row);
                unseen.push(*row);
            }
        }
        for row in &unseen {
            let entry = scores.score(*row);
            scored.push(entry);
            if best.lowest().is_none_or(|lowest| lowest < entry) {
                best.offer(entry);
                candidates.push(entry);
            }
        }
    }
    scored
}

/// A set of rows that is cheap to clear.
#[derive(Debug, Default)]
struct Visited {
    words: Vec<u64>,
    touched: Vec<u32>,
}

impl Visited {
    fn clear(&mut self, rows: usize) {
        for word in self.touched.drain(..) {
            self.words[word as usize] = 0;
        }
        self.words.resize(rows.div_ceil(64), 0);
    }

    /// Whether the row was not in the set.
    #[inline(always)]
    fn insert(&mut self, row: u32) -> bool {
        let (word, bit) = (&mut self.words[row as usize / 64], 1_u64 << (row % 64));
        let is_new = *word & bit == 0;
        if is_new {
            if *word == 0 {
                self.touched.push(row / 64);
            }
            *word |= bit;
        }
        is_new
    }
}
