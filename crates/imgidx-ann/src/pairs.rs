//! All pairs of similar bit rows or vectors, found without comparing every row with every other.
//!
//! This is locality-sensitive hashing. A band is a random selection of bits. Rows that agree in all bits of some band
//! are candidates (Indyk and Motwani, STOC 1998), and only candidates are compared in full. The number of bits per
//! band and the number of bands follow from the number of rows and from how many bits may differ. They are chosen so
//! that a pair which differs in exactly that many bits is missed once in [`MISSED_ONE_IN`] cases, while the number of
//! candidates grows far more slowly than the square of the number of rows.
//!
//! For vectors, the bits are the signs of the rotated components: two vectors at an angle θ differ in a fraction θ / π
//! of them (Charikar, STOC 2002).

use rayon::prelude::*;

use super::kernels::hamming;
use super::rotation::{random, rotate};
use imgidx_types::Embedding;

/// One in this many pairs exactly at the threshold may be missed; far fewer of more similar pairs are.
const MISSED_ONE_IN: f64 = 100.0;
/// Maximum number of bands.
const MAX_BANDS: usize = 1024;
/// Maximum number of rows of a bucket that each row is compared with. A bucket holds more only if many rows are nearly
/// identical.
const MAX_COMPARISONS_IN_BUCKET: usize = 128;

/// A table of bit rows, numbered in the order in which they are added.
#[derive(Debug, Clone)]
pub struct BitTable {
    words: usize,
    rows: Vec<u64>,
}

impl BitTable {
    /// An empty table whose rows have `words` words of 64 bits, at least one.
    pub fn new(words: usize) -> Self {
        Self { words: words.max(1), rows: Vec::new() }
    }

    /// Adds a row. It must have exactly as many words as the table's rows.
    pub fn push(&mut self, row: impl IntoIterator<Item = u64>) {
        self.rows.extend(row);
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len() / self.words
    }

    /// Whether the table has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn bits(&self) -> usize {
        64 * self.words
    }

    fn row(&self, row: usize) -> &[u64] {
        &self.rows[row * self.words..(row + 1) * self.words]
    }

    /// Nearly all pairs of rows that differ in at most `max_differing` bits, sorted, with the lower row first.
    pub fn pairs(&self, max_differing: u32) -> Vec<(u32, u32)> {
        self.pairs_in_bands(max_differing, f64::from(max_differing) / self.bits() as f64)
    }

    /// Nearly all pairs of a row of this table and a row of another one that differ in at most `max_differing` bits,
    /// sorted, with the row of this table first. Both tables must have rows of the same length.
    pub fn pairs_with(&self, other: &Self, max_differing: u32) -> Vec<(u32, u32)> {
        let (bits, bands) = self.plan(1.0 - f64::from(max_differing) / self.bits() as f64);
        in_all_bands(bands, |band| {
            let chosen = self.chosen_bits(band, bits);
            let (own, others) = (self.keyed(&chosen), other.keyed(&chosen));
            let mut pairs = Vec::new();
            for (key, a) in own {
                let first = others.partition_point(|(other, _)| *other < key);
                let bucket = others[first..].iter().take_while(|(other, _)| *other == key);
                for (_, b) in bucket.take(MAX_COMPARISONS_IN_BUCKET) {
                    if hamming(self.row(a as usize), other.row(*b as usize)) <= max_differing {
                        pairs.push((a, *b));
                    }
                }
            }
            pairs
        })
    }

    /// Like [`BitTable::pairs`], with enough bands for pairs that differ in the fraction `differing` of the bits.
    fn pairs_in_bands(&self, max_differing: u32, differing: f64) -> Vec<(u32, u32)> {
        if self.len() < 2 {
            return Vec::new();
        }
        let (bits, bands) = self.plan(1.0 - differing);
        in_all_bands(bands, |band| self.pairs_in_band(&self.chosen_bits(band, bits), max_differing))
    }

    /// The number of bits per band and the number of bands: enough bits that few dissimilar rows collide by chance, and
    /// enough bands that pairs which agree in the fraction `agreeing` of all bits collide in some band.
    fn plan(&self, agreeing: f64) -> (u32, usize) {
        let bits = (self.len() as f64).log2().round().clamp(4.0, 24.0) as u32;
        let meets = agreeing.max(0.0).powi(bits as i32).clamp(1e-9, 1.0 - 1e-9);
        let bands = (1.0 / MISSED_ONE_IN).ln() / (1.0 - meets).ln();
        (bits, (bands.ceil() as usize).clamp(1, MAX_BANDS))
    }

    /// Positions of the bits of a band.
    fn chosen_bits(&self, band: u64, bits: u32) -> Vec<usize> {
        (0..u64::from(bits)).map(|i| (random(band << 8 | i) % self.bits() as u64) as usize).collect()
    }

    /// All rows by their bits at these positions, sorted.
    fn keyed(&self, chosen: &[usize]) -> Vec<(u32, u32)> {
        let key = |row: usize| {
            let row = self.row(row);
            chosen.iter().fold(0_u32, |key, bit| key << 1 | (row[bit / 64] >> (bit % 64)) as u32 & 1)
        };
        let mut keyed: Vec<(u32, u32)> = (0..self.len()).map(|row| (key(row), row as u32)).collect();
        keyed.sort_unstable();
        keyed
    }

    fn pairs_in_band(&self, chosen: &[usize], max_differing: u32) -> Vec<(u32, u32)> {
        let keyed = self.keyed(chosen);
        let mut pairs = Vec::new();
        for bucket in keyed.chunk_by(|a, b| a.0 == b.0) {
            for (i, (_, a)) in bucket.iter().enumerate() {
                for (_, b) in bucket[i + 1..].iter().take(MAX_COMPARISONS_IN_BUCKET) {
                    if hamming(self.row(*a as usize), self.row(*b as usize)) <= max_differing {
                        pairs.push((*a, *b));
                    }
                }
            }
        }
        pairs
    }
}

