//! Removal of rows from an index: `prune` and `forget`. Picture files are never touched.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Index;
use crate::error::{Error, Result};
use crate::indexer::{self, Change, enclosing_root, health, missing_in};
use crate::scan::{ScanOptions, ScanRules};
use crate::search::{collect, refresh_codes};
use crate::store::{Batch, ModelRow, Root, RootState, Store, Subtree, Writer};
use crate::types::{FileId, PathField, RootId, path_to_bytes, resolved};

/// What [`Index::prune`] removes besides missing files.
#[derive(Debug, Clone, Default)]
pub struct PruneOptions {
    /// Files that the scan options of their root exclude, although they are indexed.
    pub excluded: bool,
}

/// What [`Index::prune`] removed, or would remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Number of missing files.
    pub files: u64,
    /// Number of excluded files.
    pub excluded: u64,
    /// Number of contents that no other file holds.
    pub images: u64,
    /// Roots that are offline, with the files that disappeared from them. Their rows stay until the root is back.
    pub offline: Vec<OfflineRoot>,
}

/// A root whose missing files cannot be told apart from files on a drive that is not connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct OfflineRoot {
    /// Path of the root.
    #[serde(flatten, serialize_with = "PathField::serialize")]
    #[schemars(with = "PathField")]
    pub path: PathBuf,
    /// Number of its files that disappeared at once.
    pub files: u64,
}

/// The rows that `prune` removes besides those of files that are marked missing.
#[derive(Debug, Default)]
struct Removal {
    /// Files that disappeared at once, and still do not exist.
    gone: Vec<FileId>,
    excluded: Vec<FileId>,
    /// Roots whose mass deletion is confirmed, or turned out to be none.
    checked: Vec<RootId>,
    offline: Vec<OfflineRoot>,
}

impl Removal {
    fn find(store: &Store, model: ModelRow, options: &PruneOptions) -> Result<Self> {
        let mut removal = Self::default();
        for root in store.roots()? {
            if root.vanished > 0 {
                removal.find_gone(store, &root, model)?;
            }
            if options.excluded {
                removal.find_excluded(store, &root)?;
            }
        }
        Ok(removal)
    }

    fn find_gone(&mut self, store: &Store, root: &Root, model: ModelRow) -> Result<()> {
        let is_online = || health(store, root).map(|identity| identity.is_some());
        if is_online()? {
            let gone = missing_in(store, root, model)?;
            // If the drive was disconnected during the scan, files that were not found are not missing.
            if is_online()? {
                self.gone.extend(gone);
                self.checked.push(root.id);
                return Ok(());
            }
        }
        self.offline.push(OfflineRoot { path: root.path.clone(), files: root.vanished });
        Ok(())
    }

    fn find_excluded(&mut self, store: &Store, root: &Root) -> Result<()> {
        if !root.recursive || root.state == RootState::Offline {
            return Ok(());
        }
        let rules = ScanRules::new(&root.path, &ScanOptions::from_json(&root.scan))?;
        let gone: HashSet<FileId> = self.gone.iter().copied().collect();
        store.for_each_present_file(root.id, |file, path| {
            if !rules.admits(&root.path, &root.path.join(path), false) && !gone.contains(&file) {
                self.excluded.push(file);
            }
            Ok(())
        })
    }

    fn count(&self, store: &Store) -> Result<Pruned> {
        let removed = [self.gone.as_slice(), &self.excluded].concat();
        Ok(Pruned {
            files: store.missing_files()? + self.gone.len() as u64,
            excluded: self.excluded.len() as u64,
            images: store.unused_images(&removed)?,
            offline: self.offline.clone(),
        })
    }

    fn apply(self, batch: &Batch<'_>) -> Result<Pruned> {
        batch.mark_missing(&self.gone, batch.now())?;
        for root in self.checked {
            batch.set_vanished(root, 0)?;
        }
        for file in &self.excluded {
            batch.delete_file_and_failure(*file)?;
        }
        let (files, images) = (batch.delete_missing()?, batch.delete_unused_images()?);
        Ok(Pruned { files, excluded: self.excluded.len() as u64, images, offline: self.offline })
    }
}

impl Index {
    /// What [`Index::prune`] would remove.
    ///
    /// Files that disappeared in an unconfirmed mass deletion are looked for again, and count as missing if they still
    /// do not exist.
    ///
    /// # Errors
    /// If the database fails.
    pub fn prunable(&self, options: &PruneOptions) -> Result<Pruned> {
        Removal::find(&self.store, self.model_row(&self.store)?, options)?.count(&self.store)
    }

