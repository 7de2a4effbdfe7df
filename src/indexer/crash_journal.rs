//! A journal of the contents that are being decoded, written before each decoder starts.
//!
//! A picture that ends the process, for example by exhausting the stack or the memory in a decoder, cannot be
//! caught. The next run finds its hash in the journal, and after the second time the picture counts as failed. A
//! process that is killed from outside leaves hashes behind too, which is why one time is not enough.
//!
//! The file lies beside the database: one slot for each worker, then the entries of earlier runs. It is written
//! without synchronisation, which survives the end of the process, and is removed when a run ends normally. No
//! journal is needed if pictures are decoded in separate processes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::store::Store;
use crate::types::{ContentHash, open_regular};

/// Size of a slot: a hash of 32 bytes, and the number of processes that ended while decoding it, this one included.
const SLOT_BYTES: usize = 33;

/// Number of ended processes after which a content counts as failed.
const BLAME_THRESHOLD: u8 = 2;

/// Maximum number of slots that are read, in case the file is damaged.
const MAX_SLOTS: usize = 10_000;

/// The crash journal of one run.
#[derive(Debug)]
pub(super) struct CrashJournal {
    path: PathBuf,
    /// `None` if the file cannot be created; then nothing is recorded.
    file: Option<File>,
    crashes: HashMap<ContentHash, u8>,
}

/// The entry of a content that is being decoded; removed from the journal on drop.
#[derive(Debug)]
pub(super) struct JournalEntry<'a> {
    crash_journal: &'a CrashJournal,
    worker: usize,
}

impl CrashJournal {
    /// Reads the entries of earlier runs, and creates the file with a slot for each worker of this run.
    pub(super) fn start(database: &Path, workers: usize) -> Self {
        let path = Store::beside(database, "-inflight");
        let crashes = read_slots(&read_bounded(&path).unwrap_or_default());
        let mut content = vec![0; workers * SLOT_BYTES];
        for (hash, count) in &crashes {
            content.extend(slot(hash, *count));
        }
        let file = create(&path, &content).ok();
        Self { path, file, crashes }
    }

    /// A journal that records nothing, for a run whose process no picture can end.
    pub(super) fn disabled(database: &Path) -> Self {
        Self { path: Store::beside(database, "-inflight"), file: None, crashes: HashMap::new() }
    }

    /// Whether the process has ended too often while decoding a content.
    pub(super) fn is_blamed(&self, hash: &ContentHash) -> bool {
        self.crashes.get(hash).is_some_and(|count| *count >= BLAME_THRESHOLD)
    }

    /// Records that a worker starts to decode a content.
    pub(super) fn enter(&self, worker: usize, hash: &ContentHash) -> JournalEntry<'_> {
        let count = self.crashes.get(hash).copied().unwrap_or(0).saturating_add(1);
        self.write(worker, &slot(hash, count));
        JournalEntry { crash_journal: self, worker }
    }

    /// Removes the journal after a run that has ended normally.
    pub(super) fn finish(self) {
        let _ = std::fs::remove_file(&self.path);
    }

    fn write(&self, worker: usize, slot: &[u8; SLOT_BYTES]) {
        #[cfg(unix)]
        if let Some(file) = &self.file {
            use std::os::unix::fs::FileExt;
            // A full disk cannot fail this write, because the slot exists already. After any other error the content is
            // not recorded.
            let _ = file.write_all_at(slot, (worker * SLOT_BYTES) as u64);
        }
        #[cfg(not(unix))]
        let _ = (&self.file, worker, slot);
    }
}

impl Drop for JournalEntry<'_> {
    fn drop(&mut self) {
        self.crash_journal.write(self.worker, &[0; SLOT_BYTES]);
    }
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take((MAX_SLOTS * SLOT_BYTES) as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Removes and creates the file, so that nothing is written through a link in its place.
fn create(path: &Path, content: &[u8]) -> std::io::Result<File> {
    let _ = std::fs::remove_file(path);
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(content)?;
    Ok(file)
}

fn slot(hash: &ContentHash, count: u8) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..32].copy_from_slice(hash.as_bytes());
    slot[32] = count;
    slot
}

fn read_slots(bytes: &[u8]) -> HashMap<ContentHash, u8> {
    let mut crashes = HashMap::new();
    for slot in bytes.chunks_exact(SLOT_BYTES).take(MAX_SLOTS).filter(|slot| slot[32] > 0) {
        let hash: [u8; 32] = slot[..32].try_into().expect("the slice has 32 bytes");
        let count = crashes.entry(ContentHash::from(hash)).or_insert(0);
        *count = slot[32].max(*count);
    }
    crashes
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
            // The entry stays, as after the end of a process.
            std::mem::forget(run.enter(1, &guilty));
        }
        let run = CrashJournal::start(&database, 1);
        assert!(run.is_blamed(&guilty) && !run.is_blamed(&innocent));
        run.finish();
        assert!(!CrashJournal::start(&database, 1).is_blamed(&guilty));
    }

    #[test]
    fn a_damaged_file_blames_no_content() {
        assert!(read_slots(&[0; 100]).is_empty());
        assert!(read_slots(&[7; 20]).is_empty());
    }
}
