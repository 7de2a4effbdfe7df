//! Colours: when to colour messages (`--color`), and which colours pictures must contain (`--with-color`).

use std::ffi::OsStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command, ValueEnum};
use imgidx::types::{ColorName, Lab};

/// When to colour messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum When {
    /// If standard error is a terminal and `NO_COLOR` is not set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A value of `--with-color`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Color {
    /// Any colour with this name.
    Name(ColorName),
    /// This colour, or a similar one.
    About(Lab),
}

/// Parses a value of `--with-color`: a name, `#rgb` or `#rrggbb`. Shells complete the names.
#[derive(Debug, Clone, Copy)]
pub(super) struct ColorParser;

impl TypedValueParser for ColorParser {
    type Value = Color;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<Color, clap::Error> {
        StringValueParser::new().try_map(|text| parse_color(&text)).parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(ColorName::all().map(|name| PossibleValue::new(name.as_str()))))
    }
}

pub(super) fn parse_color(text: &str) -> Result<Color, String> {
    if let Some(name) = ColorName::from_name(text) {
        return Ok(Color::Name(name));
    }
    let digits = text.strip_prefix('#').unwrap_or(text);
    let number = || u32::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    let rgb = match digits.len() {
        6 => number(),
        // #rgb is short for #rrggbb with each digit doubled.
        3 => number().map(|n| [(n >> 8) & 15, (n >> 4) & 15, n & 15].iter().fold(0, |rgb, x| (rgb << 8) | (x * 17))),
        _ => None,
    };
    match rgb {
        Some(rgb) => Ok(Color::About(Lab::from_srgb([16, 8, 0].map(|shift| f32::from((rgb >> shift) as u8))))),
        None => Err(unknown(text)),
    }
}

/// Says what colours there are, and which name is closest to the text.
fn unknown(text: &str) -> String {
    let written = text.to_lowercase();
    let distance = |name: &ColorName| edit_distance(&written, name.as_str());
    let closest = ColorName::all().min_by_key(distance).filter(|name| 3 * distance(name) <= written.len());
    let guess = closest.map(|name| format!("; did you mean `{}`?", name.as_str())).unwrap_or_default();
    let names = || ColorName::all().map(ColorName::as_str);
    let plain: Vec<&str> = names().filter(|name| !name.contains('-')).collect();
    let toned: Vec<&str> = names().filter_map(|name| name.strip_prefix("dark-")).collect();
    format!(
        "expected #rgb, #rrggbb or a name: {}, or dark-, light- or pale- before {}{guess}",
        plain.join(", "),
        toned.join(", ")
    )
}

/// Number of letters to insert, remove or replace (Levenshtein, 1966).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_given_in_hexadecimal_or_by_name() {
        let red = Color::About(Lab::from_srgb([204.0, 0.0, 0.0]));
        assert_eq!(parse_color("#c00"), Ok(red));
        assert_eq!(parse_color("CC0000"), Ok(red));
        let name = |name: &str| Ok(Color::Name(ColorName::from_name(name).expect("a name")));
        assert_eq!(parse_color("White"), name("white"));
        assert_eq!(parse_color("light blue"), name("light-blue"));
        for bad in ["", "#", "#12", "#+12345", "blurple", "#é0"] {
            assert!(parse_color(bad).is_err_and(|reason| reason.contains("#rrggbb")), "{bad}");
        }
    }

    #[test]
    fn a_misspelt_colour_is_an_error_with_the_closest_name() {
        for (wrong, right) in [("purpel", "purple"), ("turqoise", "turquoise"), ("ligth-blue", "light-blue")] {
            assert!(parse_color(wrong).is_err_and(|reason| reason.contains(&format!("did you mean `{right}`?"))));
        }
        assert!(parse_color("xyzzy").is_err_and(|reason| !reason.contains("did you mean")));
    }
}
