//! A checksum in every page of the database, looked at whenever the page is read from the disk.
//!
//! SQLite finds out when the structure of a page is broken, and not when a path or a score in it is. So the last eight bytes of
//! each page, which SQLite leaves alone when it is told to (header, offset 20), hold a mark and the CRC-32 of the page and its
//! number: a layer between SQLite and the system puts it there, and refuses pages that do not have it. The idea is that of SQLite's own
//! extension `cksumvfs`.
//!
//! Databases of earlier versions of this program have no such bytes, and are read as they are. What is in the log (`-wal`) has
//! SQLite's own checksums, by which it is read after a crash.
//!
//! The layer is a VFS (<https://sqlite.org/vfs.html>), in which only reading, writing and opening do anything by themselves; all
//! else is passed on.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;
use std::time::Duration;

use rusqlite::ffi;
use rusqlite::{Connection, Error as SqliteError};

use super::Store;
use crate::types::open_regular;

/// The name under which SQLite knows the layer.
pub(super) const VFS: &CStr = c"imgidx";

/// Bytes at the end of a page that SQLite leaves alone.
const RESERVED: usize = 8;

/// The first four of them.
const MARK: [u8; 4] = *b"imgx";

/// Where the header of a database tells its page size and the number of reserved bytes (<https://sqlite.org/fileformat.html>).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const PAGE_SIZE_AT: usize = 16;
const RESERVED_AT: usize = 20;

thread_local! {
    /// The last page that was refused.
    static REFUSED: Cell<Option<u64>> = const { Cell::new(None) };
    /// A page on its way to the disk.
    static PAGE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The number of the page that was refused last on this thread; pages count from 1.
pub(super) fn refused_page() -> Option<u64> {
    REFUSED.get()
}

/// The pages of a connection's database that are not what was written, by their numbers; none if its pages have no checksums.
///
/// They are read through the connection's own file: to open and close another one in the same process would give up all locks that
/// this process has on it (<https://sqlite.org/howtocorrupt.html>, 2.2).
///
/// # Errors
/// When the file cannot be read.
pub(super) fn damaged_pages(connection: &Connection, path: &Path) -> io::Result<Vec<u64>> {
    let Some(file) = file_of(connection) else { return Ok(Vec::new()) };
    // SAFETY: the file is the layer's, and open as long as the connection.
    let page_size = unsafe { (*file.cast::<LayerFile>()).page_size.0 };
    if page_size == 0 {
        return Ok(Vec::new());
    }
    let mut page = vec![0; page_size];
    let mut is_damaged = |number: u64| {
        let at = (number - 1) * page_size as u64;
        // SAFETY: the buffer has the length that is asked for.
        let code = unsafe {
            let read = method(file).xRead.expect("every file has it");
            read(real(file), page.as_mut_ptr().cast(), page_size as c_int, at as i64)
        };
        match code {
            ffi::SQLITE_OK => Ok(!is_whole(&page, number)),
            // It ends in this page, or has become shorter.
            ffi::SQLITE_IOERR_SHORT_READ => Ok(false),
            _ => Err(io::Error::other("a page cannot be read")),
        }
    };
    let mut size = 0;
    // SAFETY: as above.
    unsafe { method(file).xFileSize.expect("every file has it")(real(file), &raw mut size) };
    let mut damaged = Vec::new();
    for number in 1..=size as u64 / page_size as u64 {
        if is_damaged(number)? {
            damaged.push(number);
        }
    }
    if damaged.is_empty() {
        return Ok(damaged);
    }
    // One that was just being written is whole in a moment, and one that was being written when the power went is in the log.
    std::thread::sleep(Duration::from_millis(50));
    let in_log = pages_in_log(&Store::beside(path, "-wal"), page_size);
    let mut left = Vec::new();
    for number in damaged {
        if !in_log.contains(&number) && is_damaged(number)? {
            left.push(number);
        }
    }
    Ok(left)
}

/// The layer's file of a connection's database.
fn file_of(connection: &Connection) -> Option<*mut ffi::sqlite3_file> {
    let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
    // SAFETY: the handle is open, and this operation takes a pointer to a pointer.
    let code = unsafe {
        let operation = ffi::SQLITE_FCNTL_FILE_POINTER;
        ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), operation, (&raw mut file).cast())
    };
    // SAFETY: whose methods are the layer's is one of its files.
    let is_ours = code == ffi::SQLITE_OK
        && !file.is_null()
        && unsafe {
            ptr::eq((*file).pMethods, &raw const WITH_SHARED_MEMORY)
                || ptr::eq((*file).pMethods, &raw const WITHOUT_SHARED_MEMORY)
        };
    is_ours.then_some(file)
}

