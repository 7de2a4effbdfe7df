//! Colours: when to colour messages (`--color`), and which colours pictures must contain (`--with-color`).

use clap::ValueEnum;
use imgidx::types::Lab;

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

/// Named colours: those of CSS 2.1, some with other values, and a few more.
const NAMES: [(&str, u32); 22] = [
    ("black", 0x00_0000),
    ("white", 0xFF_FFFF),
    ("gray", 0x80_8080),
    ("grey", 0x80_8080),
    ("silver", 0xC0_C0C0),
    ("red", 0xE0_1010),
    ("maroon", 0x80_0000),
    ("orange", 0xFF_A500),
    ("brown", 0x8B_4513),
    ("yellow", 0xFF_E000),
    ("gold", 0xFF_D700),
    ("beige", 0xF5_F5DC),
    ("olive", 0x80_8000),
    ("lime", 0x00_FF00),
    ("green", 0x00_8000),
    ("teal", 0x00_8080),
    ("cyan", 0x00_FFFF),
    ("blue", 0x20_40D0),
    ("navy", 0x00_0080),
    ("purple", 0x80_0080),
    ("magenta", 0xFF_00FF),
    ("pink", 0xFF_C0CB),
];

/// Parses a value of `--with-color`: a name, `#rgb` or `#rrggbb`.
pub(super) fn parse_color(text: &str) -> Result<Lab, String> {
    let named = NAMES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, rgb)| *rgb);
    let digits = text.strip_prefix('#').unwrap_or(text);
    let number = || u32::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    let rgb = named.or_else(|| match digits.len() {
        6 => number(),
        // #rgb is short for #rrggbb with each digit doubled.
        3 => number().map(|n| [(n >> 8) & 15, (n >> 4) & 15, n & 15].iter().fold(0, |rgb, x| (rgb << 8) | (x * 17))),
        _ => None,
    });
    match rgb {
        Some(rgb) => Ok(Lab::from_srgb([16, 8, 0].map(|shift| f32::from((rgb >> shift) as u8)))),
        None => {
            let names = NAMES.map(|(name, _)| name).join(", ");
            Err(format!("expected #rgb, #rrggbb or one of {names}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_given_in_hexadecimal_or_by_name() {
        let red = Lab::from_srgb([204.0, 0.0, 0.0]);
        assert_eq!(parse_color("#c00"), Ok(red));
        assert_eq!(parse_color("CC0000"), Ok(red));
        assert_eq!(parse_color("White"), Ok(Lab::from_srgb([255.0; 3])));
        for bad in ["", "#", "#12", "#+12345", "blurple", "#é0"] {
            assert!(parse_color(bad).is_err_and(|reason| reason.contains("#rrggbb")), "{bad}");
        }
    }
}
