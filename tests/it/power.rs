//! A disk that loses, when its power is cut, whatever was not synchronised: a VFS of SQLite below the program's own.
//!
//! Every file has what is safe and what was written since, in order. A *shot* is what a disk may hold after a power cut at that moment: all
//! that is safe, and of the rest any part, in sectors.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::ffi;

use crate::common::Random;

const SECTOR: usize = 512;

/// What is on the disk after a power cut: file names, and their contents.
pub struct Shot {
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
    safe: Vec<u8>,
    since: Vec<Change>,
}

struct World {
    files: BTreeMap<PathBuf, Content>,
    /// Removed, which the folder on the disk does not know yet: they may be there again. The next file that is synchronised takes the folder
    /// along, as journaling file systems do.
    removed: BTreeMap<PathBuf, Content>,
    random: Random,
    writes: usize,
    every: usize,
    shots: Vec<Shot>,
}

static WORLD: Mutex<Option<World>> = Mutex::new(None);

fn world() -> MutexGuard<'static, Option<World>> {
    WORLD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    /// Has every database that is opened from now on lie on this disk.
    pub fn install() -> Self {
        let random = Random::new(3);
        *world() = Some(World {
            files: BTreeMap::new(),
            removed: BTreeMap::new(),
            random,
            writes: 0,
            every: 0,
            shots: Vec::new(),
        });
        // SAFETY: as in the program's own layer: the default VFS stays, and this one is never freed.
        unsafe {
            ffi::sqlite3_initialize();
            let system = ffi::sqlite3_vfs_find(ptr::null());
            let layer = Box::leak(Box::new(ffi::sqlite3_vfs {
                szOsFile: REAL_AT as c_int + (*system).szOsFile,
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

    /// Takes a shot at every so many changes.
    pub fn shoot_every(&self, changes: usize) {
        world().as_mut().expect("it was installed").every = changes;
    }

    /// How many shots were taken.
    pub fn shots(&self) -> usize {
        world().as_ref().expect("it was installed").shots.len()
    }

    /// The shots; from now on nothing is recorded any more.
    pub fn take(self) -> Vec<Shot> {
        world().take().expect("it was installed").shots
    }
}

impl World {
    fn change(&mut self, path: &Path, change: Change) {
        self.files.entry(path.to_owned()).or_default().since.push(change);
        self.writes += 1;
        if self.every > 0 && self.writes.is_multiple_of(self.every) {
            self.shoot();
        }
    }

    fn shoot(&mut self) {
        let Self { files, removed, random, .. } = self;
        let name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
        let again: Vec<_> =
            removed.iter().filter(|(path, _)| !files.contains_key(*path) && random.below(2) == 0).collect();
        let all = files.iter().chain(again);
        let files = all.map(|(path, content)| (name(path), content.after_power_cut(random))).collect();
        self.shots.push(Shot { files });
    }
}

impl Content {
    fn after_power_cut(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.safe.clone();
        for change in &self.since {
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
        for change in self.since.drain(..) {
            match change {
                Change::Write(at, written) => put(&mut self.safe, at, &written),
                Change::Truncate(length) => self.safe.truncate(length),
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
    /// Null for files without a name.
    path: *mut PathBuf,
}

const REAL_AT: usize = size_of::<LayerFile>().next_multiple_of(16);

unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    unsafe { file.cast::<u8>().add(REAL_AT).cast() }
}

unsafe fn method<'a>(file: *mut ffi::sqlite3_file) -> &'a ffi::sqlite3_io_methods {
    unsafe { &*(*real(file)).pMethods }
}

/// Does something with what is recorded of a file, if anything is.
unsafe fn record(file: *mut ffi::sqlite3_file, then: impl FnOnce(&mut World, &PathBuf)) {
    let path = unsafe { (*file.cast::<LayerFile>()).path };
    if let (false, Some(world)) = (path.is_null(), world().as_mut()) {
        then(world, unsafe { &*path });
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
        let code = (*system).xOpen.expect("it has it")(system, name, real(file), flags, out_flags);
        (*file).pMethods = if (*real(file)).pMethods.is_null() { ptr::null() } else { &raw const METHODS };
        if let (Some(path), Some(world)) = (&path, world().as_mut())
            && (is_new || !world.files.contains_key(path))
        {
            // What had the name before is another file.
            let content = Content { safe: std::fs::read(path).unwrap_or_default(), since: Vec::new() };
            world.files.insert(path.clone(), content);
        }
        (*file.cast::<LayerFile>()).path = path.map_or(ptr::null_mut(), |path| Box::into_raw(Box::new(path)));
        code
    }
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    unsafe {
        let system: *mut ffi::sqlite3_vfs = (*vfs).pAppData.cast();
        if let Some(world) = world().as_mut() {
            let path = PathBuf::from(CStr::from_ptr(name).to_string_lossy().into_owned());
            if let Some(content) = world.files.remove(&path)
                && sync == 0
            {
                world.removed.insert(path, content);
            }
        }
        (*system).xDelete.expect("it has it")(system, name, sync)
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, amount: c_int, offset: i64) -> c_int {
    unsafe {
        let bytes = std::slice::from_raw_parts(from.cast::<u8>(), amount as usize).to_vec();
        record(file, |world, path| world.change(path, Change::Write(offset as usize, bytes)));
        method(file).xWrite.expect("it has it")(real(file), from, amount, offset)
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    unsafe {
        record(file, |world, path| world.change(path, Change::Truncate(size as usize)));
        method(file).xTruncate.expect("it has it")(real(file), size)
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    unsafe {
        record(file, |world, path| {
            world.removed.clear();
            if let Some(content) = world.files.get_mut(path) {
                content.synchronize();
            }
        });
        method(file).xSync.expect("it has it")(real(file), flags)
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    unsafe {
        let path = std::mem::replace(&mut (*file.cast::<LayerFile>()).path, ptr::null_mut());
        if !path.is_null() {
            drop(Box::from_raw(path));
        }
        method(file).xClose.expect("it has it")(real(file))
    }
}

macro_rules! pass_on {
    ($($name:ident = $method:ident ($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $argument: $type)*) $(-> $result)? {
            unsafe { method(file).$method.expect("it has it")(real(file) $(, $argument)*) }
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
