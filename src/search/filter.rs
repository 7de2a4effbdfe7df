//! Filters by folder, format, type, shape, size, colour, date, and what pictures say of themselves.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::store::{ModelRow, Selection, Store, Subtree};
use crate::types::{ColorName, ImageType, Lab, Location, Shape, VectorId, path_to_bytes, paths_text, resolved};

/// Conditions that pictures in an answer must meet. All of them must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    #[serde(with = "paths_text")]
    under: Vec<PathBuf>,
    /// Everything but the folders, whose rows differ from database to database.
    #[serde(flatten)]
    selection: Selection,
}

impl Filter {
    /// Only pictures in this folder. Further calls add alternatives.
    #[must_use]
    pub fn under(mut self, folder: impl Into<PathBuf>) -> Self {
        self.under.push(folder.into());
        self
    }

    /// Only pictures of this format: `jpeg`, `png` …, as `show` prints it. Further calls add alternatives.
    #[must_use]
    pub fn format(mut self, format: impl Into<String>) -> Self {
        self.selection.formats.push(format.into());
        self
    }

    /// Only pictures of this type. Further calls add alternatives.
    #[must_use]
    pub fn kind(mut self, kind: ImageType) -> Self {
        self.selection.types.push(kind);
        self
    }

    /// Only pictures of this shape. Further calls add alternatives.
    #[must_use]
    pub fn shape(mut self, shape: Shape) -> Self {
        self.selection.shapes.push(shape);
        self
    }

    /// Minimum width in pixels.
    #[must_use]
    pub fn min_width(mut self, pixels: u32) -> Self {
        self.selection.width.0 = Some(pixels);
        self
    }

    /// Maximum width in pixels.
    #[must_use]
    pub fn max_width(mut self, pixels: u32) -> Self {
        self.selection.width.1 = Some(pixels);
        self
    }

    /// Minimum height in pixels.
    #[must_use]
    pub fn min_height(mut self, pixels: u32) -> Self {
        self.selection.height.0 = Some(pixels);
        self
    }

    /// Maximum height in pixels.
    #[must_use]
    pub fn max_height(mut self, pixels: u32) -> Self {
        self.selection.height.1 = Some(pixels);
        self
    }

    /// Only pictures of which at least a twentieth has about this colour: a dominant colour within a ΔE of 25. Further
    /// calls add colours that must also occur.
    #[must_use]
    pub fn color(mut self, color: Lab) -> Self {
        self.selection.colors.push(color);
        self
    }

    /// Only pictures of which at least a twentieth has a colour of this name. Further calls add colours that must also
    /// occur.
    #[must_use]
    pub fn color_name(mut self, name: ColorName) -> Self {
        self.selection.color_names.push(name);
        self
    }

    /// Only pictures that were taken at this time or later: `YYYY`, `YYYY-MM`, `YYYY-MM-DD` or `YYYY-MM-DD HH:MM[:SS]`,
    /// by the camera's clock. For pictures without a date, the modification time of the file in local time counts.
    ///
    /// # Errors
    /// If the time has none of these formats.
    pub fn after(mut self, moment: &str) -> Result<Self> {
        self.selection.after = Some(checked_moment(moment)?);
        Ok(self)
    }

    /// Only pictures that were taken before this time, in a format of [`Filter::after`].
    ///
    /// # Errors
    /// If the time has none of these formats.
    pub fn before(mut self, moment: &str) -> Result<Self> {
        self.selection.before = Some(checked_moment(moment)?);
        Ok(self)
    }

    /// Only pictures by a camera with this text in its maker or model, in capitals or not. Further calls add texts that
    /// must also occur.
    #[must_use]
    pub fn camera(mut self, text: impl Into<String>) -> Self {
        self.selection.cameras.push(text.into());
        self
    }

    /// Only pictures by a lens with this text in its name, in capitals or not. Further calls add texts that must also
    /// occur.
    #[must_use]
    pub fn lens(mut self, text: impl Into<String>) -> Self {
        self.selection.lenses.push(text.into());
        self
    }

    /// Only pictures that were taken within this distance of a location, in kilometres.
    #[must_use]
    pub fn near(mut self, location: Location, kilometers: f64) -> Self {
        self.selection.near = Some((location, kilometers));
        self
    }

    /// Only pictures that say where they were taken.
    #[must_use]
    pub fn has_location(mut self) -> Self {
        self.selection.has_location = true;
        self
    }

    /// Minimum rating, in stars.
    #[must_use]
    pub fn min_rating(mut self, stars: i8) -> Self {
        self.selection.min_rating = Some(stars);
        self
    }

