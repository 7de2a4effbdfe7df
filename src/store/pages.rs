//! A checksum in every page of the database, verified whenever the page is read from disk.
//!
//! SQLite notices when the structure of a page is damaged, but not when a path or a score in it is. SQLite can reserve
//! bytes at the end of each page (header, offset 20). The eight bytes reserved here hold a marker and the CRC-32 of the
//! page and its number. A layer between SQLite and the system adds them to each page that is written, and rejects pages
//! without them when reading. The idea comes from SQLite's own extension `cksumvfs`.
//!
//! Databases of earlier versions have no reserved bytes and are read as they are. The frames of the log (`-wal`) have
//! SQLite's own checksums, which it verifies after a crash.
//!
//! The layer is a VFS (<https://sqlite.org/vfs.html>). It implements only opening, reading and writing, and forwards
//! all other calls.

use std::cell::Cell;
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

/// The name under which the layer is registered with SQLite.
pub(super) const VFS: &CStr = c"imgidx";

/// The number of bytes at the end of a page that SQLite leaves unused.
const RESERVED_BYTES: usize = 8;

/// The first four of the reserved bytes.
const MARKER: [u8; 4] = *b"imgx";

/// The first bytes of a database header, and the offsets of the page size and of the number of reserved bytes in it
/// (<https://sqlite.org/fileformat.html>).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const PAGE_SIZE_OFFSET: usize = 16;
const RESERVED_BYTES_OFFSET: usize = 20;

thread_local! {
    /// The last page that was rejected.
    static REJECTED_PAGE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The number of the page that was last rejected on this thread, counting from 1.
pub(super) fn rejected_page() -> Option<u64> {
    REJECTED_PAGE.get()
}

/// The numbers of the pages of a connection's database that do not match their checksums. Empty if the pages have no
/// checksums.
///
/// The pages are read through the connection's own file. Opening and closing the database once more in the same process
/// would release all locks that the process has on it (<https://sqlite.org/howtocorrupt.html>, section 2.2).
///
/// # Errors
/// When the file cannot be read.
pub(super) fn damaged_pages(connection: &Connection, path: &Path) -> io::Result<Vec<u64>> {
    let Some((file, page_size)) = checked_file(connection) else { return Ok(Vec::new()) };
    let mut page = vec![0; page_size];
    let mut is_damaged = |number: u64| {
        let at = (number - 1) * page_size as u64;
        // SAFETY: `checked_file` returns only files of this layer, which stay open as long as the connection. The buffer
        // has the requested length.
        let code = unsafe {
            let read = method(file).xRead.expect("every file implements xRead");
            read(real(file), page.as_mut_ptr().cast(), page_size as c_int, at as i64)
        };
        match code {
            ffi::SQLITE_OK => Ok(!is_intact(&page, number)),
            // The file ends within this page, or was truncated in the meantime.
            ffi::SQLITE_IOERR_SHORT_READ => Ok(false),
            _ => Err(io::Error::other("a page is unreadable")),
        }
    };
    let mut size = 0;
    // SAFETY: the file is open, and the size is written to a local variable.
    unsafe { method(file).xFileSize.expect("every file implements xFileSize")(real(file), &raw mut size) };
    let mut damaged = Vec::new();
    for number in 1..=size as u64 / page_size as u64 {
        if is_damaged(number)? {
            damaged.push(number);
        }
    }
    if damaged.is_empty() {
        return Ok(damaged);
    }
    // A page that is being written at this moment will be intact shortly. A page whose write was interrupted by a power
    // failure is in the log.
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

/// The file of a connection's database and its page size, if it was opened through this layer and its pages have
/// checksums.
fn checked_file(connection: &Connection) -> Option<(*mut ffi::sqlite3_file, usize)> {
    let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
    // SAFETY: the handle is open, and this operation takes a pointer to a pointer. SQLite keeps the file as long as the
    // connection. A file with the methods of this layer is one of its files.
    let page_size = unsafe {
        let operation = ffi::SQLITE_FCNTL_FILE_POINTER;
        let code = ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), operation, (&raw mut file).cast());
        let is_ours = code == ffi::SQLITE_OK
            && !file.is_null()
            && (ptr::eq((*file).pMethods, &raw const WITH_SHARED_MEMORY)
                || ptr::eq((*file).pMethods, &raw const WITHOUT_SHARED_MEMORY));
        if is_ours { (*file.cast::<LayerFile>()).page_size } else { 0 }
    };
    (page_size != 0).then_some((file, page_size))
}

