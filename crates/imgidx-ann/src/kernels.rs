//! The inner loops, compiled for several instruction sets. The best variant that the processor supports is used.
//!
//! All variants return identical results, because they use integer arithmetic. Only their speed differs.

use std::sync::LazyLock;

/// Number of bit planes of a query; see [`super::bits`].
pub(super) const PLANES: usize = 4;

/// The dot product of two 8-bit codes, exact for up to 133,000 components.
///
/// # Panics
/// If the lengths differ.
pub(super) fn dot(a: &[i8], b: &[i8]) -> i32 {
    assert_eq!(a.len(), b.len(), "codes of different models are never compared");
    (KERNELS.dot)(a, b)
}

/// The sum of the query's components whose bits are set in a row.
///
/// `planes` holds the bits of the query's components in two's complement, lowest first. Each plane is one word shorter
/// than a row, whose last word holds no bits.
#[inline(always)]
pub(super) fn masked_sum(planes: &Planes, row: &[u64]) -> i32 {
    (KERNELS.masked_sum)(planes, row)
}

/// The number of bits in which two rows differ, up to the length of the shorter one.
pub(super) fn hamming(a: &[u64], b: &[u64]) -> u32 {
    (KERNELS.hamming)(a, b)
}

/// Prefetches a slice that is about to be read.
#[inline(always)]
pub(super) fn prefetch<T>(slice: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start = slice.as_ptr().cast::<i8>();
        for offset in (0..size_of_val(slice)).step_by(64) {
            // SAFETY: the address lies within the slice, and a prefetch is only a hint.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.add(offset)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slice;
}

/// The bits of a query's components, one plane per bit position.
pub(super) type Planes = [Vec<u64>; PLANES];

#[derive(Clone, Copy)]
struct Kernels {
    dot: fn(&[i8], &[i8]) -> i32,
    masked_sum: fn(&Planes, &[u64]) -> i32,
    hamming: fn(&[u64], &[u64]) -> u32,
}

static KERNELS: LazyLock<Kernels> = LazyLock::new(|| *available().last().expect("the portable kernels always exist"));

/// The kernels that this processor can run, the fastest last.
fn available() -> Vec<Kernels> {
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "no kernels are added"))]
    let mut found = vec![Kernels { dot: dot_portable, masked_sum: masked_sum_portable, hamming: hamming_portable }];
    #[cfg(target_arch = "x86_64")]
    found.extend(x86::available());
    found
}

fn dot_portable(a: &[i8], b: &[i8]) -> i32 {
    // The fixed width lets the compiler use vector instructions.
    const LANES: usize = 32;
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let blocks: i32 = a_blocks.iter().zip(b_blocks).map(|(a, b)| dot_simple(a, b)).sum();
    blocks + dot_simple(a_rest, b_rest)
}

#[inline(always)]
fn dot_simple(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| i32::from(i16::from(a) * i16::from(b))).sum()
}

#[inline(always)]
fn masked_sum_portable([ones, twos, fours, minus_eights]: &Planes, row: &[u64]) -> i32 {
    let planes = ones.iter().zip(twos).zip(fours.iter().zip(minus_eights));
    let sums = row.iter().zip(planes).map(|(word, ((p1, p2), (p4, p8)))| {
        let count = |plane: &u64| i64::from((word & plane).count_ones());
        count(p1) + 2 * count(p2) + 4 * count(p4) - 8 * count(p8)
    });
    sums.sum::<i64>() as i32
}