    /// Removes the rows of missing files, and the contents that no file holds any more. Picture files are not touched.
    ///
    /// Files that disappeared in an unconfirmed mass deletion are looked for again first, and count as missing if they
    /// still do not exist. If their root is offline, their rows stay.
    ///
    /// # Errors
    /// If another process is writing, or the database fails.
    pub fn prune(&mut self, options: &PruneOptions) -> Result<Pruned> {
        let mut writer = Writer::open(self.path())?;
        let removal = Removal::find(&writer, self.model_row(&writer)?, options)?;
        let batch = writer.batch()?;
        let pruned = removal.apply(&batch)?;
        batch.commit()?;
        self.tidy_after_removal(&mut writer);
        Ok(pruned)
    }

    fn model_row(&self, store: &Store) -> Result<ModelRow> {
        Ok(store.model(&self.searcher.active_model()?.id)?.map_or(ModelRow::NONE, |model| model.row))
    }

    /// The root that was given to [`Index::add`] under this path, or the part of a root that lies there.
    ///
    /// # Errors
    /// If nothing at this path is indexed, or the database fails.
    pub fn part(&self, path: &Path) -> Result<Change> {
        let roots = self.store.roots()?;
        let absolute = resolved(path);
        if let Some(root) = roots.iter().find(|root| root.path == absolute || root.path == path) {
            return Ok(Change { root: root.path.clone(), scope: PathBuf::new() });
        }
        if let Some((root, part)) = enclosing_root(&absolute, &roots)
            && self.store.has_files_in(&subtree(root, &part))?
        {
            return Ok(part);
        }
        Err(Error::Invalid(format!(
            "nothing at `{}` is indexed; `imgidx status` lists the indexed directories",
            path.display()
        )))
    }

    /// Number of present pictures in a root, or in a part of one.
    ///
    /// # Errors
    /// If the database fails.
    pub fn pictures_in(&self, part: &Change) -> Result<u64> {
        match self.store.roots()?.iter().find(|root| root.path == part.root) {
            Some(root) => self.store.pictures_in(&subtree(root, part)),
            None => Ok(0),
        }
    }

    /// Whether scans of a root leave a part out once it is forgotten, because they would find it again.
    ///
    /// # Errors
    /// If the database fails.
    pub fn is_found_again(&self, part: &Change) -> Result<bool> {
        Ok(is_found_again(part, &self.store.roots()?))
    }

    /// Removes a root, or a part of one, with its file rows, and the contents that no other file holds. Picture files
    /// are not touched.
    ///
    /// A part inside a root stays out of the index until [`Index::add`] is given its path.
    ///
    /// # Errors
    /// If another process is writing, or the database fails.
    pub fn forget(&mut self, part: &Change) -> Result<()> {
        let mut writer = Writer::open(self.path())?;
        let roots = writer.roots()?;
        let Some(root) = roots.iter().find(|root| root.path == part.root) else { return Ok(()) };
        let mut left_out = writer.forgotten()?;
        let path = part.path();
        left_out.retain(|inner| !inner.starts_with(&path));
        left_out.extend(is_found_again(part, &roots).then_some(path));
        let batch = writer.batch()?;
        batch.delete_subtree(&subtree(root, part))?;
        let whole = Subtree { root: root.id, path: Vec::new() };
        if part.is_root() || (!root.recursive && !batch.has_files_in(&whole)?) {
            batch.delete_root(root.id)?;
        }
        batch.set_forgotten(left_out)?;
        batch.delete_unused_images()?;
        batch.commit()?;
        self.tidy_after_removal(&mut writer);
        Ok(())
    }

    /// Updates derived data after rows were removed. A failure is only reported as a notice: the removal itself has
    /// succeeded, and derived data is rebuilt when it is found to be missing.
    pub(super) fn tidy_after_removal(&self, writer: &mut Writer) {
        let tidy = |writer: &mut Writer| {
            for model in writer.models()? {
                refresh_codes(writer, &model, false)?;
            }
            collect(writer)
        };
        if let Err(error) = tidy(writer).and_then(|()| indexer::tidy(writer)) {
            self.searcher.options().tell(&format!("cannot update the data that is derived from the index: {error}"));
        }
    }
}

fn subtree(root: &Root, part: &Change) -> Subtree {
    Subtree { root: root.id, path: path_to_bytes(&part.scope).into_owned() }
}

/// Whether a scan of a directory around a part finds it: a recursive root holds it.
fn is_found_again(part: &Change, roots: &[Root]) -> bool {
    let path = part.path();
    roots.iter().any(|root| root.recursive && root.path != path && path.starts_with(&root.path))
}