/// The pairs of all bands, sorted, each once.
fn in_all_bands(bands: usize, pairs: impl Fn(u64) -> Vec<(u32, u32)> + Sync + Send) -> Vec<(u32, u32)> {
    let mut all: Vec<(u32, u32)> = (0..bands as u64).into_par_iter().flat_map_iter(pairs).collect();
    all.par_sort_unstable();
    all.dedup();
    all
}

/// The signs of the components of vectors.
#[derive(Debug, Clone)]
pub struct SignTable {
    dimension: usize,
    signs: BitTable,
}

/// Minimum number of signs per vector. Vectors with fewer components are zero-padded before the rotation.
const MIN_SIGNS: usize = 512;

impl SignTable {
    /// An empty table for vectors of `dimension` components.
    pub fn new(dimension: usize) -> Self {
        Self { dimension, signs: BitTable::new(dimension.max(MIN_SIGNS).div_ceil(64)) }
    }

    /// Adds a vector of the table's dimension.
    pub fn push(&mut self, vector: &Embedding) {
        let mut rotated = vector.as_slice()[..self.dimension].to_vec();
        rotated.resize(self.signs.bits(), 0.0);
        rotate(&mut rotated);
        let word = |part: &[f32]| part.iter().enumerate().fold(0, |word, (i, x)| word | u64::from(*x > 0.0) << i);
        self.signs.push(rotated.chunks_exact(64).map(word));
    }