/// Whether the pages of a connection's database have checksums.
pub(super) fn has_checksums(connection: &Connection) -> bool {
    // SAFETY: as above.
    file_of(connection).is_some_and(|file| unsafe { (*file.cast::<LayerFile>()).page_size.0 != 0 })
}

/// The pages that a log holds (<https://sqlite.org/walformat.html>); whoever reads takes them from there.
fn pages_in_log(log: &Path, page_size: usize) -> HashSet<u64> {
    const FRAME_HEADER: usize = 24;
    let mut pages = HashSet::new();
    let Ok(file) = open_regular(log) else { return pages };
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut header = [0; 32];
    if reader.read_exact(&mut header).is_err() {
        return pages;
    }
    let mut frame = vec![0; FRAME_HEADER + page_size];
    // Frames of an earlier log, which is being overwritten, have other salts.
    while reader.read_exact(&mut frame).is_ok() && frame[8..16] == header[16..24] {
        pages.insert(u64::from(u32::from_be_bytes(frame[..4].try_into().expect("four bytes"))));
    }
    pages
}

/// Makes a damaged database one that SQLite opens: zeros where pages are missing, which nobody takes for a page with rows, and the
/// checksum of the first page, if the beginning of its header is right.
///
/// # Errors
/// When the file cannot be read or written.
pub(super) fn make_readable(path: &Path) -> io::Result<()> {
    const PAGES_AT: usize = 28;
    let mut file = File::options().read(true).write(true).open(path)?;
    let mut header = [0; 100];
    match file.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
        result => result?,
    }
    let mut known = PageSize(0);
    known.learn(&header, 0);
    if known.0 == 0 {
        return Ok(());
    }
    let pages = u32::from_be_bytes(header[PAGES_AT..PAGES_AT + 4].try_into().expect("four bytes"));
    let (length, wanted) = (file.metadata()?.len(), u64::from(pages) * known.0 as u64);
    // Cut off in the middle of a page, which is none then. A number that is much too large is none either.
    let whole = length - length % known.0 as u64;
    file.set_len(whole.max(if wanted <= 64 * length { wanted } else { 0 }))?;
    let mut first = vec![0; known.0];
    file.rewind()?;
    if file.read_exact(&mut first).is_ok() && !is_whole(&first, 1) {
        seal(&mut first, 1);
        file.rewind()?;
        file.write_all(&first)?;
    }
    Ok(())
}

/// Has a new, still empty database keep the bytes free that checksums need.
pub(super) fn reserve(connection: &Connection) -> rusqlite::Result<()> {
    let mut bytes = RESERVED as c_int;
    let bytes_at: *mut c_int = &raw mut bytes;
    // SAFETY: the handle is open, and this operation takes a pointer to a number.
    let code = unsafe {
        ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_RESERVE_BYTES,
            bytes_at.cast(),
        )
    };
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(SqliteError::SqliteFailure(ffi::Error::new(code), None)) }
}

/// Makes the layer known to SQLite.
pub(super) fn register() {
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    // SAFETY: the default VFS is there for as long as the process is, and so is this one, which differs from it in size and
    // functions only.
    let code = *REGISTERED.get_or_init(|| unsafe {
        ffi::sqlite3_initialize();
        let system = ffi::sqlite3_vfs_find(ptr::null());
        let layer = Box::leak(Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: REAL_AT as c_int + (*system).szOsFile,
            pNext: ptr::null_mut(),
            zName: VFS.as_ptr(),
            pAppData: system.cast(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: Some(last_error),
            xCurrentTimeInt64: Some(current_time_int64),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
            ..*system
        }));
        ffi::sqlite3_vfs_register(layer, 0)
    });
    assert_eq!(code, ffi::SQLITE_OK, "SQLite has room for another VFS");
}