    /// Only pictures with this keyword, in capitals or not. Further calls add keywords that must also be there.
    #[must_use]
    pub fn keyword(mut self, keyword: impl Into<String>) -> Self {
        self.selection.keywords.push(keyword.into());
        self
    }

    /// Whether the filter has no conditions.
    pub fn is_empty(&self) -> bool {
        self.under.is_empty() && self.selection.is_everything()
    }

    /// The same filter with absolute paths, for a process with another current folder.
    #[must_use]
    pub fn absolute(mut self) -> Self {
        for folder in &mut self.under {
            *folder = std::path::absolute(&*folder).unwrap_or_else(|_| folder.clone());
        }
        self
    }

    /// Whether pictures must have certain colours.
    pub(crate) fn has_colors(&self) -> bool {
        !self.selection.colors.is_empty()
    }

    /// The same filter in terms of one database.
    pub(crate) fn selection(&self, store: &Store) -> Result<Selection> {
        Ok(Selection { under: self.subtrees(store)?, ..self.selection.clone() })
    }

    /// The folders in terms of one database; `None` if there are none.
    pub(super) fn subtrees(&self, store: &Store) -> Result<Option<Vec<Subtree>>> {
        if self.under.is_empty() { Ok(None) } else { subtrees(store, &self.under).map(Some) }
    }

    /// The folders below which no file is indexed.
    pub(super) fn empty_folders(&self, store: &Store) -> Result<Vec<PathBuf>> {
        let mut empty = Vec::new();
        for folder in &self.under {
            let mut has_files = false;
            for subtree in subtrees(store, std::slice::from_ref(folder))? {
                has_files = has_files || store.has_files_in(&subtree)?;
            }
            if !has_files {
                empty.push(folder.clone());
            }
        }
        Ok(empty)
    }

    /// The ids of the vectors that pass, in ascending order; `None` if all pass.
    pub(super) fn vectors(&self, store: &Store, model: ModelRow) -> Result<Option<Vec<VectorId>>> {
        if self.is_empty() {
            return Ok(None);
        }
        store.select_vectors(model, &self.selection(store)?).map(Some)
    }
}

/// Checks a time and returns it in a form that sorts by time: a prefix of `YYYY-MM-DD HH:MM:SS`.
fn checked_moment(text: &str) -> Result<String> {
    const FORM: &[u8] = b"0000-00-00 00:00:00";
    let moment = text.trim().replace('T', " ");
    let fits = |(is, form): (u8, &u8)| if *form == b'0' { is.is_ascii_digit() } else { is == *form };
    let is_formed = matches!(moment.len(), 4 | 7 | 10 | 16 | 19) && moment.bytes().zip(FORM).all(fits);
    // Completes a prefix, so that the calendar can check whether the date exists.
    const FIRST: &str = "0000-01-01 00:00:00";
    if is_formed && format!("{moment}{}", &FIRST[moment.len()..]).parse::<jiff::civil::DateTime>().is_ok() {
        return Ok(moment);
    }
    let reason = match is_formed {
        true => "there is no such date or time",
        false => "expected YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DD HH:MM",
    };
    Err(Error::Invalid(format!("invalid date `{text}`: {reason}")))
}

/// The parts of roots that lie in the given folders.
fn subtrees(store: &Store, folders: &[PathBuf]) -> Result<Vec<Subtree>> {
    let roots = store.roots()?;
    let mut found = Vec::new();
    for folder in folders {
        // Indexed files can lie in a folder that was deleted or is on a disconnected drive.
        let folder = resolved(folder);
        for root in &roots {
            let path = match (root.path.starts_with(&folder), folder.strip_prefix(&root.path)) {
                (true, _) => Path::new(""),
                (false, Ok(inside)) => inside,
                (false, Err(_)) => continue,
            };
            found.push(Subtree { root: root.id, path: path_to_bytes(path).into_owned() });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::checked_moment;

    #[test]
    fn a_time_is_accepted_at_any_precision() {
        for good in ["2024", "2024-05", "2024-05-31", "2024-05-31 23:59", "2024-05-31 23:59:60"] {
            assert_eq!(checked_moment(good).expect("a time"), good);
        }
        assert_eq!(checked_moment("2024-05-31T10:00").expect("a time"), "2024-05-31 10:00");
        for bad in [
            "2023-02-29",
            "2024-02-30 10:00",
            "2024-04-31",
            "",
            "24",
            "2024-13",
            "2024-00-01",
            "2024-1-1",
            "31.05.2024",
            "2024-05-31 24:00",
            "２０２４",
            "202é",
        ] {
            assert!(checked_moment(bad).is_err(), "{bad}");
        }
    }
}
