//! Words for colours. A picture is not found by them: a filter selects by colour.

/// The basic colour words of English, and those of web pages.
const COLOURS: [&str; 29] = [
    "amber",
    "aqua",
    "beige",
    "black",
    "blue",
    "brown",
    "crimson",
    "cyan",
    "gold",
    "gray",
    "green",
    "grey",
    "indigo",
    "ivory",
    "lime",
    "magenta",
    "maroon",
    "navy",
    "olive",
    "orange",
    "pink",
    "purple",
    "red",
    "scarlet",
    "silver",
    "teal",
    "turquoise",
    "white",
    "yellow",
];

/// Whether a word is a colour.
pub(super) fn is_colour(word: &str) -> bool {
    COLOURS.contains(&word)
}
