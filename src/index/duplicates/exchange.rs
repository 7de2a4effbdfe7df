//! Renaming that never replaces a file.

use std::io;
use std::path::Path;

use super::aside_name;

/// Renames a file. Fails if the new name exists.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // The file system does not have this.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {}
            renamed => return Ok(renamed?),
        }
    }
    if to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    std::fs::rename(from, to)
}

/// Gives two files each other's names: at once where the system can do this, and otherwise in three steps, of which
/// none replaces a file.
pub(super) fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE) {
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {}
            exchanged => return Ok(exchanged?),
        }
    }
    exchange_in_steps(a, b)
}

fn exchange_in_steps(a: &Path, b: &Path) -> io::Result<()> {
    let aside = aside_name(b);
    rename_new(b, &aside)?;
    if let Err(error) = rename_new(a, b) {
        rename_new(&aside, b)?;
        return Err(error);
    }
    rename_new(&aside, a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn files_exchange_names_and_nothing_is_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        let [a, b, c] = ["a", "b", "c"].map(|name| dir.path().join(name));
        fs::write(&a, "A").expect("a file");
        fs::write(&b, "B").expect("a file");
        let contents = || [&a, &b].map(|path| fs::read_to_string(path).expect("a file"));
        for exchange in [exchange, exchange_in_steps] {
            exchange(&a, &b).expect("they can be exchanged");
            assert_eq!(contents(), ["B", "A"]);
            exchange(&a, &b).expect("they can be exchanged");
            assert_eq!(contents(), ["A", "B"]);
        }
        assert_eq!(rename_new(&a, &b).expect_err("it exists").kind(), io::ErrorKind::AlreadyExists);
        assert!(exchange_in_steps(&c, &b).is_err() && exchange(&c, &b).is_err());
        assert_eq!(contents(), ["A", "B"]);
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 2);
    }
}
