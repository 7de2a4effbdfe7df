//! Words that say nothing about a picture.

use super::Term;

const STOP_WORDS: [&str; 46] = [
    "a",
    "an",
    "and",
    "any",
    "at",
    "by",
    "containing",
    "every",
    "find",
    "for",
    "from",
    "has",
    "have",
    "her",
    "his",
    "i",
    "in",
    "into",
    "is",
    "it",
    "its",
    "me",
    "my",
    "near",
    "of",
    "on",
    "or",
    "our",
    "search",
    "show",
    "showing",
    "some",
    "that",
    "the",
    "their",
    "there",
    "these",
    "this",
    "those",
    "to",
    "where",
    "which",
    "who",
    "with",
    "without",
    "your",
];

/// Words for pictures. They say nothing before a word such as `of`.
const PICTURES: [&str; 12] = [
    "image",
    "images",
    "photo",
    "photograph",
    "photographs",
    "photos",
    "pic",
    "pics",
    "picture",
    "pictures",
    "snapshot",
    "snapshots",
];

/// What follows a word for pictures in `a photo of a dog`.
const AFTER_PICTURES: [&str; 7] = ["containing", "from", "in", "of", "showing", "that", "with"];

pub(crate) fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.contains(&word)
}

/// Leaves out the terms that are stop words, unless all are.
pub(super) fn without_stop_words(terms: Vec<Term>) -> Vec<Term> {
    let says_nothing = |at: usize| {
        let text = terms[at].text.as_str();
        let next = terms.get(at + 1).map_or("", |next| next.text.as_str());
        is_stop_word(text) || (PICTURES.contains(&text) && AFTER_PICTURES.contains(&next))
    };
    let kept: Vec<Term> = (0..terms.len()).filter(|at| !says_nothing(*at)).map(|at| terms[at].clone()).collect();
    if kept.is_empty() { terms } else { kept }
}
