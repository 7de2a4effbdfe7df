//! One fixed random rotation, which spreads the content of a few components over all of them.
//!
//! Embeddings of pictures have most of their length in a few components. The signs of such vectors carry little
//! information. After a rotation, every component carries as much as any other. Alternating random sign flips and
//! Hadamard transforms approximate a random rotation in n log n steps (Ailon and Chazelle, SIAM J. Comput. 2009). If
//! the dimension is not a power of two, the first and the last components are transformed alternately.

/// Number of rounds. Each round transforms the first and then the last components, with its own random signs.
const ROUNDS: u64 = 2;

/// Rotates a vector in place.
pub(super) fn rotate(vector: &mut [f32]) {
    let whole = vector.len().checked_ilog2().map_or(0, |log| 1 << log);
    let last = vector.len() - whole;
    for round in 0..ROUNDS {
        flip_signs(vector, 2 * round);
        transform(&mut vector[..whole]);
        flip_signs(vector, 2 * round + 1);
        transform(&mut vector[last..]);
    }
}

/// Flips the signs of about half of the components, always the same ones in a given round.
fn flip_signs(vector: &mut [f32], round: u64) {
    for (i, part) in vector.chunks_mut(64).enumerate() {
        let word = random(round << 32 | i as u64);
        for (bit, x) in part.iter_mut().enumerate() {
            *x = f32::from_bits(x.to_bits() ^ ((word >> bit) as u32) << 31);
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub(super) fn random(seed: u64) -> u64 {
    let z = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The Hadamard transform of 2ⁿ components, scaled to preserve the length.
fn transform(vector: &mut [f32]) {
    let mut half = 1;
    while half < vector.len() {
        for pair in vector.chunks_exact_mut(2 * half) {
            let (left, right) = pair.split_at_mut(half);
            for (a, b) in left.iter_mut().zip(right) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    let scale = 1.0 / (vector.len() as f32).sqrt();
    vector.iter_mut().for_each(|x| *x *= scale);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lengths_and_angles_are_preserved(
            (a, b) in (1..300_usize).prop_flat_map(|n| {
                let vector = || prop::collection::vec(-1.0..1.0_f32, n);
                (vector(), vector())
            })
        ) {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            let (mut rotated_a, mut rotated_b) = (a.clone(), b.clone());
            rotate(&mut rotated_a);
            rotate(&mut rotated_b);
            prop_assert!((dot(&a, &b) - dot(&rotated_a, &rotated_b)).abs() < 1e-3);
            prop_assert!((dot(&a, &a) - dot(&rotated_a, &rotated_a)).abs() < 1e-3);
        }
    }

    #[test]
    fn one_component_is_spread_over_all() {
        for dimension in [128, 512, 768, 1000, 1280] {
            for at in [0, dimension / 2, dimension - 1] {
                let mut vector = vec![0.0; dimension];
                vector[at] = 1.0;
                rotate(&mut vector);
                let sizes: f32 = vector.iter().map(|x| x.abs()).sum();
                // 1 if all components have equal magnitude, √(2 / π) if they are normally distributed, and 0.03 if only
                // one of 1000 is not zero.
                let share = sizes / (dimension as f32).sqrt();
                assert!(share > 0.65, "{share} of {dimension} at {at}");
            }
        }
    }
}
