//! Builds a new database from everything that can still be read of a damaged one.
//!
//! Rows are copied one by one. Rows on unreadable pages are skipped, and so are rows that violate a constraint of the
//! schema or that their own index does not find. The next `add` restores what is lost, except dismissed duplicates and
//! settings, which have no other source.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Rows, params_from_iter};

use super::Store;
use super::lock::FileLock;
use super::open::{new_database, real_path};
use super::pages::{VFS, make_readable, register};
use super::select::add_functions;
use super::sqlite_error::At;
use crate::error::{Error, Result};
use crate::types::now_ns;

/// Tables with row ids, each after the tables that it refers to.
const TABLES: [&str; 14] = [
    "root",
    "model",
    "label",
    "image",
    "file",
    "embedding",
    "feature",
    "miniature",
    "metadata",
    "sidecar",
    "description",
    "failure",
    "run",
    "trace",
];

/// Tables without row ids, which are read from both ends.
const SMALL_TABLES: [&str; 2] = ["setting", "dismissal"];

/// Replaces a damaged database with a new one made of everything that can be read, and returns the new path of the
/// damaged one.
///
/// # Errors
/// When another process is writing, the disk is full, or nothing can be read at all. The database then stays as it was.
pub fn salvage(database: &Path) -> Result<PathBuf> {
    let path = &real_path(database);
    let _lock = FileLock::writer(path, Duration::ZERO)?;
    let (source, new) = (Store::beside(path, "-repairing"), Store::beside(path, "-repaired"));
    let copied = readable_copy(path, &source).and_then(|()| {
        remove(&new)?;
        copy(&open_source(&source)?, &new, path)
    });
    remove(&source)?;
    if let Err(error) = copied {
        remove(&new)?;
        return Err(error);
    }
    let aside = set_aside(path)?;
    // The log belongs to the old file. It must be moved before the new file gets its name.
    for suffix in ["-wal", "-shm"] {
        let (from, to) = (Store::beside(path, suffix), Store::beside(&aside, suffix));
        match std::fs::rename(&from, to) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io("move", from)(error)),
            _ => {}
        }
    }
    std::fs::rename(&new, path).map_err(Error::io("replace", path))?;
    if let Some(folder) = path.parent() {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(aside)
}

/// Copies a database and its log, and changes the copy so that SQLite opens it, if possible: pads it to the length in
/// its header and corrects the checksum of the first page, which lists the tables. Other pages are left as they are.
fn readable_copy(path: &Path, source: &Path) -> Result<()> {
    remove(source)?;
    let copy = |from: &Path, to: &Path| match std::fs::copy(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound && from != path => Ok(()),
        result => result.map(|_| ()).map_err(Error::io("copy", from)),
    };
    // Copy the log first: a reader that closes the database in between moves the log into it and removes it.
    copy(&Store::beside(path, "-wal"), &Store::beside(source, "-wal"))?;
    copy(path, source)?;
    make_readable(source).map_err(Error::io("write", source))
}

fn open_source(source: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    register();
    let connection = Connection::open_with_flags_and_vfs(source, flags, VFS).at(source)?;
    add_functions(&connection).at(source)?;
    // A definition that cannot be parsed is left out, instead of making all tables unreadable.
    connection.pragma_update(None, "writable_schema", true).at(source)?;
    Ok(connection)
}

/// Removes a database and its journal files.
fn remove(path: &Path) -> Result<()> {
    for path in
        [path.to_owned(), Store::beside(path, "-wal"), Store::beside(path, "-shm"), Store::beside(path, "-journal")]
    {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io("remove", path)(error)),
            _ => {}
        }
    }
    Ok(())
}

/// Gives the damaged file a second name, so that a database exists under the old name at all times.
fn set_aside(path: &Path) -> Result<PathBuf> {
    let aside = Store::beside(path, &format!("-damaged-{}", now_ns().max(0) / 1_000_000_000));
    std::fs::hard_link(path, &aside)
        .or_else(|_| std::fs::copy(path, &aside).map(|_| ()))
        .map_err(Error::io("create", &aside))?;
    Ok(aside)
}

