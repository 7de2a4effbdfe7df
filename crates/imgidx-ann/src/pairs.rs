//! All pairs of rows of bits, or of vectors, that are about as alike as wanted, without comparing each with each.
//!
//! A band is a choice of some bits; rows that have the same ones in some band are candidates (Indyk and Motwani, STOC 1998), and of
//! these, all bits are compared. How many bits a band has, and how many bands there are, follows from the number of rows and from how many
//! bits may differ, so that a pair which differs in just as many is missed once in [`MISSED`], and candidates grow far slower than the
//! square of the rows.
//!
//! Of vectors, rotated, the signs are such bits: two at an angle θ differ in a share of θ / π of them (Charikar, STOC 2002).

use rayon::prelude::*;

use super::rotation::{random, rotate};
use imgidx_types::Embedding;

/// One in so many pairs of just the wanted likeness may be missed; of more alike ones far fewer.
const MISSED: f64 = 100.0;
/// Bands that are looked at at most.
const MOST_BANDS: usize = 1024;
/// Rows of one bucket that each row is compared with at most. More are there only where many rows are nearly the same.
const NEIGHBORS_IN_BUCKET: usize = 128;

/// Rows of bits, by the numbers in which they were added.
#[derive(Debug, Clone)]
pub struct BitTable {
    words: usize,
    rows: Vec<u64>,
}

impl BitTable {
    /// An empty table of rows with so many words of 64 bits.
    pub fn new(words: usize) -> Self {
        Self { words: words.max(1), rows: Vec::new() }
    }

