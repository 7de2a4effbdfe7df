//! Suggestions for words that are not known: the names that are spelt like them, or that begin with them.

use std::cmp::Reverse;

/// Maximum number of suggestions for a word.
const MAX_SUGGESTIONS: usize = 3;
/// Words with fewer letters are not corrected.
const MIN_LETTERS: usize = 3;
/// Minimum number of letters for which two mistakes are allowed instead of one.
const LETTERS_FOR_TWO: usize = 6;
/// Words with fewer letters are not taken for the beginning of a name.
const MIN_LETTERS_OF_BEGINNING: usize = 5;

/// The names that are spelt most like a word, best first. Each name comes with its weight: of two that are equally like
/// the word, the one with the higher weight comes first.
pub(super) fn spelt_like<'a>(word: &str, names: impl Iterator<Item = (&'a str, usize)>) -> Vec<&'a str> {
    let letters: Vec<char> = word.chars().collect();
    if letters.len() < MIN_LETTERS {
        return Vec::new();
    }
    let allowed = if letters.len() < LETTERS_FOR_TWO { 1 } else { 2 };
    let near = |(name, weight): (&'a str, usize)| {
        let other: Vec<char> = name.chars().collect();
        if other.len() < MIN_LETTERS || other.len().abs_diff(letters.len()) > allowed {
            return None;
        }
        let distance = distance(&letters, &other);
        // A word with other letters is another word (`grass`, `glass`; `unicorn`, `uniform`), while one that lacks a
        // letter, or has them in another order, is a mistake.
        let is_slip = other.len() != letters.len() || replaced(&letters, &other) < allowed;
        // The first letter is rarely wrong, so two mistakes must not include it.
        let is_near = is_slip && (distance <= 1 || (distance <= allowed && other.first() == letters.first()));
        is_near.then_some((distance, Reverse(weight), name))
    };
    best(names.filter_map(near).collect())
}

/// The names that begin with a word, the ones with the highest weight first.
pub(super) fn beginning_with<'a>(word: &str, names: impl Iterator<Item = (&'a str, usize)>) -> Vec<&'a str> {
    if word.chars().count() < MIN_LETTERS_OF_BEGINNING {
        return Vec::new();
    }
    let begins = |name: &str| name.strip_prefix(word).is_some_and(|rest| rest.starts_with(' '));
    best(names.filter(|(name, _)| begins(name)).map(|(name, weight)| (0, Reverse(weight), name)).collect())
}

fn best(mut names: Vec<(usize, Reverse<usize>, &str)>) -> Vec<&str> {
    names.sort_unstable();
    names.truncate(MAX_SUGGESTIONS);
    names.into_iter().map(|(.., name)| name).collect()
}

/// The number of letters of `a` that `b` does not have, in whatever order.
fn replaced(a: &[char], b: &[char]) -> usize {
    let mut others = b.to_vec();
    let mut is_missing =
        |letter: &char| others.iter().position(|other| other == letter).map(|at| others.swap_remove(at)).is_none();
    a.iter().filter(|letter| is_missing(letter)).count()
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
        let names = || [("dig", 1), ("dog", 118), ("golden retriever", 1), ("cat", 7)].into_iter();
        assert_eq!(spelt_like("dgo", names()), ["dog"]);
        assert_eq!(spelt_like("dg", names()), [""; 0]);
        assert_eq!(spelt_like("doog", names()), ["dog"]);
        assert_eq!(spelt_like("dag", names()), [""; 0], "another short word");
        assert_eq!(spelt_like("bxt", names()), [""; 0]);
        assert_eq!(beginning_with("golden", names()), ["golden retriever"]);
        assert_eq!(beginning_with("gold", names()), [""; 0]);
    }
}
