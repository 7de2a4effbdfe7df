//! The meaning of words: a table of vectors, and how near a text is to the classes of ImageNet.
//!
//! The table was distilled from a sentence encoder (`models/words.py`; `models/README.md` describes how, and how well it
//! does). The vector of a text is the sum of the rows of its words, so a search runs no model: the
//! recipe is that of Model2Vec (Tulkens and van Dongen, 2024), except that the rows were trained, and their lengths are
//! the weights of the words.

mod table;

use std::sync::LazyLock;

use crate::TextEncoder;
use crate::vocabulary::{Term, Vocabulary, is_stop_word, normalized};
use table::Table;

const BYTES: &[u8] = include_bytes!("../../data/words.bin");

/// Maximum number of pieces of a word that is in the table only in parts. More of them are mostly no word.
const MAX_PIECES: usize = 2;

/// The built-in table of words, and the directions of ImageNet's classes in its space.
#[derive(Debug)]
pub struct WordTable(Table<'static>);

impl WordTable {
    /// The table that is built into the program.
    pub fn get() -> &'static Self {
        static TABLE: LazyLock<WordTable> =
            LazyLock::new(|| WordTable(Table::parse(BYTES).expect("the table is whole")));
        &TABLE
    }

    /// Whether the table has any of a term's words, or its pieces.
    pub fn knows(&self, term: &Term) -> bool {
        term.meant_words().any(|word| !self.tokens(word).is_empty())
    }

    /// Whether the table has all words of a term, not only their pieces.
    pub fn has_words(&self, term: &Term) -> bool {
        term.meant_words().all(|word| self.0.find(word).is_some())
    }

    /// The sum of the rows of these words, with unit length; `None` if the table has none of them. Words that say
    /// nothing are left out, unless there are no others.
    fn encode_words<'a>(&self, words: impl Iterator<Item = &'a str> + Clone) -> Option<Vec<f32>> {
        let all_say_nothing = words.clone().all(is_stop_word);
        let mut sum = vec![0.0; self.0.dimensions];
        for word in words.filter(|word| all_say_nothing || !is_stop_word(word)) {
            for token in self.tokens(word) {
                self.0.add_row(token, &mut sum);
            }
        }
        unit(&sum)
    }

    /// The rows of a word: its own one, or those of its longest pieces. Empty if there are none, or too many of them.
    fn tokens(&self, word: &str) -> Vec<usize> {
        if let Some(token) = self.0.find(word) {
            return vec![token];
        }
        let (mut tokens, mut rest) = (Vec::new(), word);
        while !rest.is_empty() {
            let ends = rest.char_indices().map(|(at, letter)| at + letter.len_utf8()).rev();
            let piece = |end: usize| match tokens.is_empty() {
                true => self.0.find(&rest[..end]),
                false => self.0.find(&format!("##{}", &rest[..end])),
            };
            let Some((token, end)) = ends.into_iter().find_map(|end| Some((piece(end)?, end))) else {
                return Vec::new();
            };
            if tokens.len() == MAX_PIECES {
                return Vec::new();
            }
            tokens.push(token);
            rest = &rest[end..];
        }
        tokens
    }
}

impl TextEncoder for WordTable {
    fn dimensions(&self) -> usize {
        self.0.dimensions
    }

    fn encode(&self, text: &str) -> Option<Vec<f32>> {
        self.encode_words(normalized(text).split(' ').filter(|word| !word.is_empty()))
    }
}

/// The vector with unit length; `None` if it has no length.
fn unit(vector: &[f32]) -> Option<Vec<f32>> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    (length > 0.0).then(|| vector.iter().map(|value| value / length).collect())
}

/// The meaning of a text, as its nearness to labels.
#[derive(Debug)]
pub struct Meaning {
    vector: Vec<f32>,
    /// The cosine with each of ImageNet's classes.
    classes: Vec<f32>,
}

impl Meaning {
    /// The meaning of the terms of a text; `None` if the table has none of their words.
    pub fn of(terms: &[Term]) -> Option<Self> {
        Some(Self::new(WordTable::get().encode_words(terms.iter().flat_map(Term::meant_words))?))
    }

