//! Spellings: plain letters, singular forms, British and American spelling.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Irregular plurals of WordNet, each with its singular forms. `models/labels.py` writes it.
const PLURALS: &str = include_str!("../../data/plurals.tsv");

/// Latin letters with the accented letters that SQLite's tokenizer takes for the same ones.
const ACCENTED: [(char, &str); 17] = [
    ('a', "àáâãäåāăąǎ"),
    ('c', "çćĉċč"),
    ('d', "ď"),
    ('e', "èéêëēĕėęě"),
    ('g', "ĝğġģ"),
    ('h', "ĥ"),
    ('i', "ìíîïĩīĭį"),
    ('j', "ĵ"),
    ('k', "ķ"),
    ('l', "ĺļľ"),
    ('n', "ñńņň"),
    ('o', "òóôõöōŏő"),
    ('r', "ŕŗř"),
    ('s', "śŝşšș"),
    ('t', "ţťț"),
    ('u', "ùúûüũūŭůűų"),
    ('z', "źżž"),
];

/// Converts to lower case, removes accents and a possessive `'s`, and replaces everything but letters and digits with
/// single spaces.
pub(crate) fn normalized(text: &str) -> String {
    let plain: String = text.chars().flat_map(char::to_lowercase).filter_map(plain_letter).collect();
    let without_possessive = |word: &str| word.strip_suffix("'s").unwrap_or(word).to_owned();
    let words = plain.split(|c: char| !c.is_alphanumeric() && c != '\'').map(without_possessive).collect::<Vec<_>>();
    words.join(" ").split(['\'', ' ']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A letter without its accent; `None` for an accent by itself, as macOS writes them.
fn plain_letter(letter: char) -> Option<char> {
    match letter {
        _ if letter.is_ascii() => Some(letter),
        '\u{300}'..='\u{36F}' => None,
        '’' => Some('\''),
        _ => Some(ACCENTED.iter().find(|(_, accented)| accented.contains(letter)).map_or(letter, |(plain, _)| *plain)),
    }
}

/// The ways to write a word or phrase: itself, its possible singular forms, and each in the other spelling of English,
/// the most likely first.
pub(super) fn spellings(text: &str) -> Vec<String> {
    let mut forms = singulars(text);
    for form in forms.clone() {
        for other in other_english(&form) {
            if !forms.contains(&other) {
                forms.push(other);
            }
        }
    }
    forms
}

/// The text itself and the possible singular forms of its last word.
fn singulars(text: &str) -> Vec<String> {
    const ENDINGS: [(&str, &str); 5] = [("ies", "y"), ("ves", "f"), ("men", "man"), ("s", ""), ("es", "")];
    let (before, last) = text.rsplit_once(' ').map_or(("", text), |(before, last)| (before, last));
    let with = |word: String| if before.is_empty() { word } else { format!("{before} {word}") };
    let irregular = irregular_plurals().get(last).into_iter().flatten().map(|word| (*word).to_owned());
    let regular = ENDINGS.iter().filter_map(|(ending, instead)| {
        let stem = last.strip_suffix(ending)?;
        // "glass" is singular already.
        (stem.chars().count() >= 2 && !last.ends_with("ss")).then(|| format!("{stem}{instead}"))
    });
    [text.to_owned()].into_iter().chain(irregular.chain(regular).map(with)).collect()
}

fn irregular_plurals() -> &'static HashMap<&'static str, Vec<&'static str>> {
    static PARSED: LazyLock<HashMap<&str, Vec<&str>>> = LazyLock::new(|| {
        let lines = PLURALS.lines().filter_map(|line| line.split_once('\t'));
        // WordNet calls `people` a noun of its own.
        lines.chain([("people", "person")]).map(|(plural, words)| (plural, words.split('|').collect())).collect()
    });
    &PARSED
}

/// The other spellings of a phrase, with one word changed: `grey fox` for `gray fox`. Not all of them are English; only
/// those that turn out to be known matter.
fn other_english(text: &str) -> Vec<String> {
    const WORDS: [(&str, &str); 6] = [
        ("grey", "gray"),
        ("tyre", "tire"),
        ("aeroplane", "airplane"),
        ("pyjama", "pajama"),
        ("plough", "plow"),
        ("doughnut", "donut"),
    ];
    const ENDINGS: [(&str, &str); 4] = [("our", "or"), ("tre", "ter"), ("ogue", "og"), ("yse", "yze")];
    let words: Vec<&str> = text.split(' ').collect();
    let mut others = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let mut push = |other: String| {
            let mut changed: Vec<&str> = words.clone();
            changed[at] = &other;
            others.push(changed.join(" "));
        };
        for (one, other) in WORDS {
            if *word == one {
                push(other.into());
            } else if *word == other {
                push(one.into());
            }
        }
        for (british, american) in ENDINGS {
            for (from, to) in [(british, american), (american, british)] {
                if let Some(stem) = word.strip_suffix(from).filter(|stem| stem.chars().count() >= 3) {
                    push(format!("{stem}{to}"));
                }
            }
        }
    }
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accents_and_signs_do_not_matter() {
        assert_eq!(normalized("  Café-CRÈME, Été_2 "), "cafe creme ete 2");
        assert_eq!(normalized("Cafe\u{301}"), "cafe");
        assert_eq!(normalized("The dog's jack-o'-lantern"), "the dog jack o lantern");
        assert_eq!(normalized("犬 собака"), "犬 собака");
    }

    #[test]
    fn plurals_have_their_singulars() {
        for (plural, singular) in [
            ("dogs", "dog"),
            ("mice", "mouse"),
            ("knives", "knife"),
            ("geese", "goose"),
            ("wolves", "wolf"),
            ("children", "child"),
            ("people", "person"),
            ("hot dogs", "hot dog"),
            ("buses", "bus"),
            ("ponies", "pony"),
        ] {
            assert!(spellings(plural).iter().any(|form| form == singular), "{plural}: {:?}", spellings(plural));
        }
        assert_eq!(spellings("glass"), ["glass"]);
    }

    #[test]
    fn both_spellings_of_english_are_tried() {
        assert!(spellings("colours").contains(&"color".into()));
        assert!(spellings("color").contains(&"colour".into()));
        assert!(spellings("grey foxes").contains(&"gray fox".into()));
        assert!(spellings("theatre").contains(&"theater".into()));
    }
}
