//! Filters: only pictures of some place, format or size.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::store::{ModelRow, Selection, Store, Subtree};
use crate::types::{VectorId, path_to_bytes};

/// What pictures must be to be in an answer. All of it has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    under: Vec<PathBuf>,
    formats: Vec<String>,
    min_width: u32,
    min_height: u32,
}

impl Filter {
    /// Only pictures in this folder, or in another one that was given.
    #[must_use]
    pub fn under(mut self, folder: impl Into<PathBuf>) -> Self {
        self.under.push(folder.into());
        self
    }

    /// Only pictures of this format, or of another one that was given: `jpeg`, `png` …, as `show` tells it.
    #[must_use]
    pub fn format(mut self, format: impl Into<String>) -> Self {
        self.formats.push(format.into());
        self
    }

    /// Only pictures that are at least so wide, in pixels.
    #[must_use]
    pub fn min_width(mut self, pixels: u32) -> Self {
        self.min_width = pixels;
        self
    }

    /// Only pictures that are at least so high, in pixels.
    #[must_use]
    pub fn min_height(mut self, pixels: u32) -> Self {
        self.min_height = pixels;
        self
    }

    /// The ids of the vectors that pass, in their order; `None` if all do.
    pub(super) fn vectors(&self, store: &Store, model: ModelRow) -> Result<Option<Vec<VectorId>>> {
        if *self == Self::default() {
            return Ok(None);
        }
        let under = match self.under.as_slice() {
            [] => None,
            folders => Some(subtrees(store, folders)?),
        };
        let formats = self.formats.clone();
        let selection = Selection { under, formats, min_width: self.min_width, min_height: self.min_height };
        store.select_vectors(model, &selection).map(Some)
    }
}

/// The parts of roots that lie in some folders.
fn subtrees(store: &Store, folders: &[PathBuf]) -> Result<Vec<Subtree>> {
    let roots = store.roots()?;
    let mut found = Vec::new();
    for folder in folders {
        // A folder that is gone, or on a drive that is not there, is still a place that files were indexed in.
        let folder = std::fs::canonicalize(folder).or_else(|_| std::path::absolute(folder)).unwrap_or(folder.clone());
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
