//! Which contents are being decoded, written down before they are touched.
//!
//! A picture that ends the process (by exhausting the stack or the memory in a decoder, say) cannot be caught. But the
//! next run finds its hash here, and after the second time it is a failure like any other. Being killed from outside
//! leaves hashes behind too, which is why one time is not enough.
//!
//! The file lies beside the database: a slot for each worker, then what earlier runs left behind. It is written without
//! being synchronised, which outlasts the end of a process, and removed when a run ends well. Where pictures are decoded in other
//! processes none is needed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::store::Store;
use crate::types::{ContentHash, open_regular};

/// A hash, and how often a process ended while it was being decoded, this time included.
const SLOT: usize = 33;

/// How often a process has to end.
const LIMIT: u8 = 2;

/// Slots that are read: a bound for a damaged file.
const MAX_SLOTS: usize = 10_000;

/// The contents in flight of one run.
#[derive(Debug)]
pub(super) struct CrashJournal {
    path: PathBuf,
    /// `None` where the file cannot be made: then nobody is blamed.
    file: Option<File>,
    strikes: HashMap<ContentHash, u8>,
}

/// A content in flight, until this is dropped.
#[derive(Debug)]
pub(super) struct Flight<'a> {
    crash_journal: &'a CrashJournal,
    worker: usize,
}

impl CrashJournal {
    /// Reads what the last run left behind, and makes memory_plan for this one's workers.
    pub(super) fn start(database: &Path, workers: usize) -> Self {
        let path = Store::beside(database, "-crash_journal");
        let strikes = read_slots(&read_bounded(&path).unwrap_or_default());
        let mut content = vec![0; workers * SLOT];
        for (hash, count) in &strikes {
            content.extend(slot(hash, *count));
        }
        let file = make(&path, &content).ok();
        Self { path, file, strikes }
    }

    /// For a run that no picture can end: nobody is blamed.
    pub(super) fn none(database: &Path) -> Self {
        Self { path: Store::beside(database, "-crash_journal"), file: None, strikes: HashMap::new() }
    }

    /// Whether a content has ended the process too often.
    pub(super) fn is_blamed(&self, hash: &ContentHash) -> bool {
        self.strikes.get(hash).is_some_and(|count| *count >= LIMIT)
    }

    /// Writes down that a worker begins to decode a content.
    pub(super) fn enter(&self, worker: usize, hash: &ContentHash) -> Flight<'_> {
        let count = self.strikes.get(hash).copied().unwrap_or(0).saturating_add(1);
        self.write(worker, &slot(hash, count));
        Flight { crash_journal: self, worker }
    }

    /// Forgets everything: the run has ended well.
    pub(super) fn finish(self) {
        let _ = std::fs::remove_file(&self.path);
    }

    fn write(&self, worker: usize, slot: &[u8; SLOT]) {
        #[cfg(unix)]
        if let Some(file) = &self.file {
            use std::os::unix::fs::FileExt;
            // A full disk cannot fail this, for the memory_plan is there; if it does, nobody is blamed.
            let _ = file.write_all_at(slot, (worker * SLOT) as u64);
        }
        #[cfg(not(unix))]
        let _ = (&self.file, worker, slot);
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.crash_journal.write(self.worker, &[0; SLOT]);
    }
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take((MAX_SLOTS * SLOT) as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes the file anew, so that nothing is written through a link that is in its place.
fn make(path: &Path, content: &[u8]) -> std::io::Result<File> {
    let _ = std::fs::remove_file(path);
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(content)?;
    Ok(file)
}

fn slot(hash: &ContentHash, count: u8) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..32].copy_from_slice(hash.as_bytes());
    slot[32] = count;
    slot
}

fn read_slots(bytes: &[u8]) -> HashMap<ContentHash, u8> {
    let mut strikes = HashMap::new();
    for slot in bytes.chunks_exact(SLOT).take(MAX_SLOTS).filter(|slot| slot[32] > 0) {
        let hash: [u8; 32] = slot[..32].try_into().expect("32 bytes");
        let count = strikes.entry(ContentHash::from(hash)).or_insert(0);
        *count = slot[32].max(*count);
    }
    strikes
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_blamed_when_the_process_ended_twice_on_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let database = dir.path().join("photos.db");
        let (guilty, innocent) = (ContentHash::of(b"guilty"), ContentHash::of(b"innocent"));
        for ended in 0..3 {
            let run = CrashJournal::start(&database, 2);
            assert_eq!(run.is_blamed(&guilty), ended >= 2, "after {ended} times");
            drop(run.enter(0, &innocent));
            // Dropped without having left: as after the end of a process.
            std::mem::forget(run.enter(1, &guilty));
        }
        let run = CrashJournal::start(&database, 1);
        assert!(run.is_blamed(&guilty) && !run.is_blamed(&innocent));
        run.finish();
        assert!(!CrashJournal::start(&database, 1).is_blamed(&guilty));
    }

    #[test]
    fn a_damaged_file_blames_nobody_by_itself() {
        assert!(read_slots(&[0; 100]).is_empty());
        assert!(read_slots(&[7; 20]).is_empty());
    }
}
