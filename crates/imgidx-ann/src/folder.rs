//! The folder of derived files: file names, locks and cleanup.
//!
//! A generation is a quantized-vector file and the graph over it. Both are named after the model and the seal of the
//! quantized vectors. The database holds the seal of the current generation, so the commit that writes a new seal
//! publishes the new generation. Before that commit the old generation is complete and in use; after it the new one
//! is. There is no state in between.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use imgidx_types::{ModelId, open_nofollow};

/// A folder of derived files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivedFolder(PathBuf);

/// The kind of file that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DerivedKind {
    QuantizedVectors,
    Graph,
}

impl DerivedKind {
    /// The file name prefix of unfinished files.
    pub(crate) fn unfinished(self) -> &'static str {
        match self {
            Self::QuantizedVectors => ".unfinished-codes-",
            Self::Graph => ".unfinished-graph-",
        }
    }

    fn lock(self) -> &'static str {
        match self {
            Self::QuantizedVectors => "codes-lock",
            Self::Graph => "graph-lock",
        }
    }
}

/// The lock that a process holds while it writes a derived file, so that only one process does.
#[derive(Debug)]
pub(super) struct BuildLock(File);

impl Drop for BuildLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process that was just started may still have it open.
        let _ = self.0.unlock();
    }
}

impl DerivedFolder {
    const DAMAGED: &str = "damaged-";

    /// The folder at a path. The folder need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a generation's quantized vectors. `None` if `seal` is not a valid seal.
    pub(super) fn codes(&self, model: &ModelId, seal: &str) -> Option<PathBuf> {
        Some(self.0.join(format!("{}.codes", generation(model, seal)?)))
    }

    /// The path of a generation's graph. `None` if `seal` is not a valid seal.
    pub(super) fn graph(&self, model: &ModelId, seal: &str) -> Option<PathBuf> {
        Some(self.0.join(format!("{}.graph", generation(model, seal)?)))
    }

    /// Renames a damaged file, so that it is not used again but can still be inspected.
    pub fn set_aside(&self, path: &Path) {
        if let Some(name) = path.file_name() {
            let mut aside = std::ffi::OsString::from(Self::DAMAGED);
            aside.push(name);
            // If the rename fails, the damage is detected again on each use. This is slower, but still correct.
            let _ = fs::rename(path, self.0.join(aside));
        }
    }

    /// Removes the files of all generations except the current ones, given as models with their seals.
    ///
    /// Only the writer of the database may call this.
    pub fn collect(&self, current: &[(ModelId, String)]) {
        let is_folder = self.0.symlink_metadata().is_ok_and(|found| found.is_dir());
        let Some(entries) = is_folder.then(|| fs::read_dir(&self.0).ok()).flatten() else { return };
        let kept: Vec<String> = current.iter().filter_map(|(model, seal)| generation(model, seal)).collect();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let stem = name.strip_suffix(".codes").or_else(|| name.strip_suffix(".graph"));
            let is_old = stem.is_some_and(|stem| is_generation(stem) && !kept.iter().any(|kept| kept == stem));
            if is_old {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Creates the folder, accessible by its owner only, if it does not exist. A symbolic link to another folder is
    /// refused, because files would be created and removed there.
    fn create(&self) -> Result<()> {
        let failed = Error::io("create the directory", &self.0);
        match self.0.symlink_metadata() {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(failed(std::io::Error::other("a file or link with this name exists"))),
            Err(_) => {
                let mut builder = fs::DirBuilder::new();
                builder.recursive(true);
                #[cfg(unix)]
                std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
                builder.create(&self.0).map_err(failed)
            }
        }
    }

    /// Takes the lock for writing files of a kind, and removes the unfinished files of a killed process. Returns
    /// `None` if another process holds the lock.
    pub(super) fn lock_for(&self, kind: DerivedKind) -> Result<Option<BuildLock>> {
        self.create()?;
        let path = self.0.join(kind.lock());
        let file = open_nofollow(&path).map_err(Error::io("open the lock file", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
        }
        for entry in fs::read_dir(&self.0).map_err(Error::io("list", &self.0))?.flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(kind.unfinished().as_bytes()) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(Some(BuildLock(file)))
    }
}

/// Hexadecimal digits of the model and of the seal in the file names of a generation.
const NAME_DIGITS: usize = 16;

/// Whether `stem` is the name of a generation.
fn is_generation(stem: &str) -> bool {
    let is_number = |text: &str| text.len() == NAME_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    stem.split_once('-').is_some_and(|(model, seal)| is_number(model) && is_number(seal))
}

/// The name that the files of a generation share. `None` if `seal` is not a valid seal.
fn generation(model: &ModelId, seal: &str) -> Option<String> {
    let is_seal = seal.len() == 64 && seal.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_seal.then(|| format!("{}-{}", &model.to_string()[..NAME_DIGITS], &seal[..NAME_DIGITS]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn current_generations_and_foreign_files_are_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = DerivedFolder::new(dir.path());
        let (ours, other) = (ModelId::from([7; 32]), ModelId::from([8; 32]));
        let (now, before) = ("ab".repeat(32), "cd".repeat(32));
        let path = |model, seal| folder.codes(model, seal).expect("a name");
        let graph = folder.graph(&ours, &now).expect("a name");
        // Another process may be writing this file.
        let unfinished = dir.path().join(format!("{}1", DerivedKind::QuantizedVectors.unfinished()));
        let others = ["notes.txt", "secret.codes", "0123-4567.graph"].map(|name| dir.path().join(name));
        let kept = [path(&ours, &now), graph, path(&other, &before), unfinished].into_iter().chain(others);
        let kept: Vec<PathBuf> = kept.collect();
        let removed = [path(&ours, &before), folder.graph(&other, &now).expect("a name")];
        kept.iter().chain(&removed).for_each(|path| fs::write(path, b"").expect("a file"));
        folder.collect(&[(ours, now), (other, before)]);
        assert!(kept.iter().all(|path| path.exists()) && !removed.iter().any(|path| path.exists()));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_instead_of_the_folder_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let (elsewhere, link) = (dir.path().join("elsewhere"), dir.path().join("link"));
        fs::create_dir(&elsewhere).expect("a folder");
        let theirs = elsewhere.join(format!("{}-{}.codes", "a".repeat(16), "b".repeat(16)));
        fs::write(&theirs, "theirs").expect("a file");
        std::os::unix::fs::symlink(&elsewhere, &link).expect("a link");
        let folder = DerivedFolder::new(link);
        assert!(folder.lock_for(DerivedKind::QuantizedVectors).is_err());
        folder.collect(&[]);
        assert_eq!(fs::read_dir(&elsewhere).expect("it is there").count(), 1, "nothing was created or removed");
    }

    #[test]
    fn one_process_writes_at_a_time_and_removes_the_unfinished_files_of_a_killed_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = DerivedFolder::new(dir.path().join("new"));
        let lock = folder.lock_for(DerivedKind::Graph).expect("it can be made").expect("nobody has it");
        assert!(folder.lock_for(DerivedKind::Graph).expect("it is there").is_none());
        assert!(folder.lock_for(DerivedKind::QuantizedVectors).expect("it can be made").is_some());
        drop(lock);
        let left = [DerivedKind::Graph, DerivedKind::QuantizedVectors]
            .map(|kind| folder.path().join(format!("{}1", kind.unfinished())));
        left.iter().for_each(|path| fs::write(path, b"").expect("a file"));
        assert!(folder.lock_for(DerivedKind::Graph).expect("it is there").is_some());
        assert_eq!(left.map(|path| path.exists()), [false, true]);
    }
}
