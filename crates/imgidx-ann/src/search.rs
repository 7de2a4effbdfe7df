//! The query planner: how candidates are found, and how they become an exactly ranked answer.
//!
//! | available | method |
//! |---|---|
//! | a set of allowed ids | score their codes, looked up by id |
//! | a graph (long-running processes) | search the graph over the quantized vectors, and scan newer vectors |
//! | quantized vectors | scan them |
//! | nothing, or the query asks for the exact answer | compare the stored vectors |
//!
//! Quantized vectors and graphs only propose candidates. Stored vectors rank every answer. If too few candidates are
//! accepted, because rows were deleted or their files are missing, the search asks for more: first with a wider graph
//! search, then with a scan.

use std::sync::Arc;

use super::best::Scored;
use super::delta_buffer::DeltaBuffer;
use super::graph::Graph;
use super::quantized::QuantizedVectors;
use super::scan::{CodedQuery, CodedRows, Cores};
use super::sealed::Damaged;
use super::walk::Breadth;
use imgidx_types::{Embedding, VectorId};

/// A vector near the query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    /// The id of the vector.
    pub id: VectorId,
    /// The cosine to the query, -1 to 1.
    pub score: f32,
}

impl Neighbor {
    /// The order of answers: by descending score, then by ascending id.
    fn ranks_before(&self, other: &Self) -> std::cmp::Ordering {
        other.score.total_cmp(&self.score).then(self.id.cmp(&other.id))
    }
}

/// How an answer was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// All vectors, or all allowed vectors, were compared.
    Scan,
    /// The graph was searched, and vectors newer than the graph were scanned.
    Hnsw,
}

/// The stored vectors of one model, usually in a database.
pub trait VectorSource {
    /// The error of a failed read.
    type Error;

    /// Returns a vector, or `None` if it no longer exists.
    ///
    /// # Errors
    /// If the vector cannot be read.
    fn vector(&self, id: VectorId) -> Result<Option<Embedding>, Self::Error>;

    /// Calls `each` with every vector whose id is greater than `after`, in ascending order of ids.
    ///
    /// # Errors
    /// If the vectors cannot be read.
    fn for_each_after(&self, after: VectorId, each: &mut dyn FnMut(VectorId, &Embedding)) -> Result<(), Self::Error>;
}

/// Why a search over codes stopped: its files are damaged, or the source or `accept` failed.
enum SearchError<E> {
    Damaged(Damaged),
    Failed(E),
}

impl<E> From<Damaged> for SearchError<E> {
    fn from(damaged: Damaged) -> Self {
        Self::Damaged(damaged)
    }
}

/// A nearest-neighbour query.
#[derive(Debug, Clone, Copy)]
pub struct NeighborQuery<'a> {
    /// The vector whose neighbours are wanted.
    pub query: &'a Embedding,
    /// The number of neighbours.
    pub count: usize,
    /// Restricts the answer to these ids, which must be in ascending order.
    pub among: Option<&'a [VectorId]>,
    /// Whether to compare every stored vector and ignore codes and graphs.
    pub exact: bool,
}

/// The answer to a [`NeighborQuery`].
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The neighbours, nearest first: as many as the query asks for, if that many exist.
    pub neighbors: Vec<Neighbor>,
    /// How they were found.
    pub method: Method,
    /// Whether a derived file turned out to be damaged, so that the stored vectors were compared instead.
    pub damaged: bool,
    /// The number of vectors that were read from the source because they are newer than all codes.
    pub uncoded: u64,
}

/// A nearest-neighbour index over one model's vectors. It is cheap to clone, and many threads can search it at once.
#[derive(Debug, Clone, Default)]
pub struct VectorIndex {
    codes: Option<Arc<QuantizedVectors>>,
    graph: Option<Arc<Graph>>,
    recent: Option<DeltaBuffer>,
}

/// Candidates that are ranked for each requested neighbour, and the number added to that.
const CANDIDATES_PER_RESULT: usize = 4;
const EXTRA_CANDIDATES: usize = 64;

/// Maximum number of candidates taken from a graph. For more, the graph is no faster than the scan.
const MAX_GRAPH_CANDIDATES: usize = 4096;

impl VectorIndex {
    /// An index over quantized vectors, or over the stored vectors alone.
    pub fn new(codes: Option<Arc<QuantizedVectors>>) -> Self {
        Self { codes, graph: None, recent: None }
    }

