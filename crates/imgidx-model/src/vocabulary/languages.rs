//! Names in other languages.

use std::collections::{BTreeMap, HashMap};

use super::spelling::normalized;

/// The names of things in several languages, from Unicode CLDR; `models/languages.py` writes it. The first line has the
/// codes of the languages, `en` first. Each other line has an English name, and a column for each language with names
/// separated by `|`. A `~` follows names that are English words with another meaning.
const NAMES: &str = include_str!("../../data/languages.tsv");

/// The names of things in other languages than English.
#[derive(Debug)]
pub(super) struct Languages {
    codes: Vec<&'static str>,
    /// What each normalised name means, by the position of the language.
    names: HashMap<String, BTreeMap<usize, Meaning>>,
    /// Length of the longest name in a script without spaces, in characters.
    longest: usize,
}

/// What a name means.
#[derive(Debug, Clone, Copy)]
struct Meaning {
    english: &'static str,
    /// Whether the name is an English word too, with another meaning.
    is_english_word: bool,
}

impl Languages {
    pub(super) fn builtin() -> Self {
        let mut lines = NAMES.lines();
        let codes: Vec<&str> = lines.next().expect("a line of languages").split('\t').skip(1).collect();
        let mut languages = Self { codes, names: HashMap::new(), longest: 0 };
        for line in lines {
            let mut columns = line.split('\t');
            let english = columns.next().expect("an English name");
            for (language, names) in columns.enumerate() {
                for name in names.split('|') {
                    let (meaning, name) = (Meaning { english, is_english_word: name.ends_with('~') }, normalized(name));
                    if name.is_empty() {
                        continue;
                    }
                    if name.chars().all(has_no_spaces) {
                        languages.longest = languages.longest.max(name.chars().count());
                    }
                    languages.names.entry(name).or_default().entry(language).or_insert(meaning);
                }
            }
        }
        languages
    }

    pub(super) fn codes(&self) -> &[&'static str] {
        &self.codes
    }

    /// What a name means in English. A name of several languages is taken from `language`, or else from the first one.
    /// Names that are English words with another meaning count only in `language`, or if the text is known not to be
    /// English.
    pub(super) fn english(&self, name: &str, is_foreign: bool, language: Option<&str>) -> Option<&'static str> {
        let meanings = self.names.get(name)?;
        let preferred = language.and_then(|language| self.codes.iter().position(|code| *code == language));
        let preferred = preferred.and_then(|language| meanings.get(&language));
        let other = || meanings.values().find(|meaning| is_foreign || !meaning.is_english_word);
        preferred.or_else(other).map(|meaning| meaning.english)
    }

    /// Splits a word of a script without spaces into known names, the longest first, and what is between them. Other
    /// words stay whole.
    pub(super) fn split<'a>(&self, word: &'a str) -> Vec<&'a str> {
        if !word.chars().any(has_no_spaces) {
            return vec![word];
        }
        let (mut parts, mut rest, mut unknown) = (Vec::new(), word, 0);
        while unknown < rest.len() {
            let at_once = &rest[unknown..];
            let ends = at_once.char_indices().map(|(at, letter)| at + letter.len_utf8()).take(self.longest);
            let name = ends.filter(|end| self.names.contains_key(&at_once[..*end])).last();
            match name {
                None => unknown += at_once.chars().next().map_or(1, char::len_utf8),
                Some(end) => {
                    parts.extend([&rest[..unknown], &at_once[..end]].into_iter().filter(|part| !part.is_empty()));
                    (rest, unknown) = (&at_once[end..], 0);
                }
            }
        }
        parts.extend(Some(rest).filter(|rest| !rest.is_empty()));
        parts
    }
}

/// Whether a letter is of a script that is written without spaces: Chinese characters, Hiragana and Katakana.
fn has_no_spaces(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_the_english_one() {
        let languages = Languages::builtin();
        assert_eq!(languages.english("hund", false, None), Some("dog"));
        assert_eq!(languages.english("犬", false, None), Some("dog"));
        assert_eq!(languages.english("собака", false, None), Some("dog"));
        assert_eq!(languages.english("dgo", true, None), None);
        let chat = |is_foreign, language| languages.english("chat", is_foreign, language);
        assert_eq!([chat(true, None), chat(false, Some("fr")), chat(false, None)], [Some("cat"), Some("cat"), None]);
    }

    #[test]
    fn text_without_spaces_is_split_into_names() {
        let languages = Languages::builtin();
        assert_eq!(languages.split("犬と猫"), ["犬", "と", "猫"]);
        assert_eq!(languages.split("beach"), ["beach"]);
        assert_eq!(languages.split("の"), ["の"]);
    }
}
