//! Matches the words of a query with the labels of a model, by other names and by broader kinds: a beagle is a dog.
//!
//! The names and kinds come from WordNet; `models/README.md` describes how they are extracted. They work for every
//! model with ImageNet's labels, not only for the built-in one.

use std::collections::HashMap;
use std::sync::LazyLock;

const TABLE: &str = include_str!("../data/labels.tsv");

/// The names and kinds of ImageNet's classes.
#[derive(Debug)]
pub struct Vocabulary {
    /// The label of each class, exactly as in the table: a Cardigan is a dog, a cardigan is not.
    labels: Vec<&'static str>,
    /// The normalised names of each class, with its label first.
    names: Vec<Vec<String>>,
    /// The classes by each of their own normalised names.
    by_name: HashMap<String, Vec<usize>>,
    /// The classes by each normalised name of a kind above them, with the number of steps up to that kind.
    by_kind: HashMap<String, Vec<(usize, u32)>>,
}

impl Vocabulary {
    /// The vocabulary that is built into the program.
    pub fn get() -> &'static Self {
        static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(|| Vocabulary::parse(TABLE));
        &VOCABULARY
    }

    /// Parses lines of three columns: the label, other names, and kinds with their distances.
    fn parse(table: &'static str) -> Self {
        let mut vocabulary =
            Self { labels: Vec::new(), names: Vec::new(), by_name: HashMap::new(), by_kind: HashMap::new() };
        for (at, line) in table.lines().enumerate() {
            let mut columns = line.split('\t');
            let mut column = || columns.next().expect("the table has three columns");
            let (label, others, kinds) = (column(), column(), column());
            let names: Vec<String> = [label].into_iter().chain(parts(others, '|')).map(normalized).collect();
            for name in &names {
                vocabulary.by_name.entry(name.clone()).or_default().push(at);
            }
            for kind in parts(kinds, '|') {
                let (steps, names) = kind.split_once('=').expect("a kind has a distance");
                let steps = steps.parse().expect("a distance is a number");
                for name in parts(names, '/') {
                    vocabulary.by_kind.entry(normalized(name)).or_default().push((at, steps));
                }
            }
            vocabulary.labels.push(label);
            vocabulary.names.push(names);
        }
        vocabulary
    }

    /// The number of steps from a model's label up to what a term names: 0 if the term is a name of the label itself,
    /// more if it names a kind above it. `None` if the term does not describe the label.
    pub fn steps(&self, term: &Term, label: &str) -> Option<u32> {
        let entries = self.entries_of(label);
        let exact = entries.iter().filter_map(|at| term.steps.get(at)).min().copied();
        exact.or_else(|| {
            let own = normalized(label);
            term.spellings
                .iter()
                .any(|spelling| own == *spelling || (term.is_loose && has_word(&own, spelling)))
                .then_some(0)
        })
    }

    /// The classes that a model's label stands for. ImageNet's original labels are several names separated by commas.
    fn entries_of(&self, label: &str) -> Vec<usize> {
        let labelled = |name: &str| {
            let name = normalized(name);
            let of_name = self.by_name.get(&name).map_or(&[][..], Vec::as_slice);
            of_name.iter().copied().filter(|at| self.names[*at][0] == name).collect::<Vec<_>>()
        };
        if let Some((usual, other)) = label.strip_suffix(')').and_then(|label| label.split_once(" (")) {
            return labelled(usual).into_iter().filter(|at| self.names[*at].contains(&normalized(other))).collect();
        }
        let usual = label.split(',').next().unwrap_or(label);
        let mut entries = labelled(usual);
        // Names are compared without case, so prefer the class with exactly this label. Of two with the same label, the
        // first has it without a suffix.
        entries.sort_by_key(|at| self.labels[*at] != usual);
        entries.truncate(1);
        entries
    }

    /// Splits a text into terms: the longest known names, and single words for the rest.
    pub fn terms(&self, text: &str) -> Vec<Term> {
        /// Maximum number of words in a name.
        const MAX_WORDS: usize = 6;
        let text = normalized(text);
        let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
        let mut terms = Vec::new();
        let mut at = 0;
        while at < words.len() {
            let phrases = (2..=MAX_WORDS.min(words.len() - at)).rev().map(|length| words[at..at + length].join(" "));
            let known = phrases.map(|phrase| self.term(phrase)).find(|term| !term.steps.is_empty());
            let term = known.unwrap_or_else(|| self.term(words[at].to_owned()));
            at += term.words().count();
            terms.push(term);
        }
        terms
    }

    fn term(&self, text: String) -> Term {
        let spellings = spellings(&text);
        let mut steps = self.steps_to(|name| spellings.iter().any(|spelling| spelling == name));
        // Only a text that is not a name itself may match single words of names: "dog" is one, so it does not match
        // "hot dog"; "shepherd" is not, so it matches "German shepherd".
        let is_loose = steps.is_empty();
        if is_loose {
            steps = self.steps_to(|name| spellings.iter().any(|word| has_word(name, word)));
        }
        Term { text, spellings, steps, is_loose }
    }

    /// All classes with a matching name, or below a kind with one, with the fewest steps up to it.
    fn steps_to(&self, matches: impl Fn(&str) -> bool) -> HashMap<usize, u32> {
        let mut steps: HashMap<usize, u32> = HashMap::new();
        let own = self.by_name.iter().filter(|(name, _)| matches(name)).flat_map(|(_, entries)| entries);
        let kinds = self.by_kind.iter().filter(|(name, _)| matches(name)).flat_map(|(_, entries)| entries);
        for (at, distance) in own.map(|at| (*at, 0)).chain(kinds.copied()) {
            steps.entry(at).and_modify(|least| *least = distance.min(*least)).or_insert(distance);
        }
        steps
    }
}