    /// An index for a long-running process. It keeps the codes of newer vectors in memory, and uses the graph if there
    /// is one.
    pub fn resident(codes: Option<Arc<QuantizedVectors>>, graph: Option<Arc<Graph>>, dimension: usize) -> Self {
        // Codes in the file and in memory are relative to the same mean only within one generation.
        let codes = graph.as_ref().map(|graph| graph.codes().clone()).or(codes);
        let (mean, after) = codes.as_ref().map_or((None, VectorId(0)), |codes| (codes.mean(), codes.status().last));
        let recent = DeltaBuffer::new(dimension, mean, after);
        Self { recent: Some(recent), codes, graph }
    }

    /// The quantized vectors.
    pub fn codes(&self) -> Option<&Arc<QuantizedVectors>> {
        self.codes.as_ref()
    }

    /// The graph.
    pub fn graph(&self) -> Option<&Arc<Graph>> {
        self.graph.as_ref()
    }

    /// Whether the codes of newer vectors are kept in memory.
    pub fn is_resident(&self) -> bool {
        self.recent.is_some()
    }

    /// The id of the last vector that has a code.
    pub fn last(&self) -> VectorId {
        let in_file = self.codes.as_ref().map_or(VectorId(0), |codes| codes.status().last);
        self.recent.as_ref().map_or(in_file, DeltaBuffer::last)
    }

    /// The number of vectors whose codes are in memory.
    pub fn recent(&self) -> usize {
        self.recent.as_ref().map_or(0, DeltaBuffer::len)
    }

    /// Adds the code of a vector, whose id must be larger than all others, to those in memory. Does nothing if this
    /// index keeps no codes in memory.
    pub fn push(&mut self, id: VectorId, vector: &Embedding) {
        if let Some(recent) = &mut self.recent {
            recent.push(id, vector.as_slice());
        }
    }

    /// The graph, if it is useful. A graph that is not useful is kept nevertheless, so that it is not built again.
    fn useful_graph(&self) -> Option<&Graph> {
        self.graph.as_deref().filter(|graph| graph.status().is_useful())
    }

    /// How answers are found by default.
    pub fn method(&self) -> Method {
        if self.useful_graph().is_some() { Method::Hnsw } else { Method::Scan }
    }

    /// Returns the vectors nearest to the query: exactly as many as the query asks for, if that many exist.
    ///
    /// `accept` decides whether an existing vector may be in the answer.
    ///
    /// # Errors
    /// If `source` or `accept` fails.
    pub fn nearest<S: VectorSource>(
        &self,
        wanted: NeighborQuery<'_>,
        source: &S,
        mut accept: impl FnMut(VectorId) -> Result<bool, S::Error>,
    ) -> Result<Found, S::Error> {
        let nothing = Found { neighbors: Vec::new(), method: self.method(), damaged: false, uncoded: 0 };
        if wanted.count == 0 {
            return Ok(nothing);
        }
        if !wanted.exact {
            let mut newer = exact_scores(wanted, source, self.last())?;
            let uncoded = newer.len() as u64;
            newer.retain(|neighbor| wanted.allows(neighbor.id));
            let rows = CodedRows { file: self.codes.as_deref(), recent: self.recent.as_ref() };
            let search = Search { wanted, rows, graph: self.useful_graph(), source };
            match search.run(&newer, &mut accept) {
                // If the file was truncated while it was in use, what was read from it may be wrong.
                Ok((neighbors, method)) if !self.codes.as_ref().is_some_and(|codes| codes.is_broken()) => {
                    return Ok(Found { neighbors, method, uncoded, ..nothing });
                }
                Err(SearchError::Failed(error)) => return Err(error),
                Ok(_) | Err(SearchError::Damaged(_)) => {}
            }
        }
        let all = exact_scores(wanted, source, VectorId(0))?;
        let mut answer = Answer::new(wanted.count);
        for neighbor in all.iter().filter(|neighbor| wanted.allows(neighbor.id)) {
            if answer.is_full() {
                break;
            }
            answer.offer(*neighbor, &mut accept)?;
        }
        let damaged = !wanted.exact;
        Ok(Found { neighbors: answer.0, method: Method::Scan, damaged, ..nothing })
    }
}

impl NeighborQuery<'_> {
    fn allows(&self, id: VectorId) -> bool {
        self.among.is_none_or(|ids| ids.binary_search(&id).is_ok())
    }
}

