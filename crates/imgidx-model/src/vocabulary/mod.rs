//! Matches the words of a query with the labels of a model, by other names and by broader kinds: a beagle is a dog.
//!
//! The names and kinds come from WordNet; `models/README.md` describes how they are extracted, and which names are left
//! out because people mean something else by them. A small table of everyday words adds what WordNet has nowhere above
//! ImageNet's classes, such as puppies. All of this works for every model with ImageNet's labels, not only for the
//! built-in one.

mod languages;
mod spelling;
mod stop_words;
mod suggest;

use std::collections::HashMap;
use std::sync::LazyLock;

use imgidx_media::ColorName;
use languages::Languages;
pub(crate) use spelling::normalized;
use spelling::spellings;
pub(crate) use stop_words::is_stop_word;
use stop_words::without_stop_words;

const TABLE: &str = include_str!("../../data/labels.tsv");
/// Everyday words, the names in [`TABLE`] that they stand for, and why.
const EVERYDAY: &str = include_str!("../../data/everyday.tsv");
/// Maximum number of words in a name.
const MAX_WORDS: usize = 6;

/// The classes that a word names, with the number of steps up to what it names.
type Classes = HashMap<usize, u32>;

/// The names and kinds of ImageNet's classes.
#[derive(Debug)]
pub struct Vocabulary {
    /// The label of each class, exactly as in the table: a Cardigan is a dog, a cardigan is not.
    labels: Vec<&'static str>,
    /// The normalised names of each class, with its label first.
    names: Vec<Vec<String>>,
    /// The classes by their normalised labels.
    by_label: HashMap<String, Vec<usize>>,
    /// What each normalised name stands for: classes, kinds above them, or both. The table of everyday words comes
    /// before WordNet.
    known: HashMap<String, Classes>,
    languages: Languages,
}