/// An open file; the system's own follows it in memory.
#[repr(C)]
struct LayerFile {
    base: ffi::sqlite3_file,
    /// Whether it is a database, and not a log or a temporary file.
    is_database: bool,
    page_size: PageSize,
}

/// The size of pages that have checksums; 0 as long as none have, or none are known to.
struct PageSize(usize);

/// Where the system's file is, aligned for whatever it is.
const REAL_AT: usize = size_of::<LayerFile>().next_multiple_of(16);

unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: SQLite gives `szOsFile` bytes, of which the system's file has those from here on.
    unsafe { file.cast::<u8>().add(REAL_AT).cast() }
}

unsafe fn system(vfs: *mut ffi::sqlite3_vfs) -> *mut ffi::sqlite3_vfs {
    // SAFETY: `register` has put it there.
    unsafe { (*vfs).pAppData.cast() }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: the arguments are SQLite's, and the memory of the file is as large as was said.
    unsafe {
        let system = system(vfs);
        let this = file.cast::<LayerFile>();
        (*this).is_database = flags & ffi::SQLITE_OPEN_MAIN_DB != 0;
        (*this).page_size = PageSize(0);
        (*real(file)).pMethods = ptr::null();
        let code = (*system).xOpen.expect("every VFS has it")(system, name, real(file), flags, out_flags);
        // Without methods SQLite does not close it, as it must not one that the system has not opened.
        let has_shared_memory = !(*real(file)).pMethods.is_null() && (*(*real(file)).pMethods).iVersion >= 2;
        (*file).pMethods = match (*real(file)).pMethods.is_null() {
            true => ptr::null(),
            false if has_shared_memory => &raw const WITH_SHARED_MEMORY,
            false => &raw const WITHOUT_SHARED_MEMORY,
        };
        code
    }
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, to: *mut c_void, amount: c_int, offset: i64) -> c_int {
    // SAFETY: as in `open`; the buffer has the length that is asked for.
    unsafe {
        let code = method(file).xRead.expect("every file has it")(real(file), to, amount, offset);
        let this = &mut *file.cast::<LayerFile>();
        if code != ffi::SQLITE_OK || !this.is_database {
            return code;
        }
        let bytes = std::slice::from_raw_parts(to.cast::<u8>(), amount as usize);
        this.page_size.learn(bytes, offset);
        match this.page_size.page_number(bytes.len(), offset) {
            Some(page) if !is_whole(bytes, page) => {
                REFUSED.set(Some(page));
                ffi::SQLITE_IOERR_DATA
            }
            _ => code,
        }
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, amount: c_int, offset: i64) -> c_int {
    // SAFETY: as in `read`.
    unsafe {
        let write = method(file).xWrite.expect("every file has it");
        // Killed in the middle of it, so that half of it is there.
        fail::fail_point!("disk-write", |_| {
            write(real(file), from, amount / 2, offset);
            std::process::abort()
        });
        let this = &mut *file.cast::<LayerFile>();
        if !this.is_database {
            return write(real(file), from, amount, offset);
        }
        let bytes = std::slice::from_raw_parts(from.cast::<u8>(), amount as usize);
        this.page_size.learn(bytes, offset);
        let Some(page) = this.page_size.page_number(bytes.len(), offset) else {
            return write(real(file), from, amount, offset);
        };
        PAGE.with_borrow_mut(|sealed| {
            sealed.clear();
            sealed.extend_from_slice(bytes);
            seal(sealed, page);
            write(real(file), sealed.as_ptr().cast(), amount, offset)
        })
    }
}

impl PageSize {
    /// Looks into the header, when it comes by.
    fn learn(&mut self, bytes: &[u8], offset: i64) {
        if offset == 0 && bytes.len() > RESERVED_AT && bytes.starts_with(MAGIC) {
            let has_checksums = usize::from(bytes[RESERVED_AT]) == RESERVED;
            let size = usize::from(u16::from_be_bytes([bytes[PAGE_SIZE_AT], bytes[PAGE_SIZE_AT + 1]]));
            // 64 KiB do not fit into two bytes.
            self.0 = if !has_checksums {
                0
            } else if size == 1 {
                1 << 16
            } else {
                size
            };
        }
    }

    /// The number of a page, if it is one that has a checksum, and all of it.
    fn page_number(&self, length: usize, offset: i64) -> Option<u64> {
        let offset = u64::try_from(offset).ok()?;
        let is_page = self.0 > RESERVED && length == self.0 && offset.is_multiple_of(length as u64);
        is_page.then(|| offset / length as u64 + 1)
    }
}

/// Puts the checksum into a page.
fn seal(page: &mut [u8], number: u64) {
    let end = page.len() - RESERVED;
    page[end..end + 4].copy_from_slice(&MARK);
    let checksum = checksum(&page[..end + 4], number);
    page[end + 4..].copy_from_slice(&checksum);
}

/// Whether a page is what was written under its number. One that was never written is nothing but zeros.
fn is_whole(page: &[u8], number: u64) -> bool {
    let (content, found) = page.split_at(page.len() - 4);
    checksum(content, number) == found && content.ends_with(&MARK) || page.iter().all(|byte| *byte == 0)
}

fn checksum(content: &[u8], number: u64) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(content);
    hasher.update(&number.to_le_bytes());
    hasher.finalize().to_le_bytes()
}

