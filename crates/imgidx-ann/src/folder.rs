//! The folder of derived files: their names, and which of them are still needed.
//!
//! A generation is a file of codes and the graph over it. Both are named by the model and the seal of the codes; the
//! seal of the current generation is in the database, so that a new one is published by the commit that writes it
//! there: before that the old one is whole and in use, after it the new one, and there is nothing in between.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use imgidx_types::{ModelId, open_nofollow};

/// A folder of derived files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivedFolder(PathBuf);

/// What is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Making {
    QuantizedVectors,
    Graph,
}

impl Making {
    /// How the names of unfinished files begin.
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

/// Held by who makes something, so that only one does.
#[derive(Debug)]
pub(super) struct MakingLock(File);

impl Drop for MakingLock {
    fn drop(&mut self) {
        // Closing the file would not be enough while a child process that was just started holds it open too.
        let _ = self.0.unlock();
    }
}

impl DerivedFolder {
    const DAMAGED: &str = "damaged-";

    /// The folder at a path, which need not be there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The file of codes of a generation; `None` if this cannot be a seal.
    pub(super) fn codes(&self, model: &ModelId, seal: &str) -> Option<PathBuf> {
        Some(self.0.join(format!("{}.codes", generation(model, seal)?)))
    }

    /// The graph of a generation; `None` if this cannot be a seal.
    pub(super) fn graph(&self, model: &ModelId, seal: &str) -> Option<PathBuf> {
        Some(self.0.join(format!("{}.graph", generation(model, seal)?)))
    }

    /// Sets a damaged file aside, so that nobody uses it again and somebody can look at it.
    pub fn set_aside(&self, path: &Path) {
        if let Some(name) = path.file_name() {
            let mut aside = std::ffi::OsString::from(Self::DAMAGED);
            aside.push(name);
            // Where that is not allowed the file is found to be damaged again each time, which is slower and right.
            let _ = fs::rename(path, self.0.join(aside));
        }
    }

    /// Removes all files but those of the current generations, given as models with their seals.
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

    /// Makes the folder, for its owner only, if it is not there. A link to another folder is refused: files would be made and removed
    /// there.
    fn make(&self) -> Result<()> {
        let failed = Error::io("create the folder", &self.0);
        match self.0.symlink_metadata() {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(failed(std::io::Error::other("something else has its name"))),
            Err(_) => {
                let mut builder = fs::DirBuilder::new();
                builder.recursive(true);
                #[cfg(unix)]
                std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
                builder.create(&self.0).map_err(failed)
            }
        }
    }

    /// Takes the lock for making something, if nobody has it, and removes what a killed holder left behind.
    pub(super) fn lock_for(&self, making: Making) -> Result<Option<MakingLock>> {
        self.make()?;
        let path = self.0.join(making.lock());
        let file = open_nofollow(&path).map_err(Error::io("open the lock file", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
        }
        for entry in fs::read_dir(&self.0).map_err(Error::io("list", &self.0))?.flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(making.unfinished().as_bytes()) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(Some(MakingLock(file)))
    }
}

/// Digits of the model and of the seal in the names of a generation's files.
const DIGITS: usize = 16;

/// Whether files of some generation could have this name.
fn is_generation(stem: &str) -> bool {
    let is_number = |text: &str| text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    stem.split_once('-').is_some_and(|(model, seal)| is_number(model) && is_number(seal))
}

/// The name that the files of a generation share.
fn generation(model: &ModelId, seal: &str) -> Option<String> {
    let is_seal = seal.len() == 64 && seal.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_seal.then(|| format!("{}-{}", &model.to_string()[..DIGITS], &seal[..DIGITS]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_current_generations_and_what_is_not_ours_stay() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = DerivedFolder::new(dir.path());
        let (ours, other) = (ModelId::from([7; 32]), ModelId::from([8; 32]));
        let (now, before) = ("ab".repeat(32), "cd".repeat(32));
        let path = |model, seal| folder.codes(model, seal).expect("a name");
        let graph = folder.graph(&ours, &now).expect("a name");
        // It may be another process that is writing this.
        let unfinished = dir.path().join(format!("{}1", Making::QuantizedVectors.unfinished()));
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
    fn a_link_in_the_place_of_the_folder_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let (elsewhere, link) = (dir.path().join("elsewhere"), dir.path().join("link"));
        fs::create_dir(&elsewhere).expect("a folder");
        let theirs = elsewhere.join(format!("{}-{}.codes", "a".repeat(16), "b".repeat(16)));
        fs::write(&theirs, "theirs").expect("a file");
        std::os::unix::fs::symlink(&elsewhere, &link).expect("a link");
        let folder = DerivedFolder::new(link);
        assert!(folder.lock_for(Making::QuantizedVectors).is_err());
        folder.collect(&[]);
        assert_eq!(fs::read_dir(&elsewhere).expect("it is there").count(), 1, "nothing was made or removed");
    }

    #[test]
    fn one_makes_something_at_a_time_and_clears_up_after_one_that_died() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = DerivedFolder::new(dir.path().join("new"));
        let lock = folder.lock_for(Making::Graph).expect("it can be made").expect("nobody has it");
        assert!(folder.lock_for(Making::Graph).expect("it is there").is_none());
        assert!(folder.lock_for(Making::QuantizedVectors).expect("it can be made").is_some());
        drop(lock);
        let left = [Making::Graph, Making::QuantizedVectors]
            .map(|making| folder.path().join(format!("{}1", making.unfinished())));
        left.iter().for_each(|path| fs::write(path, b"").expect("a file"));
        assert!(folder.lock_for(Making::Graph).expect("it is there").is_some());
        assert_eq!(left.map(|path| path.exists()), [false, true]);
    }
}