/// Copies everything that can be read to a new database, which has no log afterwards.
fn copy(old: &Connection, new_path: &Path, of: &Path) -> Result<()> {
    let new = new_database(new_path)?;
    if !copy_rows(old, &new).at(of)? {
        return Err(Error::Damaged { path: of.to_owned(), reason: "none of its tables can be read".into() });
    }
    new.close().map_err(|(_, error)| error).at(new_path)?;
    let file = File::open(new_path).map_err(Error::io("open", new_path))?;
    file.sync_all().map_err(Error::io("write", new_path))
}

/// Copies everything that can be read. Returns `false` if no table can be.
fn copy_rows(old: &Connection, new: &Connection) -> rusqlite::Result<bool> {
    let mut any = false;
    for table in TABLES {
        any |= is_as_defined(old, new, table)?;
    }
    if !any {
        return Ok(false);
    }
    new.execute_batch("BEGIN IMMEDIATE")?;
    for table in TABLES {
        copy_table(old, new, table)?;
    }
    copy_classes(old, new)?;
    for table in SMALL_TABLES {
        copy_small_table(old, new, table)?;
    }
    keep_last_id(old, new)?;
    // Files derived from the old rows must be rebuilt.
    new.execute_batch("UPDATE model SET codes = NULL, graph_codes = NULL")?;
    // A picture whose miniature is lost is measured again.
    new.execute_batch("DELETE FROM feature WHERE image NOT IN (SELECT image FROM miniature); COMMIT")?;
    // Remove the log, so that the new database is a single file when it is renamed.
    new.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    Ok(true)
}

/// Whether an error is caused by damaged pages, and not by the new file or a lack of memory.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | SystemIoFailure))
}

/// Whether a table has the expected definition. If its definition is damaged, its rows may belong to another table.
fn is_as_defined(old: &Connection, new: &Connection, table: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    let definition = |database: &Connection| database.query_row(sql, [table], |row| row.get::<_, String>(0));
    Ok(definition(old).ok() == Some(definition(new)?))
}

fn columns(new: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    new.prepare("SELECT name FROM pragma_table_info(?1)")?.query_map([table], |row| row.get(0))?.collect()
}

/// Inserts a row, unless it violates a constraint.
fn insert(new: &Connection, table: &str, columns: &[String], values: Vec<Value>) -> rusqlite::Result<()> {
    let placeholders = vec!["?"; columns.len()].join(", ");
    let sql = format!("INSERT INTO {table} ({}) VALUES ({placeholders})", columns.join(", "));
    match new.prepare_cached(&sql)?.execute(params_from_iter(values)) {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => Ok(()),
        result => result.map(|_| ()),
    }
}

