//! Suggestions for words that are not known: the names that are spelt like them, or that begin with them.

use std::cmp::Reverse;

/// Maximum number of suggestions for a word.
const MAX_SUGGESTIONS: usize = 3;
/// Words with fewer letters are not corrected.
const MIN_LETTERS: usize = 3;
/// From so many letters on, two mistakes are allowed instead of one.
const LETTERS_FOR_TWO: usize = 6;
/// Words with fewer letters are not taken for the beginning of a name.
const MIN_LETTERS_OF_BEGINNING: usize = 5;

/// The names most like a word, best first. Each name comes with its weight: of two that are equally like it, the one
/// with the higher weight comes first.
pub(super) fn suggestions<'a>(word: &str, names: impl Iterator<Item = (&'a str, usize)>) -> Vec<&'a str> {
    let letters: Vec<char> = word.chars().collect();
    if letters.len() < MIN_LETTERS {
        return Vec::new();
    }
    let allowed = if letters.len() < LETTERS_FOR_TWO { 1 } else { 2 };
    let begins = |name: &str| {
        letters.len() >= MIN_LETTERS_OF_BEGINNING && name.strip_prefix(word).is_some_and(|rest| rest.starts_with(' '))
    };
    let mut near: Vec<(usize, Reverse<usize>, &str)> = names
        .filter_map(|(name, weight)| {
            let other: Vec<char> = name.chars().collect();
            let distance = if other.len().abs_diff(letters.len()) <= allowed { distance(&letters, &other) } else { 9 };
            // The first letter is rarely wrong, so two mistakes must not include it.
            let is_near = distance <= 1 || (distance <= allowed && other.first() == letters.first());
            let is_short = other.len() < MIN_LETTERS;
            match (is_near && !is_short, begins(name)) {
                (true, _) => Some((distance, Reverse(weight), name)),
                (false, true) => Some((allowed + 1, Reverse(weight), name)),
                (false, false) => None,
            }
        })
        .collect();
    near.sort_unstable();
    near.truncate(MAX_SUGGESTIONS);
    near.into_iter().map(|(.., name)| name).collect()
}

/// The number of letters to insert, delete, replace or swap with their neighbour (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_counted() {
        let count = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        assert_eq!(count("dgo", "dog"), 1);
        assert_eq!(count("elefant", "elephant"), 2);
        assert_eq!(count("", "dog"), 3);
        assert_eq!(count("dog", "dog"), 0);
    }

    #[test]
    fn the_nearest_name_comes_first_and_the_more_general_one_of_two() {
        let names = [("dig", 1), ("dog", 118), ("golden retriever", 1), ("cat", 7)];
        assert_eq!(suggestions("dgo", names.into_iter()), ["dog"]);
        assert_eq!(suggestions("dg", names.into_iter()), [""; 0]);
        assert_eq!(suggestions("dag", names.into_iter()), ["dog", "dig"]);
        assert_eq!(suggestions("golden", names.into_iter()), ["golden retriever"]);
        assert_eq!(suggestions("bxt", names.into_iter()), [""; 0]);
    }
}
