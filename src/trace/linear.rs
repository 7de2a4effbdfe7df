//! Ridge regression with few variables.

/// Weights that predict `targets` from `rows`. They minimise the sum of squared errors plus `penalty` times the sum of
/// squared weights (Hoerl and Kennard, "Ridge regression", Technometrics 1970).
pub(super) fn ridge<const N: usize>(rows: &[[f64; N]], targets: &[f64], penalty: f64) -> [f64; N] {
    let (matrix, mut sums) = (gram(rows, penalty), [0.0; N]);
    for (row, target) in rows.iter().zip(targets) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value * target);
    }
    solve(&matrix, sums)
}

/// Leverage of each row, 0 to 1: how much its target affects its own prediction. A residual divided by `1 - leverage`
/// is the residual of a fit without that row.
pub(super) fn leverages<const N: usize>(rows: &[[f64; N]], penalty: f64) -> Vec<f64> {
    let matrix = gram(rows, penalty);
    rows.iter().map(|row| dot(row, &solve(&matrix, *row))).collect()
}

pub(super) fn dot<const N: usize>(a: &[f64; N], b: &[f64; N]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn gram<const N: usize>(rows: &[[f64; N]], penalty: f64) -> [[f64; N]; N] {
    let mut matrix = [[0.0; N]; N];
    for row in rows {
        for (i, line) in matrix.iter_mut().enumerate() {
            line.iter_mut().zip(row).for_each(|(cell, value)| *cell += row[i] * value);
        }
    }
    (0..N).for_each(|i| matrix[i][i] += penalty);
    matrix
}

/// Solves a linear system with a symmetric, positive definite matrix by Cholesky decomposition.
fn solve<const N: usize>(matrix: &[[f64; N]; N], mut right: [f64; N]) -> [f64; N] {
    let mut lower = [[0.0; N]; N];
    for i in 0..N {
        for j in 0..=i {
            let rest = matrix[i][j] - (0..j).map(|k| lower[i][k] * lower[j][k]).sum::<f64>();
            lower[i][j] = if i == j { rest.max(f64::MIN_POSITIVE).sqrt() } else { rest / lower[j][j] };
        }
    }
    for i in 0..N {
        right[i] = (right[i] - (0..i).map(|k| lower[i][k] * right[k]).sum::<f64>()) / lower[i][i];
    }
    for i in (0..N).rev() {
        right[i] = (right[i] - (i + 1..N).map(|k| lower[k][i] * right[k]).sum::<f64>()) / lower[i][i];
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_and_a_penalty_makes_it_flatter() {
        let rows: Vec<[f64; 2]> = (0..20).map(|x| [1.0, f64::from(x)]).collect();
        let targets: Vec<f64> = rows.iter().map(|row| 3.0 + 0.5 * row[1]).collect();
        let [base, slope] = ridge(&rows, &targets, 1e-9);
        assert!((base - 3.0).abs() < 1e-6 && (slope - 0.5).abs() < 1e-6, "{base} {slope}");
        let flatter = ridge(&rows, &targets, 1e6);
        assert!(flatter[1] < 0.01, "{flatter:?}");
    }

    #[test]
    fn a_residual_and_its_leverage_give_the_residual_of_a_fit_without_the_row() {
        let rows: Vec<[f64; 2]> = [1.0, 2.0, 4.0, 7.0, 11.0].map(|x| [1.0, x]).to_vec();
        let targets = [2.0, 1.0, 5.0, 3.0, 9.0];
        let weights = ridge(&rows, &targets, 0.5);
        for (i, leverage) in leverages(&rows, 0.5).into_iter().enumerate() {
            let without = |list: &[f64]| [&list[..i], &list[i + 1..]].concat();
            let others = [&rows[..i], &rows[i + 1..]].concat();
            let fit = ridge(&others, &without(&targets), 0.5);
            let expected = (targets[i] - dot(&rows[i], &weights)) / (1.0 - leverage);
            assert!((expected - (targets[i] - dot(&rows[i], &fit))).abs() < 1e-9);
        }
    }
}