/// Calls `each` with the rows that can be read, up to the first that is on a damaged page. Returns the error of that row.
fn for_each_readable(
    mut rows: Rows<'_>,
    mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<Option<rusqlite::Error>> {
    loop {
        match rows.next() {
            Ok(Some(row)) => each(row)?,
            Ok(None) => return Ok(None),
            Err(error) if is_damage(&error) => return Ok(Some(error)),
            Err(error) => return Err(error),
        }
    }
}

fn copy_table(old: &Connection, new: &Connection, table: &str) -> rusqlite::Result<()> {
    if !is_as_defined(old, new, table)? {
        return Ok(());
    }
    let columns = columns(new, table)?;
    let sql = format!("SELECT rowid, {} FROM {table} NOT INDEXED WHERE rowid > ?1 ORDER BY rowid", columns.join(", "));
    let mut select = old.prepare(&sql)?;
    let mut after = i64::MIN;
    loop {
        let damage = for_each_readable(select.query([after])?, |row| {
            after = row.get(0)?;
            // A value that cannot be read, such as invalid UTF-8, was not written by this program.
            match (1..=columns.len()).map(|i| row.get(i)).collect::<Result<Vec<Value>, _>>() {
                Ok(values) if index_finds(old, table, after, &columns, &values) => insert(new, table, &columns, values),
                _ => Ok(()),
            }
        })?;
        let Some(error) = damage else { return Ok(()) };
        match next_readable(&mut select, after) {
            Some(next) => after = next,
            None => return if after == i64::MIN && table == "root" { Err(error) } else { Ok(()) },
        }
    }
}

/// A row id greater than `after`, and close to the smallest possible one, after which rows can be read again.
fn next_readable(select: &mut rusqlite::Statement<'_>, after: i64) -> Option<i64> {
    let mut can_read = |after: i64| select.query([after]).and_then(|mut rows| rows.next().map(|_| ())).is_ok();
    // Row ids start at 1.
    let start = after.max(0);
    let mut step = 1_i64;
    let found = loop {
        let next = start.checked_add(step)?;
        if can_read(next) {
            break next;
        }
        step = step.checked_mul(2)?;
    };
    let (mut fails, mut works) = (start, found);
    while works - fails > 1 {
        let middle = fails + (works - fails) / 2;
        if can_read(middle) { works = middle } else { fails = middle }
    }
    Some(works)
}

/// Whether the index on an image's hash or a file's path leads to its row. If not, the index or the row is damaged.
fn index_finds(old: &Connection, table: &str, id: i64, columns: &[String], values: &[Value]) -> bool {
    let value = |name: &str| columns.iter().position(|column| column == name).map(|at| values[at].clone());
    let (sql, keys) = match table {
        "image" => ("SELECT id FROM image WHERE hash = ?1", vec![value("hash")]),
        "file" => ("SELECT id FROM file WHERE root = ?1 AND path = ?2", vec![value("root"), value("path")]),
        _ => return true,
    };
    let keys = params_from_iter(keys.into_iter().flatten());
    let found =
        old.prepare_cached(sql).and_then(|mut find| find.query_row(keys, |row| row.get::<_, i64>(0)).optional());
    // An unreadable index is no evidence against the row.
    found.map_or(true, |found| found == Some(id))
}

/// Copies the classes for each copied vector. If they cannot be read, the vector is deleted too, so that `add` computes
/// both again.
fn copy_classes(old: &Connection, new: &Connection) -> rusqlite::Result<()> {
    let columns = columns(new, "classification")?;
    let vectors: Vec<(i64, i64)> = new
        .prepare("SELECT image, model FROM embedding")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let sql = format!("SELECT {} FROM classification WHERE image = ?1 AND model = ?2", columns.join(", "));
    for (image, model) in vectors {
        let read = |row: &Row<'_>| (0..columns.len()).map(|i| row.get(i)).collect::<Result<Vec<Value>, _>>();
        let classes: rusqlite::Result<Vec<_>> =
            old.prepare_cached(&sql).and_then(|mut select| select.query_map([image, model], read)?.collect());
        match classes {
            Ok(classes) => {
                let count = classes.len() as i64;
                classes.into_iter().try_for_each(|values| insert(new, "classification", &columns, values))?;
                let copied = "SELECT count(*) FROM classification WHERE image = ?1 AND model = ?2";
                if new.prepare_cached(copied)?.query_row([image, model], |row| row.get::<_, i64>(0))? == count {
                    continue;
                }
            }
            Err(error) if is_damage(&error) => {}
            Err(error) => return Err(error),
        }
        new.execute("DELETE FROM classification WHERE image = ?1 AND model = ?2", [image, model])?;
        new.execute("DELETE FROM embedding WHERE image = ?1 AND model = ?2", [image, model])?;
    }
    Ok(())
}

fn copy_small_table(old: &Connection, new: &Connection, table: &str) -> rusqlite::Result<()> {
    if !is_as_defined(old, new, table)? {
        return Ok(());
    }
    let columns = columns(new, table)?;
    let key = if table == "setting" { ["key", "key"] } else { ["a", "b"] };
    // After a damaged page, read the remaining rows from the other end, as far as possible.
    for order in ["ASC", "DESC"] {
        let list = columns.join(", ");
        let sql = format!("SELECT {list} FROM {table} ORDER BY {} {order}, {} {order}", key[0], key[1]);
        let damage = for_each_readable(old.prepare(&sql)?.query([])?, |row| {
            let values = (0..columns.len()).map(|i| row.get(i)).collect::<Result<_, _>>()?;
            insert(new, table, &columns, values)
        })?;
        if damage.is_none() {
            break;
        }
    }
    Ok(())
}

/// Keeps the last vector id, because ids must never be reused.
fn keep_last_id(old: &Connection, new: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'embedding'";
    let last = old.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap_or(0);
    let max_id: i64 = new.query_row("SELECT ifnull(max(id), 0) FROM embedding", [], |row| row.get(0))?;
    new.execute("DELETE FROM sqlite_sequence WHERE name = 'embedding'", [])?;
    new.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('embedding', ?1)", [last.max(max_id)])?;
    Ok(())
}