/// Whether the pages of a connection's database have checksums.
pub(super) fn has_checksums(connection: &Connection) -> bool {
    checked_file(connection).is_some()
}

/// The numbers of the pages in a write-ahead log (<https://sqlite.org/walformat.html>). Readers use these pages instead
/// of those in the database.
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
    // Frames with other salts belong to an earlier log that is being overwritten.
    while reader.read_exact(&mut frame).is_ok() && frame[8..16] == header[16..24] {
        pages.insert(u64::from(u32::from_be_bytes(frame[..4].try_into().expect("four bytes"))));
    }
    pages
}

/// Changes a damaged database so that SQLite opens it, if the beginning of its header is intact: pads it to its full
/// length with zeros, which are not mistaken for pages with rows, and corrects the checksum of the first page.
///
/// # Errors
/// When the file cannot be read or written.
pub(super) fn make_readable(path: &Path) -> io::Result<()> {
    const PAGE_COUNT_OFFSET: usize = 28;
    let mut file = File::options().read(true).write(true).open(path)?;
    let mut header = [0; 100];
    match file.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
        result => result?,
    }
    let page_size = page_size_in(&header).unwrap_or(0);
    if page_size == 0 {
        return Ok(());
    }
    let pages = u32::from_be_bytes(header[PAGE_COUNT_OFFSET..PAGE_COUNT_OFFSET + 4].try_into().expect("four bytes"));
    let (length, wanted) = (file.metadata()?.len(), u64::from(pages) * page_size as u64);
    // Drop a page that was cut off in the middle. Ignore a page count that is much too large.
    let whole = length - length % page_size as u64;
    file.set_len(whole.max(if wanted <= 64 * length { wanted } else { 0 }))?;
    let mut first = vec![0; page_size];
    file.rewind()?;
    if file.read_exact(&mut first).is_ok() && !is_intact(&first, 1) {
        set_checksum(&mut first, 1);
        file.rewind()?;
        file.write_all(&first)?;
    }
    Ok(())
}

/// Reserves the bytes for checksums in a new, still empty database.
pub(super) fn reserve(connection: &Connection) -> rusqlite::Result<()> {
    let mut bytes = RESERVED_BYTES as c_int;
    // SAFETY: the handle is open, and this operation takes a pointer to a number.
    let code = unsafe {
        let operation = ffi::SQLITE_FCNTL_RESERVE_BYTES;
        ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), operation, (&raw mut bytes).cast())
    };
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(SqliteError::SqliteFailure(ffi::Error::new(code), None)) }
}

