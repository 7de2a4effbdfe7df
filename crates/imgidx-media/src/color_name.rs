//! Names of colours, as regions of hue, chroma and lightness in CIE LCh.
//!
//! The eleven basic names are those of Berlin and Kay, "Basic Color Terms" (1969). No standard says where one ends and
//! the next begins; the bounds here lie in the middle of those that scripts and published models use (see
//! `benches/colors.py`). Regions may overlap: navy is also blue, and a colour between two names may have neither.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::Lab;

/// A name of a colour, such as `blue`, `navy` or `light-green`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub struct ColorName(u8);

/// A part of the colour space. Lower bounds are included, upper bounds are not.
#[derive(Debug, Clone, Copy)]
struct Region {
    /// Hue angle in degrees, from the first clockwise to the second; `[0, 360]` is every hue.
    hue: [f32; 2],
    lightness: [f32; 2],
    chroma: [f32; 2],
}

const fn region(hue: [f32; 2], lightness: [f32; 2], chroma: [f32; 2]) -> Region {
    Region { hue, lightness, chroma }
}

impl Region {
    fn contains(&self, Lab([lightness, a, b]): Lab) -> bool {
        let within = |[from, to]: [f32; 2], value: f32| (from..to).contains(&value);
        let hue = b.atan2(a).to_degrees();
        let [from, to] = self.hue;
        let is_hue = to - from >= 360.0 || (hue - from).rem_euclid(360.0) < to - from;
        is_hue && within(self.lightness, lightness) && within(self.chroma, a.hypot(b))
    }
}

/// Above any lightness.
const WHITE: f32 = 101.0;
/// Above any chroma.
const VIVID: f32 = 300.0;
const EVERY_HUE: [f32; 2] = [0.0, 360.0];

/// The basic names, and names of parts of them. A hue below 0 is one below 360.
///
/// Hues of equal look bend in CIELAB: the blue of a screen has the hue of a faint purple, and its red that of a faint
/// orange. So the bounds of vivid colours differ from those of faint ones.
const NAMES: [(&str, &[Region]); 23] = [
    ("black", &[region(EVERY_HUE, [0.0, 22.0], [0.0, 15.0])]),
    ("white", &[region(EVERY_HUE, [88.5, WHITE], [0.0, 11.0])]),
    ("grey", &[region(EVERY_HUE, [22.0, 88.5], [0.0, 11.0])]),
    ("red", &[region([-5.0, 40.0], [18.0, 66.0], [20.0, VIVID]), region([40.0, 43.0], [18.0, 66.0], [70.0, VIVID])]),
    (
        "orange",
        &[region([40.0, 72.0], [52.0, WHITE], [22.0, VIVID]), region([72.0, 79.0], [52.0, WHITE], [65.0, VIVID])],
    ),
    (
        "yellow",
        &[
            region([74.0, 106.0], [55.0, WHITE], [20.0, 65.0]),
            region([106.0, 112.0], [90.0, WHITE], [20.0, 65.0]),
            region([79.0, 110.0], [55.0, WHITE], [65.0, VIVID]),
        ],
    ),
    ("green", &[region([106.0, 183.0], [15.0, WHITE], [18.0, VIVID])]),
    (
        "blue",
        &[region([225.0, 300.0], [12.0, WHITE], [19.0, VIVID]), region([300.0, 309.0], [12.0, 60.0], [45.0, VIVID])],
    ),
    (
        "purple",
        &[region([300.0, 331.0], [15.0, WHITE], [18.0, 45.0]), region([309.0, 331.0], [15.0, WHITE], [45.0, VIVID])],
    ),
    ("pink", &[region([-29.0, 0.0], [35.0, WHITE], [18.0, VIVID]), region([0.0, 30.0], [58.0, WHITE], [18.0, VIVID])]),
    ("brown", &[region([31.0, 79.0], [18.0, 51.0], [16.0, 65.0])]),
    ("navy", &[region([255.0, 310.0], [5.0, 32.0], [14.0, VIVID])]),
    ("cyan", &[region([180.0, 225.0], [55.0, WHITE], [16.0, VIVID])]),
    ("teal", &[region([175.0, 225.0], [20.0, 60.0], [14.0, VIVID])]),
    ("turquoise", &[region([170.0, 208.0], [50.0, WHITE], [18.0, VIVID])]),
    ("beige", &[region([60.0, 115.0], [75.0, WHITE], [7.0, 28.0])]),
    ("maroon", &[region([-10.0, 42.0], [10.0, 38.0], [20.0, VIVID])]),
    ("olive", &[region([88.0, 120.0], [25.0, 62.0], [20.0, VIVID])]),
    ("gold", &[region([72.0, 96.0], [55.0, 92.0], [45.0, VIVID])]),
    ("silver", &[region(EVERY_HUE, [65.0, 88.0], [0.0, 8.0])]),
    ("magenta", &[region([318.0, 355.0], [30.0, 80.0], [50.0, VIVID])]),
    ("lime", &[region([110.0, 140.0], [65.0, WHITE], [55.0, VIVID])]),
    ("violet", &[region([298.0, 330.0], [25.0, WHITE], [20.0, VIVID])]),
];

