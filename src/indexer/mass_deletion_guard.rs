//! Files that are gone, and when that is not believed.
//!
//! A drive that is only partly there, or a folder that a program is about to write again, looks like a deletion. Rows of missing
//! files are no answers to queries any more, so that a root from which most files are gone at once is left as it is, until
//! they are back or somebody says that they are gone.

use std::collections::{HashMap, HashSet};

use super::report::Vanished;
use crate::error::Result;
use crate::store::{Batch, Store};
use crate::types::{FileId, RootId};

/// So few files may mass_deletion_guard from any root.
const ALWAYS_BELIEVED: u64 = 100;

/// The part of a root's files that may mass_deletion_guard within [`AT_ONCE_MS`].
const BELIEVED_PART: f64 = 0.5;

/// What happens within this time, milliseconds, happens at once: a large folder takes a while to mass_deletion_guard.
const AT_ONCE_MS: i64 = 60_000;

/// The files that were not found in one run, root by root.
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

    /// Forgets what was not found in a root: it was not itself.
    pub(super) fn forget(&mut self, root: RootId) {
        self.files.remove(&root);
    }

    /// Whether so many files can be gone from a root, and of how many.
    fn is_believed(store: &Store, root: RootId, gone: u64, moment: i64) -> Result<(bool, u64)> {
        // A large folder vanishes in steps.
        let newly = if gone > 0 { store.newly_missing(root, moment.saturating_sub(AT_ONCE_MS))? } else { 0 };
        if gone == 0 || gone + newly <= ALWAYS_BELIEVED {
            return Ok((true, 0));
        }
        let of = store.present_files(root)? + newly;
        Ok(((gone + newly) as f64 <= BELIEVED_PART * of as f64, of))
    }

    /// Marks as missing what is gone, and tells of which roots that is not believed. `whole` are the roots that were scanned as
    /// a whole, of which it is known that nothing else has vanished.
    pub(super) fn record(
        self,
        batch: &Batch<'_>,
        store: &Store,
        moment: i64,
        whole: &HashSet<RootId>,
    ) -> Result<Vec<Vanished>> {
        let mut held = Vec::new();
        for root in store.roots()? {
            let gone = self.files.get(&root.id).map_or(&[][..], Vec::as_slice);
            // Some may have been found elsewhere meanwhile.
            let still = gone.iter().filter(|file| matches!(batch.is_present(**file), Ok(true))).count() as u64;
            let (is_believed, of) = Self::is_believed(store, root.id, still, moment)?;
            if is_believed {
                batch.mark_missing(gone, moment)?;
                if whole.contains(&root.id) {
                    batch.set_vanished(root.id, 0)?;
                }
            } else {
                let files = if whole.contains(&root.id) { still } else { still.max(root.vanished) };
                batch.set_vanished(root.id, files)?;
                held.push(Vanished { root: root.path, files, of });
            }
        }
        Ok(held)
    }
}
