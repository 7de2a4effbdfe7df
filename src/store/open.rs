//! Opening: pragmas, the check that the file is ours, and migrations.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use rusqlite_migration::{M, Migrations};

use super::batch::Writer;
use super::lock::WriterLock;
use super::select::add_functions;
use super::sqlite_error::At;
use super::{OwnFiles, Store, pages};
use crate::error::{Error, Result};
use crate::types::{open_nofollow, open_regular};

/// "imgx", in the header of every database of this program.
const APPLICATION_ID: i64 = 0x696D_6778;

/// One for each file of `schema/`, in order. Append only.
const MIGRATIONS: &[M<'static>] = &[
    M::up(include_str!("../../schema/0001_initial.sql")),
    M::up(include_str!("../../schema/0002_graph.sql")),
    M::up(include_str!("../../schema/0003_features.sql")),
    M::up(include_str!("../../schema/0004_search.sql")),
    M::up(include_str!("../../schema/0005_watch.sql")),
    M::up(include_str!("../../schema/0006_runs.sql")),
    M::up(include_str!("../../schema/0007_pages.sql")),
    M::up(include_str!("../../schema/0008_traces.sql")),
];

/// Vectors are 2.5 kB: pages of the default 4 kB would hold one each and waste a third.
const PAGE_SIZE: i64 = 16_384;

/// Before this version two writing connections could damage the write-ahead log when it was reset.
const OLDEST_SAFE_SQLITE: i32 = 3_051_003;

const CACHE_KIB: i64 = 8192;

/// How long to wait for another writer: searchers are writers for moments, to publish what they have made.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

impl Store {
    /// Opens an existing database for reading, on read-only media too.
    ///
    /// # Errors
    /// When there is none, or it is another program's, or of a newer version, or damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let path = &real_path(path);
        if !is_database(path)? {
            return Err(Error::NoIndex { path: path.to_owned() });
        }
        let store = Self::of(open_reader(path)?, path);
        match check_header(&store.connection, path)? {
            0 => Err(Error::NoIndex { path: path.to_owned() }),
            version if version == latest() => Ok(store),
            _ => {
                drop(store);
                Writer::open(path)?;
                Ok(Self::of(open_reader(path)?, path))
            }
        }
    }
}

impl Store {
    fn of(connection: Connection, path: &Path) -> Self {
        Self { connection, path: path.to_owned(), own_files: OwnFiles::of(path) }
    }
}

impl Writer {
    /// Opens or creates a database for writing, and brings its schema up to date.
    ///
    /// # Errors
    /// When another process is writing, or for the reasons of [`Store::open`].
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_within(path, PATIENCE)
    }

    /// As [`Writer::open`], but `None` if another process is writing just now.
    ///
    /// # Errors
    /// As those of [`Writer::open`].
    pub fn try_open(path: &Path) -> Result<Option<Self>> {
        match Self::open_within(path, Duration::ZERO) {
            Err(Error::Locked { .. }) => Ok(None),
            opened => opened.map(Some),
        }
    }

    fn open_within(path: &Path, patience: Duration) -> Result<Self> {
        assert!(rusqlite::version_number() >= OLDEST_SAFE_SQLITE, "SQLite {} damages databases", rusqlite::version());
        let path = &real_path(path);
        let is_there = is_database(path)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))?;
        }
        let lock = WriterLock::acquire(path, patience)?;
        if !is_there {
            // It lists what its owner has, so that it is for its owner; SQLite gives its log the same mode.
            open_nofollow(path).map_err(Error::io("make", path))?;
        }
        Ok(Self::new(Store::of(open_writer(path)?, path), lock))
    }
}

/// Opens or makes a database, and brings its schema up to date.
fn open_writer(path: &Path) -> Result<Connection> {
    pages::register();
    let mut connection = Connection::open_with_flags_and_vfs(path, OpenFlags::default(), pages::VFS).at(path)?;
    configure(&connection).at(path)?;
    if check_header(&connection, path)? == 0 {
        connection.pragma_update(None, "page_size", PAGE_SIZE).at(path)?;
        pages::reserve(&connection).at(path)?;
        connection.pragma_update(None, "application_id", APPLICATION_ID).at(path)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL").at(path)?;
    connection.set_transaction_behavior(TransactionBehavior::Immediate);
    Migrations::from_slice(MIGRATIONS).to_latest(&mut connection).at(path)?;
    Ok(connection)
}

/// Opens a database that is up to date to write beside its writer.
pub(super) fn open_recorder(path: &Path) -> Result<Store> {
    Ok(Store::of(open_writer(path)?, path))
}

/// Makes a database that nobody else knows of yet, for its owner only.
pub(super) fn new_database(path: &Path) -> Result<Connection> {
    open_nofollow(path).map_err(Error::io("make", path))?;
    open_writer(path)
}

fn latest() -> i64 {
    MIGRATIONS.len() as i64
}

/// The path that a link at this one leads to, so that all find the same lock and the same files beside the database.
pub(super) fn real_path(path: &Path) -> PathBuf {
    let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
    is_link.then(|| path.canonicalize().ok()).flatten().unwrap_or_else(|| path.to_owned())
}

/// Whether there is a file at the path: a pipe would have everybody wait for ever.
fn is_database(path: &Path) -> Result<bool> {
    let not_one = |reason: &str| Err(Error::NotAnIndex { path: path.to_owned(), reason: reason.into() });
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(true),
        Ok(metadata) if metadata.is_dir() => not_one("it is a directory"),
        Ok(_) => not_one("it is no regular file"),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("open", path)(error)),
    }
}

