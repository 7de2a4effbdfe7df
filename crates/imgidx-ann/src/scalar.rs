//! Scalar quantization to 8 bits: each component is scaled by one factor per vector and rounded.
//!
//! The factor maps the largest component to ±127, so the error of a component is at most 1/254 of the largest one.

/// Appends the code of a vector and returns the factor that scales it back.
pub(super) fn encode(vector: &[f32], code: &mut Vec<i8>) -> f32 {
    let largest = vector.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let scale = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    code.extend(vector.iter().map(|x| (x * scale).round() as i8));
    if scale > 0.0 { 1.0 / scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::kernels::dot;
    use super::*;

    #[test]
    fn codes_preserve_the_dot_product() {
        let wave = |phase: f32| (0..1280).map(|i| (i as f32 * 0.31 + phase).sin()).collect::<Vec<_>>();
        let (a, b) = (wave(0.0), wave(0.4));
        let (mut code_a, mut code_b) = (Vec::new(), Vec::new());
        let (scale_a, scale_b) = (encode(&a, &mut code_a), encode(&b, &mut code_b));
        let exact: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
        let approximate = dot(&code_a, &code_b) as f32 * scale_a * scale_b;
        assert!((exact - approximate).abs() < 0.005 * exact.abs(), "{exact} {approximate}");
    }

    #[test]
    fn a_zero_vector_has_a_code() {
        let mut code = Vec::new();
        assert_eq!(encode(&[0.0; 3], &mut code), 0.0);
        assert_eq!(code, [0, 0, 0]);
    }
}