/// Number of basic names, the first of [`NAMES`].
const BASIC_NAMES: usize = 11;

/// The names that tones can be given to.
const TONED: [&str; 9] = ["grey", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown"];

/// A tone: its name, its lightness, and its chroma if it differs from that of the hue.
type Tone = (&'static str, [f32; 2], Option<[f32; 2]>);

/// The tones that names can have.
const TONES: [Tone; 3] = [
    ("dark", [8.0, 40.0], None),
    ("light", [66.0, 99.0], Some([14.0, VIVID])),
    ("pale", [75.0, 98.0], Some([8.0, 35.0])),
];

/// All names with their regions.
static ALL: LazyLock<Vec<(String, Vec<Region>)>> = LazyLock::new(|| {
    let plain = NAMES.iter().map(|(name, regions)| ((*name).to_owned(), regions.to_vec()));
    let toned = TONES.iter().flat_map(|(tone, lightness, chroma)| {
        TONED.iter().map(move |base| {
            let (_, regions) = NAMES.iter().find(|(name, _)| name == base).expect("a name of the table");
            let regions = regions.iter().map(|region| toned(region, *lightness, *chroma)).collect();
            (format!("{tone}-{base}"), regions)
        })
    });
    plain.chain(toned).collect()
});

/// The dark, light or pale part of a hue. Greys have no other chroma, and no darker end than black.
fn toned(of: &Region, lightness: [f32; 2], chroma: Option<[f32; 2]>) -> Region {
    if of.chroma[0] > 0.0 {
        return Region { hue: of.hue, lightness, chroma: chroma.unwrap_or(of.chroma) };
    }
    let lightness = [lightness[0].max(of.lightness[0]), lightness[1].min(of.lightness[1])];
    Region { lightness, ..*of }
}

impl ColorName {
    /// Number of names.
    pub const COUNT: usize = NAMES.len() + TONES.len() * TONED.len();

    /// All names: the eleven basic ones, then others, then tones such as `dark-red`.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..Self::COUNT).map(|at| Self(at as u8))
    }

    /// The eleven basic names.
    pub fn basic() -> impl ExactSizeIterator<Item = Self> {
        Self::all().take(BASIC_NAMES)
    }

    /// Finds a name in any case, with a hyphen, a space or nothing between its words.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = plain(name);
        let name = match name.as_str() {
            "aqua" => "cyan",
            "fuchsia" => "magenta",
            other => other,
        };
        Self::all().find(|color| plain(color.as_str()) == name)
    }

    /// The name, with a hyphen between its words.
    pub fn as_str(self) -> &'static str {
        &ALL[usize::from(self.0)].0
    }

    /// Position in [`all`](Self::all).
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Whether a colour has this name.
    pub fn contains(self, color: Lab) -> bool {
        ALL[usize::from(self.0)].1.iter().any(|region| region.contains(color))
    }
}