/// Registers the layer with SQLite, once per process.
pub(super) fn register() {
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    // SAFETY: the default VFS lives as long as the process. So does this copy of it (it is leaked), which has only
    // another file size and other functions.
    let code = *REGISTERED.get_or_init(|| unsafe {
        ffi::sqlite3_initialize();
        let system = ffi::sqlite3_vfs_find(ptr::null());
        let layer = Box::leak(Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: REAL_FILE_OFFSET as c_int + (*system).szOsFile,
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
    assert_eq!(code, ffi::SQLITE_OK, "SQLite can register another VFS");
}

/// An open file of this layer. The file of the system's VFS follows it in memory, at [`REAL_FILE_OFFSET`].
#[repr(C)]
struct LayerFile {
    base: ffi::sqlite3_file,
    /// Whether it is a database rather than a log or a temporary file.
    is_database: bool,
    /// The page size of a database with checksums; 0 if it has none or the header has not been read yet.
    page_size: usize,
}

/// The offset of the file of the system's VFS, aligned for any type.
const REAL_FILE_OFFSET: usize = size_of::<LayerFile>().next_multiple_of(16);

unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: SQLite allocates `szOsFile` bytes for a file, and those from this offset on are for the system's file.
    unsafe { file.cast::<u8>().add(REAL_FILE_OFFSET).cast() }
}

unsafe fn system(vfs: *mut ffi::sqlite3_vfs) -> *mut ffi::sqlite3_vfs {
    // SAFETY: `register` has set `pAppData` to the system's VFS.
    unsafe { (*vfs).pAppData.cast() }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: the arguments come from SQLite, which has allocated `szOsFile` bytes for the file.
    unsafe {
        let system = system(vfs);
        let this = file.cast::<LayerFile>();
        (*this).is_database = flags & ffi::SQLITE_OPEN_MAIN_DB != 0;
        (*this).page_size = 0;
        (*real(file)).pMethods = ptr::null();
        let code = (*system).xOpen.expect("every VFS implements xOpen")(system, name, real(file), flags, out_flags);
        // SQLite does not close a file without methods. It must not close one that the system failed to open.
        (*file).pMethods = match (*real(file)).pMethods.as_ref() {
            None => ptr::null(),
            Some(methods) if methods.iVersion >= 2 => &raw const WITH_SHARED_MEMORY,
            Some(_) => &raw const WITHOUT_SHARED_MEMORY,
        };
        code
    }
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, to: *mut c_void, amount: c_int, offset: i64) -> c_int {
    // SAFETY: as in `open`, and the buffer has the requested length.
    unsafe {
        let code = method(file).xRead.expect("every file implements xRead")(real(file), to, amount, offset);
        if code != ffi::SQLITE_OK {
            return code;
        }
        let bytes = std::slice::from_raw_parts(to.cast::<u8>(), amount as usize);
        match (*file.cast::<LayerFile>()).page_number(bytes, offset) {
            Some(page) if !is_intact(bytes, page) => {
                REJECTED_PAGE.set(Some(page));
                ffi::SQLITE_IOERR_DATA
            }
            _ => code,
        }
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, amount: c_int, offset: i64) -> c_int {
    // SAFETY: as in `read`.
    unsafe {
        let write = method(file).xWrite.expect("every file implements xWrite");
        // Simulates a process that is killed after half of the write.
        fail::fail_point!("disk-write", |_| {
            write(real(file), from, amount / 2, offset);
            std::process::abort()
        });
        let bytes = std::slice::from_raw_parts(from.cast::<u8>(), amount as usize);
        let Some(page) = (*file.cast::<LayerFile>()).page_number(bytes, offset) else {
            return write(real(file), from, amount, offset);
        };
        let mut bytes = bytes.to_vec();
        set_checksum(&mut bytes, page);
        write(real(file), bytes.as_ptr().cast(), amount, offset)
    }
}

impl LayerFile {
    /// The number of a page, counting from 1, if these bytes are exactly one page of a database with checksums. Reads the
    /// page size from the header, if the bytes contain it.
    fn page_number(&mut self, bytes: &[u8], offset: i64) -> Option<u64> {
        if !self.is_database {
            return None;
        }
        if offset == 0 {
            self.page_size = page_size_in(bytes).unwrap_or(self.page_size);
        }
        let (offset, length) = (u64::try_from(offset).ok()?, bytes.len());
        let is_page =
            self.page_size > RESERVED_BYTES && length == self.page_size && offset.is_multiple_of(length as u64);
        is_page.then(|| offset / length as u64 + 1)
    }
}

/// The page size in the header of a database; 0 if its pages have no checksums, `None` if it is no header.
fn page_size_in(header: &[u8]) -> Option<usize> {
    if header.len() <= RESERVED_BYTES_OFFSET || !header.starts_with(MAGIC) {
        return None;
    }
    let has_checksums = usize::from(header[RESERVED_BYTES_OFFSET]) == RESERVED_BYTES;
    match u16::from_be_bytes([header[PAGE_SIZE_OFFSET], header[PAGE_SIZE_OFFSET + 1]]) {
        _ if !has_checksums => Some(0),
        // 65,536 does not fit into two bytes and is stored as 1.
        1 => Some(1 << 16),
        size => Some(size.into()),
    }
}

/// Writes the marker and the checksum to the reserved bytes of a page.
fn set_checksum(page: &mut [u8], number: u64) {
    let end = page.len() - RESERVED_BYTES;
    page[end..end + 4].copy_from_slice(&MARKER);
    let checksum = checksum(&page[..end + 4], number);
    page[end + 4..].copy_from_slice(&checksum);
}

/// Whether a page matches its checksum and number. A page that was never written consists of zeros and is valid.
fn is_intact(page: &[u8], number: u64) -> bool {
    let (content, found) = page.split_at(page.len() - 4);
    checksum(content, number) == found && content.ends_with(&MARKER) || page.iter().all(|byte| *byte == 0)
}

fn checksum(content: &[u8], number: u64) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(content);
    hasher.update(&number.to_le_bytes());
    hasher.finalize().to_le_bytes()
}

unsafe fn method<'a>(file: *mut ffi::sqlite3_file) -> &'a ffi::sqlite3_io_methods {
    // SAFETY: only files that the system has opened have the methods of this layer. The system's methods are static.
    unsafe { &*(*real(file)).pMethods }
}

/// Defines functions that forward to the same method of the system's file.
macro_rules! forward {
    ($($name:ident = $method:ident ($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $argument: $type)*) $(-> $result)? {
            // SAFETY: the arguments come from SQLite, for a method that the system's file implements.
            unsafe { method(file).$method.expect("the system's file implements it")(real(file) $(, $argument)*) }
        }
    )*};
}

forward! {
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

/// Clears the capability to read parts of pages, which SQLite would use for long values: parts have no checksum.
unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    const SUBPAGE_READ: c_int = 0x8000;
    // SAFETY: SQLite passes an open file of this layer.
    unsafe { method(file).xDeviceCharacteristics.expect("every file implements it")(real(file)) & !SUBPAGE_READ }
}

/// Defines functions that forward to the same method of the system's VFS.
macro_rules! forward_vfs {
    ($($name:ident = $method:ident ($($argument:ident: $type:ty),*);)*) => {$(
        unsafe extern "C" fn $name(vfs: *mut ffi::sqlite3_vfs $(, $argument: $type)*) -> c_int {
            // SAFETY: the arguments come from SQLite, for a method that the system's VFS implements.
            unsafe { (*system(vfs)).$method.expect("the system's VFS implements it")(system(vfs) $(, $argument)*) }
        }
    )*};
}

forward_vfs! {
    delete = xDelete(name: *const c_char, sync: c_int);
    access = xAccess(name: *const c_char, flags: c_int, result: *mut c_int);
    full_pathname = xFullPathname(name: *const c_char, length: c_int, out: *mut c_char);
    randomness = xRandomness(length: c_int, out: *mut c_char);
    sleep = xSleep(microseconds: c_int);
    current_time = xCurrentTime(time: *mut f64);
    last_error = xGetLastError(length: c_int, out: *mut c_char);
    current_time_int64 = xCurrentTimeInt64(time: *mut i64);
}

/// Methods without memory mapping (`xFetch`): mapped pages would bypass `read` and its verification.
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
    use crate::store::{Store, Writer, scratch};

    /// A database with these settings, and its bytes.
    fn database(
        settings: impl IntoIterator<Item = (String, String)>,
    ) -> (tempfile::TempDir, std::path::PathBuf, Vec<u8>) {
        let (dir, path) = scratch();
        let mut writer = Writer::open(&path).expect("it is made");
        let batch = writer.batch().expect("a transaction");
        for (key, value) in settings {
            batch.set_setting(&key, &value).expect("a row");
        }
        batch.commit().expect("it is written");
        drop(writer);
        let bytes = std::fs::read(&path).expect("it is there");
        (dir, path, bytes)
    }

    /// Settings that fill more than a hundred pages.
    fn many_settings() -> impl Iterator<Item = (String, String)> {
        (0..3000).map(|number| (format!("key {number}"), "value ".repeat(100 + number % 50)))
    }

    /// Reads every page that is in use.
    fn read_all(path: &std::path::Path) -> Result<Vec<(String, String)>, Error> {
        let store = Store::open(path)?;
        store.check()?;
        many_settings().map(|(key, _)| Ok((store.setting(&key)?.unwrap_or_default(), key))).collect()
    }

    #[test]
    fn no_flipped_bit_of_a_page_is_ever_read() {
        let (_dir, path, bytes) = database(many_settings());
        let whole = read_all(&path).expect("it is intact");
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
        let (_dir, path, bytes) = database([("long".into(), "a long value ".repeat(20_000))]);
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
        let (_dir, path, bytes) = database(many_settings());
        let mut swapped = bytes.clone();
        // The last pages are those of the settings, which are read.
        let last = bytes.len() / 16_384 - 1;
        let (one, other) = ((last - 1) * 16_384, last * 16_384);
        swapped[one..one + 16_384].copy_from_slice(&bytes[other..other + 16_384]);
        std::fs::write(&path, &swapped).expect("a file");
        let error = read_all(&path).expect_err("it is damaged").to_string();
        assert!(error.contains(&format!("page {last} does not match")), "{error}");
    }

    #[test]
    fn a_page_matches_only_its_own_number() {
        let mut page = vec![3; 512];
        set_checksum(&mut page, 9);
        assert!(is_intact(&page, 9) && !is_intact(&page, 8));
        page[20] ^= 1;
        assert!(!is_intact(&page, 9));
        assert!(is_intact(&[0; 512], 9), "it was never written");
    }
}
