//! The path of a database's socket.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The socket path of a database's daemon, whether or not one is running. The socket lies in the user's runtime
/// directory. Its name is a hash of the path of the database, because the path of a socket must be short.
///
/// # Errors
/// If the path of the database cannot be made absolute.
pub fn socket_path(database: &Path) -> Result<PathBuf> {
    let absolute = std::fs::canonicalize(database).or_else(|_| std::path::absolute(database));
    let absolute = absolute.map_err(Error::io("find", database))?;
    let name = blake3::hash(absolute.as_os_str().as_encoded_bytes()).to_hex();
    Ok(runtime_dir().join(format!("{}.sock", &name[..16])))
}

fn user() -> u32 {
    rustix::process::getuid().as_raw()
}

/// The directory for sockets.
fn runtime_dir() -> PathBuf {
    let user = user();
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let usual = PathBuf::from(format!("/run/user/{user}"));
    // A user without a runtime directory gets a directory in the temporary folder, which all users share.
    match given.or(Some(usual)).filter(|path| is_private(path, user)) {
        Some(dir) => dir.join("imgidx"),
        None => std::env::temp_dir().join(format!("imgidx-{user}")),
    }
}

/// Creates the directory of a socket, if it does not exist.
///
/// # Errors
/// If it cannot be created, or other users can write to it.
pub(super) fn make_folder_of(socket: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let dir = socket.parent().unwrap_or(socket);
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(Error::io("create the directory", dir)(error));
        }
        _ => {}
    }
    if is_safe(socket) {
        return Ok(());
    }
    Err(Error::Invalid(format!("`{}` is not a directory that only this user can write to", dir.display())))
}

/// Whether no other user can have put a socket there.
pub(super) fn is_safe(socket: &Path) -> bool {
    socket.parent().is_some_and(|dir| is_private(dir, user()))
}

/// Whether a path is a directory, not a link, that belongs to this user and that others cannot write to.
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
        let user = user();
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
