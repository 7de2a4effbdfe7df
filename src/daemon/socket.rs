//! Where the socket of a database lies.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The socket of the daemon of a database, whether or not there is one, and the directory that it is in: in the user's runtime directory, named after the path of
/// the database, because a socket's own path must be short.
///
/// # Errors
/// When the database's path cannot be made absolute.
pub fn socket_path(database: &Path) -> Result<PathBuf> {
    let database = std::fs::canonicalize(database).or_else(|_| std::path::absolute(database));
    let database = database.map_err(Error::io("find", "the database"))?;
    let name = blake3::hash(database.as_os_str().as_encoded_bytes()).to_hex();
    Ok(runtime_dir().join(format!("{}.sock", &name[..16])))
}

fn user() -> u32 {
    rustix::process::getuid().as_raw()
}

/// The directory of sockets.
fn runtime_dir() -> PathBuf {
    let user = user();
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let usual = PathBuf::from(format!("/run/user/{user}"));
    // Without one of its own, a user's directory in the place that all users share.
    match given.or(Some(usual)).filter(|path| is_private(path, user)) {
        Some(dir) => dir.join("imgidx"),
        None => std::env::temp_dir().join(format!("imgidx-{user}")),
    }
}

/// Makes the directory of a socket, if it is not there.
///
/// # Errors
/// When it is not one that only this user can use.
pub(super) fn make_folder_of(socket: &Path) -> Result<()> {
    let dir = socket.parent().unwrap_or(socket);
    make_private(dir)?;
    if is_safe(socket) {
        return Ok(());
    }
    Err(Error::Invalid(format!("`{}` is not a directory that only this user can use", dir.display())))
}

/// Whether nobody else can have put a socket there.
pub(super) fn is_safe(socket: &Path) -> bool {
    socket.parent().is_some_and(|dir| is_private(dir, user()))
}

fn make_private(dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Error::io("create the folder", dir)(error))
        }
        _ => Ok(()),
    }
}

/// Whether nobody else can put anything there: not a link, of this user, and closed to others.
fn is_private(dir: &Path, user: u32) -> bool {
    use std::os::unix::fs::MetadataExt;
    dir.symlink_metadata().is_ok_and(|dir| dir.is_dir() && dir.uid() == user && dir.mode() & 0o022 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_others_can_write_to_is_not_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder");
        let user = rustix::process::getuid().as_raw();
        let set =
            |mode| std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).expect("it is ours");
        set(0o700);
        assert!(is_private(dir.path(), user));
        assert!(!is_private(dir.path(), user + 1));
        set(0o770);
        assert!(!is_private(dir.path(), user));
        set(0o700);
        std::os::unix::fs::symlink(dir.path(), dir.path().join("link")).expect("a link");
        assert!(!is_private(&dir.path().join("link"), user));
    }
}
