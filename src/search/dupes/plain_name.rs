//! Whether a file name looks like that of a copy.

use std::path::Path;

/// Endings that programs add to the name of a copy, before the extension: Windows, macOS, GNOME, KDE and others, in
/// English, German, French and Spanish.
const COPY_ENDINGS: &[&str] = &[
    " copy",
    "-copy",
    "_copy",
    "(copy)",
    "(another copy)",
    " - copy",
    " kopie",
    " - kopie",
    "(kopie)",
    " copie",
    " - copie",
    "(copie)",
    " copia",
    " - copia",
    "(copia)",
    "~",
];

/// Beginnings of the same kind.
const COPY_BEGINNINGS: &[&str] = &["copy of ", "kopie von ", "copie de ", "copia de "];

/// The number of marks of a copy in a file name: 0 for `x.jpg`, 1 for `x (copy).jpg`, `x (1).jpg` and `copy of x.jpg`,
/// 2 for `x (copy) (2).jpg`.
pub(super) fn copy_marks(path: &Path) -> usize {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let (mut name, mut marks) = (stem.as_str(), 0);
    while let Some(rest) = COPY_BEGINNINGS.iter().find_map(|beginning| name.strip_prefix(beginning)) {
        (name, marks) = (rest, marks + 1);
    }
    while let Some(rest) = without_number(name).or_else(|| without_ending(name)) {
        (name, marks) = (rest.trim_end(), marks + 1);
    }
    marks
}

fn without_ending(name: &str) -> Option<&str> {
    // A file that is named `copy.jpg` is not a copy.
    COPY_ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).filter(|rest| !rest.trim().is_empty())
}

/// The name without a number in brackets, `x (2)`, or after the word copy, `x copy 2`.
fn without_number(name: &str) -> Option<&str> {
    let bracketed = name.strip_suffix(')').and_then(|name| {
        let (rest, number) = name.rsplit_once('(')?;
        (is_number(number) && !rest.trim().is_empty()).then_some(rest)
    });
    bracketed.or_else(|| {
        let (rest, number) = name.rsplit_once(' ')?;
        without_ending(rest).filter(|_| is_number(number))
    })
}

fn is_number(text: &str) -> bool {
    // Longer numbers, such as years, belong to the name.
    (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_copies_have_marks_and_others_have_none() {
        for plain in
            ["x.jpg", "copy.jpg", "IMG_1234.jpg", "party (2019).jpg", "hardcopy.jpg", "(1).jpg", "photo 2.jpg", ""]
        {
            assert_eq!(copy_marks(Path::new(plain)), 0, "{plain}");
        }
        let once = [
            "x (1).jpg",
            "x(2).jpg",
            "x (copy).jpg",
            "x copy.jpg",
            "x copy 2.jpg",
            "Copy of x.jpg",
            "x - Kopie.png",
            "x~.jpg",
        ];
        for copy in once {
            assert_eq!(copy_marks(Path::new(copy)), 1, "{copy}");
        }
        assert_eq!(copy_marks(Path::new("x (copy) (2).jpg")), 2);
        assert_eq!(copy_marks(Path::new("Copy of Copy of x.jpg")), 2);
    }
}
