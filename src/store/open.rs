//! Opening a database: pragmas, the check that the file belongs to imgidx, and migrations.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use rusqlite_migration::{M, Migrations};

use super::batch::Writer;
use super::lock::FileLock;
use super::select::add_functions;
use super::sqlite_error::At;
use super::{BUSY_TIMEOUT, OwnFiles, Store, pages};
use crate::error::{Error, Result};
use crate::types::{open_nofollow, open_regular};

/// The application id in the header of every imgidx database: "imgx".
const APPLICATION_ID: i64 = 0x696D_6778;

/// The files of `schema/`, in order. Append only.
const MIGRATIONS: &[M<'static>] = &[
    M::up(include_str!("../../schema/0001_initial.sql")),
    M::up(include_str!("../../schema/0002_graph.sql")),
    M::up(include_str!("../../schema/0003_features.sql")),
    M::up(include_str!("../../schema/0004_search.sql")),
    M::up(include_str!("../../schema/0005_watch.sql")),
    M::up(include_str!("../../schema/0006_runs.sql")),
    M::up(include_str!("../../schema/0007_pages.sql")),
    M::up(include_str!("../../schema/0008_traces.sql")),
    M::up(include_str!("../../schema/0009_miniatures.sql")),
    M::up(include_str!("../../schema/0010_color_shares.sql")),
    M::up(include_str!("../../schema/0011_metadata.sql")),
    M::up(include_str!("../../schema/0012_decoded_from.sql")),
];

/// The schema version of a current database.
const LATEST: i64 = MIGRATIONS.len() as i64;

/// A vector takes 2.5 kB: pages of the default 4 kB would hold one each and waste a third.
const PAGE_SIZE: i64 = 16_384;

/// In older versions, two writing connections could damage the write-ahead log when it was reset.
const MIN_SQLITE_VERSION: i32 = 3_051_003;

const CACHE_KIB: i64 = 8192;

/// How long to wait for another writer. A search also writes briefly, to publish derived files.
const WRITER_LOCK_TIMEOUT: Duration = Duration::from_secs(1);

impl Store {
    /// Opens an existing database for reading, also on read-only media. Migrates it if its schema is old.
    ///
    /// # Errors
    /// When it does not exist, belongs to another program, was made by a newer version, or is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let path = &real_path(path);
        if !is_database(path)? {
            return Err(Error::NoIndex { path: path.to_owned() });
        }
        let store = Self::of(open_reader(path)?, path);
        match check_header(&store.connection, path)? {
            0 => Err(Error::NoIndex { path: path.to_owned() }),
            LATEST => Ok(store),
            _ => {
                drop(store);
                Writer::open(path)?;
                Ok(Self::of(open_reader(path)?, path))
            }
        }
    }

    pub(super) fn of(connection: Connection, path: &Path) -> Self {
        Self { connection, path: path.to_owned(), own_files: OwnFiles::of(path) }
    }
}

impl Writer {
    /// Opens or creates a database for writing, and brings its schema up to date.
    ///
    /// # Errors
    /// When another process is writing, and those of [`Store::open`].
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_within(path, WRITER_LOCK_TIMEOUT)
    }

    /// Like [`Writer::open`], but returns `None` at once if another process is writing.
    ///
    /// # Errors
    /// Those of [`Writer::open`].
    pub fn try_open(path: &Path) -> Result<Option<Self>> {
        match Self::open_within(path, Duration::ZERO) {
            Err(Error::Locked { .. }) => Ok(None),
            opened => opened.map(Some),
        }
    }

    fn open_within(path: &Path, timeout: Duration) -> Result<Self> {
        assert!(
            rusqlite::version_number() >= MIN_SQLITE_VERSION,
            "SQLite {} can damage databases",
            rusqlite::version()
        );
        let path = &real_path(path);
        let exists = is_database(path)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(Error::io("create the directory", folder))?;
        }
        let lock = FileLock::writer(path, timeout)?;
        if !exists {
            // Readable by its owner only, because it lists their files. SQLite gives its log the same mode.
            open_nofollow(path).map_err(Error::io("create", path))?;
        }
        Ok(Self::new(Store::of(open_writer(path)?, path), lock))
    }
}

/// Opens or creates a database, and brings its schema up to date.
pub(super) fn open_writer(path: &Path) -> Result<Connection> {
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

/// Creates a database that is readable by its owner only, without a lock: no other process may know its path yet.
pub(super) fn new_database(path: &Path) -> Result<Connection> {
    open_nofollow(path).map_err(Error::io("create", path))?;
    open_writer(path)
}

/// Resolves a symbolic link, so that all processes find the same locks and the same files beside the database.
pub(super) fn real_path(path: &Path) -> PathBuf {
    let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
    is_link.then(|| path.canonicalize().ok()).flatten().unwrap_or_else(|| path.to_owned())
}

/// Whether there is a regular file at the path. Opening a pipe would block forever.
fn is_database(path: &Path) -> Result<bool> {
    let not_an_index = |reason: &str| Err(Error::NotAnIndex { path: path.to_owned(), reason: reason.into() });
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(true),
        Ok(metadata) if metadata.is_dir() => not_an_index("it is a directory"),
        Ok(_) => not_an_index("it is not a regular file"),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("open", path)(error)),
    }
}

/// Opens a connection for reading.
///
/// SQLite may still write: the connection that closes the database last copies the log into it and removes the log.
/// With a read-only connection, the log would stay behind, and another program that opened the database later would
/// copy it without adding checksums to the pages.
fn open_reader(path: &Path) -> Result<Connection> {
    let error = match open_to_read(path.as_os_str(), OpenFlags::SQLITE_OPEN_READ_WRITE).at(path) {
        Err(error @ Error::Database { .. }) => error,
        result => return result,
    };
    // If the process cannot open any more files, report that instead.
    open_regular(path).map_err(Error::io("open", path))?;
    // On read-only media the log cannot be opened. If there is no log, the database file is complete by itself.
    let log = Store::beside(path, "-wal");
    if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        let reason =
            "its write-ahead log must be read too, which needs a new file beside it; copy both to a writable directory";
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
    // Otherwise `INSERT OR REPLACE` would not fire the triggers for deleted rows.
    connection.pragma_update(None, "recursive_triggers", true)?;
    // The interior pages of a B-tree with a million vectors do not fit into the default of 2 MB.
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    Ok(())
}

/// The schema version of a database, or 0 if it is still empty.
///
/// # Errors
/// When it belongs to another program or was made by a newer version.
fn check_header(connection: &Connection, path: &Path) -> Result<i64> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = pragma("application_id").at(path)?;
    let version = pragma("user_version").at(path)?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).at(path)?;
    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(Error::NotAnIndex { path: path.to_owned(), reason: "it was created by another program".into() });
    }
    if version > LATEST {
        return Err(Error::TooNew { path: path.to_owned(), found: version, known: LATEST });
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::scratch;

    #[test]
    fn all_schema_files_are_listed_and_apply() {
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
            assert_eq!(found, LATEST);
        }
    }

    #[test]
    fn a_reader_requires_an_existing_index() {
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