/// Opens a reader. It may write all the same, to the log: whoever closes the database last brings the log into it and removes it, so
/// that there is one file when nobody is at work. Another program that opened it then would do so too, without checksums.
fn open_reader(path: &Path) -> Result<Connection> {
    let error = match open_to_read(path.as_os_str(), OpenFlags::SQLITE_OPEN_READ_WRITE).at(path) {
        Err(error @ Error::Database { .. }) => error,
        result => return result,
    };
    // If the system has no room to open any file, that is what is to be said.
    open_regular(path).map_err(Error::io("open", path))?;
    // On read-only media no log can be opened. Without one the file itself is complete.
    let log = Store::beside(path, "-wal");
    if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        let reason =
            "its log has to be read too, for which a file must be made beside it: copy both to where that is allowed";
        return Err(Error::Database { path: path.to_owned(), reason: reason.into() });
    }
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let name = format!("file:{escaped}?immutable=1");
    open_to_read(name.as_ref(), OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|_| error)
}

fn open_to_read(name: &OsStr, mode: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    pages::register();
    let connection = Connection::open_with_flags_and_vfs(Path::new(name), flags, pages::VFS)?;
    configure(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    add_functions(connection)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Rows that another one replaces go by the triggers that a deleted row goes by.
    connection.pragma_update(None, "recursive_triggers", true)?;
    // The inner pages of a tree with a million vectors do not fit into the default of 2 MB.
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    Ok(())
}

/// The schema version of a database that is ours; 0 if it is still empty.
fn check_header(connection: &Connection, path: &Path) -> Result<i64> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = pragma("application_id").at(path)?;
    let version = pragma("user_version").at(path)?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).at(path)?;
    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(Error::NotAnIndex { path: path.to_owned(), reason: "another program made it".into() });
    }
    if version > latest() {
        return Err(Error::TooNew { path: path.to_owned(), found: version, known: latest() });
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("photos.db");
        (dir, path)
    }

    #[test]
    fn the_schema_files_apply_and_are_counted() {
        Migrations::from_slice(MIGRATIONS).validate().expect("they apply to an empty database");
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/schema")).expect("the folder").count();
        assert_eq!(files, MIGRATIONS.len(), "a file of schema/ is not in MIGRATIONS");
    }

    #[test]
    fn databases_of_all_earlier_versions_are_brought_up_to_date() {
        for version in 1..MIGRATIONS.len() {
            let (_dir, path) = scratch();
            let mut old = Connection::open(&path).expect("a database");
            old.pragma_update(None, "application_id", APPLICATION_ID).expect("a pragma");
            Migrations::from_slice(&MIGRATIONS[..version]).to_latest(&mut old).expect("they apply");
            old.execute("INSERT INTO setting VALUES ('model', 'kept')", []).expect("a row");
            drop(old);
            let store = Store::open(&path).expect("it is brought up to date");
            assert_eq!(store.setting("model").expect("it can be read").as_deref(), Some("kept"));
            let found: i64 = store.connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("one");
            assert_eq!(found, latest());
        }
    }

    #[test]
    fn a_reader_needs_an_index_to_be_there() {
        let (_dir, path) = scratch();
        assert!(matches!(Store::open(&path), Err(Error::NoIndex { .. })));
        std::fs::write(&path, b"").expect("an empty file");
        assert!(matches!(Store::open(&path), Err(Error::NoIndex { .. })));
        drop(Writer::open(&path).expect("it is made"));
        Store::open(&path).expect("it is there");
    }

    #[test]
    fn the_database_of_another_program_is_refused() {
        let (_dir, path) = scratch();
        let other = Connection::open(&path).expect("a database");
        other.execute_batch("CREATE TABLE bookmark (url TEXT)").expect("a table");
        drop(other);
        assert!(matches!(Writer::open(&path), Err(Error::NotAnIndex { .. })));
        assert!(matches!(Store::open(&path), Err(Error::NotAnIndex { .. })));
        std::fs::write(&path, [b'x'; 5000]).expect("no database at all");
        assert!(matches!(Writer::open(&path), Err(Error::NotAnIndex { .. })));
    }

    #[test]
    fn a_database_from_the_future_is_refused() {
        let (_dir, path) = scratch();
        let writer = Writer::open(&path).expect("it is made");
        writer.connection.pragma_update(None, "user_version", 999).expect("a pragma");
        drop(writer);
        assert!(matches!(Store::open(&path), Err(Error::TooNew { found: 999, .. })));
        assert!(matches!(Writer::open(&path), Err(Error::TooNew { found: 999, .. })));
    }
}