#[inline(always)]
fn hamming_portable(a: &[u64], b: &[u64]) -> u32 {
    a.iter().zip(b).map(|(a, b)| u64::from((a ^ b).count_ones())).sum::<u64>() as u32
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Kernels, PLANES, Planes, dot_simple, hamming_portable, masked_sum_portable};

    pub(super) fn available() -> Vec<Kernels> {
        let mut found = Vec::new();
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
            // SAFETY (here and below): the features that the functions need were just detected.
            found.push(Kernels {
                dot: |a, b| unsafe { dot_avx2(a, b) },
                masked_sum: |planes, row| unsafe { masked_sum_avx2(planes, row) },
                hamming: |a, b| unsafe { hamming_popcnt(a, b) },
            });
        }
        let has_avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("avx512vpopcntdq");
        if has_avx512 {
            found.push(Kernels {
                dot: |a, b| unsafe { dot_vnni(a, b) },
                masked_sum: |planes, row| unsafe { masked_sum_avx512(planes, row) },
                hamming: |a, b| unsafe { hamming_avx512(a, b) },
            });
        }
        found
    }

    #[target_feature(enable = "avx2")]
    fn dot_avx2(a: &[i8], b: &[i8]) -> i32 {
        let (a_blocks, a_rest) = a.as_chunks::<16>();
        let (b_blocks, b_rest) = b.as_chunks::<16>();
        let mut sum = _mm256_setzero_si256();
        for (a, b) in a_blocks.iter().zip(b_blocks) {
            // SAFETY: each block has the 16 bytes that are loaded, at any alignment.
            let (a, b) = unsafe { (_mm_loadu_si128(a.as_ptr().cast()), _mm_loadu_si128(b.as_ptr().cast())) };
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_cvtepi8_epi16(a), _mm256_cvtepi8_epi16(b)));
        }
        let mut lanes = [0_i32; 8];
        // SAFETY: the array has the 32 bytes that are stored.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sum) };
        lanes.iter().sum::<i32>() + dot_simple(a_rest, b_rest)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn dot_vnni(a: &[i8], b: &[i8]) -> i32 {
        let (a_blocks, a_rest) = a.as_chunks::<64>();
        let (b_blocks, b_rest) = b.as_chunks::<64>();
        // The instruction multiplies unsigned by signed bytes, so 128 is added to a, and 128 × b subtracted at the end.
        let raise = _mm512_set1_epi8(-128);
        let (mut sum, mut raised) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        for (a, b) in a_blocks.iter().zip(b_blocks) {
            // SAFETY: each block has the 64 bytes that are loaded, at any alignment.
            let (a, b) = unsafe { (_mm512_loadu_si512(a.as_ptr().cast()), _mm512_loadu_si512(b.as_ptr().cast())) };
            sum = _mm512_dpbusd_epi32(sum, _mm512_xor_si512(a, raise), b);
            raised = _mm512_dpbusd_epi32(raised, raise, b);
        }
        _mm512_reduce_add_epi32(_mm512_sub_epi32(sum, raised)) + dot_simple(a_rest, b_rest)
    }

    #[target_feature(enable = "avx2,popcnt")]
    fn masked_sum_avx2(planes: &Planes, row: &[u64]) -> i32 {
        masked_sum_portable(planes, row)
    }

    #[target_feature(enable = "popcnt")]
    fn hamming_popcnt(a: &[u64], b: &[u64]) -> u32 {
        hamming_portable(a, b)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vpopcntdq")]
    fn masked_sum_avx512(planes: &Planes, row: &[u64]) -> i32 {
        let words = planes[0].len();
        assert!(row.len() >= words && planes.iter().all(|plane| plane.len() == words));
        let mut sums = [_mm512_setzero_si512(); PLANES];
        for start in (0..words).step_by(8) {
            let mask = (0xFF_u16 >> (8 - (words - start).min(8))) as u8;
            // SAFETY: the mask selects only words that are within the slices.
            let load = |from: &[u64]| unsafe { _mm512_maskz_loadu_epi64(mask, from.as_ptr().add(start).cast()) };
            let bits = load(row);
            for (sum, plane) in sums.iter_mut().zip(planes) {
                *sum = _mm512_add_epi64(*sum, _mm512_popcnt_epi64(_mm512_and_si512(bits, load(plane))));
            }
        }
        let [ones, twos, fours, minus_eights] = sums;
        let low = _mm512_add_epi64(ones, _mm512_slli_epi64::<1>(twos));
        let high = _mm512_sub_epi64(_mm512_slli_epi64::<2>(fours), _mm512_slli_epi64::<3>(minus_eights));
        _mm512_reduce_add_epi64(_mm512_add_epi64(low, high)) as i32
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vpopcntdq")]
    fn hamming_avx512(a: &[u64], b: &[u64]) -> u32 {
        let words = a.len().min(b.len());
        let mut sum = _mm512_setzero_si512();
        for start in (0..words).step_by(8) {
            let mask = (0xFF_u16 >> (8 - (words - start).min(8))) as u8;
            // SAFETY: the mask selects only words that are within both slices.
            let load = |from: &[u64]| unsafe { _mm512_maskz_loadu_epi64(mask, from.as_ptr().add(start).cast()) };
            sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_xor_si512(load(a), load(b))));
        }
        _mm512_reduce_add_epi64(sum) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_kernels_return_the_naive_sums(
            (a, b) in (0..400_usize).prop_flat_map(|n| {
                let code = || prop::collection::vec(-127..=127_i8, n);
                (code(), code())
            }),
            rows in prop::collection::vec(any::<u64>(), 0..12),
            query in prop::collection::vec(-8..=7_i32, 128),
        ) {
            let naive_dot: i32 = a.iter().zip(&b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
            let plane = |bit: usize| {
                let word = |part: &[i32]| part.iter().enumerate().map(|(i, q)| u64::from((*q as u32 >> bit) & 1 == 1) << i).sum();
                query.chunks(64).map(word).collect::<Vec<u64>>()
            };
            let planes = std::array::from_fn(plane);
            let rows: Vec<&[u64]> = rows.chunks_exact(3).collect();
            let bit = |row: &[u64], i: usize| row[i / 64] >> (i % 64) & 1;
            let naive_sum = |row: &[u64]| (0..128).filter(|i| bit(row, *i) == 1).map(|i| query[i]).sum::<i32>();
            let naive_sums: Vec<i32> = rows.iter().map(|row| naive_sum(row)).collect();
            for kernels in available() {
                prop_assert_eq!((kernels.dot)(&a, &b), naive_dot);
                let sums: Vec<i32> = rows.iter().map(|row| (kernels.masked_sum)(&planes, row)).collect();
                prop_assert_eq!(&sums, &naive_sums);
                for pair in rows.windows(2) {
                    let differ = (0..192).filter(|i| bit(pair[0], *i) != bit(pair[1], *i)).count();
                    prop_assert_eq!((kernels.hamming)(pair[0], pair[1]) as usize, differ);
                }
            }
        }
    }

    #[test]
    fn extreme_codes_do_not_overflow() {
        let (low, high) = (vec![-127_i8; 65_535], vec![127_i8; 65_535]);
        for kernels in available() {
            assert_eq!((kernels.dot)(&low, &high), -127 * 127 * 65_535);
            assert_eq!((kernels.dot)(&low, &low), 127 * 127 * 65_535);
        }
    }
}