    /// Pairs of vectors that may have a cosine of at least `min_cosine`, sorted, with the lower row first: nearly all
    /// pairs that do, and some that fall slightly short of it.
    pub fn pairs(&self, min_cosine: f32) -> Vec<(u32, u32)> {
        let differing = f64::from(min_cosine.clamp(-1.0, 1.0)).acos() / std::f64::consts::PI;
        // Three standard deviations above the expected value for a pair with exactly this cosine.
        let bits = self.signs.bits() as f64;
        let max_differing = bits * differing + 3.0 * (bits * differing * (1.0 - differing)).sqrt();
        self.signs.pairs_in_bands(max_differing as u32, differing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Consecutive pairs of vectors with a given cosine; different pairs are unrelated.
    fn planted(dimension: usize, pairs: usize, cosine: f32) -> Vec<Embedding> {
        let mut state = 0_u64;
        let mut normal = || {
            let mut even = || {
                state += 1;
                (random(state) >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
            };
            (0..12).map(|_| even()).sum::<f32>()
        };
        let mut vectors = Vec::new();
        for _ in 0..pairs {
            let a: Vec<f32> = (0..dimension).map(|_| normal()).collect();
            let noise: Vec<f32> = (0..dimension).map(|_| normal()).collect();
            let a = Embedding::normalized(a).expect("it is not zero");
            // The part of the noise that is orthogonal to `a` makes the cosine exact.
            let along: f32 = a.as_slice().iter().zip(&noise).map(|(a, n)| a * n).sum();
            let across = noise.iter().zip(a.as_slice()).map(|(n, a)| n - along * a).collect();
            let across = Embedding::normalized(across).expect("it is not zero");
            let sine = (1.0 - cosine * cosine).sqrt();
            let b = a.as_slice().iter().zip(across.as_slice()).map(|(a, n)| cosine * a + sine * n).collect();
            vectors.extend([a, Embedding::normalized(b).expect("it is not zero")]);
        }
        vectors
    }

    fn table(vectors: &[Embedding]) -> SignTable {
        let mut table = SignTable::new(vectors[0].dimension());
        vectors.iter().for_each(|vector| table.push(vector));
        table
    }

    #[test]
    fn similar_pairs_are_found_and_hardly_any_others() {
        for dimension in [64, 384, 1280] {
            let vectors = planted(dimension, 500, 0.85);
            let found = table(&vectors).pairs(0.85);
            let planted = found.iter().filter(|(a, b)| a % 2 == 0 && *b == a + 1).count();
            assert!(planted >= 485, "{planted} of 500 at {dimension}");
            assert!(found.len() <= planted + 20, "{} at {dimension}", found.len());
        }
    }

    #[test]
    fn less_similar_pairs_are_left_out() {
        let found = table(&planted(1280, 300, 0.6)).pairs(0.85);
        assert!(found.len() <= 3, "{}", found.len());
    }

    #[test]
    fn a_thousand_equal_vectors_do_not_make_a_million_pairs() {
        let one = planted(128, 1, 0.5).swap_remove(0);
        let found = table(&vec![one; 1000]).pairs(0.9);
        assert!(found.len() <= 128 * 1000 && (0..999).all(|row| found.contains(&(row, row + 1))));
    }

    #[test]
    fn rows_that_differ_in_few_bits_are_found() {
        let mut table = BitTable::new(2);
        for row in 0..2000 {
            let bits = [random(2 * row), random(2 * row + 1)];
            // Twelve bits of 128 are flipped, different ones in each row.
            let flipped = (0..12).fold(bits, |mut bits, i| {
                bits[(i % 2) as usize] ^= 1 << ((row * 7 + i * 5) % 64);
                bits
            });
            table.push(bits);
            table.push(flipped);
        }
        assert_eq!(table.len(), 4000);
        let found = table.pairs(12);
        assert!(found.len() >= 1960 && found.iter().all(|(a, b)| a % 2 == 0 && *b == a + 1), "{}", found.len());
    }

    #[test]
    fn rows_of_two_tables_that_differ_in_few_bits_are_found() {
        let (mut table, mut other) = (BitTable::new(2), BitTable::new(2));
        for row in 0..2000_u64 {
            let bits = [random(2 * row), random(2 * row + 1)];
            table.push(bits);
            let flipped = (0..8).fold(bits[0], |word, i| word ^ 1 << ((row * 7 + i * 5) % 64));
            other.push([flipped, bits[1]]);
        }
        let found = table.pairs_with(&other, 8);
        assert!(found.len() >= 1960 && found.iter().all(|(a, b)| a == b), "{}", found.len());
        assert_eq!(table.pairs_with(&BitTable::new(2), 8), []);
    }

    #[test]
    fn fewer_than_two_vectors_make_no_pairs() {
        assert!(BitTable::new(1).is_empty());
        assert_eq!(table(&planted(8, 1, 0.5)[..1]).pairs(-1.0), []);
    }
}