unsafe fn method<'a>(file: *mut ffi::sqlite3_file) -> &'a ffi::sqlite3_io_methods {
    // SAFETY: only files that the system has opened have methods of this layer, and the system's methods stay.
    unsafe { &*(*real(file)).pMethods }
}

/// Functions that call the one of the system's file.
macro_rules! pass_on {
    ($($name:ident = $method:ident ($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $argument: $type)*) $(-> $result)? {
            // SAFETY: the arguments are SQLite's, for a method that the system's file has.
            unsafe { method(file).$method.expect("the system's file has it")(real(file) $(, $argument)*) }
        }
    )*};
}

pass_on! {
    close = xClose() -> c_int;
    truncate = xTruncate(size: i64) -> c_int;
    sync = xSync(flags: c_int) -> c_int;
    file_size = xFileSize(size: *mut i64) -> c_int;
    lock = xLock(level: c_int) -> c_int;
    unlock = xUnlock(level: c_int) -> c_int;
    check_reserved_lock = xCheckReservedLock(result: *mut c_int) -> c_int;
    file_control = xFileControl(operation: c_int, argument: *mut c_void) -> c_int;
    sector_size = xSectorSize() -> c_int;
    shm_map = xShmMap(page: c_int, size: c_int, extend: c_int, at: *mut *mut c_void) -> c_int;
    shm_lock = xShmLock(offset: c_int, count: c_int, flags: c_int) -> c_int;
    shm_barrier = xShmBarrier();
    shm_unmap = xShmUnmap(delete: c_int) -> c_int;
}

/// Without reading parts of pages, which have no checksum of their own: SQLite would read long values so.
unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    const SUBPAGE_READ: c_int = 0x8000;
    // SAFETY: as above.
    unsafe { method(file).xDeviceCharacteristics.expect("every file has it")(real(file)) & !SUBPAGE_READ }
}

/// Functions that call the one of the system's VFS.
macro_rules! pass_on_vfs {
    ($($name:ident = $method:ident ($($argument:ident: $type:ty),*);)*) => {$(
        unsafe extern "C" fn $name(vfs: *mut ffi::sqlite3_vfs $(, $argument: $type)*) -> c_int {
            // SAFETY: as above.
            unsafe { (*system(vfs)).$method.expect("the system's VFS has it")(system(vfs) $(, $argument)*) }
        }
    )*};
}

pass_on_vfs! {
    delete = xDelete(name: *const c_char, sync: c_int);
    access = xAccess(name: *const c_char, flags: c_int, result: *mut c_int);
    full_pathname = xFullPathname(name: *const c_char, length: c_int, out: *mut c_char);
    randomness = xRandomness(length: c_int, out: *mut c_char);
    sleep = xSleep(microseconds: c_int);
    current_time = xCurrentTime(time: *mut f64);
    last_error = xGetLastError(length: c_int, out: *mut c_char);
    current_time_int64 = xCurrentTimeInt64(time: *mut i64);
}

