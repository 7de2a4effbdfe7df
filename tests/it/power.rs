//! A simulated disk that loses unsynchronised writes when its power is cut: an SQLite VFS below the program's own.
//!
//! For each file it records the durable content and the later changes, in order. A [`Snapshot`] is what a disk may hold
//! after a power cut at that moment: all durable content, and any part of the other changes, in sectors.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::ffi;

use crate::common::Random;

const SECTOR: usize = 512;

/// What is on the disk after a power cut: file names and their contents.
pub struct Snapshot {
    pub files: BTreeMap<String, Vec<u8>>,
}

/// The disk under all databases that this process opens.
pub struct Disk;

enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

#[derive(Default)]
struct Content {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

struct Recording {
    files: BTreeMap<PathBuf, Content>,
    /// Removed files whose folder is not synchronised yet, so that they may be back after a power cut. The next
    /// synchronised file synchronises the folder too, as journaling file systems do.
    removed: BTreeMap<PathBuf, Content>,
    random: Random,
    writes: usize,
    every: usize,
    snapshots: Vec<Snapshot>,
}

static RECORDING: Mutex<Option<Recording>> = Mutex::new(None);

fn recording() -> MutexGuard<'static, Option<Recording>> {
    RECORDING.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    /// Puts every database that is opened from now on onto this disk.
    pub fn install() -> Self {
        let random = Random::new(3);
        *recording() = Some(Recording {
            files: BTreeMap::new(),
            removed: BTreeMap::new(),
            random,
            writes: 0,
            every: 0,
            snapshots: Vec::new(),
        });
        // SAFETY: as in the program's own VFS: the default VFS stays valid, and this one is never freed.
        unsafe {
            ffi::sqlite3_initialize();
            let system = ffi::sqlite3_vfs_find(ptr::null());
            let layer = Box::leak(Box::new(ffi::sqlite3_vfs {
                szOsFile: REAL_FILE_OFFSET as c_int + (*system).szOsFile,
                pNext: ptr::null_mut(),
                zName: c"power".as_ptr(),
                pAppData: system.cast(),
                xOpen: Some(open),
                xDelete: Some(delete),
                ..*system
            }));
            assert_eq!(ffi::sqlite3_vfs_register(layer, 1), ffi::SQLITE_OK);
        }
        Self
    }

    /// Takes a snapshot after each `changes` changes.
    pub fn snapshot_every(&self, changes: usize) {
        recording().as_mut().expect("the disk is installed").every = changes;
    }

    /// The number of snapshots taken so far.
    pub fn snapshots(&self) -> usize {
        recording().as_ref().expect("the disk is installed").snapshots.len()
    }

    /// Stops the recording and returns the snapshots.
    pub fn finish(self) -> Vec<Snapshot> {
        recording().take().expect("the disk is installed").snapshots
    }
}

impl Recording {
    fn change(&mut self, path: &Path, change: Change) {
        self.files.entry(path.to_owned()).or_default().pending.push(change);
        self.writes += 1;
        if self.every > 0 && self.writes.is_multiple_of(self.every) {
            self.take_snapshot();
        }
    }

    fn take_snapshot(&mut self) {
        let Self { files, removed, random, .. } = self;
        let name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
        let again: Vec<_> =
            removed.iter().filter(|(path, _)| !files.contains_key(*path) && random.below(2) == 0).collect();
        let all = files.iter().chain(again);
        let files = all.map(|(path, content)| (name(path), content.after_power_cut(random))).collect();
        self.snapshots.push(Snapshot { files });
    }
}

impl Content {
    fn after_power_cut(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for change in &self.pending {
            match change {
                Change::Write(at, written) => {
                    for (i, sector) in written.chunks(SECTOR).enumerate() {
                        if random.below(2) == 0 {
                            put(&mut bytes, at + i * SECTOR, sector);
                        }
                    }
                }
                Change::Truncate(length) if random.below(2) == 0 => bytes.truncate(*length),
                Change::Truncate(_) => {}
            }
        }
        bytes
    }

    fn synchronize(&mut self) {
        for change in self.pending.drain(..) {
            match change {
                Change::Write(at, written) => put(&mut self.durable, at, &written),
                Change::Truncate(length) => self.durable.truncate(length),
            }
        }
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, written: &[u8]) {
    bytes.resize(bytes.len().max(at + written.len()), 0);
    bytes[at..at + written.len()].copy_from_slice(written);
}

#[repr(C)]
struct LayerFile {
    base: ffi::sqlite3_file,
    /// Null for temporary files, which have no name.
    path: *mut PathBuf,
}

const REAL_FILE_OFFSET: usize = size_of::<LayerFile>().next_multiple_of(16);

unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    unsafe { file.cast::<u8>().add(REAL_FILE_OFFSET).cast() }
}