/// The exact scores of all vectors with ids greater than `after`, nearest first.
fn exact_scores<S: VectorSource>(
    wanted: NeighborQuery<'_>,
    source: &S,
    after: VectorId,
) -> Result<Vec<Neighbor>, S::Error> {
    let mut found = Vec::new();
    source.for_each_after(after, &mut |id, vector| found.push(Neighbor { id, score: wanted.query.cosine(vector) }))?;
    found.sort_unstable_by(Neighbor::ranks_before);
    Ok(found)
}

/// One search over codes.
struct Search<'a, S> {
    wanted: NeighborQuery<'a>,
    rows: CodedRows<'a>,
    graph: Option<&'a Graph>,
    source: &'a S,
}

/// Candidates, nearest first.
struct Candidates {
    scored: Vec<Scored>,
    /// Whether there are no others.
    are_all: bool,
    /// Whether all other rows score lower by their 8-bit codes.
    are_best: bool,
    method: Method,
}

impl<S: VectorSource> Search<'_, S> {
    fn run(
        &self,
        newer: &[Neighbor],
        accept: &mut impl FnMut(VectorId) -> Result<bool, S::Error>,
    ) -> Result<(Vec<Neighbor>, Method), SearchError<S::Error>> {
        let query = self.rows.encode(self.wanted.query.as_slice());
        let mut number = self.wanted.count.saturating_mul(CANDIDATES_PER_RESULT).saturating_add(EXTRA_CANDIDATES);
        loop {
            let candidates = self.candidates(&query, number)?;
            let mut answer = Answer::new(self.wanted.count);
            let ranked = self.rank(&query, &candidates, &mut answer, accept)?;
            // Newer vectors must not fill the places of rejected candidates: nearer candidates may follow further down.
            if ranked || candidates.are_all {
                for neighbor in newer {
                    answer.offer(*neighbor, accept).map_err(SearchError::Failed)?;
                }
                return Ok((answer.0, candidates.method));
            }
            number = number.saturating_mul(4);
        }
    }

    fn candidates(&self, query: &CodedQuery, number: usize) -> Result<Candidates, Damaged> {
        if let Some(ids) = self.wanted.among {
            let rows = self.rows.rows_of(ids)?;
            let scored = self.rows.score_rows(query, &rows, number, Cores::All)?;
            let are_all = scored.len() == rows.len();
            return Ok(Candidates { are_all, are_best: true, scored, method: Method::Scan });
        }
        if let Some(graph) = self.graph
            && number <= MAX_GRAPH_CANDIDATES
        {
            let width = graph.status().ef.max(number / 2);
            let mut scored = graph.search(query, Breadth::of_query(width), number);
            scored.extend(self.rows.scan_recent(query, number)?);
            scored.sort_unstable_by(|a, b| b.cmp(a));
            return Ok(Candidates { are_all: false, are_best: false, scored, method: Method::Hnsw });
        }
        let scored = self.rows.scan(query, number)?;
        let are_all = scored.len() == self.rows.len();
        Ok(Candidates { are_all, are_best: query.bits.is_none(), scored, method: Method::Scan })
    }

    /// Ranks the best candidates by their stored vectors and puts them into the answer. Returns whether they fill it
    /// and no other row can belong to it.
    fn rank(
        &self,
        query: &CodedQuery,
        candidates: &Candidates,
        answer: &mut Answer,
        accept: &mut impl FnMut(VectorId) -> Result<bool, S::Error>,
    ) -> Result<bool, SearchError<S::Error>> {
        let mut largest_error = 0.0_f32;
        for scored in &candidates.scored {
            let (id, error) = self.rows.id_and_error(query, scored.row())?;
            largest_error = largest_error.max(error);
            if answer.worst().is_some_and(|worst| query.cosine(*scored) + error < worst) {
                continue;
            }
            if let Some(vector) = self.source.vector(id).map_err(SearchError::Failed)? {
                let neighbor = Neighbor { id, score: self.wanted.query.cosine(&vector) };
                answer.offer(neighbor, accept).map_err(SearchError::Failed)?;
            }
        }
        // If many candidates were deleted or rejected, the last accepted one may be no better than the best row that
        // was not proposed.
        let next =
            candidates.scored.last().filter(|_| candidates.are_best).map(|last| query.cosine(*last) + largest_error);
        Ok(answer.worst().is_some_and(|worst| next.is_none_or(|next| worst > next)))
    }
}

/// The best neighbours so far, nearest first, and how many are wanted.
struct Answer(Vec<Neighbor>, usize);

impl Answer {
    fn new(count: usize) -> Self {
        Self(Vec::new(), count)
    }