/// A name without what may be written differently.
fn plain(name: &str) -> String {
    name.to_lowercase().replace([' ', '-', '_'], "").replace("gray", "grey")
}

impl From<ColorName> for &'static str {
    fn from(name: ColorName) -> Self {
        name.as_str()
    }
}

impl TryFrom<String> for ColorName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::from_name(&name).ok_or_else(|| format!("unknown colour `{name}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(rgb: u32) -> Vec<&'static str> {
        let lab = Lab::from_srgb([16, 8, 0].map(|shift| f32::from((rgb >> shift) as u8)));
        ColorName::all().filter(|name| name.contains(lab)).map(ColorName::as_str).collect()
    }

    #[test]
    fn the_colours_of_css_have_their_own_names() {
        let css = [
            ("black", 0x00_0000),
            ("white", 0xFF_FFFF),
            ("gray", 0x80_8080),
            ("silver", 0xC0_C0C0),
            ("red", 0xFF_0000),
            ("maroon", 0x80_0000),
            ("orange", 0xFF_A500),
            ("brown", 0x8B_4513),
            ("yellow", 0xFF_FF00),
            ("gold", 0xFF_D700),
            ("beige", 0xF5_F5DC),
            ("olive", 0x80_8000),
            ("lime", 0x00_FF00),
            ("green", 0x00_8000),
            ("teal", 0x00_8080),
            ("cyan", 0x00_FFFF),
            ("turquoise", 0x40_E0D0),
            ("blue", 0x00_00FF),
            ("navy", 0x00_0080),
            ("purple", 0x80_0080),
            ("magenta", 0xFF_00FF),
            ("violet", 0xEE_82EE),
            ("pink", 0xFF_C0CB),
            ("dark blue", 0x00_008B),
            ("dark green", 0x00_6400),
            ("dark red", 0x8B_0000),
            ("dark gray", 0x50_5050),
            ("light gray", 0xD3_D3D3),
            ("light blue", 0xAD_D8E6),
            ("light green", 0x90_EE90),
            ("light pink", 0xFF_B6C1),
            ("light yellow", 0xFF_FF99),
            ("pale green", 0xC8_E6C9),
            ("pale pink", 0xFA_DADD),
        ];
        for (name, rgb) in css {
            let name = ColorName::from_name(name).expect("a name").as_str();
            assert!(names_of(rgb).contains(&name), "{name} is {:?}", names_of(rgb));
        }
    }

    #[test]
    fn vivid_colours_of_a_screen_have_one_basic_name() {
        let basic: Vec<&str> = ColorName::basic().map(ColorName::as_str).collect();
        let expected = [
            (0xFF_0000, "red"),
            (0x00_FF00, "green"),
            (0x00_00FF, "blue"),
            (0xFF_FF00, "yellow"),
            (0xFF_A500, "orange"),
            (0x80_0080, "purple"),
            (0x8B_4513, "brown"),
            (0xFF_C0CB, "pink"),
            (0x00_0000, "black"),
            (0x80_8080, "grey"),
            (0xFF_FFFF, "white"),
        ];
        for (rgb, name) in expected {
            let names: Vec<&str> = names_of(rgb).into_iter().filter(|name| basic.contains(name)).collect();
            assert_eq!(names, [name], "{rgb:06x}");
        }
    }

    #[test]
    fn names_are_found_however_they_are_written() {
        for written in ["light-blue", "light blue", "LightBlue", "LIGHT_BLUE"] {
            assert_eq!(ColorName::from_name(written).map(ColorName::as_str), Some("light-blue"), "{written}");
        }
        assert_eq!(ColorName::from_name("dark gray"), ColorName::from_name("dark-grey"));
        assert_eq!(ColorName::from_name("blurple"), None);
        let all: std::collections::BTreeSet<&str> = ColorName::all().map(ColorName::as_str).collect();
        assert_eq!(all.len(), ColorName::COUNT);
        const { assert!(ColorName::COUNT <= 64, "a bit of a u64 stands for each name") };
    }
}