unsafe fn method<'a>(file: *mut ffi::sqlite3_file) -> &'a ffi::sqlite3_io_methods {
    unsafe { &*(*real(file)).pMethods }
}

/// Calls `then` with the recorded state, if recording is on and the file has a name.
unsafe fn record(file: *mut ffi::sqlite3_file, then: impl FnOnce(&mut Recording, &PathBuf)) {
    let path = unsafe { (*file.cast::<LayerFile>()).path };
    if let (false, Some(recording)) = (path.is_null(), recording().as_mut()) {
        then(recording, unsafe { &*path });
    }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    unsafe {
        let system: *mut ffi::sqlite3_vfs = (*vfs).pAppData.cast();
        (*real(file)).pMethods = ptr::null();
        let path = (!name.is_null()).then(|| PathBuf::from(CStr::from_ptr(name).to_string_lossy().into_owned()));
        let is_new = path.as_ref().is_some_and(|path| !path.exists());
        let code =
            (*system).xOpen.expect("the default VFS has this method")(system, name, real(file), flags, out_flags);
        (*file).pMethods = if (*real(file)).pMethods.is_null() { ptr::null() } else { &raw const METHODS };
        if let (Some(path), Some(recording)) = (&path, recording().as_mut())
            && (is_new || !recording.files.contains_key(path))
        {
            // A recorded file of the same name was another file.
            let content = Content { durable: std::fs::read(path).unwrap_or_default(), pending: Vec::new() };
            recording.files.insert(path.clone(), content);
        }
        (*file.cast::<LayerFile>()).path = path.map_or(ptr::null_mut(), |path| Box::into_raw(Box::new(path)));
        code
    }
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    unsafe {
        let system: *mut ffi::sqlite3_vfs = (*vfs).pAppData.cast();
        if let Some(recording) = recording().as_mut() {
            let path = PathBuf::from(CStr::from_ptr(name).to_string_lossy().into_owned());
            if let Some(content) = recording.files.remove(&path)
                && sync == 0
            {
                recording.removed.insert(path, content);
            }
        }
        (*system).xDelete.expect("the default VFS has this method")(system, name, sync)
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, amount: c_int, offset: i64) -> c_int {
    unsafe {
        let bytes = std::slice::from_raw_parts(from.cast::<u8>(), amount as usize).to_vec();
        record(file, |recording, path| recording.change(path, Change::Write(offset as usize, bytes)));
        method(file).xWrite.expect("the default VFS has this method")(real(file), from, amount, offset)
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    unsafe {
        record(file, |recording, path| recording.change(path, Change::Truncate(size as usize)));
        method(file).xTruncate.expect("the default VFS has this method")(real(file), size)
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    unsafe {
        record(file, |recording, path| {
            recording.removed.clear();
            if let Some(content) = recording.files.get_mut(path) {
                content.synchronize();
            }
        });
        method(file).xSync.expect("the default VFS has this method")(real(file), flags)
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    unsafe {
        let path = std::mem::replace(&mut (*file.cast::<LayerFile>()).path, ptr::null_mut());
        if !path.is_null() {
            drop(Box::from_raw(path));
        }
        method(file).xClose.expect("the default VFS has this method")(real(file))
    }
}

macro_rules! pass_on {
    ($($name:ident = $method:ident ($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $argument: $type)*) $(-> $result)? {
            unsafe { method(file).$method.expect("the default VFS has this method")(real(file) $(, $argument)*) }
        }
    )*};
}

pass_on! {
    read = xRead(to: *mut c_void, amount: c_int, offset: i64) -> c_int;
    file_size = xFileSize(size: *mut i64) -> c_int;
    lock = xLock(level: c_int) -> c_int;
    unlock = xUnlock(level: c_int) -> c_int;
    check_reserved_lock = xCheckReservedLock(result: *mut c_int) -> c_int;
    file_control = xFileControl(operation: c_int, argument: *mut c_void) -> c_int;
    sector_size = xSectorSize() -> c_int;
    device_characteristics = xDeviceCharacteristics() -> c_int;
    shm_map = xShmMap(page: c_int, size: c_int, extend: c_int, at: *mut *mut c_void) -> c_int;
    shm_lock = xShmLock(offset: c_int, count: c_int, flags: c_int) -> c_int;
    shm_barrier = xShmBarrier();
    shm_unmap = xShmUnmap(delete: c_int) -> c_int;
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