    /// Adds a row, which has the table's number of words.
    pub fn push(&mut self, row: impl IntoIterator<Item = u64>) {
        self.rows.extend(row);
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len() / self.words
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn bits(&self) -> usize {
        64 * self.words
    }

    fn row(&self, row: usize) -> &[u64] {
        &self.rows[row * self.words..(row + 1) * self.words]
    }

    /// Nearly all pairs of rows that differ in at most so many bits, the lower one first in each, sorted.
    pub fn pairs(&self, most: u32) -> Vec<(u32, u32)> {
        self.pairs_in_bands(most, f64::from(most) / self.bits() as f64)
    }

    /// As [`BitTable::pairs`], with as many bands as pairs need that differ in such a share of the bits.
    fn pairs_in_bands(&self, most: u32, differing: f64) -> Vec<(u32, u32)> {
        if self.len() < 2 {
            return Vec::new();
        }
        let (bits, bands) = self.plan(1.0 - differing);
        let mut pairs: Vec<(u32, u32)> =
            (0..bands as u64).into_par_iter().flat_map_iter(|band| self.pairs_in_band(band, bits, most)).collect();
        pairs.par_sort_unstable();
        pairs.dedup();
        pairs
    }

    /// Bits of a band, and bands: so many bits that of unlike rows few meet by chance, and so many bands that pairs which agree in a
    /// share of `agreeing` of all bits meet in some.
    fn plan(&self, agreeing: f64) -> (u32, usize) {
        let bits = (self.len() as f64).log2().round().clamp(4.0, 24.0) as u32;
        let meets = agreeing.max(0.0).powi(bits as i32).clamp(1e-9, 1.0 - 1e-9);
        let bands = (1.0 / MISSED).ln() / (1.0 - meets).ln();
        (bits, (bands.ceil() as usize).clamp(1, MOST_BANDS))
    }

    fn pairs_in_band(&self, band: u64, bits: u32, most: u32) -> Vec<(u32, u32)> {
        let chosen: Vec<usize> =
            (0..u64::from(bits)).map(|i| (random(band << 8 | i) % self.bits() as u64) as usize).collect();
        let key = |row: usize| {
            let row = self.row(row);
            chosen.iter().fold(0_u32, |key, bit| key << 1 | (row[bit / 64] >> (bit % 64)) as u32 & 1)
        };
        let mut keyed: Vec<(u32, u32)> = (0..self.len()).map(|row| (key(row), row as u32)).collect();
        keyed.sort_unstable();
        let mut pairs = Vec::new();
        for bucket in keyed.chunk_by(|a, b| a.0 == b.0) {
            for (i, (_, a)) in bucket.iter().enumerate() {
                for (_, b) in bucket[i + 1..].iter().take(NEIGHBORS_IN_BUCKET) {
                    if differing(self.row(*a as usize), self.row(*b as usize)) <= most {
                        pairs.push((*a, *b));
                    }
                }
            }
        }
        pairs
    }
}

fn differing(a: &[u64], b: &[u64]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

/// Signs of the components of vectors.
#[derive(Debug, Clone)]
pub struct SignTable {
    dimension: usize,
    signs: BitTable,
}

/// Signs that are kept at least: vectors with fewer components get as many from a longer rotation.
const LEAST_SIGNS: usize = 512;

impl SignTable {
    /// An empty table for vectors of so many components.
    pub fn new(dimension: usize) -> Self {
        Self { dimension, signs: BitTable::new(dimension.max(LEAST_SIGNS).div_ceil(64)) }
    }

    /// Adds a vector of the table's dimension.
    pub fn push(&mut self, vector: &Embedding) {
        let mut turned = vector.as_slice()[..self.dimension].to_vec();
        turned.resize(self.signs.bits(), 0.0);
        rotate(&mut turned);
        let word = |part: &[f32]| part.iter().enumerate().fold(0, |word, (i, x)| word | u64::from(*x > 0.0) << i);
        self.signs.push(turned.chunks_exact(64).map(word));
    }

    /// Pairs of vectors, the lower one first in each, sorted, that may have a cosine of at least `least`: nearly all that do, and some that
    /// fall short of it by a little.
    pub fn pairs(&self, least: f32) -> Vec<(u32, u32)> {
        let differing = f64::from(least.clamp(-1.0, 1.0)).acos() / std::f64::consts::PI;
        // Three deviations more than are to be expected of a pair with just that cosine.
        let bits = self.signs.bits() as f64;
        let most = bits * differing + 3.0 * (bits * differing * (1.0 - differing)).sqrt();
        self.signs.pairs_in_bands(most as u32, differing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors in pairs whose cosines are known, among others that have nothing to do with each other.
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
            let a = Embedding::normalized(a).expect("a direction");
            // What of the noise lies across a, so that the cosine is just the wanted one.
            let along: f32 = a.as_slice().iter().zip(&noise).map(|(a, n)| a * n).sum();
            let across = noise.iter().zip(a.as_slice()).map(|(n, a)| n - along * a).collect();
            let across = Embedding::normalized(across).expect("a direction");
            let sine = (1.0 - cosine * cosine).sqrt();
            let b = a.as_slice().iter().zip(across.as_slice()).map(|(a, n)| cosine * a + sine * n).collect();
            vectors.extend([a, Embedding::normalized(b).expect("a direction")]);
        }
        vectors
    }

    fn table(vectors: &[Embedding]) -> SignTable {
        let mut table = SignTable::new(vectors[0].dimension());
        vectors.iter().for_each(|vector| table.push(vector));
        table
    }

    #[test]
    fn pairs_that_are_alike_are_found_and_hardly_any_others() {
        for dimension in [64, 384, 1280] {
            let vectors = planted(dimension, 500, 0.85);
            let found = table(&vectors).pairs(0.85);
            let planted = found.iter().filter(|(a, b)| a % 2 == 0 && *b == a + 1).count();
            assert!(planted >= 485, "{planted} of 500 at {dimension}");
            assert!(found.len() <= planted + 20, "{} at {dimension}", found.len());
        }
    }

    #[test]
    fn pairs_that_are_less_alike_are_left_out() {
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
            // Twelve bits of 128 are turned around, other ones in each row.
            let turned = (0..12).fold(bits, |mut bits, i| {
                bits[(i % 2) as usize] ^= 1 << ((row * 7 + i * 5) % 64);
                bits
            });
            table.push(bits);
            table.push(turned);
        }
        assert_eq!(table.len(), 4000);
        let found = table.pairs(12);
        assert!(found.len() >= 1960 && found.iter().all(|(a, b)| a % 2 == 0 && *b == a + 1), "{}", found.len());
    }

    #[test]
    fn no_vectors_and_one_make_no_pairs() {
        assert!(BitTable::new(1).is_empty());
        assert_eq!(table(&planted(8, 1, 0.5)[..1]).pairs(-1.0), []);
    }
}