/// Without mapping (`xFetch`): what is mapped is not read, and so not looked at.
static WITH_SHARED_MEMORY: ffi::sqlite3_io_methods = methods(2);
static WITHOUT_SHARED_MEMORY: ffi::sqlite3_io_methods = methods(1);

const fn methods(version: c_int) -> ffi::sqlite3_io_methods {
    ffi::sqlite3_io_methods {
        iVersion: version,
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::store::{Store, Writer};

    /// A database with some hundred pages, and its bytes.
    fn database() -> (tempfile::TempDir, std::path::PathBuf, Vec<u8>) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("photos.db");
        let mut writer = Writer::open(&path).expect("it is made");
        let batch = writer.batch().expect("a transaction");
        for number in 0..3000 {
            batch.set_setting(&format!("key {number}"), &"value ".repeat(100 + number % 50)).expect("a row");
        }
        batch.commit().expect("it is written");
        drop(writer);
        let bytes = std::fs::read(&path).expect("it is there");
        (dir, path, bytes)
    }

    /// Reads every page that has something in it.
    fn read_all(path: &std::path::Path) -> Result<Vec<(String, String)>, Error> {
        let store = Store::open(path)?;
        store.check()?;
        (0..3000)
            .map(|number| Ok((format!("key {number}"), store.setting(&format!("key {number}"))?.unwrap_or_default())))
            .collect()
    }

    #[test]
    fn no_flipped_bit_of_a_page_is_ever_read() {
        let (_dir, path, bytes) = database();
        let whole = read_all(&path).expect("it is whole");
        let pages = bytes.len() / 16_384;
        assert!(pages > 100 && bytes.len().is_multiple_of(16_384), "{} bytes", bytes.len());
        let mut random = 7_u64;
        for _ in 0..150 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // The first 100 bytes are the header, which SQLite may refuse on its own.
            let at = 100 + (random >> 20) as usize % (bytes.len() - 100);
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (random >> 60 & 7);
            std::fs::write(&path, &flipped).expect("a file");
            match read_all(&path) {
                Err(Error::Damaged { reason, .. }) => {
                    assert_eq!(reason, format!("page {} does not match its checksum", at / 16_384 + 1), "byte {at}");
                }
                Err(other) => panic!("byte {at}: {other}"),
                Ok(read) => assert!(read == whole, "byte {at} of a page that is not in use: {:?}", read.len()),
            }
        }
    }

    #[test]
    fn no_flipped_bit_of_a_long_value_is_ever_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("photos.db");
        let mut writer = Writer::open(&path).expect("it is made");
        let batch = writer.batch().expect("a transaction");
        let long = "a long value ".repeat(20_000);
        batch.set_setting("long", &long).expect("a row");
        batch.commit().expect("it is written");
        drop(writer);
        let bytes = std::fs::read(&path).expect("it is there");
        let places: Vec<usize> =
            bytes.windows(12).enumerate().filter(|(_, at)| at == b"a long value").map(|at| at.0).collect();
        assert!(places.len() > 15_000);
        for at in places.into_iter().step_by(1500) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            std::fs::write(&path, &flipped).expect("a file");
            let read = Store::open(&path).and_then(|store| store.setting("long"));
            let error = read.expect_err("it is damaged").to_string();
            assert!(error.contains(&format!("page {} does not match", at / 16_384 + 1)), "{error}");
        }
    }

    #[test]
    fn a_page_in_the_place_of_another_is_refused() {
        let (_dir, path, bytes) = database();
        let mut swapped = bytes.clone();
        let (one, other) = (40 * 16_384, 41 * 16_384);
        swapped[one..one + 16_384].copy_from_slice(&bytes[other..other + 16_384]);
        std::fs::write(&path, &swapped).expect("a file");
        let error = read_all(&path).expect_err("it is damaged").to_string();
        assert!(error.contains("page 41 does not match"), "{error}");
    }

    #[test]
    fn a_page_fits_its_number_only() {
        let mut page = vec![3; 512];
        seal(&mut page, 9);
        assert!(is_whole(&page, 9) && !is_whole(&page, 8));
        page[20] ^= 1;
        assert!(!is_whole(&page, 9));
        assert!(is_whole(&[0; 512], 9), "it was never written");
    }
}
