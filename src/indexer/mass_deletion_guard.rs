//! Marks missing files, unless too many of a root are missing at once.
//!
//! A drive that is only partly available, or a folder that a program is about to rewrite, looks like a deletion.
//! Queries do not return missing files, so a root that has lost most of its files at once keeps its rows unchanged
//! until the files are back or the user confirms that they are gone.

use std::collections::{HashMap, HashSet};

use super::report::Vanished;
use crate::error::Result;
use crate::store::{Batch, Store};
use crate::types::{FileId, RootId};

/// Number of files that may always disappear from a root.
const MAX_UNCHECKED_DELETIONS: u64 = 100;

/// Maximum fraction of a root's files that may disappear within [`DELETION_WINDOW_MS`].
const MAX_DELETED_FRACTION: f64 = 0.5;

/// Deletions within this time, in milliseconds, count as one, because deleting a large folder takes a while.
const DELETION_WINDOW_MS: i64 = 60_000;

/// The files that one run has not found, by root.
#[derive(Debug, Default)]
pub(super) struct MassDeletionGuard {
    files: HashMap<RootId, Vec<FileId>>,
}

impl MassDeletionGuard {
    pub(super) fn extend(&mut self, root: RootId, files: Vec<FileId>) {
        if !files.is_empty() {
            self.files.entry(root).or_default().extend(files);
        }
    }

    /// Forgets the missing files of a root that turned out to be offline.
    pub(super) fn forget(&mut self, root: RootId) {
        self.files.remove(&root);
    }

    /// Whether a root may lose `missing` files, and how many files it had (0 if that did not matter).
    fn is_plausible(store: &Store, root: RootId, missing: u64, moment: i64) -> Result<(bool, u64)> {
        // A large folder disappears in several runs, so recent deletions are added.
        let newly =
            if missing > 0 { store.newly_missing(root, moment.saturating_sub(DELETION_WINDOW_MS))? } else { 0 };
        if missing == 0 || missing + newly <= MAX_UNCHECKED_DELETIONS {
            return Ok((true, 0));
        }
        let of = store.present_files(root)? + newly;
        Ok(((missing + newly) as f64 <= MAX_DELETED_FRACTION * of as f64, of))
    }

    /// Marks the missing files, and returns the roots whose rows are kept because too many files are missing. `whole`
    /// holds the roots that were scanned completely; their count of missing files is exact.
    pub(super) fn record(
        self,
        batch: &Batch<'_>,
        store: &Store,
        moment: i64,
        whole: &HashSet<RootId>,
    ) -> Result<Vec<Vanished>> {
        let mut guarded = Vec::new();
        for root in store.roots()? {
            let missing = self.files.get(&root.id).map_or(&[][..], Vec::as_slice);
            // Some may have been found at another path in the same run.
            let lost = missing.iter().filter(|file| matches!(batch.present_path(**file), Ok(Some(_)))).count() as u64;
            let (is_plausible, of) = Self::is_plausible(store, root.id, lost, moment)?;
            if is_plausible {
                batch.mark_missing(missing, moment)?;
                if whole.contains(&root.id) {
                    batch.set_vanished(root.id, 0)?;
                }
            } else {
                let files = if whole.contains(&root.id) { lost } else { lost.max(root.vanished) };
                batch.set_vanished(root.id, files)?;
                guarded.push(Vanished { root: root.path, files, of });
            }
        }
        Ok(guarded)
    }
}