impl Vocabulary {
    /// The vocabulary that is built into the program.
    pub fn get() -> &'static Self {
        static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(|| Vocabulary::parse(TABLE, EVERYDAY));
        &VOCABULARY
    }

    /// Parses lines of three columns: the label, other names, and kinds with their distances; and lines of everyday
    /// words with the names that they stand for.
    fn parse(table: &'static str, everyday: &'static str) -> Self {
        let mut vocabulary = Self {
            labels: Vec::new(),
            names: Vec::new(),
            by_label: HashMap::new(),
            known: HashMap::new(),
            languages: Languages::builtin(),
        };
        for (at, line) in table.lines().enumerate() {
            let mut columns = line.split('\t');
            let mut column = || columns.next().expect("the table has three columns");
            let (label, others, kinds) = (column(), column(), column());
            let names: Vec<String> = [label].into_iter().chain(parts(others, '|')).map(normalized).collect();
            for name in &names {
                vocabulary.learn(name, at, 0);
            }
            for kind in parts(kinds, '|') {
                let (steps, names) = kind.split_once('=').expect("a kind has a distance");
                let steps = steps.parse().expect("a distance is a number");
                for name in parts(names, '/') {
                    vocabulary.learn(&normalized(name), at, steps);
                }
            }
            vocabulary.by_label.entry(names[0].clone()).or_default().push(at);
            vocabulary.labels.push(label);
            vocabulary.names.push(names);
        }
        let words: Vec<(String, Classes)> = everyday.lines().map(|line| vocabulary.everyday_word(line)).collect();
        vocabulary.known.extend(words);
        vocabulary
    }

    /// A line of the table of everyday words: the word, the names that it stands for, and why.
    fn everyday_word(&self, line: &str) -> (String, Classes) {
        let mut columns = line.split('\t');
        let mut column = || columns.next().expect("the table of everyday words has three columns");
        let (word, names) = (column(), column());
        let mut classes = Classes::new();
        for (at, steps) in names.split('|').flat_map(|name| &self.known[&normalized(name)]) {
            let least = classes.entry(*at).or_insert(*steps);
            *least = (*steps).min(*least);
        }
        (normalized(word), classes)
    }

    fn learn(&mut self, name: &str, class: usize, steps: u32) {
        let least = self.known.entry(name.to_owned()).or_default().entry(class).or_insert(steps);
        *least = steps.min(*least);
    }

    /// The number of steps from a model's label up to what a term names: 0 if the term is a name of the label itself,
    /// more if it names a kind above it. `None` if the term does not describe the label.
    ///
    /// A label that is not ImageNet's matches by its own name and, if the term is not known, by any of its words.
    pub fn steps(&self, term: &Term, label: &str) -> Option<u32> {
        let entries = self.classes_of_label(label);
        if !entries.is_empty() {
            return entries.iter().filter_map(|at| term.classes.get(at)).min().copied();
        }
        let own = normalized(label);
        let is_named = |spelling: &String| own == *spelling || (!term.is_known() && has_word(&own, spelling));
        term.spellings.iter().any(is_named).then_some(0)
    }

    /// The classes that a model's label stands for. ImageNet's original labels are several names separated by commas.
    pub(crate) fn classes_of_label(&self, label: &str) -> Vec<usize> {
        let labelled = |name: &str| self.by_label.get(&normalized(name)).cloned().unwrap_or_default();
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

    /// Splits a text into terms: the longest known names, and single words for the rest. Words that say nothing about
    /// a picture, such as `a` and `photo of`, are left out, unless they are part of a name or the whole text.
    ///
    /// Names may be in any of [`languages`](Self::languages). English comes first, unless `language` names another one.
    pub fn terms_in(&self, text: &str, language: Option<&str>) -> Vec<Term> {
        let text = normalized(text);
        let words: Vec<&str> =
            text.split(' ').filter(|word| !word.is_empty()).flat_map(|word| self.languages.split(word)).collect();
        let is_foreign = words.iter().any(|word| {
            self.languages.english(word, false, language).is_some() && self.classes_of(&spellings(word)).is_none()
        });
        let mut terms = Vec::new();
        let mut at = 0;
        while at < words.len() {
            let term = (1..=MAX_WORDS.min(words.len() - at))
                .rev()
                .find_map(|length| self.name(&words[at..at + length], is_foreign || length == words.len(), language));
            let term = term.unwrap_or_else(|| self.word(words[at]));
            at += term.words().count();
            terms.push(term);
        }
        without_stop_words(terms)
    }

    /// Like [`terms_in`](Self::terms_in), with English first.
    pub fn terms(&self, text: &str) -> Vec<Term> {
        self.terms_in(text, None)
    }

    /// The languages besides English in which names are known, as codes of ISO 639-1.
    pub fn languages(&self) -> &[&str] {
        self.languages.codes()
    }

    /// Words as one term, if they are a name in English or another language.
    fn name(&self, words: &[&str], is_foreign: bool, language: Option<&str>) -> Option<Term> {
        let english = || self.english_name(words);
        let foreign = || self.foreign_name(&words.join(" "), is_foreign, language);
        match language {
            None | Some("en") => english().or_else(foreign),
            Some(_) => foreign().or_else(english),
        }
    }

    /// A name in another language, as what it means in English.
    fn foreign_name(&self, text: &str, is_foreign: bool, language: Option<&str>) -> Option<Term> {
        let english = self.languages.english(text, is_foreign, language)?;
        let mut spellings = spellings(english);
        let classes = self.classes_of(&spellings).unwrap_or_default();
        spellings.insert(0, text.to_owned());
        Some(Term { text: text.to_owned(), english: Some(english.to_owned()), spellings, classes })
    }

    /// Words as one term, if they are an English name: `hot dog`, or `sea shore` for `seashore`.
    fn english_name(&self, words: &[&str]) -> Option<Term> {
        let mut spellings = spellings(&words.join(" "));
        if let [first, second] = words
            && !is_stop_word(first)
            && !is_stop_word(second)
        {
            spellings.extend(self::spellings(&words.concat()));
        }
        let classes = self.classes_of(&spellings);
        // `light blue` names no class.
        let is_color = || words.len() == 2 && ColorName::from_name(&words.join(" ")).is_some();
        let classes = classes.or_else(|| is_color().then(Classes::new));
        classes.map(|classes| Term { text: words.join(" "), english: None, spellings, classes })
    }

    /// A single word that is no name as a term: two words of a name that were written as one, or a word that is not
    /// known.
    fn word(&self, word: &str) -> Term {
        let mut spellings = spellings(word);
        let halves = word.char_indices().skip(1).map(|(at, _)| word.split_at(at)).filter(|(_, last)| last.len() >= 2);
        let mut apart = halves.map(|(first, last)| self::spellings(&format!("{first} {last}")));
        let found = apart.find_map(|apart| Some((self.classes_of(&apart)?, apart)));
        let (classes, apart) = found.unwrap_or_default();
        spellings.extend(apart);
        Term { text: word.to_owned(), english: None, spellings, classes }
    }

    /// What the first of these spellings that is known stands for.
    fn classes_of(&self, spellings: &[String]) -> Option<Classes> {
        spellings.iter().find_map(|spelling| self.known.get(spelling)).cloned()
    }

    /// Known names that are spelt like a term that is not known, the best first.
    pub fn spelt_like(&self, term: &Term) -> Vec<&str> {
        suggest::spelt_like(&term.text, self.weighted_names())
    }

    /// Known names that begin with a term that is not known, the most general first.
    pub fn beginning_with(&self, term: &Term) -> Vec<&str> {
        suggest::beginning_with(&term.text, self.weighted_names())
    }

    /// All names with the number of classes that they stand for.
    fn weighted_names(&self) -> impl Iterator<Item = (&str, usize)> {
        self.known.iter().map(|(name, classes)| (name.as_str(), classes.len()))
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
    /// What it means in English, if it is a name in another language.
    english: Option<String>,
    /// The text itself, its possible singular forms and its other spellings.
    spellings: Vec<String>,
    classes: Classes,
}

impl Term {
    /// The words of the term.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.text.split(' ')
    }

    /// The text itself, its possible singular forms and its other spellings, some of which may not be words.
    pub fn spellings(&self) -> &[String] {
        &self.spellings
    }

    /// Whether it names any of ImageNet's classes or a kind above them.
    pub fn is_known(&self) -> bool {
        !self.classes.is_empty()
    }

    /// The words by whose meaning the term is understood.
    pub(crate) fn meant_words(&self) -> impl Iterator<Item = &str> + Clone {
        self.english.as_ref().unwrap_or(&self.text).split(' ')
    }

    /// The classes that it names, directly or as a kind, in their order.
    pub(crate) fn classes(&self) -> Vec<usize> {
        let mut classes: Vec<usize> = self.classes.keys().copied().collect();
        classes.sort_unstable();
        classes
    }

    /// What it means in English, if it is a name in another language.
    pub fn english(&self) -> Option<&str> {
        self.english.as_deref()
    }

    /// Whether a text contains all words of the term, in one of its spellings.
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

fn has_word(name: &str, word: &str) -> bool {
    name.split(' ').any(|part| part == word)
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
        assert_eq!(steps("man", "great white shark"), None);
        assert_eq!(steps("grass", "green snake"), None);
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
            assert_eq!(vocabulary.classes_of_label(label), [at], "{label}");
        }
    }

    #[test]
    fn kinds_are_meanings_and_not_strings() {
        assert!(steps("boat", "catamaran").is_some() && steps("ship", "catamaran").is_none());
        assert!(steps("wind instrument", "oboe").is_some() && steps("wind", "oboe").is_none());
        assert!(steps("wood", "oboe").is_none());
        assert!(steps("cat", "tabby").is_some() && steps("cat", "lion").is_none());
        assert!(steps("plane", "airliner").is_some() && steps("plane", "plane").is_none());
        assert!(steps("car", "jeep").is_some() && steps("car", "freight car").is_none());
        assert!(steps("mouse", "mouse").is_some());
    }

    #[test]
    fn everyday_words_are_known() {
        for (word, label) in [
            ("puppy", "beagle"),
            ("puppies", "beagle"),
            ("kitten", "Persian cat"),
            ("bike", "mountain bike"),
            ("motorbike", "moped"),
            ("phone", "dial telephone"),
            ("cell phone", "cellular telephone"),
            ("tv", "television"),
            ("aeroplane", "airliner"),
            ("glasses", "sunglasses"),
            ("fridge", "refrigerator"),
        ] {
            assert!(steps(word, label).is_some(), "{word}");
        }
        assert!(steps("glasses", "beer glass").is_none());
    }

    #[test]
    fn every_everyday_word_leads_to_classes_of_its_own() {
        let vocabulary = Vocabulary::get();
        let wordnet = Vocabulary::parse(TABLE, "");
        let mut needless = Vec::new();
        for line in EVERYDAY.lines() {
            let (word, _) = line.split_once('\t').expect("columns");
            assert!(!vocabulary.known[word].is_empty(), "{word}");
            let (ours, theirs) = (&vocabulary.known[word], wordnet.known.get(word));
            let differs =
                |theirs: &Classes| theirs.len() != ours.len() || ours.keys().any(|at| !theirs.contains_key(at));
            if !theirs.is_none_or(differs) {
                needless.push(word);
            }
        }
        assert_eq!(needless, [""; 0], "WordNet says the same");
    }

    #[test]
    fn compounds_are_one_word_or_two() {
        assert_eq!(steps("sea shore", "seashore"), Some(0));
        assert_eq!(steps("seashore", "seashore"), Some(0));
        assert_eq!(steps("teddybear", "teddy"), Some(0));
        assert_eq!(steps("tshirt", "jersey"), Some(0));
        assert_eq!(steps("fire-trucks", "fire engine"), Some(0));
    }

    #[test]
    fn stop_words_are_left_out_unless_they_are_all_or_part_of_a_name() {
        let texts = |text: &str| -> Vec<String> {
            Vocabulary::get().terms(text).iter().map(|term| term.text().to_owned()).collect()
        };
        assert_eq!(texts("a photo of a dog"), ["dog"]);
        assert_eq!(texts("Pictures of the dogs on my beach!"), ["dogs", "beach"]);
        assert_eq!(texts("show me dogs"), ["dogs"]);
        assert_eq!(texts("hen of the woods"), ["hen of the woods"]);
        assert_eq!(texts("the jack-o'-lantern"), ["jack o lantern"]);
        assert_eq!(texts("photos"), ["photos"]);
        assert_eq!(texts("photo 2019"), ["photo", "2019"]);
        assert_eq!(texts("the"), ["the"]);
        assert_eq!(texts("of the"), ["of", "the"]);
    }

    #[test]
    fn misspelt_words_have_suggestions() {
        let first = |text: &str| {
            let vocabulary = Vocabulary::get();
            let [term] = &vocabulary.terms(text)[..] else { panic!("`{text}` is not one term") };
            assert!(!term.is_known(), "{text}");
            vocabulary.spelt_like(term).first().map(|name| (*name).to_owned())
        };
        assert_eq!(first("dgo").as_deref(), Some("dog"));
        assert_eq!(first("elephnat").as_deref(), Some("elephant"));
        assert_eq!(first("vehicel").as_deref(), Some("vehicle"));
        assert_eq!(first("zzzzzz"), None);
        let golden = &Vocabulary::get().terms("golden")[0];
        assert_eq!(Vocabulary::get().beginning_with(golden), ["golden retriever"]);
    }
}