    fn is_full(&self) -> bool {
        self.0.len() >= self.1
    }

    /// The lowest score, once the answer is full.
    fn worst(&self) -> Option<f32> {
        if self.is_full() { self.0.last().map(|neighbor| neighbor.score) } else { None }
    }

    /// Inserts a neighbour if it is among the best and is accepted.
    fn offer<E>(&mut self, neighbor: Neighbor, accept: &mut impl FnMut(VectorId) -> Result<bool, E>) -> Result<(), E> {
        let at = self.0.partition_point(|other| other.ranks_before(&neighbor).is_lt());
        if at < self.1 && accept(neighbor.id)? {
            self.0.insert(at, neighbor);
            self.0.truncate(self.1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duplicate_rows::DuplicateRows;
    use crate::graph_file::{self, GraphData, GraphStatus};
    use crate::links::RowLists;
    use crate::{DerivedFolder, GraphOptions, build_graph};
    use imgidx_types::ModelId;
    use proptest::prelude::*;

    const MODEL: [u8; 32] = [1; 32];

    /// An in-memory source.
    struct Vectors(Vec<(VectorId, Embedding)>);

    impl VectorSource for Vectors {
        type Error = std::convert::Infallible;

        fn vector(&self, id: VectorId) -> Result<Option<Embedding>, Self::Error> {
            let found = self.0.binary_search_by_key(&id, |(known, _)| *known);
            Ok(found.ok().map(|at| self.0[at].1.clone()))
        }

        fn for_each_after(
            &self,
            after: VectorId,
            each: &mut dyn FnMut(VectorId, &Embedding),
        ) -> Result<(), Self::Error> {
            self.0.iter().filter(|(id, _)| *id > after).for_each(|(id, vector)| each(*id, vector));
            Ok(())
        }
    }

    fn write_codes(
        folder: &DerivedFolder,
        vectors: &[(VectorId, Embedding)],
        dimension: usize,
    ) -> Arc<QuantizedVectors> {
        let status = QuantizedVectors::write(folder, &MODEL.into(), dimension, |each| {
            vectors.iter().try_for_each(|(id, v)| each(*id, v.as_slice()))
        });
        let written = status.expect("it can be written").expect("nobody else writes");
        let seal = written.publish().expect("it can be renamed").seal.to_hex();
        Arc::new(QuantizedVectors::open(folder, &MODEL.into(), dimension, &seal).expect("it was just written"))
    }

    /// The nearest of all vectors, not by an exact query.
    fn nearest(index: &VectorIndex, source: &Vectors, query: &Embedding, count: usize) -> Found {
        let wanted = NeighborQuery { query, count, among: None, exact: false };
        index.nearest(wanted, source, |_| Ok(true)).expect("memory can be read")
    }

    fn naive(vectors: &Vectors, query: &Embedding, count: usize, fits: impl Fn(VectorId) -> bool) -> Vec<Neighbor> {
        let score = |(id, v): &(VectorId, Embedding)| Neighbor { id: *id, score: query.cosine(v) };
        let mut all: Vec<Neighbor> = vectors.0.iter().map(score).filter(|neighbor| fits(neighbor.id)).collect();
        all.sort_by(Neighbor::ranks_before);
        all.truncate(count);
        all
    }

    fn vector() -> impl Strategy<Value = Embedding> {
        // Few distinct directions, so that equal vectors occur too.
        prop::collection::vec(-2..=2_i8, 8)
            .prop_filter_map("no direction", |v| Embedding::normalized(v.into_iter().map(f32::from).collect()).ok())
    }

    proptest! {
        #[test]
        fn every_method_without_a_graph_returns_what_a_naive_search_returns(
            vectors in prop::collection::vec(vector(), 0..400),
            query in vector(),
            (covered, in_memory) in (0..400_usize, 0..400_usize),
            dead in 0..300_usize,
            dead_are_near: bool,
            count in 0..50_usize,
            odd_only: bool,
            among_thirds: bool,
            exact: bool,
        ) {
            let dir = tempfile::tempdir().expect("a folder");
            let folder = DerivedFolder::new(dir.path());
            let mut all: Vec<_> = vectors.into_iter().enumerate().map(|(i, v)| (VectorId(i as i64 + 1), v)).collect();
            let covered = covered.min(all.len());
            let codes = write_codes(&folder, &all[..covered], 8);
            // Later vectors are partly in memory and partly in the source only.
            let mut index = VectorIndex::resident(Some(codes), None, 8);
            all[covered..].iter().take(in_memory).for_each(|(id, v)| index.push(*id, v));
            // Rows that were deleted after the codes were written: arbitrary ones, or exactly the best candidates.
            if dead_are_near {
                all[..covered].sort_by(|a, b| query.cosine(&b.1).total_cmp(&query.cosine(&a.1)));
            }
            all.drain(..dead.min(covered));
            all.sort_by_key(|(id, _)| *id);
            let source = Vectors(all);
            let thirds: Vec<VectorId> = (1..=400).filter(|id| id % 3 == 0).map(VectorId).collect();
            let wanted = NeighborQuery { query: &query, count, among: among_thirds.then_some(thirds.as_slice()), exact };
            let accept = &mut |id: VectorId| Ok(!odd_only || id.0 % 2 == 1);
            let found = index.nearest(wanted, &source, accept).expect("memory can be read");
            let fits = |id: VectorId| (!odd_only || id.0 % 2 == 1) && (!among_thirds || id.0 % 3 == 0);
            prop_assert_eq!(found.neighbors, naive(&source, &query, count, fits));
            prop_assert_eq!((found.method, found.damaged), (Method::Scan, false));
        }
    }

    /// Pseudo-random numbers from 0 to 1.
    fn random(state: &mut u64) -> f32 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// Vectors around 40 centres, with groups of identical ones: every tenth vector is a copy of one of the first ten.
    fn clustered(count: usize, dimension: usize) -> Vec<(VectorId, Embedding)> {
        let mut state = 1;
        let mut point = |spread: f32| (0..dimension).map(|_| spread * (random(&mut state) - 0.5)).collect::<Vec<f32>>();
        let centres: Vec<Vec<f32>> = (0..40).map(|_| point(1.0)).collect();
        let mut vectors: Vec<(VectorId, Embedding)> = Vec::new();
        for i in 0..count {
            let near: Vec<f32> = centres[i * 7 % 40].iter().zip(point(0.8)).map(|(a, b)| a + b).collect();
            let fresh = Embedding::normalized(near).expect("it has a direction");
            let vector = if i >= 10 && i % 10 == 0 { vectors[i / 10 % 10].1.clone() } else { fresh };
            vectors.push((VectorId(i as i64 + 1), vector));
        }
        vectors
    }

    struct Resident {
        _dir: tempfile::TempDir,
        index: VectorIndex,
        source: Vectors,
    }

    /// A graph over the first nine tenths, with the rest in memory and every fifth vector deleted.
    fn resident(count: usize, dimension: usize) -> Resident {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = DerivedFolder::new(dir.path());
        let mut all = clustered(count, dimension);
        let (old, new) = all.split_at(count * 9 / 10);
        let codes = write_codes(&folder, old, dimension);
        let graph = build_graph(&folder, &MODEL.into(), &codes, GraphOptions::default(), &|| true);
        let graph = graph.expect("it can be built").expect("nobody else builds it");
        assert!(graph.status().recall >= 0.98, "{:?}", graph.status());
        let mut index = VectorIndex::resident(Some(codes), Some(Arc::new(graph)), dimension);
        new.iter().for_each(|(id, v)| index.push(*id, v));
        all.retain(|(id, _)| id.0 % 5 != 0);
        Resident { _dir: dir, index, source: Vectors(all) }
    }

    /// Recall of the `count` nearest, averaged over queries close to stored vectors.
    fn recall(resident: &Resident, count: usize) -> f32 {
        let (source, mut state) = (&resident.source, 99);
        let (mut found, mut expected) = (0, 0);
        for (_, vector) in source.0.iter().step_by(source.0.len() / 50) {
            let beside = vector.as_slice().iter().map(|x| x + 0.05 * (random(&mut state) - 0.5)).collect();
            let query = Embedding::normalized(beside).expect("it has a direction");
            let answer = nearest(&resident.index, source, &query, count);
            let truth = naive(source, &query, count, |_| true);
            assert_eq!(answer.neighbors.len(), truth.len(), "as many as there are");
            assert!(answer.neighbors.is_sorted_by(|a, b| a.ranks_before(b).is_lt()), "ranked by the stored vectors");
            let lowest = truth.last().expect("the count is positive").score;
            found += answer.neighbors.iter().filter(|neighbor| neighbor.score >= lowest).count();
            expected += truth.len();
        }
        found as f32 / expected as f32
    }

    #[test]
    fn the_graph_finds_neighbours_among_duplicate_deleted_and_new_vectors() {
        let resident = resident(3000, 32);
        assert_eq!(resident.index.method(), Method::Hnsw);
        for count in [1, 10, 100] {
            let recall = recall(&resident, count);
            assert!(recall >= 0.98, "{recall} of the {count} nearest");
        }
        // This exceeds what a graph is searched for, so all vectors are scanned.
        assert_eq!(recall(&resident, 5000), 1.0);
    }

    #[test]
    fn the_graph_is_searched_by_one_bit_codes_as_well() {
        let resident = resident(24_000, 128);
        assert!(resident.index.codes().is_some_and(|codes| codes.mean().is_some()));
        let recall = recall(&resident, 10);
        assert!(recall >= 0.98, "{recall}");
    }

    #[test]
    fn all_duplicates_of_a_group_are_found() {
        let resident = resident(3000, 32);
        let duplicates =
            |id: i64| resident.source.0.iter().filter(move |(other, _)| other.0 > 10 && (other.0 - 1) % 100 == id);
        let (_, vector) = &resident.source.0[0];
        let expected = naive(&resident.source, vector, 25, |_| true);
        assert!(expected.iter().all(|neighbor| neighbor.score > 0.9999), "the test set has that many duplicates");
        assert!(duplicates(0).count() > 20);
        assert_eq!(nearest(&resident.index, &resident.source, vector, 25).neighbors, expected);
    }

    #[test]
    fn a_graph_with_too_low_recall_is_kept_but_not_used() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = DerivedFolder::new(dir.path());
        let source = Vectors(clustered(500, 32));
        let codes = write_codes(&folder, &source.0, 32);
        let seal = codes.status().seal.to_hex();
        let (_, query) = &source.0[77];
        let expected = naive(&source, query, 10, |_| true);
        for (recall, missed, method) in [(0.9, 0, Method::Scan), (1.0, 5000, Method::Scan), (1.0, 4, Method::Hnsw)] {
            let status = GraphStatus { ef: 16, missed: missed as u64, recall, ..GraphStatus::default() };
            // Nothing can be found through this graph, whatever its audit says.
            let duplicates = DuplicateRows { rows: Vec::new(), lists: RowLists::new(0, []) };
            let neighbors = RowLists::new(500, []);
            let data = GraphData { status, entry_points: vec![0], neighbors, missed: vec![0; missed], duplicates };
            let file = graph_file::write(&folder, &codes, &data).expect("it can be written");
            file.publish(&folder.graph(&MODEL.into(), &seal).expect("a name")).expect("it can be renamed");
            let graph = Graph::open(&folder, &MODEL.into(), codes.clone()).expect("it is sound").expect("it is there");
            let index = VectorIndex::resident(Some(codes.clone()), Some(Arc::new(graph)), 32);
            assert_eq!(index.method(), method, "recall {recall}, {missed} missed");
            assert!(index.graph().is_some(), "the graph is kept, so that it is not built again");
            let found = nearest(&index, &source, query, 10);
            assert_eq!(found.neighbors, expected, "recall {recall}, {missed} missed");
        }
    }

    #[test]
    fn damaged_codes_are_reported_and_the_answer_is_right() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = DerivedFolder::new(dir.path());
        let source = Vectors(clustered(2000, 32));
        let seal = write_codes(&folder, &source.0, 32).status().seal.to_hex();
        let model = ModelId::from(MODEL);
        let path = folder.codes(&model, &seal).expect("a name");
        let bytes = std::fs::read(&path).expect("the file");
        let (_, query) = &source.0[77];
        let expected = naive(&source, query, 10, |_| true);
        let mut state = 5;
        let mut reported = 0;
        for _ in 0..200 {
            let mut flipped = bytes.clone();
            let at = (random(&mut state) * bytes.len() as f32) as usize;
            flipped[at] ^= 1 << (at % 8);
            std::fs::remove_file(&path).and_then(|()| std::fs::write(&path, &flipped)).expect("the file");
            let codes = QuantizedVectors::open(&folder, &model, 32, &seal).map(Arc::new);
            let has_codes = codes.is_some();
            let found = nearest(&VectorIndex::new(codes), &source, query, 10);
            assert_eq!(found.neighbors, expected, "byte {at}");
            assert!(
                found.damaged || !has_codes || at < 64,
                "byte {at}: only the padding of the first line is not read"
            );
            reported += usize::from(found.damaged);
        }
        assert!(reported > 100, "{reported}");
    }
}
