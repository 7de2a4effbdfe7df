//! Selects the files and folders that are scanned.

use std::path::Path;

use ignore::overrides::{Override, OverrideBuilder};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Folders that never hold a person's pictures: NAS thumbnails, trash, system folders, packages.
const NEVER_ENTERED: &[&str] =
    &["@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "node_modules", "lost+found", "__MACOSX"];

/// Selects the files of a root that are scanned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScanOptions {
    /// Globs of files and folders to exclude, in the syntax of `.gitignore`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Whether names that start with a dot are included.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// Whether symbolic links are followed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub follow_links: bool,
    /// Whether file systems mounted below the root are excluded.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub one_file_system: bool,
}

impl ScanOptions {
    /// Checks that the globs are valid.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the first glob that is not.
    pub fn check(&self) -> Result<()> {
        excludes(Path::new(""), &self.exclude).map(drop)
    }

    /// The options as the JSON that is stored.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("options are plain data")
    }

    /// Parses [`ScanOptions::to_json`]. Text that is damaged or in the format of a later version gives the default.
    pub(crate) fn from_json(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}

/// Options compiled for the paths below one root.
#[derive(Debug)]
pub struct ScanRules {
    excludes: Override,
    hidden: bool,
}

impl ScanRules {
    /// Compiles the options for a root.
    ///
    /// # Errors
    /// When an exclude is not a valid glob.
    pub fn new(root: &Path, options: &ScanOptions) -> Result<Self> {
        Ok(Self { excludes: excludes(root, &options.exclude)?, hidden: options.hidden })
    }

    /// Whether a file or folder is scanned, given that its parent folder is.
    pub fn admits_entry(&self, path: &Path, is_folder: bool) -> bool {
        let Some(name) = path.file_name() else { return true };
        if !self.hidden && name.as_encoded_bytes().starts_with(b".") {
            return false;
        }
        let never = is_folder && (name == ".git" || NEVER_ENTERED.iter().any(|never| name == *never));
        !never && !self.excludes.matched(path, is_folder).is_ignore()
    }

    /// Whether a file or folder below the root is scanned: it and every folder on the way to it are admitted.
    pub fn admits(&self, root: &Path, path: &Path, is_folder: bool) -> bool {
        self.admits_entry(path, is_folder)
            && path
                .ancestors()
                .skip(1)
                .take_while(|folder| *folder != root)
                .all(|folder| self.admits_entry(folder, true))
    }
}

/// Compiles the globs. In an [`Override`] a plain glob includes, so each is negated with `!` to exclude.
fn excludes(root: &Path, globs: &[String]) -> Result<Override> {
    let mut builder = OverrideBuilder::new(root);
    for glob in globs {
        let bad = |_| Error::Invalid(format!("`{glob}` is not a valid glob to exclude"));
        builder.add(&format!("!{glob}")).map_err(bad)?;
    }
    builder.build().map_err(|error| Error::Invalid(format!("too many globs to exclude: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_an_excluded_folder_are_not_admitted() {
        let root = Path::new("/r");
        let options = ScanOptions { exclude: vec!["skip/".into(), "*.tmp".into()], ..Default::default() };
        let rules = ScanRules::new(root, &options).expect("good globs");
        for (path, admitted) in [
            ("/r/a/b.jpg", true),
            ("/r/a/b.tmp", false),
            ("/r/skip/b.jpg", false),
            ("/r/a/skip/c/b.jpg", false),
            ("/r/.hidden/b.jpg", false),
            ("/r/a/.b.jpg", false),
            ("/r/@eaDir/b.jpg", false),
        ] {
            assert_eq!(rules.admits(root, Path::new(path), false), admitted, "{path}");
        }
    }

    #[test]
    fn options_survive_a_round_trip() {
        let options = ScanOptions { exclude: vec!["*.tmp".into()], follow_links: true, ..Default::default() };
        assert_eq!(ScanOptions::from_json(&options.to_json()), options);
        assert_eq!(ScanOptions::default().to_json(), "{}");
        assert_eq!(ScanOptions::from_json("what is this"), ScanOptions::default());
    }
}
