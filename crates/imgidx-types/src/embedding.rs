//! Embeddings (vectors of unit length) and classifications.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// The vector that a model computes for a picture. It is finite and has unit length.
///
/// The dot product of two embeddings of the same model is their cosine similarity.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding(Vec<f32>);

/// Why a vector is not a valid embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEmbedding {
    /// At least one component is infinite or NaN.
    #[error("the vector is not finite")]
    NotFinite,
    /// All components are zero, or there are none, so the vector has no direction.
    #[error("the vector has no direction: all its components are zero")]
    Zero,
    /// The stored bytes are not a whole number of 16-bit floats.
    #[error("the stored vector has an odd number of bytes")]
    OddLength,
}

impl Embedding {
    /// Scales a vector to unit length.
    ///
    /// # Errors
    /// If a component is not finite, or all components are zero.
    pub fn normalized(mut vector: Vec<f32>) -> Result<Self, InvalidEmbedding> {
        let squares = sum_of_squares(&vector);
        if !squares.is_finite() {
            return Err(InvalidEmbedding::NotFinite);
        }
        if squares == 0.0 {
            return Err(InvalidEmbedding::Zero);
        }
        let factor = 1.0 / squares.sqrt();
        for x in &mut vector {
            *x = (f64::from(*x) * factor) as f32;
        }
        Ok(Self(vector))
    }

    /// Reads the stored form: little-endian IEEE 754 half-precision floats.
    ///
    /// # Errors
    /// If the number of bytes is odd, a component is not finite, or all components are zero.
    pub fn from_f16_bytes(bytes: &[u8]) -> Result<Self, InvalidEmbedding> {
        if !bytes.len().is_multiple_of(2) {
            return Err(InvalidEmbedding::OddLength);
        }
        let halves: Vec<f16> = bytes.chunks_exact(2).map(|pair| f16::from_le_bytes([pair[0], pair[1]])).collect();
        Self::normalized(halves.to_f32_vec())
    }

    /// Returns the stored form (see [`Embedding::from_f16_bytes`]), which preserves the cosine of two vectors to about
    /// 1e-4.
    pub fn to_f16_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect()
    }

    /// The components.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// The number of components.
    pub fn dimension(&self) -> usize {
        self.0.len()
    }

    /// Cosine similarity, between -1 and 1.
    ///
    /// # Panics
    /// If the dimensions differ, because vectors of different models must never be compared.
    pub fn cosine(&self, other: &Self) -> f32 {
        assert_eq!(self.0.len(), other.0.len(), "vectors of different models are never compared");
        // Separate sums for each lane let the compiler use vector instructions, and reduce rounding errors.
        let (a_blocks, a_rest) = self.0.as_chunks::<LANES>();
        let (b_blocks, b_rest) = other.0.as_chunks::<LANES>();
        let mut sums = [0.0_f32; LANES];
        for (a, b) in a_blocks.iter().zip(b_blocks) {
            for lane in 0..LANES {
                sums[lane] += a[lane] * b[lane];
            }
        }
        let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
        (sums.iter().sum::<f32>() + rest).clamp(-1.0, 1.0)
    }
}

const LANES: usize = 16;

/// The sum of squares, in `f64` because the squares of finite `f32` values may overflow `f32`.
fn sum_of_squares(vector: &[f32]) -> f64 {
    let (blocks, rest) = vector.as_chunks::<LANES>();
    let mut sums = [0.0_f64; LANES];
    for block in blocks {
        for lane in 0..LANES {
            sums[lane] += f64::from(block[lane]) * f64::from(block[lane]);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>()
}

/// A class that a model recognises in a picture.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Classification {
    /// The name of the class.
    pub label: String,
    /// The softmax probability over all classes, 0 to 1.
    pub score: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_scaled_to_unit_length() {
        let vector = Embedding::normalized(vec![3.0, 4.0]).expect("it has a direction");
        assert_eq!(vector.as_slice(), [0.6, 0.8]);
        assert!((vector.cosine(&vector) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn vectors_without_a_direction_are_rejected() {
        assert_eq!(Embedding::normalized(vec![0.0; 4]), Err(InvalidEmbedding::Zero));
        assert_eq!(Embedding::normalized(vec![]), Err(InvalidEmbedding::Zero));
        assert_eq!(Embedding::normalized(vec![1.0, f32::NAN]), Err(InvalidEmbedding::NotFinite));
        assert_eq!(Embedding::normalized(vec![f32::INFINITY]), Err(InvalidEmbedding::NotFinite));
    }

    #[test]
    fn huge_and_tiny_components_neither_overflow_nor_underflow() {
        for size in [1e30_f32, 1e-30] {
            let vector = Embedding::normalized(vec![size, size]).expect("it has a direction");
            assert!((vector.as_slice()[0] - 0.5_f32.sqrt()).abs() < 1e-6);
        }
    }

    #[test]
    fn the_stored_form_keeps_the_direction() {
        let vector = Embedding::normalized((0..1280).map(|i| (i as f32 * 0.37).sin()).collect()).expect("a vector");
        let stored = Embedding::from_f16_bytes(&vector.to_f16_bytes()).expect("what was stored");
        assert!(vector.cosine(&stored) > 0.999_999);
        assert_eq!(Embedding::from_f16_bytes(&[1]), Err(InvalidEmbedding::OddLength));
    }
}