/// Another name of a class of the built-in model, to distinguish it from a class with the same label.
pub(super) fn other_name(class: usize) -> Option<&'static str> {
    TABLE.lines().nth(class)?.split('\t').nth(1)?.split('|').next()
}

/// A word or phrase of a query, with the classes that it names.
#[derive(Debug, Clone)]
pub struct Term {
    text: String,
    /// The text itself and its possible singular forms.
    spellings: Vec<String>,
    /// The classes that it names, directly or by a kind above them, with the number of steps up to what it names.
    steps: HashMap<usize, u32>,
    /// Whether it is not a name itself, so that names that contain it as a word match too.
    is_loose: bool,
}

impl Term {
    /// The words of the term.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.text.split(' ')
    }

    /// Whether a text contains all words of the term, or of its singular form.
    pub fn is_in(&self, text: &str) -> bool {
        let text = normalized(text);
        self.spellings.iter().any(|spelling| spelling.split(' ').all(|word| has_word(&text, word)))
    }

    /// The term's text, in lower case and without punctuation.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn parts(text: &'static str, separator: char) -> impl Iterator<Item = &'static str> {
    text.split(separator).filter(|part| !part.is_empty())
}

/// Converts to lower case and replaces everything but letters and digits with single spaces.
fn normalized(text: &str) -> String {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

fn has_word(name: &str, word: &str) -> bool {
    name.split(' ').any(|part| part == word)
}

/// A word or phrase and its possible singular forms.
fn spellings(text: &str) -> Vec<String> {
    const ENDINGS: [(&str, &str); 5] = [("ies", "y"), ("ves", "f"), ("men", "man"), ("es", ""), ("s", "")];
    const IRREGULAR: [(&str, &str); 6] = [
        ("mice", "mouse"),
        ("geese", "goose"),
        ("people", "person"),
        ("knives", "knife"),
        ("oxen", "ox"),
        ("feet", "foot"),
    ];
    let (before, last) = text.rsplit_once(' ').map_or(("", text), |(before, last)| (before, last));
    let with = |word: String| if before.is_empty() { word } else { format!("{before} {word}") };
    let irregular = IRREGULAR.iter().filter(|(plural, _)| *plural == last).map(|(_, word)| (*word).to_owned());
    let regular = ENDINGS.iter().filter_map(|(ending, instead)| {
        let stem = last.strip_suffix(ending)?;
        // "glass" is singular already.
        (stem.chars().count() >= 2 && !last.ends_with("ss")).then(|| format!("{stem}{instead}"))
    });
    [text.to_owned()].into_iter().chain(irregular.chain(regular).map(with)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str, label: &str) -> Option<u32> {
        let vocabulary = Vocabulary::get();
        let [term] = &vocabulary.terms(text)[..] else { panic!("`{text}` is not one term") };
        vocabulary.steps(term, label)
    }

    #[test]
    fn a_thing_is_called_by_its_names_and_its_kinds() {
        assert_eq!(steps("beagle", "beagle"), Some(0));
        assert_eq!(steps("Alsatian", "German shepherd"), Some(0));
        assert_eq!(steps("dogs", "beagle"), steps("dog", "beagle"));
        assert!(steps("hound", "beagle") < steps("dog", "beagle"));
        assert!(steps("vehicle", "streetcar").is_some());
        assert_eq!(steps("dog", "tabby"), None);
        assert_eq!(steps("nonsense", "beagle"), None);
    }

    #[test]
    fn a_known_name_does_not_match_inside_other_names() {
        assert_eq!(steps("dog", "hotdog"), None);
        assert_eq!(steps("hot dog", "hotdog"), Some(0));
        assert_eq!(steps("shepherd", "German shepherd"), Some(0));
    }

    #[test]
    fn a_text_is_split_into_the_longest_names() {
        let terms = Vocabulary::get().terms("Two golden_retriever puppies, beach-wagon");
        let texts: Vec<&str> = terms.iter().map(Term::text).collect();
        assert_eq!(texts, ["two", "golden retriever", "puppies", "beach wagon"]);
        assert!(Vocabulary::get().terms(" ,.- ").is_empty());
    }

    #[test]
    fn two_classes_with_one_name_are_distinguished() {
        let model = crate::Model::builtin();
        let qualified: Vec<&String> = model.labels().iter().filter(|label| label.ends_with(')')).collect();
        assert_eq!(qualified, ["crane (construction crane)", "maillot (tank suit)"]);
        assert!(steps("bird", "crane").is_some());
        assert_eq!(steps("bird", "crane (construction crane)"), None);
        assert!(steps("crane", "crane (construction crane)").is_some());
        assert_eq!((steps("dog", "Cardigan"), steps("dog", "cardigan")), (Some(2), None));
    }

    #[test]
    fn labels_of_other_models_are_understood() {
        assert!(steps("dog", "Beagle").is_some());
        assert!(steps("fish", "tench, Tinca tinca").is_some());
        assert_eq!(steps("sunset", "sunset"), Some(0));
        assert_eq!(steps("sunset", "sunset over a lake"), Some(0));
    }

    #[test]
    fn every_label_of_the_built_in_model_has_an_entry() {
        let model = crate::Model::builtin();
        let vocabulary = Vocabulary::get();
        for (at, label) in model.labels().iter().enumerate() {
            assert_eq!(vocabulary.entries_of(label), [at], "{label}");
        }
    }
}