    /// The meaning of terms that are all known, by the classes that they name: a `sports car` is nearer to other cars than
    /// to what its words say. `None` if a term is not known.
    pub fn of_names(terms: &[Term]) -> Option<Self> {
        let table = &WordTable::get().0;
        let mut sum = vec![0.0; table.dimensions];
        for term in terms {
            let mut direction = vec![0.0; table.dimensions];
            term.classes().into_iter().for_each(|class| table.add_class(class, &mut direction));
            let direction = unit(&direction)?;
            sum.iter_mut().zip(direction).for_each(|(sum, value)| *sum += value);
        }
        Some(Self::new(unit(&sum)?))
    }

    fn new(vector: Vec<f32>) -> Self {
        let table = &WordTable::get().0;
        let classes = (0..table.classes).map(|class| table.cosine(class, &vector)).collect();
        Self { vector, classes }
    }

    /// The cosine with the nearest of ImageNet's classes: how surely the text describes something that can be seen.
    pub fn nearest(&self) -> f32 {
        self.classes.iter().copied().fold(-1.0, f32::max)
    }

    /// The cosine with what a model's label names. A label that is not ImageNet's counts by its own words; `None` if
    /// the table has none of them.
    pub fn cosine(&self, label: &str) -> Option<f32> {
        let classes = Vocabulary::get().classes_of_label(label);
        if let Some(cosine) = classes.iter().map(|class| self.classes[*class]).max_by(f32::total_cmp) {
            return Some(cosine);
        }
        let label = WordTable::get().encode(label)?;
        Some(label.iter().zip(&self.vector).map(|(a, b)| a * b).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// What `models/words.py` makes of texts with accents, other scripts, unknown words and none.
    #[test]
    fn texts_have_the_vectors_of_the_script_that_made_the_table() {
        let golden: Value = serde_json::from_str(include_str!("golden.json")).expect("valid JSON");
        let table = WordTable::get();
        let texts = golden.as_array().expect("texts");
        assert_eq!(texts.len(), 40);
        for golden in texts {
            let text = golden["text"].as_str().expect("a text");
            let vector = table.encode(text);
            let first = golden["vector"].as_array().map_or(&[][..], |vector| vector);
            let is_unknown = golden["classes"].as_array().is_some_and(Vec::is_empty);
            assert_eq!(vector.is_none(), is_unknown, "{text}");
            let Some(vector) = vector else { continue };
            for (ours, theirs) in vector.iter().zip(first) {
                assert!((f64::from(*ours) - theirs.as_f64().expect("a number")).abs() < 1e-4, "{text}: {vector:?}");
            }
            for class in golden["classes"].as_array().expect("classes") {
                let (at, cosine) = (class[0].as_u64().expect("a class"), class[2].as_f64().expect("a cosine"));
                let ours = f64::from(table.0.cosine(at as usize, &vector));
                assert!((ours - cosine).abs() < 1e-3, "{text}: {class} {ours}");
            }
        }
    }

    #[test]
    fn a_text_is_nearest_to_what_it_describes() {
        let cosine = |text: &str, label: &str| {
            let meaning = Meaning::of(&Vocabulary::get().terms(text)).expect("its words are in the table");
            meaning.cosine(label).expect("a label")
        };
        assert!(cosine("something to eat", "pizza") > cosine("something to eat", "beagle"));
        assert!(cosine("feathered creature", "sunset over a lake") < cosine("feathered creature", "hummingbird"));
        assert!(cosine("evening sky", "sunset over a lake") > cosine("evening sky", "beagle"));
    }

    #[test]
    fn words_of_many_pieces_mean_nothing() {
        let knows = |word: &str| WordTable::get().knows(&Vocabulary::get().terms(word)[0]);
        assert!(knows("kitten") && knows("spatulas") && knows("собака"));
        assert!(!knows("zzyzxqwv") && !knows("ќќќ"));
        assert!(Meaning::of(&Vocabulary::get().terms("zzyzxqwv")).is_none());
    }
}
